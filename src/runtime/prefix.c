/* The prefix cache (prefix.h): the tree (prefix_tree.c, prefix_prune.c) and what goes first (prefix_evict.c) under one lock. Between the sessions of a process. Tested by
 * tests/unit/test_prefix.c and test_prefix_threads.c. */
#include "runtime/prefix_tree.h"

#include "base/alloc.h"

qwren_status qw_prefix_create(qw_prefix **out, const qw_page_shape *shape, const qw_prefix_options *opt, qwren_error *err)
{
    qw_prefix *p = *out = qw_calloc(1, sizeof *p);
    if (!p)
        return qw_fail_memory(err, sizeof *p, "a prefix cache");
    p->tree.page_bytes = shape->bytes;
    p->evictor.budget = opt->budget_bytes;
    pthread_mutex_init(&p->lock, NULL);
    return QWREN_OK;
}

void qw_prefix_free(qw_prefix *p)
{
    if (!p)
        return;
    qw_prefix_tree_free(&p->tree);
    pthread_mutex_destroy(&p->lock);
    qw_free(p);
}

/* ---- putting in */

static void renew(qw_prefix_evictor *e, qw_prefix_kept *kept, qw_checkpoint_kind kind)
{
    if (kind > kept->kind)
        kept->kind = kind;
    qw_prefix_touch(e, kept);
}

static bool insert(qw_prefix *p, const uint64_t *keys, qw_page *const *pages, qw_checkpoint *cp)
{
    const qw_prefix_place place = qw_prefix_walk(&p->tree, keys, cp->length);
    qw_prefix_node *node;
    qw_prefix_kept *known = qw_prefix_nearest(place, cp->length, &node);
    if (known && known->length == cp->length) {
        renew(&p->evictor, known, cp->kind);
        return true;
    }
    const size_t bytes = cp->length * sizeof *keys + cp->bytes;
    if (bytes > p->evictor.budget) {
        uint64_t hash = 0;
        for (size_t i = 0; i < cp->length; i++)
            hash = qw_prefix_hash(hash, keys[i]);
        qw_prefix_note_dropped(&p->evictor, cp->length, hash);
        return true;
    }
    qw_prefix_kept kept = { .checkpoint = cp, .length = cp->length, .number = p->n_inserted + 1, .kind = cp->kind };
    qw_prefix_touch(&p->evictor, &kept);
    if (!qw_prefix_put(&p->tree, place, keys, pages, &kept))
        return false;
    p->n_inserted++;
    p->newest_bytes = bytes + qw_page_count(cp->length) * p->tree.page_bytes;
    qw_prefix_shrink(&p->evictor, &p->tree, kept.number);
    return true;
}

qwren_status qw_prefix_insert(qw_prefix *p, const uint64_t *keys, qw_page *const *pages, qw_checkpoint *cp, qwren_error *err)
{
    pthread_mutex_lock(&p->lock);
    const bool done = insert(p, keys, pages, cp);
    pthread_mutex_unlock(&p->lock);
    if (!done)
        return qw_fail_memory(err, cp->length * sizeof *keys, "the keys of a prefix");
    return QWREN_OK;
}

void qw_prefix_trim(qw_prefix *p)
{
    pthread_mutex_lock(&p->lock);
    qw_prefix_shrink(&p->evictor, &p->tree, p->newest_bytes <= p->evictor.budget ? p->n_inserted : 0);
    pthread_mutex_unlock(&p->lock);
}

size_t qw_prefix_give_back(qw_prefix *p, size_t bytes)
{
    pthread_mutex_lock(&p->lock);
    const size_t given = qw_prefix_free_some(&p->evictor, &p->tree, bytes);
    pthread_mutex_unlock(&p->lock);
    return given;
}

/* ---- finding */

/* See qw_prefix_miss; `hash` is that of the keys before m->length. */
static qw_prefix_miss why_not_more(const qw_prefix *p, const uint64_t *keys, size_t n, size_t most, qw_prefix_place place,
                                   const qw_prefix_match *m, uint64_t hash)
{
    const bool known_ends = place.node->parent && !place.node->n_children && place.at == qw_prefix_end(place.node);
    if (m->length == most)
        return QW_PREFIX_NONE;
    if (qw_prefix_was_dropped(&p->evictor, keys, m->length, most, hash))
        return QW_PREFIX_EVICTED;
    if (!p->tree.n_nodes)
        return QW_PREFIX_EMPTY;
    if (place.at < n && place.at < most && !known_ends)
        return QW_PREFIX_DIFFERS;
    return m->length == place.at ? QW_PREFIX_NONE : QW_PREFIX_NO_CHECKPOINT;
}

static qw_prefix_match find(qw_prefix *p, const uint64_t *keys, size_t n, size_t most, qw_page **pages)
{
    const qw_prefix_place place = qw_prefix_walk(&p->tree, keys, n);
    qw_prefix_node *node;
    qw_prefix_kept *kept = qw_prefix_nearest(place, most, &node);
    qw_prefix_match m = { .n_common = place.at };
    if (kept) {
        m.length = kept->length;
        m.checkpoint = kept->checkpoint;
        qw_checkpoint_hold(m.checkpoint);
        qw_prefix_pages(node, m.length, pages);
        for (size_t i = 0; i < qw_page_count(m.length); i++)
            qw_page_hold(pages[i]);
        qw_prefix_touch(&p->evictor, kept);
        kept->saved = false;
    }
    m.why = why_not_more(p, keys, n, most, place, &m, kept ? qw_prefix_hash_at(node, m.length) : 0);
    p->hits += kept != NULL;
    p->misses += kept == NULL;
    return m;
}

qw_prefix_match qw_prefix_find(qw_prefix *p, const uint64_t *keys, size_t n, size_t most, qw_page **pages)
{
    pthread_mutex_lock(&p->lock);
    const qw_prefix_match m = find(p, keys, n, most < n ? most : n, pages);
    pthread_mutex_unlock(&p->lock);
    return m;
}

qw_prefix_stats qw_prefix_statistics(qw_prefix *p)
{
    pthread_mutex_lock(&p->lock);
    const qw_page_account pages = qw_page_account_now(&p->tree.pages);
    const qw_prefix_stats s = { .bytes = p->tree.bytes + pages.n_idle * p->tree.page_bytes,
                                .budget_bytes = p->evictor.budget,
                                .n_checkpoints = p->tree.n_checkpoints,
                                .n_nodes = p->tree.n_nodes,
                                .n_pages = pages.n_pages,
                                .n_idle_pages = pages.n_idle,
                                .hits = p->hits,
                                .misses = p->misses,
                                .evictions = p->evictor.evictions };
    pthread_mutex_unlock(&p->lock);
    return s;
}
