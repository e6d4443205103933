/* The folder of the prefix cache (prefix_index.h). Other processes add files and remove them at any time, so every file may be gone when
 * it is opened; nothing is locked. A file is put in place
 * whole, by renaming, and never changed. Tested by tests/unit/test_prefix_disk.c. */
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

void qw_piece_hash_begin(qw_piece_hash *h, const uint8_t key[QW_STORE_KEY])
{
    h->n = 0;
    qw_hash_init(&h->a);
    qw_hash_init(&h->b);
    qw_hash_add(&h->b, "b", 1); /* so that both differ from here on */
    qw_hash_add(&h->a, key, QW_STORE_KEY);
    qw_hash_add(&h->b, key, QW_STORE_KEY);
}

qw_piece_id qw_piece_hash_to(qw_piece_hash *h, const uint64_t *keys, size_t n)
{
    qw_hash_add(&h->a, keys + h->n, (n - h->n) * sizeof *keys);
    qw_hash_add(&h->b, keys + h->n, (n - h->n) * sizeof *keys);
    h->n = n;
    return (qw_piece_id){ qw_hash_value(&h->a), qw_hash_value(&h->b) };
}

static bool same(qw_piece_id x, qw_piece_id y) { return x.a == y.a && x.b == y.b; }

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

/* <name of ours>.tmp-...: prefix_disk.c writes it. Others may have files that look alike. */
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
        if (same(x->at[i].id, id))
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
        if (x->at[i].ours && x->at[i].begin && same(x->at[i].parent, id))
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
    if (!same(names.own, out->id))
        return QWREN_E_FORMAT;
    out->ours = memcmp(qw_store_get_head(s)->key, x->head.key, sizeof x->head.key) == 0;
    out->parent = names.parent;
    out->begin = (size_t)b.info[0];
    out->end = (size_t)b.info[1];
    return QWREN_OK;
}

/* The head of a file. What is damaged is removed; what a newer version wrote, or another model, counts; what cannot be read just now may be
 * the next time. */
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

/* ---- looking up a timeline */

/* Pieces of ours that end between `known` and `most` and hold a beginning of keys: their places, by end. found [x->n] */
static size_t find_ends(const qw_prefix_index *x, const uint64_t *keys, size_t known, size_t most, size_t *found)
{
    qw_piece_hash h;
    qw_piece_id id = { 0 };
    size_t n = 0;
    qw_piece_hash_begin(&h, x->head.key);
    for (size_t i = 0; i < x->n && x->at[i].end <= most; i++) {
        const qw_piece *p = &x->at[i];
        if (!p->ours || p->end <= known)
            continue;
        if (p->end != h.n)
            id = qw_piece_hash_to(&h, keys, p->end);
        if (same(id, p->id))
            found[n++] = i;
    }
    return n;
}

/* The way back from a piece, written from the end of chain [room]; how many. 0: it leads nowhere, for want of *missing. */
static size_t walk_back(const qw_prefix_index *x, const qw_piece *last, size_t known, qw_piece *chain, size_t room, qw_piece_id *missing)
{
    for (size_t n = 1; n <= room; n++) {
        chain[room - n] = *last;
        if (last->begin <= known)
            return n;
        const qw_piece *before = qw_prefix_index_find(x, last->parent);
        *missing = last->parent;
        if (!before || before->end != last->begin)
            return 0;
        last = before;
    }
    return 0;
}

/* There is no such file any more; one that could not be read, or came since the folder was listed, is there. */
static bool has_gone(const qw_prefix_index *x, qw_piece_id id)
{
    struct stat st;
    char *path = qw_prefix_index_path(x, id);
    const bool gone = path && stat(path, &st) != 0 && errno == ENOENT;
    qw_free(path);
    return gone;
}

/* From the longest on. Removing a piece moves only places behind it. */
static size_t find_chain(qw_prefix_index *x, const size_t *found, size_t n_found, size_t known, qw_piece *chain)
{
    const size_t room = x->n;
    while (n_found-- > 0) {
        const qw_piece last = x->at[found[n_found]];
        qw_piece_id missing = { 0 };
        const size_t n = walk_back(x, &last, known, chain, room, &missing);
        if (n) {
            memmove(chain, chain + room - n, n * sizeof *chain);
            return n;
        }
        if (has_gone(x, missing))
            qw_prefix_index_remove(x, last.id);
        else
            qw_prefix_index_forget(x, last.id);
    }
    return 0;
}

qwren_status qw_prefix_index_chain(qw_prefix_index *x, const uint64_t *keys, size_t known, size_t most, qw_piece **chain, size_t *n,
                                   qwren_error *err)
{
    *chain = NULL;
    *n = 0;
    if (!x->n)
        return QWREN_OK;
    size_t *found = qw_alloc_array(x->n, sizeof *found);
    *chain = qw_alloc_array(x->n, sizeof **chain);
    const bool taken = found && *chain;
    if (taken)
        *n = find_chain(x, found, find_ends(x, keys, known, most, found), known, *chain);
    if (!*n) {
        qw_free(*chain);
        *chain = NULL;
    }
    qw_free(found);
    return taken ? QWREN_OK : qw_fail_memory(err, x->n * sizeof **chain, "the list of cached prefixes");
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
