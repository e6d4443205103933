/* Norms, in plain C. Sums are double: rows are short, and the reference's own order of summing is no part of its meaning. Tested by
 * tests/unit/test_kernels.c and tests/golden/test_ops.c. */
#include "kernels/ref/ref.h"

#include <math.h>

/* 1 / sqrt(mean(x^2) + eps) */
static float inverse_rms(const float *x, size_t n, float eps)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return (float)(1.0 / sqrt(sum / (double)n + eps));
}

void qw_rmsnorm_ref(float *y, const float *x, const float *w, size_t n, float eps)
{
    float scale = inverse_rms(x, n, eps);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * scale * w[i];
}

void qw_gated_rmsnorm_ref(float *y, const float *x, const float *w, const float *z, size_t n, float eps)
{
    float scale = inverse_rms(x, n, eps);
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * scale * w[i] * (z[i] * qw_sigmoid_ref(z[i]));
}

void qw_layernorm_ref(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    double sum = 0, squares = 0;
    for (size_t i = 0; i < n; i++)
        sum += x[i];
    double mean = sum / (double)n;
    for (size_t i = 0; i < n; i++)
        squares += (x[i] - mean) * (x[i] - mean);
    double scale = 1.0 / sqrt(squares / (double)n + eps);
    for (size_t i = 0; i < n; i++)
        y[i] = (float)((x[i] - mean) * scale) * w[i] + b[i];
}
