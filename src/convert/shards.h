/* The weight files of a checkpoint, written as one: model.safetensors, or several of at most 5 GiB, and their index. Private to
 * convert/. */
#ifndef QW_CONVERT_SHARDS_H
#define QW_CONVERT_SHARDS_H

#include "base/buf.h"
#include "weights/safetensors_write.h"

#define QW_SHARD_BYTES ((uint64_t)5 << 30) /* as mlx-lm cuts them */

typedef struct qw_shards qw_shards;

/* Files in `dir`, of which those that a run before left with the same tensors are taken over. A tensor larger than max_bytes gets a file of
 * its own. */
qwren_status qw_shards_create(qw_shards **out, const char *dir, const qw_st_entry *entries, size_t n, uint64_t max_bytes, qwren_error *err);
/* The writer of tensor i, and in *inner its number there. */
qw_st_writer *qw_shards_of(const qw_shards *s, size_t i, size_t *inner);

qwren_status qw_shards_finish(qw_shards *s, qwren_error *err); /* to the disk */
void qw_shards_close(qw_shards *s);                            /* NULL is allowed */

/* The text of model.safetensors.index.json, names sorted; n_parameters counts the weights before they became codes. */
qwren_status qw_shards_index(const qw_shards *s, const qw_st_entry *entries, uint64_t n_parameters, qw_buf *out, qwren_error *err);

#endif
