/* Gated DeltaNet, three layers of four (docs/model.md, section 4): constant state, no positions. Tested by tests/golden/test_ops.c and
 * test_text.c, and tests/unit/test_trial.c. */
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

size_t qw_trial_floats(const qw_text_config *c, size_t room)
{
    return qw_op_delta_trial(room, (size_t)c->linear_value_heads, qw_delta_channels(c));
}

/* Each segment's rows and state of the layer; `saves` [QW_MAX_SAVES] is room. */
static void set_segments(qw_delta_segment *out, qw_delta_save *saves, const qw_pass *p, size_t layer)
{
    for (size_t i = 0; i < p->n_segments; i++) {
        const qw_segment *s = &p->segments[i];
        const qw_layer_state *state = &s->states[layer];
        out[i] = (qw_delta_segment){ .first = s->first,
                                     .n = s->n,
                                     .tail = state->conv,
                                     .state = state->recurrent,
                                     .saves = saves,
                                     .n_saves = s->n_saves,
                                     .trial = state->trial,
                                     .n_kept = s->n_kept,
                                     .on_trial = s->on_trial };
        for (size_t k = 0; k < s->n_saves; k++)
            *saves++ = (qw_delta_save){ s->saves[k].at, s->saves[k].to[layer].conv, s->saves[k].to[layer].recurrent };
    }
}

/* All that does not depend on the rows. */
static qw_delta_op_args args_of(const qw_text_config *c, const qw_delta_layer *l)
{
    return (qw_delta_op_args){ .conv = l->conv,
                               .neg_exp_a = l->neg_exp_a,
                               .dt_bias = l->dt_bias,
                               .norm = l->norm,
                               .taps = (size_t)c->conv_kernel,
                               .key_heads = (size_t)c->linear_key_heads,
                               .value_heads = (size_t)c->linear_value_heads,
                               .key_dim = (size_t)c->linear_key_dim,
                               .value_dim = (size_t)c->linear_value_dim,
                               .tiled = c->tiled_value_heads,
                               .eps = (float)c->rms_eps };
}

void qw_delta_forward(const qw_pass *p, const qw_delta_layer *l, size_t layer, size_t n_last)
{
    qw_text_scratch *s = p->s;
    float *qkv = s->wide[0], *z = s->wide[1], *a = s->gates[0], *b = s->gates[1];
    const qw_linear projections[] = { { qkv, .w = &l->qkv }, { z, .w = &l->z }, { a, .w = &l->a }, { b, .w = &l->b } };
    qw_delta_segment segments[QW_MAX_SEGMENTS];
    qw_delta_save saves[QW_MAX_SAVES];
    qw_delta_op_args args = args_of(p->c, l);
    set_segments(segments, saves, p, layer);
    args.segments = segments;
    args.n_segments = p->n_segments;
    args.out = &s->inner;
    args.forms = qw_op_forms(p->ops, &l->out, NULL);
    args.qkv = qkv;
    args.z = z;
    args.a = a;
    args.b = b;

    qw_op_linears(p->ops, projections, 4, &s->in, s->n);
    qw_op_delta(p->ops, &args);
    qw_pass_keep_last(p, &s->inner, n_last);
    qw_op_linears(p->ops, &(qw_linear){ .y = s->x, .w = &l->out, .add = true }, 1, &s->inner, s->n);
}

void qw_delta_settle(const qw_pass *p, const qw_delta_layer *l, size_t layer)
{
    qw_delta_segment segments[QW_MAX_SEGMENTS];
    qw_delta_op_args args = args_of(p->c, l);
    for (size_t i = 0; i < p->n_segments; i++) {
        const qw_layer_state *state = &p->segments[i].states[layer];
        segments[i] =
            (qw_delta_segment){ .tail = state->conv, .state = state->recurrent, .trial = state->trial, .n_kept = p->segments[i].n_kept };
    }
    args.segments = segments;
    args.n_segments = p->n_segments;
    qw_op_delta_settle(p->ops, &args);
}
