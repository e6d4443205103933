/* Session files (saved.h). Tested by tests/unit/test_saved.c and tests/fuzz/fuzz_store.c. */
#include "runtime/saved.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "runtime/saved_log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A file is written anew, instead of appended to, when it has more useless bytes than useful ones, and so many. */
#define MOST_WASTE ((uint64_t)1 << 20)

/* ---- reading what counts */

/* The keys of a timeline of log->tokens, from all blocks that say some; the later ones prevail. *bad is the block that turned out to be
 * damaged. */
static qwren_status read_keys(uint64_t *keys, const qw_store *s, const qw_saved_log *log, size_t *bad, qwren_error *err)
{
    for (size_t i = 0; i < log->n; i++) {
        const qw_store_block *b = &log->blocks[i];
        if (!log->live[i] || b->tag != QW_SAVED_TOKENS)
            continue;
        *bad = i;
        QW_TRY(qw_saved_get_tokens(s, b, keys + b->info[0], err));
    }
    return QWREN_OK;
}

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

/* Live blocks may reach beyond the end, where others were voided: as many tokens as any of them speaks of. */
static size_t room_for_tokens(const qw_saved_log *log)
{
    size_t most = log->tokens;
    for (size_t i = 0; i < log->n; i++) {
        const qw_store_block *b = &log->blocks[i];
        const bool speaks = log->live[i] && (b->tag == QW_SAVED_TOKENS || b->tag == QW_SAVED_PLACES);
        if (speaks && b->info[1] > most)
            most = (size_t)b->info[1];
    }
    return most;
}

static qwren_status take_keys(uint64_t **keys, const qw_store *s, const qw_saved_log *log, size_t *bad, qwren_error *err)
{
    const size_t n = room_for_tokens(log);
    *keys = qw_alloc_array(n, sizeof **keys);
    if (!*keys)
        return qw_fail_memory(err, n * sizeof **keys, "the tokens of a session");
    return read_keys(*keys, s, log, bad, err);
}

static qwren_status take_places(int32_t **starts, const qw_store *s, const qw_saved_log *log, size_t *bad, qwren_error *err)
{
    const size_t n = room_for_tokens(log);
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

/* ---- a session */

static qwren_status take_page(qw_saved *t, const qw_store *s, const qw_store_block *b, const qw_saved_format *f, const void *writer,
                              qwren_error *err)
{
    qw_page **page = &t->pages[b->info[0] / QW_KV_PAGE];
    if (!*page)
        QW_TRY(qw_page_take(page, &f->pages, writer, err));
    return qw_saved_get_pages(s, b, f, *page, err);
}

/* Checkpoints stay in the order of their lengths. */
static qwren_status take_state(qw_saved *t, const qw_store *s, const qw_store_block *b, const qw_saved_format *f, qwren_error *err)
{
    qw_checkpoint *cp;
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

/* Pages that only voided tokens stand on are left out. */
static qwren_status take_all(qw_saved *t, const qw_store *s, const qw_saved_log *log, const qw_saved_format *f, const void *writer,
                             size_t *bad, qwren_error *err)
{
    t->n = log->tokens;
    QW_TRY(take_lists(t, log, err));
    QW_TRY(take_keys(&t->keys, s, log, bad, err));
    QW_TRY(take_places(&t->starts, s, log, bad, err));
    for (size_t i = 0; i < log->n; i++) {
        const qw_store_block *b = &log->blocks[i];
        *bad = i;
        if (log->live[i] && b->tag == QW_SAVED_PAGES && b->info[0] < t->n)
            QW_TRY(take_page(t, s, b, f, writer, err));
        if (log->live[i] && b->tag == QW_SAVED_STATE)
            QW_TRY(take_state(t, s, b, f, err));
    }
    return QWREN_OK;
}

/* Whatever is damaged ends the file before it, until what is left is whole. */
static qwren_status read_whole(qw_saved *out, qw_store *s, const qw_saved_format *f, const void *writer, qwren_error *err)
{
    qw_saved_log log;
    QW_TRY(qw_saved_log_read(&log, s, f, err));
    qwren_status st = QWREN_E_FORMAT;
    while (st == QWREN_E_FORMAT && log.n) {
        size_t bad = 0;
        qw_saved_deinit(out, writer);
        st = take_all(out, s, &log, f, writer, &bad, err);
        if (st == QWREN_E_FORMAT)
            qw_saved_log_cut(&log, bad, f);
    }
    if (st == QWREN_E_FORMAT)
        fail_empty(s, err);
    qw_saved_log_deinit(&log);
    return st;
}

qwren_status qw_saved_read(qw_saved *out, const char *path, const qw_store_head *head, const qw_saved_format *f, const void *writer,
                           qwren_error *err)
{
    qw_store *s;
    *out = (qw_saved){ 0 };
    QW_TRY(qw_store_open(&s, path, QW_SAVED_SESSION, err));
    qwren_status st = qw_store_expect(s, head, err);
    if (st == QWREN_OK)
        st = read_whole(out, s, f, writer, err);
    if (st != QWREN_OK)
        qw_saved_deinit(out, writer);
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

/* ---- writing */

static size_t common_of(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
    size_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n])
        n++;
    return n;
}

/* What the file lacks, behind the last mark. It has `log`, of which the first `common` tokens are those of t. */
static qwren_status append(qw_store *s, const qw_saved_log *log, size_t common, const qw_saved_format *f, const qw_saved *t, bool *changed,
                           qwren_error *err)
{
    *changed = log->n == 0 || log->tokens != t->n || common != t->n;
    if (*changed) {
        QW_TRY(qw_saved_put_tokens(s, t->keys, common, t->n, err));
        QW_TRY(qw_saved_put_places(s, t->starts, common, t->n, err));
        QW_TRY(qw_saved_put_pages(s, f, t->pages, common, t->n, err));
    }
    for (size_t i = 0; i < t->n_checkpoints; i++)
        if (t->checkpoints[i]->length > common || !qw_saved_log_has_state(log, t->checkpoints[i]->length)) {
            QW_TRY(qw_saved_put_state(s, t->checkpoints[i], err));
            *changed = true;
        }
    return *changed ? qw_store_put(s, QW_SAVED_MARK, (uint64_t[3]){ t->n }, NULL, 0, err) : QWREN_OK;
}

/* Drops what a writer that died left behind its last mark, so that it does not stand in the way. */
static qwren_status cut_to_mark(qw_store *s, const qw_saved_log *log, qwren_error *err)
{
    return qw_store_cut(s, log->n ? qw_store_block_end(&log->blocks[log->n - 1]) : QW_STORE_HEAD_BYTES, err);
}

/* Appends to a file that has `log`, whose keys are `keys`. */
static qwren_status go_on(qw_store *s, const qw_saved_log *log, const uint64_t *keys, const qw_saved_format *f, const qw_saved *t,
                          qwren_error *err)
{
    bool changed = false;
    QW_TRY(cut_to_mark(s, log, err));
    const uint64_t begin = qw_store_end(s);
    qwren_status st = append(s, log, common_of(keys, log->tokens, t->keys, t->n), f, t, &changed, err);
    if (st == QWREN_OK && changed)
        st = qw_store_sync(s, err);
    if (st != QWREN_OK)
        qw_store_cut(s, begin, NULL);
    return st;
}

/* *wasteful: more than half of the file is of no use any more; then nothing was written. */
static qwren_status add_to(qw_store *s, const qw_saved_format *f, const qw_saved *t, bool *wasteful, qwren_error *err)
{
    qw_saved_log log;
    uint64_t *keys = NULL;
    size_t bad = 0;
    QW_TRY(qw_saved_log_read(&log, s, f, err));
    *wasteful = qw_store_end(s) > 2 * qw_saved_log_live_bytes(&log) + MOST_WASTE;
    qwren_status st = *wasteful ? QWREN_OK : take_keys(&keys, s, &log, &bad, err);
    if (st == QWREN_OK && !*wasteful)
        st = go_on(s, &log, keys, f, t, err);
    qw_saved_log_deinit(&log);
    qw_free(keys);
    return st;
}

static qwren_status write_to(const char *path, const qw_store_head *head, const qw_saved_format *f, const qw_saved *t, bool *wasteful,
                             uint64_t *written, qwren_error *err)
{
    qw_store *s;
    *written = 0;
    QW_TRY(qw_store_edit(&s, path, head, err));
    const uint64_t begin = qw_store_end(s);
    const qwren_status st = add_to(s, f, t, wasteful, err);
    *written = qw_store_end(s) > begin ? qw_store_end(s) - begin : 0;
    qw_store_close(s);
    return st;
}

/* A file of its own takes the place of the one that has become too large. What that held beyond this timeline goes. */
static qwren_status write_anew(const char *path, const qw_store_head *head, const qw_saved_format *f, const qw_saved *t, uint64_t *written,
                               qwren_error *err)
{
    qw_buf name = QW_BUF_INIT;
    char *temporary = NULL;
    bool wasteful;
    qw_buf_printf(&name, "%s.tmp-%ld", path, (long)getpid());
    QW_TRY(qw_buf_take(&name, &temporary, NULL, err));
    unlink(temporary); /* of a process that had this number before and died */
    qwren_status st = write_to(temporary, head, f, t, &wasteful, written, err);
    if (st == QWREN_OK && rename(temporary, path) != 0)
        st = qw_fail(err, QWREN_E_IO, "%s: cannot be put in place: %s", path, strerror(errno));
    if (st != QWREN_OK)
        unlink(temporary);
    qw_free(temporary);
    return st;
}

qwren_status qw_saved_write(const char *path, const qw_store_head *head, const qw_saved_format *f, const qw_saved *t, uint64_t *written,
                            qwren_error *err)
{
    uint64_t bytes = 0;
    bool wasteful = false;
    qwren_status st = write_to(path, head, f, t, &wasteful, &bytes, err);
    if (st == QWREN_OK && wasteful)
        st = write_anew(path, head, f, t, &bytes, err);
    if (written)
        *written = bytes;
    return st;
}

/* ---- looking at one */

static qwren_status inspect(qw_saved_info *out, qw_store *s, qwren_error *err)
{
    qw_saved_log log;
    QW_TRY(qw_saved_log_read(&log, s, NULL, err));
    size_t bad = 0;
    qwren_status st = log.n ? take_keys(&out->keys, s, &log, &bad, err) : fail_empty(s, err);
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
