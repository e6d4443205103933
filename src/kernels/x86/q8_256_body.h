/* Weights times activations in eight bits with 256-bit vectors, written once. q8_avx2.c and q8_avxvnni.c include it; they differ in the dot product alone and
 * define before:
 *   TOKENS, WIDE_TOKENS       tokens of a block that keep their sums in registers; TOKEN_CASES, WIDE_CASES name each number up to them
 *   ADD_MADD(sum, a, b)       sum + the products of 16-bit numbers, in pairs
 *   unit_dots(...)            dot[t] = quads of the panel times those of token t
 *   dot_high(w, high)         a quad's codes times upper bits, times 128
 *   USES_WIDE(bits, n_fix)    whether a wide panel is better, for codes of so many bits
 *   DEPTH(bits)               2, 4 or 8: what unit_dots is told about them
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

INLINE times_fn *narrow_times(int unit, int bits)
{
    const int depth = DEPTH(bits);
    if (unit == 16)
        return times_16_2;
    if (unit == 32)
        return depth == 2 ? times_32_2 : depth == 4 ? times_32_4 : times_32_8;
    return depth == 2 ? times_64_2 : depth == 4 ? times_64_4 : times_64_8;
}

static void many_tokens(const qw_q8_matmul *a, int unit, int bits, panel p)
{
    const size_t cols = a->w->cols, units = cols / (size_t)unit;
    times_fn *times = p.wide ? unit == 16 ? wide_times_16 : unit == 32 ? wide_times_32 : wide_times_64 : narrow_times(unit, bits);
    p.share = a->w->group == 128;
    p.groups = units >> p.share;
    p.codes = a->scratch;
    p.s = (float *)(void *)(p.codes + cols * PANEL_ROWS * (p.wide ? 2 : 1));
    p.b = p.s + units * PANEL_ROWS;
    p.values = (int16_t *)(void *)(p.b + units * PANEL_ROWS);
    for (size_t row = 0; row < a->n_rows; row += PANEL_ROWS) {
        const size_t n = a->n_rows - row < PANEL_ROWS ? a->n_rows - row : PANEL_ROWS;
        fill_panel(&p, a, row, n);
        times(&p, a, row, n);
    }
}

/* What is compiled once for each type; rows also for each unit and number of tokens. */
#define DEFINE_TYPE(T)                                                                                                  \
  static void scales_##T(const qw_matrix *w, const size_t *rows, size_t i, size_t n, float *s, float *b, size_t stride) \
  {                                                                                                                     \
    eight_rows_scales(QW_TYPE_##T, w, rows, i, n, s, b, stride);                                                        \
  }                                                                                                                     \
  static void codes_##T(const panel *p, const qw_matrix *w, const size_t *rows, size_t half) { fill_codes(QW_TYPE_##T, p, w, rows, half); }
#define DEFINE_MATMUL(T, unit)                                                                                                         \
  static void matmul_##T##_##unit(const qw_q8_matmul *a)                                                                               \
  {                                                                                                                                    \
    const int bits = code_bits(QW_TYPE_##T);                                                                                           \
    if (a->n_tokens == 1)                                                                                                              \
      few_tokens(QW_TYPE_##T, unit, 1, a, scales_##T);                                                                                 \
    else if (a->n_tokens == FEW)                                                                                                       \
      few_tokens(QW_TYPE_##T, unit, FEW, a, scales_##T);                                                                               \
    else                                                                                                                               \
      many_tokens(a, unit, bits, (panel){ .fill_scales = scales_##T, .fill_codes = codes_##T, .wide = USES_WIDE(bits, a->x->n_fix) }); \
  }
#define AFFINE(T)      \
  DEFINE_TYPE(T)       \
  DEFINE_MATMUL(T, 32) \
  DEFINE_MATMUL(T, 64) \
  static void matmul_##T(const qw_q8_matmul *a) { a->w->group == 32 ? matmul_##T##_32(a) : matmul_##T##_64(a); }
#define BLOCKS(T, unit) \
  DEFINE_TYPE(T)        \
  DEFINE_MATMUL(T, unit)
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
    k->matmul_q8[QW_TYPE_Q8_0] = matmul_Q8_0_32;
    k->matmul_q8[QW_TYPE_Q4_0] = matmul_Q4_0_32;
    k->matmul_q8[QW_TYPE_Q4_1] = matmul_Q4_1_32;
    k->matmul_q8[QW_TYPE_Q5_0] = matmul_Q5_0_32;
    k->matmul_q8[QW_TYPE_Q5_1] = matmul_Q5_1_32;
    k->matmul_q8[QW_TYPE_Q4_K] = matmul_Q4_K_32;
    k->matmul_q8[QW_TYPE_Q5_K] = matmul_Q5_K_32;
    k->matmul_q8[QW_TYPE_Q6_K] = matmul_Q6_K_16;
    k->quantize = quantize;
}
