/* Weights times activations in eight bits, level avx512 with VNNI and VBMI. One token: 16 rows at a time straight from their bytes, two rows in a register, so that
 * decoding is limited by the memory. More tokens: 16 rows are unpacked once (q8panel_avx512.c multiplies them by all tokens). Everything is a template over the
 * type (q8unpack_avx512.h). Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8rows_avx512.h"

#include "kernels/levels.h"

#define PANELS 4 /* that are unpacked together when there are many tokens: what they hold stays in the second cache */

/* One group of 16 rows. Pair p of 0..3 of eight e is a register with rows 8 e + p and 8 e + p + 4: addresses that a quarter and the stride make. */
typedef struct sixteen {
    const uint8_t *quarter[4]; /* rows 0, 4, 8, 12 */
    size_t stride;
} sixteen;

INLINE sixteen sixteen_at(const uint8_t *at, size_t stride)
{
    Q8_OPAQUE(at);
    return (sixteen){ { at, at + 4 * stride, at + 8 * stride, at + 12 * stride }, stride };
}

INLINE q8_pair pair_of(qw_type t, const sixteen *s, size_t e, size_t p, size_t m, const q8_control *c)
{
    return q8_unpack(t, s->quarter[2 * e] + p * s->stride, s->quarter[2 * e + 1] + p * s->stride, m, c);
}

/* ---- one token */

typedef struct one {
    const int8_t *low, *high; /* [cols]; high: unused without fixed quads */
    const qw_q8_group *groups;
} one;

INLINE __m512i twice(const int8_t *p) { return _mm512_broadcast_i64x4(_mm256_loadu_si256((const __m256i *)(const void *)p)); }

/* Sums of the units of a group for 16 rows, I of q8.h. */
INLINE void group_sums(__m512i *sums, qw_type t, size_t unit, bool fixed, const q8_rows *rows, const one *x, size_t g, const q8_control *c,
                       const q8_ahead *next)
{
    const sixteen s = sixteen_at(rows->at + q8_offset(t, g), rows->stride);
    const __m512i low[2] = { twice(x->low + g * 64), twice(x->low + g * 64 + 32) };
    const __m512i zero = _mm512_setzero_si512();
    __m512i high[2] = { zero, zero }, lanes[2][2]; /* [half, or 0 for both][rows 0..7, 8..15] */
    if (fixed) {
        high[0] = twice(x->high + g * 64);
        high[1] = twice(x->high + g * 64 + 32);
    }
    UNROLL
    for (size_t eight = 0; eight < 2; eight++) {
        __m512i acc[2][4];
        UNROLL
        for (size_t p = 0; p < 4; p++) {
            const q8_pair pair = pair_of(t, &s, eight, p, g % 4, c);
            q8_fetch(next, t, g, 4 * eight + p, false);
            __m512i a = zero, b = zero;
            if (fixed) {
                a = _mm512_dpbusd_epi32(a, pair.half[0], high[0]);
                if (unit == 64) {
                    a = _mm512_slli_epi32(_mm512_dpbusd_epi32(a, pair.half[1], high[1]), 7);
                } else {
                    a = _mm512_slli_epi32(a, 7);
                    b = _mm512_slli_epi32(_mm512_dpbusd_epi32(b, pair.half[1], high[1]), 7);
                }
            }
            a = _mm512_dpbusd_epi32(a, pair.half[0], low[0]);
            acc[0][p] = unit == 64 ? _mm512_dpbusd_epi32(a, pair.half[1], low[1]) : a;
            acc[1][p] = unit == 64 ? zero : _mm512_dpbusd_epi32(b, pair.half[1], low[1]);
        }
        lanes[0][eight] = q8_sum4(acc[0]);
        lanes[1][eight] = unit == 64 ? zero : q8_sum4(acc[1]);
    }
    for (size_t h = 0; h < (unit == 64 ? 1 : 2); h++) {
        const __m512i even = q8_even(lanes[h][0], lanes[h][1]), odd = q8_odd(lanes[h][0], lanes[h][1]);
        if (unit == 16) {
            sums[2 * h] = even;
            sums[2 * h + 1] = odd;
        } else {
            sums[h] = _mm512_add_epi32(even, odd);
        }
    }
}

INLINE float sum_of(const qw_q8_group *g, size_t unit, size_t u) { return unit == 64 ? g->sum64 : unit == 32 ? g->sum32[u] : g->sum16[u]; }

INLINE __m512 add_group(__m512 y, const __m512i *sums, size_t unit, const qw_q8_group *group, const float *scales, const float *biases)
{
    UNROLL
    for (size_t u = 0; u < 64 / unit; u++) {
        const __m512 s = _mm512_loadu_ps(scales + u * ROWS), b = _mm512_loadu_ps(biases + u * ROWS);
        y = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sums[u]), _mm512_mul_ps(s, _mm512_set1_ps(group->scale)), y);
        y = _mm512_fmadd_ps(b, _mm512_set1_ps(sum_of(group, unit, u)), y);
    }
    return y;
}

INLINE __m512 rows_times_token(qw_type t, size_t unit, bool fixed, const q8_rows *given, const one *token, const q8_ahead *given_next)
{
    const q8_rows own = *given, *rows = &own; /* copies: addresses stay in registers */
    const one x_own = *token, *x = &x_own;
    const q8_ahead next_own = *given_next, *next = &next_own;
    const q8_control control = q8_control_of(t), *c = &control;
    const size_t groups = rows->w->cols / QW_Q8_GROUP;
    float scales[BATCH_UNITS * ROWS], biases[BATCH_UNITS * ROWS];
    __m512 y = _mm512_setzero_ps();
    __m512i sums[4];
    for (size_t begin = 0; begin < groups; begin += BATCH) {
        const size_t end = begin + BATCH < groups ? begin + BATCH : groups;
        qw_q8_scales_avx512(rows, begin, end - begin, scales, biases);
        const float *s = scales, *b = biases;
        for (size_t g = begin; g < end; g++, s += 64 / unit * ROWS, b += 64 / unit * ROWS) {
            group_sums(sums, t, unit, fixed, rows, x, g, c, next);
            y = add_group(y, sums, unit, x->groups + g, s, b);
        }
    }
    return y;
}

/* The upper parts of the token's fixed quads among zeros. */
static void spread_high(int8_t *high, const qw_q8_matmul *a)
{
    const size_t groups = a->x->cols / QW_Q8_GROUP, n_fix = (size_t)a->x->n_fix;
    const qw_q8_fix *fixes = a->x->fixes + a->first_token * groups * n_fix;
    memset(high, 0, groups * QW_Q8_GROUP);
    for (size_t g = 0; g < groups; g++, high += QW_Q8_GROUP)
        for (size_t f = 0; f < n_fix; f++, fixes++)
            memcpy(high + 4 * fixes->quad, fixes->high, 4);
}

typedef __m512 rows_fn(const q8_rows *rows, const one *x, const q8_ahead *next);

static void one_token(const qw_q8_matmul *a, rows_fn *plain, rows_fn *fixed)
{
    const size_t groups = a->x->cols / QW_Q8_GROUP, at = a->first_token * groups, n_fix = (size_t)a->x->n_fix;
    const one x = { a->x->low + at * QW_Q8_GROUP, a->scratch, a->x->groups + at };
    if (n_fix && !a->ready)
        spread_high(a->scratch, a);
    const q8_layout l = q8_layout_of(a->w);
    for (size_t r = 0, n; r < a->n_rows; r += n) {
        const q8_rows rows = q8_rows_of(&l, a->first + r, a->n_rows - r);
        const q8_ahead next = q8_ahead_of(&l, a->first + r + ROWS);
        const __m512 y = (n_fix ? fixed : plain)(&rows, &x, &next);
        n = rows.n;
        const __mmask16 mask = (__mmask16)((1U << n) - 1);
        float *out = a->y + r;
        _mm512_mask_storeu_ps(out, mask, a->add ? _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), y) : y);
    }
}

/* ---- more tokens */

/* Group g of 16 rows into codes [16 quads][16 rows][4]: transposed in lanes, then lanes of the two halves of the rows are put together. */
INLINE void unpack_group(uint8_t *codes, qw_type t, const q8_rows *rows, size_t g, const q8_control *c, const q8_ahead *next,
                         const bool few)
{
    const sixteen s = sixteen_at(rows->at + q8_offset(t, g), rows->stride);
    __m512i v[2][2][4]; /* [half][rows 0..7, 8..15][pair] */
    UNROLL
    for (size_t p = 0; p < 8; p++) {
        const q8_pair pair = pair_of(t, &s, p / 4, p % 4, g % 4, c);
        q8_fetch(next, t, g, p, few);
        v[0][p / 4][p % 4] = pair.half[0];
        v[1][p / 4][p % 4] = pair.half[1];
    }
    UNROLL
    for (size_t h = 0; h < 2; h++) {
        q8_transpose4(v[h][0]);
        q8_transpose4(v[h][1]);
        UNROLL
        for (size_t q = 0; q < 4; q++) {
            _mm512_store_si512(codes + (8 * h + q) * 64, q8_even(v[h][0][q], v[h][1][q]));
            _mm512_store_si512(codes + (8 * h + 4 + q) * 64, q8_odd(v[h][0][q], v[h][1][q]));
        }
    }
}

INLINE void unpack_panel(const q8_panel *panel, qw_type t, size_t unit, const q8_rows *rows, const q8_control *c, const q8_ahead *next,
                         const bool few)
{
    const size_t groups = rows->w->cols / QW_Q8_GROUP;
    for (size_t g = 0; g < groups; g += BATCH) {
        const size_t at = g * (64 / unit) * ROWS;
        qw_q8_scales_avx512(rows, g, groups - g < BATCH ? groups - g : BATCH, panel->scales + at, panel->biases + at);
    }
    for (size_t g = 0; g < groups; g++)
        unpack_group(panel->codes + g * 64 * ROWS, t, rows, g, c, next, few);
}

/* Panel i of scratch. */
static q8_panel panel_at(void *scratch, size_t i, size_t cols, size_t unit)
{
    const size_t numbers = cols / unit * ROWS;
    uint8_t *p = (uint8_t *)scratch + i * (cols * ROWS + 2 * numbers * sizeof(float));
    float *scales = (float *)(void *)(p + cols * ROWS);
    return (q8_panel){ p, scales, scales + numbers };
}

/* Panels of as many rows as there are, times tokens in blocks of about the same size. */
static void multiply_panels(const qw_q8_matmul *a, const q8_panel *panels, size_t row, size_t rows, const char *next, size_t next_bytes)
{
    size_t n;
    for (size_t token = 0; token < a->n_tokens; token += n) {
        const size_t left = a->n_tokens - token, blocks = (left + QW_Q8_TOKENS - 1) / QW_Q8_TOKENS;
        n = (left + blocks - 1) / blocks;
        for (size_t r = 0; r < rows; r += ROWS)
            qw_q8_panel_avx512(a, &panels[r / ROWS], row + r, rows - r < ROWS ? rows - r : ROWS, token, n, next, next_bytes);
    }
}

/* few: up to QW_Q8_TOKENS of them meet one panel after the other, and decoding waits for the memory: while a panel is multiplied the next one is asked for. */
INLINE void tokens(const qw_q8_matmul *a, qw_type t, size_t unit, const bool few)
{
    const size_t at_once = few ? ROWS : PANELS * ROWS;
    const q8_control c = q8_control_of(t);
    const q8_layout l = q8_layout_of(a->w);
    for (size_t row = 0, n; row < a->n_rows; row += n) {
        const size_t left = a->n_rows - row;
        q8_panel panels[PANELS];
        q8_ahead next = { 0 };
        n = left < ROWS ? 1 : left < at_once ? left / ROWS * ROWS : at_once;
        for (size_t r = 0; r < n; r += ROWS) {
            const q8_rows rows = q8_rows_of(&l, a->first + row + r, n - r);
            next = q8_ahead_of(&l, a->first + row + r + ROWS);
            panels[r / ROWS] = panel_at(a->scratch, r / ROWS, a->w->cols, unit);
            unpack_panel(&panels[r / ROWS], t, unit, &rows, &c, &next, few);
        }
        multiply_panels(a, panels, row, n, few ? next.codes : NULL, q8_code_step(t));
    }
}

/* ---- every type */

typedef void tokens_fn(const qw_q8_matmul *a);

/* Panels as one stream where there is one (q8few_avx512.c), the rest by way of unpacked ones. */
static void few_tokens(const qw_q8_matmul *a, tokens_fn *few)
{
    qw_q8_matmul rest = *a;
    const size_t done = qw_q8_few_avx512(a);
    rest.y += done;
    rest.first += done;
    rest.n_rows -= done;
    if (rest.n_rows)
        few(&rest);
}

static void matmul(const qw_q8_matmul *a, rows_fn *plain, rows_fn *fixed, tokens_fn *few, tokens_fn *many)
{
    if (a->n_tokens > QW_Q8_TOKENS)
        many(a);
    else if (a->n_tokens > 1)
        few_tokens(a, few);
    else if (a->n_tokens == 1)
        one_token(a, plain, fixed);
}

/* Functions of their own: in one, the loops would fight for registers. */
#define APART static __attribute__((noinline))
#define DEFINE(type, u)                                                                        \
  APART __m512 plain_##type##_##u(const q8_rows *r, const one *x, const q8_ahead *next)        \
  {                                                                                            \
    return rows_times_token(QW_TYPE_##type, u, false, r, x, next);                             \
  }                                                                                            \
  APART __m512 fixed_##type##_##u(const q8_rows *r, const one *x, const q8_ahead *next)        \
  {                                                                                            \
    return rows_times_token(QW_TYPE_##type, u, true, r, x, next);                              \
  }                                                                                            \
  APART void few_##type##_##u(const qw_q8_matmul *a) { tokens(a, QW_TYPE_##type, u, true); }   \
  APART void many_##type##_##u(const qw_q8_matmul *a) { tokens(a, QW_TYPE_##type, u, false); } \
  static void matmul_##type##_##u(const qw_q8_matmul *a)                                       \
  {                                                                                            \
    matmul(a, plain_##type##_##u, fixed_##type##_##u, few_##type##_##u, many_##type##_##u);    \
  }
#define DEFINE_AFFINE(type) \
  DEFINE(type, 64)          \
  DEFINE(type, 32)          \
  static void matmul_##type(const qw_q8_matmul *a) { qw_q8_unit(a->w) == 64 ? matmul_##type##_64(a) : matmul_##type##_32(a); }

#define EACH_AFFINE(X) X(AFFINE2) X(AFFINE3) X(AFFINE4) X(AFFINE5) X(AFFINE6) X(AFFINE8)
#define EACH_BLOCK32(X) X(Q8_0, 32) X(Q4_0, 32) X(Q4_1, 32) X(Q5_0, 32) X(Q5_1, 32) X(Q4_K, 32) X(Q5_K, 32)
EACH_AFFINE(DEFINE_AFFINE)
EACH_BLOCK32(DEFINE)
DEFINE(Q6_K, 16)

void qw_q8_avx512(qw_kernels *k)
{
#define FILL(type) k->matmul_q8[QW_TYPE_##type] = matmul_##type;
#define FILL_32(type, unit) k->matmul_q8[QW_TYPE_##type] = matmul_##type##_##unit;
    EACH_AFFINE(FILL)
    EACH_BLOCK32(FILL_32)
    FILL_32(Q6_K, 16)
    k->quantize = qw_quantize_avx512;
}
