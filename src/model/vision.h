/* The image tower: patches of one picture in, rows of the decoder's width out, one for each image token. */
#ifndef QW_MODEL_VISION_H
#define QW_MODEL_VISION_H

#include "image/image.h"
#include "model/bind.h"
#include "model/config.h"

typedef struct qw_vision_block {
    const float *norm1_w, *norm1_b, *norm2_w, *norm2_b; /* [D] */
    qw_matrix qkv, proj, fc1, fc2;                      /* [3D, D] [D, D] [I, D] [D, I] */
    const float *qkv_b, *proj_b, *fc1_b, *fc2_b;
} qw_vision_block;

typedef struct qw_vision_model {
    const qw_vision_config *config;
    qw_matrix patch;              /* [D, C * Tp * P * P] */
    const float *patch_b;         /* [D] */
    qw_matrix pos;                /* [n_positions, D] */
    qw_vision_block *blocks;      /* [depth] */
    const float *norm_w, *norm_b; /* merger.norm, [D] */
    qw_matrix fc1, fc2;           /* merger: [4D, 4D], [O, 4D] */
    const float *fc1_b, *fc2_b;
} qw_vision_model;

qwren_status qw_vision_bind(qw_vision_model *out, const qw_vision_config *config, const qw_binder *b, qwren_error *err);

/* Adds what the tower's operations need of the threads' scratch. */
void qw_vision_needs(const qw_vision_config *c, qw_ops_needs *needs);

/* Called with x [n, D] after each step: 0 patch embedding, 1 with positions, 2 + i block i, 2 + depth the merger's norm. For progress (a
 * large picture takes minutes) and for tests that look inside. False stops the work: E_CANCELLED. */
typedef bool (*qw_vision_trace_fn)(void *ctx, int step, const float *x, size_t n);
typedef struct qw_vision_trace {
    qw_vision_trace_fn fn;
    void *ctx;
    bool (*poll)(void *ctx); /* or NULL: asked within steps, which may take half a minute each; false stops the work too */
} qw_vision_trace;

/* One picture: `pixels` already resized to the grid (qw_image_resize); grid.t is 1, since a frame sees nothing but itself: each pair of
 * frames of a video will be a call of its own. *rows [grid.h * grid.w / merge^2, O] is given back with qw_free(). `processor` holds mean
 * and std; trace may be NULL. */
qwren_status qw_vision_forward(qw_ops *ops, const qw_vision_model *m, const qw_patch_config *processor, const qw_pixels *pixels,
                               qw_grid grid, const qw_vision_trace *trace, float **rows, size_t *n_rows, qwren_error *err);

#endif
