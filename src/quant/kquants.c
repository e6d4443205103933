/* GGUF's block formats of 256 weights: sub-blocks of 16 or 32 weights with small whole numbers as scales, which one or two halves per block
 * scale again. blocks.c calls them. Layouts are given in the order of a block's bytes. Tested by tests/golden/test_formats.c. */
#include "quant/formats.h"

#define N 256 /* weights of a block */

/* scales[16]: scale in the low, minimum in the high nibble; codes[64]; d; dm. Two-bit codes: those of weights 128 n + 32 k + l, l < 32,
 * stand in bits 2k of bytes 32 n + l. */
void qw_q2_k(const uint8_t *b, float *out)
{
    const uint8_t *scales = b, *codes = b + 16;
    const float d = qw_block_half(b + 80), dm = qw_block_half(b + 82);
    for (size_t e = 0; e < N / 16; e++) { /* 16 weights */
        const float scale = d * (float)(scales[e] & 15), minimum = dm * (float)(scales[e] >> 4);
        const uint8_t *q = codes + 32 * (e / 8) + 16 * (e & 1);
        const unsigned shift = 2 * (e / 2 & 3);
        for (size_t i = 0; i < 16; i++)
            out[16 * e + i] = scale * (float)(q[i] >> shift & 3) - minimum;
    }
}

/* Six bits of sub-block e: four lower ones in nibbles of s[0..7], two upper ones in pairs of bits of s[8..11]. */
static int q3_scale(const uint8_t *s, size_t e) { return (s[e % 8] >> 4 * (e / 8) & 15) | (s[8 + e % 4] >> 2 * (e / 4) & 3) << 4; }

/* third bits[32]; codes[64] as in Q2_K; scales[12]; d. The third bit of weight 32 m + l is bit m of byte l; where it is not set 4 is taken
 * off. */
void qw_q3_k(const uint8_t *b, float *out)
{
    const uint8_t *high = b, *codes = b + 32, *scales = b + 96;
    const float d = qw_block_half(b + 108);
    for (size_t e = 0; e < N / 16; e++) {
        const float scale = d * (float)(q3_scale(scales, e) - 32);
        const uint8_t *q = codes + 32 * (e / 8) + 16 * (e & 1), *h = high + 16 * (e & 1);
        const unsigned shift = 2 * (e / 2 & 3), bit = (unsigned)e / 2;
        for (size_t i = 0; i < 16; i++)
            out[16 * e + i] = scale * (float)((q[i] >> shift & 3) + (h[i] >> bit & 1) * 4 - 4);
    }
}

/* Scale and minimum, six bits each, of sub-block j of 8 from Q4_K's and Q5_K's twelve bytes. */
static void k4_scale(const uint8_t *s, size_t j, int *scale, int *minimum)
{
    if (j < 4) {
        *scale = s[j] & 63;
        *minimum = s[j + 4] & 63;
    } else {
        *scale = (s[j + 4] & 15) | s[j - 4] >> 6 << 4;
        *minimum = s[j + 4] >> 4 | s[j] >> 6 << 4;
    }
}

/* d; dm; scales[12]; nibbles[128]: weights 64 m + l are the low, 64 m + 32 + l the high nibbles of bytes 32 m + l. */
void qw_q4_k(const uint8_t *b, float *out)
{
    const float d = qw_block_half(b), dm = qw_block_half(b + 2);
    for (size_t j = 0; j < N / 32; j++) {
        int sc, mn;
        k4_scale(b + 4, j, &sc, &mn);
        const float scale = d * (float)sc, minimum = dm * (float)mn;
        const uint8_t *q = b + 16 + 32 * (j / 2);
        const unsigned shift = 4 * (j & 1);
        for (size_t l = 0; l < 32; l++)
            out[32 * j + l] = scale * (float)(q[l] >> shift & 15) - minimum;
    }
}

/* d; dm; scales[12]; fifth bits[32]: of weight 32 j + l bit j of byte l; nibbles[128] as in Q4_K */
void qw_q5_k(const uint8_t *b, float *out)
{
    const float d = qw_block_half(b), dm = qw_block_half(b + 2);
    const uint8_t *high = b + 16;
    for (size_t j = 0; j < N / 32; j++) {
        int sc, mn;
        k4_scale(b + 4, j, &sc, &mn);
        const float scale = d * (float)sc, minimum = dm * (float)mn;
        const uint8_t *q = b + 48 + 32 * (j / 2);
        const unsigned shift = 4 * (j & 1);
        for (size_t l = 0; l < 32; l++)
            out[32 * j + l] = scale * (float)((q[l] >> shift & 15) + (high[l] >> j & 1) * 16) - minimum;
    }
}

/* nibbles[128]; upper two bits[64]; i8 scales[16]; d. Weight 128 n + 32 k + l: nibble k / 2 of byte 64 n + 32 (k & 1) + l, bits 2k of byte
 * 32 n + l. */
void qw_q6_k(const uint8_t *b, float *out)
{
    const uint8_t *low = b, *high = b + 128, *scales = b + 192;
    const float d = qw_block_half(b + 208);
    for (size_t e = 0; e < N / 16; e++) {
        const size_t n = e / 8, k = e / 2 & 3, half = 16 * (e & 1);
        const float scale = d * (float)(int8_t)scales[e];
        const uint8_t *q = low + 64 * n + 32 * (k & 1) + half, *h = high + 32 * n + half;
        const unsigned shift = 4 * ((unsigned)k >> 1), high_shift = 2 * (unsigned)k;
        for (size_t i = 0; i < 16; i++)
            out[16 * e + i] = scale * (float)((q[i] >> shift & 15) + (h[i] >> high_shift & 3) * 16 - 32);
    }
}

/* d; upper two bits of the eight scales in one little-endian number of two bytes; their lower nibbles[4]; nibbles[128], 16 bytes for 32
 * weights in IQ4_NL's order and with its levels */
void qw_iq4_xs(const uint8_t *b, float *out)
{
    const float d = qw_block_half(b);
    const int high = b[2] | b[3] << 8;
    for (size_t j = 0; j < N / 32; j++) {
        const int sc = (b[4 + j / 2] >> 4 * (j & 1) & 15) | (high >> 2 * j & 3) << 4;
        const float scale = d * (float)(sc - 32);
        const uint8_t *q = b + 8 + 16 * j;
        for (size_t i = 0; i < 16; i++) {
            out[32 * j + i] = scale * qw_iq4_levels[q[i] & 15];
            out[32 * j + 16 + i] = scale * qw_iq4_levels[q[i] >> 4];
        }
    }
}
