/* Activations to eight bits with their fixed quads (q8.h), level avx512. Four groups at a time: what is one number a group (largest magnitudes, scales, sums) is computed
 * in one lane of 128 bits for each, so that nothing waits for a chain of shuffles; a group's values are four registers. Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8_avx512.h"

#define NOT_FINITE 0x7F800000 /* the bits of magnitudes order as the magnitudes do */
#define TOGETHER 4

typedef struct places {
    const float *x[TOGETHER];
    size_t at[TOGETHER]; /* numbers of groups in the arrays of `out` */
} places;

/* ---- the largest quads
 *
 * Which ones are fixed follows from one number: the largest magnitude that is not, of all but n the largest. A sorting network finds it: quads are sorted in
 * columns of four, columns merged to lists of eight, and of the two lists that are left, the k-th largest of both together is the smallest of
 * max(u[i], w[k - 1 - i]). */

/* Largest magnitudes of the 16 quads, as bits: of quad 4 k + l at k of lane l. */
INLINE __m512i magnitudes(const float *x)
{
    __m512i m[4];
    for (int i = 0; i < 4; i++)
        m[i] = _mm512_castps_si512(_mm512_abs_ps(_mm512_loadu_ps(x + 16 * i)));
    const __m512i ab = _mm512_max_epi32(_mm512_unpacklo_epi32(m[0], m[1]), _mm512_unpackhi_epi32(m[0], m[1]));
    const __m512i cd = _mm512_max_epi32(_mm512_unpacklo_epi32(m[2], m[3]), _mm512_unpackhi_epi32(m[2], m[3]));
    return _mm512_max_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* t[j] of four vectors: lane j of v[0], v[1], v[2], v[3]. */
INLINE void lanes_of(__m512i t[4], const __m512i v[4])
{
    const __m512i ab = _mm512_shuffle_i32x4(v[0], v[1], 0x44), AB = _mm512_shuffle_i32x4(v[0], v[1], 0xEE);
    const __m512i cd = _mm512_shuffle_i32x4(v[2], v[3], 0x44), CD = _mm512_shuffle_i32x4(v[2], v[3], 0xEE);
    t[0] = q8_even(ab, cd);
    t[1] = q8_odd(ab, cd);
    t[2] = q8_even(AB, CD);
    t[3] = q8_odd(AB, CD);
}

/* The larger one first. */
INLINE void order(__m512i *a, __m512i *b)
{
    const __m512i larger = _mm512_max_epi32(*a, *b);
    *b = _mm512_min_epi32(*a, *b);
    *a = larger;
}

INLINE void sort4(__m512i v[4])
{
    order(&v[0], &v[1]);
    order(&v[2], &v[3]);
    order(&v[0], &v[2]);
    order(&v[1], &v[3]);
    order(&v[1], &v[2]);
}

/* The same for four that rise and then fall, or fall and then rise. */
INLINE void sort4_bitonic(__m512i v[4])
{
    order(&v[0], &v[2]);
    order(&v[1], &v[3]);
    order(&v[0], &v[1]);
    order(&v[2], &v[3]);
}

INLINE __m512i other_pair(__m512i v) { return _mm512_shuffle_epi32(v, _MM_PERM_BADC); }

/* In all of lane g: the largest of the magnitudes of group g, and the k-th largest, 1 <= k <= 16. */
INLINE void largest_and_kth(const __m512i m[TOGETHER], int k, __m512i *largest, __m512i *kth)
{
    __m512i v[4], u[8]; /* lists of four in each column, of eight in each pair of columns */
    lanes_of(v, m);
    sort4(v);
    for (int i = 0; i < 4; i++) {
        const __m512i neighbour = _mm512_shuffle_epi32(v[3 - i], _MM_PERM_CDAB);
        u[i] = _mm512_max_epi32(v[i], neighbour);
        u[4 + i] = _mm512_min_epi32(v[i], neighbour);
    }
    sort4_bitonic(u);
    sort4_bitonic(u + 4);
    *largest = _mm512_max_epi32(u[0], other_pair(u[0]));
    __m512i least = k > 8 ? u[k - 9] : _mm512_set1_epi32(INT32_MAX);
    for (int i = k > 8 ? k - 8 : 0; i <= (k - 1) / 2; i++) /* the other half of the i stands in the other pair */
        least = _mm512_min_epi32(least, _mm512_max_epi32(u[i], other_pair(u[k - 1 - i])));
    *kth = _mm512_min_epi32(least, other_pair(least));
}

/* Lane g of v in all lanes, for a number that the compiler knows. */
INLINE __m512i spread(__m512i v, int g)
{
    switch (g) {
    case 0: return _mm512_shuffle_i32x4(v, v, 0x00);
    case 1: return _mm512_shuffle_i32x4(v, v, 0x55);
    case 2: return _mm512_shuffle_i32x4(v, v, 0xAA);
    default: return _mm512_shuffle_i32x4(v, v, 0xFF);
    }
}

/* What stands at k of lane l to the place 4 k + l. */
INLINE __m512i in_order(__m512i v)
{
    const __m512i from = _mm512_set_epi32(15, 11, 7, 3, 14, 10, 6, 2, 13, 9, 5, 1, 12, 8, 4, 0);
    return _mm512_permutexvar_epi32(from, v);
}

/* The n quads of a group that are fixed, when `rest` is the largest magnitude of those that are not; of equal ones the first. */
INLINE uint32_t fixed_quads(__m512i m, __m512i rest, int n)
{
    if (n == QW_Q8_QUADS)
        return 0xFFFF;
    const uint32_t larger = _mm512_cmpgt_epi32_mask(in_order(m), rest), equal = _mm512_cmpeq_epi32_mask(in_order(m), rest);
    return larger | _pdep_u32((1U << (n - __builtin_popcount(larger))) - 1, equal);
}

/* ---- scales and sums */

INLINE __m512 scales_of(__m512i all, __m512i rest)
{
    const __m512 x = _mm512_mul_ps(_mm512_castsi512_ps(rest), _mm512_set1_ps(1 / 127.0F));
    const __m512 y = _mm512_mul_ps(_mm512_castsi512_ps(all), _mm512_set1_ps(1 / 16256.0F)), scale = _mm512_max_ps(x, y);
    return _mm512_maskz_mov_ps(_mm512_cmp_ps_mask(scale, _mm512_set1_ps(1e-30F), _CMP_GE_OQ), scale);
}

INLINE __m512 inverse_of(__m512 scale)
{
    return _mm512_maskz_div_ps(_mm512_cmp_ps_mask(scale, _mm512_setzero_ps(), _CMP_GT_OQ), _mm512_set1_ps(1), scale);
}

/* s[g]: sums of the i-th 16 columns of group g at i, to be added over the lanes. */
INLINE void store_sums(const qw_q8 *out, const places *p, const __m512i s[TOGETHER], __m512 scale)
{
    __m512i v[4];
    lanes_of(v, s);
    const __m512i sum16 = _mm512_add_epi32(_mm512_add_epi32(v[0], v[1]), _mm512_add_epi32(v[2], v[3]));
    const __m512i sum32 = _mm512_add_epi32(sum16, _mm512_shuffle_epi32(sum16, _MM_PERM_CDAB));
    const __m512i sum64 = _mm512_add_epi32(sum32, other_pair(sum32));
    const __m512 sums =
        _mm512_shuffle_ps(_mm512_cvtepi32_ps(sum64), _mm512_cvtepi32_ps(sum32), _MM_SHUFFLE(2, 0, 1, 0)); /* 64, 64, 32, 32 */
    const __m512 first = _mm512_mask_mov_ps(_mm512_mul_ps(sums, scale), 0x1111, scale),
                 last = _mm512_mul_ps(_mm512_cvtepi32_ps(sum16), scale);
    float *to[TOGETHER];
    for (int g = 0; g < TOGETHER; g++)
        to[g] = &out->groups[p->at[g]].scale;
    _mm_storeu_ps(to[0], _mm512_castps512_ps128(first));
    _mm_storeu_ps(to[0] + 4, _mm512_castps512_ps128(last));
    _mm_storeu_ps(to[1], _mm512_extractf32x4_ps(first, 1));
    _mm_storeu_ps(to[1] + 4, _mm512_extractf32x4_ps(last, 1));
    _mm_storeu_ps(to[2], _mm512_extractf32x4_ps(first, 2));
    _mm_storeu_ps(to[2] + 4, _mm512_extractf32x4_ps(last, 2));
    _mm_storeu_ps(to[3], _mm512_extractf32x4_ps(first, 3));
    _mm_storeu_ps(to[3] + 4, _mm512_extractf32x4_ps(last, 3));
}

/* ---- values */

/* The numbers of the n quads and their four bytes side by side. */
INLINE void store_fixes(qw_q8_fix *fixes, int n, uint32_t quads, __m512i high)
{
    const __m512i numbers = _mm512_set_epi32(15, 14, 13, 12, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0);
    const __m512i number = _mm512_maskz_compress_epi32((__mmask16)quads, numbers),
                  value = _mm512_maskz_compress_epi32((__mmask16)quads, high);
    const __m512i first = _mm512_set_epi32(23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1, 16, 0);
    const __m512i pairs = _mm512_permutex2var_epi32(number, first, value);
    switch (n) { /* a store under a mask is slow where it reaches into the next cache line */
    case 1: _mm_storeu_si64(fixes, _mm512_castsi512_si128(pairs)); return;
    case 4: _mm256_storeu_si256((__m256i *)(void *)fixes, _mm512_castsi512_si256(pairs)); return;
    default: _mm512_mask_storeu_epi64(fixes, n < 8 ? (__mmask8)((1U << n) - 1) : 0xFF, pairs);
    }
    if (n > 8)
        _mm512_mask_storeu_epi64(fixes + 8, (__mmask8)((1U << (n - 8)) - 1),
                                 _mm512_permutex2var_epi32(number, _mm512_add_epi32(first, _mm512_set1_epi32(8)), value));
}

/* One group in words of 16 bits: columns 16 i + 4 l .. + 3 are half i % 2 of lane l of v[i / 2], so that bytes packed twice are quads in the order of the magnitudes. */
INLINE void values_of(__m512i v[2], const float *x, __m512 inverse)
{
    __m512i whole[4];
    for (int i = 0; i < 4; i++)
        whole[i] = _mm512_cvtps_epi32(_mm512_mul_ps(_mm512_loadu_ps(x + 16 * i), inverse));
    v[0] = _mm512_packs_epi32(whole[0], whole[1]);
    v[1] = _mm512_packs_epi32(whole[2], whole[3]);
}

/* At i of all lanes parts of the sum of 16 columns from 16 i on. */
INLINE __m512i sums_of(const __m512i v[2])
{
    const __m512 ab = _mm512_castsi512_ps(_mm512_madd_epi16(v[0], _mm512_set1_epi16(1))),
                 cd = _mm512_castsi512_ps(_mm512_madd_epi16(v[1], _mm512_set1_epi16(1)));
    return _mm512_add_epi32(_mm512_castps_si512(_mm512_shuffle_ps(ab, cd, 0x88)), _mm512_castps_si512(_mm512_shuffle_ps(ab, cd, 0xDD)));
}

INLINE void store_values(const qw_q8 *out, size_t at, const __m512i v[2], int n, uint32_t quads)
{
    __m512i low = in_order(_mm512_packs_epi16(v[0], v[1]));
    if (n) {
        __m512i high[2], rest[2];
        for (int i = 0; i < 2; i++) {
            high[i] = _mm512_srai_epi16(_mm512_add_epi16(v[i], _mm512_set1_epi16(64)), 7);
            rest[i] = _mm512_sub_epi16(v[i], _mm512_slli_epi16(high[i], 7));
        }
        low = _mm512_mask_mov_epi32(low, (__mmask16)quads, in_order(_mm512_packs_epi16(rest[0], rest[1])));
        store_fixes(out->fixes + at * (size_t)n, n, quads, in_order(_mm512_packs_epi16(high[0], high[1])));
    }
    _mm512_storeu_si512(out->low + at * QW_Q8_GROUP, low);
}

/* ---- groups */

INLINE void quantize_groups(const qw_q8 *out, const places *p, int n)
{
    __m512i m[TOGETHER], s[TOGETHER], all, rest;
    for (int g = 0; g < TOGETHER; g++)
        m[g] = magnitudes(p->x[g]);
    largest_and_kth(m, n < QW_Q8_QUADS ? n + 1 : 1, &all, &rest);
    if (n == QW_Q8_QUADS)
        rest = _mm512_setzero_si512();
    const __m512 scale = scales_of(all, rest), inverse = inverse_of(scale);
    UNROLL for (int g = 0; g < TOGETHER; g++)
    {
        __m512i v[2];
        values_of(v, p->x[g], _mm512_castsi512_ps(spread(_mm512_castps_si512(inverse), g)));
        s[g] = sums_of(v);
        store_values(out, p->at[g], v, n, fixed_quads(m[g], spread(rest, g), n));
    }
    store_sums(out, p, s, scale);
    const uint32_t odd = _mm512_cmpge_epi32_mask(all, _mm512_set1_epi32(NOT_FINITE));
    for (int g = 0; odd && g < TOGETHER; g++)
        if (odd >> 4 * g & 1)
            qw_quantize_ref(&(qw_q8_quantize){ .out = out, .group = p->at[g], .n_tokens = 1, .n_groups = 1, .x = p->x[g] });
}

/* Those that the engine uses are known to the compiler. */
static void quantize_places(const qw_q8 *out, const places *p)
{
    switch (out->n_fix) {
    case 1: quantize_groups(out, p, 1); break;
    case 4: quantize_groups(out, p, 4); break;
    default: quantize_groups(out, p, out->n_fix); break;
    }
}

void qw_quantize_avx512(const qw_q8_quantize *a)
{
    places p;
    int n = 0;
    for (size_t t = 0; t < a->n_tokens; t++)
        for (size_t g = 0; g < a->n_groups; g++) {
            p.x[n] = a->x + t * a->x_stride + g * QW_Q8_GROUP;
            p.at[n] = (a->token + t) * (a->out->cols / QW_Q8_GROUP) + a->group + g;
            if (++n == TOGETHER) {
                quantize_places(a->out, &p);
                n = 0;
            }
        }
    if (n) { /* the last one again */
        for (; n < TOGETHER; n++) {
            p.x[n] = p.x[n - 1];
            p.at[n] = p.at[n - 1];
        }
        quantize_places(a->out, &p);
    }
}
