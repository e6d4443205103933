/* Pieces of the prefix cache, written (prefix_disk.h). A file is put in place by renaming and not forced to the disk first: after a power
 * cut it may be damaged, which its checksums tell, and the tokens are computed again. Tested by tests/unit/test_prefix_disk.c. */
#include "base/alloc.h"
#include "base/buf.h"
#include "model/merge.h"
#include "runtime/prefix_disk_parts.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

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
        qw_prefix_disk_renew(w->d, chain, n_chain);
    if (st == QWREN_OK)
        qw_prefix_mark_saved(w->p, item->checkpoint);
    qw_free(chain);
    return st;
}

static bool save_one(void *ctx, const qw_prefix_item *item)
{
    saving *w = ctx;
    if (item->kind != QW_CHECKPOINT_INTERVAL && !qw_keys_are_singular(item->keys, item->checkpoint->length))
        w->st = save_item(w, item, w->err);
    return w->st == QWREN_OK;
}

qwren_status qw_prefix_disk_save(qw_prefix_disk *d, qw_prefix *p, uint64_t *written, qwren_error *err)
{
    saving w = { .d = d, .p = p, .err = err };
    qwren_status st = qw_prefix_disk_refresh(d, err);
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
