/* What the machine can do at most, level avx512bf16: its dot product of bf16. Tested by tests/unit/test_kernels_peak.c. */
#include "kernels/levels.h"

#include <immintrin.h>

#define CHAINS 12

static uint64_t bf16_peak(uint64_t rounds, float *sink)
{
    const __m512bh a = (__m512bh)_mm512_set1_epi16(0x3F80), b = (__m512bh)_mm512_set1_epi16(0x3A80); /* 1 and 2^-10 */
    __m512 sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm512_dpbf16_ps(sums[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_ps(sums[0], sums[i]);
    *sink += _mm512_reduce_add_ps(sums[0]);
    return rounds * CHAINS * 64;
}

void qw_peak_avx512bf16(qw_kernels *k) { k->float_peak = (qw_peak){ "vdpbf16ps, 512 bits", bf16_peak }; }
