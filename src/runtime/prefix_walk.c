/* The prefix cache's walk over all that it has (prefix.h), for a copy on disk. Tested by tests/unit/test_prefix.c and test_prefix_threads.c. */
#include "runtime/prefix_tree.h"

#include "base/alloc.h"

#include <stdlib.h>

/* A checkpoint that the walk will come to, held until then. */
typedef struct stop {
    qw_checkpoint *checkpoint;
    uint64_t number;
} stop;

static int by_number(const void *a, const void *b)
{
    const stop *x = a, *y = b;
    return (x->number > y->number) - (x->number < y->number);
}

/* All that the cache has now, in the order in which they came; NULL: no memory. */
static stop *list_stops(const qw_prefix *p, bool unsaved_only, size_t *n)
{
    stop *stops = qw_alloc_array(p->tree.n_checkpoints, sizeof *stops);
    *n = 0;
    for (const qw_prefix_node *node = p->tree.root.next; stops && node; node = node->next)
        for (size_t i = 0; i < node->n_kept; i++) {
            const qw_prefix_kept *kept = &node->kept[i];
            if (unsaved_only && kept->saved)
                continue;
            qw_checkpoint_hold(kept->checkpoint);
            stops[(*n)++] = (stop){ kept->checkpoint, kept->number };
        }
    if (stops)
        qsort(stops, *n, sizeof *stops, by_number);
    return stops;
}

/* An item in arrays of its own. */
typedef struct held_item {
    qw_prefix_item item;
    uint64_t *keys;
    qw_page **pages;
} held_item;

static qwren_status take_arrays(held_item *h, size_t length, qwren_error *err)
{
    h->keys = qw_alloc_array(length, sizeof *h->keys);
    h->pages = qw_alloc_array(qw_page_count(length), sizeof *h->pages);
    return h->keys && h->pages ? QWREN_OK : qw_fail_memory(err, length * sizeof *h->keys, "the keys of a prefix");
}

/* What leads to the checkpoint, its pages held; n_pages stays 0 when the cache has dropped it. There are arrays. */
static void hold_item(held_item *h, qw_prefix *p, qw_checkpoint *cp)
{
    pthread_mutex_lock(&p->lock);
    if (cp->place) {
        const qw_prefix_kept *kept = qw_prefix_kept_at(cp->place, cp->length);
        h->item = (qw_prefix_item){ .keys = h->keys,
                                    .pages = h->pages,
                                    .n_pages = qw_page_count(cp->length),
                                    .checkpoint = cp,
                                    .kind = kept->kind,
                                    .saved = kept->saved };
        qw_prefix_keys(cp->place, cp->length, h->keys);
        qw_prefix_pages(cp->place, cp->length, h->pages);
        for (size_t i = 0; i < h->item.n_pages; i++)
            qw_page_hold(h->pages[i]);
    }
    pthread_mutex_unlock(&p->lock);
}

/* *on: whether the walk goes on. */
static qwren_status visit(qw_prefix *p, qw_checkpoint *cp, qw_prefix_fn fn, void *ctx, bool *on, qwren_error *err)
{
    held_item h = { 0 };
    const qwren_status st = take_arrays(&h, cp->length, err);
    if (st == QWREN_OK)
        hold_item(&h, p, cp);
    *on = st == QWREN_OK && (!h.item.n_pages || fn(ctx, &h.item));
    for (size_t i = 0; i < h.item.n_pages; i++)
        qw_page_drop(h.pages[i], NULL);
    qw_free(h.keys);
    qw_free(h.pages);
    return st;
}

qwren_status qw_prefix_each(qw_prefix *p, bool unsaved_only, qw_prefix_fn fn, void *ctx, qwren_error *err)
{
    qwren_status st = QWREN_OK;
    size_t n;
    pthread_mutex_lock(&p->lock);
    stop *stops = list_stops(p, unsaved_only, &n);
    pthread_mutex_unlock(&p->lock);
    if (!stops)
        return qw_fail_memory(err, sizeof *stops, "a list of prefixes");
    bool on = true;
    for (size_t i = 0; i < n; i++) {
        if (on)
            st = visit(p, stops[i].checkpoint, fn, ctx, &on, err);
        qw_checkpoint_drop(stops[i].checkpoint);
    }
    qw_free(stops);
    return st;
}

void qw_prefix_mark_saved(qw_prefix *p, const qw_checkpoint *cp)
{
    pthread_mutex_lock(&p->lock);
    if (cp->place)
        qw_prefix_kept_at(cp->place, cp->length)->saved = true;
    pthread_mutex_unlock(&p->lock);
}
