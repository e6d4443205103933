/* Which files a GGUF model is (gguf_files.h), by their names alone: MODEL.gguf, the parts MODEL-00001-of-00003.gguf, and *mmproj*.gguf.
 * What they hold is checked by gguf_model.c. Tested by tests/unit/test_gguf_files.c. */
#include "weights/gguf_files.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/dir.h"
#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#define PART_BYTES 20 /* "-00001-of-00003.gguf" */
#define MAX_PARTS 4096

/* ---- names */

static bool is_gguf(const char *name)
{
    size_t n = strlen(name);
    return n > 5 && strcasecmp(name + n - 5, ".gguf") == 0;
}

/* "mmproj" somewhere in the name, in any case. */
static bool is_mmproj(const char *name)
{
    for (; *name; name++)
        if (strncasecmp(name, "mmproj", 6) == 0)
            return true;
    return false;
}

/* "-00002-of-00003.gguf" at the end -> 2 and 3. */
static bool is_part(const char *name, int *number, int *count)
{
    size_t n = strlen(name);
    int used = 0;
    if (n <= PART_BYTES)
        return false;
    const char *tail = name + n - PART_BYTES;
    return sscanf(tail, "-%5d-of-%5d.gguf%n", number, count, &used) == 2 && used == PART_BYTES && *number >= 1 && *number <= *count &&
           strspn(tail + 1, "0123456789") == 5 && strspn(tail + 10, "0123456789") == 5;
}

/* ---- the .gguf files of a folder */

/* What begins with a point was left there by a system of files, not by anybody who made a model. */
static bool is_shown_gguf(const char *name) { return name[0] != '.' && is_gguf(name); }

/* Takes out what is no regular file, links followed. */
static qwren_status keep_files(qw_names *l, const char *dir, qwren_error *err)
{
    size_t n = 0;
    qwren_status st = QWREN_OK;
    for (size_t i = 0; i < l->n; i++) {
        struct stat s;
        char *path = qw_path_join(dir, l->at[i]);
        if (!path)
            st = qw_fail_memory(err, strlen(dir) + strlen(l->at[i]), "a path");
        if (path && stat(path, &s) == 0 && S_ISREG(s.st_mode))
            l->at[n++] = l->at[i];
        else
            qw_free(l->at[i]);
        qw_free(path);
    }
    l->n = n;
    return st;
}

static qwren_status list_files(qw_names *l, const char *dir, qwren_error *err)
{
    QW_TRY(qw_dir_list(l, dir, is_shown_gguf, err));
    return keep_files(l, dir, err);
}

/* "a.gguf, b.gguf" of those for which wanted() is `is`. */
static void join(qw_buf *out, const qw_names *l, bool (*wanted)(const char *), bool is)
{
    for (size_t i = 0; i < l->n; i++)
        if (wanted(l->at[i]) == is)
            qw_buf_printf(out, "%s%s", out->len ? ", " : "", l->at[i]);
}

/* ---- the model in a folder: one file, or the parts of one */

/* The parts of a model are one candidate: its first part, or the first that is there. */
static bool is_later_part(const qw_names *l, size_t i)
{
    int number, count, n, c;
    if (!is_part(l->at[i], &number, &count))
        return false;
    size_t stem = strlen(l->at[i]) - PART_BYTES;
    return i > 0 && is_part(l->at[i - 1], &n, &c) && c == count && strlen(l->at[i - 1]) == stem + PART_BYTES &&
           strncmp(l->at[i - 1], l->at[i], stem) == 0;
}

static qwren_status choose_model(const qw_names *l, const char *dir, const char **out, qwren_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (!is_mmproj(l->at[i]) && !is_later_part(l, i)) {
            *out = l->at[i];
            n++;
        }
    if (n == 1)
        return QWREN_OK;
    if (n == 0)
        return qw_fail(err, QWREN_E_IO, "%s: has no model, only the image tower of one; give the path of the model's .gguf file", dir);
    qw_buf names = QW_BUF_INIT;
    join(&names, l, is_mmproj, false);
    qw_fail(err, QWREN_E_ARGUMENT, "%s: has several models; give the path of one: %s", dir, qw_buf_text(&names));
    qw_buf_free(&names);
    return QWREN_E_ARGUMENT;
}

static qwren_status join_path(char **out, const char *dir, const char *name, qwren_error *err)
{
    *out = qw_path_join(dir, name);
    return *out ? QWREN_OK : qw_fail_memory(err, strlen(dir) + strlen(name), "a path");
}

/* The path itself, or that of the model in the folder. */
static qwren_status find_model(char **out, const char *path, qwren_error *err)
{
    qw_names l = { 0 };
    const char *name = NULL;
    if (!qw_dir_exists(path)) {
        if (qw_path_is_special(path))
            return qw_fail(err, QWREN_E_IO, "%s: is no regular file or folder", path);
        if (!qw_file_exists(path))
            return qw_fail(err, QWREN_E_IO, "%s: no such file, or it cannot be read", path);
        *out = qw_strdup(path);
        return *out ? QWREN_OK : qw_fail_memory(err, strlen(path) + 1, "a path");
    }
    qwren_status st = list_files(&l, path, err);
    if (st == QWREN_OK)
        st = choose_model(&l, path, &name, err);
    if (st == QWREN_OK)
        st = join_path(out, path, name, err);
    qw_names_deinit(&l);
    return st;
}

/* ---- parts */

static qwren_status add_part(qw_gguf_files *f, const char *path, int number, int count, qwren_error *err)
{
    size_t n = strlen(path);
    char *part = qw_strdup(path), tail[32];
    if (!part)
        return qw_fail_memory(err, n + 1, "a path");
    if (count > 1) {
        snprintf(tail, sizeof tail, "-%05d-of-%05d.gguf", number, count);
        memcpy(part + n - PART_BYTES, tail, PART_BYTES);
    }
    f->parts[f->n_parts++] = part;
    if (count > 1 && !qw_file_exists(part))
        return qw_fail(err, QWREN_E_IO, "%s: is missing; the model is in %d files, and all of them are needed in one folder", part, count);
    return QWREN_OK;
}

static qwren_status list_parts(qw_gguf_files *f, const char *path, qwren_error *err)
{
    int number, count;
    if (!is_part(path, &number, &count))
        count = 1;
    if (count > MAX_PARTS)
        return qw_fail(err, QWREN_E_LIMIT, "%s: is one of %d files; up to %d are read", path, count, MAX_PARTS);
    f->parts = qw_alloc_array((size_t)count, sizeof *f->parts);
    if (!f->parts)
        return qw_fail_memory(err, (size_t)count * sizeof *f->parts, "a list of files");
    for (int i = 1; i <= count; i++)
        QW_TRY(add_part(f, path, i, count, err));
    return QWREN_OK;
}

/* ---- the image tower */

static qwren_status choose_mmproj(const qw_names *l, const char *dir, const char **out, qwren_error *err)
{
    size_t n = 0;
    for (size_t i = 0; i < l->n; i++)
        if (is_mmproj(l->at[i])) {
            *out = l->at[i];
            n++;
        }
    if (n <= 1)
        return QWREN_OK;
    qw_buf names = QW_BUF_INIT;
    join(&names, l, is_mmproj, true);
    qw_fail(err, QWREN_E_ARGUMENT, "%s: has several image towers; name one as mmproj (or \"none\"): %s", dir, qw_buf_text(&names));
    qw_buf_free(&names);
    return QWREN_E_ARGUMENT;
}

/* The folder of a file: "." when the path has none. */
static char *folder_of(const char *path)
{
    const char *base = qw_path_base(path);
    if (base == path)
        return qw_strdup(".");
    size_t n = (size_t)(base - path);
    return qw_strndup(path, n > 1 ? n - 1 : n);
}

static qwren_status find_mmproj(char **out, const char *model, qwren_error *err)
{
    qw_names l = { 0 };
    const char *name = NULL;
    char *dir = folder_of(model);
    if (!dir)
        return qw_fail_memory(err, strlen(model) + 1, "a path");
    qwren_status st = list_files(&l, dir, err);
    if (st == QWREN_OK)
        st = choose_mmproj(&l, dir, &name, err);
    if (st == QWREN_OK && name)
        st = join_path(out, dir, name, err);
    qw_names_deinit(&l);
    qw_free(dir);
    return st;
}

static qwren_status take_mmproj(qw_gguf_files *f, const char *mmproj, qwren_error *err)
{
    if (!mmproj && is_mmproj(qw_path_base(f->parts[0])))
        return QWREN_OK; /* a tower by its name: gguf_model.c says so if it is one */
    if (!mmproj)
        return find_mmproj(&f->mmproj, f->parts[0], err);
    if (strcmp(mmproj, "none") == 0)
        return QWREN_OK;
    f->mmproj = qw_strdup(mmproj);
    return f->mmproj ? QWREN_OK : qw_fail_memory(err, strlen(mmproj) + 1, "a path");
}

/* ---- the face */

/* Takes no memory of ours, so that it cannot answer wrongly for want of it. */
static bool is_gguf_folder(const char *path)
{
    bool has_gguf = false, has_config = false;
    DIR *d = opendir(path);
    for (struct dirent *e; d && (e = readdir(d));) {
        struct stat s;
        has_gguf = has_gguf || (is_shown_gguf(e->d_name) && fstatat(dirfd(d), e->d_name, &s, 0) == 0 && S_ISREG(s.st_mode));
        has_config = has_config || strcmp(e->d_name, "config.json") == 0;
    }
    if (d)
        closedir(d);
    return has_gguf && !has_config;
}

bool qw_gguf_is_model(const char *path) { return qw_dir_exists(path) ? is_gguf_folder(path) : is_gguf(path) || qw_file_exists(path); }

qwren_status qw_gguf_files_find(qw_gguf_files *out, const char *path, const char *mmproj, qwren_error *err)
{
    char *model = NULL;
    *out = (qw_gguf_files){ 0 };
    qwren_status st = find_model(&model, path, err);
    if (st == QWREN_OK)
        st = list_parts(out, model, err);
    if (st == QWREN_OK)
        st = take_mmproj(out, mmproj, err);
    qw_free(model);
    return st;
}

void qw_gguf_files_deinit(qw_gguf_files *f)
{
    for (size_t i = 0; i < f->n_parts; i++)
        qw_free(f->parts[i]);
    qw_free(f->parts);
    qw_free(f->mmproj);
    *f = (qw_gguf_files){ 0 };
}
