/* Folders (dir.h). Tested by tests/unit/test_base_dir.c. */
#include "base/dir.h"

#include "base/alloc.h"
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static qwren_status fail_io(qwren_error *err, const char *path, const char *what)
{
    return qw_fail(err, QWREN_E_IO, "%s: cannot be %s: %s", path, what, strerror(errno));
}

/* ---- names */

static qwren_status add_name(qw_names *x, const char *name, qwren_error *err)
{
    char **grown = qw_realloc_array(x->at, x->n + 1, sizeof *grown);
    if (grown)
        x->at = grown;
    char *copy = grown ? qw_strdup(name) : NULL;
    if (!copy)
        return qw_fail_memory(err, strlen(name) + (x->n + 1) * sizeof *grown, "names of files");
    x->at[x->n++] = copy;
    return QWREN_OK;
}

static int compare(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

static bool is_link_to_itself(const char *name) { return strcmp(name, ".") == 0 || strcmp(name, "..") == 0; }

/* readdir tells a failure from the end by errno alone. */
static qwren_status read_names(qw_names *out, DIR *d, const char *path, bool (*wanted)(const char *name), qwren_error *err)
{
    errno = 0;
    for (struct dirent *e; (e = readdir(d)); errno = 0)
        if (!is_link_to_itself(e->d_name) && (!wanted || wanted(e->d_name)))
            QW_TRY(add_name(out, e->d_name, err));
    return errno ? fail_io(err, path, "read") : QWREN_OK;
}

qwren_status qw_dir_list(qw_names *out, const char *path, bool (*wanted)(const char *name), qwren_error *err)
{
    *out = (qw_names){ 0 };
    DIR *d = opendir(path);
    if (!d)
        return fail_io(err, path, "read");
    qwren_status st = read_names(out, d, path, wanted, err);
    closedir(d);
    if (out->n > 1)
        qsort(out->at, out->n, sizeof *out->at, compare);
    return st;
}

void qw_names_deinit(qw_names *x)
{
    for (size_t i = 0; i < x->n; i++)
        qw_free(x->at[i]);
    qw_free(x->at);
    *x = (qw_names){ 0 };
}

/* ---- folders */

qwren_status qw_dir_make(const char *path, qwren_error *err)
{
    return mkdir(path, 0777) == 0 || errno == EEXIST ? QWREN_OK : fail_io(err, path, "made");
}

qwren_status qw_dir_sync(const char *path, qwren_error *err)
{
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return fail_io(err, path, "opened");
    bool done = fsync(fd) == 0 || errno == EINVAL || errno == EROFS; /* some file systems have nothing to do here */
    qwren_status st = done ? QWREN_OK : fail_io(err, path, "written");
    close(fd);
    return st;
}

static void forget_file(const char *path)
{
#if defined(POSIX_FADV_DONTNEED)
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return;
    posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
#else
    (void)path;
#endif
}

void qw_dir_forget(const char *path)
{
    qw_names names;
    if (!qw_dir_exists(path)) {
        forget_file(path);
        return;
    }
    if (qw_dir_list(&names, path, NULL, NULL) == QWREN_OK)
        for (size_t i = 0; i < names.n; i++) {
            char *file = qw_path_join(path, names.at[i]);
            if (file && qw_file_exists(file))
                forget_file(file);
            qw_free(file);
        }
    qw_names_deinit(&names);
}
