/* Weights to floats over v16: the formats that most files have, sixteen weights at a time; qw_matrix_decode does the others. The same operations as there, so the
 * same bits. Included by dot_body.h. Tested by tests/unit/test_kernels.c. */
#ifndef QW_KERNELS_DECODE_BODY_H
#define QW_KERNELS_DECODE_BODY_H

#include "kernels/vec/v16_bytes.h"
#include "quant/half.h"
#include "quant/matrix.h"

static inline float half_at(const uint8_t *p) { return qw_f16_to_f32((uint16_t)(p[0] | p[1] << 8)); }

/* Sixteen values of a float type, or m < 16 with zeros behind them. */
static inline v16 load_floats(qw_type type, const uint8_t *p, size_t m)
{
    if (type == QW_TYPE_F32) {
        float copy[16] = { 0 };
        if (m >= 16)
            return v16_load((const float *)(const void *)p);
        memcpy(copy, p, m * sizeof *copy);
        return v16_load(copy);
    }
    uint16_t copy[16] = { 0 };
    const uint16_t *at = (const uint16_t *)(const void *)p;
    if (m < 16)
        at = memcpy(copy, p, m * sizeof *copy);
    return type == QW_TYPE_F16 ? v16_load_f16(at) : v16_load_bf16(at);
}

static inline void widen(qw_type type, const uint8_t *p, size_t n, float *out)
{
    const size_t bytes = type == QW_TYPE_F32 ? 4 : 2;
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(out + i, load_floats(type, p + i * bytes, 16));
    if (i < n)
        v16_store_n(out + i, load_floats(type, p + i * bytes, n - i), n - i);
}

/* Code i of sixteen begins in byte i * bits / 8. */
#define FIELD(bits, i) (i) * (bits) / 8, (i) * (bits) / 8 + 1, 0x80, 0x80
#define FIELDS_4(bits, i) FIELD(bits, i), FIELD(bits, i + 1), FIELD(bits, i + 2), FIELD(bits, i + 3)
#define FIELDS(bits)                                                            \
  {                                                                             \
    FIELDS_4(bits, 0), FIELDS_4(bits, 4), FIELDS_4(bits, 8), FIELDS_4(bits, 12) \
  }
#define SHIFT(bits, i) (i) * (bits) % 8
#define SHIFTS_4(bits, i) SHIFT(bits, i), SHIFT(bits, i + 1), SHIFT(bits, i + 2), SHIFT(bits, i + 3)
#define SHIFTS(bits)                                                            \
  {                                                                             \
    SHIFTS_4(bits, 0), SHIFTS_4(bits, 4), SHIFTS_4(bits, 8), SHIFTS_4(bits, 12) \
  }
static const uint8_t affine_bytes[7][64] = { [2] = FIELDS(2), [3] = FIELDS(3), [4] = FIELDS(4), [5] = FIELDS(5), [6] = FIELDS(6) };
static const int32_t affine_shifts[7][16] = { [2] = SHIFTS(2), [3] = SHIFTS(3), [4] = SHIFTS(4), [5] = SHIFTS(5), [6] = SHIFTS(6) };

/* Scales and biases: i-th of any float type. */
static inline float scale_at(qw_type type, const void *values, size_t i)
{
    float x;
    uint16_t h;
    if (type == QW_TYPE_F32) {
        memcpy(&x, (const uint8_t *)values + 4 * i, sizeof x);
        return x;
    }
    memcpy(&h, (const uint8_t *)values + 2 * i, sizeof h);
    return type == QW_TYPE_BF16 ? qw_bf16_to_f32(h) : qw_f16_to_f32(h);
}

/* Sixteen codes are 2 * bits bytes; the last of a row are copied, so that nothing behind them is read. */
static inline void affine(const unsigned bits, const qw_matrix *w, size_t row, size_t col, size_t n, float *out)
{
    const size_t group = (size_t)w->group, first = row * (w->cols / group), row_bytes = w->cols / 8 * bits;
    const uint8_t *codes = (const uint8_t *)w->data + row * row_bytes, *end = codes + row_bytes;
    for (size_t c = col; c < col + n;) {
        const size_t g = c / group, stop = (g + 1) * group < col + n ? (g + 1) * group : col + n;
        const v16 scale = v16_set(scale_at(w->scale_type, w->scales, first + g)),
                  bias = v16_set(scale_at(w->scale_type, w->biases, first + g));
        for (; c < stop; c += 16) {
            const uint8_t *p = codes + c / 8 * bits;
            uint8_t copy[16] = { 0 };
            if (end - p < 16)
                p = memcpy(copy, p, 2 * bits);
            const v16 q = bits == 8 ? v16_from_u8(b16_load(p))
                                    : v16_from_fields(b16_load(p), affine_bytes[bits % 8], affine_shifts[bits % 8], (1 << bits) - 1);
            v16_store(out + (c - col), v16_add(v16_mul(scale, q), bias));
        }
    }
}

static inline void q8_0(const uint8_t *b, float *out)
{
    const v16 d = v16_set(half_at(b));
    v16_store(out, v16_mul(d, v16_from_i8(b16_load(b + 2))));
    v16_store(out + 16, v16_mul(d, v16_from_i8(b16_load(b + 18))));
}

static inline void q4_0(const uint8_t *b, float *out)
{
    const v16 d = v16_set(half_at(b)), eight = v16_set(8);
    const b16 q = b16_load(b + 2);
    v16_store(out, v16_mul(d, v16_sub(v16_from_u8(b16_and(q, 15)), eight)));
    v16_store(out + 16, v16_mul(d, v16_sub(v16_from_u8(b16_shr(q, 4)), eight)));
}

/* Q4_K and, with `high`, the fifth bits [32], Q5_K: sub-blocks j of 32 weights, twelve bytes of scales and minima of six bits. */
static inline void q45_k(const uint8_t *b, const uint8_t *high, const uint8_t *nibbles, float *out)
{
    const float d = half_at(b), dm = half_at(b + 2);
    const uint8_t *s = b + 4;
#pragma GCC unroll 8
    for (int j = 0; j < 8; j++) {
        const int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4,
                  mn = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
        const v16 scale = v16_set(d * (float)sc), minimum = v16_set(dm * (float)mn);
        for (int h = 0; h < 32; h += 16) {
            const b16 both = b16_load(nibbles + 32 * (j / 2) + h);
            b16 q = j % 2 ? b16_shr(both, 4) : b16_and(both, 15);
            if (high)
                q = b16_or(q, b16_shl(b16_and(b16_shr(b16_load(high + h), j), 1), 4));
            v16_store(out + 32 * j + h, v16_sub(v16_mul(scale, v16_from_u8(q)), minimum));
        }
    }
}
static inline void q4_k(const uint8_t *b, float *out) { q45_k(b, NULL, b + 16, out); }
static inline void q5_k(const uint8_t *b, float *out) { q45_k(b, b + 16, b + 48, out); }

/* Sub-blocks e of 16 weights: the k-th of four parts of 32 in each half n of the block. */
static inline void q6_k(const uint8_t *b, float *out)
{
    const float d = half_at(b + 208);
    const v16 middle = v16_set(32);
#pragma GCC unroll 16
    for (int e = 0; e < 16; e++) {
        const int n = e / 8, k = e / 2 & 3, half = 16 * (e & 1);
        const b16 low = b16_load(b + 64 * n + 32 * (k & 1) + half), high = b16_load(b + 128 + 32 * n + half);
        const b16 q = b16_or(k / 2 ? b16_shr(low, 4) : b16_and(low, 15), b16_shl(b16_and(b16_shr(high, 2 * k), 3), 4));
        v16_store(out + 16 * e, v16_mul(v16_set(d * (float)(int8_t)b[192 + e]), v16_sub(v16_from_u8(q), middle)));
    }
}

#define EACH_BLOCK(weights, bytes, reader)  \
  for (size_t i = 0; i < n; i += (weights)) \
  reader(at + i / (weights) * (bytes), out + i)

/* Columns [col, col + n) of a row; as qw_matrix_decode. */
static void decode_columns(const qw_matrix *w, size_t row, size_t col, size_t n, float *out)
{
    const uint8_t *at =
        (const uint8_t *)w->data + row * qw_matrix_row_bytes(w) + col / qw_type_block(w->type) * qw_type_block_bytes(w->type);
    switch (w->type) {
    case QW_TYPE_F32: widen(QW_TYPE_F32, at, n, out); break;
    case QW_TYPE_F16: widen(QW_TYPE_F16, at, n, out); break;
    case QW_TYPE_BF16: widen(QW_TYPE_BF16, at, n, out); break;
    case QW_TYPE_Q8_0: EACH_BLOCK(32, 34, q8_0); break;
    case QW_TYPE_Q4_0: EACH_BLOCK(32, 18, q4_0); break;
    case QW_TYPE_Q4_K: EACH_BLOCK(256, 144, q4_k); break;
    case QW_TYPE_Q5_K: EACH_BLOCK(256, 176, q5_k); break;
    case QW_TYPE_Q6_K: EACH_BLOCK(256, 210, q6_k); break;
    case QW_TYPE_AFFINE2: affine(2, w, row, col, n, out); break;
    case QW_TYPE_AFFINE3: affine(3, w, row, col, n, out); break;
    case QW_TYPE_AFFINE4: affine(4, w, row, col, n, out); break;
    case QW_TYPE_AFFINE5: affine(5, w, row, col, n, out); break;
    case QW_TYPE_AFFINE6: affine(6, w, row, col, n, out); break;
    case QW_TYPE_AFFINE8: affine(8, w, row, col, n, out); break;
    default: qw_matrix_decode(w, row, col, n, out);
    }
}

#endif
