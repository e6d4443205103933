/* What each family of kernels puts into the table on each level. A family is a file of x86/ or arm/, compiled for its level alone (cmake/levels.cmake).
 *   vec    norms, activations, rotation, conversions      dot    weights x activations in float and bf16
 *   q8     weights x activations in eight bits, and making those       attn   attention and its cache      delta  the gated delta rule, its convolution
 *   peak   the most that the machine can do, for measuring */
#ifndef QW_KERNELS_LEVELS_H
#define QW_KERNELS_LEVELS_H

#include "kernels/kernels.h"

void qw_vec_avx2(qw_kernels *k);
void qw_dot_avx2(qw_kernels *k);
void qw_q8_avx2(qw_kernels *k);
void qw_q8_avxvnni(qw_kernels *k);
void qw_peak_avxvnni(qw_kernels *k);
void qw_attn_avx2(qw_kernels *k);
void qw_delta_avx2(qw_kernels *k);
void qw_peak_avx2(qw_kernels *k);

void qw_vec_avx512(qw_kernels *k);
void qw_dot_avx512(qw_kernels *k);
void qw_dot_avx512bf16(qw_kernels *k);
void qw_peak_avx512bf16(qw_kernels *k);
void qw_q8_avx512(qw_kernels *k);
void qw_attn_avx512(qw_kernels *k);
void qw_attn_avx512bf16(qw_kernels *k);
void qw_delta_avx512(qw_kernels *k);
void qw_peak_avx512(qw_kernels *k);

void qw_vec_neon(qw_kernels *k);
void qw_dot_neon(qw_kernels *k);
void qw_q8_neon(qw_kernels *k);
void qw_q8_i8mm(qw_kernels *k);
void qw_peak_i8mm(qw_kernels *k);
void qw_attn_neon(qw_kernels *k);
void qw_delta_neon(qw_kernels *k);
void qw_peak_neon(qw_kernels *k);

#endif
