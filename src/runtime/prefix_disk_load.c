/* Pieces of the prefix cache, read (prefix_disk.h). Tested by tests/unit/test_prefix_disk.c. */
#include "base/alloc.h"
#include "model/merge.h"
#include "runtime/kvcache.h"
#include "runtime/prefix_disk_parts.h"

#include <string.h>

/* A timeline that is being put together. */
typedef struct loading {
    qw_prefix_disk *d;
    qw_prefix *p;
    const uint64_t *keys;
    size_t most;            /* tokens that are wanted */
    qw_page **pages;        /* [n_pages] held; those that `d` writes are new */
    size_t n_pages, filled; /* the second: positions */
    bool *is_new;           /* [pages that there will be] */
    qw_checkpoint *checkpoint;
} loading;

/* Page i, which holds the positions before `at`, becomes one that may be written from there on. */
static qwren_status make_page(loading *l, size_t i, size_t at, qwren_error *err)
{
    qw_page *page;
    if (l->is_new[i])
        return QWREN_OK;
    QW_TRY(qw_kvcache_take(&page, &l->d->format.pages, at ? l->pages[i] : NULL, at, l->p, l->d, err));
    if (i < l->n_pages)
        qw_page_drop(l->pages[i], l->d);
    else
        l->n_pages = i + 1;
    l->pages[i] = page;
    l->is_new[i] = true;
    return QWREN_OK;
}

static qwren_status load_pages(loading *l, const qw_store *s, const qw_store_block *b, size_t end, qwren_error *err)
{
    if (!qw_saved_is_sound(b, &l->d->format) || b->info[0] > l->filled || b->info[1] > end)
        return QWREN_E_FORMAT;
    if (b->info[1] <= l->filled)
        return QWREN_OK;
    const size_t i = (size_t)b->info[0] / QW_KV_PAGE;
    QW_TRY(make_page(l, i, (size_t)b->info[0] % QW_KV_PAGE, err));
    QW_TRY(qw_saved_get_pages(s, b, &l->d->format, l->pages[i], err));
    l->filled = (size_t)b->info[1];
    return QWREN_OK;
}

/* Names are but checksums: the tokens themselves must be equal. */
static qwren_status check_tokens(const loading *l, const qw_store *s, const qw_store_block *b, const qw_piece *piece, qwren_error *err)
{
    if (!qw_saved_is_sound(b, NULL) || b->info[0] != piece->begin || b->info[1] != piece->end)
        return QWREN_E_FORMAT;
    const size_t n = piece->end - piece->begin;
    uint64_t *keys = qw_alloc_array(n, sizeof *keys);
    if (!keys)
        return qw_fail_memory(err, n * sizeof *keys, "the tokens of a cached prefix");
    qwren_status st = qw_saved_get_tokens(s, b, keys, err);
    if (st == QWREN_OK && memcmp(keys, l->keys + piece->begin, n * sizeof *keys) != 0)
        st = QWREN_E_FORMAT;
    qw_free(keys);
    return st;
}

/* Each token of text takes a rotary position, and those of a picture together at least one and no more than they are. In the middle of a
 * picture the next position is still where it began. */
static bool is_plausible(const uint64_t *keys, const qw_checkpoint *cp)
{
    size_t n_text = 0;
    for (size_t i = 0; i < cp->length; i++)
        n_text += !(keys[i] & QW_PICTURE_KEY);
    const bool ends_inside = cp->length && keys[cp->length - 1] & QW_PICTURE_KEY;
    const size_t least = n_text + (n_text < cp->length && !ends_inside);
    return cp->next_pos >= 0 && (size_t)cp->next_pos >= least && (size_t)cp->next_pos <= cp->length;
}

static qwren_status load_state(loading *l, const qw_store *s, const qw_store_block *b, size_t end, qwren_error *err)
{
    if (!qw_saved_is_sound(b, &l->d->format) || b->info[0] != end || l->checkpoint)
        return QWREN_E_FORMAT;
    QW_TRY(qw_saved_get_state(s, b, &l->d->format, &l->checkpoint, err));
    return is_plausible(l->keys, l->checkpoint) ? QWREN_OK : QWREN_E_FORMAT;
}

static qwren_status load_blocks(loading *l, qw_store *s, const qw_piece *piece, bool with_state, qwren_error *err)
{
    qw_store_block b;
    bool has_tokens = false;
    while (qw_store_next(s, &b)) {
        if (b.tag == QW_SAVED_TOKENS) {
            QW_TRY(check_tokens(l, s, &b, piece, err));
            has_tokens = true;
        } else if (b.tag == QW_SAVED_PAGES)
            QW_TRY(load_pages(l, s, &b, piece->end, err));
        else if (b.tag == QW_SAVED_STATE && with_state)
            QW_TRY(load_state(l, s, &b, piece->end, err));
    }
    QW_TRY(qw_store_ended(s, err));
    return has_tokens && l->filled >= piece->end && (!with_state || l->checkpoint) ? QWREN_OK : QWREN_E_FORMAT;
}

static qwren_status load_piece(loading *l, const qw_piece *piece, bool with_state, qwren_error *err)
{
    qw_store *s;
    char *path = qw_prefix_index_path(&l->d->index, piece->id);
    qwren_status st = path ? qw_store_open(&s, path, QW_PIECE_KIND, err) : qw_fail_memory(err, 1, "a path");
    qw_free(path);
    if (st != QWREN_OK)
        return st;
    st = qw_store_expect(s, &l->d->index.head, err);
    if (st == QWREN_OK)
        st = load_blocks(l, s, piece, with_state, err);
    qw_store_close(s);
    return st;
}

/* All that leads to a checkpoint; *bad is the piece that stood in the way. */
static qwren_status load_chain(loading *l, const qw_piece *chain, size_t n, size_t *bad, qwren_error *err)
{
    l->is_new = qw_calloc(qw_page_count(chain[n - 1].end), sizeof *l->is_new);
    if (!l->is_new)
        return qw_fail_memory(err, qw_page_count(chain[n - 1].end), "a cached prefix");
    for (*bad = 0; *bad < n; ++*bad)
        QW_TRY(load_piece(l, &chain[*bad], *bad == n - 1, err));
    return QWREN_OK;
}

/* Nobody writes the pages any more: whoever wants to go on may claim the last one. */
static void let_go(loading *l)
{
    for (size_t i = 0; l->is_new && i < l->n_pages; i++)
        if (l->is_new[i]) {
            qw_page_hold(l->pages[i]);
            qw_page_drop(l->pages[i], l->d);
        }
    qw_free(l->is_new);
}

static void give_back(loading *l, qw_prefix_match *m)
{
    let_go(l);
    for (size_t i = 0; i < l->n_pages; i++)
        qw_page_drop(l->pages[i], NULL);
    qw_checkpoint_drop(l->checkpoint);
    qw_checkpoint_drop(m->checkpoint);
    *m = (qw_prefix_match){ 0 };
}

/* Why a timeline that goes on behind `piece` is not known any further; `m` is what the cache knew of it. */
static qw_prefix_miss why_not_more(const loading *l, const qw_prefix_match *m, const qw_piece *piece)
{
    qw_prefix_disk *d = l->d;
    if (piece->end == l->most)
        return QW_PREFIX_NONE;
    if (m->n_common > piece->end || (m->n_common == piece->end && m->why == QW_PREFIX_DIFFERS))
        return m->why;
    pthread_mutex_lock(&d->lock);
    const bool others = qw_prefix_index_goes_on(&d->index, piece->id);
    pthread_mutex_unlock(&d->lock);
    return others ? QW_PREFIX_DIFFERS : QW_PREFIX_NONE;
}

/* What was loaded becomes the cache's, which may have no room for it; the caller gets it all the same. */
static qw_prefix_match hand_over(loading *l, const qw_prefix_match *before, const qw_piece *piece)
{
    qw_prefix_match m = { .n_common = before->n_common > piece->end ? before->n_common : piece->end,
                          .length = piece->end,
                          .checkpoint = l->checkpoint,
                          .why = why_not_more(l, before, piece) };
    if (qw_prefix_insert(l->p, l->keys, l->pages, l->checkpoint, NULL) == QWREN_OK)
        qw_prefix_mark_saved(l->p, l->checkpoint);
    let_go(l);
    return m;
}

/* What cannot be used is as if it were not there; a file that is not what it claims is removed. */
static void leave_out(qw_prefix_disk *d, const qw_piece *piece, bool damaged)
{
    pthread_mutex_lock(&d->lock);
    if (damaged)
        qw_prefix_index_remove(&d->index, piece->id);
    else
        qw_prefix_index_forget(&d->index, piece->id);
    pthread_mutex_unlock(&d->lock);
}

qwren_status qw_prefix_disk_extend(qw_prefix_disk *d, qw_prefix *p, const uint64_t *keys, size_t most, qw_prefix_match *m, qw_page **pages,
                                   const qw_piece *chain, size_t n)
{
    loading l = { .d = d, .p = p, .keys = keys, .most = most, .pages = pages, .n_pages = qw_page_count(m->length), .filled = m->length };
    qwren_error ignored;
    size_t bad = 0;
    const qwren_status st = load_chain(&l, chain, n, &bad, &ignored);
    if (st == QWREN_OK) {
        qw_checkpoint_drop(m->checkpoint);
        *m = hand_over(&l, m, &chain[n - 1]);
    } else {
        give_back(&l, m);
        if (st != QWREN_E_MEMORY)
            leave_out(d, &chain[bad], st == QWREN_E_FORMAT);
    }
    return st;
}
