/* What the machine can do at most, level avx2: its byte product and fma in registers, reading in whole vectors. Tested by tests/unit/test_kernels_peak.c. */
#include "kernels/levels.h"

#include <immintrin.h>

#define CHAINS 12 /* hides a latency of 5 at two a cycle */

/* 32 products of bytes an instruction; the sums of 16 bits are added, which does not compete for the multiplier. */
static uint64_t dot_peak(uint64_t rounds, float *sink)
{
    const __m256i a = _mm256_set1_epi8(3), b = _mm256_set1_epi8(-2);
    __m256i sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm256_set1_epi32(i); /* different, or the compiler finds that they stay equal */
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++) {
            __m256i x = a;
            __asm__ volatile("" : "+x"(x)); /* the same product each time is no reason to keep it */
            sums[i] = _mm256_add_epi16(sums[i], _mm256_maddubs_epi16(x, b));
        }
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm256_add_epi16(sums[0], sums[i]);
    *sink += (float)_mm256_extract_epi16(sums[0], 0);
    return rounds * CHAINS * 64;
}

static uint64_t fma_peak(uint64_t rounds, float *sink)
{
    const __m256 a = _mm256_set1_ps(0.999f), b = _mm256_set1_ps(1e-3f);
    __m256 sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = _mm256_set1_ps((float)i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; i++)
            sums[i] = _mm256_fmadd_ps(sums[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = _mm256_add_ps(sums[0], sums[i]);
    *sink += _mm256_cvtss_f32(sums[0]);
    return rounds * CHAINS * 16;
}

static uint64_t read(const void *p, size_t n)
{
    __m256i sums[4] = { _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256(), _mm256_setzero_si256() };
    const char *at = p;
    for (size_t i = 0; i + 128 <= n; i += 128)
        for (int k = 0; k < 4; k++)
            sums[k] = _mm256_add_epi64(sums[k], _mm256_loadu_si256((const __m256i *)(const void *)(at + i + 32 * (size_t)k)));
    const __m256i sum = _mm256_add_epi64(_mm256_add_epi64(sums[0], sums[1]), _mm256_add_epi64(sums[2], sums[3]));
    const __m128i half = _mm_add_epi64(_mm256_castsi256_si128(sum), _mm256_extracti128_si256(sum, 1));
    return (uint64_t)_mm_cvtsi128_si64(half) + (uint64_t)_mm_extract_epi64(half, 1);
}

void qw_peak_avx2(qw_kernels *k)
{
    k->dot_peak = (qw_peak){ "vpmaddubsw", dot_peak };
    k->float_peak = (qw_peak){ "vfmadd, 256 bits", fma_peak };
    k->read = read;
}
