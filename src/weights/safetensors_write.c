/* Writing a safetensors file piece by piece (safetensors_write.h). The header is a pure function of the entries, so a run that goes on
 * knows its file by it. Tested by tests/unit/test_safetensors_write.c. */
#include "weights/safetensors_write.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define LENGTH_BYTES 8
#define DATA_ALIGN 64

struct qw_st_writer {
    char *path;
    int fd;
    bool was_there;
    size_t n;
    uint64_t *begins; /* [n + 1]: place of each tensor in the file; the last is the file's size */
    bool *has_page;   /* [huge pages of the file] whether the system's cache was given one; NULL when it is none of our business */
};

/* ---- the header */

bool qw_st_entry_bytes(const qw_st_entry *e, size_t *out)
{
    size_t bytes = qw_type_block_bytes(e->type);
    for (int i = 0; i < e->n_dims; i++)
        if (!qw_mul_size(bytes, e->shape[i], &bytes))
            return false;
    *out = bytes;
    return true;
}

static void put_entry(qw_buf *header, const qw_st_entry *e, uint64_t begin, uint64_t end)
{
    qw_buf_puts(header, ", ");
    qw_json_dump_string(header, e->name, strlen(e->name));
    qw_buf_printf(header, ": {\"dtype\": \"%s\", \"shape\": [", qw_type_name(e->type));
    for (int i = 0; i < e->n_dims; i++)
        qw_buf_printf(header, i ? ", %zu" : "%zu", e->shape[i]);
    qw_buf_printf(header, "], \"data_offsets\": [%llu, %llu]}", (unsigned long long)begin, (unsigned long long)end);
}

/* Length and JSON, and in begins the places of the tensors counted from the first. */
static qwren_status make_header(qw_buf *out, uint64_t *begins, const qw_st_entry *entries, size_t n, const char *format, qwren_error *err)
{
    size_t bytes;
    uint8_t length[LENGTH_BYTES] = { 0 };
    qw_buf_append(out, length, sizeof length);
    qw_buf_puts(out, "{\"__metadata__\": {\"format\": ");
    qw_json_dump_string(out, format, strlen(format));
    qw_buf_putc(out, '}');
    begins[0] = 0;
    for (size_t i = 0; i < n; i++) {
        if (!qw_st_entry_bytes(&entries[i], &bytes) || bytes > INT64_MAX / 2 - begins[i])
            return qw_fail(err, QWREN_E_LIMIT, "tensor %s is too large for a file", entries[i].name);
        begins[i + 1] = begins[i] + bytes;
        put_entry(out, &entries[i], begins[i], begins[i + 1]);
    }
    qw_buf_putc(out, '}');
    while (out->len % DATA_ALIGN && !out->failed)
        qw_buf_putc(out, ' ');
    QW_TRY(qw_buf_status(out, err));
    for (size_t i = 0, left = out->len - LENGTH_BYTES; i < LENGTH_BYTES; i++, left >>= 8)
        out->data[i] = (char)(left & 255);
    return QWREN_OK;
}

/* ---- the file */

static qwren_status fail_write(const qw_st_writer *w, int error, uint64_t bytes, qwren_error *err)
{
    if (error == ENOSPC || error == EDQUOT || error == EFBIG)
        return qw_fail(err, QWREN_E_IO, "%s: cannot be written: %s; the file needs %.1f GB", w->path, strerror(error), (double)bytes / 1e9);
    return qw_fail(err, QWREN_E_IO, "%s: cannot be written: %s", w->path, strerror(error));
}

static qwren_status write_all(const qw_st_writer *w, const void *bytes, size_t n, uint64_t at, qwren_error *err)
{
    const char *p = bytes;
    while (n) {
        ssize_t done = pwrite(w->fd, p, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return fail_write(w, done ? errno : ENOSPC, w->begins[w->n], err);
        p += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return QWREN_OK;
}

static qwren_status read_all(const qw_st_writer *w, void *bytes, size_t n, uint64_t at, qwren_error *err)
{
    char *p = bytes;
    while (n) {
        ssize_t done = pread(w->fd, p, n, (off_t)at);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return qw_fail(err, QWREN_E_IO, "%s: cannot be read: %s", w->path, done ? strerror(errno) : "it became shorter");
        p += done;
        at += (uint64_t)done;
        n -= (size_t)done;
    }
    return QWREN_OK;
}

/* A large new file is written into huge pages, for it will be mapped and read as a whole. */
static qwren_status prepare_pages(qw_st_writer *w, qwren_error *err)
{
    const uint64_t size = w->begins[w->n], pages = size / QW_HUGE_PAGE + 1;
    if (size < QW_MAP_HUGE)
        return QWREN_OK;
    w->has_page = qw_calloc((size_t)pages, sizeof *w->has_page);
    return w->has_page ? QWREN_OK : qw_fail_memory(err, (size_t)pages * sizeof *w->has_page, "a weight file");
}

static void make_pages(qw_st_writer *w, size_t n, uint64_t at)
{
    if (!w->has_page || !n)
        return;
    for (uint64_t page = at / QW_HUGE_PAGE; page <= (at + n - 1) / QW_HUGE_PAGE; page++) {
        if (!w->has_page[page])
            qw_file_make_page(w->fd, page * QW_HUGE_PAGE);
        w->has_page[page] = true;
    }
}

/* Whether the file begins with this header and has the size that goes with it. */
static qwren_status look_at_old(qw_st_writer *w, const qw_buf *header, qwren_error *err)
{
    struct stat s;
    if (fstat(w->fd, &s) != 0 || !S_ISREG(s.st_mode))
        return qw_fail(err, QWREN_E_IO, "%s: is no regular file", w->path);
    if ((uint64_t)s.st_size != w->begins[w->n])
        return QWREN_OK;
    char *old = qw_malloc(header->len);
    if (!old)
        return qw_fail_memory(err, header->len, "the header of a weight file");
    qwren_status st = read_all(w, old, header->len, 0, err);
    w->was_there = st == QWREN_OK && memcmp(old, header->data, header->len) == 0;
    qw_free(old);
    return st;
}

/* Space for all of it, so that a disk that is too small is known now. Where the file system cannot promise it, the file gets its size
 * alone. */
static qwren_status reserve(const qw_st_writer *w, qwren_error *err)
{
    uint64_t size = w->begins[w->n];
    int error = 0;
    if (ftruncate(w->fd, 0) != 0)
        error = errno;
#ifdef __linux__
    while (!error && fallocate(w->fd, 0, 0, (off_t)size) != 0) {
        if (errno == EOPNOTSUPP || errno == ENOSYS)
            break;
        error = errno == EINTR ? 0 : errno;
    }
#endif
    if (!error && ftruncate(w->fd, (off_t)size) != 0)
        error = errno;
    return error ? fail_write(w, error, size, err) : QWREN_OK;
}

/* The header goes last: a file that a broken run left without its space is not taken over. */
static qwren_status open_file(qw_st_writer *w, const qw_buf *header, qwren_error *err)
{
    w->fd = open(w->path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    if (w->fd < 0)
        return fail_write(w, errno, w->begins[w->n], err);
    QW_TRY(look_at_old(w, header, err));
    if (w->was_there)
        return QWREN_OK;
    QW_TRY(reserve(w, err));
    QW_TRY(prepare_pages(w, err));
    return write_all(w, header->data, header->len, 0, err);
}

qwren_status qw_st_create(qw_st_writer **out, const char *path, const qw_st_entry *entries, size_t n, const char *format, qwren_error *err)
{
    qw_buf header = QW_BUF_INIT;
    qwren_status st;
    *out = NULL;
    qw_st_writer *w = qw_calloc(1, sizeof *w);
    if (!w)
        return qw_fail_memory(err, sizeof *w, "a weight file");
    *w = (qw_st_writer){ .path = qw_strdup(path), .fd = -1, .n = n, .begins = qw_alloc_array(n + 1, sizeof *w->begins) };
    st = w->path && w->begins ? QWREN_OK : qw_fail_memory(err, (n + 1) * sizeof *w->begins, "a weight file");
    if (st == QWREN_OK)
        st = make_header(&header, w->begins, entries, n, format, err);
    for (size_t i = 0; st == QWREN_OK && i <= n; i++)
        w->begins[i] += header.len;
    if (st == QWREN_OK)
        st = open_file(w, &header, err);
    qw_buf_free(&header);
    if (st != QWREN_OK)
        qw_st_close(w);
    else
        *out = w;
    return st;
}

/* ---- pieces */

static qwren_status check_range(const qw_st_writer *w, size_t i, size_t offset, size_t n, qwren_error *err)
{
    uint64_t size = i < w->n ? w->begins[i + 1] - w->begins[i] : 0;
    if (offset > size || n > size - offset)
        return qw_fail(err, QWREN_E_INTERNAL, "%s: %zu bytes at %zu do not lie in tensor %zu of %llu bytes", w->path, n, offset, i,
                       (unsigned long long)size);
    return QWREN_OK;
}

qwren_status qw_st_write(qw_st_writer *w, size_t i, size_t offset, const void *bytes, size_t n, qwren_error *err)
{
    QW_TRY(check_range(w, i, offset, n, err));
    const uint64_t at = n ? w->begins[i] + offset : 0;
    make_pages(w, n, at);
    return write_all(w, bytes, n, at, err);
}

qwren_status qw_st_read(const qw_st_writer *w, size_t i, size_t offset, void *bytes, size_t n, qwren_error *err)
{
    QW_TRY(check_range(w, i, offset, n, err));
    return read_all(w, bytes, n, n ? w->begins[i] + offset : 0, err);
}

qwren_status qw_st_finish(qw_st_writer *w, qwren_error *err)
{
    return fsync(w->fd) == 0 ? QWREN_OK : fail_write(w, errno, w->begins[w->n], err);
}

void qw_st_close(qw_st_writer *w)
{
    if (!w)
        return;
    if (w->fd >= 0)
        close(w->fd);
    qw_free(w->path);
    qw_free(w->begins);
    qw_free(w->has_page);
    qw_free(w);
}
