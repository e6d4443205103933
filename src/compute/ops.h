/* The operations of the model on a device: whole tensors, split over the pool's threads. What the model calls; compute/cpu implements it over kernels/.
 * Buffers are float, dense and row-major, owned by the caller. Operations take turns on the pool, so several sessions may compute on one device.
 * Results do not depend on the number of threads. */
#ifndef QW_COMPUTE_OPS_H
#define QW_COMPUTE_OPS_H

#include "base/status.h"
#include "quant/matrix.h"

typedef struct qw_ops qw_ops;

/* n_threads counts the caller; 0 = qw_cpu_count(). */
qwren_status qw_ops_create(qw_ops **out, int n_threads, qwren_error *err);
void qw_ops_free(qw_ops *ops); /* NULL is allowed */
/* Scratch for qw_op_delta with heads of this size; once, before the first use. */
qwren_status qw_ops_reserve_delta(qw_ops *ops, size_t key_dim, size_t value_dim, qwren_error *err);

/* From now on every qw_op_linear tells what it is about to multiply: x [n, w->cols]. For calibration, which knows tensors by the address of their
 * qw_matrix. One thread at a time; NULL ends it. */
typedef void (*qw_linear_observer)(void *ctx, const qw_matrix *w, const float *x, size_t n);
void qw_ops_observe(qw_ops *ops, qw_linear_observer fn, void *ctx);

/* y[i] = row ids[i] of w */
void qw_op_embed(qw_ops *ops, float *y, const qw_matrix *w, const int32_t *ids, size_t n);
/* y [n, w->rows] = x [n, w->cols] w^T; then + bias [rows] when it is not NULL */
void qw_op_linear(qw_ops *ops, float *y, const qw_matrix *w, const float *bias, const float *x, size_t n);
/* Rows of `width`: y[i] = norm(x[i]); y may be x. */
void qw_op_rmsnorm(qw_ops *ops, float *y, const float *x, const float *w, size_t n_rows, size_t width, float eps);
void qw_op_layernorm(qw_ops *ops, float *y, const float *x, const float *w, const float *b, size_t n_rows, size_t width, float eps);
/* y[i] = rmsnorm(x[i]) * w * silu(z[i]); y may be x. */
void qw_op_gated_rmsnorm(qw_ops *ops, float *y, const float *x, const float *w, const float *z, size_t n_rows, size_t width, float eps);
void qw_op_add(qw_ops *ops, float *y, const float *x, size_t n);                          /* y += x */
void qw_op_silu_mul(qw_ops *ops, float *y, const float *gate, const float *up, size_t n); /* y = silu(gate) * up; y may be gate or up */
void qw_op_gelu_tanh(qw_ops *ops, float *x, size_t n);
void qw_op_gelu_erf(qw_ops *ops, float *x, size_t n);

/* Rotates the first 2 * half values of every head of every token: pairs (i, i + half). cos, sin [n, half]. Token i's head h starts at
 * x + i * token_stride + h * head_stride. */
void qw_op_rope(qw_ops *ops, float *x, size_t n, size_t n_heads, size_t token_stride, size_t head_stride, const float *cos,
                const float *sin, size_t half);

/* Softmax attention with n_heads / n_kv_heads query heads for each key head. Strides in floats. */
typedef struct qw_attention_args {
    float *out;         /* token i, head h: out + i * out_stride + h * head_dim */
    const float *q;     /* q + i * q_token_stride + h * q_head_stride */
    const float *k, *v; /* k + j * kv_token_stride + g * kv_head_stride */
    size_t out_stride, q_token_stride, q_head_stride, kv_token_stride, kv_head_stride;
    size_t n_queries, n_keys, n_heads, n_kv_heads, head_dim;
    bool causal; /* query i sees the keys 0 .. n_keys - n_queries + i, otherwise all */
    float scale;
} qw_attention_args;
void qw_op_attention(qw_ops *ops, const qw_attention_args *a);
/* y[i][h] *= sigmoid(gate[i][h]): heads of head_dim, y dense [n, n_heads, head_dim], gates at gate + i * token_stride + h * head_stride. */
void qw_op_sigmoid_gate(qw_ops *ops, float *y, const float *gate, size_t token_stride, size_t head_stride, size_t n, size_t n_heads,
                        size_t head_dim);

/* Causal depthwise convolution, then silu. x, y [n, channels]; w [taps, channels]; tail [taps - 1, channels]: the inputs before x, replaced by the
 * last ones. */
void qw_op_conv_silu(qw_ops *ops, float *y, const float *x, float *tail, const float *w, size_t channels, size_t n, size_t taps);
/* log_decay = -exp(A_log) * softplus(a + dt_bias), given neg_exp_a = -exp(A_log); beta = sigmoid(b). All [n, heads]; log_decay may be a, beta may be b. */
void qw_op_delta_gates(qw_ops *ops, float *log_decay, float *beta, const float *a, const float *b, const float *neg_exp_a,
                       const float *dt_bias, size_t n, size_t heads);

/* The gated delta rule. qkv [n, 2 * Hk * dk + Hv * dv] is the convolution's output: all query heads, all key heads, all value heads. Value head j
 * reads key head j / (Hv / Hk), or, when they are tiled as in GGUF files, key head j % Hk. */
typedef struct qw_delta_op_args {
    float *out;                          /* [n, Hv, dv] */
    float *state;                        /* [Hv, dk, dv] */
    const float *qkv, *log_decay, *beta; /* the last two [n, Hv] */
    size_t n, key_heads, value_heads, key_dim, value_dim;
    bool tiled;
} qw_delta_op_args;
void qw_op_delta(qw_ops *ops, const qw_delta_op_args *a);

#endif
