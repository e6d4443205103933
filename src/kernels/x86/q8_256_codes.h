/* Weights of every eight-bit type as 256-bit vectors: 64 codes of a row at a time, and the scales of eight rows side by side. Included by q8_256_body.h.
 *
 * Codes come in one of two forms, c counting 32 columns from the left:
 *   words  16-bit lanes, w[2c] the even columns in order, w[2c + 1] the odd ones: what decoding multiplies with vpmaddwd (one step from packed fields)
 *   bytes  b[c], the columns in order: what panels are made of
 * Packed types yield words first, the others bytes, and either follows from the other in two steps a vector. No byte beyond the 64 codes is read. Tested by
 * tests/unit/test_kernels_q8_levels.c. */
#ifndef QW_KERNELS_Q8_256_CODES_H
#define QW_KERNELS_Q8_256_CODES_H

#include "kernels/levels.h"

#include <immintrin.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#define INLINE static inline __attribute__((always_inline))

typedef struct words64 {
    __m256i w[4];
} words64;
typedef struct bytes64 {
    __m256i b[2];
} bytes64;

/* x is computed here: the compiler does not gather additions into trees whose parts it cannot hold in registers. */
#define HERE(x) __asm__("" : "+x"(x))

INLINE __m128i load16(const void *p) { return _mm_loadu_si128((const __m128i *)p); }
INLINE __m256i load32(const void *p) { return _mm256_loadu_si256((const __m256i *)p); }
INLINE __m256i two_lanes(__m128i low, __m128i high) { return _mm256_inserti128_si256(_mm256_castsi128_si256(low), high, 1); }

INLINE __m256i broadcast4(const void *p) /* 4 bytes in all lanes */
{
    int32_t x;
    memcpy(&x, p, sizeof x);
    return _mm256_set1_epi32(x);
}

/* ---- affine types of 2, 3, 5, 6 bits: a pair of neighbouring codes is a field of 2 * bits <= 12 bits that begins at an even bit, so it lies within two bytes.
 * One byte shuffle brings the two bytes of each of 16 fields into a 16-bit lane; a product with a power of two moves a code to the top of its lane and pushes
 * out what stood above, a shift brings it down: 1 + 2 * 2 operations for 32 codes. */

/* field i begins in byte 2 * bits * i / 8; the upper lane holds its 8 fields from byte `skip` on */
#define FIELD(bits, i, skip) (char)((2 * (bits) * (i)) / 8 - (skip)), (char)((2 * (bits) * (i)) / 8 + 1 - (skip))
#define FIELDS(bits, i, skip)                                                                                                           \
  FIELD(bits, i, skip), FIELD(bits, (i) + 1, skip), FIELD(bits, (i) + 2, skip), FIELD(bits, (i) + 3, skip), FIELD(bits, (i) + 4, skip), \
      FIELD(bits, (i) + 5, skip), FIELD(bits, (i) + 6, skip), FIELD(bits, (i) + 7, skip)
/* what moves code `odd` of field i to the top of its lane */
#define LIFT(bits, odd, i) (short)(1 << (16 - (bits) - (2 * (bits) * (i)) % 8 - (odd) * (bits)))
#define LIFTS(bits, odd)                                                                                                  \
  LIFT(bits, odd, 0), LIFT(bits, odd, 1), LIFT(bits, odd, 2), LIFT(bits, odd, 3), LIFT(bits, odd, 4), LIFT(bits, odd, 5), \
      LIFT(bits, odd, 6), LIFT(bits, odd, 7)
#define DEFINE_FIELDS(bits, skip, load)                                                                               \
  INLINE void fields##bits(const uint8_t *p, __m256i *even, __m256i *odd)                                             \
  {                                                                                                                   \
    const __m256i x = _mm256_shuffle_epi8(load, _mm256_setr_epi8(FIELDS(bits, 0, 0), FIELDS(bits, 8, skip)));         \
    *even = _mm256_srli_epi16(_mm256_mullo_epi16(x, _mm256_setr_epi16(LIFTS(bits, 0), LIFTS(bits, 0))), 16 - (bits)); \
    *odd = _mm256_srli_epi16(_mm256_mullo_epi16(x, _mm256_setr_epi16(LIFTS(bits, 1), LIFTS(bits, 1))), 16 - (bits));  \
  }

INLINE __m256i twice8(const uint8_t *p) /* 8 bytes in each half */ { return _mm256_broadcastq_epi64(_mm_loadl_epi64((const __m128i *)p)); }
INLINE __m256i twice12(const uint8_t *p)
{
    int32_t rest;
    memcpy(&rest, p + 8, sizeof rest);
    return _mm256_broadcastsi128_si256(_mm_insert_epi32(_mm_loadl_epi64((const __m128i *)p), rest, 2));
}
DEFINE_FIELDS(2, 0, twice8(p))
DEFINE_FIELDS(3, 0, twice12(p))
DEFINE_FIELDS(5, 4, two_lanes(load16(p), load16(p + 4)))

/* 6 bits: the same factors lift the even codes into their lane's upper and shift the odd ones into the product's upper half, which keeps shifts, products and
 * the rest in balance among ports. */
INLINE void fields6(const uint8_t *p, __m256i *even, __m256i *odd)
{
    const __m256i lift = _mm256_setr_epi16(LIFTS(6, 0), LIFTS(6, 0));
    const __m256i x = _mm256_shuffle_epi8(two_lanes(load16(p), load16(p + 8)), _mm256_setr_epi8(FIELDS(6, 0, 0), FIELDS(6, 8, 8)));
    *even = _mm256_srli_epi16(_mm256_mullo_epi16(x, lift), 10);
    *odd = _mm256_and_si256(_mm256_mulhi_epu16(x, lift), _mm256_set1_epi16(63));
}

INLINE void fields4(const uint8_t *p, __m256i *even, __m256i *odd)
{
    const __m256i x = _mm256_cvtepu8_epi16(load16(p));
    *even = _mm256_and_si256(x, _mm256_set1_epi16(15));
    *odd = _mm256_srli_epi16(x, 4);
}

INLINE void fields(qw_type type, const uint8_t *p, __m256i *even, __m256i *odd)
{
    switch (type) {
    case QW_TYPE_AFFINE2: fields2(p, even, odd); break;
    case QW_TYPE_AFFINE3: fields3(p, even, odd); break;
    case QW_TYPE_AFFINE4: fields4(p, even, odd); break;
    case QW_TYPE_AFFINE5: fields5(p, even, odd); break;
    default: fields6(p, even, odd); break;
    }
}

/* ---- GGUF: layouts in quant/blocks.c and quant/kquants.c */

/* blocks of 32: nibbles i and 16 + i in byte i; one bit each of a fifth */
INLINE __m256i block_nibbles(const uint8_t *q)
{
    const __m256i x = _mm256_broadcastsi128_si256(load16(q));
    return _mm256_and_si256(_mm256_srlv_epi64(x, _mm256_setr_epi64x(0, 0, 4, 4)), _mm256_set1_epi8(15));
}
INLINE __m256i block_fifths(const uint8_t *high)
{
    int32_t bits;
    memcpy(&bits, high, sizeof bits);
    const __m256i byte = _mm256_setr_epi64x(0, 0x0101010101010101, 0x0202020202020202, 0x0303030303030303);
    const __m256i bit = _mm256_set1_epi64x((long long)0x8040201008040201);
    const __m256i x = _mm256_and_si256(_mm256_shuffle_epi8(_mm256_set1_epi32(bits), byte), bit);
    return _mm256_and_si256(_mm256_cmpeq_epi8(x, bit), _mm256_set1_epi8(16));
}
INLINE __m256i block32(qw_type type, const uint8_t *b)
{
    switch (type) {
    case QW_TYPE_Q4_0: return block_nibbles(b + 2);
    case QW_TYPE_Q4_1: return block_nibbles(b + 4);
    case QW_TYPE_Q5_0: return _mm256_or_si256(block_nibbles(b + 6), block_fifths(b + 2));
    case QW_TYPE_Q5_1: return _mm256_or_si256(block_nibbles(b + 8), block_fifths(b + 4));
    default: return _mm256_xor_si256(load32(b + 2), _mm256_set1_epi8(-128)); /* Q8_0 */
    }
}

/* x shifted so that bit `from` of each byte comes to bit `to`, and the bits of `mask` kept */
INLINE __m256i move_bits(__m256i x, int from, int to, char mask)
{
    const __m256i moved = from >= to ? _mm256_srli_epi16(x, from - to) : _mm256_slli_epi16(x, to - from);
    return _mm256_and_si256(moved, _mm256_set1_epi8(mask));
}

/* Half n of a block of 256, quarter j of it. n may be a variable. */
INLINE bytes64 quarter(qw_type type, const uint8_t *b, size_t n, int j)
{
    bytes64 r;
    if (type == QW_TYPE_Q6_K) {
        const uint8_t *low = b + 64 * n;
        const __m256i high = load32(b + 128 + 32 * n);
        for (int c = 0; c < 2; c++)
            r.b[c] = _mm256_or_si256(move_bits(load32(low + 32 * c), 4 * j, 0, 15), move_bits(high, 4 * j + 2 * c, 4, 0x30));
        return r;
    }
    const __m256i q = load32(b + (type == QW_TYPE_Q5_K ? 48 : 16) + 64 * n + 32 * j);
    r.b[0] = move_bits(q, 0, 0, 15);
    r.b[1] = move_bits(q, 4, 0, 15);
    if (type == QW_TYPE_Q5_K) {
        const __m256i high = _mm256_srl_epi16(load32(b + 16), _mm_cvtsi32_si128(4 * (int)n));
        for (int c = 0; c < 2; c++)
            r.b[c] = _mm256_or_si256(r.b[c], move_bits(high, 2 * j + c, 4, 16));
    }
    return r;
}

/* ---- 64 codes of any type */

INLINE int code_bits(qw_type type)
{
    switch (type) {
    case QW_TYPE_AFFINE2: return 2;
    case QW_TYPE_AFFINE3: return 3;
    case QW_TYPE_AFFINE4:
    case QW_TYPE_Q4_0:
    case QW_TYPE_Q4_1:
    case QW_TYPE_Q4_K: return 4;
    case QW_TYPE_AFFINE5:
    case QW_TYPE_Q5_0:
    case QW_TYPE_Q5_1:
    case QW_TYPE_Q5_K: return 5;
    case QW_TYPE_AFFINE8:
    case QW_TYPE_Q8_0: return 8;
    default: return 6;
    }
}
INLINE bool is_affine(qw_type type) { return type >= QW_TYPE_AFFINE2 && type <= QW_TYPE_AFFINE8; }
INLINE bool is_fields(qw_type type) { return is_affine(type) && type != QW_TYPE_AFFINE8; }
INLINE bool is_k(qw_type type) { return type == QW_TYPE_Q4_K || type == QW_TYPE_Q5_K || type == QW_TYPE_Q6_K; }

/* A row is read in steps of as many chunks of 64 columns, so that shifts are constants: K types a half of a block. */
INLINE int step_chunks(qw_type type) { return is_k(type) ? 2 : 1; }
/* bytes of a block of the K types, of 64 columns of the others */
INLINE size_t block_bytes(qw_type type)
{
    switch (type) {
    case QW_TYPE_Q4_K: return 144;
    case QW_TYPE_Q5_K: return 176;
    case QW_TYPE_Q6_K: return 210;
    case QW_TYPE_Q4_0: return 36;
    case QW_TYPE_Q4_1: return 40;
    case QW_TYPE_Q5_0: return 44;
    case QW_TYPE_Q5_1: return 48;
    case QW_TYPE_Q8_0: return 68;
    default: return (size_t)(8 * code_bits(type));
    }
}

INLINE size_t row_bytes_of(qw_type type, size_t cols) { return cols / (is_k(type) ? 256 : 64) * block_bytes(type); }

/* where chunk `chunk` of a row begins: the block that holds it, for the K types; chunk is a multiple of the step */
INLINE const uint8_t *chunk_at(qw_type type, const uint8_t *row, size_t chunk)
{
    return row + (is_k(type) ? chunk / 4 : chunk) * block_bytes(type);
}

/* chunk j of the step that begins with chunk `chunk` of the row, at `b` */
INLINE bytes64 bytes_of(qw_type type, const uint8_t *b, size_t chunk, int j)
{
    if (is_k(type))
        return quarter(type, b, chunk / 2 & 1, j);
    bytes64 r;
    for (int c = 0; c < 2; c++, b += block_bytes(type) / 2) {
        if (type == QW_TYPE_AFFINE8) {
            r.b[c] = load32(b);
        } else if (is_affine(type)) {
            __m256i even, odd;
            fields(type, b, &even, &odd);
            r.b[c] = _mm256_or_si256(even, _mm256_slli_epi16(odd, 8));
        } else {
            r.b[c] = block32(type, b);
        }
    }
    return r;
}

INLINE words64 words_of(qw_type type, const uint8_t *b, size_t chunk, int j)
{
    words64 r;
    if (is_fields(type)) {
        fields(type, b, &r.w[0], &r.w[1]);
        fields(type, b + block_bytes(type) / 2, &r.w[2], &r.w[3]);
        return r;
    }
    const bytes64 bytes = bytes_of(type, b, chunk, j);
    for (int c = 0; c < 2; c++) {
        r.w[2 * c] = _mm256_and_si256(bytes.b[c], _mm256_set1_epi16(255));
        r.w[2 * c + 1] = _mm256_srli_epi16(bytes.b[c], 8);
    }
    return r;
}

#endif
