/* Norms over v16. Included by x86/vec_LEVEL.c and arm/vec_LEVEL.c after values_body.h; equal to the bit on all of them.
 *
 * Sums are of 64 partial sums (column i to the i % 64-th, fma in order of the columns), added as a tree: of n squares, all positive, the relative error is at
 * most (n / 64 + 6) 2^-24, so that of 1 / rms is within (n / 64 + 6) / 2 + 2 units of 2^-24: 13 for n = 1024, about 1 in the mean. Sums of squares beyond the largest
 * float (an rms of 10^17 or so) give 0, where plain C, with sums in double, does not. Tested by tests/unit/test_kernels.c. */
#ifndef QW_KERNELS_NORM_BODY_H
#define QW_KERNELS_NORM_BODY_H

#include "kernels/vec/values_body.h"

static inline float sum_64(const v16 *s) { return v16_sum(v16_add(v16_add(s[0], s[1]), v16_add(s[2], s[3]))); }

/* The sum of (x - mean)^2. Values past the end count as `mean`. */
static inline float sum_of_squares(const float *x, size_t n, float mean)
{
    const v16 middle = v16_set(mean);
    v16 s[4] = { v16_zero(), v16_zero(), v16_zero(), v16_zero() };
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        for (size_t j = 0; j < 4; j++) {
            const v16 d = v16_sub(v16_load(x + i + 16 * j), middle);
            s[j] = v16_fma(d, d, s[j]);
        }
    for (size_t j = 0; i < n; i += 16, j++) {
        float rest[16];
        const size_t m = n - i < 16 ? n - i : 16;
        for (size_t l = 0; l < 16; l++)
            rest[l] = l < m ? x[i + l] : mean;
        const v16 d = v16_sub(v16_load(rest), middle);
        s[j] = v16_fma(d, d, s[j]);
    }
    return sum_64(s);
}

static inline float sum_of_values(const float *x, size_t n)
{
    v16 s[4] = { v16_zero(), v16_zero(), v16_zero(), v16_zero() };
    size_t i = 0;
    for (; i + 64 <= n; i += 64)
        for (size_t j = 0; j < 4; j++)
            s[j] = v16_add(v16_load(x + i + 16 * j), s[j]);
    for (size_t j = 0; i < n; i += 16, j++)
        s[j] = v16_add(get(x + i, n - i), s[j]);
    return sum_64(s);
}

static inline float inverse_rms(const float *x, size_t n, float mean, float eps)
{
    return 1.0F / sqrtf(sum_of_squares(x, n, mean) / (float)n + eps);
}

static void rmsnorm(float *y, const float *x, const float *w, size_t n, float eps)
{
    const v16 scale = v16_set(inverse_rms(x, n, 0, eps));
    QW_EACH_16(n, put(y + i, v16_mul(v16_mul(get(x + i, m), scale), get(w + i, m)), m));
}

static void gated_rmsnorm(float *y, const float *x, const float *w, const float *z, size_t n, float eps)
{
    const v16 scale = v16_set(inverse_rms(x, n, 0, eps));
    QW_EACH_16(n, put(y + i, v16_mul(v16_mul(v16_mul(get(x + i, m), scale), get(w + i, m)), v16_silu(get(z + i, m))), m));
}

static void layernorm(float *y, const float *x, const float *w, const float *b, size_t n, float eps)
{
    const float mean = sum_of_values(x, n) / (float)n;
    const v16 middle = v16_set(mean), scale = v16_set(inverse_rms(x, n, mean, eps));
    QW_EACH_16(n, put(y + i, v16_fma(v16_mul(v16_sub(get(x + i, m), middle), scale), get(w + i, m), get(b + i, m)), m));
}

static void fill_norms(qw_kernels *k)
{
    k->rmsnorm = rmsnorm;
    k->gated_rmsnorm = gated_rmsnorm;
    k->layernorm = layernorm;
}

#endif
