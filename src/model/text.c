/* The decoder: the page to read first. A batch of tokens goes through all layers; each layer reads and moves on its own state. Tested by
 * tests/golden/test_text.c, layer by layer against the reference. */
#include "model/text.h"

#include <string.h>

/* ---- buffers */

static size_t max(size_t a, size_t b) { return a > b ? a : b; }
static size_t rounded(size_t bytes) { return (bytes + 63) / 64 * 64; }

/* Floats of each token, in the order of qw_text_scratch: x, wide[2], gates[2], cos, sin. */
#define N_WIDTHS 7
static void widths_of(const qw_text_config *c, size_t widths[N_WIDTHS])
{
    const size_t H = (size_t)c->hidden_size, heads = (size_t)c->n_heads * (size_t)c->head_dim,
                 kv = (size_t)c->n_kv_heads * (size_t)c->head_dim, values = (size_t)c->linear_value_heads * (size_t)c->linear_value_dim;
    widths[0] = H;
    widths[1] = max(max(2 * heads, qw_delta_channels(c)), 2 * H);
    widths[2] = max(2 * kv, values);
    widths[3] = widths[4] = (size_t)c->linear_value_heads;
    widths[5] = widths[6] = (size_t)c->rotary_dim / 2;
}

/* What o, out, down and the MTP head's fc read. */
static size_t inner_width(const qw_text_config *c)
{
    const size_t heads = (size_t)c->n_heads * (size_t)c->head_dim, values = (size_t)c->linear_value_heads * (size_t)c->linear_value_dim;
    return max(max(heads, values), max((size_t)c->intermediate_size, 2 * (size_t)c->hidden_size));
}

size_t qw_text_scratch_bytes(const qw_text_config *c, size_t n, size_t n_ctx)
{
    size_t widths[N_WIDTHS], bytes = qw_input_bytes(n, (size_t)c->hidden_size) + qw_input_bytes(n, inner_width(c));
    widths_of(c, widths);
    for (size_t i = 0; i < N_WIDTHS; i++)
        bytes += rounded(n * widths[i] * sizeof(float));
    return bytes + rounded(qw_attention_parts((size_t)c->n_heads, (size_t)c->head_dim, n_ctx) * sizeof(float));
}

void qw_text_scratch_init(qw_text_scratch *s, void *block, const qw_text_config *c, size_t n, size_t n_ctx)
{
    float **parts[N_WIDTHS] = { &s->x, &s->wide[0], &s->wide[1], &s->gates[0], &s->gates[1], &s->cos, &s->sin };
    size_t widths[N_WIDTHS];
    char *at = block;
    widths_of(c, widths);
    s->n = n;
    qw_input_init(&s->in, at, n, (size_t)c->hidden_size);
    at += qw_input_bytes(n, (size_t)c->hidden_size);
    qw_input_init(&s->inner, at, n, inner_width(c));
    at += qw_input_bytes(n, inner_width(c));
    for (size_t i = 0; i < N_WIDTHS; i++) {
        *parts[i] = (float *)(void *)at;
        at += rounded(n * widths[i] * sizeof(float));
    }
    s->parts = (float *)(void *)at;
    s->n_parts = qw_attention_parts((size_t)c->n_heads, (size_t)c->head_dim, n_ctx);
}

/* ---- a layer */

size_t qw_pass_rows(const qw_pass *p, size_t n_last)
{
    size_t n = 0;
    for (size_t i = 0; i < p->n_segments; i++)
        n += p->segments[i].n < n_last ? p->segments[i].n : n_last;
    return n;
}

/* n rows of x, of the tables and of `in`, downwards. */
static void move_rows(const qw_pass *p, qw_input *in, size_t to, size_t from, size_t n)
{
    qw_text_scratch *s = p->s;
    const size_t H = (size_t)p->c->hidden_size, half = (size_t)p->c->rotary_dim / 2;
    if (to == from)
        return;
    memmove(s->x + to * H, s->x + from * H, n * H * sizeof *s->x);
    memmove(s->cos + to * half, s->cos + from * half, n * half * sizeof *s->cos);
    memmove(s->sin + to * half, s->sin + from * half, n * half * sizeof *s->sin);
    for (size_t i = 0; i < n; i++)
        qw_input_move(in, to + i, from + i);
}

void qw_pass_keep_last(const qw_pass *p, qw_input *in, size_t n_last)
{
    size_t to = 0;
    for (size_t i = 0; i < p->n_segments; i++) {
        const qw_segment *segment = &p->segments[i];
        const size_t n = segment->n < n_last ? segment->n : n_last;
        move_rows(p, in, to, segment->first + segment->n - n, n);
        to += n;
    }
    p->s->n = to;
}

static unsigned forms_of_mixer(const qw_ops *ops, const qw_layer *l)
{
    const qw_attention_layer *a = &l->mixer.attention;
    const qw_delta_layer *d = &l->mixer.delta;
    return l->kind == QW_LAYER_DELTA ? qw_op_forms(ops, &d->qkv, &d->z, &d->a, &d->b, NULL) : qw_op_forms(ops, &a->q, &a->k, &a->v, NULL);
}

void qw_layer_forward(const qw_pass *p, const qw_layer *l, size_t layer, size_t n_last)
{
    qw_text_scratch *s = p->s;
    const size_t H = (size_t)p->c->hidden_size;
    const float eps = (float)p->c->rms_eps;
    qw_op_norm(p->ops, &s->in, s->x, l->norm_in, s->n, H, eps, QW_ROLE_NORMED, forms_of_mixer(p->ops, l));
    if (l->kind == QW_LAYER_DELTA)
        qw_delta_forward(p, &l->mixer.delta, layer, n_last);
    else
        qw_attention_forward(p, &l->mixer.attention, layer, n_last);

    qw_op_norm(p->ops, &s->in, s->x, l->norm_post, s->n, H, eps, QW_ROLE_NORMED, qw_op_forms(p->ops, &l->mlp.gate, &l->mlp.up, NULL));
    qw_mlp_forward(p, &l->mlp);
}

/* ---- all of it */

/* x = embed[ids], and the pictures' rows over their pads. */
static void embed(qw_ops *ops, const qw_text_model *m, qw_text_scratch *s, const qw_batch *b)
{
    const size_t H = m->embed.cols;
    s->n = b->n;
    qw_op_embed(ops, s->x, &m->embed, b->ids, b->n);
    for (size_t i = 0; b->rows && i < b->n; i++)
        if (b->rows[i])
            memcpy(s->x + i * H, b->rows[i], H * sizeof *s->x);
    qw_rope_table(m, s->cos, s->sin, b->pos, b->n);
}

static void show(const qw_trace *trace, int step, const qw_text_scratch *s)
{
    if (trace)
        trace->fn(trace->ctx, step, s->x, s->n);
}

void qw_text_forward(qw_ops *ops, const qw_text_model *m, qw_text_scratch *s, const qw_batch *b, const qw_trace *trace)
{
    const qw_pass pass = { ops, m->config, s, b->segments, b->n_segments };
    const int last = m->config->n_layers - 1;
    embed(ops, m, s, b);
    show(trace, 0, s);
    for (int i = 0; i <= last; i++) {
        qw_layer_forward(&pass, &m->layers[i], (size_t)i, i == last ? b->n_last : QW_ALL_ROWS);
        show(trace, i + 1, s);
    }
    qw_text_hidden(ops, m, s, m->norm);
}

void qw_text_settle(qw_ops *ops, const qw_text_model *m, qw_text_scratch *s, const qw_segment *segments, size_t n_segments)
{
    const qw_pass pass = { ops, m->config, s, segments, n_segments };
    for (int i = 0; i < m->config->n_layers; i++)
        if (m->layers[i].kind == QW_LAYER_DELTA)
            qw_delta_settle(&pass, &m->layers[i].mixer.delta, (size_t)i);
}

#define ROWS 64 /* at a time */

void qw_text_logits(qw_ops *ops, const qw_text_model *m, float *logits, const qw_input *hidden, size_t n)
{
    float *rows[ROWS];
    for (size_t at = 0, k; at < n; at += k) {
        k = n - at < ROWS ? n - at : ROWS;
        for (size_t i = 0; i < k; i++)
            rows[i] = logits + (at + i) * m->head.rows;
        qw_op_head(ops, rows, NULL, &m->head, hidden, at, k);
    }
}

void qw_text_hidden(qw_ops *ops, const qw_text_model *m, qw_text_scratch *s, const float *w)
{
    const qw_text_config *c = m->config;
    qw_op_norm(ops, &s->in, s->x, w, s->n, (size_t)c->hidden_size, (float)c->rms_eps, QW_ROLE_HEAD,
               qw_op_forms(ops, &m->head, NULL) | QW_FORM_F32);
}
