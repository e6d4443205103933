/* 16-bit floats to float: exact for all 65,536 patterns, subnormals, infinities and the payload of NaN included. */
#ifndef QW_QUANT_HALF_H
#define QW_QUANT_HALF_H

#include "quant/types.h"

#include <stdint.h>
#include <string.h>

/* 1 sign, 8 exponent, 7 fraction bits: the upper half of a float. */
static inline float qw_bf16_to_f32(uint16_t b)
{
    uint32_t bits = (uint32_t)b << 16;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* IEEE half: 1 sign, 5 exponent (bias 15), 10 fraction bits. */
static inline float qw_f16_to_f32(uint16_t h)
{
    uint32_t sign = (uint32_t)(h & 0x8000u) << 16, rest = h & 0x7FFFu, bits;
    float x;
    if (rest < 0x400) { /* zero and subnormals: multiples of 2^-24 */
        x = (float)rest * 0x1p-24f;
        memcpy(&bits, &x, sizeof bits);
    } else if (rest < 0x7C00) {
        bits = (rest << 13) + ((127u - 15u) << 23);
    } else { /* infinity, NaN */
        bits = 0x7F800000u | (rest & 0x3FFu) << 13;
    }
    bits |= sign;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* n values of a float format (qw_type_is_float) to float; src may be unaligned. */
void qw_widen(qw_type type, const void *src, size_t n, float *out);

#endif
