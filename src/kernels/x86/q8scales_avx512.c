/* Scales and biases of 16 rows side by side, level avx512: every vector holds one unit (q8.h) of all 16. Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8_avx512.h"

static __m512 halves(__m512i low) { return _mm512_cvtph_ps(_mm512_cvtepi32_epi16(low)); } /* lower 16 bits of each lane */

/* 16 x 16 dwords */
INLINE void transpose16(__m512i v[16])
{
    __m512i t[16];
    UNROLL
    for (int i = 0; i < 16; i += 4)
        q8_transpose4(v + i);
    UNROLL
    for (int i = 0; i < 4; i++) { /* v[4 j + i], lane l: rows 4 j.. of column 4 l + i */
        const __m512i a = _mm512_shuffle_i32x4(v[i], v[4 + i], 0x44), b = _mm512_shuffle_i32x4(v[i], v[4 + i], 0xEE);
        const __m512i c = _mm512_shuffle_i32x4(v[8 + i], v[12 + i], 0x44), d = _mm512_shuffle_i32x4(v[8 + i], v[12 + i], 0xEE);
        t[i] = q8_even(a, c);
        t[4 + i] = q8_odd(a, c);
        t[8 + i] = q8_even(b, d);
        t[12 + i] = q8_odd(b, d);
    }
    UNROLL
    for (int i = 0; i < 16; i++)
        v[i] = t[i];
}

INLINE void store_repeated(float *out, __m512 v, size_t times)
{
    for (size_t i = 0; i < times; i++)
        _mm512_storeu_ps(out + i * ROWS, v);
}

/* The even or the odd ones of pairs of numbers of 16 bits. */
INLINE __m512 wide(__m512i pairs, bool odd, bool bf16)
{
    if (bf16)
        return _mm512_castsi512_ps(odd ? _mm512_and_si512(pairs, _mm512_set1_epi32((int)0xFFFF0000)) : _mm512_slli_epi32(pairs, 16));
    return halves(odd ? _mm512_srli_epi32(pairs, 16) : pairs);
}

/* n <= 16 scales and biases of 16 bits from the at-th of each row on: they are transposed as pairs, scales in columns 0..7, biases in 8..15 */
INLINE void affine16(const q8_rows *rows, size_t at, const size_t n, const size_t times, float *scales, float *biases, const bool bf16)
{
    const char *s = rows->scales + 2 * at, *b = rows->biases + 2 * at;
    const size_t stride = rows->scale_stride;
    const __mmask16 mask = (__mmask16)((1U << n) - 1);
    __m512i v[16];
    UNROLL
    for (size_t r = 0; r < ROWS; r++, s += stride, b += stride) {
        Q8_OPAQUE(s);
        Q8_OPAQUE(b);
        v[r] = _mm512_inserti64x4(_mm512_castsi256_si512(_mm256_maskz_loadu_epi16(mask, s)), _mm256_maskz_loadu_epi16(mask, b), 1);
    }
    transpose16(v);
    UNROLL
    for (size_t i = 0; i < n; i++) {
        store_repeated(scales + i * times * ROWS, wide(v[i / 2], i % 2, bf16), times);
        store_repeated(biases + i * times * ROWS, wide(v[8 + i / 2], i % 2, bf16), times);
    }
}

/* The usual case keeps everything in registers. */
static void affine_bf16(const q8_rows *rows, size_t at, float *scales, float *biases) { affine16(rows, at, 16, 1, scales, biases, true); }

static void affine_some(const q8_rows *rows, size_t at, size_t n, size_t times, float *scales, float *biases)
{
    affine16(rows, at, n, times, scales, biases, rows->w->scale_type == QW_TYPE_BF16);
}

static void affine32(const char *from, size_t stride, size_t n, size_t times, float *out)
{
    __m512i v[16];
    for (size_t r = 0; r < ROWS; r++)
        v[r] = _mm512_maskz_loadu_epi32((__mmask16)((1U << n) - 1), from + r * stride);
    transpose16(v);
    for (size_t i = 0; i < n; i++)
        store_repeated(out + i * times * ROWS, _mm512_castsi512_ps(v[i]), times);
}

static void affine(const q8_rows *rows, size_t group, size_t n, float *scales, float *biases)
{
    const qw_matrix *w = rows->w;
    const size_t size = (size_t)w->group, times = size > QW_Q8_GROUP ? size / QW_Q8_GROUP : 1;
    const size_t end = (group + n) * QW_Q8_GROUP / size;
    for (size_t at = group * QW_Q8_GROUP / size; at < end; at += 16, scales += 16 * times * ROWS, biases += 16 * times * ROWS) {
        const size_t count = end - at < 16 ? end - at : 16;
        if (w->scale_type == QW_TYPE_F32) {
            affine32(rows->scales + 4 * at, rows->scale_stride, count, times, scales);
            affine32(rows->biases + 4 * at, rows->scale_stride, count, times, biases);
        } else {
            affine_some(rows, at, count, times, scales, biases);
        }
    }
}

static __m512 times_number(__m512 x, float by) { return _mm512_mul_ps(x, _mm512_set1_ps(by)); }

static void block32(const q8_rows *rows, size_t group, size_t n, float *scales, float *biases)
{
    const qw_type type = rows->w->type;
    const size_t block = qw_type_block_bytes(type), units = 2 * n;
    const bool with_m = type == QW_TYPE_Q4_1 || type == QW_TYPE_Q5_1;
    const float offset = type == QW_TYPE_Q8_0 ? -128.0F : type == QW_TYPE_Q5_0 ? -16.0F : -8.0F;
    uint16_t d[2 * BATCH][ROWS], m[2 * BATCH][ROWS];
    for (size_t r = 0; r < ROWS; r++) {
        const uint8_t *b = rows->at + r * rows->stride + 2 * group * block;
        for (size_t u = 0; u < units; u++, b += block) {
            memcpy(&d[u][r], b, 2);
            if (with_m)
                memcpy(&m[u][r], b + 2, 2);
        }
    }
    for (size_t u = 0; u < units; u++) {
        const __m512 s = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)d[u]));
        _mm512_storeu_ps(scales + u * ROWS, s);
        _mm512_storeu_ps(biases + u * ROWS,
                         with_m ? _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)m[u])) : times_number(s, offset));
    }
}

/* 16 bytes of each row as four vectors of one dword of every row */
static void gather16(const q8_rows *rows, size_t byte, __m512i v[4])
{
    for (size_t i = 0; i < 4; i++) {
        __m128i x[4];
        for (size_t j = 0; j < 4; j++)
            x[j] = _mm_loadu_si128((const __m128i *)(const void *)(rows->at + (4 * j + i) * rows->stride + byte));
        const __m256i low = _mm256_inserti128_si256(_mm256_castsi128_si256(x[0]), x[1], 1);
        const __m256i high = _mm256_inserti128_si256(_mm256_castsi128_si256(x[2]), x[3], 1);
        v[i] = _mm512_inserti64x4(_mm512_castsi256_si512(low), high, 1);
    }
    q8_transpose4(v);
}

/* `bits` bits from bit `at` of each lane on */
static __m512i field(__m512i x, unsigned at, unsigned bits)
{
    return _mm512_and_si512(_mm512_srli_epi32(x, at), _mm512_set1_epi32((1 << bits) - 1));
}

/* A block's d, dmin and twelve bytes of scales: six bits each, those of sub-blocks 4..7 in two parts (quant/kquants.c). */
static void block_k45(const q8_rows *rows, size_t byte, float *scales, float *biases)
{
    __m512i v[4];
    gather16(rows, byte, v);
    const __m512 d = halves(v[0]), dmin = halves(_mm512_srli_epi32(v[0], 16));
    for (unsigned j = 0; j < 8; j++) {
        const unsigned at = 8 * (j % 4);
        __m512i s, m;
        if (j < 4) {
            s = field(v[1], at, 6);
            m = field(v[2], at, 6);
        } else {
            s = _mm512_or_si512(field(v[3], at, 4), _mm512_slli_epi32(field(v[1], at + 6, 2), 4));
            m = _mm512_or_si512(field(v[3], at + 4, 4), _mm512_slli_epi32(field(v[2], at + 6, 2), 4));
        }
        _mm512_storeu_ps(scales + j * ROWS, _mm512_mul_ps(d, _mm512_cvtepi32_ps(s)));
        _mm512_storeu_ps(biases + j * ROWS, _mm512_xor_ps(_mm512_mul_ps(dmin, _mm512_cvtepi32_ps(m)), _mm512_set1_ps(-0.0F)));
    }
}

static void block_q6_k(const q8_rows *rows, size_t byte, float *scales, float *biases)
{
    __m512i v[4];
    uint16_t d16[ROWS];
    for (size_t r = 0; r < ROWS; r++)
        memcpy(&d16[r], rows->at + r * rows->stride + byte + 208, 2);
    const __m512 d = _mm512_cvtph_ps(_mm256_loadu_si256((const __m256i *)(const void *)d16));
    gather16(rows, byte + 192, v);
    for (unsigned e = 0; e < 16; e++) {
        const __m512i s = _mm512_srai_epi32(_mm512_slli_epi32(v[e / 4], 24 - 8 * (e % 4)), 24);
        const __m512 scale = _mm512_mul_ps(d, _mm512_cvtepi32_ps(s));
        _mm512_storeu_ps(scales + e * ROWS, scale);
        _mm512_storeu_ps(biases + e * ROWS, times_number(scale, -32));
    }
}

void qw_q8_scales_avx512(const q8_rows *rows, size_t group, size_t n, float *scales, float *biases)
{
    const qw_type type = rows->w->type;
    const size_t bytes = qw_type_block_bytes(type), units = type == QW_TYPE_Q6_K ? 16 : 8;
    if (rows->scales && n == 16 && rows->w->group == QW_Q8_GROUP && rows->w->scale_type == QW_TYPE_BF16)
        affine_bf16(rows, group, scales, biases);
    else if (rows->scales)
        affine(rows, group, n, scales, biases);
    else if (qw_type_block(type) == 32)
        block32(rows, group, n, scales, biases);
    else
        for (size_t block = group / 4; block < (group + n) / 4; block++, scales += units * ROWS, biases += units * ROWS) {
            if (type == QW_TYPE_Q6_K)
                block_q6_k(rows, block * bytes, scales, biases);
            else
                block_k45(rows, block * bytes, scales, biases);
        }
}
