/* The one door to the heap (alloc.h). Nothing else in the library calls malloc. Tested by tests/unit/test_base_memory.c. */
#include "base/alloc.h"

#include "qwren.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#  include <sys/mman.h>
#endif

static void *system_alloc(void *ctx, size_t size)
{
    (void)ctx;
    return malloc(size);
}
static void *system_realloc(void *ctx, void *p, size_t size)
{
    (void)ctx;
    return realloc(p, size);
}
static void system_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

static const qwren_allocator system_allocator = { system_alloc, system_realloc, system_free, NULL };
static qwren_allocator current = { system_alloc, system_realloc, system_free, NULL };

void qwren_set_allocator(const qwren_allocator *a) { current = a ? *a : system_allocator; }
void qwren_free(void *p) { qw_free(p); }

bool qw_mul_size(size_t a, size_t b, size_t *out) { return !__builtin_mul_overflow(a, b, out); }
bool qw_add_size(size_t a, size_t b, size_t *out) { return !__builtin_add_overflow(a, b, out); }

void *qw_malloc(size_t size) { return current.alloc(current.ctx, size ? size : 1); }

void *qw_alloc_array(size_t n, size_t size)
{
    size_t bytes;
    return qw_mul_size(n, size, &bytes) ? qw_malloc(bytes) : NULL;
}

void *qw_calloc(size_t n, size_t size)
{
    void *p = qw_alloc_array(n, size);
    return p ? memset(p, 0, n * size) : NULL;
}

void *qw_realloc(void *p, size_t size) { return current.realloc(current.ctx, p, size ? size : 1); }

void *qw_realloc_array(void *p, size_t n, size_t size)
{
    size_t bytes;
    return qw_mul_size(n, size, &bytes) ? qw_realloc(p, bytes) : NULL;
}

void qw_free(void *p)
{
    if (p)
        current.free(current.ctx, p);
}

char *qw_strdup(const char *s) { return qw_strndup(s, strlen(s)); }

char *qw_strndup(const char *s, size_t n)
{
    size_t bytes;
    char *copy = qw_add_size(n, 1, &bytes) ? qw_malloc(bytes) : NULL;
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

/* The pointer that came from qw_malloc stands just before the aligned one. */
static void *alloc_at(size_t size, uintptr_t align)
{
    size_t bytes;
    if (!qw_add_size(size, align + sizeof(void *), &bytes))
        return NULL;
    char *raw = qw_malloc(bytes);
    if (!raw)
        return NULL;
    uintptr_t at = ((uintptr_t)raw + sizeof(void *) + align - 1) & ~(align - 1);
    char *aligned = raw + (at - (uintptr_t)raw);
    memcpy(aligned - sizeof(void *), &raw, sizeof raw);
    return aligned;
}

void *qw_alloc_aligned(size_t size) { return alloc_at(size, QW_ALIGN); }
void *qw_alloc_huge(size_t size) { return alloc_at(size, size < QW_HUGE_LEAST ? QW_ALIGN : QW_HUGE_PAGE); }

void qw_free_aligned(void *p)
{
    if (!p)
        return;
    char *raw;
    memcpy(&raw, (char *)p - sizeof(void *), sizeof raw);
    qw_free(raw);
}

/* Pages that lie in it whole: what stands beside the block is not ours to advise on. */
void qw_huge_pages(void *p, size_t size)
{
#if defined(MADV_HUGEPAGE)
    const size_t to_first = (QW_HUGE_PAGE - (uintptr_t)p % QW_HUGE_PAGE) % QW_HUGE_PAGE;
    if (size >= QW_HUGE_LEAST)
        madvise((char *)p + to_first, (size - to_first) / QW_HUGE_PAGE * QW_HUGE_PAGE, MADV_HUGEPAGE);
#else
    (void)p;
    (void)size;
#endif
}
