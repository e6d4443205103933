/* v16.h for AVX2: two registers, lanes 0..7 and 8..15. v16i are sixteen 32-bit integers. */
#ifndef QW_KERNELS_V16_AVX2_H
#define QW_KERNELS_V16_AVX2_H

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

typedef struct v16 {
    __m256 a, b;
} v16;
typedef struct v16i {
    __m256i a, b;
} v16i;

#define QW_V16_UNARY(name, op) \
  static inline v16 name(v16 x) { return (v16){ op(x.a), op(x.b) }; }
#define QW_V16_BINARY(name, op) \
  static inline v16 name(v16 x, v16 y) { return (v16){ op(x.a, y.a), op(x.b, y.b) }; }
#define QW_V16_TERNARY(name, op) \
  static inline v16 name(v16 x, v16 y, v16 z) { return (v16){ op(x.a, y.a, z.a), op(x.b, y.b, z.b) }; }
#define QW_V16_ABS(x) _mm256_andnot_ps(_mm256_set1_ps(-0.0F), x)
#define QW_V16_ROUND(x) _mm256_round_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC)

static inline v16 v16_set(float x) { return (v16){ _mm256_set1_ps(x), _mm256_set1_ps(x) }; }
static inline v16 v16_zero(void) { return v16_set(0); }
static inline v16 v16_load(const float *p) { return (v16){ _mm256_loadu_ps(p), _mm256_loadu_ps(p + 8) }; }
static inline void v16_store(float *p, v16 x)
{
    _mm256_storeu_ps(p, x.a);
    _mm256_storeu_ps(p + 8, x.b);
}
static inline v16 v16_load_n(const float *p, size_t n) /* n < 16; the rest is 0 */
{
    float copy[16] = { 0 };
    memcpy(copy, p, n * sizeof *p);
    return v16_load(copy);
}
static inline void v16_store_n(float *p, v16 x, size_t n)
{
    float copy[16];
    v16_store(copy, x);
    memcpy(p, copy, n * sizeof *p);
}
static inline v16 v16_load_f16(const uint16_t *p)
{
    const __m128i *h = (const __m128i *)(const void *)p;
    return (v16){ _mm256_cvtph_ps(_mm_loadu_si128(h)), _mm256_cvtph_ps(_mm_loadu_si128(h + 1)) };
}
static inline void v16_store_f16(uint16_t *p, v16 x) /* nearest even */
{
    __m128i *h = (__m128i *)(void *)p;
    _mm_storeu_si128(h, _mm256_cvtps_ph(x.a, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
    _mm_storeu_si128(h + 1, _mm256_cvtps_ph(x.b, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC));
}
static inline v16 v16_load_bf16(const uint16_t *p)
{
    const __m128i *h = (const __m128i *)(const void *)p;
    return (v16){ _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(h)), 16)),
                  _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(_mm_loadu_si128(h + 1)), 16)) };
}
static inline __m256i v8_round_bf16(__m256 x) /* eight 32-bit lanes */
{
    const __m256i bits = _mm256_castps_si256(x), high = _mm256_srli_epi32(bits, 16);
    const __m256i r = _mm256_add_epi32(bits, _mm256_add_epi32(_mm256_set1_epi32(0x7FFF), _mm256_and_si256(high, _mm256_set1_epi32(1))));
    const __m256i quiet = _mm256_or_si256(high, _mm256_set1_epi32(0x40)), nan = _mm256_castps_si256(_mm256_cmp_ps(x, x, _CMP_UNORD_Q));
    return _mm256_blendv_epi8(_mm256_srli_epi32(r, 16), quiet, nan);
}
static inline void v16_store_bf16(uint16_t *p, v16 x) /* nearest even, as qw_f32_to_bf16 */
{
    const __m256i r = _mm256_packus_epi32(v8_round_bf16(x.a), v8_round_bf16(x.b)); /* by halves of registers */
    _mm256_storeu_si256((__m256i *)(void *)p, _mm256_permute4x64_epi64(r, 0xD8));
}
QW_V16_BINARY(v16_add, _mm256_add_ps)
QW_V16_BINARY(v16_sub, _mm256_sub_ps)
QW_V16_BINARY(v16_mul, _mm256_mul_ps)
QW_V16_BINARY(v16_div, _mm256_div_ps)
QW_V16_UNARY(v16_sqrt, _mm256_sqrt_ps)
QW_V16_TERNARY(v16_fma, _mm256_fmadd_ps)   /* a * b + c, rounded once */
QW_V16_TERNARY(v16_fnma, _mm256_fnmadd_ps) /* c - a * b */
QW_V16_BINARY(v16_max, _mm256_max_ps)      /* b where either is NaN */
QW_V16_BINARY(v16_min, _mm256_min_ps)
QW_V16_UNARY(v16_abs, QW_V16_ABS)
QW_V16_UNARY(v16_round, QW_V16_ROUND)
static inline v16i v16_to_int(v16 x) { return (v16i){ _mm256_cvtps_epi32(x.a), _mm256_cvtps_epi32(x.b) }; } /* nearest even */
static inline v16 v16_from_int(v16i x) { return (v16){ _mm256_cvtepi32_ps(x.a), _mm256_cvtepi32_ps(x.b) }; }
static inline v16i v16i_set(int32_t x) { return (v16i){ _mm256_set1_epi32(x), _mm256_set1_epi32(x) }; }
static inline v16i v16i_add(v16i x, v16i y) { return (v16i){ _mm256_add_epi32(x.a, y.a), _mm256_add_epi32(x.b, y.b) }; }
static inline v16i v16i_sub(v16i x, v16i y) { return (v16i){ _mm256_sub_epi32(x.a, y.a), _mm256_sub_epi32(x.b, y.b) }; }
#define v16i_shl(x, n) ((v16i){ _mm256_slli_epi32((x).a, n), _mm256_slli_epi32((x).b, n) })
#define v16i_shr(x, n) ((v16i){ _mm256_srai_epi32((x).a, n), _mm256_srai_epi32((x).b, n) })
static inline v16 v16_as_float(v16i x) { return (v16){ _mm256_castsi256_ps(x.a), _mm256_castsi256_ps(x.b) }; }
static inline v16i v16_as_int(v16 x) { return (v16i){ _mm256_castps_si256(x.a), _mm256_castps_si256(x.b) }; }
static inline v16 v16_select_lt(v16 x, v16 y, v16 yes, v16 no) /* x < y ? yes : no */
{
    return (v16){ _mm256_blendv_ps(no.a, yes.a, _mm256_cmp_ps(x.a, y.a, _CMP_LT_OQ)),
                  _mm256_blendv_ps(no.b, yes.b, _mm256_cmp_ps(x.b, y.b, _CMP_LT_OQ)) };
}
/* lanes l and l + 8, then l + 4, l + 2, l + 1 */
static inline float v16_sum(v16 x)
{
    __m256 h = _mm256_add_ps(x.a, x.b);
    __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_add_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_add_ss(q, _mm_movehdup_ps(q)));
}
/* v16_sum of four at once */
static inline void v16_sum4(float *sums, v16 x, v16 y, v16 z, v16 w)
{
    const __m256 hx = _mm256_add_ps(x.a, x.b), hy = _mm256_add_ps(y.a, y.b), hz = _mm256_add_ps(z.a, z.b), hw = _mm256_add_ps(w.a, w.b);
    const __m256 xy = _mm256_add_ps(_mm256_permute2f128_ps(hx, hy, 0x20), _mm256_permute2f128_ps(hx, hy, 0x31)); /* four lanes of x, of y */
    const __m256 zw = _mm256_add_ps(_mm256_permute2f128_ps(hz, hw, 0x20), _mm256_permute2f128_ps(hz, hw, 0x31));
    const __m256 p = _mm256_add_ps(_mm256_shuffle_ps(xy, zw, 0x44), _mm256_shuffle_ps(xy, zw, 0xEE)); /* x x z z, y y w w */
    const __m128 xz = _mm256_castps256_ps128(p), yw = _mm256_extractf128_ps(p, 1);
    const __m128 even = _mm_unpacklo_ps(xz, yw), odd = _mm_unpackhi_ps(xz, yw); /* x y x y, z w z w */
    _mm_storeu_ps(sums, _mm_add_ps(_mm_movelh_ps(even, odd), _mm_movehl_ps(odd, even)));
}
static inline float v16_largest(v16 x)
{
    __m256 h = _mm256_max_ps(x.a, x.b);
    __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
    q = _mm_max_ps(q, _mm_movehl_ps(q, q));
    return _mm_cvtss_f32(_mm_max_ss(q, _mm_movehdup_ps(q)));
}

#endif
