/* The append log (store.h). Plain reads and writes, no mapping: a file that another process cuts while it is read ends early, and that is
 * all. Structs are written as they
 * lie in memory: quant/tensor.c insists on little-endian machines. Tested by tests/unit/test_store.c and tests/fuzz/fuzz_store.c. */
#include "runtime/store.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "base/utf8.h"

#include <errno.h>
#include <fcntl.h>
#include <stddef.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC "qwrenlog"
#define VERSION 1
/* What is read is still in the processor's cache when its checksum is taken. */
#define CHUNK ((size_t)256 << 10)
/* How often another process may put another file in place while one is being opened. */
#define MOST_TRIES 16

typedef struct file_head {
    char magic[8];
    uint32_t version, kind;
    uint8_t key[QW_STORE_KEY];
    uint64_t zero[2];
    char about[QW_STORE_ABOUT];
    uint64_t sum; /* XXH64 of what stands before it */
} file_head;

typedef struct block_head {
    uint32_t tag, zero;
    uint64_t bytes, at; /* `at`: of the block itself, so that old bytes of another place are not taken for a block */
    uint64_t info[3];
    uint64_t payload_sum;
    uint64_t sum; /* XXH64 of what stands before it */
} block_head;

_Static_assert(sizeof(file_head) == QW_STORE_HEAD_BYTES && sizeof(block_head) == QW_STORE_BLOCK_BYTES, "as docs/session-file.md says");

struct qw_store {
    int fd;
    char *path;
    qw_store_head head;
    uint64_t size, at; /* bytes of the file; where the next block is looked for */
    uint64_t end;      /* when writing: where the next one goes */
    int trouble;       /* errno of the last look for a block; 0: it could be read */
};

static qwren_status fail_io(const qw_store *s, const char *doing, qwren_error *err)
{
    return qw_fail(err, QWREN_E_IO, "%s: cannot be %s: %s", s->path, doing, strerror(errno));
}

static uint64_t rounded(uint64_t n) { return (n + QW_STORE_ALIGN - 1) / QW_STORE_ALIGN * QW_STORE_ALIGN; }

/* ---- bytes */

/* All n bytes, or how many there are before the end of the file; -1 with errno. */
static ssize_t read_at(int fd, void *p, size_t n, uint64_t at)
{
    size_t done = 0;
    while (done < n) {
        const ssize_t got = pread(fd, (char *)p + done, n - done, (off_t)(at + done));
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -1;
        if (got == 0)
            break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static bool write_at(int fd, const void *p, size_t n, uint64_t at)
{
    for (size_t done = 0; done < n;) {
        const ssize_t got = pwrite(fd, (const char *)p + done, n - done, (off_t)(at + done));
        if (got == 0)
            errno = ENOSPC; /* it has no other way to say so */
        if (got == 0 || (got < 0 && errno != EINTR))
            return false;
        done += got > 0 ? (size_t)got : 0;
    }
    return true;
}

/* ---- opening */

static file_head make_head(const qw_store_head *head)
{
    file_head h = { .version = VERSION, .kind = head->kind };
    memcpy(h.magic, MAGIC, sizeof h.magic);
    memcpy(h.key, head->key, sizeof h.key);
    memcpy(h.about, head->about, strnlen(head->about, sizeof h.about - 1));
    h.sum = qw_hash_bytes(&h, offsetof(file_head, sum));
    return h;
}

static qwren_status check_head(const qw_store *s, const file_head *h, size_t n, uint32_t kind, qwren_error *err)
{
    if (n < sizeof *h || memcmp(h->magic, MAGIC, sizeof h->magic) != 0)
        return qw_fail(err, QWREN_E_FORMAT, "%s: is not a file that qwren saved", s->path);
    if (h->version != VERSION)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: was saved by another version of qwren (its format is %u, this one reads %d)", s->path,
                       (unsigned)h->version, VERSION);
    if (h->sum != qw_hash_bytes(h, offsetof(file_head, sum)))
        return qw_fail(err, QWREN_E_FORMAT, "%s: its head is damaged; nothing of it can be used", s->path);
    if (h->kind != kind)
        return qw_fail(err, QWREN_E_FORMAT, "%s: holds something else ('%.4s' where '%.4s' is needed)", s->path, (const char *)&h->kind,
                       (const char *)&kind);
    return QWREN_OK;
}

/* It is shown to people. */
static bool is_printable(const char *s)
{
    for (const char *p = s; *p; p++)
        if ((unsigned char)*p < ' ')
            return false;
    return qw_utf8_is_valid(s, strlen(s));
}

static qwren_status read_head(qw_store *s, uint32_t kind, qwren_error *err)
{
    file_head h = { 0 };
    const ssize_t n = read_at(s->fd, &h, sizeof h, 0);
    if (n < 0)
        return fail_io(s, "read", err);
    QW_TRY(check_head(s, &h, (size_t)n, kind, err));
    s->head.kind = h.kind;
    memcpy(s->head.key, h.key, sizeof h.key);
    memcpy(s->head.about, h.about, sizeof h.about);
    s->head.about[sizeof s->head.about - 1] = '\0';
    if (!is_printable(s->head.about))
        strcpy(s->head.about, "a model without a name");
    s->at = sizeof h;
    return QWREN_OK;
}

static qwren_status examine(qw_store *s, struct stat *st, qwren_error *err)
{
    if (fstat(s->fd, st) != 0)
        return fail_io(s, "examined", err);
    if (!S_ISREG(st->st_mode))
        return qw_fail(err, QWREN_E_IO, "%s: is not a regular file", s->path);
    s->size = (uint64_t)st->st_size;
    return QWREN_OK;
}

static qwren_status open_file(qw_store *s, int flags, qwren_error *err)
{
    struct stat st;
    s->fd = open(s->path, flags | O_CLOEXEC | O_NONBLOCK, 0666);
    if (s->fd < 0)
        return fail_io(s, flags == O_RDONLY ? "opened" : "written", err);
    return examine(s, &st, err);
}

static qwren_status new_store(qw_store **s, const char *path, qwren_error *err)
{
    *s = qw_calloc(1, sizeof **s);
    if (!*s)
        return qw_fail_memory(err, sizeof **s, "a file of blocks");
    (*s)->fd = -1;
    (*s)->path = qw_strdup(path);
    return (*s)->path ? QWREN_OK : qw_fail_memory(err, strlen(path) + 1, "a path");
}

static qwren_status hand_out(qw_store **out, qw_store *s, qwren_status st)
{
    if (st == QWREN_OK)
        *out = s;
    else
        qw_store_close(s);
    return st;
}

qwren_status qw_store_open(qw_store **out, const char *path, uint32_t kind, qwren_error *err)
{
    qw_store *s;
    *out = NULL;
    qwren_status st = new_store(&s, path, err);
    if (st == QWREN_OK)
        st = open_file(s, O_RDONLY, err);
    if (st == QWREN_OK)
        st = read_head(s, kind, err);
    return hand_out(out, s, st);
}

/* A file of which only a beginning of a head was ever written, by somebody who died: nothing, or enough to know it by. */
static bool is_abandoned(const qw_store *s)
{
    char magic[sizeof MAGIC - 1];
    if (!s->size)
        return true;
    return s->size < sizeof(file_head) && read_at(s->fd, magic, sizeof magic, 0) == (ssize_t)sizeof magic &&
           memcmp(magic, MAGIC, sizeof magic) == 0;
}

static qwren_status write_head(qw_store *s, const qw_store_head *head, qwren_error *err)
{
    const file_head h = make_head(head);
    if (!write_at(s->fd, &h, sizeof h, 0))
        return fail_io(s, "written", err);
    s->size = sizeof h;
    return read_head(s, head->kind, err);
}

/* Ends before the first block that does not count. */
static qwren_status find_end(qw_store *s, qwren_error *err)
{
    qw_store_block b;
    s->end = s->at;
    while (qw_store_next(s, &b)) {
        const qwren_status st = qw_store_check(s, &b, err);
        if (st == QWREN_E_FORMAT)
            break;
        QW_TRY(st);
        s->end = qw_store_block_end(&b);
    }
    QW_TRY(qw_store_ended(s, err)); /* what cannot be read just now is not cut off */
    qw_store_rewind(s);
    return qw_store_cut(s, s->end, err);
}

static qwren_status fail_busy(const qw_store *s, qwren_error *err)
{
    return qw_fail(err, QWREN_E_IO, "%s: is being written by another process; wait for it, or give another name", s->path);
}

/* The lock is one on a file, not on its name: between opening and locking another process may have written it on, or put another one in its
 * place. Then *ours is false. */
static qwren_status lock(qw_store *s, bool *ours, qwren_error *err)
{
    struct stat locked, named;
    if (flock(s->fd, LOCK_EX | LOCK_NB) != 0 && errno == EWOULDBLOCK)
        return fail_busy(s, err);
    QW_TRY(examine(s, &locked, err));
    *ours = stat(s->path, &named) == 0 && named.st_dev == locked.st_dev && named.st_ino == locked.st_ino;
    return QWREN_OK;
}

static qwren_status open_locked(qw_store *s, qwren_error *err)
{
    for (int i = 0; i < MOST_TRIES; i++) {
        bool ours = false;
        QW_TRY(open_file(s, O_RDWR | O_CREAT, err));
        QW_TRY(lock(s, &ours, err));
        if (ours)
            return QWREN_OK;
        close(s->fd);
        s->fd = -1;
    }
    return fail_busy(s, err);
}

static qwren_status begin_to_edit(qw_store *s, const qw_store_head *head, qwren_error *err)
{
    QW_TRY(open_locked(s, err));
    if (is_abandoned(s))
        QW_TRY(write_head(s, head, err));
    else
        QW_TRY(read_head(s, head->kind, err));
    QW_TRY(qw_store_expect(s, head, err));
    return find_end(s, err);
}

qwren_status qw_store_edit(qw_store **out, const char *path, const qw_store_head *head, qwren_error *err)
{
    qw_store *s;
    *out = NULL;
    qwren_status st = new_store(&s, path, err);
    if (st == QWREN_OK)
        st = begin_to_edit(s, head, err);
    return hand_out(out, s, st);
}

void qw_store_close(qw_store *s)
{
    if (!s)
        return;
    if (s->fd >= 0)
        close(s->fd);
    qw_free(s->path);
    qw_free(s);
}

const qw_store_head *qw_store_get_head(const qw_store *s) { return &s->head; }
const char *qw_store_path(const qw_store *s) { return s->path; }
uint64_t qw_store_bytes(const qw_store *s) { return s->size; }

qwren_status qw_store_expect(const qw_store *s, const qw_store_head *head, qwren_error *err)
{
    if (memcmp(s->head.key, head->key, sizeof head->key) == 0)
        return QWREN_OK;
    if (strcmp(s->head.about, head->about) == 0)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s: belongs to another %s, with other weights or settings", s->path, head->about);
    return qw_fail(err, QWREN_E_ARGUMENT, "%s: belongs to %s, and not to %s", s->path, s->head.about, head->about);
}

/* ---- reading */

uint64_t qw_store_block_end(const qw_store_block *b) { return b->at + rounded(b->bytes); }
void qw_store_rewind(qw_store *s) { s->at = sizeof(file_head); }

bool qw_store_next(qw_store *s, qw_store_block *b)
{
    block_head h;
    s->trouble = 0;
    if (s->size < s->at || s->size - s->at < sizeof h)
        return false;
    const ssize_t n = read_at(s->fd, &h, sizeof h, s->at);
    if (n < 0)
        s->trouble = errno;
    if (n != (ssize_t)sizeof h)
        return false;
    const uint64_t room = s->size - s->at - sizeof h;
    if (h.sum != qw_hash_bytes(&h, offsetof(block_head, sum)) || h.at != s->at || h.bytes > room || rounded(h.bytes) > room)
        return false;
    *b = (qw_store_block){ .tag = h.tag, .bytes = h.bytes, .at = s->at + sizeof h, .sum = h.payload_sum };
    memcpy(b->info, h.info, sizeof b->info);
    s->at = qw_store_block_end(b);
    return true;
}

qwren_status qw_store_ended(const qw_store *s, qwren_error *err)
{
    errno = s->trouble;
    return s->trouble ? fail_io(s, "read", err) : QWREN_OK;
}

static qwren_status fail_damaged(const qw_store *s, const qw_store_block *b, qwren_error *err)
{
    return qw_fail(err, QWREN_E_FORMAT, "%s: block '%.4s' at byte %llu is damaged", s->path, (const char *)&b->tag,
                   (unsigned long long)b->at);
}

/* n bytes of a payload, which join `hash`. */
static qwren_status read_part(const qw_store *s, const qw_store_block *b, char *p, size_t n, uint64_t at, qw_hash *hash, qwren_error *err)
{
    for (size_t done = 0, k; done < n; done += k) {
        k = n - done < CHUNK ? n - done : CHUNK;
        const ssize_t got = read_at(s->fd, p + done, k, at + done);
        if (got < 0)
            return fail_io(s, "read", err);
        if ((size_t)got < k)
            return fail_damaged(s, b, err);
        qw_hash_add(hash, p + done, k);
    }
    return QWREN_OK;
}

qwren_status qw_store_read(const qw_store *s, const qw_store_block *b, const qw_store_part *parts, size_t n_parts, qwren_error *err)
{
    qw_hash hash;
    uint64_t at = b->at;
    qw_hash_init(&hash);
    for (size_t i = 0; i < n_parts; at += parts[i].n, i++)
        QW_TRY(read_part(s, b, parts[i].p, parts[i].n, at, &hash, err));
    return at == b->at + b->bytes && qw_hash_value(&hash) == b->sum ? QWREN_OK : fail_damaged(s, b, err);
}

qwren_status qw_store_check(const qw_store *s, const qw_store_block *b, qwren_error *err)
{
    char *chunk = qw_malloc(CHUNK);
    qwren_status st = chunk ? QWREN_OK : qw_fail_memory(err, CHUNK, "a piece of a file");
    qw_hash hash;
    qw_hash_init(&hash);
    for (uint64_t done = 0, k; st == QWREN_OK && done < b->bytes; done += k) {
        k = b->bytes - done < CHUNK ? b->bytes - done : CHUNK;
        st = read_part(s, b, chunk, (size_t)k, b->at + done, &hash, err);
    }
    qw_free(chunk);
    if (st != QWREN_OK)
        return st;
    return qw_hash_value(&hash) == b->sum ? QWREN_OK : fail_damaged(s, b, err);
}

/* ---- writing */

uint64_t qw_store_end(const qw_store *s) { return s->end; }

qwren_status qw_store_cut(qw_store *s, uint64_t end, qwren_error *err)
{
    if (end < s->size && ftruncate(s->fd, (off_t)end) != 0)
        return fail_io(s, "cut", err);
    if (end < s->size)
        s->size = end;
    s->end = end;
    return QWREN_OK;
}

static block_head make_block(const qw_store *s, uint32_t tag, const uint64_t info[3], const qw_store_part *parts, size_t n_parts)
{
    block_head h = { .tag = tag, .at = s->end };
    qw_hash hash;
    qw_hash_init(&hash);
    for (size_t i = 0; i < n_parts; i++) {
        qw_hash_add(&hash, parts[i].p, parts[i].n);
        h.bytes += parts[i].n;
    }
    memcpy(h.info, info, sizeof h.info);
    h.payload_sum = qw_hash_value(&hash);
    h.sum = qw_hash_bytes(&h, offsetof(block_head, sum));
    return h;
}

/* Payload and padding first: the head makes it a block. */
static bool write_block(const qw_store *s, const block_head *h, const qw_store_part *parts, size_t n_parts)
{
    static const char zeros[QW_STORE_ALIGN];
    uint64_t at = s->end + sizeof *h;
    for (size_t i = 0; i < n_parts; at += parts[i].n, i++)
        if (!write_at(s->fd, parts[i].p, parts[i].n, at))
            return false;
    return write_at(s->fd, zeros, (size_t)(rounded(h->bytes) - h->bytes), at) && write_at(s->fd, h, sizeof *h, s->end);
}

qwren_status qw_store_put(qw_store *s, uint32_t tag, const uint64_t info[3], const qw_store_part *parts, size_t n_parts, qwren_error *err)
{
    const block_head h = make_block(s, tag, info, parts, n_parts);
    if (!write_block(s, &h, parts, n_parts)) {
        const qwren_status st = fail_io(s, "written", err);
        if (ftruncate(s->fd, (off_t)s->end) == 0)
            s->size = s->end;
        return st;
    }
    s->end = s->size = s->end + sizeof h + rounded(h.bytes);
    return QWREN_OK;
}

qwren_status qw_store_sync(qw_store *s, qwren_error *err) { return fsync(s->fd) == 0 ? QWREN_OK : fail_io(s, "written", err); }
