/* Codes of eight-bit products (kernels/q8.h) for NEON: 64 columns of a row, in the format of its file, become four registers of unsigned codes. Included by q8_neon.c and q8_i8mm.c. Tested by tests/kernels/check_q8.c.
 *
 * Integer sums have no order, so codes may stand in whatever order their format yields cheapest: */
#ifndef QW_KERNELS_ARM_Q8_CODES_BODY_H
#define QW_KERNELS_ARM_Q8_CODES_BODY_H

#include "kernels/q8.h"

#include <arm_neon.h>
#include <string.h>

#define ALWAYS static inline __attribute__((always_inline))

enum order {
    AS_COLUMNS, /* register j, lane i: column 16 j + i */
    PAIRS,      /* register 2 h + j, lane i: column 32 h + 2 i + j */
    QUADS,      /* register j, lane i: column 4 i + j */
};

/* What a format asks of a kernel. All are constants where a kernel is made for a type. */
ALWAYS enum order order_of(qw_type t)
{
    return t == QW_TYPE_AFFINE4 ? PAIRS : t == QW_TYPE_AFFINE6 || t == QW_TYPE_AFFINE2 ? QUADS : AS_COLUMNS;
}
ALWAYS bool has_eight_bits(qw_type t) { return t == QW_TYPE_AFFINE8 || t == QW_TYPE_Q8_0; } /* codes that are no int8 */

ALWAYS size_t block_bytes_of(qw_type t)
{
    switch (t) {
#define QW_TYPE(name, tag, block, bytes, kind) \
case QW_TYPE_##name:                           \
  return bytes;
#include "quant/types.def"
#undef QW_TYPE
    default: return 0;
    }
}

#define EACH_OF_4(expression)      \
  do {                             \
    uint8x16x4_t c;                \
    for (size_t i = 0; i < 4; i++) \
      c.val[i] = expression;       \
    return c;                      \
  } while (0)

/* ---- affine codes: one stream of bits, the lowest first; 64 codes take 8 * bits bytes. Instructions without loads stand beside them. */

ALWAYS uint8x16x4_t codes_affine8(const uint8_t *p) { EACH_OF_4(vld1q_u8(p + 16 * i)); }

ALWAYS uint8x16x4_t codes_affine6(const uint8_t *p) /* 8: a column of each quad in 3 bytes at a time */
{
    const uint8x16x3_t b = vld3q_u8(p);
    const uint8x16_t mask = vdupq_n_u8(63);
    return (uint8x16x4_t){ { vandq_u8(b.val[0], mask), vandq_u8(vsliq_n_u8(vshrq_n_u8(b.val[0], 6), b.val[1], 2), mask),
                             vandq_u8(vsliq_n_u8(vshrq_n_u8(b.val[1], 4), b.val[2], 4), mask), vshrq_n_u8(b.val[2], 2) } };
}

ALWAYS uint8x16x4_t codes_affine4(const uint8_t *p) /* 4 */
{
    const uint8x16_t a = vld1q_u8(p), b = vld1q_u8(p + 16), mask = vdupq_n_u8(15);
    return (uint8x16x4_t){ { vandq_u8(a, mask), vshrq_n_u8(a, 4), vandq_u8(b, mask), vshrq_n_u8(b, 4) } };
}

ALWAYS uint8x16x4_t codes_affine2(const uint8_t *p) /* 6 */
{
    const uint8x16_t b = vld1q_u8(p), mask = vdupq_n_u8(3);
    return (uint8x16x4_t){ { vandq_u8(b, mask), vandq_u8(vshrq_n_u8(b, 2), mask), vandq_u8(vshrq_n_u8(b, 4), mask), vshrq_n_u8(b, 6) } };
}

/* 20: two codes, 10 or 6 bits, never touch more than 2 bytes. The loads of later pieces begin earlier, so as to end with the codes. */
ALWAYS uint8x16x4_t codes_affine_odd(const uint8_t *p, const size_t bits)
{
    static const uint8_t bytes5[] = { 0, 1, 1, 2, 2, 3, 3, 4, 5, 6, 6, 7, 7, 8, 8, 9 },
                         bytes3[] = { 0, 1, 0, 1, 1, 2, 2, 3, 3, 4, 3, 4, 4, 5, 5, 6 };
    static const int16_t shifts5[] = { 0, -2, -4, -6, 0, -2, -4, -6 }, shifts3[] = { 0, -6, -4, -2, 0, -6, -4, -2 };
    const uint8x16_t bytes = vld1q_u8(bits == 5 ? bytes5 : bytes3), mask = vdupq_n_u8((uint8_t)((1 << bits) - 1));
    const int16x8_t shifts = vld1q_s16(bits == 5 ? shifts5 : shifts3);
    const uint16x8_t first = vdupq_n_u16(0xFF);
    uint8x16x4_t c;
    for (size_t i = 0; i < 4; i++) {
        const size_t at = 2 * bits * i, from = at < 8 * bits - 16 ? at : 8 * bits - 16;
        const uint8x16_t two = vqtbl1q_u8(vld1q_u8(p + from), vaddq_u8(bytes, vdupq_n_u8((uint8_t)(at - from))));
        const uint16x8_t w = vshlq_u16(vreinterpretq_u16_u8(two), shifts);
        const uint16x8_t v = bits == 5 ? vbslq_u16(first, w, vshlq_n_u16(w, 3)) : vbslq_u16(first, w, vshlq_n_u16(w, 5));
        c.val[i] = vandq_u8(vreinterpretq_u8_u16(v), mask);
    }
    return c;
}

/* ---- GGUF's blocks; layouts in quant/blocks.c and kquants.c */

/* A block of 32 columns, two registers of c. 2 of 4 bits, 10 of 5 */
ALWAYS void codes_block32(qw_type type, const uint8_t *b, uint8x16_t *c)
{
    if (type == QW_TYPE_Q8_0) {
        c[0] = veorq_u8(vld1q_u8(b + 2), vdupq_n_u8(0x80));
        c[1] = veorq_u8(vld1q_u8(b + 18), vdupq_n_u8(0x80));
        return;
    }
    const bool five = type == QW_TYPE_Q5_0 || type == QW_TYPE_Q5_1;
    const uint8_t *high = b + (type == QW_TYPE_Q4_1 || type == QW_TYPE_Q5_1 ? 4 : 2);
    const uint8x16_t q = vld1q_u8(high + (five ? 4 : 0));
    c[0] = vandq_u8(q, vdupq_n_u8(15));
    c[1] = vshrq_n_u8(q, 4);
    if (!five)
        return;
    static const uint8_t byte_of[] = { 0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 1, 1, 1, 1 };
    uint32_t fifth;
    memcpy(&fifth, high, sizeof fifth);
    const uint8x16_t bytes = vreinterpretq_u8_u32(vdupq_n_u32(fifth)), at = vld1q_u8(byte_of), sixteen = vdupq_n_u8(16);
    const uint8x16_t bit = vreinterpretq_u8_u64(vdupq_n_u64(0x8040201008040201));
    for (uint8_t i = 0; i < 2; i++)
        c[i] = vorrq_u8(c[i], vandq_u8(vtstq_u8(vqtbl1q_u8(bytes, vaddq_u8(at, vdupq_n_u8((uint8_t)(2 * i)))), bit), sixteen));
}

ALWAYS uint8x16x4_t codes_q4_k(const uint8_t *b, size_t j) /* 4; j of 4 in the block */
{
    const uint8x16_t a = vld1q_u8(b + 16 + 32 * j), c = vld1q_u8(b + 32 + 32 * j), mask = vdupq_n_u8(15);
    return (uint8x16x4_t){ { vandq_u8(a, mask), vandq_u8(c, mask), vshrq_n_u8(a, 4), vshrq_n_u8(c, 4) } };
}

ALWAYS uint8x16x4_t codes_q5_k(const uint8_t *b, size_t j) /* 16 */
{
    const uint8x16x4_t low = codes_q4_k(b + 32, j);
    EACH_OF_4(vorrq_u8(
        low.val[i], vandq_u8(vshlq_u8(vld1q_u8(b + 16 + 16 * (i & 1)), vdupq_n_s8((int8_t)(4 - (int)(2 * j + i / 2)))), vdupq_n_u8(16))));
}

ALWAYS uint8x16x4_t codes_q6_k(const uint8_t *b, size_t j) /* 20 */
{
    const uint8_t *q = b + 64 * (j / 2), *h = b + 128 + 32 * (j / 2);
    const int odd = j & 1;
    const int8x16_t shift = vdupq_n_s8((int8_t)(-4 * odd));
    EACH_OF_4(
        vorrq_u8(vandq_u8(vshlq_u8(vld1q_u8(q + 16 * i), shift), vdupq_n_u8(15)),
                 vandq_u8(vshlq_u8(vld1q_u8(h + 16 * (i & 1)), vdupq_n_s8((int8_t)(4 - 4 * odd - 2 * (int)(i / 2)))), vdupq_n_u8(0x30))));
}

/* Codes of columns [64 g, 64 g + 64) of the row that begins at `row`, in order_of(type). */
ALWAYS uint8x16x4_t codes_of(qw_type type, const uint8_t *row, size_t g)
{
    uint8x16x4_t c;
    switch (type) {
    case QW_TYPE_AFFINE2: return codes_affine2(row + 16 * g);
    case QW_TYPE_AFFINE3: return codes_affine_odd(row + 24 * g, 3);
    case QW_TYPE_AFFINE4: return codes_affine4(row + 32 * g);
    case QW_TYPE_AFFINE5: return codes_affine_odd(row + 40 * g, 5);
    case QW_TYPE_AFFINE6: return codes_affine6(row + 48 * g);
    case QW_TYPE_AFFINE8: return codes_affine8(row + 64 * g);
    case QW_TYPE_Q4_K: return codes_q4_k(row + g / 4 * block_bytes_of(type), g % 4);
    case QW_TYPE_Q5_K: return codes_q5_k(row + g / 4 * block_bytes_of(type), g % 4);
    case QW_TYPE_Q6_K: return codes_q6_k(row + g / 4 * block_bytes_of(type), g % 4);
    default:
        codes_block32(type, row + 2 * g * block_bytes_of(type), c.val);
        codes_block32(type, row + (2 * g + 1) * block_bytes_of(type), c.val + 2);
        return c;
    }
}

/* The same in the order of the columns: 8 instructions more for QUADS, 4 for PAIRS. */
ALWAYS uint8x16x4_t codes_as_columns(qw_type type, const uint8_t *row, size_t g)
{
    const uint8x16x4_t c = codes_of(type, row, g);
    if (order_of(type) == PAIRS)
        return (uint8x16x4_t){ { vzip1q_u8(c.val[0], c.val[1]), vzip2q_u8(c.val[0], c.val[1]), vzip1q_u8(c.val[2], c.val[3]),
                                 vzip2q_u8(c.val[2], c.val[3]) } };
    if (order_of(type) == QUADS) {
        const uint8x16_t a = vzip1q_u8(c.val[0], c.val[2]), b = vzip1q_u8(c.val[1], c.val[3]), d = vzip2q_u8(c.val[0], c.val[2]),
                         e = vzip2q_u8(c.val[1], c.val[3]);
        return (uint8x16x4_t){ { vzip1q_u8(a, b), vzip2q_u8(a, b), vzip1q_u8(d, e), vzip2q_u8(d, e) } };
    }
    return c;
}

#endif
