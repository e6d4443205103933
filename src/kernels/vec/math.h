/* Functions of sixteen floats, by polynomials that are fitted for the smallest largest error: exp, sigmoid, silu, softplus, erf. The same operations in the same
 * order on every level (v16.h), so results are equal to the bit. Errors were measured against long double over all floats between the limits that are named,
 * in units of the last place (ulp) of the result. Tested by tests/unit/test_kernels.c. */
#ifndef QW_KERNELS_MATH_H
#define QW_KERNELS_MATH_H

#include "kernels/vec/v16.h"

#if defined(__AVX512F__) || defined(__AVX2__) || defined(__ARM_NEON)

/* p * 2^n for whole numbers n in [-150, 128], rounded once */
static inline v16 v16_scale_2(v16 p, v16 n)
{
#  if defined(__AVX512F__)
    return _mm512_scalef_ps(p, n);
#  else /* in two steps, so that both factors are normal numbers; the first is exact */
    const v16i whole = v16_to_int(n), half = v16i_shr(whole, 1), rest = v16i_sub(whole, half), one = v16i_set(127);
    return v16_mul(v16_mul(p, v16_as_float(v16i_shl(v16i_add(half, one), 23))), v16_as_float(v16i_shl(v16i_add(rest, one), 23)));
#  endif
}

/* e^x within 1.01 ulp: 2^n e^r with r in [-ln 2 / 2, ln 2 / 2]. Infinity above 88.73, subnormal results below -87.33, 0 below -103.98, NaN for NaN. */
static inline v16 v16_exp(v16 x)
{
    x = v16_max(v16_set(-104.0F), v16_min(v16_set(89.0F), x)); /* the second is what remains of NaN */
    const v16 n = v16_round(v16_mul(x, v16_set(0x1.715476p+0F)));
    const v16 r = v16_fnma(n, v16_set(-0x1.05C610p-29F), v16_fnma(n, v16_set(0x1.62E430p-1F), x)); /* ln 2 in two pieces */
    v16 p = v16_fma(v16_set(0x1.6A23CCp-10F), r, v16_set(0x1.123A20p-7F));
    p = v16_fma(p, r, v16_set(0x1.5558F4p-5F));
    p = v16_fma(p, r, v16_set(0x1.555492p-3F));
    p = v16_fma(p, r, v16_set(0x1.FFFFFCp-2F));
    p = v16_fma(v16_mul(r, r), p, r);
    return v16_scale_2(v16_add(p, v16_set(1.0F)), n);
}

/* 1 / (1 + e^-x) within 3 ulp; 0 below -88.73, where e^-x is infinite */
static inline v16 v16_sigmoid(v16 x) { return v16_div(v16_set(1.0F), v16_add(v16_set(1.0F), v16_exp(v16_sub(v16_zero(), x)))); }

/* x / (1 + e^-x) within 3 ulp; -0 below -88.73 */
static inline v16 v16_silu(v16 x) { return v16_div(x, v16_add(v16_set(1.0F), v16_exp(v16_sub(v16_zero(), x)))); }

/* ln(1 + e^x) within 3 ulp where the result is normal (x > -87): max(x, 0) + ln(1 + t) with t = e^-|x| in [0, 1], and ln(1 + t) = 2 artanh(t / (2 + t)) */
static inline v16 v16_softplus(v16 x)
{
    const v16 t = v16_exp(v16_sub(v16_zero(), v16_abs(x))), s = v16_div(t, v16_add(t, v16_set(2.0F))), z = v16_mul(s, s),
              s2 = v16_add(s, s);
    v16 p = v16_fma(v16_set(0.14012229442596436F), z, v16_set(0.13999570906162262F));
    p = v16_fma(p, z, v16_set(0.20010849833488464F));
    p = v16_fma(p, z, v16_set(0.3333320617675781F));
    return v16_add(v16_max(v16_zero(), x), v16_fma(v16_mul(s2, z), p, s2));
}

/* erf(x) within 6 ulp, exactly 1 or -1 beyond 4: x P(x^2) / Q(x^2) */
static inline v16 v16_erf(v16 x)
{
    const v16 in = v16_max(v16_set(-4.0F), v16_min(v16_set(4.0F), x)), y = v16_mul(in, in), one = v16_set(1.0F);
    v16 p = v16_fma(v16_set(1.9867470655299257e-06F), y, v16_set(0.0002845661074388772F));
    v16 q = v16_fma(v16_set(3.741981345228851e-05F), y, v16_set(0.001185587840154767F));
    p = v16_fma(p, y, v16_set(0.0038834265433251858F));
    q = v16_fma(q, y, v16_set(0.015207421965897083F));
    p = v16_fma(p, y, v16_set(0.053102005273103714F));
    q = v16_fma(q, y, v16_set(0.1153508722782135F));
    p = v16_fma(p, y, v16_set(0.19354723393917084F));
    q = v16_fma(q, y, v16_set(0.5048593282699585F));
    p = v16_fma(p, y, v16_set(1.1283791065216064F));
    q = v16_fma(q, y, one);
    const v16 inside = v16_div(v16_mul(in, p), q), sign = v16_select_lt(x, v16_zero(), v16_set(-1.0F), one);
    return v16_select_lt(v16_set(4.0F), v16_abs(x), sign, inside); /* NaN is inside */
}

#endif
#endif
