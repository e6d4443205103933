/* The slots that look across tokens: attention over its cache, the delta rule, the convolution. Limits: sums in another order than plain C's, and exp to a few
 * units of the last place. */
#include "check.h"

#include <math.h>

/* ---- attention: the cache is filled with the same table, so kv_append is looked at too */

typedef struct attention {
    qw_kv kv;
    qw_kv_append_args append;
    qw_attend_args attend;
} attention;

static void make_attention(check_run *r)
{
    attention *a = r->state = check_alloc(r, sizeof *a, 0);
    const size_t dim = r->large ? 256 : check_between(r, 1, 80), keys = r->large ? 2048 : check_between(r, 1, 700);
    const size_t tokens = r->large ? 16 : check_between(r, 1, keys < 9 ? keys : 9), heads = r->large ? 4 : check_between(r, 1, 4);
    const size_t stride = heads * dim + check_between(r, 0, 3);
    a->kv =
        (qw_kv){ .type = (qw_kv_type)r->param, .head_dim = dim, .data = check_alloc(r, qw_kv_bytes((qw_kv_type)r->param, dim, keys), 0) };
    a->append = (qw_kv_append_args){
        .kv = &a->kv, .n = keys, .k = check_floats(r, keys * dim), .v = check_floats(r, keys * dim), .k_stride = dim, .v_stride = dim
    };
    a->attend = (qw_attend_args){ .kv = &a->kv,
                                  .q = check_floats(r, tokens * stride),
                                  .out = check_output(r, tokens * stride),
                                  .q_token_stride = stride,
                                  .out_token_stride = stride,
                                  .q_head_stride = dim,
                                  .out_head_stride = dim,
                                  .n_tokens = tokens,
                                  .n_heads = heads,
                                  .n_keys = keys - tokens + 1,
                                  .key_step = 1,
                                  .scale = 1 / sqrtf((float)dim),
                                  .scratch = check_alloc(r, qw_attend_scratch(dim), 0) };
    r->work = 4e-9 * (double)(dim * keys * tokens * heads);
    if (r->large) /* only attend is timed */
        qw_kernels_of(QW_CPU_PORTABLE).kv_append[r->param](&a->append);
}

static void run_attention(const qw_kernels *k, check_run *r)
{
    const attention *a = r->state;
    if (!r->large)
        k->kv_append[r->param](&a->append);
    k->attend[r->param](&a->attend);
}

/* ---- the delta rule */

static void make_delta(check_run *r)
{
    qw_delta_args *a = r->state = check_alloc(r, sizeof *a, 0);
    const size_t dk = r->large ? 128 : 16 * check_between(r, 1, 8), dv = r->large ? 128 : 16 * check_between(r, 1, 8);
    const size_t n = r->param ? (size_t)r->param : check_between(r, 1, 150), in = 2 * dk + dv + check_between(r, 0, 5);
    float *qkv = check_floats(r, n * in), *gates = check_alloc(r, 2 * n * sizeof *gates, 0),
          *out = check_output(r, n * dv + qw_delta_state_floats(dk, dv));
    for (size_t i = 0; i < n; i++) {
        gates[2 * i] = -0.2F * fabsf(check_normal(r)); /* log decay */
        gates[2 * i + 1] = 1 / (1 + expf(-check_normal(r)));
    }
    *a = (qw_delta_args){ .out = out,
                          .state = out + n * dv, /* looked at as well */
                          .q = qkv,
                          .k = qkv + dk,
                          .v = qkv + 2 * dk,
                          .log_decay = gates,
                          .beta = gates + 1,
                          .out_stride = dv,
                          .in_stride = in,
                          .gate_stride = 2,
                          .n_tokens = n,
                          .key_dim = dk,
                          .value_dim = dv,
                          .scratch = check_alloc(r, qw_delta_scratch(dk, dv) * sizeof(float), 0) };
    for (size_t i = 0; i < dk * dv; i++)
        a->state[i] = 0.1F * check_normal(r);
    r->work = 8e-9 * (double)(dk * dv * n); /* four operations for each value of the state: decay, write, read before and after */
}

static void run_delta(const qw_kernels *k, check_run *r)
{
    const qw_delta_args *a = r->state;
    k->delta(a);
    if (r->large)
        return;
    qw_delta_state_get(a->state, a->key_dim, a->value_dim, a->state); /* levels scale it in their own ways */
    a->state[a->key_dim * a->value_dim] = 1;
}

/* ---- the convolution, and the gates */

typedef struct rows {
    size_t n, channels, stride;
    const float *x, *w, *bias;
    float *y, *tail;
} rows;

static void make_conv(check_run *r)
{
    rows *c = r->state = check_alloc(r, sizeof *c, 0);
    c->channels = r->large ? 2048 : check_between(r, 1, 100);
    c->n = r->large ? 64 : check_between(r, 1, 20);
    c->stride = c->channels + check_between(r, 0, 4);
    c->x = check_floats(r, c->n * c->stride);
    c->w = check_floats(r, 4 * c->stride);
    c->y = check_output(r, (c->n + 3) * c->stride);
    c->tail = c->y + c->n * c->stride; /* looked at as well */
    for (size_t i = 0; i < 3 * c->stride; i++)
        c->tail[i] = check_normal(r);
    r->work = 1e-9 * (double)(c->n * c->channels);
}

static void run_conv(const qw_kernels *k, check_run *r)
{
    const rows *c = r->state;
    k->conv_silu(c->y, c->stride, c->x, c->tail, c->w, c->stride, c->channels, c->n, 4);
}

const check_case check_mix_cases[] = {
    { "attend", "F32", "GFLOP/s", 3e-6, QW_KV_F32, make_attention, run_attention, NULL },
    { "attend", "F16", "GFLOP/s", 3e-6, QW_KV_F16, make_attention, run_attention, NULL },
    { "attend", "BF16", "GFLOP/s", 3e-6, QW_KV_BF16, make_attention, run_attention, NULL },
    { "attend", "Q8", "GFLOP/s", 3e-6, QW_KV_Q8, make_attention, run_attention, NULL },
    { "attend", "Q4", "GFLOP/s", 3e-6, QW_KV_Q4, make_attention, run_attention, NULL },
    { "delta", "1 token", "GFLOP/s", 3e-6, 1, make_delta, run_delta, NULL },
    { "delta", "64 tokens", "GFLOP/s", 3e-6, 64, make_delta, run_delta, NULL },
    { "delta", "", "GFLOP/s", 3e-6, 0, make_delta, run_delta, NULL },
    { "conv_silu", "", "Gvalue/s", 1e-6, 0, make_conv, run_conv, NULL },
    { NULL, NULL, NULL, 0, 0, NULL, NULL, NULL },
};
