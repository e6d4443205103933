/* Bump memory (arena.h): blocks in a list, the newest first. Tested by tests/unit/test_base_memory.c. */
#include "base/arena.h"

#include "base/alloc.h"

#include <string.h>

#define PIECE_ALIGN 16

struct qw_arena_block {
    struct qw_arena_block *next;
    size_t used, size; /* bytes after the header */
};

#define HEADER_BYTES ((sizeof(struct qw_arena_block) + PIECE_ALIGN - 1) / PIECE_ALIGN * PIECE_ALIGN)

void qw_arena_init(qw_arena *a, size_t block_bytes) { *a = (qw_arena){ NULL, block_bytes }; }

static void free_blocks(struct qw_arena_block *b)
{
    while (b) {
        struct qw_arena_block *next = b->next;
        qw_free(b);
        b = next;
    }
}

void qw_arena_deinit(qw_arena *a)
{
    free_blocks(a->head);
    a->head = NULL;
}

static struct qw_arena_block *add_block(qw_arena *a, size_t need)
{
    size_t size = need > a->block_bytes ? need : a->block_bytes, bytes;
    if (!qw_add_size(size, HEADER_BYTES, &bytes))
        return NULL;
    struct qw_arena_block *b = qw_malloc(bytes);
    if (!b)
        return NULL;
    *b = (struct qw_arena_block){ a->head, 0, size };
    return a->head = b;
}

void *qw_arena_alloc(qw_arena *a, size_t size)
{
    size_t padded;
    if (!qw_add_size(size ? size : 1, PIECE_ALIGN - 1, &padded))
        return NULL;
    padded = padded / PIECE_ALIGN * PIECE_ALIGN;
    struct qw_arena_block *b = a->head;
    if (!b || b->size - b->used < padded)
        b = add_block(a, padded);
    if (!b)
        return NULL;
    void *p = (char *)b + HEADER_BYTES + b->used;
    b->used += padded;
    return p;
}

char *qw_arena_strndup(qw_arena *a, const char *s, size_t n)
{
    size_t bytes;
    char *copy = qw_add_size(n, 1, &bytes) ? qw_arena_alloc(a, bytes) : NULL;
    if (!copy)
        return NULL;
    if (n)
        memcpy(copy, s, n);
    copy[n] = '\0';
    return copy;
}

void qw_arena_reset(qw_arena *a)
{
    if (!a->head)
        return;
    free_blocks(a->head->next);
    a->head->next = NULL;
    a->head->used = 0;
}
