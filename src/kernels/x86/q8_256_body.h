/* Weights times activations in eight bits with 256-bit vectors, written once. q8_avx2.c and q8_avxvnni.c include it; they differ in the dot product alone and
 * define before:
 *   TOKENS, WIDE_TOKENS       tokens of a block that keep their sums in registers; TOKEN_CASES, WIDE_CASES name each number up to them
 *   ADD_MADD(sum, a, b)       sum + the products of 16-bit numbers, in pairs
 *   unit_dots(...)            dot[t] = quads of the panel times those of token t
 *   dot_high(w, high)         a quad's codes times upper bits, times 128
 *   USES_WIDE(bits, n_fix)    whether a wide panel is better, for codes of so many bits
 *   TIMES(unit, bits)         the function that multiplies a panel
 * Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8_256_rows.h"
#include "kernels/x86/q8_256_panel.h"
#include "kernels/x86/q8_256_quantize.h"

#define FEW 2 /* tokens up to which rows are multiplied as they are read */

typedef void times_fn(const panel *p, const qw_q8_matmul *a, size_t row, size_t n);

/* The panel times all tokens, rows [row, row + n). */
#define DEFINE_TIMES(name, most, CASES, CASE)                                   \
  static void name(const panel *p, const qw_q8_matmul *a, size_t row, size_t n) \
  {                                                                             \
    _Alignas(64) float y[(most)*PANEL_ROWS];                                    \
    for (size_t t = 0, tokens; t < a->n_tokens; t += tokens) {                  \
      tokens = a->n_tokens - t < (most) ? a->n_tokens - t : (most);             \
      switch (tokens) {                                                         \
        CASES(CASE)                                                             \
      }                                                                         \
      put_block(a, y, t, tokens, row, n);                                       \
    }                                                                           \
  }
#define DEFINE_NARROW(unit, depth) DEFINE_TIMES(times_##unit##_##depth, TOKENS, TOKEN_CASES, NARROW_##unit##_##depth)
#define NARROW_CASE(unit, depth, n)                        \
  case n:                                                  \
    block(unit, depth, n, p, a->x, a->first_token + t, y); \
    break;
#define WIDE_CASE(unit, n)                               \
  case n:                                                \
    wide_block(unit, n, p, a->x, a->first_token + t, y); \
    break;

#define WIDE_16(n) WIDE_CASE(16, n)
#define WIDE_32(n) WIDE_CASE(32, n)
#define WIDE_64(n) WIDE_CASE(64, n)
#define NARROW_16_2(n) NARROW_CASE(16, 2, n)
#define NARROW_32_2(n) NARROW_CASE(32, 2, n)
#define NARROW_32_4(n) NARROW_CASE(32, 4, n)
#define NARROW_32_8(n) NARROW_CASE(32, 8, n)
#define NARROW_64_2(n) NARROW_CASE(64, 2, n)
#define NARROW_64_4(n) NARROW_CASE(64, 4, n)
#define NARROW_64_8(n) NARROW_CASE(64, 8, n)
DEFINE_TIMES(wide_times_16, WIDE_TOKENS, WIDE_CASES, WIDE_16)
DEFINE_TIMES(wide_times_32, WIDE_TOKENS, WIDE_CASES, WIDE_32)
DEFINE_TIMES(wide_times_64, WIDE_TOKENS, WIDE_CASES, WIDE_64)
DEFINE_NARROW(16, 2)
DEFINE_NARROW(32, 2)
DEFINE_NARROW(32, 4)
DEFINE_NARROW(32, 8)
DEFINE_NARROW(64, 2)
DEFINE_NARROW(64, 4)
DEFINE_NARROW(64, 8)

/* depth: products of a quad that are added in 16 bits, (2^bits - 1) * 128 * 2 * depth < 2^15 */
INLINE times_fn *narrow_times(int unit, int bits)
{
    const int depth = bits > 5 ? 2 : bits > 4 ? 4 : 8;
    if (unit == 16)
        return times_16_2;
    if (unit == 32)
        return depth == 2 ? times_32_2 : depth == 4 ? times_32_4 : times_32_8;
    return depth == 2 ? times_64_2 : depth == 4 ? times_64_4 : times_64_8;
}

INLINE void many_tokens(qw_type type, int unit, const bool wide, const qw_q8_matmul *a)
{
    const size_t cols = a->w->cols;
    times_fn *times = wide ? unit == 16 ? wide_times_16 : unit == 32 ? wide_times_32 : wide_times_64 : narrow_times(unit, code_bits(type));
    panel p = { .codes = a->scratch, .share = a->w->group == 128 };
    p.s = (float *)(void *)(p.codes + cols * PANEL_ROWS * (wide ? 2 : 1));
    p.b = p.s + cols / (size_t)unit * PANEL_ROWS;
    p.values = (int16_t *)(void *)(p.b + cols / (size_t)unit * PANEL_ROWS);
    for (size_t row = 0; row < a->n_rows; row += PANEL_ROWS) {
        const size_t n = a->n_rows - row < PANEL_ROWS ? a->n_rows - row : PANEL_ROWS;
        fill_panel(type, unit, wide, &p, a, row, n);
        times(&p, a, row, n);
    }
}

INLINE void matmul(qw_type type, const int unit, const qw_q8_matmul *a)
{
    if (a->n_tokens == 1)
        few_tokens(type, unit, 1, a);
    else if (a->n_tokens == FEW)
        few_tokens(type, unit, FEW, a);
    else if (USES_WIDE(code_bits(type), a->x->n_fix))
        many_tokens(type, unit, true, a);
    else
        many_tokens(type, unit, false, a);
}

#define AFFINE(T) \
  static void matmul_##T(const qw_q8_matmul *a) { a->w->group == 32 ? matmul(QW_TYPE_##T, 32, a) : matmul(QW_TYPE_##T, 64, a); }
#define BLOCKS(T, unit) \
  static void matmul_##T(const qw_q8_matmul *a) { matmul(QW_TYPE_##T, unit, a); }
AFFINE(AFFINE2)
AFFINE(AFFINE3)
AFFINE(AFFINE4)
AFFINE(AFFINE5)
AFFINE(AFFINE6)
AFFINE(AFFINE8)
BLOCKS(Q8_0, 32)
BLOCKS(Q4_0, 32)
BLOCKS(Q4_1, 32)
BLOCKS(Q5_0, 32)
BLOCKS(Q5_1, 32)
BLOCKS(Q4_K, 32)
BLOCKS(Q5_K, 32)
BLOCKS(Q6_K, 16)

static void fill_table(qw_kernels *k)
{
    k->matmul_q8[QW_TYPE_AFFINE2] = matmul_AFFINE2;
    k->matmul_q8[QW_TYPE_AFFINE3] = matmul_AFFINE3;
    k->matmul_q8[QW_TYPE_AFFINE4] = matmul_AFFINE4;
    k->matmul_q8[QW_TYPE_AFFINE5] = matmul_AFFINE5;
    k->matmul_q8[QW_TYPE_AFFINE6] = matmul_AFFINE6;
    k->matmul_q8[QW_TYPE_AFFINE8] = matmul_AFFINE8;
    k->matmul_q8[QW_TYPE_Q8_0] = matmul_Q8_0;
    k->matmul_q8[QW_TYPE_Q4_0] = matmul_Q4_0;
    k->matmul_q8[QW_TYPE_Q4_1] = matmul_Q4_1;
    k->matmul_q8[QW_TYPE_Q5_0] = matmul_Q5_0;
    k->matmul_q8[QW_TYPE_Q5_1] = matmul_Q5_1;
    k->matmul_q8[QW_TYPE_Q4_K] = matmul_Q4_K;
    k->matmul_q8[QW_TYPE_Q5_K] = matmul_Q5_K;
    k->matmul_q8[QW_TYPE_Q6_K] = matmul_Q6_K;
    k->quantize = quantize;
}
