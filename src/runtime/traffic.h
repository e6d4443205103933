/* What a token costs by the model's shape alone: bytes that must come from memory when one is decoded, operations when a prompt is read. Against these the
 * machine's limits are held. */
#ifndef QW_RUNTIME_TRAFFIC_H
#define QW_RUNTIME_TRAFFIC_H

#include "model/model.h"

typedef struct qw_traffic {
    uint64_t weight_bytes; /* of the matrices and vectors of all layers and the head, each read once; one row of the embeddings */
    uint64_t state_bytes;  /* DeltaNet states and convolution tails, read and written */
    uint64_t cache_bytes;  /* keys and values of `depth` tokens read, those of one written */
    uint64_t layer_ops;    /* two for each weight of the layers' matrices: the products of one token of a prompt */
    uint64_t last_ops; /* of these, those of the last layer that the last token of a prompt alone goes through: nobody reads the others' */
    uint64_t head_ops; /* of the head, once a prompt or once a decoded token */
    bool is_float;     /* most of these weights are floats: their products are, too */
} qw_traffic;

/* For a token that follows `depth` others, whose keys and values are kept as `cache_type`. E_LIMIT as qw_memplan_make(). */
qwren_status qw_traffic_of(qw_traffic *out, const qw_model *m, size_t depth, qw_kv_type cache_type, qwren_error *err);
/* The tower's operations for a picture of n patches: its matrices and its attention. 0 without a tower. */
uint64_t qw_traffic_image_ops(const qw_model *m, size_t n_patches);

#endif
