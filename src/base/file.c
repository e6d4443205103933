/* Files (file.h). Tested by tests/unit/test_base_file.c. */
#include "base/file.h"

#include "base/alloc.h"
#include "base/buf.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define AHEAD_BYTES ((size_t)1 << 20)
/* How often another process may put another file in place while one is being opened. */
#define MOST_TRIES 16

/* ---- reading */

static qwren_status fail_io(qwren_error *err, const char *path, const char *doing)
{
    return qw_fail(err, QWREN_E_IO, "%s: %s: %s", path, doing, strerror(errno));
}

/* An open regular file and its size; directories, pipes and devices are refused. */
static qwren_status open_regular(const char *path, int *fd, size_t *size, qwren_error *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (*fd < 0)
        return fail_io(err, path, "cannot be opened");
    struct stat s;
    qwren_status st = QWREN_OK;
    if (fstat(*fd, &s) != 0)
        st = fail_io(err, path, "cannot be examined");
    else if (!S_ISREG(s.st_mode))
        st = qw_fail(err, QWREN_E_IO, "%s: is %s, a regular file is needed", path,
                     S_ISDIR(s.st_mode) ? "a directory" : "not a regular file");
    if (st != QWREN_OK) {
        close(*fd);
        return st;
    }
    *size = (size_t)s.st_size;
    return QWREN_OK;
}

/* Linux fills its cache in pieces of two megabytes where a mapping with this advice is touched (5.18), and maps them as one page each: those who read all of it are a tenth
 * faster. It cannot be asked whether it does that, but whether it knows an advice that came soon after (6.1). */
static bool ask_for_huge_pages(void *p, size_t size)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    enum { COLLAPSE = 25 };
    return size >= QW_MAP_HUGE && madvise(p, 0, COLLAPSE) == 0 && madvise(p, size, MADV_HUGEPAGE) == 0;
#else
    (void)p;
    (void)size;
    return false;
#endif
}

qwren_status qw_map_open(qw_map *out, const char *path, qwren_error *err)
{
    int fd;
    *out = (qw_map){ 0 };
    QW_TRY(open_regular(path, &fd, &out->size, err));
    qwren_status st = QWREN_OK;
    if (out->size) {
        void *p = mmap(NULL, out->size, PROT_READ, MAP_SHARED, fd, 0);
        if (p == MAP_FAILED)
            st = fail_io(err, path, "cannot be mapped");
        else
            *out = (qw_map){ p, out->size, ask_for_huge_pages(p, out->size) };
    }
    close(fd);
    if (st != QWREN_OK)
        out->size = 0;
    return st;
}

qwren_status qw_map_make(qw_map *out, uint8_t **bytes, size_t size, qwren_error *err)
{
    *out = (qw_map){ 0 };
    *bytes = NULL;
    void *p = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (p == MAP_FAILED)
        return qw_fail_memory(err, size, "a mapping");
    qw_huge_pages(p, size);
    *bytes = p;
    *out = (qw_map){ p, size, false };
    return QWREN_OK;
}

void qw_map_close(qw_map *m)
{
    if (m->data) {
        union {
            const uint8_t *given;
            void *taken;
        } p = { m->data };
        munmap(p.taken, m->size);
    }
    *m = (qw_map){ 0 };
}

/* Whole pages around the bytes: what lies beside them comes and goes alike. */
typedef struct pages {
    void *begin;
    size_t size;
} pages;

static pages pages_of(const void *p, size_t n)
{
    const uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE), begin = (uintptr_t)p / page * page,
                    end = ((uintptr_t)p + n + page - 1) / page * page;
    return (pages){ (void *)begin, n ? end - begin : 0 }; // NOLINT(performance-no-int-to-ptr)
}

/* Both are hints: where they are refused it costs memory or time and nothing else. */
static void advise(const void *p, size_t n, int advice)
{
    const pages all = pages_of(p, n);
    if (all.size)
        madvise(all.begin, all.size, advice);
}

void qw_map_release(const void *p, size_t n) { advise(p, n, MADV_DONTNEED); }

/* Huge pages come fast enough where they are touched, and what opening a model touched of parts that nobody may want leaves this process. Small ones are asked for ahead, so
 * many at once as every system takes. */
void qw_map_expect(const qw_map *m)
{
    if (m->is_huge)
        qw_map_release(m->data, m->size);
    for (size_t at = 0; !m->is_huge && at < m->size; at += AHEAD_BYTES)
        advise(m->data + at, m->size - at < AHEAD_BYTES ? m->size - at : AHEAD_BYTES, MADV_WILLNEED);
}

qwren_status qw_map_lock(const void *p, size_t n, qwren_error *err)
{
    const pages all = pages_of(p, n);
    if (!all.size || mlock(all.begin, all.size) == 0)
        return QWREN_OK;
    return qw_fail(
        err, QWREN_E_LIMIT,
        "the weights cannot be locked in memory: %s; raise the limit (`ulimit -l`, or LimitMEMLOCK= of a service), or do without",
        strerror(errno));
}

static qwren_status fail_large(qwren_error *err, const char *name, size_t max_bytes)
{
    return qw_fail(err, QWREN_E_LIMIT, "%s: larger than the limit of %zu bytes", name, max_bytes);
}

qwren_status qw_file_read_stream(void *stdio_file, const char *name, size_t max_bytes, char **out, size_t *len, qwren_error *err)
{
    qw_buf b = QW_BUF_INIT;
    char piece[16384];
    *out = NULL;
    *len = 0;
    for (;;) {
        size_t n = fread(piece, 1, sizeof piece, stdio_file);
        if (n == 0 || ferror((FILE *)stdio_file)) /* a signal may interrupt a read that has some bytes already */
            break;
        qw_buf_append(&b, piece, n);
        if (b.len > max_bytes || b.failed)
            break;
    }
    qwren_status st = QWREN_OK;
    if (ferror((FILE *)stdio_file))
        st = fail_io(err, name, "cannot be read");
    else if (b.len > max_bytes)
        st = fail_large(err, name, max_bytes);
    if (st != QWREN_OK) {
        qw_buf_free(&b);
        return st;
    }
    return qw_buf_take(&b, out, len, err);
}

qwren_status qw_file_read(const char *path, size_t max_bytes, char **out, size_t *len, qwren_error *err)
{
    int fd;
    size_t size = 0;
    *out = NULL;
    *len = 0;
    QW_TRY(open_regular(path, &fd, &size, err));
    if (size > max_bytes) {
        close(fd);
        return fail_large(err, path, max_bytes);
    }
    FILE *f = fdopen(fd, "rb");
    if (!f) {
        qwren_status st = fail_io(err, path, "cannot be read");
        close(fd);
        return st;
    }
    qwren_status st = qw_file_read_stream(f, path, max_bytes, out, len, err);
    fclose(f);
    return st;
}

bool qw_file_exists(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISREG(s.st_mode) && access(path, R_OK) == 0;
}

bool qw_path_exists(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0;
}

/* A new file is made in the folder of its name. */
static qwren_status check_folder(const char *path, qwren_error *err)
{
    const size_t n = (size_t)(qw_path_base(path) - path);
    char *folder = n ? qw_strndup(path, n) : qw_strndup(".", 1);
    if (!folder)
        return qw_fail_memory(err, n + 1, path);
    const bool may = access(folder, W_OK | X_OK) == 0;
    qw_free(folder);
    return may ? QWREN_OK : fail_io(err, path, "cannot be written");
}

qwren_status qw_file_check_place(const char *path, qwren_error *err)
{
    struct stat s;
    if (!*path)
        return qw_fail(err, QWREN_E_IO, "the name of a file is empty; give one");
    if (stat(path, &s) != 0)
        return errno == ENOENT ? check_folder(path, err) : fail_io(err, path, "cannot be written");
    if (!S_ISREG(s.st_mode))
        return qw_fail(err, QWREN_E_IO, "%s: is not a regular file", path);
    return access(path, W_OK) == 0 ? QWREN_OK : fail_io(err, path, "cannot be written");
}

bool qw_path_is_special(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && !S_ISREG(s.st_mode) && !S_ISDIR(s.st_mode);
}

bool qw_dir_exists(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && S_ISDIR(s.st_mode);
}

/* ---- writing */

struct qw_writer {
    FILE *file;
    char *path, *temporary; /* temporary is NULL once renamed, and for devices and pipes that are written directly */
};

static bool is_special(const char *path)
{
    struct stat s;
    return stat(path, &s) == 0 && !S_ISREG(s.st_mode);
}

qwren_status qw_writer_open(qw_writer **out, const char *path, qwren_error *err)
{
    *out = NULL;
    qw_writer *w = qw_calloc(1, sizeof *w);
    qw_buf name = QW_BUF_INIT;
    qw_buf_printf(&name, "%s.tmp-%ld", path, (long)getpid());
    char *temporary = NULL;
    qwren_status st = qw_buf_take(&name, &temporary, NULL, err);
    char *copy = qw_strdup(path);
    if (!w || !copy || st != QWREN_OK) {
        qw_free(w);
        qw_free(copy);
        qw_free(temporary);
        return qw_fail_memory(err, sizeof *w, "a file writer");
    }
    bool direct = is_special(path);
    *w = (qw_writer){ fopen(direct ? path : temporary, "wbe"), copy, temporary };
    if (!w->file)
        st = fail_io(err, path, "cannot be written");
    if (direct || st != QWREN_OK) {
        qw_free(w->temporary);
        w->temporary = NULL;
    }
    if (st != QWREN_OK) {
        qw_writer_close(w);
        return st;
    }
    *out = w;
    return QWREN_OK;
}

qwren_status qw_writer_write(qw_writer *w, const void *p, size_t n, qwren_error *err)
{
    return n == 0 || fwrite(p, 1, n, w->file) == n ? QWREN_OK : fail_io(err, w->path, "cannot be written");
}

qwren_status qw_writer_commit(qw_writer *w, qwren_error *err)
{
    if (fflush(w->file) != 0 || (w->temporary && fsync(fileno(w->file)) != 0))
        return fail_io(err, w->path, "cannot be written");
    if (!w->temporary)
        return QWREN_OK;
    if (rename(w->temporary, w->path) != 0)
        return fail_io(err, w->path, "cannot be put in place");
    qw_free(w->temporary);
    w->temporary = NULL;
    return QWREN_OK;
}

void qw_writer_close(qw_writer *w)
{
    if (!w)
        return;
    if (w->file)
        fclose(w->file);
    if (w->temporary)
        unlink(w->temporary);
    qw_free(w->temporary);
    qw_free(w->path);
    qw_free(w);
}

qwren_status qw_file_write(const char *path, const void *bytes, size_t n, qwren_error *err)
{
    qw_writer *w;
    QW_TRY(qw_writer_open(&w, path, err));
    qwren_status st = qw_writer_write(w, bytes, n, err);
    if (st == QWREN_OK)
        st = qw_writer_commit(w, err);
    qw_writer_close(w);
    return st;
}

/* The lock is one on a file, not on its name: while it was waited for, another one may have been put in its place. */
static bool lock_named(int fd, const char *path, struct stat *locked)
{
    struct stat named;
    while (flock(fd, LOCK_EX) != 0 && errno == EINTR)
        ;
    return fstat(fd, locked) == 0 && stat(path, &named) == 0 && named.st_dev == locked->st_dev && named.st_ino == locked->st_ino;
}

qwren_status qw_file_open_locked(int *fd, const char *path, qwren_error *err)
{
    struct stat st;
    for (int i = 0; i < MOST_TRIES; i++) {
        *fd = open(path, O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC | O_NONBLOCK, 0600);
        if (*fd < 0)
            return fail_io(err, path, "cannot be opened");
        const bool ours = lock_named(*fd, path, &st);
        if (ours && S_ISREG(st.st_mode))
            return QWREN_OK;
        close(*fd);
        if (ours)
            return qw_fail(err, QWREN_E_IO, "%s: is not a regular file", path);
    }
    return qw_fail(err, QWREN_E_IO, "%s: others put new files in its place all the time", path);
}

qwren_status qw_file_append(int fd, const char *path, const void *bytes, size_t n, qwren_error *err)
{
    const ssize_t k = write(fd, bytes, n); /* at once: who reads it meanwhile takes no lock */
    if (k < 0)
        return fail_io(err, path, "cannot be written");
    if ((size_t)k < n)
        return qw_fail(err, QWREN_E_IO, "%s: only %zu of %zu bytes could be written; is the disk full?", path, (size_t)k, n);
    return QWREN_OK;
}

void qw_file_make_page(int fd, uint64_t at)
{
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    uint8_t *p = mmap(NULL, QW_HUGE_PAGE, PROT_READ, MAP_SHARED, fd, (off_t)(at / QW_HUGE_PAGE * QW_HUGE_PAGE));
    if (p == MAP_FAILED)
        return;
    if (madvise(p, QW_HUGE_PAGE, MADV_HUGEPAGE) == 0)
        (void)*(volatile uint8_t *)p;
    munmap(p, QW_HUGE_PAGE);
#else
    (void)fd;
    (void)at;
#endif
}

/* ---- paths */

char *qw_path_join(const char *dir, const char *name)
{
    size_t n = strlen(dir);
    qw_buf b = QW_BUF_INIT;
    qw_buf_append(&b, dir, n);
    if (n && dir[n - 1] != '/')
        qw_buf_putc(&b, '/');
    qw_buf_puts(&b, name);
    char *out = NULL;
    return qw_buf_take(&b, &out, NULL, NULL) == QWREN_OK ? out : NULL;
}

const char *qw_path_base(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}
