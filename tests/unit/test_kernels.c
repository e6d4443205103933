/* Kernels: each slot of the table of every level that this machine can run against a slow and plain statement of what it means, on random shapes with odd tails,
 * with guard values around every output; and the levels that have vectors against each other, to the bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/kernels.h"
#include "quant/half.h"

#define GUARD 16 /* values on either side of an output that nobody may touch */
static const float guard_value = 12345.0F;

static qw_rng rng;
static qw_cpu_level level;
static qw_kernels table;
static const qw_kernels *k;

static float uniform(void) { return (float)(2 * qw_rng_double(&rng) - 1); }
static size_t between(size_t low, size_t high) { return low + qw_rng_u32(&rng) % (high - low + 1); }

/* n values with guards on both sides; free_guarded() looks at them. */
static float *guarded(size_t n, bool random)
{
    float *p = malloc((n + 2 * GUARD) * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n + 2 * GUARD; i++)
        p[i] = i < GUARD || i >= n + GUARD ? guard_value : random ? uniform() : 0;
    return p + GUARD;
}

static void free_guarded(float *p, size_t n)
{
    for (size_t i = 0; i < GUARD; i++)
        if (p[-1 - (ptrdiff_t)i] != guard_value || p[n + i] != guard_value)
            fail_msg("a kernel wrote outside its output of %zu values", n);
    free(p - GUARD);
}

static void near(const char *what, float got, double want, double limit)
{
    if (!(fabs(got - want) <= limit))
        fail_msg("%s: %.9g, wanted %.9g, limit %.3g", what, (double)got, want, limit);
}

/* Sum of |terms| times this bounds the error of a float sum of n terms in any order. */
static double sum_bound(size_t n) { return (double)(n + 2) * 0x1p-24; }

/* ---- matmul */

/* Random bytes, one off any alignment, in a piece of exactly their size. */
static uint8_t *random_bytes(size_t n)
{
    uint8_t *p = malloc(n + 1);
    assert_non_null(p);
    for (size_t i = 0; i <= n; i++)
        p[i] = (uint8_t)qw_rng_u32(&rng);
    return p + 1;
}

static void put_half(uint8_t *p)
{
    const uint16_t half = (uint16_t)((qw_rng_u32(&rng) & 0x8000) | between(0, 0x3C00)); /* within [-1, 1] */
    memcpy(p, &half, sizeof half);
}

/* n random values of a float format within [-1, 1] */
static uint8_t *random_floats(qw_type t, size_t n)
{
    const size_t bytes = qw_type_block_bytes(t);
    uint8_t *p = random_bytes(n * bytes);
    for (size_t i = 0; i < n; i++) {
        const float x = uniform();
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        if (t == QW_TYPE_F16)
            put_half(p + i * bytes);
        else if (t == QW_TYPE_BF16)
            memcpy(p + i * bytes, &(uint16_t){ (uint16_t)(bits >> 16) }, 2);
        else
            memcpy(p + i * bytes, &x, 4);
    }
    return p;
}

/* Whole blocks of random codes; the halves inside them, which stand at the offset of each type, are numbers. */
static uint8_t *random_blocks(qw_type t, size_t n)
{
    static const size_t halves[QW_TYPE_COUNT][2] = {
        /* the others begin with their only one */
        [QW_TYPE_Q4_1] = { 0, 2 }, [QW_TYPE_Q5_1] = { 0, 2 }, [QW_TYPE_Q2_K] = { 80, 82 },   [QW_TYPE_Q3_K] = { 108, 108 },
        [QW_TYPE_Q4_K] = { 0, 2 }, [QW_TYPE_Q5_K] = { 0, 2 }, [QW_TYPE_Q6_K] = { 208, 208 },
    };
    const size_t bytes = qw_type_block_bytes(t);
    uint8_t *p = random_bytes(n * bytes);
    for (size_t i = 0; i < 2 * n; i++)
        put_half(p + i / 2 * bytes + halves[t][i % 2]);
    return p;
}

/* Bytes of scale that are numbers of moderate size. */
static uint8_t *random_byte_scales(qw_type t, size_t n)
{
    uint8_t *p = random_bytes(n);
    for (size_t i = 0; i < n; i++)
        p[i] = (uint8_t)(t == QW_TYPE_NVFP4 ? between(0, 126) : between(110, 127));
    return p;
}

/* A matrix of any weight type. drop_matrix() gives its memory back. */
static qw_matrix random_matrix(qw_type t, qw_type scale_type, int group, size_t rows, size_t cols)
{
    qw_matrix m = { .type = t, .rows = rows, .cols = cols, .scale_type = scale_type, .group = group };
    const size_t blocks = rows * (cols / qw_type_block(t)), groups = group ? rows * (cols / (size_t)group) : 0;
    if (qw_type_is_float(t))
        m.data = random_floats(t, blocks);
    else if (!group)
        m.data = random_blocks(t, blocks);
    else if (qw_type_is_affine(t)) {
        m.data = random_bytes(blocks * qw_type_block_bytes(t));
        m.scales = random_floats(scale_type, groups);
        m.biases = random_floats(scale_type, groups);
    } else {
        m.data = random_bytes(blocks * qw_type_block_bytes(t));
        m.scales = random_byte_scales(t, groups);
        if (t == QW_TYPE_MXFP8) /* 127 and 255 are no numbers */
            for (size_t i = 0; i < rows * cols; i++)
                ((uint8_t *)m.data)[i] &= 0xBF;
    }
    return m;
}

static void drop_matrix(const qw_matrix *m)
{
    const void *const pieces[] = { m->data, m->scales, m->biases };
    for (size_t i = 0; i < 3; i++)
        if (pieces[i])
            free((uint8_t *)pieces[i] - 1);
}

static void matmul_is_the_sum(const qw_matrix *m, const float *values, const float *y, size_t y_stride, const float *x, size_t x_stride,
                              size_t tokens)
{
    for (size_t i = 0; i < tokens; i++)
        for (size_t r = 0; r < m->rows; r++) {
            double want = 0, size = 0;
            for (size_t c = 0; c < m->cols; c++) {
                const double term = (double)values[r * m->cols + c] * x[i * x_stride + c];
                want += term;
                size += fabs(term);
            }
            near(qw_type_name(m->type), y[i * y_stride + r], want, size * sum_bound(m->cols));
        }
}

static void one_matmul(qw_type t, qw_type scale_type, int group)
{
    /* one in ten is wider than what kernels decode at a time, one in ten has more tokens than they keep */
    const size_t step = group ? (size_t)group : qw_type_block(t), widest = between(0, 9) ? 699 : 2600, rows = between(1, 20),
                 cols = step * between(1, widest / step + 1), tokens = between(1, between(0, 9) ? 40 : 130),
                 x_stride = cols + between(0, 3), y_stride = rows + between(0, 3), first = between(0, rows - 1);
    const qw_matrix m = random_matrix(t, scale_type, group, rows, cols);
    float *x = guarded(tokens * x_stride, true), *y = guarded(tokens * y_stride, false), *alone = guarded(rows, false),
          *row = guarded(cols, false), *values = guarded(rows * cols, false);
    for (size_t r = 0; r < rows; r++)
        qw_matrix_decode(&m, r, 0, cols, values + r * cols);
    k->matmul[t](y, y_stride, &m, 0, rows, x, x_stride, tokens);
    matmul_is_the_sum(&m, values, y, y_stride, x, x_stride, tokens);
    const size_t i = between(0, tokens - 1); /* a token alone gives the same bits as in the batch, some rows the same as all */
    k->matmul[t](alone, rows, &m, 0, rows, x + i * x_stride, x_stride, 1);
    assert_memory_equal(alone, y + i * y_stride, rows * sizeof *y);
    k->matmul[t](alone, rows, &m, first, rows - first, x + i * x_stride, x_stride, 1);
    assert_memory_equal(alone, y + i * y_stride + first, (rows - first) * sizeof *y);
    k->decode[t](row, &m, rows - 1);
    assert_memory_equal(row, values + (rows - 1) * cols, cols * sizeof *row);
    drop_matrix(&m);
    free_guarded(x, tokens * x_stride), free_guarded(y, tokens * y_stride), free_guarded(alone, rows), free_guarded(row, cols);
    free_guarded(values, rows * cols);
}

static void matmul_of_every_float_and_block_format(void **state)
{
    (void)state;
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++) {
        assert_true(!k->matmul[t] == !qw_type_is_weight(t));
        assert_true(!k->decode[t] == !qw_type_is_weight(t));
        for (int round = 0; round < 20 && qw_type_is_weight(t) && qw_type_kind(t) != QW_KIND_GROUP; round++)
            one_matmul(t, QW_TYPE_OTHER, 0);
    }
}

static void matmul_of_every_group_format(void **state)
{
    (void)state;
    const qw_type scale_types[] = { QW_TYPE_F32, QW_TYPE_F16, QW_TYPE_BF16 };
    for (qw_type t = QW_TYPE_AFFINE2; t <= QW_TYPE_AFFINE8; t++)
        for (size_t s = 0; s < 3; s++)
            for (int group = 32; group <= 128; group *= 2)
                for (int round = 0; round < 4; round++)
                    one_matmul(t, scale_types[s], group);
    for (int round = 0; round < 20; round++) {
        one_matmul(QW_TYPE_MXFP4, QW_TYPE_U8, 32);
        one_matmul(QW_TYPE_NVFP4, QW_TYPE_U8, 16);
        one_matmul(QW_TYPE_MXFP8, QW_TYPE_U8, 32);
    }
}

static uint16_t *random_bf16(size_t n)
{
    uint16_t *p = malloc((n + 1) * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = qw_f32_to_bf16(uniform());
    return p;
}

static void one_matmul_bf16(void)
{
    const size_t rows = between(1, 20), cols = between(1, between(0, 9) ? 300 : 3000), tokens = between(1, 40),
                 x_stride = cols + between(0, 3), y_stride = rows + between(0, 3), first = between(0, rows - 1), i = between(0, tokens - 1);
    const qw_matrix m = random_matrix(QW_TYPE_BF16, QW_TYPE_OTHER, 0, rows, cols);
    uint16_t *x = random_bf16(tokens * x_stride - (x_stride - cols)); /* its last row ends with its columns */
    float *y = guarded(tokens * y_stride, false), *alone = guarded(rows, false), *values = guarded(rows * cols, false),
          *wide = guarded(tokens * x_stride, false);
    for (size_t r = 0; r < rows; r++)
        qw_matrix_decode(&m, r, 0, cols, values + r * cols);
    for (size_t j = 0; j < tokens * x_stride - (x_stride - cols); j++)
        wide[j] = qw_bf16_to_f32(x[j]);
    k->matmul_bf16(y, y_stride, &m, 0, rows, x, x_stride, tokens);
    matmul_is_the_sum(&m, values, y, y_stride, wide, x_stride, tokens);
    k->matmul_bf16(alone, rows, &m, 0, rows, x + i * x_stride, x_stride, 1);
    assert_memory_equal(alone, y + i * y_stride, rows * sizeof *y);
    k->matmul_bf16(alone, rows, &m, first, rows - first, x + i * x_stride, x_stride, 1);
    assert_memory_equal(alone, y + i * y_stride + first, (rows - first) * sizeof *y);
    drop_matrix(&m);
    free(x);
    free_guarded(y, tokens * y_stride), free_guarded(alone, rows), free_guarded(values, rows * cols), free_guarded(wide, tokens * x_stride);
}

static void matmul_in_bf16(void **state)
{
    (void)state;
    for (int round = 0; round < 60 && k->matmul_bf16; round++)
        one_matmul_bf16();
}

/* ---- rows and values */

static void norms(void **state)
{
    (void)state;
    for (int round = 0; round < 100; round++) {
        const size_t n = between(1, 600);
        float *x = guarded(n, true), *w = guarded(n, true), *b = guarded(n, true), *z = guarded(n, true), *y = guarded(n, false);
        double squares = 0, sum = 0, variance = 0;
        for (size_t i = 0; i < n; i++) {
            squares += (double)x[i] * x[i];
            sum += x[i];
        }
        for (size_t i = 0; i < n; i++)
            variance += (x[i] - sum / (double)n) * (x[i] - sum / (double)n);
        k->rmsnorm(y, x, w, n, 1e-6F);
        for (size_t i = 0; i < n; i++)
            near("rmsnorm", y[i], x[i] / sqrt(squares / (double)n + 1e-6) * w[i], 1e-5);
        k->gated_rmsnorm(y, x, w, z, n, 1e-6F);
        for (size_t i = 0; i < n; i++)
            near("gated rmsnorm", y[i], x[i] / sqrt(squares / (double)n + 1e-6) * w[i] * z[i] / (1 + exp(-(double)z[i])), 1e-5);
        k->layernorm(y, x, w, b, n, 1e-6F);
        for (size_t i = 0; i < n; i++)
            near("layernorm", y[i], (x[i] - sum / (double)n) / sqrt(variance / (double)n + 1e-6) * w[i] + b[i], 1e-5);
        free_guarded(x, n), free_guarded(w, n), free_guarded(b, n), free_guarded(z, n), free_guarded(y, n);
    }
}

/* Values at which a careless formula overflows, or loses everything. */
static const float extremes[] = { 0.0F, -0.0F, 1e-30F, -1e-30F, 1, -1, 20, -20, 88, -88, 89, -89, 104, -104, 1e4F, -1e4F, 1e30F, -1e30F };
#define N_EXTREMES (sizeof extremes / sizeof *extremes)

static void activations(void **state)
{
    (void)state;
    const size_t n = N_EXTREMES + 301;
    float *x = guarded(n, true), *up = guarded(n, true), *y = guarded(n, false);
    for (size_t i = 0; i < n; i++)
        x[i] = i < N_EXTREMES ? extremes[i] : 8 * x[i];
    memcpy(y, x, n * sizeof *y);
    k->gelu_erf(y, n);
    for (size_t i = 0; i < n; i++)
        near("gelu (erf)", y[i], 0.5 * x[i] * (1 + erf(x[i] / sqrt(2.0))), 1e-6 * (1 + fabs((double)x[i])));
    memcpy(y, x, n * sizeof *y);
    k->gelu_tanh(y, n);
    for (size_t i = 0; i < n; i++)
        near("gelu (tanh)", y[i], 0.5 * x[i] * (1 + tanh(sqrt(2 / acos(-1.0)) * (x[i] + 0.044715 * x[i] * x[i] * (double)x[i]))),
             1e-6 * (1 + fabs((double)x[i])));
    k->silu_mul(y, x, up, n);
    for (size_t i = 0; i < n; i++)
        near("silu", y[i], x[i] / (1 + exp(-(double)x[i])) * up[i], 1e-6 * (1 + fabs((double)x[i])));
    memcpy(y, up, n * sizeof *y);
    k->sigmoid_mul(y, x, n);
    for (size_t i = 0; i < n; i++)
        near("sigmoid", y[i], up[i] / (1 + exp(-(double)x[i])), 1e-6);
    k->add(y, up, n);
    free_guarded(x, n), free_guarded(up, n), free_guarded(y, n);
}

static void rotation_turns_pairs(void **state)
{
    (void)state;
    for (size_t half = 1; half < 40; half++) {
        float *x = guarded(2 * half + 3, true), *before = guarded(2 * half + 3, false), *cosines = guarded(half, false),
              *sines = guarded(half, false);
        memcpy(before, x, (2 * half + 3) * sizeof *x);
        for (size_t i = 0; i < half; i++) {
            cosines[i] = cosf((float)i);
            sines[i] = sinf((float)i);
        }
        k->rope(x, cosines, sines, half);
        for (size_t i = 0; i < half; i++) {
            near("rope", x[i], (double)before[i] * cosines[i] - (double)before[i + half] * sines[i], 1e-6);
            near("rope", x[i + half], (double)before[i + half] * cosines[i] + (double)before[i] * sines[i], 1e-6);
        }
        assert_memory_equal(x + 2 * half, before + 2 * half, 3 * sizeof *x);
        free_guarded(x, 2 * half + 3), free_guarded(before, 2 * half + 3), free_guarded(cosines, half), free_guarded(sines, half);
    }
}

/* In units of the last place of what is wanted; below the smallest normal number of the places there. */
static void near_in_ulp(const char *what, float x, float got, double want, double limit)
{
    const double size = fmax(fabs(want), 0x1p-126), ulp = ldexp(1, ilogb(size) - 23);
    if (!(fabs(got - want) <= limit * ulp))
        fail_msg("%s(%.9g): %.9g, wanted %.9g, %.2f ulp away", what, (double)x, (double)got, want, fabs(got - want) / ulp);
}

/* ln(1 + e^x) in double */
static double softplus(double x) { return fmax(x, 0) + log1p(exp(-fabs(x))); }

/* Sigmoid, silu and softplus alone, over floats of all sizes: the errors that kernels/vec/math.h states. */
static void functions_within_ulps(void **state)
{
    (void)state;
    enum { N = 4096 };
    float *x = guarded(N, false), *one = guarded(N, false), *zero = guarded(N, false), *y = guarded(N, false), *beta = guarded(N, false);
    for (int round = 0; round < 8; round++) {
        for (size_t i = 0; i < N; i++) {
            x[i] = fmaxf(-86, fminf(86, uniform() * ldexpf(1, (int)between(0, 20) - 12)));
            one[i] = y[i] = 1;
        }
        k->sigmoid_mul(y, x, N);
        for (size_t i = 0; i < N; i++)
            near_in_ulp("sigmoid", x[i], y[i], 1 / (1 + exp(-(double)x[i])), 3);
        k->silu_mul(y, x, one, N);
        for (size_t i = 0; i < N; i++)
            near_in_ulp("silu", x[i], y[i], x[i] / (1 + exp(-(double)x[i])), 3);
        k->delta_gates(y, beta, x, x, one, zero, 1, N);
        for (size_t i = 0; i < N; i++)
            near_in_ulp("softplus", x[i], y[i], softplus(x[i]), 3);
    }
    free_guarded(x, N), free_guarded(one, N), free_guarded(zero, N), free_guarded(y, N), free_guarded(beta, N);
}

static void gates_of_the_delta_rule(void **state)
{
    (void)state;
    for (size_t heads = 1; heads < 50; heads++) {
        const size_t n = between(1, 5), all = n * heads;
        float *a = guarded(all, true), *b = guarded(all, true), *decay = guarded(all, false), *beta = guarded(all, false),
              *neg_exp_a = guarded(heads, true), *bias = guarded(heads, true);
        for (size_t i = 0; i < all; i++)
            a[i] = i < N_EXTREMES ? extremes[i] : 8 * a[i];
        k->delta_gates(decay, beta, a, b, neg_exp_a, bias, n, heads);
        for (size_t i = 0; i < all; i++) {
            const double want = neg_exp_a[i % heads] * softplus((double)a[i] + bias[i % heads]);
            near("decay", decay[i], want, 1e-6 * (1 + fabs(want)));
            near("beta", beta[i], 1 / (1 + exp(-(double)b[i])), 1e-6);
        }
        k->delta_gates(a, b, a, b, neg_exp_a, bias, n, heads); /* in place */
        assert_memory_equal(a, decay, all * sizeof *a);
        assert_memory_equal(b, beta, all * sizeof *b);
        free_guarded(a, all), free_guarded(b, all), free_guarded(decay, all), free_guarded(beta, all);
        free_guarded(neg_exp_a, heads), free_guarded(bias, heads);
    }
}

static void the_largest_value(void **state)
{
    (void)state;
    assert_true(k->max(NULL, 0) == -INFINITY);
    for (size_t n = 1; n < 300; n++) {
        float *x = guarded(n, true);
        const size_t top = between(0, n - 1);
        for (size_t i = 0; i < n; i++)
            x[i] -= 5;
        x[between(0, n - 1)] = NAN;
        x[top] = -1;
        if (k->max(x, n) != -1)
            fail_msg("the largest of %zu values at %zu: %g", n, top, (double)k->max(x, n));
        free_guarded(x, n);
    }
}

/* Any bits: subnormal numbers, infinities, NaN with their payload, values halfway between two. */
static void rounding_to_bf16(void **state)
{
    (void)state;
    for (size_t n = 1; n < 100; n++) {
        float *x = guarded(n, false);
        uint16_t y[102];
        memset(y, 0x55, sizeof y);
        for (size_t i = 0; i < n; i++) {
            const uint32_t bits = i % 4 == 0 ? qw_rng_u32(&rng) | 0x7F800000 : i % 4 == 1 ? qw_rng_u32(&rng) << 15 : qw_rng_u32(&rng);
            memcpy(&x[i], &bits, sizeof bits);
        }
        k->to_bf16(y + 1, x, n);
        for (size_t i = 0; i < n; i++)
            assert_int_equal(y[1 + i], qw_f32_to_bf16(x[i]));
        assert_true(y[0] == 0x5555 && y[1 + n] == 0x5555);
        free_guarded(x, n);
    }
}

/* ---- convolution: every cut of the input gives the same bits */

static void convolution_carries_its_tail(void **state)
{
    (void)state;
    for (size_t taps = 1; taps <= 5; taps++) {
        const size_t stride = 11, n = 7, T = 13;
        float *x = guarded(T * stride, true), *w = guarded(taps * stride, true), *whole = guarded(T * stride, false),
              *y = guarded(T * stride, false);
        float *tail = guarded(4 * stride, false), *end = guarded(4 * stride, false);
        k->conv_silu(whole, stride, x, end, w, stride, n, T, taps);
        for (size_t t = 0; t < T; t++)
            for (size_t c = 0; c < n; c++) {
                double sum = 0;
                for (size_t j = 0; j < taps; j++)
                    if (t + j + 1 >= taps)
                        sum += (double)w[j * stride + c] * x[(t + j + 1 - taps) * stride + c];
                near("convolution", whole[t * stride + c], sum / (1 + exp(-sum)), 1e-6);
            }
        for (size_t piece = 1; piece <= T; piece++) {
            memset(tail, 0, 4 * stride * sizeof *tail);
            for (size_t t = 0; t < T; t += piece)
                k->conv_silu(y + t * stride, stride, x + t * stride, tail, w, stride, n, T - t < piece ? T - t : piece, taps);
            assert_memory_equal(y, whole, T * stride * sizeof *y);
            assert_memory_equal(tail, end, 4 * stride * sizeof *tail);
        }
        free_guarded(x, T * stride), free_guarded(w, taps * stride), free_guarded(whole, T * stride), free_guarded(y, T * stride);
        free_guarded(tail, 4 * stride), free_guarded(end, 4 * stride);
    }
}

/* ---- levels with vectors against each other */

/* Every slot that kernels/vec says over v16, on the same inputs: y [9, n]. */
static void values_of_a_level(const qw_kernels *t, float *y, const float *x, const float *w, const float *b, size_t n)
{
    t->rmsnorm(y, x, w, n, 1e-6F), y += n;
    t->layernorm(y, x, w, b, n, 1e-6F), y += n;
    t->gated_rmsnorm(y, x, w, b, n, 1e-6F), y += n;
    t->silu_mul(y, x, w, n), y += n;
    memcpy(y, x, n * sizeof *y), t->sigmoid_mul(y, w, n), y += n;
    memcpy(y, x, n * sizeof *y), t->gelu_tanh(y, n), y += n;
    memcpy(y, x, n * sizeof *y), t->gelu_erf(y, n), y += n;
    memcpy(y, x, n * sizeof *y), t->rope(y, w, b, n / 2), y += n;
    t->delta_gates(y, y + n, x, w, b, w, 1, n);
}

static void agree_on_values(qw_cpu_level a, qw_cpu_level b)
{
    const qw_kernels less = qw_kernels_of(a), more = qw_kernels_of(b);
    for (int round = 0; round < 100; round++) {
        const size_t n = between(1, 700), all = 10 * n;
        float *x = guarded(n, true), *w = guarded(n, true), *z = guarded(n, true), *y[2] = { guarded(all, false), guarded(all, false) };
        for (size_t i = 0; i < n; i++)
            x[i] *= round % 2 ? 1 : 30;
        values_of_a_level(&less, y[0], x, w, z, n);
        values_of_a_level(&more, y[1], x, w, z, n);
        for (size_t i = 0; i < all; i++)
            if (memcmp(&y[0][i], &y[1][i], sizeof **y))
                fail_msg("slot %zu, value %zu of %zu: %s %.9g, %s %.9g", i / n, i % n, n, qw_cpu_level_name(a), (double)y[0][i],
                         qw_cpu_level_name(b), (double)y[1][i]);
        free_guarded(x, n), free_guarded(w, n), free_guarded(z, n), free_guarded(y[0], all), free_guarded(y[1], all);
    }
}

/* Each level with the one below it that this machine can run; plain C adds in another order. */
static void each_level_with_the_one_below(void (*agree)(qw_cpu_level a, qw_cpu_level b))
{
    qw_cpu_level below = QW_CPU_PORTABLE;
    for (qw_cpu_level l = QW_CPU_PORTABLE + 1; l < QW_CPU_LEVELS; l++)
        if (qw_cpu_can(l)) {
            if (below != QW_CPU_PORTABLE)
                agree(below, l);
            below = l;
        }
}

static void agree_on_a_matrix(qw_cpu_level a, qw_cpu_level b, qw_type t, qw_type scale_type, int group)
{
    const qw_kernels less = qw_kernels_of(a), more = qw_kernels_of(b);
    const size_t step = group ? (size_t)group : qw_type_block(t), rows = between(1, 20), cols = step * between(1, 1500 / step),
                 tokens = between(1, 20), all = tokens * rows;
    const qw_matrix m = random_matrix(t, scale_type, group, rows, cols);
    float *x = guarded(tokens * cols, true), *y[2] = { guarded(all, false), guarded(all, false) };
    less.matmul[t](y[0], rows, &m, 0, rows, x, cols, tokens);
    more.matmul[t](y[1], rows, &m, 0, rows, x, cols, tokens);
    for (size_t i = 0; i < all; i++)
        if (memcmp(&y[0][i], &y[1][i], sizeof **y))
            fail_msg("%s, %zu columns, row %zu, token %zu: %s %.9g, %s %.9g", qw_type_name(t), cols, i % rows, i / rows,
                     qw_cpu_level_name(a), (double)y[0][i], qw_cpu_level_name(b), (double)y[1][i]);
    drop_matrix(&m);
    free_guarded(x, tokens * cols), free_guarded(y[0], all), free_guarded(y[1], all);
}

static void agree_on_matrices(qw_cpu_level a, qw_cpu_level b)
{
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++)
        for (int round = 0; round < 10 && qw_type_is_weight(t); round++)
            if (qw_type_kind(t) != QW_KIND_GROUP)
                agree_on_a_matrix(a, b, t, QW_TYPE_OTHER, 0);
            else if (qw_type_is_affine(t))
                agree_on_a_matrix(a, b, t, QW_TYPE_BF16, 64);
            else
                agree_on_a_matrix(a, b, t, QW_TYPE_U8, t == QW_TYPE_NVFP4 ? 16 : 32);
}

static void levels_agree_on_matrices(void **state)
{
    (void)state;
    each_level_with_the_one_below(agree_on_matrices);
}

static void levels_agree_on_values(void **state)
{
    (void)state;
    each_level_with_the_one_below(agree_on_values);
}

static int start(void **state)
{
    (void)state;
    qw_rng_seed(&rng, 20260401);
    table = qw_kernels_of(level);
    k = &table;
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matmul_of_every_float_and_block_format),
        cmocka_unit_test(matmul_of_every_group_format),
        cmocka_unit_test(matmul_in_bf16),
        cmocka_unit_test(norms),
        cmocka_unit_test(activations),
        cmocka_unit_test(rotation_turns_pairs),
        cmocka_unit_test(functions_within_ulps),
        cmocka_unit_test(gates_of_the_delta_rule),
        cmocka_unit_test(the_largest_value),
        cmocka_unit_test(rounding_to_bf16),
        cmocka_unit_test(convolution_carries_its_tail),
    };
    const struct CMUnitTest between_levels[] = {
        cmocka_unit_test(levels_agree_on_values),
        cmocka_unit_test(levels_agree_on_matrices),
    };
    int failed = 0;
    for (level = 0; level < QW_CPU_LEVELS; level++)
        if (qw_cpu_can(level))
            failed += cmocka_run_group_tests_name(qw_cpu_level_name(level), tests, start, NULL);
    level = QW_CPU_PORTABLE;
    return failed + cmocka_run_group_tests_name("levels", between_levels, start, NULL);
}
