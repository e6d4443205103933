/* The tensors of a checkpoint as a person counts them: a matrix of codes is one, with its scales and biases. For inspect, doctor and
 * quantize. */
#ifndef QW_MODEL_LOGICAL_H
#define QW_MODEL_LOGICAL_H

#include "model/config_quant.h"
#include "quant/matrix.h"
#include "weights/names.h"
#include "weights/weights.h"

typedef struct qw_logical {
    const qw_tensor *tensor;          /* X.weight, or the tensor that stands alone: names, file */
    const qw_tensor *scales, *biases; /* MLX's codes; NULL otherwise */
    qw_part part;
    qw_type type; /* QW_TYPE_AFFINE6, ...: of the weights. U32 where codes have no scales */
    int group;    /* of MLX's codes; 0 otherwise */
    int n_dims;
    size_t shape[QW_MAX_DIMS]; /* in weights: [out, in] of codes, where the file has [out, words] */
    size_t n_weights;
    size_t n_bytes;          /* with scales and biases */
    double bits;             /* 8 n_bytes / n_weights; 0 of an empty tensor */
    const qw_matrix *matrix; /* what the model made of it; NULL when no layer reads it as a matrix */
    size_t next;             /* private: where to go on */
} qw_logical;

/* In file order:
 *     for (qw_logical t = { 0 }; qw_logical_next(&t, weights, bound, quant);) ...
 * `bound` [qw_weights_count] is the binder's (qw_model.bound), or NULL: then, and for what no layer reads, the widths of codes are those
 * that `quant` states (may be NULL), if they fit the shapes; if not, the tensor is shown as the file has it. */
bool qw_logical_next(qw_logical *t, const qw_weights *w, const qw_matrix *bound, const qw_quant_config *quant);

#endif
