/* Gated DeltaNet, three layers of four (docs/model.md, section 4): constant state, no positions. Tested by tests/golden/test_ops.c and
 * test_text.c. */
#include "model/text.h"

size_t qw_delta_channels(const qw_text_config *c)
{
    return 2 * (size_t)c->linear_key_heads * (size_t)c->linear_key_dim + (size_t)c->linear_value_heads * (size_t)c->linear_value_dim;
}

size_t qw_conv_floats(const qw_text_config *c) { return ((size_t)c->conv_kernel - 1) * qw_delta_channels(c); }

size_t qw_recurrent_floats(const qw_text_config *c)
{
    return qw_op_delta_state((size_t)c->linear_value_heads, (size_t)c->linear_key_dim, (size_t)c->linear_value_dim);
}

void qw_delta_forward(const qw_pass *p, const qw_delta_layer *l, size_t layer, bool last_only)
{
    const qw_text_config *c = p->c;
    qw_text_scratch *s = p->s;
    float *qkv = s->wide[0], *z = s->wide[1], *a = s->gates[0], *b = s->gates[1];
    const qw_linear projections[] = { { qkv, .w = &l->qkv }, { z, .w = &l->z }, { a, .w = &l->a }, { b, .w = &l->b } };
    qw_delta_segment segments[QW_MAX_SEGMENTS];
    for (size_t i = 0; i < p->n_segments; i++) {
        const qw_segment *from = &p->segments[i];
        segments[i] = (qw_delta_segment){ from->first, from->n, from->states[layer].conv, from->states[layer].recurrent };
    }

    qw_op_linears(p->ops, projections, 4, &s->in, s->n);
    qw_op_delta(p->ops, &(qw_delta_op_args){ .out = &s->inner,
                                             .forms = qw_op_forms(p->ops, &l->out, NULL),
                                             .qkv = qkv,
                                             .z = z,
                                             .a = a,
                                             .b = b,
                                             .conv = l->conv,
                                             .neg_exp_a = l->neg_exp_a,
                                             .dt_bias = l->dt_bias,
                                             .norm = l->norm,
                                             .taps = (size_t)c->conv_kernel,
                                             .key_heads = (size_t)c->linear_key_heads,
                                             .value_heads = (size_t)c->linear_value_heads,
                                             .key_dim = (size_t)c->linear_key_dim,
                                             .value_dim = (size_t)c->linear_value_dim,
                                             .tiled = c->tiled_value_heads,
                                             .eps = (float)c->rms_eps,
                                             .segments = segments,
                                             .n_segments = p->n_segments });
    if (last_only)
        qw_pass_keep_last(p, &s->inner);
    qw_op_linears(p->ops, &(qw_linear){ .y = s->x, .w = &l->out, .add = true }, 1, &s->inner, s->n);
}
