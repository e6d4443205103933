/* model.safetensors.index.json: which shard holds which tensor. Private to weights/. */
#ifndef QW_WEIGHTS_SHARD_INDEX_H
#define QW_WEIGHTS_SHARD_INDEX_H

#include "base/json.h"
#include "weights/weights.h"

typedef struct qw_shard_index {
    qw_json *root;
    const qw_json *weight_map; /* tensor name in the file -> shard */
    const char **shards;       /* each file once, sorted; borrowed from root */
    size_t n_shards;
} qw_shard_index;

/* Shards are base names of files beside the index; anything else is refused. Free it with qw_shard_index_deinit(), after a failure too. */
qwren_status qw_shard_index_read(qw_shard_index *out, const char *path, qwren_error *err);
void qw_shard_index_deinit(qw_shard_index *x);

/* What the index says and what the shards hold must be the same. */
qwren_status qw_shard_index_check(const qw_shard_index *x, const char *path, const qw_weights *w, qwren_error *err);

#endif
