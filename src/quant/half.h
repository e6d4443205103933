/* 16-bit floats to float, exact for all 65,536 patterns, subnormals, infinities and the payload of NaN included; and back, rounded. */
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

/* And back: the nearest value, of two equally near ones the even; too large becomes infinity; NaN stays NaN. */
static inline uint16_t qw_f32_to_bf16(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

static inline uint16_t qw_f32_to_f16(float x)
{
    uint32_t bits, sign;
    memcpy(&bits, &x, sizeof bits);
    sign = bits >> 16 & 0x8000u;
    bits &= 0x7FFFFFFFu;
    if (bits > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u | (bits >> 13 & 0x3FFu));
    if (bits >= 0x477FF000u) /* 65520: halfway from the largest value to the next */
        return (uint16_t)(sign | 0x7C00u);
    if (bits < 0x38800000u) { /* subnormal: the sum's last place is 2^-24, and the machine rounds it */
        float magnitude;
        memcpy(&magnitude, &bits, sizeof magnitude);
        magnitude += 0.5f;
        memcpy(&bits, &magnitude, sizeof bits);
        return (uint16_t)(sign | (bits - 0x3F000000u));
    }
    return (uint16_t)(sign | ((bits - (112u << 23) + 0xFFFu + (bits >> 13 & 1u)) >> 13));
}

/* n values of a float format (qw_type_is_float) to float; src may be unaligned. */
void qw_widen(qw_type type, const void *src, size_t n, float *out);
/* n floats to a float format; dst may be unaligned. */
void qw_narrow(qw_type type, const float *src, size_t n, void *dst);

#endif
