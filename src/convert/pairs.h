/* The inputs of a layer twice: as the source model has them, and as the codes made so far give them. What error feedback learns from. */
#ifndef QW_CONVERT_PAIRS_H
#define QW_CONVERT_PAIRS_H

#include "convert/calibrate.h"

/* The source's inputs of one layer, for the tokens of some samples. */
typedef struct qw_recording {
    float *rows[QW_LAYER_INPUTS]; /* [tokens, cols] */
    size_t cols[QW_LAYER_INPUTS];
} qw_recording;
size_t qw_recording_bytes(qw_layer *l, size_t tokens);
qwren_status qw_recording_init(qw_recording *out, qw_layer *l, size_t tokens, qwren_error *err);
void qw_recording_deinit(qw_recording *r); /* safe on zeros */

/* Samples of `range` through the source's layer, x -> x; *out receives what it read. False when `keep_on` said no. */
bool qw_streams_record(qw_streams *s, qw_layer *l, qw_sample_range range, float *x, qw_recording *out, qw_keep_on_fn keep_on, void *ctx);
/* The same samples, as the codes made them, x, through `l`; the result is dropped. For each input i with moments->of[i] its rows are added
 * there, beside those that were recorded. */
qwren_status qw_streams_pair(qw_streams *s, qw_layer *l, qw_sample_range range, const float *x, const qw_recording *source, qw_pool *pool,
                             qw_layer_moments *moments, qw_keep_on_fn keep_on, void *ctx, qwren_error *err);

#endif
