/* The journal of an unfinished quantize (journal.h). A line counts when it is whole: text, then a line break. Whether the bytes it speaks
 * of are on the disk is checked by those who read it. Tested by tests/unit/test_folder.c. */
#include "convert/journal.h"

#include "base/alloc.h"
#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_BYTES ((size_t)256 << 20)

static qwren_status fail_io(const qw_journal *j, const char *what, qwren_error *err)
{
    return qw_fail(err, QWREN_E_IO, "%s: cannot be %s: %s", j->path, what, strerror(errno));
}

/* ---- the lock */

/* A process that waited for the file may find that the run before it has moved the folder away in the meantime. */
static bool is_still_there(const qw_journal *j)
{
    struct stat mine, named;
    return fstat(j->fd, &mine) == 0 && stat(j->path, &named) == 0 && mine.st_ino == named.st_ino && mine.st_dev == named.st_dev;
}

static qwren_status open_locked(qw_journal *j, qwren_error *err)
{
    j->fd = open(j->path, O_RDWR | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
    if (j->fd < 0)
        return fail_io(j, "written", err);
    bool locked = flock(j->fd, LOCK_EX | LOCK_NB) == 0;
    if (!locked && errno != EWOULDBLOCK)
        return fail_io(j, "locked", err);
    if (locked && is_still_there(j))
        return QWREN_OK;
    return qw_fail(err, QWREN_E_IO, "%s: another qwren is writing there; wait for it, or stop it", j->path);
}

/* ---- lines */

static qwren_status keep_line(qw_journal *j, qw_json *line, qwren_error *err)
{
    qw_json **grown = qw_realloc_array(j->lines, j->n + 1, sizeof *grown);
    if (!grown) {
        qw_json_free(line);
        return qw_fail_memory(err, (j->n + 1) * sizeof *grown, "the journal");
    }
    j->lines = grown;
    j->lines[j->n++] = line;
    return QWREN_OK;
}

/* Whole lines up to the first that is none; *good counts their bytes. */
static qwren_status parse_lines(qw_journal *j, const char *text, size_t len, size_t *good, qwren_error *err)
{
    const char *end;
    *good = 0;
    while ((end = memchr(text + *good, '\n', len - *good))) {
        qw_json *line;
        size_t n = (size_t)(end - text) - *good;
        qwren_status st = qw_json_parse(&line, text + *good, n, j->path, err);
        if (st == QWREN_E_MEMORY)
            return st;
        if (st != QWREN_OK)
            break;
        QW_TRY(keep_line(j, line, err));
        *good += n + 1;
    }
    return QWREN_OK;
}

qwren_status qw_journal_open(qw_journal *j, const char *path, qwren_error *err)
{
    char *text;
    size_t len, good;
    *j = (qw_journal){ .fd = -1, .path = qw_strdup(path) };
    if (!j->path)
        return qw_fail_memory(err, strlen(path), "a path");
    QW_TRY(open_locked(j, err));
    QW_TRY(qw_file_read(path, MAX_BYTES, &text, &len, err));
    qwren_status st = parse_lines(j, text, len, &good, err);
    qw_free(text);
    QW_TRY(st);
    return good == len || ftruncate(j->fd, (off_t)good) == 0 ? QWREN_OK : fail_io(j, "written", err);
}

static void free_lines(qw_journal *j)
{
    for (size_t i = 0; i < j->n; i++)
        qw_json_free(j->lines[i]);
    qw_free(j->lines);
    j->lines = NULL;
    j->n = 0;
}

void qw_journal_close(qw_journal *j)
{
    free_lines(j);
    if (j->fd >= 0)
        close(j->fd);
    qw_free(j->path);
    *j = (qw_journal){ .fd = -1 };
}

qwren_status qw_journal_clear(qw_journal *j, qwren_error *err)
{
    free_lines(j);
    return ftruncate(j->fd, 0) == 0 ? QWREN_OK : fail_io(j, "written", err);
}

/* A disk that is full in the middle of a line leaves nothing of it: the next line would be glued to it. */
static qwren_status write_line(const qw_journal *j, const qw_buf *line, qwren_error *err)
{
    struct stat before;
    ssize_t n;
    if (fstat(j->fd, &before) != 0)
        return fail_io(j, "written", err);
    do
        n = write(j->fd, line->data, line->len);
    while (n < 0 && errno == EINTR);
    if (n >= 0 && (size_t)n == line->len)
        return QWREN_OK;
    int error = n < 0 ? errno : ENOSPC;
    if (n > 0 && ftruncate(j->fd, before.st_size) != 0)
        error = errno;
    errno = error;
    return fail_io(j, "written", err);
}

qwren_status qw_journal_add(qw_journal *j, const char *const fields[QW_JOURNAL_FIELDS], qwren_error *err)
{
    qw_buf line = QW_BUF_INIT;
    qw_json *parsed = NULL;
    for (size_t k = 0; k < QW_JOURNAL_FIELDS && fields[k]; k++) {
        qw_buf_puts(&line, k ? ", " : "[");
        qw_json_dump_string(&line, fields[k], strlen(fields[k]));
    }
    qw_buf_puts(&line, "]\n");
    qwren_status st = qw_buf_status(&line, err);
    if (st == QWREN_OK)
        st = qw_json_parse(&parsed, line.data, line.len - 1, j->path, err);
    if (st == QWREN_OK)
        st = keep_line(j, parsed, err);
    if (st == QWREN_OK)
        st = write_line(j, &line, err);
    qw_buf_free(&line);
    return st;
}

const char *qw_journal_field(const qw_journal *j, size_t i, size_t k)
{
    const char *s = i < j->n ? qw_json_string(qw_json_at(j->lines[i], k), NULL) : NULL;
    return s ? s : "";
}

size_t qw_journal_last(const qw_journal *j, const char *first, const char *second)
{
    for (size_t i = j->n; i-- > 0;)
        if (strcmp(qw_journal_field(j, i, 0), first) == 0 && (!second || strcmp(qw_journal_field(j, i, 1), second) == 0))
            return i;
    return j->n;
}
