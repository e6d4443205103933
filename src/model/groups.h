/* Codes and their scales -> one matrix: tensors X.weight (U32 words), X.scales and, of the affine formats, X.biases. How wide the codes are
 * is found from the shapes, since the model knows how many columns there must be. */
#ifndef QW_MODEL_GROUPS_H
#define QW_MODEL_GROUPS_H

#include "model/config_quant.h"
#include "quant/matrix.h"

/* The three tensors of a matrix; biases of the float modes NULL. */
typedef struct qw_group_parts {
    const qw_tensor *weight, *scales, *biases;
} qw_group_parts;

/* The matrix [rows, cols] that the parts are; points into them. Refused, naming tensor and numbers: shapes that fit no format, parts of
 * wrong types, and widths that are not what `said` says. */
qwren_status qw_group_matrix(qw_matrix *out, const qw_group_parts *p, size_t rows, size_t cols, const qw_quant_setting *said,
                             qwren_error *err);

#endif
