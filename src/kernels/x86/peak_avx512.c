/* What the machine can do at most, level avx512: its dot product of bytes and fma in registers, reading in whole vectors. Tested by
 * tests/unit/test_kernels_peak.c. */
#include "kernels/levels.h"

#include <immintrin.h>

#define CHAINS 12 /* hides a latency of 5 at two a cycle */

static uint64_t dot_peak(uint64_t rounds, float *sink)
{
    const __m512i a = _mm512_set1_epi8(3), b = _mm512_set1_epi8(-2);
    __m512i sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm512_set1_epi32(i); /* different, or the compiler finds that they stay equal */
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm512_dpbusd_epi32(sums[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_epi32(sums[0], sums[i]);
    *sink += (float)_mm512_reduce_add_epi32(sums[0]);
    return rounds * CHAINS * 128;
}

static uint64_t fma_peak(uint64_t rounds, float *sink)
{
    const __m512 a = _mm512_set1_ps(0.999f), b = _mm512_set1_ps(1e-3f);
    __m512 sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm512_set1_ps((float)i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm512_fmadd_ps(sums[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm512_add_ps(sums[0], sums[i]);
    *sink += _mm512_reduce_add_ps(sums[0]);
    return rounds * CHAINS * 32;
}

static uint64_t read(const void *p, size_t n)
{
    __m512i sums[4] = { _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512(), _mm512_setzero_si512() };
    const char *at = p;
    for (size_t i = 0; i + 256 <= n; i += 256)
        for (int k = 0; k < 4; k++)
            sums[k] = _mm512_add_epi64(sums[k], _mm512_loadu_si512(at + i + 64 * (size_t)k));
    uint64_t lanes[8], sum = 0; /* unsigned: the intrinsic that would add them wraps a signed number */
    _mm512_storeu_si512(lanes, _mm512_add_epi64(_mm512_add_epi64(sums[0], sums[1]), _mm512_add_epi64(sums[2], sums[3])));
    for (size_t l = 0; l < 8; l++)
        sum += lanes[l];
    return sum;
}

void qw_peak_avx512(qw_kernels *k)
{
    k->dot_peak = (qw_peak){ "vpdpbusd, 512 bits", dot_peak };
    k->float_peak = (qw_peak){ "vfmadd, 512 bits", fma_peak };
    k->read = read;
}
