/* What lies in a folder of pieces of prefixes: one file for each, named by what it holds. Private to the files of prefix_disk and its tests. One thread at a time. */
#ifndef QW_RUNTIME_PREFIX_INDEX_H
#define QW_RUNTIME_PREFIX_INDEX_H

#include "base/hash.h"
#include "runtime/store.h"

#define QW_PIECE_KIND QW_STORE_TAG('P', 'R', 'E', 'F') /* of such a file */
#define QW_PIECE_TAG QW_STORE_TAG('P', 'I', 'E', 'C')  /* its first block: begin, end; payload: a qw_piece_names */

/* Checksum of a model's key and of the first tokens of a timeline. */
typedef struct qw_piece_id {
    uint64_t a, b;
} qw_piece_id;
static inline bool qw_piece_same(qw_piece_id x, qw_piece_id y) { return x.a == y.a && x.b == y.b; }

typedef struct qw_piece_names {
    qw_piece_id parent, own; /* up to begin, all zeros where that is 0; up to end */
} qw_piece_names;

/* Grows with a timeline. */
typedef struct qw_piece_hash {
    qw_hash a, b;
    size_t n; /* tokens so far */
} qw_piece_hash;
void qw_piece_hash_begin(qw_piece_hash *h, const uint8_t key[QW_STORE_KEY]);
/* Goes on to the first n >= h->n tokens of keys, and names them. */
qw_piece_id qw_piece_hash_to(qw_piece_hash *h, const uint64_t *keys, size_t n);

typedef struct qw_piece {
    qw_piece_id id, parent;
    size_t begin, end;
    uint64_t bytes;
    bool ours; /* of this model; others count, and go when they are old */
    bool seen; /* private */
} qw_piece;

typedef struct qw_prefix_index {
    char *dir;
    qw_store_head head; /* of our files */
    qw_piece *at;       /* [n] by end */
    size_t n, room;
    uint64_t bytes;
    int64_t scanned_s, scanned_ns; /* the folder's time when it was read; 0: it is to be read again */
    bool incomplete;               /* private */
} qw_prefix_index;

/* Makes the folder when there is none, and reads what lies in it. */
qwren_status qw_prefix_index_init(qw_prefix_index *out, const char *dir, const qw_store_head *head, qwren_error *err);
void qw_prefix_index_deinit(qw_prefix_index *x); /* safe on zeros */
/* Looks again when something was added or taken away since, or might have been; makes the folder anew when it has gone. E_IO: what is
 * known of it stays. */
qwren_status qw_prefix_index_refresh(qw_prefix_index *x, qwren_error *err);

/* Some piece of ours begins where this one ends. */
bool qw_prefix_index_goes_on(const qw_prefix_index *x, qw_piece_id id);
const qw_piece *qw_prefix_index_find(const qw_prefix_index *x, qw_piece_id id); /* one of ours; NULL: there is none */
/* The longest piece that ends behind `known` and at or before `most` tokens of keys, and from which there is a way back to `known` or to
 * the beginning: chain [*n], from the front; the first piece begins at or before `known`. qw_free(chain). *n is 0 when there is none.
 * Pieces that lead nowhere are removed when what is missing before them has gone, and otherwise forgotten. */
qwren_status qw_prefix_index_chain(qw_prefix_index *x, const uint64_t *keys, size_t known, size_t most, qw_piece **chain, size_t *n,
                                   qwren_error *err);
/* A file was put in place. */
qwren_status qw_prefix_index_add(qw_prefix_index *x, const qw_piece *piece, qwren_error *err);
/* A file is as if it were not there, until the folder is read again, which the next refresh does. */
void qw_prefix_index_forget(qw_prefix_index *x, qw_piece_id id);
/* Removes a file, which may have gone already. */
void qw_prefix_index_remove(qw_prefix_index *x, qw_piece_id id);
/* It was used just now. */
void qw_prefix_index_renew(const qw_prefix_index *x, qw_piece_id id);
/* Removes what was not used for the longest time until there are at most so many bytes. What cannot be removed stays. */
void qw_prefix_index_shrink(qw_prefix_index *x, uint64_t bytes);
/* The file of a piece; qw_free it. NULL when memory is short. */
char *qw_prefix_index_path(const qw_prefix_index *x, qw_piece_id id);

#endif
