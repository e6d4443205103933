/* Tensors by name -> what the layers hold: matrices stay in the mapping, small vectors become floats. Used by the decoder, the tower and the MTP
 * head when a model is opened. */
#ifndef QW_MODEL_BIND_H
#define QW_MODEL_BIND_H

#include "base/arena.h"
#include "compute/ops.h"
#include "weights/weights.h"

typedef struct qw_binder {
    const qw_weights *weights;
    qw_arena *arena; /* receives the vectors */
} qw_binder;

/* A float matrix [rows, cols] of exactly this shape. Missing or of another shape: E_FORMAT naming file, tensor, both shapes; no float: E_UNSUPPORTED. */
qwren_status qw_bind_matrix(const qw_binder *b, qw_matrix *out, size_t rows, size_t cols, qwren_error *err, const char *name_fmt, ...)
    QW_PRINTF(6, 7);
/* The same for a tensor of more dimensions: rows = shape[0], cols = the product of the others. */
qwren_status qw_bind_tensor(const qw_binder *b, qw_matrix *out, int n_dims, const size_t *shape, qwren_error *err, const char *name_fmt,
                            ...) QW_PRINTF(6, 7);
/* n values as floats, each plus `plus` (1 for zero-centred norms). */
qwren_status qw_bind_vector(const qw_binder *b, const float **out, size_t n, float plus, qwren_error *err, const char *name_fmt, ...)
    QW_PRINTF(6, 7);
/* Whether the file has it. */
bool qw_bind_has(const qw_binder *b, const char *our_name);

#endif
