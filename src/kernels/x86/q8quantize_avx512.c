/* Activations to eight bits with their fixed quads (q8.h), level avx512: a group of 64 is four registers. Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8_avx512.h"

#define NOT_FINITE 0x7F800000 /* the bits of magnitudes order as the magnitudes do */

/* Largest magnitudes of the 16 quads, as bits, in their order. */
INLINE __m512i magnitudes(const __m512 x[4])
{
    const __m512i order = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    __m512i m[4];
    for (int i = 0; i < 4; i++)
        m[i] = _mm512_castps_si512(_mm512_abs_ps(x[i]));
    const __m512i ab = _mm512_max_epi32(_mm512_unpacklo_epi32(m[0], m[1]), _mm512_unpackhi_epi32(m[0], m[1]));
    const __m512i cd = _mm512_max_epi32(_mm512_unpacklo_epi32(m[2], m[3]), _mm512_unpackhi_epi32(m[2], m[3]));
    return _mm512_permutexvar_epi32(order, _mm512_max_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd)));
}

/* The n quads with the largest magnitudes, of equal ones the lower first. */
INLINE uint32_t largest_quads(__m512i m, size_t n)
{
    if (n >= QW_Q8_QUADS)
        return 0xFFFF;
    uint32_t picked = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t equal = _mm512_cmpeq_epi32_mask(m, _mm512_set1_epi32(_mm512_reduce_max_epi32(m)));
        const uint32_t first = equal & -equal;
        picked |= first;
        m = _mm512_mask_set1_epi32(m, (__mmask16)first, -1);
    }
    return picked;
}

INLINE float scale_of(int32_t all, int32_t unfixed)
{
    float a, u;
    memcpy(&a, &all, 4);
    memcpy(&u, &unfixed, 4);
    const float x = u * (1 / 127.0F), y = a * (1 / 16256.0F), scale = x > y ? x : y;
    return scale < 1e-30F ? 0 : scale;
}

INLINE void store_sums(qw_q8_group *g, float scale, const __m512i v[4])
{
    const __m512i lanes = q8_sum4(v);
    const __m256i h = _mm256_add_epi32(_mm512_castsi512_si256(lanes), _mm512_extracti64x4_epi64(lanes, 1));
    const __m128i sum16 = _mm_add_epi32(_mm256_castsi256_si128(h), _mm256_extracti128_si256(h, 1));
    const __m128i sum32 = _mm_hadd_epi32(sum16, sum16), sum64 = _mm_hadd_epi32(sum32, sum32);
    const __m128i first = _mm_unpacklo_epi64(sum64, sum32); /* the scale's place, 64, 32, 32 */
    const __m256 sums = _mm256_mul_ps(_mm256_cvtepi32_ps(_mm256_set_m128i(sum16, first)), _mm256_set1_ps(scale));
    _mm256_storeu_ps(&g->scale, _mm256_blend_ps(sums, _mm256_set1_ps(scale), 1));
}

/* The numbers of the quads and their four bytes side by side. */
INLINE void store_fixes(qw_q8_fix *fixes, size_t n, uint32_t quads, const int8_t *high)
{
    const __m512i numbers = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i number = _mm512_maskz_compress_epi32((__mmask16)quads, numbers),
                  value = _mm512_maskz_compress_epi32((__mmask16)quads, _mm512_loadu_si512(high));
    const __m512i first = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    _mm512_mask_storeu_epi64(fixes, n < 8 ? (__mmask8)((1U << n) - 1) : 0xFF, _mm512_permutex2var_epi32(number, first, value));
    if (n > 8)
        _mm512_mask_storeu_epi64(fixes + 8, (__mmask8)((1U << (n - 8)) - 1),
                                 _mm512_permutex2var_epi32(number, _mm512_add_epi32(first, _mm512_set1_epi32(8)), value));
}

INLINE void quantize_group(const qw_q8 *out, size_t at, const float *from)
{
    const size_t n_fix = (size_t)out->n_fix;
    __m512 x[4];
    __m512i v[4];
    for (int i = 0; i < 4; i++)
        x[i] = _mm512_loadu_ps(from + 16 * i);
    const __m512i m = magnitudes(x);
    const int32_t all = _mm512_reduce_max_epi32(m);
    const uint32_t quads = largest_quads(m, n_fix);
    const int32_t unfixed = n_fix ? _mm512_reduce_max_epi32(_mm512_maskz_mov_epi32((__mmask16)~quads, m)) : all;
    const float scale = scale_of(all, unfixed);
    const __m512 inverse = _mm512_set1_ps(scale > 0 ? 1.0F / scale : 0);
    for (int i = 0; i < 4; i++)
        v[i] = _mm512_cvtps_epi32(_mm512_mul_ps(x[i], inverse));
    store_sums(out->groups + at, scale, v);
    if (n_fix) {
        const uint64_t columns = _pdep_u64(quads, 0x1111111111111111ULL) * 15;
        int8_t bytes[QW_Q8_GROUP];
        for (int i = 0; i < 4; i++) {
            const __m512i high = _mm512_maskz_srai_epi32((__mmask16)(columns >> 16 * i), _mm512_add_epi32(v[i], _mm512_set1_epi32(64)), 7);
            v[i] = _mm512_sub_epi32(v[i], _mm512_slli_epi32(high, 7));
            _mm_storeu_si128((__m128i *)(void *)(bytes + 16 * i), _mm512_cvtepi32_epi8(high));
        }
        store_fixes(out->fixes + at * n_fix, n_fix, quads, bytes);
    }
    for (int i = 0; i < 4; i++)
        _mm_storeu_si128((__m128i *)(void *)(out->low + at * QW_Q8_GROUP + 16 * (size_t)i), _mm512_cvtepi32_epi8(v[i]));
}

INLINE bool all_finite(const float *x)
{
    __m512i m = _mm512_setzero_si512();
    for (int i = 0; i < 4; i++)
        m = _mm512_max_epi32(m, _mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(x + 16 * i))));
    return !_mm512_cmpge_epi32_mask(m, _mm512_set1_epi32(NOT_FINITE));
}

void qw_quantize_avx512(const qw_q8 *out, size_t token, size_t group, size_t n_groups, const float *x)
{
    const size_t all = out->cols / QW_Q8_GROUP;
    for (size_t g = group; g < group + n_groups; g++, x += QW_Q8_GROUP) {
        if (all_finite(x))
            quantize_group(out, token * all + g, x);
        else
            qw_quantize_ref(out, token, g, 1, x);
    }
}
