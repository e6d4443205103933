/* MLX's affine formats: groups of unsigned codes with a scale and a bias. Tested by tests/unit/test_quant.c. */
#include "quant/formats.h"
#include "quant/half.h"

#include <string.h>

/* n codes of `bits` each (n a multiple of 8, so they fill whole bytes) as floats: 8 codes are `bits` bytes, one little-endian number. */
static void unpack(const uint8_t *p, int bits, size_t n, float *out)
{
    const uint64_t mask = ((uint64_t)1 << bits) - 1;
    for (size_t i = 0; i < n; i += 8, p += bits) {
        uint64_t word = 0;
        memcpy(&word, p, (size_t)bits);
        for (size_t k = 0; k < 8; k++)
            out[i + k] = (float)(word >> (k * (size_t)bits) & mask);
    }
}

static float value_at(qw_type type, const void *values, size_t i)
{
    float x;
    qw_widen(type, (const char *)values + i * qw_type_block_bytes(type), 1, &x);
    return x;
}

void qw_affine_decode(const qw_matrix *w, size_t row, size_t col, size_t n, float *out)
{
    const int bits = qw_type_bits(w->type);
    const size_t group = (size_t)w->group, groups = w->cols / group;
    const uint8_t *codes = (const uint8_t *)w->data + row * qw_matrix_row_bytes(w) + col * (size_t)bits / 8;
    unpack(codes, bits, n, out);
    for (size_t i = 0; i < n;) {
        size_t g = (col + i) / group, end = (g + 1) * group - col;
        if (end > n)
            end = n;
        const float scale = value_at(w->scale_type, w->scales, row * groups + g), bias = value_at(w->scale_type, w->biases, row * groups + g);
        for (; i < end; i++)
            out[i] = scale * out[i] + bias;
    }
}
