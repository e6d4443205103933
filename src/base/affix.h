/* How names begin and end: "mtp." before, ".safetensors" behind. Tested by tests/unit/test_base_affix.c. */
#ifndef QW_BASE_AFFIX_H
#define QW_BASE_AFFIX_H

#include <stdbool.h>
#include <string.h>

static inline bool qw_begins_with(const char *s, const char *head) { return strncmp(s, head, strlen(head)) == 0; }

static inline bool qw_ends_with(const char *s, const char *tail)
{
    const size_t n = strlen(s), m = strlen(tail);
    return n >= m && memcmp(s + n - m, tail, m) == 0;
}

#endif
