/* Tensors by name -> what the layers hold: matrices stay in the mapping, small vectors become floats. Used by the decoder, the tower and
 * the MTP head when a model is opened. Hugging Face, MLX and GGUF differ in what weights/ delivers (qw_layout), and here in nothing that a
 * layer could see. */
#ifndef QW_MODEL_BIND_H
#define QW_MODEL_BIND_H

#include "base/arena.h"
#include "compute/ops.h"
#include "model/config_quant.h"
#include "weights/names.h"
#include "weights/weights.h"

/* Told of each tensor that cannot be bound (by our name), and why. Binding then goes on with nothing in its place (a matrix without data,
 * NULL for a vector, whatever sizes the config claims): such a model can be looked at, not computed with. */
typedef void (*qw_bind_complaint)(void *ctx, const char *name, const qwren_error *why);

typedef struct qw_binder {
    const qw_weights *weights;
    qw_arena *arena;              /* receives the vectors */
    const qw_quant_config *quant; /* what codes are checked against; NULL: nothing */
    qw_matrix *bound;           /* [qw_weights_count] receives what was made of each tensor, by its place in the files; NULL: nobody asks */
    qw_bind_complaint complain; /* NULL: the first tensor that cannot be bound is the end */
    void *complain_ctx;
} qw_binder;

/* The matrix [rows, cols] in whatever type the files have it: floats, GGUF's blocks, or MLX's codes with their scales. Missing or of
 * another shape: E_FORMAT naming file, tensor, both shapes; of a type that no layer reads: E_UNSUPPORTED. */
qwren_status qw_bind_matrix(const qw_binder *b, qw_matrix *out, size_t rows, size_t cols, qwren_error *err, const char *name_fmt, ...)
    QW_PRINTF(6, 7);
/* A tensor of floats with any number of dimensions (from 1): rows = shape[0], cols = the product of the others. */
qwren_status qw_bind_tensor(const qw_binder *b, qw_matrix *out, int n_dims, const size_t *shape, qwren_error *err, const char *name_fmt,
                            ...) QW_PRINTF(6, 7);
/* n values as floats. */
qwren_status qw_bind_vector(const qw_binder *b, const float **out, size_t n, qwren_error *err, const char *name_fmt, ...) QW_PRINTF(5, 6);
/* The factors of a norm of the text model or the MTP head: 1 + w where the file holds w (Hugging Face), the file's values elsewhere. */
qwren_status qw_bind_norm(const qw_binder *b, const float **out, size_t n, qwren_error *err, const char *name_fmt, ...) QW_PRINTF(5, 6);

/* Whether the files have it; the tensor itself, or NULL. */
bool qw_bind_has(const qw_binder *b, const char *our_name);
const qw_tensor *qw_bind_find(const qw_binder *b, const char *our_name);

/* Whether the files have any tensor of it: one that is half there is refused by name, not left out. */
bool qw_bind_has_part(const qw_binder *b, qw_part part);

/* What says the shapes, for messages: "config.json". */
const char *qw_bind_config_name(const qw_binder *b);

#endif
