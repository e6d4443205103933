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

/* A file is written anew, instead of appended to, when it would be more than twice as large as a new one would be, and so much; */
#define MOST_WASTE ((uint64_t)1 << 20)
/* or when it has so many more blocks and so many at all: a saving of a few tokens leaves small ones, and all are gone through by each. */
#define MOST_BLOCKS_AT_ALL 4096
#define MOST_BLOCKS_FOR_ONE 4

#define NOWHERE SIZE_MAX

/* ---- what there is to do */

/* A state that the file shall have: a checkpoint of the timeline, or what only the file has. */
typedef struct state {
    size_t length;
    qw_checkpoint *cp; /* or NULL */
    size_t block;      /* of the log; NOWHERE: it has none */
} state;

typedef struct plan {
    size_t common; /* tokens that the file begins with already */
    state *states; /* [n] by length */
    size_t n;
} plan;

static size_t common_of(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
    size_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n])
        n++;
    return n;
}

static void add_state(plan *p, state new)
{
    size_t at = p->n++;
    for (; at && p->states[at - 1].length > new.length; at--)
        p->states[at] = p->states[at - 1];
    p->states[at] = new;
}

static bool has_length(const plan *p, size_t length)
{
    for (size_t i = 0; i < p->n; i++)
        if (p->states[i].length == length)
            return true;
    return false;
}

/* States of the timeline, and those that the file has of what both begin with, but for its former ends: these stand at no place that
 * anybody would go back to. */
static void find_states(plan *p, const qw_saved_log *log, const qw_saved *t)
{
    for (size_t i = 0; i < t->n_checkpoints; i++) {
        qw_checkpoint *cp = t->checkpoints[i];
        add_state(p, (state){ cp->length, cp, cp->length <= p->common ? qw_saved_log_state(log, cp->length) : NOWHERE });
    }
    for (size_t i = 0; i < log->n; i++) {
        const qw_store_block *b = &log->blocks[i];
        const bool counts = log->live[i] && b->tag == QW_SAVED_STATE && b->info[2] != QW_CHECKPOINT_END && b->info[0] <= p->common;
        if (counts && !has_length(p, (size_t)b->info[0]))
            add_state(p, (state){ (size_t)b->info[0], NULL, i });
    }
}

static void keep_longest(plan *p, size_t most)
{
    const size_t surplus = p->n > most ? p->n - most : 0;
    p->n -= surplus;
    if (surplus)
        memmove(p->states, p->states + surplus, p->n * sizeof *p->states);
}

static qwren_status make_plan(plan *p, const qw_saved_log *log, const qw_store *s, const qw_saved_format *f, const qw_saved *t,
                              qwren_error *err)
{
    uint64_t *keys;
    size_t bad;
    *p = (plan){ 0 };
    const qwren_status st = qw_saved_log_keys(log, s, &keys, &bad, err);
    if (st == QWREN_OK)
        p->common = common_of(keys, log->tokens, t->keys, t->n);
    qw_free(keys);
    QW_TRY(st);
    p->states = qw_alloc_array(t->n_checkpoints + log->n, sizeof *p->states);
    if (!p->states)
        return qw_fail_memory(err, (t->n_checkpoints + log->n) * sizeof *p->states, "a list of checkpoints");
    find_states(p, log, t);
    keep_longest(p, qw_saved_most_states(f, t->n));
    return QWREN_OK;
}

static bool is_wasteful(const plan *p, const qw_store *s, const qw_saved_log *log, const qw_saved_format *f, const qw_saved *t)
{
    size_t n_new = 0;
    for (size_t i = 0; i < p->n; i++)
        n_new += p->states[i].block == NOWHERE;
    const uint64_t anew = QW_STORE_HEAD_BYTES + qw_saved_bytes(f, 0, t->n, p->n);
    const uint64_t longer = qw_store_end(s) + qw_saved_bytes(f, p->common, t->n, n_new);
    return longer > 2 * anew + MOST_WASTE ||
           (log->n > MOST_BLOCKS_AT_ALL && log->n > MOST_BLOCKS_FOR_ONE * (qw_page_count(t->n) + p->n + 3));
}

/* ---- on the end */

/* A state that lies in another file only. One that is damaged there is left out. */
static qwren_status copy_state(qw_store *s, const qw_store *from, const qw_store_block *b, const qw_saved_format *f, qwren_error *err)
{
    qw_checkpoint *cp;
    qwren_status st = qw_saved_get_state(from, b, f, &cp, err);
    if (st == QWREN_E_FORMAT)
        return QWREN_OK;
    QW_TRY(st);
    st = qw_saved_put_state(s, cp, err);
    qw_checkpoint_drop(cp);
    return st;
}

/* What the file lacks, behind the last mark: of its own `log`, or all of it, for which another file has what is only there. */
static qwren_status append(qw_store *s, const qw_store *from, const qw_saved_log *log, const plan *p, const qw_saved_format *f,
                           const qw_saved *t, bool *changed, qwren_error *err)
{
    const size_t begin = from ? 0 : p->common;
    *changed = from || log->n == 0 || log->tokens != t->n || begin != t->n;
    if (*changed) {
        QW_TRY(qw_saved_put_tokens(s, t->keys, begin, t->n, err));
        QW_TRY(qw_saved_put_places(s, t->starts, begin, t->n, err));
        QW_TRY(qw_saved_put_pages(s, f, t->pages, begin, t->n, err));
    }
    for (size_t i = 0; i < p->n; i++) {
        const state *x = &p->states[i];
        if (!from && x->block != NOWHERE)
            continue;
        QW_TRY(x->cp ? qw_saved_put_state(s, x->cp, err) : copy_state(s, from, &log->blocks[x->block], f, err));
        *changed = true;
    }
    return *changed ? qw_store_put(s, QW_SAVED_MARK, (uint64_t[3]){ t->n }, NULL, 0, err) : QWREN_OK;
}

/* Appends from the present end on; `from` as above. After a failure the file holds what it held. */
static qwren_status go_on(qw_store *s, const qw_store *from, const qw_saved_log *log, const plan *p, const qw_saved_format *f,
                          const qw_saved *t, uint64_t *written, qwren_error *err)
{
    bool changed = false;
    const uint64_t begin = qw_store_end(s);
    qwren_status st = append(s, from, log, p, f, t, &changed, err);
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

static qwren_status write_beside(const char *path, const char *temporary, const qw_store *old, const qw_saved_log *log, const plan *p,
                                 const qw_saved_format *f, const qw_saved *t, uint64_t *written, qwren_error *err)
{
    qw_store *s;
    QW_TRY(qw_store_edit(&s, temporary, qw_store_get_head(old), err));
    qwren_status st = copy_rights(path, temporary, err);
    if (st == QWREN_OK)
        st = go_on(s, old, log, p, f, t, written, err);
    qw_store_close(s);
    if (st == QWREN_OK && rename(temporary, path) != 0)
        st = qw_fail(err, QWREN_E_IO, "%s: cannot be put in place: %s", path, strerror(errno));
    return st;
}

/* A file of its own takes the place of the one that has become too large, which stays locked until then. */
static qwren_status write_anew(const qw_store *old, const qw_saved_log *log, const plan *p, const qw_saved_format *f, const qw_saved *t,
                               uint64_t *written, qwren_error *err)
{
    qw_buf name = QW_BUF_INIT;
    char *own = own_name(qw_store_path(old)), *temporary = NULL;
    if (!own)
        return qw_fail_memory(err, strlen(qw_store_path(old)), "a path");
    qw_buf_printf(&name, "%s.tmp-anew", own); /* who has the lock of the file has this name too */
    qwren_status st = qw_buf_take(&name, &temporary, NULL, err);
    if (st == QWREN_OK) {
        unlink(temporary); /* of a process that died */
        st = write_beside(own, temporary, old, log, p, f, t, written, err);
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

/* Drops what a writer that died left behind its last mark, so that it does not stand in the way. */
static qwren_status cut_to_mark(qw_store *s, const qw_saved_log *log, qwren_error *err)
{
    return qw_store_cut(s, log->n ? qw_store_block_end(&log->blocks[log->n - 1]) : QW_STORE_HEAD_BYTES, err);
}

/* Where there is no room beside it, or nothing may be put, a file is appended to all the same. */
static qwren_status write_best(qw_store *s, const qw_saved_log *log, const plan *p, const qw_saved_format *f, const qw_saved *t,
                               uint64_t *written, qwren_error *err)
{
    QW_TRY(cut_to_mark(s, log, err));
    const qwren_status st = is_wasteful(p, s, log, f, t) ? write_anew(s, log, p, f, t, written, err) : QWREN_E_IO;
    return st == QWREN_E_IO ? go_on(s, NULL, log, p, f, t, written, err) : st;
}

static qwren_status write_to(qw_store *s, const qw_saved_format *f, const qw_saved *t, uint64_t *written, qwren_error *err)
{
    qw_saved_log log;
    plan p;
    QW_TRY(qw_saved_log_read(&log, s, f, err));
    qwren_status st = make_plan(&p, &log, s, f, t, err);
    if (st == QWREN_OK)
        st = write_best(s, &log, &p, f, t, written, err);
    if (st == QWREN_OK && !log.n)
        sync_name(qw_store_path(s));
    qw_saved_log_deinit(&log);
    qw_free(p.states);
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
