/* MLX's affine formats: groups of unsigned codes with a scale and a bias. Tested by tests/golden/test_formats.c. */
#include "quant/formats.h"

#include <string.h>

#define RUN 32 /* codes that are unpacked at a time: the block of every affine type, a divisor of every group */

/* 8 codes are `bits` bytes, one little-endian number. Inlined once per width, so that shifts and mask are constants. */
static inline void unpack(const uint8_t *p, const unsigned bits, int32_t *codes)
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    for (size_t i = 0; i < RUN; i += 8, p += bits) {
        uint64_t word = 0;
        for (unsigned b = 0; b < bits; b++)
            word |= (uint64_t)p[b] << 8 * b;
        for (unsigned k = 0; k < 8; k++)
            codes[i + k] = (int32_t)(word >> k * bits & mask);
    }
}

static inline void decode_run(const uint8_t *p, const unsigned bits, float scale, float bias, float *out)
{
    int32_t codes[RUN];
    unpack(p, bits, codes);
    for (size_t i = 0; i < RUN; i++)
        out[i] = scale * (float)codes[i] + bias;
}

static void run_of(unsigned bits, const uint8_t *p, float scale, float bias, float *out)
{
    switch (bits) {
    case 2: decode_run(p, 2, scale, bias, out); break;
    case 3: decode_run(p, 3, scale, bias, out); break;
    case 4: decode_run(p, 4, scale, bias, out); break;
    case 5: decode_run(p, 5, scale, bias, out); break;
    case 6: decode_run(p, 6, scale, bias, out); break;
    default: decode_run(p, 8, scale, bias, out); break;
    }
}

/* Scales and biases may be of any float type. */
static float value_at(qw_type type, const void *values, size_t i)
{
    const uint8_t *p = (const uint8_t *)values + i * qw_type_block_bytes(type);
    if (type == QW_TYPE_BF16)
        return qw_bf16_to_f32((uint16_t)(p[0] | p[1] << 8));
    if (type == QW_TYPE_F16)
        return qw_block_half(p);
    float x;
    memcpy(&x, p, sizeof x);
    return x;
}

void qw_affine_decode(const qw_matrix *w, size_t row, size_t col, size_t n, float *out)
{
    const unsigned bits = (unsigned)qw_type_bits(w->type);
    const size_t group = (size_t)w->group, first = row * (w->cols / group);
    const uint8_t *codes = (const uint8_t *)w->data + row * qw_matrix_row_bytes(w);
    for (size_t c = col, end = col + n; c < end;) {
        const size_t g = c / group, stop = (g + 1) * group < end ? (g + 1) * group : end;
        const float scale = value_at(w->scale_type, w->scales, first + g), bias = value_at(w->scale_type, w->biases, first + g);
        for (; c < stop; c += RUN)
            run_of(bits, codes + c / 8 * bits, scale, bias, out + (c - col));
    }
}
