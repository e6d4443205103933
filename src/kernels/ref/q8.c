/* Activations in eight bits (kernels/q8.h) in plain C: making them, and weights times them unit by unit. Every level gives the same bits. Tested by
 * tests/unit/test_kernels_q8.c. */
#include "kernels/ref/ref.h"
#include "quant/half.h"

#include <math.h>
#include <string.h>

#define GROUP QW_Q8_GROUP
#define QUADS QW_Q8_QUADS
#define SMALLEST 1e-30F /* its reciprocal is finite */

/* ---- activations */

static float largest(const float *x, size_t n)
{
    float m = 0;
    for (size_t i = 0; i < n; i++)
        m = fabsf(x[i]) > m ? fabsf(x[i]) : m;
    return m;
}

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

/* Writes the numbers of the n_fix quads with the largest magnitudes, which become -1 in m: less than the 0 of a quad of zeros, so none is taken twice. */
static void pick_quads(qw_q8_fix *fixes, int n_fix, float *m)
{
    for (int f = 0; f < n_fix; f++) {
        uint32_t best = 0;
        for (uint32_t q = 1; q < QUADS; q++)
            if (m[q] > m[best])
                best = q;
        fixes[f] = (qw_q8_fix){ .quad = best };
        m[best] = -1;
    }
}

static void set_sums(qw_q8_group *g, const int *v)
{
    int sum[4] = { 0 };
    for (size_t i = 0; i < GROUP; i++)
        sum[i / 16] += v[i];
    for (size_t i = 0; i < 4; i++)
        g->sum16[i] = g->scale * (float)sum[i];
    g->sum32[0] = g->scale * (float)(sum[0] + sum[1]);
    g->sum32[1] = g->scale * (float)(sum[2] + sum[3]);
    g->sum64 = g->scale * (float)(sum[0] + sum[1] + sum[2] + sum[3]);
}

static void quantize_group(int8_t *low, qw_q8_group *g, qw_q8_fix *fixes, int n_fix, const float *x)
{
    float m[QUADS];
    int v[GROUP] = { 0 };
    for (size_t q = 0; q < QUADS; q++)
        m[q] = largest(x + 4 * q, 4);
    const float all = largest(x, GROUP);
    pick_quads(fixes, n_fix, m);
    float unfixed = 0;
    for (size_t q = 0; q < QUADS; q++)
        unfixed = m[q] > unfixed ? m[q] : unfixed;
    g->scale = fmaxf(unfixed * (1 / 127.0F), all * (1 / 16256.0F));
    if (g->scale < SMALLEST)
        g->scale = 0;
    if (!all_finite(x, GROUP))
        g->scale = NAN;
    else if (g->scale > 0)
        for (size_t i = 0; i < GROUP; i++)
            v[i] = (int)rintf(x[i] * (1.0F / g->scale));
    set_sums(g, v);
    for (int f = 0; f < n_fix; f++)
        for (size_t i = 0; i < 4; i++) {
            int *value = &v[4 * fixes[f].quad + i];
            fixes[f].high[i] = (int8_t)((*value + 64) >> 7);
            *value -= fixes[f].high[i] * 128;
        }
    for (size_t i = 0; i < GROUP; i++)
        low[i] = (int8_t)v[i];
}

void qw_quantize_ref(const qw_q8_quantize *a)
{
    const qw_q8 *out = a->out;
    for (size_t t = 0; t < a->n_tokens; t++)
        for (size_t g = 0; g < a->n_groups; g++) {
            const size_t at = (a->token + t) * (out->cols / GROUP) + a->group + g;
            quantize_group(out->low + at * GROUP, out->groups + at, out->fixes + at * (size_t)out->n_fix, out->n_fix,
                           a->x + t * a->x_stride + g * GROUP);
        }
}

void qw_to_bf16_ref(uint16_t *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = qw_f32_to_bf16(x[i]);
}

/* ---- weights */

static int affine_bits(qw_type t)
{
    switch (t) {
    case QW_TYPE_AFFINE2: return 2;
    case QW_TYPE_AFFINE3: return 3;
    case QW_TYPE_AFFINE4: return 4;
    case QW_TYPE_AFFINE5: return 5;
    case QW_TYPE_AFFINE6: return 6;
    case QW_TYPE_AFFINE8: return 8;
    default: return 0;
    }
}

size_t qw_q8_unit(const qw_matrix *w)
{
    switch (w->type) {
    case QW_TYPE_Q8_0:
    case QW_TYPE_Q4_0:
    case QW_TYPE_Q4_1:
    case QW_TYPE_Q5_0:
    case QW_TYPE_Q5_1:
    case QW_TYPE_Q4_K:
    case QW_TYPE_Q5_K: return 32;
    case QW_TYPE_Q6_K: return 16;
    default: return affine_bits(w->type) && w->group < GROUP ? (size_t)w->group : GROUP;
    }
}

bool qw_q8_has(qw_type t) { return affine_bits(t) || qw_q8_unit(&(qw_matrix){ .type = t, .group = GROUP }) != GROUP; }

/* Four panels of 16 rows: codes, and scale and bias of 16 columns in floats (kernels/x86/q8_avx512.c). */
size_t qw_q8_scratch(size_t cols) { return cols * 96 + 4096; }

static void affine_codes(const qw_matrix *w, size_t row, size_t col, size_t n, uint8_t *codes, float *scale, float *bias)
{
    const size_t bits = (size_t)affine_bits(w->type), at = row * (w->cols / (size_t)w->group) + col / (size_t)w->group;
    const size_t size = qw_type_block_bytes(w->scale_type);
    const uint8_t *b = (const uint8_t *)w->data + row * qw_matrix_row_bytes(w);
    for (size_t i = 0; i < n; i++) {
        const size_t bit = (col + i) * bits, byte = bit / 8, last = (bit + bits - 1) / 8;
        const unsigned word = b[byte] | (last > byte ? (unsigned)b[last] << 8 : 0U);
        codes[i] = (uint8_t)(word >> bit % 8 & ((1U << bits) - 1));
    }
    qw_widen(w->scale_type, (const char *)w->scales + at * size, 1, scale);
    qw_widen(w->scale_type, (const char *)w->biases + at * size, 1, bias);
}

static float half_at(const uint8_t *b) { return qw_f16_to_f32((uint16_t)(b[0] | b[1] << 8)); }

/* Blocks of 32: d; m (the _1 formats); fifth bits[4] (Q5); codes. Low nibbles are weights 0..15, high ones 16..31. */
static void block32_codes(qw_type type, const uint8_t *b, uint8_t *codes, float *scale, float *bias)
{
    const bool five = type == QW_TYPE_Q5_0 || type == QW_TYPE_Q5_1, with_m = type == QW_TYPE_Q4_1 || type == QW_TYPE_Q5_1;
    const float d = half_at(b);
    *scale = d;
    if (type == QW_TYPE_Q8_0) {
        for (size_t i = 0; i < 32; i++)
            codes[i] = (uint8_t)(b[2 + i] ^ 0x80);
        *bias = -128 * d;
        return;
    }
    const uint8_t *high = b + (with_m ? 4 : 2), *q = high + (five ? 4 : 0);
    for (size_t i = 0; i < 32; i++) {
        codes[i] = i < 16 ? q[i] & 15 : q[i - 16] >> 4;
        if (five)
            codes[i] |= (uint8_t)((high[i / 8] >> i % 8 & 1) << 4);
    }
    *bias = with_m ? half_at(b + 2) : (five ? -16.0F : -8.0F) * d;
}

/* Sub-block j of 32 weights; layouts in quant/kquants.c. */
static void k45_codes(qw_type type, const uint8_t *b, size_t j, uint8_t *codes, float *scale, float *bias)
{
    const uint8_t *s = b + 4, *high = b + 16, *q = b + (type == QW_TYPE_Q5_K ? 48 : 16) + 32 * (j / 2);
    const int sc = j < 4 ? s[j] & 63 : (s[j + 4] & 15) | s[j - 4] >> 6 << 4, mn = j < 4 ? s[j + 4] & 63 : s[j + 4] >> 4 | s[j] >> 6 << 4;
    for (size_t l = 0; l < 32; l++) {
        codes[l] = q[l] >> 4 * (j & 1) & 15;
        if (type == QW_TYPE_Q5_K)
            codes[l] |= (uint8_t)((high[l] >> j & 1) << 4);
    }
    *scale = half_at(b) * (float)sc;
    *bias = -(half_at(b + 2) * (float)mn);
}

/* Sub-block e of 16 weights. */
static void q6_k_codes(const uint8_t *b, size_t e, uint8_t *codes, float *scale, float *bias)
{
    const size_t n = e / 8, k = e / 2 & 3, half = 16 * (e & 1);
    const uint8_t *q = b + 64 * n + 32 * (k & 1) + half, *h = b + 128 + 32 * n + half;
    for (size_t i = 0; i < 16; i++)
        codes[i] = (uint8_t)((q[i] >> 4 * (k >> 1) & 15) | (h[i] >> 2 * k & 3) << 4);
    *scale = half_at(b + 208) * (float)(int8_t)b[192 + e];
    *bias = -32 * *scale;
}

void qw_q8_codes(const qw_matrix *w, size_t row, size_t col, uint8_t *codes, float *scale, float *bias)
{
    const size_t block = qw_type_block(w->type);
    const uint8_t *b = (const uint8_t *)w->data + row * qw_matrix_row_bytes(w) + col / block * qw_type_block_bytes(w->type);
    if (affine_bits(w->type))
        affine_codes(w, row, col, qw_q8_unit(w), codes, scale, bias);
    else if (w->type == QW_TYPE_Q6_K)
        q6_k_codes(b, col % block / 16, codes, scale, bias);
    else if (w->type == QW_TYPE_Q4_K || w->type == QW_TYPE_Q5_K)
        k45_codes(w->type, b, col % block / 32, codes, scale, bias);
    else
        block32_codes(w->type, b, codes, scale, bias);
}

/* ---- the product */

/* v of columns [col, col + n) of a token, n within a group */
static void values(const qw_q8 *x, size_t token, size_t col, size_t n, int *v)
{
    const size_t at = token * (x->cols / GROUP) + col / GROUP, begin = col % GROUP;
    for (size_t i = 0; i < n; i++)
        v[i] = x->low[at * GROUP + begin + i];
    for (const qw_q8_fix *f = x->fixes + at * (size_t)x->n_fix, *end = f + x->n_fix; f < end; f++)
        for (size_t i = 0; i < 4; i++)
            if (4 * f->quad + i >= begin && 4 * f->quad + i < begin + n)
                v[4 * f->quad + i - begin] += 128 * f->high[i];
}

static float unit_sum(const qw_q8_group *g, size_t col, size_t unit)
{
    return unit == 64 ? g->sum64 : unit == 32 ? g->sum32[col % GROUP / 32] : g->sum16[col % GROUP / 16];
}

static float row_times_token(const qw_matrix *w, size_t row, const qw_q8 *x, size_t token, size_t unit)
{
    float acc = 0;
    for (size_t col = 0; col < w->cols; col += unit) {
        const qw_q8_group *g = x->groups + token * (x->cols / GROUP) + col / GROUP;
        uint8_t codes[GROUP];
        int v[GROUP], sum = 0;
        float scale, bias;
        qw_q8_codes(w, row, col, codes, &scale, &bias);
        values(x, token, col, unit, v);
        for (size_t i = 0; i < unit; i++)
            sum += codes[i] * v[i];
        acc = fmaf((float)sum, scale * g->scale, acc);
        acc = fmaf(bias, unit_sum(g, col, unit), acc);
    }
    return acc;
}

void qw_matmul_q8_ref(const qw_q8_matmul *a)
{
    const size_t unit = qw_q8_unit(a->w);
    for (size_t r = 0; r < a->n_rows; r++)
        for (size_t t = 0; t < a->n_tokens; t++) {
            const float y = row_times_token(a->w, a->first + r, a->x, a->first_token + t, unit);
            float *out = a->y + t * a->y_stride + r;
            *out = a->add ? *out + y : y;
        }
}
