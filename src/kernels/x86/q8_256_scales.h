/* Scales and biases of eight rows side by side, as q8.h defines s and b. Included by q8_256_body.h. Tested by tests/unit/test_kernels_q8_levels.c. */
#ifndef QW_KERNELS_Q8_256_SCALES_H
#define QW_KERNELS_Q8_256_SCALES_H

#include "kernels/x86/q8_256_codes.h"

/* columns that share a scale of an affine type, as a power of two: a division takes longer than all of the work on a row's scales */
INLINE int group_shift(const qw_matrix *w) { return w->group == 32 ? 5 : w->group == 64 ? 6 : 7; }

/* n <= 8 values of an affine type's scales or biases from index i on; the rest is 0 */
INLINE __m256 widen8(qw_type scale_type, const void *values, size_t i, size_t n)
{
    const size_t size = scale_type == QW_TYPE_F32 ? 4 : 2;
    const uint8_t *p = (const uint8_t *)values + i * size;
    uint8_t copy[32] = { 0 };
    _mm_prefetch((const char *)p + 1024, _MM_HINT_T0); /* of the next rows: thin streams are not foreseen */
    if (n < 8) {
        memcpy(copy, p, n * size);
        p = copy;
    }
    if (scale_type == QW_TYPE_BF16)
        return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(load16(p)), 16));
    return scale_type == QW_TYPE_F16 ? _mm256_cvtph_ps(load16(p)) : _mm256_loadu_ps((const float *)(const void *)p);
}

/* a half in all lanes */
INLINE __m256 half_at(const uint8_t *p)
{
    short h;
    memcpy(&h, p, sizeof h);
    return _mm256_cvtph_ps(_mm_set1_epi16(h));
}

INLINE int bits16_at(const uint8_t *p)
{
    uint16_t h;
    memcpy(&h, p, sizeof h);
    return h;
}

/* The halves of n <= 8 blocks, inserted one by one: through memory they would be loaded before they are stored. */
INLINE __m256 halves_of(const uint8_t *p, size_t stride, size_t n)
{
    __m128i h = _mm_cvtsi32_si128(bits16_at(p));
#define HALF(i) h = _mm_insert_epi16(h, (i) < n ? bits16_at(p + (i)*stride) : 0, i);
    HALF(1)
    HALF(2)
    HALF(3) HALF(4) HALF(5) HALF(6) HALF(7)
#undef HALF
        return _mm256_cvtph_ps(h);
}

INLINE __m256 bytes_to_floats(__m128i x) { return _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x)); }

/* Q4_K and Q5_K: eight scales and minima of six bits in twelve bytes: the first four of each stand in bytes 0..3 and 4..7; of the others the low nibbles in
 * bytes 8..11 (scales low, minima high) and the upper two bits above those of the first */
INLINE void k45_scales(const uint8_t *b, __m256 *s, __m256 *bias)
{
    uint32_t u[3];
    memcpy(u, b + 4, sizeof u);
    const uint32_t sc = (u[2] & 0x0F0F0F0F) | (u[0] >> 6 & 0x03030303) << 4, mn = (u[2] >> 4 & 0x0F0F0F0F) | (u[1] >> 6 & 0x03030303) << 4;
    *s = _mm256_mul_ps(half_at(b), bytes_to_floats(_mm_setr_epi32((int)(u[0] & 0x3F3F3F3F), (int)sc, 0, 0)));
    *bias = _mm256_mul_ps(half_at(b + 2), bytes_to_floats(_mm_setr_epi32((int)(u[1] & 0x3F3F3F3F), (int)mn, 0, 0)));
    *bias = _mm256_xor_ps(*bias, _mm256_set1_ps(-0.0F));
}

/* Scale groups [i, i + n) of a row, n <= 8; of the K types i is a multiple of 8. */
INLINE void row_scales(qw_type type, const qw_matrix *w, size_t row, size_t i, size_t n, __m256 *s, __m256 *bias)
{
    const size_t size = block_bytes(type) / (is_k(type) ? 1 : 2);
    const uint8_t *b = (const uint8_t *)w->data + row * row_bytes_of(type, w->cols);
    if (is_affine(type)) {
        const size_t at = row * (w->cols >> group_shift(w)) + i;
        *s = widen8(w->scale_type, w->scales, at, n);
        *bias = widen8(w->scale_type, w->biases, at, n);
    } else if (type == QW_TYPE_Q6_K) {
        b += i / 16 * size;
        *s =
            _mm256_mul_ps(half_at(b + 208), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64((const __m128i *)(b + 192 + i % 16)))));
        *bias = _mm256_mul_ps(_mm256_set1_ps(-32), *s);
    } else if (is_k(type)) {
        k45_scales(b + i / 8 * size, s, bias);
    } else {
        b += i * size;
        *s = halves_of(b, size, n);
        if (type == QW_TYPE_Q4_1 || type == QW_TYPE_Q5_1)
            *bias = halves_of(b + 2, size, n);
        else
            *bias = _mm256_mul_ps(_mm256_set1_ps(type == QW_TYPE_Q8_0 ? -128.0F : type == QW_TYPE_Q5_0 ? -16.0F : -8.0F), *s);
    }
}

/* x[row] lane i -> out[i * stride + row] for i < n */
INLINE void store_transposed(float *out, size_t stride, size_t n, const __m256 *x)
{
    __m256 a[8], b[8];
    for (int i = 0; i < 8; i += 2) { /* rows in pairs */
        a[i] = _mm256_unpacklo_ps(x[i], x[i + 1]);
        a[i + 1] = _mm256_unpackhi_ps(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4) { /* and in fours */
        b[i] = _mm256_shuffle_ps(a[i], a[i + 2], 0x44);
        b[i + 1] = _mm256_shuffle_ps(a[i], a[i + 2], 0xEE);
        b[i + 2] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0x44);
        b[i + 3] = _mm256_shuffle_ps(a[i + 1], a[i + 3], 0xEE);
    }
    for (int i = 0; i < 4; i++) {
        a[i] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x20);
        a[i + 4] = _mm256_permute2f128_ps(b[i], b[i + 4], 0x31);
    }
    for (size_t i = 0; i < 8; i++)
        if (i < n)
            _mm256_store_ps(out + i * stride, a[i]);
}

typedef void scales_fn(const qw_matrix *w, const size_t *rows, size_t i, size_t n, float *s, float *b, size_t stride);

/* Scale groups [i, i + n) of rows rows[0..7]: s and b of group i + g and row r at s[g * stride + r], b[g * stride + r]; n <= 8 */
INLINE void eight_rows_scales(qw_type type, const qw_matrix *w, const size_t *rows, size_t i, size_t n, float *s, float *b, size_t stride)
{
    __m256 scales[8], biases[8];
    for (int r = 0; r < 8; r++)
        row_scales(type, w, rows[r], i, n, &scales[r], &biases[r]);
    store_transposed(s, stride, n, scales);
    store_transposed(b, stride, n, biases);
}

#endif
