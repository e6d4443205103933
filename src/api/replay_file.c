/* Sampled answers between runs (replay.h): a file that only grows, a record for each answer, each with a checksum of its own. What stands
 * between whole records is skipped, so that a process that died while it wrote costs one answer. Before the file would hold more than twice
 * what the store does, the older half goes. Tested by tests/unit/test_replay_file.c.
 *
 *   record   head (below, in the machine's order of bytes), ids of the thought, ids of the content, then the texts: content, calls,
 *            thought */
#include "api/replay.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"

#include <inttypes.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAGIC 0x31415751u /* "QWA1": another number in another format, or on a machine with another order of bytes */

/* More than that the file never holds. */
#define MOST_BYTES (2 * QW_REPLAY_BYTES)

typedef struct record {
    uint32_t magic, n_thought, n_content, content_len, calls_len, thought_len;
    uint64_t context;
    uint64_t checksum; /* of what follows it, begun with the head's other fields */
} record;

static uint64_t record_bytes(const record *h)
{
    return sizeof *h + ((uint64_t)h->n_thought + h->n_content) * sizeof(int32_t) + h->content_len + h->calls_len + h->thought_len;
}

static uint64_t checksum(const record *h, const void *body)
{
    record head = *h;
    qw_hash hash;
    head.checksum = 0;
    qw_hash_init(&hash);
    qw_hash_add(&hash, &head, sizeof head);
    qw_hash_add(&hash, body, (size_t)record_bytes(h) - sizeof head);
    return qw_hash_value(&hash);
}

/* Whether there is a whole record at the front of bytes [n]. */
static bool is_record(const char *bytes, size_t n, record *h)
{
    if (n < sizeof *h)
        return false;
    memcpy(h, bytes, sizeof *h);
    return h->magic == MAGIC && record_bytes(h) <= n && h->checksum == checksum(h, bytes + sizeof *h);
}

/* ---- the file */

/* All of a file, of one with more than `most` bytes the last ones. *bytes is to be freed, also after a failure. */
static qwren_status read_end(int fd, const char *path, size_t most, char **bytes, size_t *n, qwren_error *err)
{
    struct stat st;
    *bytes = NULL;
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        return qw_fail(err, QWREN_E_IO, "%s: is not a regular file", path);
    const size_t size = (size_t)st.st_size, want = size < most ? size : most;
    *n = 0;
    *bytes = qw_malloc(want + 1);
    if (!*bytes)
        return qw_fail_memory(err, want + 1, "answers of former runs");
    while (*n < want) {
        const ssize_t got = pread(fd, *bytes + *n, want - *n, (off_t)(size - want + *n));
        if (got < 0 && errno != EINTR)
            return qw_fail(err, QWREN_E_IO, "%s: cannot be read: %s", path, strerror(errno));
        if (got == 0)
            break;
        *n += got > 0 ? (size_t)got : 0;
    }
    return QWREN_OK;
}

/* The whole records in the last bytes of a file that is locked become the file. */
static qwren_status shorten(int fd, const char *path, qwren_error *err)
{
    record h;
    char *bytes;
    size_t n = 0, at = 0;
    qwren_status st = read_end(fd, path, QW_REPLAY_BYTES, &bytes, &n, err);
    while (st == QWREN_OK && at < n && !is_record(bytes + at, n - at, &h))
        at++;
    if (st == QWREN_OK)
        st = qw_file_write(path, bytes + at, n - at, err);
    if (st == QWREN_OK)
        chmod(path, 0600); /* as it was made */
    qw_free(bytes);
    return st;
}

/* Locked, and with room for n bytes more, at most QW_REPLAY_BYTES. */
static qwren_status open_with_room(int *fd, const char *path, size_t n, qwren_error *err)
{
    struct stat now;
    QW_TRY(qw_file_open_locked(fd, path, err));
    while (fstat(*fd, &now) == 0 && (uint64_t)now.st_size + n > MOST_BYTES) {
        const qwren_status st = shorten(*fd, path, err);
        close(*fd); /* it is not the file any more */
        QW_TRY(st);
        QW_TRY(qw_file_open_locked(fd, path, err));
    }
    return QWREN_OK;
}

/* ---- writing */

static qwren_status append(const char *path, const qw_buf *b, qwren_error *err)
{
    int fd;
    QW_TRY(open_with_room(&fd, path, b->len, err));
    const qwren_status st = qw_file_append(fd, path, b->data, b->len, err);
    close(fd);
    return st;
}

qwren_status qw_replay_write(const char *path, const qw_replay_key *key, const qw_replay_ids *ids, uint64_t context, qwren_error *err)
{
    qw_buf b = QW_BUF_INIT;
    record h = { MAGIC,
                 (uint32_t)ids->thought.n,
                 (uint32_t)ids->content.n,
                 (uint32_t)key->content_len,
                 (uint32_t)key->calls_len,
                 (uint32_t)key->thought_len,
                 context,
                 0 };
    qw_buf_append(&b, &h, sizeof h);
    qw_buf_append(&b, ids->thought.data, ids->thought.n * sizeof *ids->thought.data);
    qw_buf_append(&b, ids->content.data, ids->content.n * sizeof *ids->content.data);
    qw_buf_append(&b, key->content, key->content_len);
    qw_buf_append(&b, key->calls, key->calls_len);
    qw_buf_append(&b, key->thought, key->thought_len);
    qwren_status st = qw_buf_status(&b, err);
    if (st == QWREN_OK) {
        h.checksum = checksum(&h, b.data + sizeof h);
        memcpy(b.data, &h, sizeof h);
        st = append(path, &b, err);
    }
    qw_buf_free(&b);
    return st;
}

/* ---- reading */

/* Whether an answer may have it. Some vocabularies count the tags of the thought's block among the special tokens. */
static bool may_stand(const qw_tokenizer *t, int32_t id)
{
    if (id < 0 || id >= qw_tokenizer_count(t))
        return false;
    return !qw_tokenizer_is_special(t, id) || id == qw_tokenizer_find_added(t, "<think>", strlen("<think>")) ||
           id == qw_tokenizer_find_added(t, "</think>", strlen("</think>"));
}

/* Copies n ids; false when one of them is none that an answer may have. */
static bool take_ids(qw_ids *out, const char **at, size_t n, const qw_tokenizer *t, qwren_error *err, qwren_status *st)
{
    for (size_t i = 0; i < n && *st == QWREN_OK; i++, *at += sizeof(int32_t)) {
        int32_t id;
        memcpy(&id, *at, sizeof id);
        if (!may_stand(t, id))
            return false;
        *st = qw_ids_append(out, id, err);
    }
    return true;
}

static qwren_status put_record(qw_replay *r, const record *h, const char *at, const qw_tokenizer *t, qwren_error *err)
{
    qw_replay_ids ids = { 0 };
    qwren_status st = QWREN_OK;
    const bool known = take_ids(&ids.thought, &at, h->n_thought, t, err, &st) && take_ids(&ids.content, &at, h->n_content, t, err, &st);
    const qw_replay_key key = { .content = at,
                                .content_len = h->content_len,
                                .calls = at + h->content_len,
                                .calls_len = h->calls_len,
                                .thought = at + h->content_len + h->calls_len,
                                .thought_len = h->thought_len };
    if (known && st == QWREN_OK)
        st = qw_replay_put(r, &key, &ids, h->context, err);
    qw_replay_ids_free(&ids);
    return st;
}

static qwren_status read_records(qw_replay *r, const char *bytes, size_t n, const qw_tokenizer *t, qwren_error *err)
{
    record h;
    for (size_t at = 0; at < n;) {
        const char *magic = memchr(bytes + at, MAGIC & 0xFF, n - at);
        if (!magic)
            break;
        at = (size_t)(magic - bytes);
        if (!is_record(magic, n - at, &h)) {
            at++;
            continue;
        }
        QW_TRY(put_record(r, &h, magic + sizeof h, t, err));
        at += (size_t)record_bytes(&h);
    }
    return QWREN_OK;
}

/* What the ids mean. */
static uint64_t fingerprint(const qw_tokenizer *t)
{
    qw_hash hash;
    qw_hash_init(&hash);
    for (int32_t id = 0; id < qw_tokenizer_count(t); id++) {
        size_t len = 0;
        const char *s = qw_tokenizer_bytes(t, id, &len);
        const unsigned char kind = (unsigned char)(qw_tokenizer_is_added(t, id) + 2 * qw_tokenizer_is_special(t, id));
        qw_hash_add(&hash, &len, sizeof len);
        qw_hash_add(&hash, &kind, 1);
        if (s && len)
            qw_hash_add(&hash, s, len);
    }
    return qw_hash_value(&hash);
}

/* Without a lock, which a folder that is read only may not give: what is being written meanwhile is no whole record. */
static qwren_status read_file(qw_replay *r, const char *path, const qw_tokenizer *t, qwren_error *err)
{
    char *bytes;
    size_t n = 0;
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0)
        return QWREN_OK;
    qwren_status st = read_end(fd, path, MOST_BYTES, &bytes, &n, err);
    if (st == QWREN_OK)
        st = read_records(r, bytes, n, t, err);
    qw_free(bytes);
    close(fd);
    return st;
}

qwren_status qw_replay_keep_in(qw_replay *r, const char *dir, const qw_tokenizer *t, qwren_error *err)
{
    char name[64];
    snprintf(name, sizeof name, "answers-%016" PRIx64 ".qwa", fingerprint(t));
    char *path = qw_path_join(dir, name);
    if (!path)
        return qw_fail_memory(err, strlen(dir) + sizeof name, "a path");
    if (read_file(r, path, t, err) == QWREN_E_MEMORY) {
        qw_free(path);
        return QWREN_E_MEMORY;
    }
    qw_replay_set_path(r, path);
    return QWREN_OK;
}
