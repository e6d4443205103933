/* Which table of kernels this machine uses. Levels for instruction sets overwrite slots here as they are written; the plain one is complete. Tested by
 * tests/unit/test_kernels.c. */
#include "kernels/kernels.h"

#include "kernels/ref/ref.h"

/* The same function for every type that a layer can multiply with: what a format means, qw_matrix_decode knows. */
static void fill_matmul(qw_kernels *k)
{
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++)
        if (qw_type_is_weight(t)) {
            k->matmul[t] = qw_matmul_ref;
            k->decode[t] = qw_decode_ref;
        }
}

qw_kernels qw_kernels_get(void)
{
    qw_kernels k = {
        .rmsnorm = qw_rmsnorm_ref,
        .layernorm = qw_layernorm_ref,
        .gated_rmsnorm = qw_gated_rmsnorm_ref,
        .add = qw_add_ref,
        .silu_mul = qw_silu_mul_ref,
        .sigmoid_mul = qw_sigmoid_mul_ref,
        .gelu_tanh = qw_gelu_tanh_ref,
        .gelu_erf = qw_gelu_erf_ref,
        .rope = qw_rope_ref,
        .attend = qw_attend_ref,
        .conv_silu = qw_conv_silu_ref,
        .delta_step = qw_delta_step_ref,
        .delta_chunk = qw_delta_chunk_ref,
    };
    fill_matmul(&k);
    return k;
}
