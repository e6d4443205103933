/* A panel of 16 unpacked rows times up to 12 tokens, level avx512. Accumulators of all tokens stay in registers; per 4 columns one load of codes and for each
 * token one dot product with its 4 activations, broadcast. Per unit and token three multiplications of floats share the dot products' two ports: with units of
 * 64 columns 16 of 19 slots are dot products, of 20 with one fixed quad. Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8_avx512.h"

#define QUAD (4 * ROWS) /* bytes of codes */

/* Tokens of a block: where each one's values are. */
typedef struct tokens {
    const int8_t *low[QW_Q8_TOKENS];
    const qw_q8_group *groups[QW_Q8_TOKENS];
    const qw_q8_fix *fixes[QW_Q8_TOKENS];
    size_t cols, n_groups, n_fix;
    const char *next;  /* what is asked for meanwhile, or NULL */
    size_t next_bytes; /* a group */
} tokens;

typedef struct four {
    int8_t v[4];
} four;

/* sum + codes . the four values at x, of every row: the compiler would load and copy them first */
INLINE __m512i dot(__m512i sum, __m512i codes, const int8_t *x)
{
    __asm__ volatile("vpdpbusd %2%{1to16%}, %1, %0" : "+v"(sum) : "v"(codes), "m"(*(const four *)(const void *)x));
    return sum;
}

/* The compiler takes `x` for a number of its own: no address of the loop grows a counter from it. */
INLINE size_t opaque(size_t x)
{
    __asm__ volatile("" : "+r"(x));
    return x;
}

INLINE float sum_of(const qw_q8_group *g, size_t unit, size_t u) { return unit == 64 ? g->sum64 : unit == 32 ? g->sum32[u] : g->sum16[u]; }

/* What the fixed quads of group g add to its one unit. */
INLINE void fixed_quads(__m512i *sums, const uint8_t *codes, const tokens *x, size_t g, const size_t n, const size_t unit)
{
    for (size_t f = 0; f < x->n_fix; f++) {
        const size_t at = opaque(g * x->n_fix + f);
        UNROLL
        for (size_t t = 0; t < n; t++) {
            const qw_q8_fix *fix = x->fixes[t] + at;
            __m512i *sum = &sums[unit == 64 ? t : fix->quad / (unit / 4) * n + t];
            *sum = dot(*sum, _mm512_load_si512(codes + fix->quad * QUAD), fix->high);
        }
    }
    UNROLL
    for (size_t i = 0; i < n * (64 / unit); i++)
        sums[i] = _mm512_slli_epi32(sums[i], 7);
}

/* sum[t] += a unit of columns times the values of token t, whose rows follow each other. */
INLINE void quads_times_tokens(__m512i *sum, const uint8_t *codes, const int8_t *values, size_t cols_of_row, const size_t n,
                               const size_t unit)
{
    const int8_t *row[(QW_Q8_TOKENS + 2) / 3]; /* of every third token: the others are one and two rows behind */
    UNROLL
    for (size_t t = 0; t < n; t += 3)
        row[t / 3] = values + t * cols_of_row;
    UNROLL
    for (size_t q = 0; q < unit / 4; q++) {
        const size_t cols = opaque(cols_of_row);
        const __m512i c = _mm512_load_si512(codes + q * QUAD);
        UNROLL
        for (size_t t = 0; t < n; t++)
            sum[t] = dot(sum[t], c, row[t / 3] + t % 3 * cols + 4 * q);
    }
}

/* One unit of columns: their dot products, then the sums as floats into y. */
INLINE void unit_times_tokens(__m512 *y, __m512i *sum, const uint8_t *codes, const tokens *x, size_t g, const size_t u, const __m512 s,
                              const __m512 b, const size_t n, const size_t unit)
{
    const size_t group_at = opaque(g);
    quads_times_tokens(sum, codes, x->low[0] + opaque(g * QW_Q8_GROUP) + u * unit, x->cols, n, unit);
    UNROLL
    for (size_t t = 0; t < n; t++) {
        const qw_q8_group *group = x->groups[t] + group_at;
        y[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), _mm512_mul_ps(s, _mm512_set1_ps(group->scale)), y[t]);
        y[t] = _mm512_fmadd_ps(b, _mm512_set1_ps(sum_of(group, unit, u)), y[t]);
    }
}

INLINE void fetch_next(const tokens *x, size_t g)
{
    for (size_t i = 0; i < x->next_bytes; i += 64)
        _mm_prefetch(x->next + g * x->next_bytes + i, _MM_HINT_T1);
}

/* Groups of one unit, for which everything stands in registers. Written as for any unit: in shorter forms gcc 12 spends 2 % more time. */
INLINE void multiply(__m512 *out, const q8_panel *panel, const tokens *tokens_of_block, const size_t n, const size_t unit, const bool ask)
{
    const tokens x = *tokens_of_block;
    const uint8_t *codes = panel->codes;
    const float *scales = panel->scales, *biases = panel->biases;
    __m512 y[QW_Q8_TOKENS];
    UNROLL
    for (size_t t = 0; t < n; t++)
        y[t] = _mm512_setzero_ps();
    for (size_t g = 0; g < x.n_groups; g++, codes += 16 * QUAD) {
        __m512i sums[QW_Q8_TOKENS * 4];
        if (ask)
            fetch_next(&x, g);
        UNROLL
        for (size_t i = 0; i < n * (64 / unit); i++)
            sums[i] = _mm512_setzero_si512();
        if (x.n_fix)
            fixed_quads(sums, codes, &x, g, n, unit);
        UNROLL
        for (size_t u = 0; u < 64 / unit; u++, scales += ROWS, biases += ROWS)
            unit_times_tokens(y, sums + u * n, codes + u * (unit / 4) * QUAD, &x, g, u, _mm512_load_ps(scales), _mm512_load_ps(biases), n,
                              unit);
    }
    UNROLL
    for (size_t t = 0; t < n; t++)
        _mm512_storeu_ps(out + t, y[t]);
}

/* The upper parts of a fixed quad for each unit of its group: zero for those that it does not stand in, so that no branch asks which one it is. */
typedef int8_t high_of_units[4][4];

INLINE void spread_fixes(high_of_units *high, const tokens *x, size_t g, const size_t n, const size_t unit)
{
    for (size_t f = 0; f < x->n_fix; f++)
        for (size_t t = 0; t < n; t++, high++) {
            const qw_q8_fix *fix = x->fixes[t] + g * x->n_fix + f;
            memset(high, 0, sizeof *high);
            memcpy((*high)[fix->quad / (unit / 4)], fix->high, 4);
        }
}

/* What they add to unit u. */
INLINE void fixed_quads_of_unit(__m512i *sum, const uint8_t *codes, const tokens *x, const high_of_units *high, size_t g, const size_t u,
                                const size_t n)
{
    for (size_t f = 0; f < x->n_fix; f++, high += n) {
        const size_t at = opaque(g * x->n_fix + f);
        UNROLL
        for (size_t t = 0; t < n; t++)
            sum[t] = dot(sum[t], _mm512_load_si512(codes + x->fixes[t][at].quad * QUAD), high[t][u]);
    }
    UNROLL
    for (size_t t = 0; t < n; t++)
        sum[t] = _mm512_slli_epi32(sum[t], 7);
}

INLINE void zero(__m512i *sum, const size_t n)
{
    UNROLL
    for (size_t t = 0; t < n; t++)
        sum[t] = _mm512_setzero_si512();
}

/* Groups of several units: Q6_K, and what has a scale for 32 weights. */
INLINE void multiply_units(__m512 *out, const q8_panel *panel, const tokens *tokens_of_block, const size_t n, const size_t unit,
                           const bool ask)
{
    const tokens x = *tokens_of_block;
    const uint8_t *codes = panel->codes;
    const float *scales = panel->scales, *biases = panel->biases;
    high_of_units high[QW_Q8_QUADS * QW_Q8_TOKENS];
    __m512 y[QW_Q8_TOKENS];
    UNROLL
    for (size_t t = 0; t < n; t++)
        y[t] = _mm512_setzero_ps();
    for (size_t g = 0; g < x.n_groups; g++, codes += 16 * QUAD) {
        if (ask)
            fetch_next(&x, g);
        spread_fixes(high, &x, g, n, unit);
        UNROLL
        for (size_t u = 0; u < 64 / unit; u++, scales += ROWS, biases += ROWS) {
            __m512i sum[QW_Q8_TOKENS];
            zero(sum, n);
            if (x.n_fix)
                fixed_quads_of_unit(sum, codes, &x, high, g, u, n);
            unit_times_tokens(y, sum, codes + u * (unit / 4) * QUAD, &x, g, u, _mm512_load_ps(scales), _mm512_load_ps(biases), n, unit);
        }
    }
    UNROLL
    for (size_t t = 0; t < n; t++)
        _mm512_storeu_ps(out + t, y[t]);
}

typedef void multiply_fn(__m512 *y, const q8_panel *panel, const tokens *x);

#define EACH_N(X, unit) \
  X(1, unit) X(2, unit) X(3, unit) X(4, unit) X(5, unit) X(6, unit) X(7, unit) X(8, unit) X(9, unit) X(10, unit) X(11, unit) X(12, unit)
#define DEFINE(n, unit, name, ask)                                                                \
  static void name##_##n##_##unit(__m512 *y, const q8_panel *panel, const tokens *x)              \
  {                                                                                               \
    unit == 64 ? multiply(y, panel, x, n, unit, ask) : multiply_units(y, panel, x, n, unit, ask); \
  }
/* Two of each: a loop that asks for nothing is faster by some per cent. */
#define DEFINE_BOTH(n, unit) DEFINE(n, unit, plain, false) DEFINE(n, unit, asking, true)
#define PLAIN(n, unit) plain_##n##_##unit,
#define ASKING(n, unit) asking_##n##_##unit,
EACH_N(DEFINE_BOTH, 64)
EACH_N(DEFINE_BOTH, 32)
EACH_N(DEFINE_BOTH, 16)

static multiply_fn *const functions[2][3][QW_Q8_TOKENS] = { { { EACH_N(PLAIN, 64) }, { EACH_N(PLAIN, 32) }, { EACH_N(PLAIN, 16) } },
                                                            { { EACH_N(ASKING, 64) }, { EACH_N(ASKING, 32) }, { EACH_N(ASKING, 16) } } };

void qw_q8_panel_avx512(const qw_q8_matmul *a, const q8_panel *panel, size_t row, size_t rows, size_t token, size_t n, const char *next,
                        size_t next_bytes)
{
    const size_t n_groups = a->x->cols / QW_Q8_GROUP, at = (a->first_token + token) * n_groups, unit = qw_q8_unit(a->w);
    tokens x = { .cols = a->x->cols, .n_groups = n_groups, .n_fix = (size_t)a->x->n_fix, .next = next, .next_bytes = next_bytes };
    for (size_t t = 0; t < n; t++) {
        const size_t first = at + t * n_groups;
        x.low[t] = a->x->low + first * QW_Q8_GROUP;
        x.groups[t] = a->x->groups + first;
        x.fixes[t] = a->x->fixes + first * x.n_fix;
    }
    const __mmask16 mask = (__mmask16)((1U << rows) - 1);
    __m512 y[QW_Q8_TOKENS];
    functions[next != NULL][unit == 64 ? 0 : unit == 32 ? 1 : 2][n - 1](y, panel, &x);
    for (size_t t = 0; t < n; t++) {
        float *out = a->y + (token + t) * a->y_stride + row;
        _mm512_mask_storeu_ps(out, mask, a->add ? _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), y[t]) : y[t]);
    }
}
