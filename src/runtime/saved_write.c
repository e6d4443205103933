/* Session files written (saved.h): on the end of what is there, or anew beside it. While one is written the store holds its lock, so all
 * of it is one step to other writers. Tested by tests/unit/test_saved.c and tests/fuzz/fuzz_store.c. */
#include "runtime/saved.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/dir.h"
#include "runtime/saved_log.h"

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* A file is written anew, instead of appended to, when it has more useless bytes than useful ones, and so many. */
#define MOST_WASTE ((uint64_t)1 << 20)

/* ---- on the end */

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

/* Appends to a file that has `log`, of which the first `common` tokens are those of t. */
static qwren_status go_on(qw_store *s, const qw_saved_log *log, size_t common, const qw_saved_format *f, const qw_saved *t,
                          uint64_t *written, qwren_error *err)
{
    bool changed = false;
    QW_TRY(cut_to_mark(s, log, err));
    const uint64_t begin = qw_store_end(s);
    qwren_status st = append(s, log, common, f, t, &changed, err);
    *written = qw_store_end(s) - begin;
    if (st == QWREN_OK && changed)
        st = qw_store_sync(s, err);
    if (st != QWREN_OK)
        qw_store_cut(s, begin, NULL);
    return st;
}

/* ---- anew */

/* The file itself, which a link may name. */
static char *own_name(const char *path)
{
    char own[PATH_MAX];
    return qw_strdup(realpath(path, own) ? own : path);
}

/* A new name survives a power cut; where that cannot be had it is there all the same. */
static void sync_name(const char *path)
{
    char folder[PATH_MAX];
    const char *slash = strrchr(path, '/');
    const size_t n = slash ? (size_t)(slash - path) + 1 : 0;
    if (n < sizeof folder) {
        snprintf(folder, sizeof folder, "%.*s", n ? (int)n : 1, n ? path : ".");
        qw_dir_sync(folder, NULL);
    }
}

/* Nobody gets to read or write what he could not before. */
static qwren_status copy_rights(const char *from, const char *to, qwren_error *err)
{
    struct stat a, b;
    if (stat(from, &a) != 0 || stat(to, &b) != 0 ||
        ((a.st_uid != b.st_uid || a.st_gid != b.st_gid) && chown(to, a.st_uid, a.st_gid) != 0) || chmod(to, a.st_mode & 0777) != 0)
        return qw_fail(err, QWREN_E_IO, "%s: cannot be given the rights of %s: %s", to, from, strerror(errno));
    return QWREN_OK;
}

static qwren_status write_beside(const char *path, const char *temporary, const qw_store_head *head, const qw_saved_format *f,
                                 const qw_saved *t, uint64_t *written, qwren_error *err)
{
    qw_store *s;
    const qw_saved_log nothing = { 0 };
    QW_TRY(qw_store_edit(&s, temporary, head, err));
    qwren_status st = copy_rights(path, temporary, err);
    if (st == QWREN_OK)
        st = go_on(s, &nothing, 0, f, t, written, err);
    qw_store_close(s);
    if (st == QWREN_OK && rename(temporary, path) != 0)
        st = qw_fail(err, QWREN_E_IO, "%s: cannot be put in place: %s", path, strerror(errno));
    return st;
}

/* A file of its own takes the place of the one that has become too large, whose lock the caller holds. What that held beyond this timeline
 * goes. */
static qwren_status write_anew(const char *path, const qw_store_head *head, const qw_saved_format *f, const qw_saved *t, uint64_t *written,
                               qwren_error *err)
{
    qw_buf name = QW_BUF_INIT;
    char *own = own_name(path), *temporary = NULL;
    if (!own)
        return qw_fail_memory(err, strlen(path), "a path");
    qw_buf_printf(&name, "%s.tmp-%ld", own, (long)getpid());
    qwren_status st = qw_buf_take(&name, &temporary, NULL, err);
    if (st == QWREN_OK) {
        unlink(temporary); /* of a process that had this number before and died */
        st = write_beside(own, temporary, head, f, t, written, err);
        if (st == QWREN_OK)
            sync_name(own);
        else
            unlink(temporary);
    }
    qw_free(own);
    qw_free(temporary);
    return st;
}

/* ---- one or the other */

/* Where there is no room beside it, or nothing may be put, a file is appended to all the same. */
static qwren_status write_best(qw_store *s, const qw_saved_log *log, const uint64_t *keys, const qw_saved_format *f, const qw_saved *t,
                               uint64_t *written, qwren_error *err)
{
    const bool wasteful = qw_store_end(s) > 2 * qw_saved_log_live_bytes(log) + MOST_WASTE;
    qwren_status st = wasteful ? write_anew(qw_store_path(s), qw_store_get_head(s), f, t, written, err) : QWREN_E_IO;
    if (st == QWREN_E_IO)
        st = go_on(s, log, common_of(keys, log->tokens, t->keys, t->n), f, t, written, err);
    return st;
}

static qwren_status write_to(qw_store *s, const qw_saved_format *f, const qw_saved *t, uint64_t *written, qwren_error *err)
{
    qw_saved_log log;
    uint64_t *keys = NULL;
    size_t bad;
    QW_TRY(qw_saved_log_read(&log, s, f, err));
    const bool is_new = !log.n;
    qwren_status st = qw_saved_log_keys(&log, s, &keys, &bad, err);
    if (st == QWREN_OK)
        st = write_best(s, &log, keys, f, t, written, err);
    if (st == QWREN_OK && is_new)
        sync_name(qw_store_path(s));
    qw_saved_log_deinit(&log);
    qw_free(keys);
    return st;
}

qwren_status qw_saved_write(const char *path, const qw_store_head *head, const qw_saved_format *f, const qw_saved *t, uint64_t *written,
                            qwren_error *err)
{
    qw_store *s;
    uint64_t bytes = 0;
    QW_TRY(qw_store_edit(&s, path, head, err));
    const qwren_status st = write_to(s, f, t, &bytes, err);
    qw_store_close(s);
    if (written)
        *written = bytes;
    return st;
}
