/* Places of the output (place.h). Only what has qwren's mark is ever removed: DST.partial with a journal, and with `force` a folder that
 * holds qwren/recipe.json; then all of it goes, files that somebody added by hand included. Tested by tests/unit/test_folder.c. */
#include "convert/place.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/dir.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static qwren_status fail_io(qwren_error *err, const char *path, const char *what)
{
    return qw_fail(err, QWREN_E_IO, "%s: cannot be %s: %s", path, what, strerror(errno));
}

/* ---- looking */

static bool is_there(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0;
}

static bool has(const char *dir, const char *name)
{
    struct stat s;
    int d = open(dir, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    bool there = d >= 0 && fstatat(d, name, &s, 0) == 0;
    if (d >= 0)
        close(d);
    return there;
}

static bool is_empty(const char *dir)
{
    DIR *d = opendir(dir);
    size_t n = 0;
    for (struct dirent *e; d && (e = readdir(d));)
        n += strcmp(e->d_name, ".") != 0 && strcmp(e->d_name, "..") != 0;
    bool known = d != NULL;
    if (d)
        closedir(d);
    return known && n == 0;
}

/* A real folder, no link to one. */
static bool is_own_dir(const char *path)
{
    struct stat s;
    return lstat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* Of two true paths: whether one is the other or stands below it. */
static bool lies_in(const char *inner, const char *outer)
{
    size_t n = strlen(outer);
    return strncmp(inner, outer, n) == 0 && (inner[n] == '/' || inner[n] == '\0' || (n && outer[n - 1] == '/'));
}

/* ---- the paths */

static char *without_slashes(const char *path)
{
    size_t n = strlen(path);
    while (n > 1 && path[n - 1] == '/')
        n--;
    return qw_strndup(path, n);
}

static qwren_status make_paths(qw_place *p, const char *src, const char *dst, qwren_error *err)
{
    qw_buf partial = QW_BUF_INIT;
    p->src = without_slashes(src);
    p->dst = without_slashes(dst);
    if (!p->src || !p->dst)
        return qw_fail_memory(err, strlen(src) + strlen(dst), "a path");
    const char *base = qw_path_base(p->dst);
    size_t n = (size_t)(base - p->dst);
    p->parent = n ? qw_strndup(p->dst, n) : qw_strdup(".");
    if (!p->parent)
        return qw_fail_memory(err, n, "a path");
    if (!*base || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s: names no new folder; give the name of the folder that is to be made", dst);
    qw_buf_printf(&partial, "%s.partial", p->dst);
    return qw_buf_take(&partial, &p->partial, NULL, err);
}

/* DST's true path: that of its parent, and its name. */
static qwren_status check_nesting(const qw_place *p, qwren_error *err)
{
    char *src = realpath(p->src, NULL), *parent = realpath(p->parent, NULL);
    qw_buf dst = QW_BUF_INIT;
    qwren_status st = QWREN_OK;
    if (!src)
        st = fail_io(err, p->src, "opened");
    else if (!parent)
        st = qw_fail(err, QWREN_E_IO, "%s: cannot be made: there is no folder %s", p->dst, p->parent);
    else {
        qw_buf_printf(&dst, "%s/%s", strcmp(parent, "/") == 0 ? "" : parent, qw_path_base(p->dst));
        st = qw_buf_status(&dst, err);
        bool in_src = lies_in(qw_buf_text(&dst), src), in_dst = lies_in(src, qw_buf_text(&dst));
        if (st == QWREN_OK && (in_src || in_dst))
            st = qw_fail(err, QWREN_E_ARGUMENT, "%s: %s; name a folder beside it", p->dst,
                         in_src && in_dst ? "is the source itself"
                         : in_src         ? "lies in the source"
                                          : "holds the source");
    }
    qw_buf_free(&dst);
    free(src);
    free(parent);
    return st;
}

/* ---- what lies there already */

static qwren_status check_dst(qw_place *p, bool force, qwren_error *err)
{
    if (!is_there(p->dst))
        return QWREN_OK;
    if (!is_own_dir(p->dst))
        return qw_fail(err, QWREN_E_IO, "%s: is there, and no folder; name another one", p->dst);
    p->replaces = !is_empty(p->dst);
    if (!p->replaces)
        return QWREN_OK;
    if (!has(p->dst, QW_RECIPE_NAME))
        return qw_fail(err, QWREN_E_IO, "%s: is there, and not made by qwren; name another folder, or remove it yourself", p->dst);
    if (!force)
        return qw_fail(err, QWREN_E_IO, "%s: is there; name another folder, or replace it with --force", p->dst);
    return QWREN_OK;
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s;
    (void)kind;
    (void)at;
    return remove(path);
}

static int remove_tree(const char *path) { return nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

/* Work has a journal. A run with `force` that ends after the last step, before it has removed what it replaced, leaves that there, without
 * one. */
static qwren_status check_partial(const qw_place *p, bool force, qwren_error *err)
{
    if (!is_there(p->partial))
        return QWREN_OK;
    const bool own = is_own_dir(p->partial);
    if (own && (is_empty(p->partial) || has(p->partial, QW_JOURNAL_NAME)))
        return QWREN_OK;
    if (!own || !has(p->partial, QW_RECIPE_NAME))
        return qw_fail(err, QWREN_E_IO, "%s: is in the way, and no unfinished work of qwren; remove it, or name another folder",
                       p->partial);
    if (!force)
        return qw_fail(err, QWREN_E_IO, "%s: is in the way: a model that qwren made and replaced; remove it yourself, or with --force",
                       p->partial);
    return QWREN_OK;
}

qwren_status qw_place_check(qw_place *p, const char *src, const char *dst, bool force, qwren_error *err)
{
    *p = (qw_place){ 0 };
    if (!qw_dir_exists(src))
        return qw_fail(err, QWREN_E_IO, "%s: is no folder that can be read; the checkpoint to quantise is one", src);
    QW_TRY(make_paths(p, src, dst, err));
    QW_TRY(check_nesting(p, err));
    QW_TRY(check_dst(p, force, err));
    return check_partial(p, force, err);
}

qwren_status qw_place_take(qw_place *p, qwren_error *err)
{
    p->made_partial = mkdir(p->partial, 0777) == 0;
    return p->made_partial || errno == EEXIST ? QWREN_OK : fail_io(err, p->partial, "made");
}

void qw_place_deinit(qw_place *p)
{
    qw_free(p->src);
    qw_free(p->dst);
    qw_free(p->parent);
    qw_free(p->partial);
    *p = (qw_place){ 0 };
}

/* ---- taking away */

qwren_status qw_place_empty(const qw_place *p, qwren_error *err)
{
    DIR *d = opendir(p->partial);
    qwren_status st = d ? QWREN_OK : fail_io(err, p->partial, "read");
    for (struct dirent *e; st == QWREN_OK && (e = readdir(d));) {
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || strcmp(e->d_name, QW_JOURNAL_NAME) == 0)
            continue;
        char *path = qw_path_join(p->partial, e->d_name);
        if (!path)
            st = qw_fail_memory(err, strlen(e->d_name), "a path");
        else if (remove_tree(path) != 0)
            st = fail_io(err, path, "removed");
        qw_free(path);
    }
    if (d)
        closedir(d);
    return st;
}

static int sweep_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s;
    return kind == FTW_F && strstr(path + at->base, ".tmp-") ? remove(path) : 0;
}

void qw_place_sweep(const qw_place *p) { nftw(p->partial, sweep_one, 16, FTW_PHYS); }

void qw_place_drop(const qw_place *p) { remove_tree(p->partial); }

/* ---- the last step */

/* In three steps, for systems that know no better. When the second fails the first is taken back. */
static qwren_status swap_in_steps(const qw_place *p, const char *old, qwren_error *err)
{
    if (rename(p->dst, old) != 0)
        return fail_io(err, p->dst, "moved away");
    if (rename(p->partial, p->dst) != 0) {
        fail_io(err, p->dst, "put in place");
        if (rename(old, p->dst) != 0)
            qw_fail(err, QWREN_E_IO, "%s: cannot be put in place: %s; the model that was there is %s now", p->dst, strerror(errno), old);
        return QWREN_E_IO;
    }
    return rename(old, p->partial) == 0 ? QWREN_OK : fail_io(err, old, "removed");
}

static qwren_status swap(const qw_place *p, qwren_error *err)
{
#ifdef RENAME_EXCHANGE /* the two change places in one step: at no moment is there no DST */
    if (renameat2(AT_FDCWD, p->partial, AT_FDCWD, p->dst, RENAME_EXCHANGE) == 0)
        return QWREN_OK;
#endif
    qw_buf old = QW_BUF_INIT;
    qw_buf_printf(&old, "%s.replaced", p->dst);
    qwren_status st = qw_buf_status(&old, err);
    if (st == QWREN_OK)
        st = swap_in_steps(p, old.data, err);
    qw_buf_free(&old);
    return st;
}

static qwren_status put_in_place(const qw_place *p, qwren_error *err)
{
    if (p->replaces)
        return swap(p, err);
    return rename(p->partial, p->dst) == 0 ? QWREN_OK : fail_io(err, p->dst, "put in place");
}

qwren_status qw_place_finish(const qw_place *p, qwren_error *err)
{
    QW_TRY(qw_dir_sync(p->partial, err));
    char *journal = qw_path_join(p->dst, QW_JOURNAL_NAME);
    if (!journal)
        return qw_fail_memory(err, strlen(p->dst), "a path");
    qwren_status st = put_in_place(p, err);
    if (st == QWREN_OK)
        st = qw_dir_sync(p->parent, err);
    if (st == QWREN_OK)
        unlink(journal);
    qw_free(journal);
    QW_TRY(st);
    if (p->replaces && remove_tree(p->partial) != 0)
        return fail_io(err, p->partial, "removed");
    return QWREN_OK;
}
