/* Plain C of every slot of qw_kernels: complete, readable, the meaning that other levels are tested against. */
#ifndef QW_KERNELS_REF_H
#define QW_KERNELS_REF_H

#include "kernels/kernels.h"

/* matmul.c: all weight types */
void qw_matmul_ref(float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t n_rows, const float *x, size_t x_stride,
                   size_t n_tokens);
void qw_decode_ref(float *out, const qw_matrix *w, size_t row);

/* q8.c */
bool qw_q8_has(qw_type t); /* multiplied in eight bits */
void qw_quantize_ref(const qw_q8_quantize *a);
void qw_matmul_q8_ref(const qw_q8_matmul *a);
void qw_to_bf16_ref(uint16_t *y, const float *x, size_t n);
/* Weights [col, col + n) of a row as q8.h multiplies them, n columns that share a scale at most: unsigned codes, scale, bias. */
size_t qw_q8_unit(const qw_matrix *w); /* columns of a unit: 16, 32 or 64 */
void qw_q8_codes(const qw_matrix *w, size_t row, size_t col, uint8_t *codes, float *scale, float *bias);

/* norm.c */
void qw_rmsnorm_ref(float *y, const float *x, const float *w, size_t n, float eps);
void qw_layernorm_ref(float *y, const float *x, const float *w, const float *b, size_t n, float eps);
void qw_gated_rmsnorm_ref(float *y, const float *x, const float *w, const float *z, size_t n, float eps);

/* act.c */
void qw_add_ref(float *y, const float *x, size_t n);
void qw_silu_mul_ref(float *y, const float *gate, const float *up, size_t n);
void qw_sigmoid_mul_ref(float *y, const float *gate, size_t n);
void qw_gelu_tanh_ref(float *x, size_t n);
void qw_gelu_erf_ref(float *x, size_t n);
void qw_rope_ref(float *x, const float *cos, const float *sin, size_t half);
float qw_max_ref(const float *x, size_t n);
void qw_delta_gates_ref(float *log_decay, float *beta, const float *a, const float *b, const float *neg_exp_a, const float *dt_bias,
                        size_t n, size_t heads);

/* kv.c */
void qw_kv_append_ref(const qw_kv_append_args *a);
void qw_kv_widen_keys(const qw_kv *kv, size_t block, float *out);           /* [head_dim][16] */
void qw_kv_widen_values(const qw_kv *kv, size_t pos, size_t n, float *out); /* [n][padded] */

/* kv_q4.c: a row of a block; a number of it, of keys as they are kept */
void qw_kv_q4_put(char *block, const qw_kv_layout *l, size_t head_dim, size_t lane, const float *k, const float *v);
float qw_kv_q4_key(const char *block, const qw_kv_layout *l, size_t lane, size_t d);
float qw_kv_q4_value(const char *block, const qw_kv_layout *l, size_t lane, size_t d);

/* attn.c, conv.c, delta.c */
void qw_attend_ref(const qw_attend_args *a);
void qw_attend_splits_ref(const qw_attend_args *a, size_t first, size_t n, float *parts, size_t split_stride);
void qw_attend_merge_ref(float *out, size_t head_dim, const float *parts, size_t part_stride, size_t n_parts);
void qw_conv_silu_ref(float *y, size_t y_stride, const float *x, float *tail, const float *w, size_t stride, size_t n, size_t n_tokens,
                      size_t taps);
void qw_delta_ref(const qw_delta_args *a);

/* peak.c */
uint64_t qw_dot_peak_ref(uint64_t rounds, float *sink);
uint64_t qw_read_ref(const void *p, size_t n);

/* 1 / (1 + e^-x) without overflow for any x */
float qw_sigmoid_ref(float x);
#define QW_LANES 8

#endif
