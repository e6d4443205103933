/* The multi-token prediction head (docs/model.md, section 7): one attention layer over (embedding, hidden state) pairs, the trunk's own output head.
 * Tested by tests/golden/test_text.c. */
#include "model/mtp.h"

#include <string.h>

qwren_status qw_mtp_bind(qw_mtp_model *out, const qw_text_config *c, const qw_binder *b, qwren_error *err)
{
    const size_t H = (size_t)c->hidden_size;
    QW_TRY(qw_bind_matrix(b, &out->fc, H, 2 * H, err, "mtp.fc.weight"));
    QW_TRY(qw_bind_norm(b, &out->norm_embedding, H, err, "mtp.pre_fc_norm_embedding.weight"));
    QW_TRY(qw_bind_norm(b, &out->norm_hidden, H, err, "mtp.pre_fc_norm_hidden.weight"));
    QW_TRY(qw_bind_norm(b, &out->norm, H, err, "mtp.norm.weight"));
    return qw_layer_bind(&out->layer, QW_LAYER_ATTENTION, c, b, "mtp.layers.0", err);
}

/* [n, H] and [n, H] -> [n, 2H], row by row side by side */
static void join(float *out, const float *left, const float *right, size_t n, size_t H)
{
    for (size_t i = 0; i < n; i++) {
        memcpy(out + 2 * i * H, left + i * H, H * sizeof *out);
        memcpy(out + (2 * i + 1) * H, right + i * H, H * sizeof *out);
    }
}

void qw_mtp_forward(qw_ops *ops, const qw_text_model *text, const qw_mtp_model *m, qw_layer_state *state, qw_text_scratch *s,
                    const qw_batch *b, const float *hidden)
{
    const qw_text_config *c = text->config;
    const size_t H = (size_t)c->hidden_size, n = b->n;
    const float eps = (float)c->rms_eps;
    qw_op_embed(ops, s->x, &text->embed, b->ids, n);
    qw_op_rmsnorm(ops, s->x, s->x, m->norm_embedding, n, H, eps);
    qw_op_rmsnorm(ops, s->h, hidden, m->norm_hidden, n, H, eps);
    join(s->wide[0], s->x, s->h, n, H);
    qw_op_linear(ops, s->x, &m->fc, NULL, s->wide[0], n);
    qw_rope_table(text, s->cos, s->sin, b->pos, n);
    qw_layer_forward(ops, c, &m->layer, state, s, n, b->start);
    qw_op_rmsnorm(ops, s->h, s->x, m->norm, n, H, eps);
}
