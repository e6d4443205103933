/* Weights times activations, in plain C. A block of some weight rows becomes floats once and serves every token of the batch; the compiler turns the QW_LANES
 * partial sums into vectors. A token's sum is the same alone and in a batch. Tested by tests/unit/test_kernels.c. */
#include "kernels/ref/ref.h"

#include <string.h>

#define BLOCK 256 /* columns that are decoded at a time; a multiple of QW_LANES and of the block of every type */
#define ROWS 8    /* weight rows that meet a block of tokens while it is in the nearest cache */
#define TOKENS 32 /* tokens that share decoded blocks */

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

/* Up to ROWS weight rows against up to TOKENS tokens: a block of columns of them all fits the nearest cache. */
static void rows_times_tokens(float *y, size_t y_stride, const qw_matrix *w, size_t row, size_t n_rows, const float *x, size_t x_stride,
                              size_t n_tokens)
{
    float lanes[ROWS][TOKENS][QW_LANES];
    float blocks[ROWS][BLOCK];
    for (size_t r = 0; r < n_rows; r++)
        memset(lanes[r], 0, n_tokens * sizeof lanes[r][0]);
    for (size_t at = 0; at < w->cols; at += BLOCK) {
        size_t n = w->cols - at < BLOCK ? w->cols - at : BLOCK;
        for (size_t r = 0; r < n_rows; r++)
            qw_matrix_decode(w, row + r, at, n, blocks[r]);
        for (size_t t = 0; t < n_tokens; t++)
            for (size_t r = 0; r < n_rows; r++)
                multiply_block(lanes[r][t], blocks[r], x + t * x_stride + at, n);
    }
    for (size_t t = 0; t < n_tokens; t++)
        for (size_t r = 0; r < n_rows; r++)
            y[t * y_stride + r] = sum_lanes(lanes[r][t]);
}

void qw_matmul_ref(float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t n_rows, const float *x, size_t x_stride,
                   size_t n_tokens)
{
    for (size_t t = 0; t < n_tokens; t += TOKENS) {
        size_t n = n_tokens - t < TOKENS ? n_tokens - t : TOKENS;
        for (size_t r = 0; r < n_rows; r += ROWS) {
            size_t rows = n_rows - r < ROWS ? n_rows - r : ROWS;
            rows_times_tokens(y + t * y_stride + r, y_stride, w, first + r, rows, x + t * x_stride, x_stride, n);
        }
    }
}

void qw_decode_ref(float *out, const qw_matrix *w, size_t row) { qw_matrix_decode(w, row, 0, w->cols, out); }
