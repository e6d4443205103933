/* Residual streams of the calibration samples, carried from layer to layer, and what they tell about each matrix's inputs. */
#ifndef QW_CONVERT_CALIBRATE_H
#define QW_CONVERT_CALIBRATE_H

#include "convert/encode.h"
#include "model/merge.h"
#include "model/model.h"

/* The matrices of a layer that can be encoded, in the order in which they are computed. */
typedef struct qw_slot {
    qw_matrix *matrix;
    const char *name; /* "mlp.gate_proj.weight" */
    int input;        /* number of the input that it reads, from 0: q, k, v read one, gate and up another */
} qw_slot;
#define QW_LAYER_SLOTS 8
#define QW_LAYER_INPUTS 4
size_t qw_layer_slots(qw_layer *l, qw_slot slots[QW_LAYER_SLOTS]);

/* All samples' residual streams [n_tokens, H], one after the other, and the buffers of a pass. */
typedef struct qw_streams {
    const qw_model *model;
    const qw_timeline *samples;
    size_t n_samples, n_tokens, longest;
    float *x; /* [n_tokens, H] */
    float *state_block;
    void *scratch_block;
    qw_text_scratch scratch;
    qw_layer_state state;
} qw_streams;

qwren_status qw_streams_init(qw_streams *s, const qw_model *m, const qw_timeline *samples, size_t n_samples, qwren_error *err);
void qw_streams_deinit(qw_streams *s); /* safe on zeros */
/* x [n_tokens, H] = the embeddings of all tokens, pictures' rows over their pads. */
void qw_streams_embed(qw_streams *s, const qw_matrix *embed, float *x);
/* from -> to [n_tokens, H] through one layer, the samples of `range`; they may be the same; `to` NULL drops the result. False when
 * `keep_on` (may be NULL) said no between two samples. */
typedef bool (*qw_keep_on_fn)(void *ctx);
typedef struct qw_sample_range {
    size_t first, n;
} qw_sample_range;
bool qw_streams_run(qw_streams *s, const qw_layer *l, qw_sample_range range, const float *from, float *to, qw_keep_on_fn keep_on,
                    void *ctx);
/* The same for all samples. */
bool qw_streams_layer(qw_streams *s, const qw_layer *l, const float *from, float *to, qw_keep_on_fn keep_on, void *ctx);
/* Final norm, with weights w [H], of rows x [n, H]; out may be x. */
void qw_streams_norm(qw_streams *s, const float *w, const float *x, size_t n, float *out);

/* How wide the blocks of moments are for rows of `cols`: a bound on memory and time. */
size_t qw_moments_block(size_t cols);

/* Second moments of the inputs of one layer. */
typedef struct qw_layer_moments {
    qw_moments *of[QW_LAYER_INPUTS];
} qw_layer_moments;
/* A pass through `l` (source weights) that fills *out, ready for use. */
qwren_status qw_streams_observe(qw_streams *s, qw_layer *l, const float *from, float *to, qw_pool *pool, qw_layer_moments *out,
                                qw_keep_on_fn keep_on, void *ctx, qwren_error *err);
void qw_layer_moments_free(qw_layer_moments *m);

#endif
