/* Pieces of the prefix cache, read and written (prefix_disk.h); prefix_index.c knows the folder. A file is put in place by renaming and
 * not forced to the disk first: after a power cut it may be
 * damaged, which its checksums tell, and the tokens are computed again. Tested by tests/unit/test_prefix_disk.c. */
#include "runtime/prefix_disk.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "model/merge.h"
#include "runtime/prefix_index.h"

#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

struct qw_prefix_disk {
    pthread_mutex_t lock; /* of the index and the counters; not held while pieces are read or written */
    qw_prefix_index index;
    qw_saved_format format;
    uint64_t budget;
    uint64_t loads, saves, n_temporary;
};

qwren_status qw_prefix_disk_open(qw_prefix_disk **out, const char *dir, const qw_store_head *head, const qw_saved_format *f,
                                 uint64_t budget_bytes, qwren_error *err)
{
    *out = NULL;
    qw_prefix_disk *d = qw_calloc(1, sizeof *d);
    if (!d)
        return qw_fail_memory(err, sizeof *d, "a cache of prefixes on disk");
    d->format = *f;
    d->budget = budget_bytes;
    const qwren_status st = qw_prefix_index_init(&d->index, dir, head, err);
    if (st != QWREN_OK) {
        qw_free(d);
        return st;
    }
    pthread_mutex_init(&d->lock, NULL);
    qw_prefix_index_shrink(&d->index, budget_bytes);
    *out = d;
    return QWREN_OK;
}

void qw_prefix_disk_close(qw_prefix_disk *d)
{
    if (!d)
        return;
    qw_prefix_index_deinit(&d->index);
    pthread_mutex_destroy(&d->lock);
    qw_free(d);
}

qw_prefix_disk_stats qw_prefix_disk_statistics(qw_prefix_disk *d)
{
    pthread_mutex_lock(&d->lock);
    qw_prefix_disk_stats s = { .bytes = d->index.bytes, .loads = d->loads, .saves = d->saves };
    for (size_t i = 0; i < d->index.n; i++)
        s.n_files += d->index.at[i].ours;
    pthread_mutex_unlock(&d->lock);
    return s;
}

/* ---- reading */

/* A timeline that is being put together. */
typedef struct loading {
    qw_prefix_disk *d;
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
    if (at)
        QW_TRY(qw_page_copy(&page, l->pages[i], at, l->d, err));
    else
        QW_TRY(qw_page_take(&page, &l->d->format.pages, l->d, err));
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

/* Each token of text takes a rotary position, and those of a picture together at least one and no more than they are. */
static bool is_plausible(const uint64_t *keys, const qw_checkpoint *cp)
{
    size_t n_text = 0;
    for (size_t i = 0; i < cp->length; i++)
        n_text += !(keys[i] & QW_PICTURE_KEY);
    const size_t least = n_text + (n_text < cp->length);
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
static qw_prefix_match hand_over(loading *l, qw_prefix *p, const qw_prefix_match *before, const qw_piece *piece)
{
    qw_prefix_match m = { .n_common = before->n_common > piece->end ? before->n_common : piece->end,
                          .length = piece->end,
                          .checkpoint = l->checkpoint,
                          .why = why_not_more(l, before, piece) };
    if (qw_prefix_insert(p, l->keys, l->pages, l->checkpoint, NULL) == QWREN_OK)
        qw_prefix_mark_saved(p, l->checkpoint);
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

/* One try to go on from `m`, which the cache gave. After a failure `m` is void. */
static qwren_status extend(qw_prefix_disk *d, qw_prefix *p, const uint64_t *keys, size_t most, qw_prefix_match *m, qw_page **pages,
                           const qw_piece *chain, size_t n)
{
    loading l = { .d = d, .keys = keys, .most = most, .pages = pages, .n_pages = qw_page_count(m->length), .filled = m->length };
    qwren_error ignored;
    size_t bad = 0;
    const qwren_status st = load_chain(&l, chain, n, &bad, &ignored);
    if (st == QWREN_OK) {
        qw_checkpoint_drop(m->checkpoint);
        *m = hand_over(&l, p, m, &chain[n - 1]);
    } else {
        give_back(&l, m);
        if (st != QWREN_E_MEMORY)
            leave_out(d, &chain[bad], st == QWREN_E_FORMAT);
    }
    return st;
}

/* Once for each look-up: what cannot be used is forgotten, and another look at the folder brings it back. */
static qwren_status refresh(qw_prefix_disk *d, qwren_error *err)
{
    pthread_mutex_lock(&d->lock);
    const qwren_status st = qw_prefix_index_refresh(&d->index, err);
    pthread_mutex_unlock(&d->lock);
    return st;
}

/* Pieces that go on behind `known` tokens. */
static qw_piece *find_chain(qw_prefix_disk *d, const uint64_t *keys, size_t known, size_t most, size_t *n)
{
    qw_piece *chain = NULL;
    *n = 0;
    pthread_mutex_lock(&d->lock);
    qw_prefix_index_chain(&d->index, keys, known, most, &chain, n, NULL);
    pthread_mutex_unlock(&d->lock);
    return chain;
}

/* The longest first, so that what leads to others is never older than they are. */
static void renew(const qw_prefix_disk *d, const qw_piece *chain, size_t n)
{
    for (size_t i = n; i-- > 0;)
        qw_prefix_index_renew(&d->index, chain[i].id);
}

static void count_loads(qw_prefix_disk *d, size_t n)
{
    pthread_mutex_lock(&d->lock);
    d->loads += n;
    pthread_mutex_unlock(&d->lock);
}

qw_prefix_match qw_prefix_disk_find(qw_prefix_disk *d, qw_prefix *p, const uint64_t *keys, size_t n, size_t most, qw_page **pages,
                                    size_t *loaded)
{
    bool looks = refresh(d, NULL) == QWREN_OK;
    if (loaded)
        *loaded = 0;
    for (;;) {
        size_t n_chain;
        qw_prefix_match m = qw_prefix_find(p, keys, n, most, pages);
        qw_piece *chain = looks ? find_chain(d, keys, m.length, most, &n_chain) : NULL;
        if (!chain)
            return m;
        const size_t known = m.length;
        const qwren_status st = extend(d, p, keys, most, &m, pages, chain, n_chain);
        if (st == QWREN_OK) {
            renew(d, chain, n_chain);
            count_loads(d, n_chain);
            if (loaded)
                *loaded = m.length - known;
        }
        qw_free(chain);
        if (st == QWREN_OK)
            return m;
        looks = st != QWREN_E_MEMORY;
    }
}

/* ---- writing */

typedef struct saving {
    qw_prefix_disk *d;
    qw_prefix *p;
    uint64_t written;
    qwren_status st;
    qwren_error *err;
} saving;

static qwren_status write_blocks(qw_store *s, const qw_saved_format *f, const qw_prefix_item *item, const qw_piece *piece, qwren_error *err)
{
    qw_piece_names names = { piece->parent, piece->id };
    const uint64_t range[3] = { piece->begin, piece->end };
    QW_TRY(qw_store_put(s, QW_PIECE_TAG, range, &(qw_store_part){ &names, sizeof names }, 1, err));
    QW_TRY(qw_saved_put_tokens(s, item->keys, piece->begin, piece->end, err));
    QW_TRY(qw_saved_put_pages(s, f, item->pages, piece->begin, piece->end, err));
    return qw_saved_put_state(s, item->checkpoint, err);
}

/* A name that no other thread or process uses. */
static char *temporary_path(qw_prefix_disk *d, const char *path, qwren_error *err)
{
    qw_buf b = QW_BUF_INIT;
    char *out = NULL;
    pthread_mutex_lock(&d->lock);
    const uint64_t number = d->n_temporary++;
    pthread_mutex_unlock(&d->lock);
    qw_buf_printf(&b, "%s.tmp-%ld-%llx-%llu", path, (long)getpid(), (unsigned long long)(uintptr_t)d, (unsigned long long)number);
    qw_buf_take(&b, &out, NULL, err);
    return out;
}

static qwren_status write_file(qw_prefix_disk *d, const qw_prefix_item *item, const char *temporary, const char *path, qw_piece *piece,
                               qwren_error *err)
{
    qw_store *s;
    unlink(temporary); /* of a process of this name that died */
    qwren_status st = qw_store_edit(&s, temporary, &d->index.head, err);
    if (st == QWREN_OK) {
        st = write_blocks(s, &d->format, item, piece, err);
        piece->bytes = qw_store_bytes(s);
        qw_store_close(s);
    }
    if (st == QWREN_OK && rename(temporary, path) != 0)
        st = qw_fail(err, QWREN_E_IO, "%s: cannot be put in place: %s", path, strerror(errno));
    if (st != QWREN_OK)
        unlink(temporary);
    return st;
}

static qwren_status write_piece(qw_prefix_disk *d, const qw_prefix_item *item, qw_piece *piece, qwren_error *err)
{
    char *path = qw_prefix_index_path(&d->index, piece->id), *temporary = path ? temporary_path(d, path, err) : NULL;
    const qwren_status st = temporary ? write_file(d, item, temporary, path, piece, err) : qw_fail_memory(err, 1, "a path");
    qw_free(path);
    qw_free(temporary);
    return st;
}

/* Where a piece that ends with the checkpoint begins: behind the longest one that is there. *chain leads to that. */
static qwren_status plan_piece(qw_prefix_disk *d, const qw_prefix_item *item, qw_piece *piece, bool *there, qw_piece **chain,
                               size_t *n_chain, qwren_error *err)
{
    qw_piece_hash h;
    const size_t length = item->checkpoint->length;
    qw_piece_hash_begin(&h, d->index.head.key);
    pthread_mutex_lock(&d->lock);
    qwren_status st = qw_prefix_index_chain(&d->index, item->keys, 0, length - 1, chain, n_chain, err);
    *piece = (qw_piece){ .begin = *n_chain ? (*chain)[*n_chain - 1].end : 0, .end = length, .ours = true };
    if (piece->begin)
        piece->parent = (*chain)[*n_chain - 1].id;
    piece->id = qw_piece_hash_to(&h, item->keys, length);
    *there = qw_prefix_index_find(&d->index, piece->id) != NULL;
    pthread_mutex_unlock(&d->lock);
    return st;
}

static qwren_status keep_piece(saving *w, const qw_piece *piece, qwren_error *err)
{
    qw_prefix_disk *d = w->d;
    w->written += piece->bytes;
    pthread_mutex_lock(&d->lock);
    d->saves++;
    const qwren_status st = qw_prefix_index_add(&d->index, piece, err);
    pthread_mutex_unlock(&d->lock);
    return st;
}

/* Too large for the folder as it may be: it would be the first to go. */
static bool fits(const qw_prefix_disk *d, const qw_prefix_item *item, const qw_piece *piece)
{
    const uint64_t pages = qw_page_count(piece->end) - piece->begin / QW_KV_PAGE;
    return pages * d->format.pages.bytes + item->checkpoint->bytes <= d->budget || d->budget == UINT64_MAX;
}

static qwren_status save_item(saving *w, const qw_prefix_item *item, qwren_error *err)
{
    qw_piece piece, *chain = NULL;
    size_t n_chain = 0;
    bool there = false;
    qwren_status st = plan_piece(w->d, item, &piece, &there, &chain, &n_chain, err);
    const bool wanted = st == QWREN_OK && !there && fits(w->d, item, &piece);
    if (wanted)
        st = write_piece(w->d, item, &piece, err);
    if (wanted && st == QWREN_OK)
        st = keep_piece(w, &piece, err);
    if (there) /* it was used, in memory alone */
        qw_prefix_index_renew(&w->d->index, piece.id);
    if (there || (wanted && st == QWREN_OK))
        renew(w->d, chain, n_chain);
    if (st == QWREN_OK)
        qw_prefix_mark_saved(w->p, item->checkpoint);
    qw_free(chain);
    return st;
}

/* A timeline that nobody will have again: it was moved in a window, or stretched. */
static bool is_singular(const qw_prefix_item *item)
{
    for (size_t i = 0; i < item->checkpoint->length; i++)
        if ((item->keys[i] & (QW_PICTURE_KEY | QW_NO_ID)) == QW_NO_ID)
            return true;
    return false;
}

static bool save_one(void *ctx, const qw_prefix_item *item)
{
    saving *w = ctx;
    if (item->kind != QW_CHECKPOINT_INTERVAL && !is_singular(item))
        w->st = save_item(w, item, w->err);
    return w->st == QWREN_OK;
}

qwren_status qw_prefix_disk_save(qw_prefix_disk *d, qw_prefix *p, uint64_t *written, qwren_error *err)
{
    saving w = { .d = d, .p = p, .err = err };
    qwren_status st = refresh(d, err);
    if (st == QWREN_OK)
        st = qw_prefix_each(p, true, save_one, &w, err);
    if (st == QWREN_OK)
        st = w.st;
    pthread_mutex_lock(&d->lock);
    qw_prefix_index_shrink(&d->index, d->budget);
    pthread_mutex_unlock(&d->lock);
    if (written)
        *written = w.written;
    return st;
}
