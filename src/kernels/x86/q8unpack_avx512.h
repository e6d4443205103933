/* 64 weights of two rows from their bytes to unsigned codes, for every type of q8.h: about three instructions for 64 weights. The caller
 * passes the type as a constant, so that one function serves all of them and each use is as short as its format allows. */
#ifndef QW_KERNELS_Q8UNPACK_AVX512_H
#define QW_KERNELS_Q8UNPACK_AVX512_H

#include "kernels/x86/q8_avx512.h"

/* Codes of columns 0..31 of row a, then of row b; and of columns 32..63. */
typedef struct q8_pair {
    __m512i half[2];
} q8_pair;

/* Of the affine types: which byte of both rows goes where, so that eight codes stand in 64 bits, and the shifts that part them. */
typedef struct q8_control {
    __m512i index[2], shifts, mask;
} q8_control;

INLINE size_t q8_affine_bits(qw_type t)
{
    return t == QW_TYPE_AFFINE2   ? 2
           : t == QW_TYPE_AFFINE3 ? 3
           : t == QW_TYPE_AFFINE4 ? 4
           : t == QW_TYPE_AFFINE5 ? 5
           : t == QW_TYPE_AFFINE6 ? 6
           : t == QW_TYPE_AFFINE8 ? 8
                                  : 0;
}

/* Half a group of a row comes in a load of so many bytes: the first half's begins with the group, the second half's ends with it, so that
 * nothing beyond is read. */
INLINE size_t q8_half_load(size_t bits) { return bits < 4 ? 16 : 32; }
INLINE size_t q8_second_half(size_t bits) { return 8 * bits - q8_half_load(bits); }

INLINE q8_control q8_control_of(qw_type t)
{
    const size_t bits = q8_affine_bits(t);
    uint8_t index[2][64], shifts[64];
    for (size_t i = 0; i < 64; i++) {
        const size_t eight = i / 8 % 4, byte = i % 8 < bits ? i % 8 : 0, before = q8_half_load(bits) - 4 * bits;
        index[0][i] = (uint8_t)(i / 32 * 64 + eight * bits + byte);
        index[1][i] = (uint8_t)(index[0][i] + before);
        shifts[i] = (uint8_t)(i % 8 * bits);
    }
    return (q8_control){ { _mm512_loadu_si512(index[0]), _mm512_loadu_si512(index[1]) },
                         _mm512_loadu_si512(shifts),
                         _mm512_set1_epi8((char)((1U << bits) - 1)) };
}

INLINE __m512i two_halves(const uint8_t *a, const uint8_t *b)
{
    const __m512i low = _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)a));
    return _mm512_inserti64x4(low, _mm256_loadu_si256((const __m256i *)(const void *)b), 1);
}

/* Not the whole group at once: loads of 512 bits take two of the ports through which dot products get their values, and three times as
 * long across a line. */
INLINE __m512i affine_bytes(size_t bits, const uint8_t *p)
{
    return bits < 4 ? _mm512_castsi128_si512(_mm_loadu_si128((const __m128i *)(const void *)p))
                    : _mm512_castsi256_si512(_mm256_loadu_si256((const __m256i *)(const void *)p));
}

INLINE q8_pair unpack_affine(qw_type t, const uint8_t *a, const uint8_t *b, const q8_control *c)
{
    const size_t bits = q8_affine_bits(t);
    if (bits == 8)
        return (q8_pair){ { two_halves(a, b), two_halves(a + 32, b + 32) } };
    q8_pair p;
    for (size_t h = 0; h < 2; h++) {
        const size_t at = h ? q8_second_half(bits) : 0;
        const __m512i bytes = _mm512_permutex2var_epi8(affine_bytes(bits, a + at), c->index[h], affine_bytes(bits, b + at));
        p.half[h] = _mm512_and_si512(_mm512_multishift_epi64_epi8(c->shifts, bytes), c->mask);
    }
    return p;
}

/* One block of 32 of both rows; blocks as ref/q8.c has them. */
INLINE __m512i unpack_block32(qw_type t, const uint8_t *a, const uint8_t *b)
{
    if (t == QW_TYPE_Q8_0)
        return _mm512_xor_si512(two_halves(a + 2, b + 2), _mm512_set1_epi8((char)0x80));
    const bool five = t == QW_TYPE_Q5_0 || t == QW_TYPE_Q5_1;
    const size_t high = t == QW_TYPE_Q4_1 || t == QW_TYPE_Q5_1 ? 4 : 2, at = high + (five ? 4 : 0);
    const __m512i x = _mm512_broadcast_i32x4(_mm_loadu_si128((const __m128i *)(const void *)(a + at)));
    const __m512i nibbles = _mm512_mask_broadcast_i32x4(x, 0xFF00, _mm_loadu_si128((const __m128i *)(const void *)(b + at)));
    const __m512i shifts = _mm512_set_epi64(0x3C342C241C140C04, 0x3C342C241C140C04, 0x3830282018100800, 0x3830282018100800,
                                            0x3C342C241C140C04, 0x3C342C241C140C04, 0x3830282018100800, 0x3830282018100800);
    const __m512i codes = _mm512_and_si512(_mm512_multishift_epi64_epi8(shifts, nibbles), _mm512_set1_epi8(15));
    if (!five)
        return codes;
    uint32_t x5, y5;
    memcpy(&x5, a + high, 4);
    memcpy(&y5, b + high, 4);
    return _mm512_mask_add_epi8(codes, x5 | (uint64_t)y5 << 32, codes, _mm512_set1_epi8(16));
}

INLINE __m512i low_nibbles(__m512i x) { return _mm512_and_si512(x, _mm512_set1_epi8(15)); }
INLINE __m512i high_nibbles(__m512i x) { return low_nibbles(_mm512_srli_epi16(x, 4)); }
/* a | (b & mask) */
INLINE __m512i with_bits(__m512i a, __m512i b, char mask) { return _mm512_ternarylogic_epi64(a, b, _mm512_set1_epi8(mask), 0xF8); }
INLINE __m512i shift(__m512i x, int left)
{
    return left >= 0 ? _mm512_sll_epi16(x, _mm_cvtsi32_si128(left)) : _mm512_srl_epi16(x, _mm_cvtsi32_si128(-left));
}

/* Group m of a block of 256. */
INLINE q8_pair unpack_k45(qw_type t, const uint8_t *a, const uint8_t *b, size_t m)
{
    const size_t at = (t == QW_TYPE_Q5_K ? 48 : 16) + 32 * m;
    const __m512i nibbles = two_halves(a + at, b + at);
    q8_pair p = { { low_nibbles(nibbles), high_nibbles(nibbles) } };
    if (t == QW_TYPE_Q5_K) {
        const __m512i high = two_halves(a + 16, b + 16);
        p.half[0] = with_bits(p.half[0], shift(high, 4 - 2 * (int)m), 16);
        p.half[1] = with_bits(p.half[1], shift(high, 3 - 2 * (int)m), 16);
    }
    return p;
}

INLINE q8_pair unpack_q6_k(const uint8_t *a, const uint8_t *b, size_t m)
{
    const size_t n = m / 2;
    const __m512i x = two_halves(a + 64 * n, b + 64 * n), y = two_halves(a + 64 * n + 32, b + 64 * n + 32);
    const __m512i high = two_halves(a + 128 + 32 * n, b + 128 + 32 * n);
    if (m % 2)
        return (q8_pair){ { with_bits(high_nibbles(x), high, 0x30), with_bits(high_nibbles(y), shift(high, -2), 0x30) } };
    return (q8_pair){ { with_bits(low_nibbles(x), shift(high, 4), 0x30), with_bits(low_nibbles(y), shift(high, 2), 0x30) } };
}

/* Where group g of a row begins, for the K-quants its block. */
INLINE size_t q8_offset(qw_type t, size_t g)
{
    if (q8_affine_bits(t))
        return 8 * q8_affine_bits(t) * g;
    switch (t) {
    case QW_TYPE_Q8_0: return 68 * g;
    case QW_TYPE_Q4_0: return 36 * g;
    case QW_TYPE_Q4_1: return 40 * g;
    case QW_TYPE_Q5_0: return 44 * g;
    case QW_TYPE_Q5_1: return 48 * g;
    case QW_TYPE_Q4_K: return 144 * (g / 4);
    case QW_TYPE_Q5_K: return 176 * (g / 4);
    default: return 210 * (g / 4);
    }
}

/* The group at a and b (q8_offset); m: its number in its block. */
INLINE q8_pair q8_unpack(qw_type t, const uint8_t *a, const uint8_t *b, size_t m, const q8_control *c)
{
    if (q8_affine_bits(t))
        return unpack_affine(t, a, b, c);
    if (t == QW_TYPE_Q4_K || t == QW_TYPE_Q5_K)
        return unpack_k45(t, a, b, m);
    if (t == QW_TYPE_Q6_K)
        return unpack_q6_k(a, b, m);
    const size_t block = q8_offset(t, 1) / 2;
    return (q8_pair){ { unpack_block32(t, a, b), unpack_block32(t, a + block, b + block) } };
}

#endif
