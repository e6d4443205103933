/* SwiGLU: x += down( silu(gate h) * up h ). Tested by tests/golden/test_text.c. */
#include "model/text.h"

void qw_mlp_forward(const qw_pass *p, const qw_mlp *l)
{
    qw_text_scratch *s = p->s;
    qw_op_gate_up(p->ops, &s->inner, &l->gate, &l->up, &s->in, s->n, qw_op_forms(p->ops, &l->down, NULL));
    qw_op_linears(p->ops, &(qw_linear){ .y = s->x, .w = &l->down, .add = true }, 1, &s->inner, s->n);
}
