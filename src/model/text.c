/* The decoder: the page to read first. A batch of tokens goes through all layers; each layer reads and moves on its own state. Tested by
 * tests/golden/test_text.c, layer by layer against the reference. */
#include "model/text.h"

#include <string.h>

static size_t max(size_t a, size_t b) { return a > b ? a : b; }

/* The widest row that a layer keeps between two of its steps. */
static size_t widest(const qw_text_config *c)
{
    const size_t attention = 2 * (size_t)c->n_heads * (size_t)c->head_dim, kv = 2 * (size_t)c->n_kv_heads * (size_t)c->head_dim;
    return max(max(max(attention, kv), qw_delta_channels(c)), max((size_t)c->intermediate_size, 2 * (size_t)c->hidden_size));
}

size_t qw_text_scratch_floats(const qw_text_config *c, size_t n)
{
    return n * (2 * (size_t)c->hidden_size + 3 * widest(c) + 2 * (size_t)c->linear_value_heads + (size_t)c->rotary_dim);
}

void qw_text_scratch_init(qw_text_scratch *s, float *block, const qw_text_config *c, size_t n)
{
    const size_t half = (size_t)c->rotary_dim / 2;
    float **parts[] = { &s->x, &s->h, &s->wide[0], &s->wide[1], &s->wide[2], &s->gates[0], &s->gates[1], &s->cos, &s->sin };
    const size_t widths[] = { (size_t)c->hidden_size,        (size_t)c->hidden_size,        widest(c), widest(c), widest(c),
                              (size_t)c->linear_value_heads, (size_t)c->linear_value_heads, half,      half };
    for (size_t i = 0; i < sizeof widths / sizeof *widths; i++) {
        *parts[i] = block;
        block += n * widths[i];
    }
}

/* x = embed[ids], and the pictures' rows over their pads. */
static void embed(qw_ops *ops, const qw_text_model *m, float *x, const qw_batch *b)
{
    const size_t H = m->embed.cols;
    qw_op_embed(ops, x, &m->embed, b->ids, b->n);
    for (size_t i = 0; b->rows && i < b->n; i++)
        if (b->rows[i])
            memcpy(x + i * H, b->rows[i], H * sizeof *x);
}

static void show(const qw_trace *trace, int step, const qw_text_scratch *s, size_t n)
{
    if (trace)
        trace->fn(trace->ctx, step, s->x, n);
}

void qw_layer_forward(qw_ops *ops, const qw_text_config *c, const qw_layer *l, qw_layer_state *state, qw_text_scratch *s, size_t n,
                      size_t start)
{
    const size_t H = (size_t)c->hidden_size;
    const float eps = (float)c->rms_eps;
    qw_op_rmsnorm(ops, s->h, s->x, l->norm_in, n, H, eps);
    if (l->kind == QW_LAYER_DELTA)
        qw_delta_forward(ops, c, &l->mixer.delta, state, s, n);
    else
        qw_attention_forward(ops, c, &l->mixer.attention, state, s, n, start);
    qw_op_add(ops, s->x, s->h, n * H);

    qw_op_rmsnorm(ops, s->h, s->x, l->norm_post, n, H, eps);
    qw_mlp_forward(ops, &l->mlp, s, n);
    qw_op_add(ops, s->x, s->h, n * H);
}

void qw_text_forward(qw_ops *ops, const qw_text_model *m, qw_layer_state *states, qw_text_scratch *s, const qw_batch *b,
                     const qw_trace *trace)
{
    const qw_text_config *c = m->config;
    embed(ops, m, s->x, b);
    show(trace, 0, s, b->n);
    qw_rope_table(m, s->cos, s->sin, b->pos, b->n);
    for (int i = 0; i < c->n_layers; i++) {
        qw_layer_forward(ops, c, &m->layers[i], &states[i], s, b->n, b->start);
        show(trace, i + 1, s, b->n);
    }
    qw_op_rmsnorm(ops, s->h, s->x, m->norm, b->n, (size_t)c->hidden_size, (float)c->rms_eps);
}

void qw_text_logits(qw_ops *ops, const qw_text_model *m, float *logits, const float *hidden, size_t n)
{
    qw_op_linear(ops, logits, &m->head, NULL, hidden, n);
}
