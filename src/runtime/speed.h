/* How fast a model will be on this machine, before its weights are read: each operation of a forward pass is timed on made-up data of the model's own formats
 * and shapes (large ones in part), the memory on a buffer that no cache holds, and the two are added up as one layer follows the other. No figure comes from a
 * table. */
#ifndef QW_RUNTIME_SPEED_H
#define QW_RUNTIME_SPEED_H

#include "model/model.h"

#define QW_SPEED_FORMATS 40  /* more than there are */
#define QW_SPEED_CONTEXT 512 /* tokens of the prompt, and before the token that is decoded */

/* All matrices of the text model that have one format. */
typedef struct qw_speed_format {
    qw_type type;
    int group;
    size_t n_weights, n_bytes;  /* that a token meets */
    double decode_s, prefill_s; /* what they cost a token */
} qw_speed_format;

typedef struct qw_speed {
    int n_threads;
    double read_bytes_per_s; /* of the memory, by all threads */
    bool busy;               /* other programs took a part of the processors meanwhile: without them it is faster */
    qw_speed_format formats[QW_SPEED_FORMATS];
    size_t n_formats;
    double mixing_decode_s, mixing_prefill_s; /* what attention, delta rule and convolutions cost a token */
    double decode_tokens_per_s, prefill_tokens_per_s;
} qw_speed;

typedef struct qw_speed_params {
    int n_threads;       /* 0 = physical cores */
    double patience_s;   /* for each operation that is timed; 0 = enough for a steady figure */
    size_t buffer_bytes; /* for the memory; 0 = as large as needed and this machine's memory allows */
} qw_speed_params;

/* The model's weights are not touched: it may have been opened with config_only. E_MEMORY is the only failure. */
qwren_status qw_speed_estimate(qw_speed *out, const qw_model *m, const qw_speed_params *p, qwren_error *err);

/* The matrices of a layer that every token meets, in the order of the computation. */
#define QW_LAYER_MATRICES 8
size_t qw_layer_matrices(const qw_layer *l, const qw_matrix *out[QW_LAYER_MATRICES]);

#endif
