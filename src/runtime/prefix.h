/* The prefix cache: what was computed of timelines, to go on from it wherever another timeline begins alike. For one model, one cache type and one arithmetic; shared by
 * all sessions of a process, from several threads at once.
 *
 * It is a radix tree over token keys (qw_timeline.keys: ids of text, hashes of picture tokens). Along the keys lie the pages (pages.h) and, at some lengths, the
 * checkpoints (checkpoint.h): one can go on at a checkpoint. Everything is reference-counted, so what is dropped here lives on with a session that uses it.
 *
 * What it holds stays below a budget. It drops checkpoints: of kind INTERVAL before all others, and of one class the one that is worth least, by GreedyDual: what computing
 * its tokens anew from the checkpoint before it would cost, per byte that dropping it gives back, and how long ago it was used. Keys and pages that lead to no checkpoint any
 * more go with it. */
#ifndef QW_RUNTIME_PREFIX_H
#define QW_RUNTIME_PREFIX_H

#include "runtime/checkpoint.h"
#include "runtime/pages.h"

typedef struct qw_prefix qw_prefix;

typedef struct qw_prefix_options {
    size_t
        budget_bytes; /* of pages (each counted once), checkpoints and keys. Too little for one checkpoint, or 0: nothing is kept; SIZE_MAX: no limit */
} qw_prefix_options;

/* Pages that it is given have this shape. On failure *out is NULL. */
qwren_status qw_prefix_create(qw_prefix **out, const qw_page_shape *shape, const qw_prefix_options *opt, qwren_error *err);
/* Nobody may be using it. Pages and checkpoints that others hold stay. NULL is allowed. */
void qw_prefix_free(qw_prefix *p);

/* Remembers that a timeline that begins with keys [cp->length] has these pages [qw_page_count(cp->length)] and this checkpoint (cp->length >= 1, all set; in no other cache). It holds
 * what it keeps and freezes those pages up to the length: the caller is their writer or found them here, and claims again before it writes on. Of what is known
 * already it keeps its own, as the newest; of two kinds the one that stays longer. Others may be dropped to make room, never this one, unless it does not fit even alone; that
 * is no error. Fails for lack of memory only; then the cache is as it was. */
qwren_status qw_prefix_insert(qw_prefix *p, const uint64_t *keys, qw_page *const *pages, qw_checkpoint *cp, qwren_error *err);
/* Pages that a session drops may remain for the cache alone, and then count. Who has dropped some calls this: what the cache holds is within the budget again. (The next
 * insert does it too.) */
void qw_prefix_trim(qw_prefix *p);
/* Memory is short, whatever the budget says: drops what is worth least until `bytes` of it are free, or nothing is left. Returns how many are; what others hold too is dropped and
 * does not count. */
size_t qw_prefix_give_back(qw_prefix *p, size_t bytes);

/* Why a match is not longer. */
typedef enum qw_prefix_miss {
    QW_PREFIX_NONE,          /* it has all that is asked for, or all of a known timeline that goes on with new tokens now */
    QW_PREFIX_EMPTY,         /* nothing is known */
    QW_PREFIX_DIFFERS,       /* token n_common is another one than in all known timelines */
    QW_PREFIX_NO_CHECKPOINT, /* the tokens are known up to n_common, but the nearest checkpoint is at `length` */
    QW_PREFIX_EVICTED        /* a longer one was there and was dropped for lack of room, not long ago */
} qw_prefix_miss;

typedef struct qw_prefix_match {
    size_t n_common;           /* tokens that some known timeline begins with too, with a checkpoint there or not */
    size_t length;             /* where one can go on; 0: at the beginning */
    qw_checkpoint *checkpoint; /* at that length, held for the caller; NULL when length is 0 */
    qw_prefix_miss why;
} qw_prefix_match;

/* The longest checkpoint at <= most tokens (most <= n) of keys [n]; it becomes the newest. pages, with room for qw_page_count(most), gets the qw_page_count(length) pages
 * before it, each held for the caller, who drops them and the checkpoint. The positions before `length` are frozen in them. Does not fail. */
qw_prefix_match qw_prefix_find(qw_prefix *p, const uint64_t *keys, size_t n, size_t most, qw_page **pages);

typedef struct qw_prefix_stats {
    size_t bytes, budget_bytes;
    size_t n_checkpoints, n_nodes;
    size_t n_pages, n_idle_pages; /* that it holds; and of those, that nobody else holds: `bytes` has these alone */
    uint64_t hits, misses;        /* finds that gave a checkpoint, and those that gave none */
    uint64_t evictions;           /* checkpoints dropped, or not kept, for lack of room */
} qw_prefix_stats;
qw_prefix_stats qw_prefix_statistics(qw_prefix *p);

/* ---- for a copy on disk */

/* A checkpoint with all that leads to it. */
typedef struct qw_prefix_item {
    const uint64_t *keys;  /* [checkpoint->length] */
    qw_page *const *pages; /* [n_pages]; the positions before checkpoint->length are frozen */
    size_t n_pages;
    qw_checkpoint *checkpoint;
    qw_checkpoint_kind kind; /* as the cache has it: that of the checkpoint or one that stays longer */
    bool saved;
} qw_prefix_item;
/* False ends the walk. */
typedef bool (*qw_prefix_fn)(void *ctx, const qw_prefix_item *item);
/* Calls fn for every checkpoint that is there now, in the order in which they came; with unsaved_only for those without the mark below. The item is held while fn works, but the
 * cache is not locked: fn may call it, and others do; what they drop meanwhile is left out. Fails for lack of memory only (for lists), having called fn for some. */
qwren_status qw_prefix_each(qw_prefix *p, bool unsaved_only, qw_prefix_fn fn, void *ctx, qwren_error *err);
/* Marks a checkpoint, which the caller holds, as on disk already, until it is found the next time: by then its file may have gone, and if not, it has been used. Does nothing when the cache has not kept it or has dropped it. */
void qw_prefix_mark_saved(qw_prefix *p, const qw_checkpoint *cp);

#endif
