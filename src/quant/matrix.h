/* A weight matrix in the format of its file, and what it means as floats. Every layer's weights are of this type. */
#ifndef QW_QUANT_MATRIX_H
#define QW_QUANT_MATRIX_H

#include "quant/types.h"

#include <stdint.h>

/* rows x cols, row-major, usually inside a mapping; nothing is owned. Any pointer may be unaligned. cols is a multiple of the type's block, and of
 * `group` for GROUP types. Of those, group g of a row covers its columns [g * group, (g + 1) * group):
 *   affine  w = scale * q + bias, q unsigned; element e of a row stands in bits [e * bits, (e + 1) * bits) of the row's stream, lowest bit first
 *   MXFP4, NVFP4, MXFP8  w = scale * small float; one byte of scale, no biases */
typedef struct qw_matrix {
    qw_type type;
    size_t rows, cols;
    const void *data;            /* [rows] rows of qw_matrix_row_bytes() */
    const void *scales, *biases; /* GROUP: [rows, cols / group]; biases of the affine types only; NULL otherwise */
    qw_type scale_type;          /* of scales and biases: F32, F16, BF16; U8 for the float modes */
    int group;                   /* columns that share a scale: 32, 64, 128 (16 for NVFP4); 0 for other kinds */
} qw_matrix;

static inline size_t qw_matrix_row_bytes(const qw_matrix *w) { return w->cols / qw_type_block(w->type) * qw_type_block_bytes(w->type); }

/* All bytes of the matrix: codes, scales, biases. */
size_t qw_matrix_bytes(const qw_matrix *w);

/* Rows [first, first + n) as a matrix of their own. */
qw_matrix qw_matrix_rows(const qw_matrix *w, size_t first, size_t n);

/* Columns [col, col + n) of a row as floats; w->type is a weight type; col and n are multiples of its block. A group need not begin at col. */
void qw_matrix_decode(const qw_matrix *w, size_t row, size_t col, size_t n, float *out);

#endif
