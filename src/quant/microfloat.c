/* MLX's float formats: groups of 4- or 8-bit floats with a byte of scale. Tested by tests/unit/test_quant.c. */
#include "quant/formats.h"

#include <math.h>
#include <string.h>

/* 1 sign, 2 exponent, 1 fraction bit: {0, .5, 1, 1.5, 2, 3, 4, 6} */
static float e2m1(unsigned code)
{
    static const float magnitude[8] = { 0, 0.5F, 1, 1.5F, 2, 3, 4, 6 };
    return code & 8 ? -magnitude[code & 7] : magnitude[code & 7];
}

/* 1 sign, 4 exponent (bias 7), 3 fraction bits; no infinities. */
static float e4m3(unsigned code)
{
    const unsigned exponent = code >> 3 & 15, fraction = code & 7;
    const float x = exponent ? ldexpf((float)(8 + fraction), (int)exponent - 10) : ldexpf((float)fraction, -9);
    const float value = (code & 127) == 127 ? NAN : x;
    return code & 128 ? -value : value;
}

/* 2^(byte - 127); 255 is not a number */
static float e8m0(unsigned byte) { return byte == 255 ? NAN : ldexpf(1, (int)byte - 127); }

void qw_microfloat_decode(const qw_matrix *w, size_t row, size_t col, size_t n, float *out)
{
    const size_t group = (size_t)w->group;
    const uint8_t *scales = (const uint8_t *)w->scales + row * (w->cols / group), *codes = (const uint8_t *)w->data + row * qw_matrix_row_bytes(w);
    for (size_t i = 0; i < n; i++) {
        const size_t c = col + i;
        const unsigned s = scales[c / group];
        const float scale = w->type == QW_TYPE_NVFP4 ? e4m3(s) : e8m0(s);
        out[i] = scale * (w->type == QW_TYPE_MXFP8 ? e4m3(codes[c]) : e2m1(codes[c / 2] >> 4 * (c & 1) & 15U));
    }
}
