/* MLX's float formats: groups of 4- or 8-bit floats with a byte of scale. Tested by tests/golden/test_formats.c. */
#include "quant/formats.h"

#include <math.h>
#include <string.h>

/* 1 sign, 2 exponent, 1 fraction bit */
static const float e2m1[16] = { 0, 0.5F, 1, 1.5F, 2, 3, 4, 6, -0.0F, -0.5F, -1, -1.5F, -2, -3, -4, -6 };

/* 1 sign, 4 exponent (bias 7), 3 fraction bits; no infinities: (8 + fraction) * 2^(exponent - 10), and fraction * 2^-9 at exponent 0. */
#define SEVEN(first, step)                                                                                          \
  (first) * (step), ((first) + 1) * (step), ((first) + 2) * (step), ((first) + 3) * (step), ((first) + 4) * (step), \
      ((first) + 5) * (step), ((first) + 6) * (step)
#define EIGHT(first, step) SEVEN(first, step), ((first) + 7) * (step)
#define HALF(sign)                                                                                                            \
  EIGHT(0, sign 0x1p-9F), EIGHT(8, sign 0x1p-9F), EIGHT(8, sign 0x1p-8F), EIGHT(8, sign 0x1p-7F), EIGHT(8, sign 0x1p-6F),     \
      EIGHT(8, sign 0x1p-5F), EIGHT(8, sign 0x1p-4F), EIGHT(8, sign 0x1p-3F), EIGHT(8, sign 0x1p-2F), EIGHT(8, sign 0x1p-1F), \
      EIGHT(8, sign 1.0F), EIGHT(8, sign 2.0F), EIGHT(8, sign 4.0F), EIGHT(8, sign 8.0F), EIGHT(8, sign 16.0F), SEVEN(8, sign 32.0F), NAN
static const float e4m3[256] = { HALF(+), HALF(-) };

/* 2^(byte - 127), of which byte 0 is subnormal; 255 is not a number */
static float e8m0(unsigned byte)
{
    const uint32_t bits = byte == 255 ? 0x7FC00000U : byte == 0 ? 0x00400000U : (uint32_t)byte << 23;
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Columns [c, stop) of a row's codes, all of one scale. c is even. */
static void decode_run(qw_type type, const uint8_t *codes, size_t c, size_t stop, float scale, float *out)
{
    if (type == QW_TYPE_MXFP8) {
        for (size_t i = c; i < stop; i++)
            *out++ = scale * e4m3[codes[i]];
        return;
    }
    for (size_t i = c / 2; i < stop / 2; i++) {
        *out++ = scale * e2m1[codes[i] & 15];
        *out++ = scale * e2m1[codes[i] >> 4];
    }
}

void qw_microfloat_decode(const qw_matrix *w, size_t row, size_t col, size_t n, float *out)
{
    const size_t group = (size_t)w->group;
    const uint8_t *scales = (const uint8_t *)w->scales + row * (w->cols / group),
                  *codes = (const uint8_t *)w->data + row * qw_matrix_row_bytes(w);
    for (size_t c = col, end = col + n; c < end;) {
        const size_t g = c / group, stop = (g + 1) * group < end ? (g + 1) * group : end;
        decode_run(w->type, codes, c, stop, w->type == QW_TYPE_NVFP4 ? e4m3[scales[g]] : e8m0(scales[g]), out + (c - col));
        c = stop;
    }
}
