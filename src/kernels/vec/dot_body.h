/* Weights of any type times activations in float, over v16. Included by x86/dot_LEVEL.c and arm/dot_LEVEL.c, which define
 *   DOT_ROWS, DOT_TOKENS     the tile: DOT_ROWS * DOT_TOKENS sums, DOT_ROWS weights and one activation must fit the registers as v16; DOT_ROWS is 2 or 4
 *   PART_ROWS, PART_LANES    the tile of a panel, with PART_LANES of the sixteen lanes at a time: part, part_load, part_store, part_zero, part_fma
 *   PANEL_COLUMNS            columns of a panel: a multiple of 256, so that every block and group begins and ends with it
 *
 * A sum has sixteen lanes: column i goes to lane i % 16, one fma a column in their order, v16_sum at the end. So it depends on the number of columns alone, and is
 * the same to the bit for one token or many, on every level.
 *   few tokens, a float type   the weights are read from the file once, widened in registers: limited by memory
 *   otherwise                  PANEL_ROWS rows become floats in a panel, which serves all tokens. Rows longer than PANEL_COLUMNS take turns: the lanes of
 *                              STRIP_TOKENS tokens are kept beside the panel meanwhile.
 * Up to 128 KiB of stack. Tested by tests/unit/test_kernels.c. */
#ifndef QW_KERNELS_DOT_BODY_H
#define QW_KERNELS_DOT_BODY_H

#include "kernels/kernels.h"
#include "kernels/vec/decode_body.h"

#define DOT_INLINE static inline __attribute__((always_inline))
#define DOT_UNROLL _Pragma("GCC unroll 24")
#define DOT_ALONE (2 * DOT_ROWS) /* rows at once for a single token */

#define PANEL_ROWS 16
#define PANEL_STRIDE (PANEL_COLUMNS + 16) /* rows do not meet in one set of the cache */
#define STRIP_TOKENS 60

/* What a tile reads: rows of weights in memory, and tokens. Strides of w in bytes, of x in floats. */
typedef struct dot_in {
    const uint8_t *w;
    size_t w_stride;
    const float *x;
    size_t x_stride, n; /* columns */
} dot_in;

DOT_INLINE void add_up(const int rows, const int tokens, const v16 *sums, float *y, size_t y_stride)
{
    DOT_UNROLL
    for (int t = 0; t < tokens; t++, y += y_stride, sums += rows) {
        DOT_UNROLL
        for (int r = 0; r + 4 <= rows; r += 4)
            v16_sum4(y + r, sums[r], sums[r + 1], sums[r + 2], sums[r + 3]);
        DOT_UNROLL
        for (int r = rows / 4 * 4; r < rows; r++)
            y[r] = v16_sum(sums[r]);
    }
}

/* ---- straight from the file */

/* Columns [c, c + m), m <= 16. The same columns of the rows after these are fetched into the second cache meanwhile: rows are short, and the processor's own
 * prefetching begins anew with each (measured with one token and 2 KiB a row: 22 instead of 11 GB/s). */
DOT_INLINE void add_columns(const int rows, const int tokens, const qw_type type, const dot_in *in, size_t c, size_t m, v16 *sums)
{
    const size_t bytes = type == QW_TYPE_F32 ? 4 : 2;
    v16 w[DOT_ALONE];
    DOT_UNROLL
    for (int r = 0; r < rows; r++) {
        const uint8_t *at = in->w + (size_t)r * in->w_stride + c * bytes;
        __builtin_prefetch(at + (size_t)rows * in->w_stride, 0, 2);
        w[r] = load_floats(type, at, m);
    }
    DOT_UNROLL
    for (int t = 0; t < tokens; t++) {
        const float *at = in->x + (size_t)t * in->x_stride + c;
        const v16 x = m >= 16 ? v16_load(at) : v16_load_n(at, m);
        DOT_UNROLL
        for (int r = 0; r < rows; r++)
            sums[t * rows + r] = v16_fma(w[r], x, sums[t * rows + r]);
    }
}

DOT_INLINE void tile(const int rows, const int tokens, const qw_type type, const dot_in *in, float *y, size_t y_stride)
{
    v16 sums[DOT_ROWS * DOT_TOKENS > DOT_ALONE ? DOT_ROWS * DOT_TOKENS : DOT_ALONE];
    DOT_UNROLL
    for (int i = 0; i < rows * tokens; i++)
        sums[i] = v16_zero();
    size_t c = 0;
    for (; c + 16 <= in->n; c += 16)
        add_columns(rows, tokens, type, in, c, 16, sums);
    if (c < in->n)
        add_columns(rows, tokens, type, in, c, in->n - c, sums);
    add_up(rows, tokens, sums, y, y_stride);
}

/* The last rows of a matrix, fewer than a tile has, go one by one. */
DOT_INLINE void one_row(const qw_type type, dot_in in, size_t tokens, float *y, size_t y_stride)
{
    for (size_t t = 0; t < tokens; t++, in.x += in.x_stride)
        tile(1, 1, type, &in, y + t * y_stride, y_stride);
}

DOT_INLINE void tiles(const qw_type type, size_t tokens, const dot_in *in, float *y, size_t y_stride)
{
    switch (tokens) {
    case 2: tile(DOT_ROWS, 2, type, in, y, y_stride); break;
#if DOT_TOKENS > 3
    case 3: tile(DOT_ROWS, 3, type, in, y, y_stride); break;
    case 4: tile(DOT_ROWS, 4, type, in, y, y_stride); break;
    case 5: tile(DOT_ROWS, 5, type, in, y, y_stride); break;
#endif
    default: tile(DOT_ROWS, DOT_TOKENS, type, in, y, y_stride);
    }
}

/* All rows of `in` times DOT_TOKENS tokens at most. */
DOT_INLINE void rows_times_few(const qw_type type, dot_in in, size_t n_rows, size_t tokens, float *y, size_t y_stride)
{
    const size_t step = tokens == 1 ? DOT_ALONE : DOT_ROWS;
    for (size_t r = 0; r < n_rows;) {
        const size_t rows = n_rows - r < step ? 1 : step;
        if (rows == 1)
            one_row(type, in, tokens, y + r, y_stride);
        else if (tokens == 1)
            tile(DOT_ALONE, 1, type, &in, y + r, y_stride);
        else
            tiles(type, tokens, &in, y + r, y_stride);
        in.w += rows * in.w_stride;
        r += rows;
    }
}

/* ---- by panels */

/* rows x tokens sums over whole sixteens of columns, from `begin` (NULL: zeros) to `end`, both [rows * tokens][16]; of lanes [h, h + PART_LANES) alone. */
DOT_INLINE void panel_lanes(const int rows, const int tokens, const dot_in *in, size_t h, const float *begin, float *end)
{
    const size_t w_stride = in->w_stride / sizeof(float), n = in->n / 16 * 16;
    const float *w = (const float *)(const void *)in->w + h, *x = in->x + h;
    part sums[PART_ROWS * DOT_TOKENS];
    DOT_UNROLL
    for (int i = 0; i < rows * tokens; i++)
        sums[i] = begin ? part_load(begin + 16 * (size_t)i + h) : part_zero();
    for (size_t c = 0; c < n; c += 16) {
        part some_w[PART_ROWS];
        DOT_UNROLL
        for (int r = 0; r < rows; r++)
            some_w[r] = part_load(w + (size_t)r * w_stride + c);
        DOT_UNROLL
        for (int t = 0; t < tokens; t++) {
            const part one_x = part_load(x + (size_t)t * in->x_stride + c);
            DOT_UNROLL
            for (int r = 0; r < rows; r++)
                sums[t * rows + r] = part_fma(some_w[r], one_x, sums[t * rows + r]);
        }
    }
    DOT_UNROLL
    for (int i = 0; i < rows * tokens; i++)
        part_store(end + 16 * (size_t)i + h, sums[i]);
}

/* The last columns, fewer than sixteen, and the sums of the lanes. */
DOT_INLINE void panel_sums(const int rows, const int tokens, const dot_in *in, const float *lanes, float *y, size_t y_stride)
{
    const size_t whole = in->n / 16 * 16, rest = in->n - whole;
    v16 sums[PART_ROWS * DOT_TOKENS];
    DOT_UNROLL
    for (int i = 0; i < rows * tokens; i++) {
        sums[i] = v16_load(lanes + 16 * (size_t)i);
        if (rest) {
            const v16 w = v16_load_n((const float *)(const void *)(in->w + (size_t)(i % rows) * in->w_stride) + whole, rest);
            sums[i] = v16_fma(w, v16_load_n(in->x + (size_t)(i / rows) * in->x_stride + whole, rest), sums[i]);
        }
    }
    add_up(rows, tokens, sums, y, y_stride);
}

DOT_INLINE void panel_tile(const int rows, const int tokens, const dot_in *in, float *kept, bool last, float *y, size_t y_stride)
{
    float lanes[PART_ROWS * DOT_TOKENS * 16], *end = kept ? kept : lanes;
    for (size_t h = 0; h < 16; h += PART_LANES)
        panel_lanes(rows, tokens, in, h, kept, end);
    if (last)
        panel_sums(rows, tokens, in, end, y, y_stride);
}

/* The last rows of a panel, fewer than a tile has, go one by one. */
static void one_panel_row(dot_in in, size_t tokens, float *kept, bool last, float *y, size_t y_stride)
{
    for (size_t t = 0; t < tokens; t++, in.x += in.x_stride)
        panel_tile(1, 1, &in, kept ? kept + 16 * t : NULL, last, y + t * y_stride, y_stride);
}

static void panel_tiles(size_t tokens, const dot_in *in, float *kept, bool last, float *y, size_t y_stride)
{
    switch (tokens) {
    case 1: panel_tile(PART_ROWS, 1, in, kept, last, y, y_stride); break;
    case 2: panel_tile(PART_ROWS, 2, in, kept, last, y, y_stride); break;
#if DOT_TOKENS > 3
    case 3: panel_tile(PART_ROWS, 3, in, kept, last, y, y_stride); break;
    case 4: panel_tile(PART_ROWS, 4, in, kept, last, y, y_stride); break;
    case 5: panel_tile(PART_ROWS, 5, in, kept, last, y, y_stride); break;
#endif
    default: panel_tile(PART_ROWS, DOT_TOKENS, in, kept, last, y, y_stride);
    }
}

/* The rows of a panel times DOT_TOKENS tokens at most. `kept` [n_rows][DOT_TOKENS][16]: the lanes of the columns before, and of these unless they are the last;
 * NULL: these are all. */
static void panel_times_few(dot_in in, size_t n_rows, size_t tokens, float *kept, bool last, float *y, size_t y_stride)
{
    for (size_t r = 0; r < n_rows;) {
        const size_t rows = n_rows - r < PART_ROWS ? 1 : PART_ROWS;
        float *at = kept ? kept + r * DOT_TOKENS * 16 : NULL;
        if (rows == 1)
            one_panel_row(in, tokens, at, last, y + r, y_stride);
        else
            panel_tiles(tokens, &in, at, last, y + r, y_stride);
        in.w += rows * in.w_stride;
        r += rows;
    }
}

/* PANEL_ROWS rows or fewer times a strip of tokens (of all, when the panel holds whole rows). */
static void strip(float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t n_rows, const float *x, size_t x_stride,
                  size_t n_tokens)
{
    float panel[PANEL_ROWS * PANEL_STRIDE], kept[PANEL_ROWS * STRIP_TOKENS * 16];
    const bool whole = w->cols <= PANEL_COLUMNS;
    if (!whole)
        memset(kept, 0, (n_tokens + DOT_TOKENS - 1) / DOT_TOKENS * DOT_TOKENS * PANEL_ROWS * 16 * sizeof *kept);
    for (size_t c = 0; c < w->cols; c += PANEL_COLUMNS) {
        const size_t n = w->cols - c < PANEL_COLUMNS ? w->cols - c : PANEL_COLUMNS;
        for (size_t r = 0; r < n_rows; r++)
            decode_columns(w, first + r, c, n, panel + r * PANEL_STRIDE);
        for (size_t t = 0; t < n_tokens; t += DOT_TOKENS) {
            const size_t few = n_tokens - t < DOT_TOKENS ? n_tokens - t : DOT_TOKENS;
            const dot_in in = { (const uint8_t *)panel, PANEL_STRIDE * sizeof *panel, x + t * x_stride + c, x_stride, n };
            panel_times_few(in, n_rows, few, whole ? NULL : kept + t * PANEL_ROWS * 16, c + n == w->cols, y + t * y_stride, y_stride);
        }
    }
}

static void matmul_by_panels(float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t n_rows, const float *x, size_t x_stride,
                             size_t n_tokens)
{
    const size_t tokens = w->cols <= PANEL_COLUMNS ? n_tokens : STRIP_TOKENS;
    for (size_t r = 0; r < n_rows; r += PANEL_ROWS)
        for (size_t t = 0; t < n_tokens; t += tokens)
            strip(y + t * y_stride + r, y_stride, w, first + r, n_rows - r < PANEL_ROWS ? n_rows - r : PANEL_ROWS, x + t * x_stride,
                  x_stride, n_tokens - t < tokens ? n_tokens - t : tokens);
}

#define MATMUL_OF_FLOATS(name, type)                                                                                            \
  static void name(float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t n_rows, const float *x, size_t x_stride, \
                   size_t n_tokens)                                                                                             \
  {                                                                                                                             \
    const size_t bytes = qw_matrix_row_bytes(w);                                                                                \
    const dot_in in = { (const uint8_t *)w->data + first * bytes, bytes, x, x_stride, w->cols };                                \
    if (n_tokens <= DOT_TOKENS)                                                                                                 \
      rows_times_few(type, in, n_rows, n_tokens, y, y_stride);                                                                  \
    else                                                                                                                        \
      matmul_by_panels(y, y_stride, w, first, n_rows, x, x_stride, n_tokens);                                                   \
  }
MATMUL_OF_FLOATS(matmul_f32, QW_TYPE_F32)
MATMUL_OF_FLOATS(matmul_f16, QW_TYPE_F16)
MATMUL_OF_FLOATS(matmul_bf16_rows, QW_TYPE_BF16)

static void decode_row(float *out, const qw_matrix *w, size_t row) { decode_columns(w, row, 0, w->cols, out); }

static void fill_dot(qw_kernels *k)
{
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++)
        if (qw_type_is_weight(t)) {
            k->matmul[t] = matmul_by_panels;
            k->decode[t] = decode_row;
        }
    k->matmul[QW_TYPE_F32] = matmul_f32;
    k->matmul[QW_TYPE_F16] = matmul_f16;
    k->matmul[QW_TYPE_BF16] = matmul_bf16_rows;
}

#endif
