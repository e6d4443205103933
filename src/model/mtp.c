/* The multi-token prediction head (docs/model.md, section 7): one attention layer over (embedding, hidden state) pairs, the trunk's own
 * output head. Tested by tests/golden/test_text.c. */
#include "model/mtp.h"

qwren_status qw_mtp_bind(qw_mtp_model *out, const qw_text_config *c, const qw_binder *b, qwren_error *err)
{
    const size_t H = (size_t)c->hidden_size;
    QW_TRY(qw_bind_matrix(b, &out->fc, H, 2 * H, err, "mtp.fc.weight"));
    QW_TRY(qw_bind_norm(b, &out->norm_embedding, H, err, "mtp.pre_fc_norm_embedding.weight"));
    QW_TRY(qw_bind_norm(b, &out->norm_hidden, H, err, "mtp.pre_fc_norm_hidden.weight"));
    QW_TRY(qw_bind_norm(b, &out->norm, H, err, "mtp.norm.weight"));
    return qw_layer_bind(&out->layer, QW_LAYER_ATTENTION, c, b, "mtp.layers.0", err);
}

/* Both halves normalised, side by side: [n, 2H]. */
static void join(qw_ops *ops, const qw_mtp_model *m, float *out, const float *embeddings, const float *hidden, size_t n, size_t H,
                 float eps)
{
    for (size_t i = 0; i < n; i++) {
        qw_op_rmsnorm(ops, out + 2 * i * H, embeddings + i * H, m->norm_embedding, 1, H, eps);
        qw_op_rmsnorm(ops, out + (2 * i + 1) * H, hidden + i * H, m->norm_hidden, 1, H, eps);
    }
}

void qw_mtp_forward(qw_ops *ops, const qw_text_model *text, const qw_mtp_model *m, qw_text_scratch *s, const qw_batch *b,
                    const float *hidden)
{
    const qw_text_config *c = text->config;
    const size_t H = (size_t)c->hidden_size;
    const qw_pass pass = { ops, c, s, b->segments, b->n_segments };
    s->n = b->n;
    qw_op_embed(ops, s->x, &text->embed, b->ids, s->n);
    join(ops, m, s->wide[0], s->x, hidden, s->n, H, (float)c->rms_eps);
    qw_op_input(ops, &s->inner, s->wide[0], s->n, 2 * H, QW_ROLE_NORMED, qw_op_forms(ops, &m->fc, NULL));
    qw_op_linears(ops, &(qw_linear){ .y = s->x, .w = &m->fc }, 1, &s->inner, s->n);
    qw_rope_table(text, s->cos, s->sin, b->pos, s->n);
    qw_layer_forward(&pass, &m->layer, 0, b->n_last);
    qw_text_hidden(ops, text, s, m->norm);
}
