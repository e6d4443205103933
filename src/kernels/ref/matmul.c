/* Weights times activations, in plain C. A block of a weight row becomes floats once and serves every token of the batch; the compiler turns the QW_LANES
 * partial sums into vectors. A token's sum is the same alone and in a batch. Tested by tests/unit/test_kernels.c. */
#include "kernels/ref/ref.h"

#define BLOCK 256 /* columns that are decoded at a time; a multiple of QW_LANES and of the block of every type */
#define TOKENS 64 /* tokens that share a decoded block */

/* lanes[l] += a[i] * b[i] for all i % QW_LANES == l */
static inline void multiply_block(float *restrict lanes, const float *restrict a, const float *restrict b, size_t n)
{
    size_t i = 0;
    for (; i + QW_LANES <= n; i += QW_LANES)
        for (size_t l = 0; l < QW_LANES; l++)
            lanes[l] += a[i + l] * b[i + l];
    for (size_t l = 0; i < n; i++, l++)
        lanes[l] += a[i] * b[i];
}

static inline float sum_lanes(const float *lanes)
{
    return ((lanes[0] + lanes[4]) + (lanes[2] + lanes[6])) + ((lanes[1] + lanes[5]) + (lanes[3] + lanes[7]));
}

float qw_dot_ref(const float *a, const float *b, size_t n)
{
    float lanes[QW_LANES] = { 0 };
    multiply_block(lanes, a, b, n);
    return sum_lanes(lanes);
}

/* One weight row against up to TOKENS tokens. */
static void row_times_tokens(float *y, size_t y_stride, const qw_matrix *w, size_t row, const float *x, size_t x_stride, size_t n_tokens)
{
    float lanes[TOKENS][QW_LANES] = { 0 };
    float block[BLOCK];
    for (size_t at = 0; at < w->cols; at += BLOCK) {
        size_t n = w->cols - at < BLOCK ? w->cols - at : BLOCK;
        qw_matrix_decode(w, row, at, n, block);
        for (size_t t = 0; t < n_tokens; t++)
            multiply_block(lanes[t], block, x + t * x_stride + at, n);
    }
    for (size_t t = 0; t < n_tokens; t++)
        y[t * y_stride] = sum_lanes(lanes[t]);
}

void qw_matmul_ref(float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t n_rows, const float *x, size_t x_stride,
                   size_t n_tokens)
{
    for (size_t t = 0; t < n_tokens; t += TOKENS) {
        size_t n = n_tokens - t < TOKENS ? n_tokens - t : TOKENS;
        for (size_t r = 0; r < n_rows; r++)
            row_times_tokens(y + t * y_stride + r, y_stride, w, first + r, x + t * x_stride, x_stride, n);
    }
}

void qw_decode_ref(float *out, const qw_matrix *w, size_t row) { qw_matrix_decode(w, row, 0, w->cols, out); }
