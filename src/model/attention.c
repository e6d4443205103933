/* Gated full attention, every fourth layer (docs/model.md, section 2). Tested by tests/golden/test_ops.c and test_text.c. */
#include "model/text.h"

#include <math.h>
#include <string.h>

/* [n, heads, 2 * head_dim] (query, gate) -> queries [n, heads, head_dim] */
static void take_queries(float *q, const float *q_and_gate, size_t n_rows, size_t head_dim)
{
    for (size_t r = 0; r < n_rows; r++)
        memcpy(q + r * head_dim, q_and_gate + r * 2 * head_dim, head_dim * sizeof *q);
}

/* [n, kv_heads, head_dim] -> rows start.. of the cache [kv_heads, capacity, head_dim] */
static void append_rows(float *cache, size_t capacity, size_t start, const float *rows, size_t n, size_t kv_heads, size_t head_dim)
{
    for (size_t t = 0; t < n; t++)
        for (size_t g = 0; g < kv_heads; g++)
            memcpy(cache + (g * capacity + start + t) * head_dim, rows + (t * kv_heads + g) * head_dim, head_dim * sizeof *rows);
}

void qw_attention_forward(qw_ops *ops, const qw_text_config *c, const qw_attention_layer *l, qw_layer_state *st, qw_text_scratch *s,
                          size_t n, size_t start)
{
    const size_t heads = (size_t)c->n_heads, kv = (size_t)c->n_kv_heads, hd = (size_t)c->head_dim, half = (size_t)c->rotary_dim / 2;
    const float eps = (float)c->rms_eps;
    float *q_and_gate = s->wide[0], *q = s->wide[2], *k = s->wide[1], *v = k + n * kv * hd, *out = s->wide[1];

    qw_op_linear(ops, q_and_gate, &l->q, NULL, s->h, n);
    qw_op_linear(ops, k, &l->k, NULL, s->h, n);
    qw_op_linear(ops, v, &l->v, NULL, s->h, n);

    take_queries(q, q_and_gate, n * heads, hd);
    qw_op_rmsnorm(ops, q, q, l->q_norm, n * heads, hd, eps);
    qw_op_rmsnorm(ops, k, k, l->k_norm, n * kv, hd, eps);
    qw_op_rope(ops, q, n, heads, heads * hd, hd, s->cos, s->sin, half);
    qw_op_rope(ops, k, n, kv, kv * hd, hd, s->cos, s->sin, half);
    append_rows(st->k, st->capacity, start, k, n, kv, hd);
    append_rows(st->v, st->capacity, start, v, n, kv, hd);

    qw_attention_args a = {
        .out = out,
        .out_stride = heads * hd, /* k and v are in the cache by now */
        .q = q,
        .q_token_stride = heads * hd,
        .q_head_stride = hd,
        .k = st->k,
        .v = st->v,
        .kv_token_stride = hd,
        .kv_head_stride = st->capacity * hd,
        .n_queries = n,
        .n_keys = start + n,
        .n_heads = heads,
        .n_kv_heads = kv,
        .head_dim = hd,
        .causal = true,
        .scale = 1.0F / sqrtf((float)hd),
    };
    qw_op_attention(ops, &a);
    qw_op_sigmoid_gate(ops, out, q_and_gate + hd, 2 * heads * hd, 2 * hd, n, heads, hd);
    qw_op_linear(ops, s->h, &l->o, NULL, out, n);
}
