/* Floats -> codes of MLX's affine formats: the plain way of MLX, packing, and the choice between the methods. search.c and feedback.c find
 * better numbers for the same format. Tested by tests/unit/test_encode.c and tests/golden/test_encode.c. */
#include "convert/encode_parts.h"

#include "base/alloc.h"

/* n codes (a multiple of 8) as a stream of `bits` each, lowest bit first: 8 codes are `bits` bytes. */
static void pack(uint8_t *out, const uint8_t *codes, size_t n, int bits)
{
    for (size_t i = 0; i < n; i += 8, out += bits) {
        uint64_t word = 0;
        for (size_t k = 0; k < 8; k++)
            word |= (uint64_t)codes[i + k] << (k * (size_t)bits);
        memcpy(out, &word, (size_t)bits);
    }
}

/* qw_matrix is made for reading; what stands behind it here is the caller's writable memory. */
static void *writable(const void *p) { return (void *)(uintptr_t)p; }

qwren_status qw_store_group(const qw_matrix *out, size_t row, size_t g, qw_grid grid, const uint8_t *codes, qwren_error *err)
{
    const int bits = qw_type_bits(out->type);
    const size_t group = (size_t)out->group, at = row * (out->cols / group) + g, size = qw_type_block_bytes(out->scale_type);
    if (!isfinite(qw_rounded_to(out->scale_type, grid.scale)) || !isfinite(qw_rounded_to(out->scale_type, grid.bias)))
        return qw_fail(err, QWREN_E_FORMAT, "row %zu, columns %zu to %zu: the weights are too large for a scale or bias of type %s", row,
                       g * group, (g + 1) * group - 1, qw_type_name(out->scale_type));
    qw_narrow(out->scale_type, &grid.scale, 1, (char *)writable(out->scales) + at * size);
    qw_narrow(out->scale_type, &grid.bias, 1, (char *)writable(out->biases) + at * size);
    pack((uint8_t *)writable(out->data) + row * qw_matrix_row_bytes(out) + g * group * (size_t)bits / 8, codes, group, bits);
    return QWREN_OK;
}

/* The end of the range that is larger in magnitude is exactly bias, and zero is a multiple of the scale away from it. */
qw_grid qw_plain_grid(const float *w, size_t n, int bits)
{
    const float top = (float)((1 << bits) - 1);
    float low = w[0], high = w[0];
    for (size_t i = 1; i < n; i++) {
        low = w[i] < low ? w[i] : low;
        high = w[i] > high ? w[i] : high;
    }
    const bool from_low = fabsf(low) > fabsf(high);
    const float edge = from_low ? low : high;
    float scale = (high - low) / top;
    scale = scale > 1e-7f ? scale : 1e-7f;
    scale = from_low ? scale : -scale;
    const float steps = rintf(edge / scale);
    if (steps == 0)
        return (qw_grid){ scale, 0 };
    return (qw_grid){ edge / steps, edge };
}

/* MLX takes the codes from the grid before it is rounded to the type of the scales. */
static void plain_codes(uint8_t *codes, const float *w, size_t n, qw_grid grid, int bits)
{
    const float top = (float)((1 << bits) - 1);
    for (size_t i = 0; i < n; i++) {
        const float q = rintf((w[i] - grid.bias) / grid.scale);
        codes[i] = (uint8_t)(q > 0 ? q < top ? q : top : 0);
    }
}

static void nearest_codes(uint8_t *codes, const float *w, size_t n, qw_grid grid, int bits)
{
    const float top = (float)((1 << bits) - 1), inverse = qw_inverse_scale(grid.scale);
    for (size_t i = 0; i < n; i++)
        codes[i] = (uint8_t)qw_nearest_code(w[i], inverse, grid.bias, top);
}

static qwren_status encode_row(const qw_matrix *out, size_t row, const float *w, qw_encode_method method, const qw_moments *moments,
                               qwren_error *err)
{
    const int bits = qw_type_bits(out->type);
    const size_t group = (size_t)out->group;
    uint8_t codes[QW_GROUP_MAX];
    float alike[QW_GROUP_MAX];
    for (size_t i = 0; i < group; i++)
        alike[i] = 1;
    for (size_t g = 0; g < out->cols / group; g++, w += group) {
        const float *h = moments ? moments->weights + g * group : alike;
        const bool plain = method == QW_ENCODE_PLAIN;
        const qw_grid grid = plain ? qw_plain_grid(w, group, bits) : qw_search_grid(w, h, group, bits, out->scale_type);
        (plain ? plain_codes : nearest_codes)(codes, w, group, grid, bits);
        QW_TRY(qw_store_group(out, row, g, grid, codes, err));
    }
    return QWREN_OK;
}

static qwren_status check_finite(const float *w, size_t first, size_t n, size_t cols, qwren_error *err)
{
    for (size_t i = 0; i < n * cols; i++)
        if (!isfinite(w[i]))
            return qw_fail(err, QWREN_E_FORMAT, "row %zu, column %zu is not a finite number", first + i / cols, i % cols);
    return QWREN_OK;
}

qwren_status qw_encode_rows(const qw_matrix *out, size_t first, size_t n, const float *w, qw_encode_method method,
                            const qw_moments *moments, qwren_error *err)
{
    QW_TRY(check_finite(w, first, n, out->cols, err));
    if (method == QW_ENCODE_FEEDBACK)
        return qw_feedback_rows(out, first, n, w, moments, err);
    for (size_t i = 0; i < n; i++)
        QW_TRY(encode_row(out, first + i, w + i * out->cols, method, moments, err));
    return QWREN_OK;
}
