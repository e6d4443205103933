/* What the machine can do at most, level avxvnni: its dot product of 256 bits. Tested by tests/unit/test_kernels_peak.c. */
#include "kernels/levels.h"

#include <immintrin.h>

#define CHAINS 12

static uint64_t dot_peak(uint64_t rounds, float *sink)
{
    const __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2);
    __m256i sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm256_set1_epi32(i); /* different, or the compiler finds that they stay equal */
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm256_dpbusd_avx_epi32(sums[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm256_add_epi32(sums[0], sums[i]);
    *sink += (float)_mm256_extract_epi32(sums[0], 0);
    return rounds * CHAINS * 64;
}

void qw_peak_avxvnni(qw_kernels *k) { k->dot_peak = (qw_peak){ "vpdpbusd, 256 bits", dot_peak }; }
