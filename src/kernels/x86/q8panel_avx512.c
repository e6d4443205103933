/* A panel of 16 unpacked rows times up to 12 tokens, level avx512. Accumulators of all tokens stay in registers; per 4 columns one load of codes and for each
 * token one dot product with its 4 activations, broadcast. Per unit and token three multiplications of floats share the dot products' two ports: with units of
 * 64 columns 16 of 19 slots are dot products, of 20 with one fixed quad. Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/x86/q8_avx512.h"

#define QUAD (4 * ROWS) /* bytes of codes */

/* Tokens of a block: where the first one's values are, and how far apart they are. */
typedef struct tokens {
    const int8_t *low;
    const qw_q8_group *groups;
    const qw_q8_fix *fixes;
    size_t cols, n_groups, n_fix;
} tokens;

INLINE __m512i quad_of(const void *p)
{
    int32_t x;
    memcpy(&x, p, 4);
    return _mm512_set1_epi32(x);
}

INLINE float sum_of(const qw_q8_group *g, size_t unit, size_t u) { return unit == 64 ? g->sum64 : unit == 32 ? g->sum32[u] : g->sum16[u]; }

/* What the fixed quads of group g add, in units of 128: sums [64 / unit][n] of the units. */
INLINE void fixed_quads(__m512i *sums, const uint8_t *codes, const tokens *x, size_t g, const size_t n, const size_t unit)
{
    const size_t per_unit = unit / 4;
    for (size_t i = 0; i < n * (64 / unit); i++)
        sums[i] = _mm512_setzero_si512();
    for (size_t f = 0; f < x->n_fix; f++)
        UNROLL
    for (size_t t = 0; t < n; t++) {
        const qw_q8_fix *fix = x->fixes + (t * x->n_groups + g) * x->n_fix + f;
        __m512i *sum = &sums[unit == 64 ? t : fix->quad / per_unit * n + t];
        *sum = _mm512_dpbusd_epi32(*sum, _mm512_load_si512(codes + fix->quad * QUAD), quad_of(fix->high));
    }
    UNROLL
    for (size_t i = 0; i < n * (64 / unit); i++)
        sums[i] = _mm512_slli_epi32(sums[i], 7);
}

INLINE void multiply(__m512 *y, const q8_panel *panel, const tokens *x, const size_t n, const size_t unit)
{
    const uint8_t *codes = panel->codes;
    const float *scales = panel->scales, *biases = panel->biases;
    UNROLL
    for (size_t t = 0; t < n; t++)
        y[t] = _mm512_setzero_ps();
    for (size_t g = 0; g < x->n_groups; g++) {
        __m512i fixed[QW_Q8_TOKENS * 4];
        if (x->n_fix)
            fixed_quads(fixed, codes, x, g, n, unit);
        UNROLL
        for (size_t u = 0; u < 64 / unit; u++, scales += ROWS, biases += ROWS) {
            __m512i sum[QW_Q8_TOKENS];
            UNROLL
            for (size_t t = 0; t < n; t++)
                sum[t] = _mm512_setzero_si512();
            if (x->n_fix)
                UNROLL
            for (size_t t = 0; t < n; t++)
                sum[t] = fixed[u * n + t];
            const int8_t *low = x->low + g * 64 + u * unit;
#pragma GCC unroll 4
            for (size_t q = 0; q < unit / 4; q++, codes += QUAD) {
                const __m512i c = _mm512_load_si512(codes);
                UNROLL
                for (size_t t = 0; t < n; t++)
                    sum[t] = _mm512_dpbusd_epi32(sum[t], c, quad_of(low + t * x->cols + 4 * q));
            }
            const __m512 s = _mm512_load_ps(scales), b = _mm512_load_ps(biases);
            UNROLL
            for (size_t t = 0; t < n; t++) {
                const qw_q8_group *group = x->groups + t * x->n_groups + g;
                y[t] = _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum[t]), _mm512_mul_ps(s, _mm512_set1_ps(group->scale)), y[t]);
                y[t] = _mm512_fmadd_ps(b, _mm512_set1_ps(sum_of(group, unit, u)), y[t]);
            }
        }
    }
}

typedef void multiply_fn(__m512 *y, const q8_panel *panel, const tokens *x);

#define EACH_N(X, unit) \
  X(1, unit) X(2, unit) X(3, unit) X(4, unit) X(5, unit) X(6, unit) X(7, unit) X(8, unit) X(9, unit) X(10, unit) X(11, unit) X(12, unit)
#define DEFINE(n, unit) \
  static void multiply_##n##_##unit(__m512 *y, const q8_panel *panel, const tokens *x) { multiply(y, panel, x, n, unit); }
#define NAME(n, unit) multiply_##n##_##unit,
EACH_N(DEFINE, 64)
EACH_N(DEFINE, 32)
EACH_N(DEFINE, 16)

static multiply_fn *const functions[3][QW_Q8_TOKENS] = { { EACH_N(NAME, 64) }, { EACH_N(NAME, 32) }, { EACH_N(NAME, 16) } };

void qw_q8_panel_avx512(const qw_q8_matmul *a, const q8_panel *panel, size_t row, size_t rows, size_t token, size_t n)
{
    const size_t n_groups = a->x->cols / QW_Q8_GROUP, at = (a->first_token + token) * n_groups, unit = qw_q8_unit(a->w);
    const tokens x = { a->x->low + at * QW_Q8_GROUP, a->x->groups + at, a->x->fixes + at * (size_t)a->x->n_fix, a->x->cols, n_groups,
                       (size_t)a->x->n_fix };
    const __mmask16 mask = (__mmask16)((1U << rows) - 1);
    __m512 y[QW_Q8_TOKENS];
    functions[unit == 64 ? 0 : unit == 32 ? 1 : 2][n - 1](y, panel, &x);
    for (size_t t = 0; t < n; t++) {
        float *out = a->y + (token + t) * a->y_stride + row;
        _mm512_mask_storeu_ps(out, mask, a->add ? _mm512_add_ps(_mm512_maskz_loadu_ps(mask, out), y[t]) : y[t]);
    }
}
