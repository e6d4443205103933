/* Heap memory of the library: everything goes through the process-wide qwren_allocator (qwren.h), so that tests can count
 * and fail it. All functions return NULL when memory is short or a size overflows; nothing is printed. */
#ifndef QW_BASE_ALLOC_H
#define QW_BASE_ALLOC_H

#include <stdbool.h>
#include <stddef.h>

#define QW_ALIGN 64 /* a cache line and the widest vector */

void *qw_malloc(size_t size);                /* size 0 gives a unique pointer */
void *qw_calloc(size_t n, size_t size);      /* zeroed, checked for overflow */
void *qw_alloc_array(size_t n, size_t size); /* not zeroed, checked for overflow */
void *qw_realloc(void *p, size_t size);
void *qw_realloc_array(void *p, size_t n, size_t size);
void qw_free(void *p); /* NULL is allowed */
char *qw_strdup(const char *s);
char *qw_strndup(const char *s, size_t n); /* copies exactly n bytes (NULs included) and terminates */

void *qw_alloc_aligned(size_t size); /* QW_ALIGN-aligned, not zeroed; give back with qw_free_aligned */
/* The same, but from QW_HUGE_LEAST bytes on it begins where a huge page does; what it takes more for that is not touched. */
void *qw_alloc_huge(size_t size);
void qw_free_aligned(void *p);

/* Asks for huge pages inside of [p, p + size), whoever allocated it. Only advice, and none for less than QW_HUGE_LEAST: what is untouched
 * costs no memory, but who touches a byte gets two megabytes around it. So ask for what is used all over, before it is touched. */
#define QW_HUGE_PAGE ((size_t)2 << 20)
#define QW_HUGE_LEAST (2 * QW_HUGE_PAGE)
void qw_huge_pages(void *p, size_t size);

/* a*b into *out; false on overflow */
bool qw_mul_size(size_t a, size_t b, size_t *out);
bool qw_add_size(size_t a, size_t b, size_t *out);

#endif
