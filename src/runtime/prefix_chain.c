/* Pieces in the folder of the prefix cache that a timeline goes through (prefix_index.h): their names, and the way from one to the next.
 * Tested by tests/unit/test_prefix_disk.c. */
#include "base/alloc.h"
#include "runtime/prefix_index.h"

#include <errno.h>
#include <string.h>
#include <sys/stat.h>

void qw_piece_hash_begin(qw_piece_hash *h, const uint8_t key[QW_STORE_KEY])
{
    h->n = 0;
    qw_hash_init(&h->a);
    qw_hash_init(&h->b);
    qw_hash_add(&h->b, "b", 1); /* so that both differ from here on */
    qw_hash_add(&h->a, key, QW_STORE_KEY);
    qw_hash_add(&h->b, key, QW_STORE_KEY);
}

qw_piece_id qw_piece_hash_to(qw_piece_hash *h, const uint64_t *keys, size_t n)
{
    qw_hash_add(&h->a, keys + h->n, (n - h->n) * sizeof *keys);
    qw_hash_add(&h->b, keys + h->n, (n - h->n) * sizeof *keys);
    h->n = n;
    return (qw_piece_id){ qw_hash_value(&h->a), qw_hash_value(&h->b) };
}

/* Pieces of ours that end between `known` and `most` and hold a beginning of keys: their places, by end. found [x->n] */
static size_t find_ends(const qw_prefix_index *x, const uint64_t *keys, size_t known, size_t most, size_t *found)
{
    qw_piece_hash h;
    qw_piece_id id = { 0 };
    size_t n = 0;
    qw_piece_hash_begin(&h, x->head.key);
    for (size_t i = 0; i < x->n && x->at[i].end <= most; i++) {
        const qw_piece *p = &x->at[i];
        if (!p->ours || p->end <= known)
            continue;
        if (p->end != h.n)
            id = qw_piece_hash_to(&h, keys, p->end);
        if (qw_piece_same(id, p->id))
            found[n++] = i;
    }
    return n;
}

/* The way back from a piece, written from the end of chain [room]; how many. 0: it leads nowhere, for want of *missing. */
static size_t walk_back(const qw_prefix_index *x, const qw_piece *last, size_t known, qw_piece *chain, size_t room, qw_piece_id *missing)
{
    for (size_t n = 1; n <= room; n++) {
        chain[room - n] = *last;
        if (last->begin <= known)
            return n;
        const qw_piece *before = qw_prefix_index_find(x, last->parent);
        *missing = last->parent;
        if (!before || before->end != last->begin)
            return 0;
        last = before;
    }
    return 0;
}

/* There is no such file any more; one that could not be read, or came since the folder was listed, is there. */
static bool has_gone(const qw_prefix_index *x, qw_piece_id id)
{
    struct stat st;
    char *path = qw_prefix_index_path(x, id);
    const bool gone = path && stat(path, &st) != 0 && errno == ENOENT;
    qw_free(path);
    return gone;
}

/* From the longest on. Removing a piece moves only places behind it. */
static size_t find_chain(qw_prefix_index *x, const size_t *found, size_t n_found, size_t known, qw_piece *chain)
{
    const size_t room = x->n;
    while (n_found-- > 0) {
        const qw_piece last = x->at[found[n_found]];
        qw_piece_id missing = { 0 };
        const size_t n = walk_back(x, &last, known, chain, room, &missing);
        if (n) {
            memmove(chain, chain + room - n, n * sizeof *chain);
            return n;
        }
        if (has_gone(x, missing))
            qw_prefix_index_remove(x, last.id);
        else
            qw_prefix_index_forget(x, last.id);
    }
    return 0;
}

qwren_status qw_prefix_index_chain(qw_prefix_index *x, const uint64_t *keys, size_t known, size_t most, qw_piece **chain, size_t *n,
                                   qwren_error *err)
{
    *chain = NULL;
    *n = 0;
    if (!x->n)
        return QWREN_OK;
    size_t *found = qw_alloc_array(x->n, sizeof *found);
    *chain = qw_alloc_array(x->n, sizeof **chain);
    const bool taken = found && *chain;
    if (taken)
        *n = find_chain(x, found, find_ends(x, keys, known, most, found), known, *chain);
    if (!*n) {
        qw_free(*chain);
        *chain = NULL;
    }
    qw_free(found);
    return taken ? QWREN_OK : qw_fail_memory(err, x->n * sizeof **chain, "the list of cached prefixes");
}
