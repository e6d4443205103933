/* What the codes of each family of formats mean, in plain C; private to src/quant. matrix.c chooses. */
#ifndef QW_QUANT_FORMATS_H
#define QW_QUANT_FORMATS_H

#include "quant/half.h"
#include "quant/matrix.h"

/* affine.c: columns [col, col + n) of a row of an affine type */
void qw_affine_decode(const qw_matrix *w, size_t row, size_t col, size_t n, float *out);
/* microfloat.c: the same for MXFP4, NVFP4, MXFP8 */
void qw_microfloat_decode(const qw_matrix *w, size_t row, size_t col, size_t n, float *out);
/* blocks.c: n weights (a multiple of the block) of a BLOCK type, from whole blocks at src */
void qw_blocks_decode(qw_type type, const void *src, size_t n, float *out);

/* kquants.c: one block of 256 weights */
void qw_q2_k(const uint8_t *block, float *out);
void qw_q3_k(const uint8_t *block, float *out);
void qw_q4_k(const uint8_t *block, float *out);
void qw_q5_k(const uint8_t *block, float *out);
void qw_q6_k(const uint8_t *block, float *out);
void qw_iq4_xs(const uint8_t *block, float *out);

/* The half at p, which may be unaligned. */
static inline float qw_block_half(const uint8_t *p) { return qw_f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }
/* blocks.c: what the nibbles of IQ4_NL and IQ4_XS choose among */
extern const float qw_iq4_levels[16];

#endif
