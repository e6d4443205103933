/* Bump memory: many small pieces with one lifetime. Blocks grow as needed; all pieces go at once, or back to a mark. */
#ifndef QW_BASE_ARENA_H
#define QW_BASE_ARENA_H

#include "base/status.h"

typedef struct qw_arena {
    struct qw_arena_block *head;
    size_t block_bytes;
} qw_arena;

void qw_arena_init(qw_arena *a, size_t block_bytes); /* takes no memory yet */
void qw_arena_deinit(qw_arena *a);
void *qw_arena_alloc(qw_arena *a, size_t size); /* 16-byte aligned, not zeroed; NULL when memory is short */
char *qw_arena_strndup(qw_arena *a, const char *s, size_t n);
void qw_arena_reset(qw_arena *a); /* keeps one block for reuse */

#endif
