/* Which checkpoints the prefix cache drops, and what it remembers of them. Tested by tests/unit/test_prefix_evict.c.
 *
 * GreedyDual-Size (Cao and Irani, "Cost-Aware WWW Proxy Caching Algorithms", USITS 1997): what is kept has the worth clock + cost / size. The least worthy goes, and the clock
 * is set to its worth: so what is not used falls behind what comes later, the sooner the cheaper it is to make anew. Here the cost is the tokens between a checkpoint and the one
 * before it, and the size what dropping it gives back. Both change with the checkpoints around it, so only the clock is kept and the rest is computed
 * when something must go: one walk over all checkpoints, of which there are as many as the budget has room for.
 *
 * Pages that sessions hold too are no part of it: they would be there without the cache. So the checkpoints of a long timeline at work cost no more than those of a short one. */
#include "runtime/prefix_tree.h"

#include <stdatomic.h>

static size_t class_of(qw_checkpoint_kind kind) { return kind == QW_CHECKPOINT_INTERVAL ? 0 : 1; }

void qw_prefix_touch(qw_prefix_evictor *e, qw_prefix_kept *kept)
{
    kept->clock = e->clock[class_of(kept->kind)];
    kept->used = ++e->n_used;
}

/* Whether the run behind the checkpoint before the i-th one of the node leads to that one alone. */
static bool leads_there_alone(const qw_prefix_node *node, size_t i) { return !node->n_children && i + 1 == node->n_kept; }

static size_t end_before(const qw_prefix_node *node, size_t i) { return i ? node->kept[i - 1].length : node->begin; }

/* Pages that nobody holds any more when the i-th checkpoint of the node goes. */
static size_t lonely_pages(const qw_prefix_node *node, size_t i)
{
    size_t n = 0;
    if (leads_there_alone(node, i))
        for (size_t k = i ? qw_page_count(end_before(node, i)) - node->begin / QW_KV_PAGE : 0; k < node->n_pages; k++)
            n += qw_page_lonely(node->pages[k]);
    return n;
}

/* Bytes that the tree gives back when it goes. */
static size_t gives_back(const qw_prefix_tree *t, const qw_prefix_node *node, size_t i)
{
    const size_t n_keys = leads_there_alone(node, i) ? qw_prefix_end(node) - end_before(node, i) : 0;
    return node->kept[i].checkpoint->bytes + lonely_pages(node, i) * t->page_bytes + n_keys * sizeof *node->keys;
}

typedef struct victim {
    qw_prefix_node *node;
    qw_prefix_kept *kept; /* NULL: none */
    size_t class;
    double worth;
} victim;

static bool goes_before(const victim *a, const victim *b)
{
    if (!b->kept || a->class != b->class)
        return !b->kept || a->class < b->class;
    return a->worth < b->worth || (a->worth == b->worth && a->kept->used < b->kept->used);
}

/* The length of the last checkpoint on the way before the node's run. */
static size_t last_before(const qw_prefix_node *node)
{
    while (node->parent && !node->parent->n_kept)
        node = node->parent;
    return node->parent ? node->parent->kept[node->parent->n_kept - 1].length : 0;
}

/* The checkpoint that is worth least of all but the one with this number. */
static victim least_worthy(qw_prefix_tree *t, uint64_t spared)
{
    victim least = { 0 };
    for (qw_prefix_node *node = t->root.next; node; node = node->next) {
        for (size_t i = 0, last = last_before(node); i < node->n_kept; last = node->kept[i++].length) {
            qw_prefix_kept *kept = &node->kept[i];
            const double worth = kept->clock + (double)(kept->length - last) / (double)gives_back(t, node, i);
            const victim this = { node, kept, class_of(kept->kind), worth };
            if (kept->number != spared && goes_before(&this, &least))
                least = this;
        }
    }
    return least;
}

static void drop(qw_prefix_evictor *e, qw_prefix_tree *t, const victim *v)
{
    if (v->worth > e->clock[v->class])
        e->clock[v->class] = v->worth;
    qw_prefix_note_dropped(e, v->kept->length, qw_prefix_hash_at(v->node, v->kept->length));
    qw_prefix_take(t, v->node, v->kept);
}

void qw_prefix_shrink(qw_prefix_evictor *e, qw_prefix_tree *t, uint64_t spared)
{
    while (t->n_checkpoints && qw_prefix_tree_bytes(t) > e->budget) {
        victim v = least_worthy(t, spared);
        if (!v.kept)
            v = least_worthy(t, 0);
        drop(e, t, &v);
    }
}

/* Bytes of memory that are free when it is dropped: keys do not count, for their array stays as long as it was, nor a checkpoint that somebody is looking at. */
static size_t frees(const qw_prefix_tree *t, const victim *v)
{
    const size_t i = (size_t)(v->kept - v->node->kept);
    const bool shared = atomic_load(&v->kept->checkpoint->refs) > 1;
    return lonely_pages(v->node, i) * t->page_bytes + (shared ? 0 : v->kept->checkpoint->bytes);
}

size_t qw_prefix_free_some(qw_prefix_evictor *e, qw_prefix_tree *t, size_t bytes)
{
    size_t freed = 0;
    while (t->n_checkpoints && freed < bytes) {
        const victim v = least_worthy(t, 0);
        freed += frees(t, &v);
        drop(e, t, &v);
    }
    return freed;
}

/* ---- what was dropped */

void qw_prefix_note_dropped(qw_prefix_evictor *e, size_t length, uint64_t hash)
{
    e->dropped[e->n_dropped % QW_PREFIX_DROPPED].length = length;
    e->dropped[e->n_dropped % QW_PREFIX_DROPPED].hash = hash;
    e->n_dropped++;
    e->evictions++;
}

/* Hashes all keys once, and looks among those that were dropped at this length. */
bool qw_prefix_was_dropped(const qw_prefix_evictor *e, const uint64_t *keys, size_t from, size_t most, uint64_t hash)
{
    const size_t n = e->n_dropped < QW_PREFIX_DROPPED ? e->n_dropped : QW_PREFIX_DROPPED;
    for (size_t at = from, next; at < most; at = next) {
        next = most + 1;
        for (size_t i = 0; i < n; i++) /* the nearest length at which one was dropped */
            if (e->dropped[i].length > at && e->dropped[i].length < next)
                next = e->dropped[i].length;
        if (next > most)
            return false;
        for (size_t i = at; i < next; i++)
            hash = qw_prefix_hash(hash, keys[i]);
        for (size_t i = 0; i < n; i++)
            if (e->dropped[i].length == next && e->dropped[i].hash == hash)
                return true;
    }
    return false;
}
