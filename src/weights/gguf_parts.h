/* What reading a GGUF file is made of. Private to gguf*.c. */
#ifndef QW_WEIGHTS_GGUF_PARTS_H
#define QW_WEIGHTS_GGUF_PARTS_H

#include "base/arena.h"
#include "weights/gguf.h"

struct qw_gguf {
    char *path;
    qw_map own;     /* what qw_gguf_open() mapped */
    qw_arena names; /* of the tensors */
    qw_gguf_value *values;
    size_t n_values;
    const qw_gguf_value **by_key; /* sorted */
    qw_tensor *tensors;
    size_t n_tensors;
};

/* The place in the header. */
typedef struct qw_gguf_cursor {
    qw_gguf *g;
    const uint8_t *begin, *at, *end; /* of the file; at <= end */
    qwren_error *err;
} qw_gguf_cursor;

/* The next bytes; false, and nothing moves, when fewer are left. */
bool qw_gguf_take(qw_gguf_cursor *c, size_t n, const uint8_t **bytes);
bool qw_gguf_take_32(qw_gguf_cursor *c, uint32_t *out);
bool qw_gguf_take_64(qw_gguf_cursor *c, uint64_t *out);
bool qw_gguf_take_text(qw_gguf_cursor *c, qw_gguf_text *out);
/* "PATH: ends inside WHAT 12 ..." */
qwren_status qw_gguf_fail_short(const qw_gguf_cursor *c, const char *what, size_t index);
/* Whether a name can be printed: not empty, letters and signs of ASCII. */
bool qw_gguf_is_name(qw_gguf_text t);

qwren_status qw_gguf_read_values(qw_gguf_cursor *c, uint64_t n);
/* The list of tensors, and the data behind it, which begins at the next multiple of `alignment`. */
qwren_status qw_gguf_read_tensors(qw_gguf_cursor *c, uint64_t n, size_t alignment);

#endif
