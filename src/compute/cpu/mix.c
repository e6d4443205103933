/* Rotation and attention over floats. Split by heads and tokens. Tested by tests/unit/test_ops.c and tests/golden/test_ops.c. */
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
    QW_TIMED(ops, QW_OP_ATTENTION);
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
    QW_TIMED(ops, QW_OP_ATTENTION);
    attention_job job = { &ops->kernels, a };
    qw_parallel_for(ops->pool, a->n_heads * a->n_queries, qw_grain(2 * a->n_keys * a->head_dim, 65536), attention_queries, &job);
}
