/* A file of blocks that only grows: what sessions and pieces of the prefix cache are kept in. It knows neither. docs/session-file.md gives
 * every byte.
 *
 *   | head, 256 bytes | block | block | ...
 *
 *   block = | 64 bytes: tag, size, three numbers, checksums | payload | zeros to a multiple of 64 |
 *
 * A block counts when it is whole and its checksums are right. Whoever wrote may have died at any moment: reading ends before the first
 * block that does not count, and opening for writing cuts off what stands from there on. So it is the writer's business to put a block
 * last which says that what is before it belongs together. */
#ifndef QW_RUNTIME_STORE_H
#define QW_RUNTIME_STORE_H

#include "base/status.h"

#define QW_STORE_KEY 32
#define QW_STORE_ABOUT 184
#define QW_STORE_ALIGN 64 /* of blocks and of payloads */
#define QW_STORE_HEAD_BYTES 256
#define QW_STORE_BLOCK_BYTES 64 /* of a block, before its payload */

/* Four letters as the number that stands in the file. */
#define QW_STORE_TAG(a, b, c, d) ((uint32_t)(a) | (uint32_t)(b) << 8 | (uint32_t)(c) << 16 | (uint32_t)(d) << 24)

/* Whose contents these are. Two files whose keys differ have nothing to say to each other. */
typedef struct qw_store_head {
    uint32_t kind; /* a tag: what the blocks are about */
    uint8_t key[QW_STORE_KEY];
    char about[QW_STORE_ABOUT]; /* the same for people; terminated, padded with zeros */
} qw_store_head;

typedef struct qw_store_block {
    uint32_t tag;
    uint64_t info[3]; /* what the numbers mean is the tag's business */
    uint64_t bytes;   /* of the payload, without padding; it lies inside the file */
    uint64_t at, sum; /* the payload's place and its checksum */
} qw_store_block;

/* A part of a payload in memory. */
typedef struct qw_store_part {
    void *p;
    size_t n;
} qw_store_part;

typedef struct qw_store qw_store;

/* For reading. E_FORMAT: the file is not one of ours, of another kind, or damaged in its head; E_UNSUPPORTED: of a newer version. */
qwren_status qw_store_open(qw_store **out, const char *path, uint32_t kind, qwren_error *err);
/* For reading and writing: a file that is absent, or empty, or was abandoned before its head was written, becomes one with this head. One
 * that is there must have the same kind and key, else E_ARGUMENT, which says whose it is. While it is open nobody else may open it so:
 * E_IO. So who puts another file in its place (by renaming) does that before he closes it. */
qwren_status qw_store_edit(qw_store **out, const char *path, const qw_store_head *head, qwren_error *err);
void qw_store_close(qw_store *s); /* NULL is allowed */
const qw_store_head *qw_store_get_head(const qw_store *s);
const char *qw_store_path(const qw_store *s);
uint64_t qw_store_bytes(const qw_store *s); /* of the file */
/* E_ARGUMENT when the file's key is another; the sentence says whose it is. */
qwren_status qw_store_expect(const qw_store *s, const qw_store_head *head, qwren_error *err);

/* ---- reading */

/* The next block whose head is whole and whose payload lies inside the file, from the first on. False: there is none, or it could not be
 * read, which qw_store_ended() tells. The payload has not been looked at. */
bool qw_store_next(qw_store *s, qw_store_block *b);
/* After false: OK when no block follows that counts; E_IO when nobody knows. */
qwren_status qw_store_ended(const qw_store *s, qwren_error *err);
void qw_store_rewind(qw_store *s);
/* The payload into parts of together b->bytes. E_FORMAT: its checksum is wrong, and the parts hold anything; E_IO. */
qwren_status qw_store_read(const qw_store *s, const qw_store_block *b, const qw_store_part *parts, size_t n_parts, qwren_error *err);
/* The same without keeping it. */
qwren_status qw_store_check(const qw_store *s, const qw_store_block *b, qwren_error *err);

/* ---- writing, behind qw_store_edit() alone */

/* Where the next block goes: of the last that counts, or of the cut. */
uint64_t qw_store_end(const qw_store *s);
/* Drops what stands from `end` on, which is where some block ended. */
qwren_status qw_store_cut(qw_store *s, uint64_t end, qwren_error *err);
uint64_t qw_store_block_end(const qw_store_block *b);
/* Writes a block at the end. After a failure (the disk is full) the file is as it was before. */
qwren_status qw_store_put(qw_store *s, uint32_t tag, const uint64_t info[3], const qw_store_part *parts, size_t n_parts, qwren_error *err);
/* What was put is on the disk and survives a power cut. */
qwren_status qw_store_sync(qw_store *s, qwren_error *err);

#endif
