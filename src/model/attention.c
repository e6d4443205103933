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

/* Keys and values of all tokens into their timelines' caches. */
static void remember(const qw_pass *p, const qw_attention_layer *l, size_t layer, float *k, float *v)
{
    const qw_text_scratch *s = p->s;
    const size_t kv = (size_t)p->c->n_kv_heads, hd = (size_t)p->c->head_dim;
    qw_op_rmsnorm(p->ops, k, k, l->k_norm, s->n * kv, hd, (float)p->c->rms_eps);
    qw_op_rope(p->ops, k, s->n, kv, kv * hd, hd, s->cos, s->sin, (size_t)p->c->rotary_dim / 2);
    for (size_t i = 0; i < p->n_segments; i++) {
        const qw_segment *g = &p->segments[i];
        const qw_layer_state *st = &g->states[layer];
        append_rows(st->k, st->capacity, g->start, k + g->first * kv * hd, g->n, kv, hd);
        append_rows(st->v, st->capacity, g->start, v + g->first * kv * hd, g->n, kv, hd);
    }
}

/* Queries of a segment, rows [first, first + n) of the scratch, over everything that its cache holds. */
static void attend(const qw_pass *p, const qw_segment *g, size_t layer, size_t first, size_t n, const float *q, float *out)
{
    const size_t heads = (size_t)p->c->n_heads, hd = (size_t)p->c->head_dim;
    const qw_layer_state *st = &g->states[layer];
    qw_op_attention(p->ops, &(qw_attention_args){ .out = out + first * heads * hd,
                                                  .out_stride = heads * hd,
                                                  .q = q + first * heads * hd,
                                                  .q_token_stride = heads * hd,
                                                  .q_head_stride = hd,
                                                  .k = st->k,
                                                  .v = st->v,
                                                  .kv_token_stride = hd,
                                                  .kv_head_stride = st->capacity * hd,
                                                  .n_queries = n,
                                                  .n_keys = g->start + g->n,
                                                  .n_heads = heads,
                                                  .n_kv_heads = (size_t)p->c->n_kv_heads,
                                                  .head_dim = hd,
                                                  .causal = true,
                                                  .scale = 1.0F / sqrtf((float)hd) });
}

void qw_attention_forward(const qw_pass *p, const qw_attention_layer *l, size_t layer, bool last_only)
{
    qw_text_scratch *s = p->s;
    const size_t heads = (size_t)p->c->n_heads, kv = (size_t)p->c->n_kv_heads, hd = (size_t)p->c->head_dim;
    float *q_and_gate = s->wide[0], *k = s->wide[1], *v = k + s->n * kv * hd, *q = s->wide[2], *out = s->inner.f32;
    const qw_linear projections[] = { { k, .w = &l->k }, { v, .w = &l->v }, { q_and_gate, .w = &l->q } };

    qw_op_linears(p->ops, projections, last_only ? 2 : 3, &s->in, s->n);
    remember(p, l, layer, k, v);
    if (last_only) {
        qw_pass_keep_last(p, &s->in);
        qw_op_linears(p->ops, &projections[2], 1, &s->in, s->n);
    }
    take_queries(q, q_and_gate, s->n * heads, hd);
    qw_op_rmsnorm(p->ops, q, q, l->q_norm, s->n * heads, hd, (float)p->c->rms_eps);
    qw_op_rope(p->ops, q, s->n, heads, heads * hd, hd, s->cos, s->sin, (size_t)p->c->rotary_dim / 2);
    for (size_t i = 0; i < p->n_segments; i++)
        attend(p, &p->segments[i], layer, last_only ? i : p->segments[i].first, last_only ? 1 : p->segments[i].n, q, out);
    qw_op_sigmoid_gate(p->ops, out, q_and_gate + hd, 2 * heads * hd, 2 * hd, s->n, heads, hd);
    qw_op_input(p->ops, &s->inner, out, s->n, heads * hd, QW_ROLE_MIXED, qw_op_forms(p->ops, &l->o, NULL));
    qw_op_linears(p->ops, &(qw_linear){ .y = s->x, .w = &l->o, .add = true }, 1, &s->inner, s->n);
}
