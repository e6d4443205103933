/* Weights in bf16 times activations in bf16, level avx512bf16: vdpbf16ps, two columns a lane and instruction.
 *
 * A sum has sixteen lanes: columns 2l and 2l + 1 of each 32 go to lane l, in the order of the columns, v16_sum at the end; so it depends on the number of columns
 * alone. The instruction multiplies exactly, flushes subnormal numbers and rounds after each of its two additions, the odd column's first. Four rows meet six tokens
 * in 24 registers: 24 instructions for 10 loads, straight from the file. As many tokens at a time as fit half of the second cache. Tested by
 * tests/unit/test_kernels.c. */
#include "kernels/levels.h"

#include "kernels/vec/v16.h"

#define ROWS 4
#define TOKENS 6
#define ALONE 8 /* rows at once for a single token */
#define STEP 32 /* columns of an instruction */
#define STRIP_BYTES ((size_t)512 << 10)
#define ALWAYS static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 24")

typedef struct bf16_in {
    const uint16_t *w, *x;
    size_t w_stride, x_stride, n; /* in values; columns */
} bf16_in;

/* Columns [c, c + 32), or those of them that `mask` names. */
ALWAYS __m512bh load(const uint16_t *p, bool all, __mmask32 mask)
{
    return (__m512bh)(all ? _mm512_loadu_si512(p) : _mm512_maskz_loadu_epi16(mask, p));
}

ALWAYS void add_columns(const int rows, const int tokens, const bf16_in *in, size_t c, bool all, __mmask32 mask, v16 *sums)
{
    __m512bh w[ALONE];
    UNROLL
    for (int r = 0; r < rows; r++) {
        const uint16_t *at = in->w + (size_t)r * in->w_stride + c;
        if (tokens == 1) /* the rows after these, into the second cache */
            __builtin_prefetch(at + (size_t)rows * in->w_stride, 0, 2);
        w[r] = load(at, all, mask);
    }
    UNROLL
    for (int t = 0; t < tokens; t++) {
        const __m512bh x = load(in->x + (size_t)t * in->x_stride + c, all, mask);
        UNROLL
        for (int r = 0; r < rows; r++)
            sums[t * rows + r] = _mm512_dpbf16_ps(sums[t * rows + r], w[r], x);
    }
}

ALWAYS void tile(const int rows, const int tokens, const bf16_in *in, float *y, size_t y_stride)
{
    v16 sums[ROWS * TOKENS];
    UNROLL
    for (int i = 0; i < rows * tokens; i++)
        sums[i] = v16_zero();
    size_t c = 0;
    for (; c + STEP <= in->n; c += STEP)
        add_columns(rows, tokens, in, c, true, 0, sums);
    if (c < in->n)
        add_columns(rows, tokens, in, c, false, (1U << (in->n - c)) - 1, sums);
    UNROLL
    for (int t = 0; t < tokens; t++, y += y_stride) {
        const v16 *s = sums + t * rows;
        UNROLL
        for (int r = 0; r + 4 <= rows; r += 4)
            v16_sum4(y + r, s[r], s[r + 1], s[r + 2], s[r + 3]);
        UNROLL
        for (int r = rows / 4 * 4; r < rows; r++)
            y[r] = v16_sum(s[r]);
    }
}

static void rows_times_few(size_t tokens, const bf16_in *in, float *y, size_t y_stride)
{
    switch (tokens) {
    case 1: tile(ROWS, 1, in, y, y_stride); break;
    case 2: tile(ROWS, 2, in, y, y_stride); break;
    case 3: tile(ROWS, 3, in, y, y_stride); break;
    case 4: tile(ROWS, 4, in, y, y_stride); break;
    case 5: tile(ROWS, 5, in, y, y_stride); break;
    default: tile(ROWS, TOKENS, in, y, y_stride);
    }
}

/* ALONE, ROWS or one row times a strip of tokens. */
static void rows_times_strip(bf16_in in, size_t rows, size_t n_tokens, float *y, size_t y_stride)
{
    const size_t step = rows == ROWS ? TOKENS : 1;
    for (size_t t = 0; t < n_tokens; t += step) {
        if (rows == ALONE)
            tile(ALONE, 1, &in, y, y_stride);
        else if (rows == ROWS)
            rows_times_few(n_tokens - t < TOKENS ? n_tokens - t : TOKENS, &in, y, y_stride);
        else
            tile(1, 1, &in, y, y_stride);
        in.x += step * in.x_stride;
        y += step * y_stride;
    }
}

static void matmul_bf16(float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t n_rows, const uint16_t *x, size_t x_stride,
                        size_t n_tokens)
{
    const size_t cols = w->cols, most = STRIP_BYTES / (2 * cols) / TOKENS * TOKENS, strip = most ? most : TOKENS;
    const size_t step = n_tokens == 1 ? ALONE : ROWS;
    for (size_t t = 0; t < n_tokens; t += strip)
        for (size_t r = 0; r < n_rows;) {
            const size_t rows = n_rows - r >= step ? step : n_rows - r >= ROWS ? ROWS : 1;
            const bf16_in in = { (const uint16_t *)w->data + (first + r) * cols, x + t * x_stride, cols, x_stride, cols };
            rows_times_strip(in, rows, n_tokens - t < strip ? n_tokens - t : strip, y + t * y_stride + r, y_stride);
            r += rows;
        }
}

void qw_dot_avx512bf16(qw_kernels *k) { k->matmul_bf16 = matmul_bf16; }
