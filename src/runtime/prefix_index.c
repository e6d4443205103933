/* The folder of the prefix cache (prefix_index.h). Other processes add files and remove them at any time, so every file may be gone when
 * it is opened; nothing is locked. A file is put in place whole, by renaming, and never changed. Tested by tests/unit/test_prefix_disk.c. */
#include "runtime/prefix_index.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/dir.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define SUFFIX ".prefix"
#define ABANDONED_S 3600 /* what was begun and not put in place for so long is nobody's any more */
/* A folder that has changed within so short a time may change again without looking newer: its clock is coarse. */
#define FRESH_S 2

/* ---- names */

static void write_name(char name[64], qw_piece_id id) { snprintf(name, 64, "%016" PRIx64 "%016" PRIx64 SUFFIX, id.a, id.b); }

/* False: not a name of ours. */
static bool read_name(qw_piece_id *id, const char *name)
{
    char again[64];
    if (sscanf(name, "%16" SCNx64 "%16" SCNx64, &id->a, &id->b) != 2)
        return false;
    write_name(again, *id);
    return strcmp(name, again) == 0;
}

/* <name of ours>.tmp-...: prefix_disk_save.c writes it. Others may have files that look alike. */
static bool is_temporary(const char *name)
{
    static const size_t n = 32 + sizeof SUFFIX - 1;
    char own[64];
    qw_piece_id ignored;
    if (strlen(name) <= n || strncmp(name + n, ".tmp-", 5) != 0)
        return false;
    memcpy(own, name, n);
    own[n] = '\0';
    return read_name(&ignored, own);
}

char *qw_prefix_index_path(const qw_prefix_index *x, qw_piece_id id)
{
    char name[64];
    write_name(name, id);
    return qw_path_join(x->dir, name);
}

/* ---- what is there */

static qw_piece *find_any(const qw_prefix_index *x, qw_piece_id id)
{
    for (size_t i = 0; i < x->n; i++)
        if (qw_piece_same(x->at[i].id, id))
            return &x->at[i];
    return NULL;
}

const qw_piece *qw_prefix_index_find(const qw_prefix_index *x, qw_piece_id id)
{
    const qw_piece *p = find_any(x, id);
    return p && p->ours ? p : NULL;
}

bool qw_prefix_index_goes_on(const qw_prefix_index *x, qw_piece_id id)
{
    for (size_t i = 0; i < x->n; i++)
        if (x->at[i].ours && x->at[i].begin && qw_piece_same(x->at[i].parent, id))
            return true;
    return false;
}

qwren_status qw_prefix_index_add(qw_prefix_index *x, const qw_piece *piece, qwren_error *err)
{
    if (find_any(x, piece->id))
        return QWREN_OK;
    if (x->n == x->room) {
        const size_t room = x->room ? 2 * x->room : 64;
        qw_piece *at = qw_realloc_array(x->at, room, sizeof *at);
        if (!at)
            return qw_fail_memory(err, room * sizeof *at, "the list of cached prefixes");
        x->at = at;
        x->room = room;
    }
    size_t i = x->n++;
    for (; i > 0 && x->at[i - 1].end > piece->end; i--)
        x->at[i] = x->at[i - 1];
    x->at[i] = *piece;
    x->bytes += piece->bytes;
    return QWREN_OK;
}

static void forget(qw_prefix_index *x, size_t i)
{
    x->bytes -= x->at[i].bytes;
    x->n--;
    memmove(x->at + i, x->at + i + 1, (x->n - i) * sizeof *x->at);
}

void qw_prefix_index_forget(qw_prefix_index *x, qw_piece_id id)
{
    const qw_piece *p = find_any(x, id);
    x->scanned_s = x->scanned_ns = 0;
    if (p)
        forget(x, (size_t)(p - x->at));
}

/* False: the file is still there. */
static bool unlink_piece(const qw_prefix_index *x, qw_piece_id id)
{
    char *path = qw_prefix_index_path(x, id);
    const bool gone = path && (unlink(path) == 0 || errno == ENOENT);
    qw_free(path);
    return gone;
}

void qw_prefix_index_remove(qw_prefix_index *x, qw_piece_id id)
{
    unlink_piece(x, id);
    qw_prefix_index_forget(x, id);
}

/* ---- reading the folder */

/* What the first block of a file says. */
static qwren_status read_names(const qw_prefix_index *x, qw_store *s, qw_piece *out)
{
    qw_store_block b;
    qw_piece_names names;
    if (!qw_store_next(s, &b))
        return qw_store_ended(s, NULL) == QWREN_OK ? QWREN_E_FORMAT : QWREN_E_IO;
    if (b.tag != QW_PIECE_TAG || b.bytes != sizeof names || b.info[0] >= b.info[1])
        return QWREN_E_FORMAT;
    QW_TRY(qw_store_read(s, &b, &(qw_store_part){ &names, sizeof names }, 1, NULL));
    if (!qw_piece_same(names.own, out->id))
        return QWREN_E_FORMAT;
    out->ours = memcmp(qw_store_get_head(s)->key, x->head.key, sizeof x->head.key) == 0;
    out->parent = names.parent;
    out->begin = (size_t)b.info[0];
    out->end = (size_t)b.info[1];
    return QWREN_OK;
}

/* The head of a file. What is damaged is removed; what a newer version wrote, or another model, counts; what cannot be read just now may
 * be the next time. */
static qwren_status read_piece(const qw_prefix_index *x, const char *path, qw_piece *out)
{
    qw_store *s;
    qwren_status st = qw_store_open(&s, path, QW_PIECE_KIND, NULL);
    if (st == QWREN_E_UNSUPPORTED)
        return QWREN_OK;
    if (st == QWREN_OK) {
        st = read_names(x, s, out);
        qw_store_close(s);
    }
    if (st == QWREN_E_FORMAT)
        unlink(path);
    return st;
}

/* A file that has a name of ours. */
static qwren_status see_piece(qw_prefix_index *x, const char *path, qw_piece *piece, qwren_error *err)
{
    qw_piece *known = find_any(x, piece->id);
    if (known) {
        known->seen = true;
        return QWREN_OK;
    }
    const qwren_status st = read_piece(x, path, piece);
    if (st == QWREN_OK)
        return qw_prefix_index_add(x, piece, err);
    x->incomplete |= st != QWREN_E_FORMAT;
    return QWREN_OK;
}

static qwren_status see_file(qw_prefix_index *x, const char *name, qwren_error *err)
{
    qw_piece piece = { .seen = true };
    struct stat st;
    char *path = qw_path_join(x->dir, name);
    qwren_status result = path ? QWREN_OK : qw_fail_memory(err, strlen(name), "a path");
    if (path && is_temporary(name) && stat(path, &st) == 0 && time(NULL) - st.st_mtime > ABANDONED_S)
        unlink(path);
    else if (path && read_name(&piece.id, name) && stat(path, &st) == 0) {
        piece.bytes = (uint64_t)st.st_size;
        result = see_piece(x, path, &piece, err);
    }
    qw_free(path);
    return result;
}

static qwren_status scan(qw_prefix_index *x, qwren_error *err)
{
    qw_names names;
    qwren_status st = qw_dir_list(&names, x->dir, NULL, err);
    for (size_t i = 0; i < x->n; i++)
        x->at[i].seen = false;
    for (size_t i = 0; st == QWREN_OK && i < names.n; i++)
        st = see_file(x, names.at[i], err);
    for (size_t i = x->n; st == QWREN_OK && i-- > 0;)
        if (!x->at[i].seen)
            forget(x, i);
    qw_names_deinit(&names);
    return st;
}

/* Somebody may have removed the folder itself. */
static qwren_status examine(const qw_prefix_index *x, struct stat *st, qwren_error *err)
{
    if (stat(x->dir, st) == 0)
        return QWREN_OK;
    if (errno == ENOENT)
        QW_TRY(qw_dir_make(x->dir, err));
    return stat(x->dir, st) == 0 ? QWREN_OK : qw_fail(err, QWREN_E_IO, "%s: cannot be examined: %s", x->dir, strerror(errno));
}

qwren_status qw_prefix_index_refresh(qw_prefix_index *x, qwren_error *err)
{
    struct stat st;
    QW_TRY(examine(x, &st, err));
    if (x->scanned_s == (int64_t)st.st_mtim.tv_sec && x->scanned_ns == (int64_t)st.st_mtim.tv_nsec)
        return QWREN_OK;
    x->incomplete = time(NULL) - st.st_mtim.tv_sec <= FRESH_S;
    x->scanned_s = x->scanned_ns = 0;
    QW_TRY(scan(x, err));
    if (!x->incomplete) {
        x->scanned_s = (int64_t)st.st_mtim.tv_sec;
        x->scanned_ns = (int64_t)st.st_mtim.tv_nsec;
    }
    return QWREN_OK;
}

qwren_status qw_prefix_index_init(qw_prefix_index *out, const char *dir, const qw_store_head *head, qwren_error *err)
{
    *out = (qw_prefix_index){ .head = *head };
    out->head.kind = QW_PIECE_KIND;
    QW_TRY(qw_dir_make(dir, err));
    out->dir = qw_strdup(dir);
    qwren_status st = out->dir ? qw_prefix_index_refresh(out, err) : qw_fail_memory(err, strlen(dir), "a path");
    if (st != QWREN_OK)
        qw_prefix_index_deinit(out);
    return st;
}

void qw_prefix_index_deinit(qw_prefix_index *x)
{
    qw_free(x->dir);
    qw_free(x->at);
    *x = (qw_prefix_index){ 0 };
}

/* ---- age */

void qw_prefix_index_renew(const qw_prefix_index *x, qw_piece_id id)
{
    char *path = qw_prefix_index_path(x, id);
    if (path)
        utimensat(AT_FDCWD, path, NULL, 0);
    qw_free(path);
}

typedef struct aged {
    qw_piece_id id;
    struct timespec used;
    size_t end;
} aged;

/* The oldest first; of one moment the longer first, for it is of no use without the shorter. */
static int by_age(const void *x, const void *y)
{
    const aged *a = x, *b = y;
    if (a->used.tv_sec != b->used.tv_sec)
        return a->used.tv_sec < b->used.tv_sec ? -1 : 1;
    if (a->used.tv_nsec != b->used.tv_nsec)
        return a->used.tv_nsec < b->used.tv_nsec ? -1 : 1;
    return a->end > b->end ? -1 : a->end < b->end;
}

static aged age_of(const qw_prefix_index *x, const qw_piece *p)
{
    struct stat st;
    aged a = { .id = p->id, .end = p->end };
    char *path = qw_prefix_index_path(x, p->id);
    if (path && stat(path, &st) == 0)
        a.used = st.st_mtim;
    qw_free(path);
    return a;
}

void qw_prefix_index_shrink(qw_prefix_index *x, uint64_t bytes)
{
    const size_t n = x->n;
    aged *all = x->bytes > bytes ? qw_alloc_array(n, sizeof *all) : NULL;
    if (!all)
        return;
    for (size_t i = 0; i < n; i++)
        all[i] = age_of(x, &x->at[i]);
    qsort(all, n, sizeof *all, by_age);
    for (size_t i = 0; i < n && x->bytes > bytes; i++)
        if (unlink_piece(x, all[i].id))
            qw_prefix_index_forget(x, all[i].id);
    qw_free(all);
}
