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
    return (size_t)c->linear_value_heads * (size_t)c->linear_key_dim * (size_t)c->linear_value_dim;
}

void qw_delta_forward(qw_ops *ops, const qw_text_config *c, const qw_delta_layer *l, qw_layer_state *st, qw_text_scratch *s, size_t n)
{
    const size_t Hk = (size_t)c->linear_key_heads, Hv = (size_t)c->linear_value_heads, dk = (size_t)c->linear_key_dim,
                 dv = (size_t)c->linear_value_dim;
    float *qkv = s->wide[0], *mixed = s->wide[1], *z = s->wide[2], *out = s->wide[0], *log_decay = s->gates[0], *beta = s->gates[1];

    qw_op_linear(ops, qkv, &l->qkv, NULL, s->h, n);
    qw_op_linear(ops, z, &l->z, NULL, s->h, n);
    qw_op_linear(ops, log_decay, &l->a, NULL, s->h, n);
    qw_op_linear(ops, beta, &l->b, NULL, s->h, n);
    qw_op_delta_gates(ops, log_decay, beta, log_decay, beta, l->neg_exp_a, l->dt_bias, n, Hv);

    qw_op_conv_silu(ops, mixed, qkv, st->conv, l->conv, qw_delta_channels(c), n, (size_t)c->conv_kernel);
    qw_delta_op_args a = {
        .out = out,
        .state = st->recurrent,
        .qkv = mixed,
        .log_decay = log_decay,
        .beta = beta, /* out: qkv is used up */
        .n = n,
        .key_heads = Hk,
        .value_heads = Hv,
        .key_dim = dk,
        .value_dim = dv,
        .tiled = c->tiled_value_heads,
    };
    qw_op_delta(ops, &a);
    qw_op_gated_rmsnorm(ops, out, out, l->norm, z, n * Hv, dv, (float)c->rms_eps);
    qw_op_linear(ops, s->h, &l->out, NULL, out, n);
}
