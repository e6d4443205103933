/* The radix tree of the prefix cache; private to src/runtime/prefix*.c, which hold the cache's lock while they use it. */
#ifndef QW_RUNTIME_PREFIX_TREE_H
#define QW_RUNTIME_PREFIX_TREE_H

#include "runtime/prefix.h"

#include <pthread.h>

/* A checkpoint in the tree. */
typedef struct qw_prefix_kept {
    qw_checkpoint *checkpoint;
    size_t length;   /* the checkpoint's */
    uint64_t number; /* they are numbered as they come, */
    uint64_t used;   /* and as they are used */
    double clock;    /* of its class, when it was last used (prefix_evict.c) */
    qw_checkpoint_kind kind;
    bool saved;
} qw_prefix_kept;

/* A run of keys between two places where timelines part; the whole way from the root is the beginning of a timeline. Apart from the root, whose run is empty, a node's
 * run holds a key or more, and a node without children ends with a checkpoint. */
typedef struct qw_prefix_node {
    struct qw_prefix_node *parent;
    size_t begin;   /* keys on the way before the run */
    uint64_t hash;  /* of those (qw_prefix_hash) */
    uint64_t *keys; /* [n_keys] */
    size_t n_keys, room_keys;
    qw_page **
        pages; /* [n_pages] those that hold the run's positions: of the timeline, from number begin / QW_KV_PAGE on. Where the run begins within a page, its first one holds what
                      * stands before in that page too, as the parent's last one does, which is the same or another one with the same content */
    size_t n_pages, room_pages;
    qw_prefix_kept *kept; /* [n_kept] by length, begin < length <= end */
    size_t n_kept, room_kept;
    struct qw_prefix_node **children; /* [n_children] by first key, which is different in each */
    size_t n_children, room_children;
    struct qw_prefix_node *next, *previous; /* of all nodes, in any order, from the root on */
} qw_prefix_node;

typedef struct qw_prefix_tree {
    qw_prefix_node root;
    size_t page_bytes;
    size_t bytes; /* of checkpoints and keys */
    qw_page_account pages;
    size_t n_nodes, n_checkpoints; /* without the root */
} qw_prefix_tree;
/* All that is there because of the tree alone. */
size_t qw_prefix_tree_bytes(const qw_prefix_tree *t);

static inline size_t qw_prefix_end(const qw_prefix_node *n) { return n->begin + n->n_keys; }

/* Where a timeline leaves the tree: `at` keys agree, the last of them in the node's run (at > begin but for the root). */
typedef struct qw_prefix_place {
    qw_prefix_node *node;
    size_t at;
} qw_prefix_place;
qw_prefix_place qw_prefix_walk(qw_prefix_tree *t, const uint64_t *keys, size_t n);
/* The longest checkpoint at <= most keys on the way to a place; NULL: none. *node is where it stands. */
qw_prefix_kept *qw_prefix_nearest(qw_prefix_place place, size_t most, qw_prefix_node **node);
/* The node's checkpoint at a length that it has one at. */
qw_prefix_kept *qw_prefix_kept_at(const qw_prefix_node *node, size_t length);
/* The qw_page_count(length) pages of the way to a length in the node's run, into pages; not held. */
void qw_prefix_pages(const qw_prefix_node *node, size_t length, qw_page **pages);
/* The `length` keys of that way. */
void qw_prefix_keys(const qw_prefix_node *node, size_t length, uint64_t *keys);

/* A hash of keys, one after the other; 0 of none. */
static inline uint64_t qw_prefix_hash(uint64_t hash, uint64_t key)
{
    hash = (hash ^ key) * 0x9e3779b97f4a7c15U + 0x632be59bd9b4e019U;
    return hash ^ hash >> 29;
}
/* Of the first `length` keys of the way, the last in the node's run. */
uint64_t qw_prefix_hash_at(const qw_prefix_node *node, size_t length);

/* Puts kept->checkpoint at its place, with what keys and pages are missing; there is none at this length yet, and `place` is what qw_prefix_walk() gave for its keys. Holds and
 * freezes what it takes. False when memory is short: the tree holds what it held. */
bool qw_prefix_put(qw_prefix_tree *t, qw_prefix_place place, const uint64_t *keys, qw_page *const *pages, const qw_prefix_kept *kept);
/* Takes a checkpoint of the node out, and the keys and pages that lead to none any more. The nodes around it may be others afterwards. */
void qw_prefix_take(qw_prefix_tree *t, qw_prefix_node *node, qw_prefix_kept *kept);
void qw_prefix_tree_free(qw_prefix_tree *t);

/* ---- parts that prefix_tree.c and prefix_prune.c share */

/* The number of the first child whose first key is not less than this one. */
size_t qw_prefix_child_index(const qw_prefix_node *node, uint64_t key);
/* Room for so many; each at least 1. False when memory is short: what the node holds has not changed. */
bool qw_prefix_reserve(qw_prefix_node *node, size_t n_keys, size_t n_pages, size_t n_kept);
/* The run is cut back to so many keys. */
void qw_prefix_truncate(qw_prefix_tree *t, qw_prefix_node *node, size_t n_keys);
/* Behind the node's checkpoints come these of another one. There is room. */
void qw_prefix_move_kept(qw_prefix_node *node, const qw_prefix_kept *kept, size_t n);
/* The node's own memory; it leaves the list of all. */
void qw_prefix_node_free(qw_prefix_node *node);

/* ---- what to drop: prefix_evict.c */

#define QW_PREFIX_DROPPED 64

typedef struct qw_prefix_evictor {
    size_t budget;
    double clock[2]; /* GreedyDual's, of each class: INTERVAL, and all others */
    uint64_t n_used; /* times that one was used */
    uint64_t evictions;
    struct {
        size_t length;
        uint64_t hash;
    } dropped[QW_PREFIX_DROPPED]; /* the newest that were dropped, in a ring */
    size_t n_dropped;             /* ever */
} qw_prefix_evictor;

/* It is used now. */
void qw_prefix_touch(qw_prefix_evictor *e, qw_prefix_kept *kept);
/* Drops checkpoints until the tree is within the budget; the one with the number `spared` last. */
void qw_prefix_shrink(qw_prefix_evictor *e, qw_prefix_tree *t, uint64_t spared);
/* Drops checkpoints until so many bytes are free that nobody else holds, or none is left; returns how many are. */
size_t qw_prefix_free_some(qw_prefix_evictor *e, qw_prefix_tree *t, size_t bytes);
/* Remembers that a timeline was known up to here, by the hash of its keys. */
void qw_prefix_note_dropped(qw_prefix_evictor *e, size_t length, uint64_t hash);
/* Whether a checkpoint at one of the lengths from + 1 .. most of these keys was dropped not long ago; `hash` is that of the first `from` keys. */
bool qw_prefix_was_dropped(const qw_prefix_evictor *e, const uint64_t *keys, size_t from, size_t most, uint64_t hash);

/* ---- the cache: prefix.c, prefix_walk.c */

struct qw_prefix {
    pthread_mutex_t lock; /* for all below */
    qw_prefix_tree tree;
    qw_prefix_evictor evictor;
    uint64_t n_inserted; /* the number of the newest checkpoint, */
    size_t newest_bytes; /* and what it costs when nobody else holds its pages */
    uint64_t hits, misses;
};

#endif
