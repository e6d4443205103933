/* What happens value by value: sums, gates, activations, rotation, the largest. Plain C. Tested by tests/unit/test_kernels.c. */
#include "kernels/ref/ref.h"

#include <math.h>

float qw_sigmoid_ref(float x) { return 1.0F / (1.0F + expf(-x)); } /* expf(-x) = inf gives 0, as it should */

void qw_add_ref(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] += x[i];
}

void qw_silu_mul_ref(float *y, const float *gate, const float *up, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] = gate[i] * qw_sigmoid_ref(gate[i]) * up[i];
}

void qw_sigmoid_mul_ref(float *y, const float *gate, size_t n)
{
    for (size_t i = 0; i < n; i++)
        y[i] *= qw_sigmoid_ref(gate[i]);
}

void qw_gelu_tanh_ref(float *x, size_t n)
{
    const float scale = 0.7978845608028654F; /* sqrt(2 / pi) */
    for (size_t i = 0; i < n; i++)
        x[i] = 0.5F * x[i] * (1.0F + tanhf(scale * (x[i] + 0.044715F * x[i] * x[i] * x[i])));
}

void qw_gelu_erf_ref(float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        x[i] = 0.5F * x[i] * (1.0F + erff(x[i] * 0.7071067811865476F));
}

void qw_rope_ref(float *x, const float *cos, const float *sin, size_t half)
{
    for (size_t i = 0; i < half; i++) {
        float a = x[i], b = x[i + half];
        x[i] = a * cos[i] - b * sin[i];
        x[i + half] = b * cos[i] + a * sin[i];
    }
}

float qw_max_ref(const float *x, size_t n)
{
    float best = -INFINITY;
    for (size_t i = 0; i < n; i++)
        best = x[i] > best ? x[i] : best;
    return best;
}

/* ln(1 + e^x), exact where e^x would overflow */
static float softplus(float x) { return x > 20.0F ? x : log1pf(expf(x)); }

void qw_delta_gates_ref(float *log_decay, float *beta, const float *a, const float *b, const float *neg_exp_a, const float *dt_bias,
                        size_t n, size_t heads)
{
    for (size_t i = 0; i < n * heads; i++) {
        log_decay[i] = neg_exp_a[i % heads] * softplus(a[i] + dt_bias[i % heads]);
        beta[i] = qw_sigmoid_ref(b[i]);
    }
}
