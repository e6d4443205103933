/* Which table of kernels this machine uses. Plain C fills every slot; each family of each level (levels.h) overwrites those that it does better. Tested by
 * tests/unit/test_kernels.c. */
#include "kernels/kernels.h"

#include "kernels/levels.h"
#include "kernels/ref/ref.h"

/* The same function for every type that a layer can multiply with: what a format means, qw_matrix_decode knows. */
static void fill_matmul(qw_kernels *k)
{
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++)
        if (qw_type_is_weight(t)) {
            k->matmul[t] = qw_matmul_ref;
            k->decode[t] = qw_decode_ref;
            k->matmul_q8[t] = qw_q8_has(t) ? qw_matmul_q8_ref : NULL;
        }
}

static void fill_attend(qw_kernels *k)
{
    for (qw_kv_type t = 0; t < QW_KV_PAIRS; t++) {
        k->kv_append[t] = qw_kv_append_ref;
        k->attend[t] = qw_attend_ref;
        k->attend_splits[t] = qw_attend_splits_ref;
    }
}

static qw_kernels portable(void)
{
    qw_kernels k = {
        .quantize = qw_quantize_ref,
        .to_bf16 = qw_to_bf16_ref,
        .rmsnorm = qw_rmsnorm_ref,
        .layernorm = qw_layernorm_ref,
        .gated_rmsnorm = qw_gated_rmsnorm_ref,
        .add = qw_add_ref,
        .silu_mul = qw_silu_mul_ref,
        .sigmoid_mul = qw_sigmoid_mul_ref,
        .gelu_tanh = qw_gelu_tanh_ref,
        .gelu_erf = qw_gelu_erf_ref,
        .rope = qw_rope_ref,
        .max = qw_max_ref,
        .delta_gates = qw_delta_gates_ref,
        .attend_merge = qw_attend_merge_ref,
        .conv_silu = qw_conv_silu_ref,
        .delta = qw_delta_ref,
        .dot_peak = { "float, plain C", qw_dot_peak_ref },
        .float_peak = { "float, plain C", qw_dot_peak_ref },
        .read = qw_read_ref,
    };
    fill_matmul(&k);
    fill_attend(&k);
    return k;
}

/* Every family of a level in turn, the better levels last. */
qw_kernels qw_kernels_of(qw_cpu_level level)
{
    qw_kernels k = portable();
#if defined(__x86_64__)
    if (level >= QW_CPU_AVX2) {
        qw_vec_avx2(&k);
        qw_dot_avx2(&k);
        qw_q8_avx2(&k);
        qw_attn_avx2(&k);
        qw_delta_avx2(&k);
        qw_peak_avx2(&k);
    }
    if (level == QW_CPU_AVXVNNI) {
        qw_q8_avxvnni(&k);
        qw_peak_avxvnni(&k);
    }
    if (level >= QW_CPU_AVX512) {
        qw_vec_avx512(&k);
        qw_dot_avx512(&k);
        qw_q8_avx512(&k);
        qw_attn_avx512(&k);
        qw_delta_avx512(&k);
        qw_peak_avx512(&k);
    }
    if (level >= QW_CPU_AVX512BF16) {
        qw_dot_avx512bf16(&k);
        qw_attn_avx512bf16(&k);
        qw_peak_avx512bf16(&k);
    }
#elif defined(__aarch64__)
    if (level >= QW_CPU_NEON) {
        qw_vec_neon(&k);
        qw_dot_neon(&k);
        qw_q8_neon(&k);
        qw_attn_neon(&k);
        qw_delta_neon(&k);
        qw_peak_neon(&k);
    }
    if (level >= QW_CPU_I8MM) {
        qw_q8_i8mm(&k);
        qw_peak_i8mm(&k);
    }
#endif
    (void)level;
    return k;
}

qw_kernels qw_kernels_get(void)
{
    qw_cpu_level level;
    qw_cpu_choose(&level, NULL);
    return qw_kernels_of(level);
}
