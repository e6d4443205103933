/* The operations that look across tokens: rotation, attention, convolution, delta rule. Split by heads (and tokens) or channels. Tested by tests/unit/test_ops.c
 * and tests/golden/test_ops.c. */
#include "compute/cpu/cpu.h"

/* ---- rotation */

typedef struct rope_job {
    const qw_kernels *kernels;
    float *x;
    size_t n_heads, token_stride, head_stride, half;
    const float *cos, *sin;
} rope_job;

static void rope_tokens(void *ctx, size_t begin, size_t end, int worker)
{
    const rope_job *j = ctx;
    for (size_t t = begin; t < end; t++)
        for (size_t h = 0; h < j->n_heads; h++)
            j->kernels->rope(j->x + t * j->token_stride + h * j->head_stride, j->cos + t * j->half, j->sin + t * j->half, j->half);
    (void)worker;
}

void qw_op_rope(qw_ops *ops, float *x, size_t n, size_t n_heads, size_t token_stride, size_t head_stride, const float *cos,
                const float *sin, size_t half)
{
    rope_job job = { &ops->kernels, x, n_heads, token_stride, head_stride, half, cos, sin };
    qw_parallel_for(ops->pool, n, qw_grain(n_heads * half, 8192), rope_tokens, &job);
}

/* ---- attention: one item is a query of a head */

typedef struct attention_job {
    const qw_kernels *kernels;
    const qw_attention_args *a;
} attention_job;

static void attention_queries(void *ctx, size_t begin, size_t end, int worker)
{
    const qw_kernels *kernels = ((const attention_job *)ctx)->kernels;
    const qw_attention_args *a = ((const attention_job *)ctx)->a;
    for (size_t item = begin; item < end; item++) {
        size_t h = item / a->n_queries, i = item % a->n_queries, g = h / (a->n_heads / a->n_kv_heads);
        qw_attend_rows_args one = {
            .out = a->out + i * a->out_stride + h * a->head_dim,
            .q = a->q + i * a->q_token_stride + h * a->q_head_stride,
            .k = a->k + g * a->kv_head_stride,
            .v = a->v + g * a->kv_head_stride,
            .kv_stride = a->kv_token_stride,
            .n_keys = a->causal ? a->n_keys - a->n_queries + i + 1 : a->n_keys,
            .head_dim = a->head_dim,
            .scale = a->scale,
        };
        kernels->attend_rows(&one);
    }
    (void)worker;
}

void qw_op_attention(qw_ops *ops, const qw_attention_args *a)
{
    attention_job job = { &ops->kernels, a };
    qw_parallel_for(ops->pool, a->n_heads * a->n_queries, qw_grain(2 * a->n_keys * a->head_dim, 65536), attention_queries, &job);
}

typedef struct gate_job {
    const qw_kernels *kernels;
    float *y;
    const float *gate;
    size_t token_stride, head_stride, n_heads, head_dim;
} gate_job;

static void gate_tokens(void *ctx, size_t begin, size_t end, int worker)
{
    const gate_job *j = ctx;
    for (size_t t = begin; t < end; t++)
        for (size_t h = 0; h < j->n_heads; h++)
            j->kernels->sigmoid_mul(j->y + (t * j->n_heads + h) * j->head_dim, j->gate + t * j->token_stride + h * j->head_stride,
                                    j->head_dim);
    (void)worker;
}

void qw_op_sigmoid_gate(qw_ops *ops, float *y, const float *gate, size_t token_stride, size_t head_stride, size_t n, size_t n_heads,
                        size_t head_dim)
{
    gate_job job = { &ops->kernels, y, gate, token_stride, head_stride, n_heads, head_dim };
    qw_parallel_for(ops->pool, n, qw_grain(n_heads * head_dim, 8192), gate_tokens, &job);
}

/* ---- convolution: one item is a channel */

typedef struct conv_job {
    const qw_kernels *kernels;
    float *y, *tail;
    const float *x, *w;
    size_t channels, n, taps;
} conv_job;

static void conv_channels(void *ctx, size_t begin, size_t end, int worker)
{
    const conv_job *j = ctx;
    j->kernels->conv_silu(j->y + begin, j->channels, j->x + begin, j->tail + begin, j->w + begin, j->channels, end - begin, j->n, j->taps);
    (void)worker;
}

void qw_op_conv_silu(qw_ops *ops, float *y, const float *x, float *tail, const float *w, size_t channels, size_t n, size_t taps)
{
    conv_job job = { &ops->kernels, y, tail, x, w, channels, n, taps };
    qw_parallel_for(ops->pool, channels, qw_grain(n * taps, 16384), conv_channels, &job);
}

/* ---- delta rule: one item is a value head */

typedef struct delta_job {
    const qw_ops *ops;
    const qw_delta_op_args *a;
} delta_job;

static void delta_heads(void *ctx, size_t begin, size_t end, int worker)
{
    const qw_ops *ops = ((const delta_job *)ctx)->ops;
    const qw_delta_op_args *a = ((const delta_job *)ctx)->a;
    const size_t keys = a->key_heads * a->key_dim, share = a->value_heads / a->key_heads;
    for (size_t h = begin; h < end; h++) {
        const size_t key_head = a->tiled ? h % a->key_heads : h / share;
        qw_delta_args one = {
            .out = a->out + h * a->value_dim,
            .state = a->state + h * a->key_dim * a->value_dim,
            .q = a->qkv + key_head * a->key_dim,
            .k = a->qkv + keys + key_head * a->key_dim,
            .v = a->qkv + 2 * keys + h * a->value_dim,
            .log_decay = a->log_decay + h,
            .beta = a->beta + h,
            .out_stride = a->value_heads * a->value_dim,
            .in_stride = 2 * keys + a->value_heads * a->value_dim,
            .gate_stride = a->value_heads,
            .n_tokens = a->n,
            .key_dim = a->key_dim,
            .value_dim = a->value_dim,
            .scratch = ops->delta_scratch + (size_t)worker * ops->delta_floats,
        };
        ops->kernels.delta(&one);
    }
}

void qw_op_delta(qw_ops *ops, const qw_delta_op_args *a)
{
    delta_job job = { ops, a };
    qw_parallel_for(ops->pool, a->value_heads, 1, delta_heads, &job);
}
