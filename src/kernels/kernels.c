/* Which table of kernels this machine uses. Levels for instruction sets overwrite slots here as they are written; the plain one is complete. Tested by
 * tests/unit/test_kernels.c. */
#include "kernels/kernels.h"

#include "kernels/ref/ref.h"

const qw_kernels *qw_kernels_get(void)
{
    static const qw_kernels ref = {
        .matmul = { [QW_TYPE_F32] = qw_matmul_f32_ref, [QW_TYPE_F16] = qw_matmul_f16_ref, [QW_TYPE_BF16] = qw_matmul_bf16_ref },
        .decode = { [QW_TYPE_F32] = qw_decode_f32_ref, [QW_TYPE_F16] = qw_decode_f16_ref, [QW_TYPE_BF16] = qw_decode_bf16_ref },
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
    return &ref;
}
