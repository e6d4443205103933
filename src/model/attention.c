/* Gated full attention, every fourth layer (docs/model.md, section 2). Tested by tests/golden/test_ops.c and test_text.c. */
#include "model/text.h"

#include "base/alloc.h"

size_t qw_cache_bytes(const qw_text_config *c, qw_kv_type type, size_t capacity)
{
    const size_t block = qw_kv_block_bytes(type, (size_t)c->head_dim), blocks = capacity / QW_KV_BLOCK + (capacity % QW_KV_BLOCK != 0);
    size_t head, all;
    return qw_mul_size(block, blocks, &head) && qw_mul_size(head, (size_t)c->n_kv_heads, &all) ? all : SIZE_MAX;
}

/* Each segment's rows and cache. Its n_last last tokens ask, and stand where qw_pass_keep_last() leaves them. */
static void set_segments(qw_attention_segment *out, const qw_pass *p, size_t layer, size_t n_last)
{
    size_t first_query = 0;
    for (size_t i = 0; i < p->n_segments; i++) {
        const qw_segment *s = &p->segments[i];
        const size_t n_queries = s->n < n_last ? s->n : n_last;
        const qw_layer_state *state = &s->states[layer];
        out[i] = (qw_attention_segment){ .first = s->first,
                                         .n = s->n,
                                         .start = s->start,
                                         .first_query = first_query,
                                         .n_queries = n_queries,
                                         .cache = state->cache,
                                         .pages = state->pages,
                                         .offset = state->offset,
                                         .type = state->cache_type,
                                         .capacity = state->capacity };
        first_query += n_queries;
    }
}

void qw_attention_forward(const qw_pass *p, const qw_attention_layer *l, size_t layer, size_t n_last)
{
    const qw_text_config *c = p->c;
    qw_text_scratch *s = p->s;
    float *q = s->wide[0], *k = s->wide[1], *v = k + s->n * l->k.rows;
    const qw_linear projections[] = { { k, .w = &l->k }, { v, .w = &l->v }, { q, .w = &l->q } };
    qw_attention_segment segments[QW_MAX_SEGMENTS];
    const qw_attention_op_args a = { .k = k,
                                     .v = v,
                                     .q = q,
                                     .q_norm = l->q_norm,
                                     .k_norm = l->k_norm,
                                     .cos = s->cos,
                                     .sin = s->sin,
                                     .out = &s->inner,
                                     .forms = qw_op_forms(p->ops, &l->o, NULL),
                                     .n_heads = (size_t)c->n_heads,
                                     .n_kv_heads = (size_t)c->n_kv_heads,
                                     .head_dim = (size_t)c->head_dim,
                                     .half = (size_t)c->rotary_dim / 2,
                                     .eps = (float)c->rms_eps,
                                     .parts = s->parts,
                                     .n_parts = s->n_parts,
                                     .segments = segments,
                                     .n_segments = p->n_segments };
    const bool all_ask = qw_pass_rows(p, n_last) == s->n;
    set_segments(segments, p, layer, n_last);

    qw_op_linears(p->ops, projections, all_ask ? 3 : 2, &s->in, s->n);
    qw_op_remember(p->ops, &a);
    if (!all_ask) {
        qw_pass_keep_last(p, &s->in, n_last);
        qw_op_linears(p->ops, &projections[2], 1, &s->in, s->n);
    }
    qw_op_attend(p->ops, &a);
    qw_op_linears(p->ops, &(qw_linear){ .y = s->x, .w = &l->o, .add = true }, 1, &s->inner, s->n);
}
