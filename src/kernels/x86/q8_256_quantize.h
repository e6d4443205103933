/* Making activations of eight bits, a group of 64 at a time (kernels/q8.h). Included by q8_256_body.h. Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8_256_codes.h"

#include <math.h>

/* The largest magnitudes of the 16 quads: of quad q in lane q % 8 of m[q / 8]; NaN counts as 0. */
INLINE void quad_maxima(const float *x, __m256 m[2])
{
    const __m256 sign = _mm256_set1_ps(-0.0F), zero = _mm256_setzero_ps();
    for (int i = 0; i < 2; i++) {
        __m256 a[4], b[2];
        for (int k = 0; k < 4; k++) /* quads 8 i + k and 8 i + 4 + k */
            a[k] = _mm256_max_ps(_mm256_andnot_ps(sign, _mm256_insertf128_ps(_mm256_castps128_ps256(_mm_loadu_ps(x + 32 * i + 4 * k)),
                                                                             _mm_loadu_ps(x + 32 * i + 16 + 4 * k), 1)),
                                 zero);
        for (int k = 0; k < 2; k++)
            b[k] = _mm256_max_ps(_mm256_unpacklo_ps(a[2 * k], a[2 * k + 1]), _mm256_unpackhi_ps(a[2 * k], a[2 * k + 1]));
        m[i] = _mm256_max_ps(_mm256_shuffle_ps(b[0], b[1], 0x44), _mm256_shuffle_ps(b[0], b[1], 0xEE));
    }
}

/* The larger one first. */
INLINE void order(__m256 *a, __m256 *b)
{
    const __m256 larger = _mm256_max_ps(*a, *b);
    *b = _mm256_min_ps(*a, *b);
    *a = larger;
}

/* Four that rise and then fall, or fall and then rise. */
INLINE void sort4_bitonic(__m256 v[4])
{
    order(&v[0], &v[2]);
    order(&v[1], &v[3]);
    order(&v[0], &v[1]);
    order(&v[2], &v[3]);
}

INLINE __m256 other_lane(__m256 v) { return _mm256_permute2f128_ps(v, v, 1); }
INLINE __m256 other_pair(__m256 v) { return _mm256_permute_ps(v, 0x4E); }
INLINE __m256 neighbour(__m256 v) { return _mm256_permute_ps(v, 0xB1); }

/* Of 16 values the largest and the k-th largest, 1 <= k <= 16, in all places. Columns of two become lists of four with the other half's, of eight with the other
 * pair's; of the two that are left the k-th of both together is the smallest of max(u[i], w[k - 1 - i]). */
INLINE void largest_and_kth(const __m256 m[2], int k, __m256 *largest, __m256 *kth)
{
    __m256 a = m[0], b = m[1], v[4], u[8];
    order(&a, &b);
    const __m256 c = other_lane(b), d = other_lane(a);
    v[0] = _mm256_max_ps(a, c);
    v[1] = _mm256_max_ps(b, d);
    v[2] = _mm256_min_ps(a, c);
    v[3] = _mm256_min_ps(b, d);
    order(&v[0], &v[1]);
    order(&v[2], &v[3]);
    for (int i = 0; i < 4; i++) {
        const __m256 other = other_pair(v[3 - i]);
        u[i] = _mm256_max_ps(v[i], other);
        u[4 + i] = _mm256_min_ps(v[i], other);
    }
    sort4_bitonic(u);
    sort4_bitonic(u + 4);
    *largest = _mm256_max_ps(u[0], neighbour(u[0]));
    __m256 least = k > 8 ? u[k - 9] : *largest;
    for (int i = k > 8 ? k - 8 : 0; i <= (k - 1) / 2; i++) /* the other half of the i stands beside */
        least = _mm256_min_ps(least, _mm256_max_ps(u[i], neighbour(u[k - 1 - i])));
    *kth = _mm256_min_ps(least, neighbour(least));
}

/* Where m [16] is larger than x, and where it is equal. */
INLINE uint32_t larger_quads(const __m256 m[2], __m256 x)
{
    return (uint32_t)(_mm256_movemask_ps(_mm256_cmp_ps(m[0], x, _CMP_GT_OQ)) | _mm256_movemask_ps(_mm256_cmp_ps(m[1], x, _CMP_GT_OQ)) << 8);
}
INLINE uint32_t equal_quads(const __m256 m[2], __m256 x)
{
    return (uint32_t)(_mm256_movemask_ps(_mm256_cmp_ps(m[0], x, _CMP_EQ_OQ)) | _mm256_movemask_ps(_mm256_cmp_ps(m[1], x, _CMP_EQ_OQ)) << 8);
}

/* The numbers of the n_fix largest of m [16], of which `rest` is the largest that is none of them; of equal ones the first. */
INLINE void pick_quads(qw_q8_fix *fixes, int n_fix, const __m256 m[2], __m256 rest)
{
    uint32_t larger = larger_quads(m, rest), equal = equal_quads(m, rest);
    for (int f = 0; f < n_fix; f++) {
        uint32_t *from = larger ? &larger : &equal;
        fixes[f] = (qw_q8_fix){ .quad = (uint32_t)__builtin_ctz(*from) };
        *from &= *from - 1;
    }
}

/* Sums of v over 16, 32 and 64 columns, times the scale. */
INLINE void set_sums(qw_q8_group *g, const __m256i v[8])
{
    const __m256i a = _mm256_hadd_epi32(_mm256_add_epi32(v[0], v[1]), _mm256_add_epi32(v[2], v[3]));
    const __m256i b = _mm256_hadd_epi32(_mm256_add_epi32(v[4], v[5]), _mm256_add_epi32(v[6], v[7]));
    const __m256i c = _mm256_hadd_epi32(a, b);
    const __m128i sum16 = _mm_add_epi32(_mm256_castsi256_si128(c), _mm256_extracti128_si256(c, 1));
    const __m128i sum32 = _mm_hadd_epi32(sum16, sum16), sum64 = _mm_hadd_epi32(sum32, sum32);
    const __m128 scale = _mm_set1_ps(g->scale);
    _mm_storeu_ps(g->sum16, _mm_mul_ps(scale, _mm_cvtepi32_ps(sum16)));
    _mm_storel_pi((__m64 *)(void *)g->sum32, _mm_mul_ps(scale, _mm_cvtepi32_ps(sum32)));
    g->sum64 = _mm_cvtss_f32(_mm_mul_ss(scale, _mm_cvtepi32_ps(sum64)));
}

/* 15-bit values of the fixed quads as upper bits, and the lower ones in their place */
INLINE void split_quads(int8_t *low, qw_q8_fix *fixes, int n_fix, const int16_t *v)
{
    for (int f = 0; f < n_fix; f++) {
        const __m128i value = _mm_loadl_epi64((const __m128i *)(v + 4 * fixes[f].quad));
        const __m128i high = _mm_srai_epi16(_mm_add_epi16(value, _mm_set1_epi16(64)), 7);
        const __m128i rest = _mm_sub_epi16(value, _mm_slli_epi16(high, 7));
        const int32_t packed_high = _mm_cvtsi128_si32(_mm_packs_epi16(high, high)), packed = _mm_cvtsi128_si32(_mm_packs_epi16(rest, rest));
        memcpy(fixes[f].high, &packed_high, sizeof packed_high);
        memcpy(low + 4 * fixes[f].quad, &packed, sizeof packed);
    }
}

INLINE void quantize_group(int8_t *low, qw_q8_group *g, qw_q8_fix *fixes, int n_fix, const float *x)
{
    __m256 m[2];
    __m256i v[8];
    _Alignas(32) int16_t values[QW_Q8_GROUP];
    quad_maxima(x, m);
    __m256 largest, unfixed;
    largest_and_kth(m, n_fix < QW_Q8_QUADS ? n_fix + 1 : QW_Q8_QUADS, &largest, &unfixed);
    pick_quads(fixes, n_fix, m, unfixed);
    const float all = _mm256_cvtss_f32(largest), rest = n_fix < QW_Q8_QUADS ? _mm256_cvtss_f32(unfixed) : 0;
    g->scale = fmaxf(rest * (1 / 127.0F), all * (1 / 16256.0F));
    if (g->scale < 1e-30F)
        g->scale = 0;
    const __m256 inverse = _mm256_set1_ps(g->scale > 0 ? 1.0F / g->scale : 0.0F);
    __m256 odd = _mm256_setzero_ps(); /* x - x: NaN where x is not finite */
    for (int i = 0; i < 8; i++) {
        const __m256 y = _mm256_loadu_ps(x + 8 * i);
        odd = _mm256_or_ps(odd, _mm256_cmp_ps(_mm256_sub_ps(y, y), _mm256_setzero_ps(), _CMP_UNORD_Q));
        v[i] = _mm256_cvtps_epi32(_mm256_mul_ps(y, inverse));
    }
    if (_mm256_movemask_ps(odd)) {
        g->scale = NAN;
        for (int i = 0; i < 8; i++)
            v[i] = _mm256_setzero_si256();
    }
    set_sums(g, v);
    for (int i = 0; i < 4; i++) {
        const __m256i two = _mm256_permute4x64_epi64(_mm256_packs_epi32(v[2 * i], v[2 * i + 1]), 0xD8);
        _mm256_store_si256((__m256i *)(values + 16 * i), two);
    }
    for (int i = 0; i < 2; i++) {
        const __m256i *two = (const __m256i *)(values + 32 * i);
        _mm256_storeu_si256((__m256i *)(low + 32 * i), _mm256_permute4x64_epi64(_mm256_packs_epi16(two[0], two[1]), 0xD8));
    }
    split_quads(low, fixes, n_fix, values);
}

static void quantize(const qw_q8_quantize *a)
{
    const qw_q8 *out = a->out;
    for (size_t t = 0; t < a->n_tokens; t++)
        for (size_t g = 0; g < a->n_groups; g++) {
            const size_t at = (a->token + t) * (out->cols / QW_Q8_GROUP) + a->group + g;
            int8_t *low = out->low + at * QW_Q8_GROUP;
            qw_q8_fix *fixes = out->fixes + at * (size_t)out->n_fix;
            const float *x = a->x + t * a->x_stride + g * QW_Q8_GROUP;
            switch (out->n_fix) { /* those that the engine uses are known to the compiler */
            case 1: quantize_group(low, out->groups + at, fixes, 1, x); break;
            case 4: quantize_group(low, out->groups + at, fixes, 4, x); break;
            default: quantize_group(low, out->groups + at, fixes, out->n_fix, x);
            }
        }
}
