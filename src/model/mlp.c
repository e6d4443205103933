/* SwiGLU: down( silu(gate h) * up h ). Tested by tests/golden/test_text.c. */
#include "model/text.h"

void qw_mlp_forward(qw_ops *ops, const qw_mlp *l, qw_text_scratch *s, size_t n)
{
    float *gate = s->wide[0], *up = s->wide[1];
    qw_op_linear(ops, gate, &l->gate, NULL, s->h, n);
    qw_op_linear(ops, up, &l->up, NULL, s->h, n);
    qw_op_silu_mul(ops, gate, gate, up, n * l->gate.rows);
    qw_op_linear(ops, s->h, &l->down, NULL, gate, n);
}
