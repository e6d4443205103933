/* Session files read (saved.h); saved_write.c writes them. Tested by tests/unit/test_saved.c and tests/fuzz/fuzz_store.c. */
#include "runtime/saved.h"

#include "base/alloc.h"
#include "runtime/saved_log.h"

#include <string.h>

/* Each place that turns out to be damaged has all before it gone through and read again. A region of a disk gives few of them, for the first
 * damaged block of a kind cuts off the others; more is somebody's intent. */
#define MOST_CUTS 16

/* ---- reading what counts */

static qwren_status read_places(int32_t *starts, const qw_store *s, const qw_saved_log *log, size_t *bad, qwren_error *err)
{
    for (size_t i = 0; i < log->n; i++) {
        const qw_store_block *b = &log->blocks[i];
        if (!log->live[i] || b->tag != QW_SAVED_PLACES)
            continue;
        *bad = i;
        QW_TRY(qw_saved_get_places(s, b, starts + b->info[0], err));
    }
    return QWREN_OK;
}

static qwren_status take_places(int32_t **starts, const qw_store *s, const qw_saved_log *log, size_t *bad, qwren_error *err)
{
    const size_t n = qw_saved_log_room(log);
    *starts = qw_alloc_array(n, sizeof **starts);
    if (!*starts)
        return qw_fail_memory(err, n * sizeof **starts, "the positions of a session");
    return read_places(*starts, s, log, bad, err);
}

static qwren_status fail_empty(const qw_store *s, qwren_error *err)
{
    return qw_fail(err, QWREN_E_FORMAT, "%s: holds no complete session: its first saving was interrupted, or it is damaged",
                   qw_store_path(s));
}

static qwren_status fail_damaged(const qw_store *s, qwren_error *err)
{
    return qw_fail(err, QWREN_E_FORMAT,
                   "%s: is damaged in more than %d places, and is not looked through any further; delete it, or take a copy of it",
                   qw_store_path(s), MOST_CUTS);
}

/* ---- a session */

static qwren_status take_page(qw_saved *t, const qw_store *s, const qw_store_block *b, const qw_saved_format *f, const qw_saved_reader *r,
                              qwren_error *err)
{
    qw_page **page = &t->pages[b->info[0] / QW_KV_PAGE];
    if (!*page)
        QW_TRY(qw_kvcache_take(page, &f->pages, NULL, 0, r->prefix, r->writer, err));
    return qw_saved_get_pages(s, b, f, *page, err);
}

/* Checkpoints stay in the order of their lengths. That of the end is needed; who does without another computes more when he goes back. */
static qwren_status take_state(qw_saved *t, const qw_store *s, const qw_store_block *b, const qw_saved_format *f, const qw_saved_reader *r,
                               qwren_error *err)
{
    qw_checkpoint *cp;
    const bool needed = b->info[0] == t->n;
    const size_t bytes = qw_checkpoint_bytes(f->config);
    if (!qw_kvcache_has_memory(needed ? r->prefix : NULL, bytes))
        return needed ? qw_fail_memory(err, bytes, "the states of a session") : QWREN_OK;
    QW_TRY(qw_saved_get_state(s, b, f, &cp, err));
    size_t at = t->n_checkpoints++;
    for (; at > 0 && t->checkpoints[at - 1]->length > cp->length; at--)
        t->checkpoints[at] = t->checkpoints[at - 1];
    t->checkpoints[at] = cp;
    return QWREN_OK;
}

static qwren_status take_lists(qw_saved *t, const qw_saved_log *log, qwren_error *err)
{
    t->pages = qw_calloc(qw_page_count(t->n), sizeof *t->pages);
    t->checkpoints = qw_calloc(log->n, sizeof *t->checkpoints);
    return t->pages && t->checkpoints ? QWREN_OK : qw_fail_memory(err, log->n * sizeof *t->checkpoints, "a session");
}

static qwren_status check_room(const qw_store *s, const qw_saved_log *log, const qw_saved_reader *r, qwren_error *err)
{
    if (log->tokens <= r->most)
        return QWREN_OK;
    return qw_fail(err, QWREN_E_LIMIT,
                   "%s: holds %zu tokens, and the session has room for %zu: make it larger (n_ctx; --ctx of the program)", qw_store_path(s),
                   log->tokens, r->most);
}

/* Pages that only voided tokens stand on are left out, and checkpoints that are too many. */
static qwren_status take_all(qw_saved *t, const qw_store *s, const qw_saved_log *log, const qw_saved_format *f, const qw_saved_reader *r,
                             size_t *bad, qwren_error *err)
{
    QW_TRY(check_room(s, log, r, err));
    t->n = log->tokens;
    const size_t most = qw_saved_most_states(f, t->n);
    QW_TRY(take_lists(t, log, err));
    QW_TRY(qw_saved_log_keys(log, s, &t->keys, bad, err));
    QW_TRY(take_places(&t->starts, s, log, bad, err));
    for (size_t i = 0; i < log->n; i++) {
        const qw_store_block *b = &log->blocks[i];
        *bad = i;
        if (log->live[i] && b->tag == QW_SAVED_PAGES && b->info[0] < t->n)
            QW_TRY(take_page(t, s, b, f, r, err));
        if (log->live[i] && b->tag == QW_SAVED_STATE && !qw_saved_log_is_surplus(log, i, most))
            QW_TRY(take_state(t, s, b, f, r, err));
    }
    return QWREN_OK;
}

/* Whatever is damaged ends the file before it, until what is left is whole. */
static qwren_status read_whole(qw_saved *out, qw_store *s, const qw_saved_format *f, const qw_saved_reader *r, qwren_error *err)
{
    qw_saved_log log;
    QW_TRY(qw_saved_log_read(&log, s, f, err));
    qwren_status st = QWREN_E_FORMAT;
    int n_cuts = 0;
    while (st == QWREN_E_FORMAT && log.n && n_cuts <= MOST_CUTS) {
        size_t bad = 0;
        qw_saved_deinit(out, r->writer);
        st = take_all(out, s, &log, f, r, &bad, err);
        if (st == QWREN_E_FORMAT && ++n_cuts <= MOST_CUTS)
            qw_saved_log_cut(&log, bad, f);
    }
    if (st == QWREN_E_FORMAT)
        st = n_cuts > MOST_CUTS ? fail_damaged(s, err) : fail_empty(s, err);
    qw_saved_log_deinit(&log);
    return st;
}

qwren_status qw_saved_read(qw_saved *out, const char *path, const qw_store_head *head, const qw_saved_format *f, const qw_saved_reader *r,
                           qwren_error *err)
{
    qw_store *s;
    *out = (qw_saved){ 0 };
    QW_TRY(qw_store_open(&s, path, QW_SAVED_SESSION, err));
    qwren_status st = qw_store_expect(s, head, err);
    if (st == QWREN_OK)
        st = read_whole(out, s, f, r, err);
    if (st != QWREN_OK)
        qw_saved_deinit(out, r->writer);
    qw_store_close(s);
    return st;
}

void qw_saved_deinit(qw_saved *t, const void *writer)
{
    for (size_t i = 0; t->pages && i < qw_page_count(t->n); i++)
        qw_page_drop(t->pages[i], writer);
    for (size_t i = 0; i < t->n_checkpoints; i++)
        qw_checkpoint_drop(t->checkpoints[i]);
    qw_free(t->pages);
    qw_free(t->checkpoints);
    qw_free(t->keys);
    qw_free(t->starts);
    *t = (qw_saved){ 0 };
}

/* ---- looking at one */

static qwren_status inspect(qw_saved_info *out, qw_store *s, qwren_error *err)
{
    qw_saved_log log;
    QW_TRY(qw_saved_log_read(&log, s, NULL, err));
    size_t bad = 0;
    qwren_status st = log.n ? qw_saved_log_keys(&log, s, &out->keys, &bad, err) : fail_empty(s, err);
    out->states = st == QWREN_OK ? qw_alloc_array(log.n, sizeof *out->states) : NULL;
    if (st == QWREN_OK && !out->states)
        st = qw_fail_memory(err, log.n * sizeof *out->states, "a list of checkpoints");
    for (size_t i = 0; st == QWREN_OK && i < log.n; i++)
        if (log.live[i] && log.blocks[i].tag == QW_SAVED_STATE)
            out->states[out->n_states++] = log.blocks[i];
    out->n = log.tokens;
    out->live_bytes = qw_saved_log_live_bytes(&log);
    out->file_bytes = qw_store_bytes(s);
    memcpy(out->about, qw_store_get_head(s)->about, sizeof out->about);
    qw_saved_log_deinit(&log);
    return st;
}

qwren_status qw_saved_inspect(qw_saved_info *out, const char *path, qwren_error *err)
{
    qw_store *s;
    *out = (qw_saved_info){ 0 };
    QW_TRY(qw_store_open(&s, path, QW_SAVED_SESSION, err));
    const qwren_status st = inspect(out, s, err);
    if (st != QWREN_OK)
        qw_saved_info_deinit(out);
    qw_store_close(s);
    return st;
}

void qw_saved_info_deinit(qw_saved_info *info)
{
    qw_free(info->keys);
    qw_free(info->states);
    *info = (qw_saved_info){ 0 };
}
