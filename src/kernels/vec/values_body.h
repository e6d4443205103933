/* What happens value by value, over v16: sums, gates, activations, rotation, the largest. Included by x86/vec_LEVEL.c and arm/vec_LEVEL.c. Equal to the bit on all
 * of them; against plain C within the errors of math.h. Tested by tests/unit/test_kernels.c. */
#ifndef QW_KERNELS_VALUES_BODY_H
#define QW_KERNELS_VALUES_BODY_H

#include "kernels/kernels.h"
#include "kernels/vec/math.h"

#include <math.h>
#include <string.h>

/* Does `step` with i = 0, 16, ... < n and m the values from there on, 16 at most. In whole pieces m is a constant, so that get and put are one instruction. */
#define QW_EACH_16(n, step)          \
  do {                               \
    size_t i = 0;                    \
    for (; i + 16 <= (n); i += 16) { \
      const size_t m = 16;           \
      step;                          \
    }                                \
    if (i < (n)) {                   \
      const size_t m = (n)-i;        \
      step;                          \
    }                                \
  } while (0)

static inline v16 get(const float *p, size_t m) { return m >= 16 ? v16_load(p) : v16_load_n(p, m); }
static inline void put(float *p, v16 x, size_t m)
{
    if (m >= 16)
        v16_store(p, x);
    else
        v16_store_n(p, x, m);
}

static void add_values(float *y, const float *x, size_t n) { QW_EACH_16(n, put(y + i, v16_add(get(y + i, m), get(x + i, m)), m)); }

static void silu_mul(float *y, const float *gate, const float *up, size_t n)
{
    QW_EACH_16(n, put(y + i, v16_mul(v16_silu(get(gate + i, m)), get(up + i, m)), m));
}

static void sigmoid_mul(float *y, const float *gate, size_t n)
{
    QW_EACH_16(n, put(y + i, v16_mul(get(y + i, m), v16_sigmoid(get(gate + i, m))), m));
}

/* (1 + tanh u) / 2 = 1 / (1 + e^-2u), with u = sqrt(2 / pi) (x + 0.044715 x^3) */
static inline v16 gelu_tanh_16(v16 x)
{
    const v16 cube = v16_mul(v16_mul(v16_set(0.044715F), v16_mul(x, x)), x);
    const v16 e = v16_exp(v16_mul(v16_set(-1.5957691216057308F), v16_add(x, cube)));
    return v16_div(x, v16_add(v16_set(1.0F), e));
}
static void gelu_tanh(float *x, size_t n) { QW_EACH_16(n, put(x + i, gelu_tanh_16(get(x + i, m)), m)); }

static inline v16 gelu_erf_16(v16 x)
{
    const v16 e = v16_erf(v16_mul(x, v16_set(0.7071067811865476F)));
    return v16_mul(v16_mul(v16_set(0.5F), x), v16_add(v16_set(1.0F), e));
}
static void gelu_erf(float *x, size_t n) { QW_EACH_16(n, put(x + i, gelu_erf_16(get(x + i, m)), m)); }

static inline void rope_16(float *x, const float *cos, const float *sin, size_t half, size_t m)
{
    const v16 a = get(x, m), b = get(x + half, m), c = get(cos, m), s = get(sin, m);
    put(x, v16_fnma(b, s, v16_mul(a, c)), m);
    put(x + half, v16_fma(a, s, v16_mul(b, c)), m);
}
static void rope(float *x, const float *cos, const float *sin, size_t half) { QW_EACH_16(half, rope_16(x + i, cos + i, sin + i, half, m)); }

static inline void to_bf16_16(uint16_t *y, const float *x, size_t m)
{
    uint16_t tail[16];
    if (m >= 16) {
        v16_store_bf16(y, v16_load(x));
        return;
    }
    v16_store_bf16(tail, v16_load_n(x, m));
    memcpy(y, tail, m * sizeof *y);
}
static void to_bf16(uint16_t *y, const float *x, size_t n) { QW_EACH_16(n, to_bf16_16(y + i, x + i, m)); }

/* Four maxima in flight hide the latency of one. Of a NaN and a number the number remains. */
static float largest(const float *x, size_t n)
{
    const v16 lowest = v16_set(-INFINITY);
    v16 top[4] = { lowest, lowest, lowest, lowest };
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        for (size_t j = 0; j < 4; j++)
            top[j] = v16_max(v16_load(x + i + 16 * j), top[j]);
    for (; i + 16 <= n; i += 16)
        top[0] = v16_max(v16_load(x + i), top[0]);
    float best = v16_largest(v16_max(v16_max(top[0], top[1]), v16_max(top[2], top[3])));
    for (; i < n; i++)
        best = x[i] > best ? x[i] : best;
    return best;
}

static inline void delta_gates_16(float *log_decay, float *beta, const float *a, const float *b, const float *neg_exp_a,
                                  const float *dt_bias, size_t m)
{
    put(log_decay, v16_mul(get(neg_exp_a, m), v16_softplus(v16_add(get(a, m), get(dt_bias, m)))), m);
    put(beta, v16_sigmoid(get(b, m)), m);
}
static void delta_gates(float *log_decay, float *beta, const float *a, const float *b, const float *neg_exp_a, const float *dt_bias,
                        size_t n, size_t heads)
{
    for (size_t t = 0; t < n; t++, log_decay += heads, beta += heads, a += heads, b += heads)
        QW_EACH_16(heads, delta_gates_16(log_decay + i, beta + i, a + i, b + i, neg_exp_a + i, dt_bias + i, m));
}

static void fill_values(qw_kernels *k)
{
    k->add = add_values;
    k->silu_mul = silu_mul;
    k->sigmoid_mul = sigmoid_mul;
    k->gelu_tanh = gelu_tanh;
    k->gelu_erf = gelu_erf;
    k->rope = rope;
    k->to_bf16 = to_bf16;
    k->max = largest;
    k->delta_gates = delta_gates;
}

#endif
