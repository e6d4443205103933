/* GGUF's block formats: which function reads a block of which type, and the types of 32 weights a block (kquants.c has those of 256). A
 * block holds its own scale as an IEEE half; nibble i < 16 of 32 stands in the lower half of byte i, nibble i >= 16 in the upper half of
 * byte i - 16; a fifth bit in bit i of four bytes of their own. Tested by tests/golden/test_formats.c. */
#include "quant/formats.h"

#include <assert.h>

#define N 32 /* weights of a block */

/* b: d, i8 q[32] */
static void q8_0(const uint8_t *b, float *out)
{
    const float d = qw_block_half(b);
    for (size_t i = 0; i < N; i++)
        out[i] = d * (float)(int8_t)b[2 + i];
}

/* b: d, nibbles[16] */
static void q4_0(const uint8_t *b, float *out)
{
    const float d = qw_block_half(b);
    const uint8_t *q = b + 2;
    for (size_t i = 0; i < N / 2; i++) {
        out[i] = d * (float)((q[i] & 15) - 8);
        out[i + N / 2] = d * (float)((q[i] >> 4) - 8);
    }
}

/* b: d, m, nibbles[16] */
static void q4_1(const uint8_t *b, float *out)
{
    const float d = qw_block_half(b), m = qw_block_half(b + 2);
    const uint8_t *q = b + 4;
    for (size_t i = 0; i < N / 2; i++) {
        out[i] = d * (float)(q[i] & 15) + m;
        out[i + N / 2] = d * (float)(q[i] >> 4) + m;
    }
}

/* The fifth bits: bit i of a little-endian number of four bytes. */
static uint32_t fifth_bits(const uint8_t *p) { return (uint32_t)p[0] | (uint32_t)p[1] << 8 | (uint32_t)p[2] << 16 | (uint32_t)p[3] << 24; }

/* Five-bit codes 0 .. 31 from nibbles[16] and the fifth bits. */
static inline void five_bit_codes(const uint8_t *q, uint32_t high, int *codes)
{
    for (size_t i = 0; i < N / 2; i++) {
        codes[i] = (int)((q[i] & 15U) | (high >> i & 1) << 4);
        codes[i + N / 2] = (int)((q[i] >> 4U) | (high >> (i + N / 2) & 1) << 4);
    }
}

/* b: d, fifth bits[4], nibbles[16] */
static void q5_0(const uint8_t *b, float *out)
{
    const float d = qw_block_half(b);
    int codes[N];
    five_bit_codes(b + 6, fifth_bits(b + 2), codes);
    for (size_t i = 0; i < N; i++)
        out[i] = d * (float)(codes[i] - 16);
}

/* b: d, m, fifth bits[4], nibbles[16] */
static void q5_1(const uint8_t *b, float *out)
{
    const float d = qw_block_half(b), m = qw_block_half(b + 2);
    int codes[N];
    five_bit_codes(b + 8, fifth_bits(b + 4), codes);
    for (size_t i = 0; i < N; i++)
        out[i] = d * (float)codes[i] + m;
}

/* b: d, nibbles[16] that choose among 16 levels */
static void iq4_nl(const uint8_t *b, float *out)
{
    const float d = qw_block_half(b);
    const uint8_t *q = b + 2;
    for (size_t i = 0; i < N / 2; i++) {
        out[i] = d * qw_iq4_levels[q[i] & 15];
        out[i + N / 2] = d * qw_iq4_levels[q[i] >> 4];
    }
}

const float qw_iq4_levels[16] = { -127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113 };

void qw_blocks_decode(qw_type type, const void *src, size_t n, float *out)
{
    static void (*const readers[QW_TYPE_COUNT])(const uint8_t *, float *) = {
        [QW_TYPE_Q8_0] = q8_0,    [QW_TYPE_Q4_0] = q4_0,     [QW_TYPE_Q4_1] = q4_1,    [QW_TYPE_Q5_0] = q5_0,
        [QW_TYPE_Q5_1] = q5_1,    [QW_TYPE_IQ4_NL] = iq4_nl, [QW_TYPE_Q2_K] = qw_q2_k, [QW_TYPE_Q3_K] = qw_q3_k,
        [QW_TYPE_Q4_K] = qw_q4_k, [QW_TYPE_Q5_K] = qw_q5_k,  [QW_TYPE_Q6_K] = qw_q6_k, [QW_TYPE_IQ4_XS] = qw_iq4_xs,
    };
    const size_t block = qw_type_block(type), bytes = qw_type_block_bytes(type);
    const uint8_t *b = src;
    assert(readers[type] && n % block == 0);
    for (size_t i = 0; i < n; i += block, b += bytes)
        readers[type](b, out + i);
}
