/* What the codes of each family of formats mean, in plain C; private to src/quant. matrix.c chooses. */
#ifndef QW_QUANT_FORMATS_H
#define QW_QUANT_FORMATS_H

#include "quant/matrix.h"

/* affine.c: columns [col, col + n) of a row of an affine type */
void qw_affine_decode(const qw_matrix *w, size_t row, size_t col, size_t n, float *out);
/* microfloat.c: the same for MXFP4, NVFP4, MXFP8 */
void qw_microfloat_decode(const qw_matrix *w, size_t row, size_t col, size_t n, float *out);
/* blocks.c, kquants.c: n weights (a multiple of the block) of a BLOCK type, from whole blocks at src */
void qw_blocks_decode(qw_type type, const void *src, size_t n, float *out);

#endif
