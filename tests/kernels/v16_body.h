/* Each operation of v16 equals a loop over sixteen floats, to the bit. Included by v16_LEVEL.c, which names the function V16_TEST. */
#include "v16.h"

#include "kernels/vec/v16.h"
#include "quant/half.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static int failed;

static uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static void expect(const char *what, const float *got, const float *want, int n)
{
    for (int i = 0; i < n; i++)
        if (bits_of(got[i]) != bits_of(want[i]) && !(isnan(got[i]) && isnan(want[i]))) {
            printf("%s: lane %d is %.9g (%08x), wanted %.9g (%08x)\n", what, i, (double)got[i], bits_of(got[i]), (double)want[i],
                   bits_of(want[i]));
            failed++;
            return;
        }
}

static void expect_v(const char *what, v16 got, const float *want)
{
    float lanes[16];
    v16_store(lanes, got);
    expect(what, lanes, want, 16);
}

static void expect_i(const char *what, v16i got, const int32_t *want)
{
    float lanes[16];
    memcpy(lanes, want, sizeof lanes);
    expect_v(what, v16_as_float(got), lanes);
}

/* `expression` of lane i of x, y and z */
#define SAME(call, expression)   \
  do {                           \
    float want[16];              \
    for (int i = 0; i < 16; i++) \
      want[i] = expression;      \
    expect_v(#call, call, want); \
  } while (0)

#define SAME_INT(call, expression) \
  do {                             \
    int32_t want[16];              \
    for (int i = 0; i < 16; i++)   \
      want[i] = expression;        \
    expect_i(#call, call, want);   \
  } while (0)

static void arithmetic(const float *x, const float *y, const float *z)
{
    const v16 a = v16_load(x), b = v16_load(y), c = v16_load(z);
    SAME(v16_set(x[3]), x[3]);
    SAME(v16_zero(), 0.0F * (float)i);
    SAME(v16_add(a, b), x[i] + y[i]);
    SAME(v16_sub(a, b), x[i] - y[i]);
    SAME(v16_mul(a, b), x[i] * y[i]);
    SAME(v16_div(a, b), x[i] / y[i]);
    SAME(v16_sqrt(a), sqrtf(x[i]));
    SAME(v16_fma(a, b, c), fmaf(x[i], y[i], z[i]));
    SAME(v16_fnma(a, b, c), fmaf(-x[i], y[i], z[i]));
    SAME(v16_max(a, b), x[i] > y[i] ? x[i] : y[i]);
    SAME(v16_min(a, b), x[i] < y[i] ? x[i] : y[i]);
    SAME(v16_abs(a), fabsf(x[i]));
    SAME(v16_round(a), rintf(x[i]));
    SAME(v16_select_lt(a, b, c, a), x[i] < y[i] ? z[i] : x[i]);
}

static void sums(const float *x)
{
    float s[16], largest = x[0];
    memcpy(s, x, sizeof s);
    for (int n = 8; n; n /= 2)
        for (int i = 0; i < n; i++)
            s[i] += s[i + n];
    const float sum = v16_sum(v16_load(x));
    expect("v16_sum", &sum, s, 1);
    for (int i = 1; i < 16; i++)
        largest = x[i] > largest ? x[i] : largest;
    const float got = v16_largest(v16_load(x));
    if (!isnan(*s))
        expect("v16_largest", &got, &largest, 1);
}

static void integers(const int32_t *x, const int32_t *y)
{
    float xf[16], yf[16];
    memcpy(xf, x, sizeof xf);
    memcpy(yf, y, sizeof yf);
    const v16i a = v16_as_int(v16_load(xf)), b = v16_as_int(v16_load(yf));
    SAME_INT(v16_as_int(v16_as_float(a)), x[i]);
    SAME_INT(v16i_set(y[5]), y[5]);
    SAME_INT(v16i_add(a, b), (int32_t)((uint32_t)x[i] + (uint32_t)y[i]));
    SAME_INT(v16i_sub(a, b), (int32_t)((uint32_t)x[i] - (uint32_t)y[i]));
    SAME_INT(v16i_shl(a, 23), (int32_t)((uint32_t)x[i] << 23));
    SAME_INT(v16i_shr(a, 7), x[i] >> 7);
    SAME(v16_from_int(a), (float)x[i]);
    float small[16];
    for (int i = 0; i < 16; i++)
        small[i] = (float)(x[i] >> 8) * 0.5F; /* with ties */
    SAME_INT(v16_to_int(v16_load(small)), (int32_t)lrintf(small[i]));
}

static void memory(const float *x)
{
    for (size_t n = 0; n < 16; n++) {
        float part[16], want[16], stored[16], around[16];
        memcpy(part, x, sizeof part);
        for (size_t i = 0; i < 16; i++) {
            want[i] = i < n ? x[i] : 0;
            around[i] = i < n ? x[i] : 7;
            stored[i] = 7;
        }
        expect_v("v16_load_n", v16_load_n(part, n), want);
        v16_store_n(stored, v16_load(x), n);
        expect("v16_store_n", stored, around, 16);
    }
}

static void halves(const float *x, const uint16_t *h)
{
    uint16_t got[16];
    SAME(v16_load_f16(h), qw_f16_to_f32(h[i]));
    SAME(v16_load_bf16(h), qw_bf16_to_f32(h[i]));
    v16_store_f16(got, v16_load(x));
    SAME(v16_load_f16(got), qw_f16_to_f32(qw_f32_to_f16(x[i])));
}

static float odd_value(qw_rng *r)
{
    static const float odd[] = { 0.0F,   -0.0F, INFINITY, -INFINITY, NAN,  1e-40F, -1e-45F, 3e38F,
                                 -3e38F, 65504, 65520,    6e-8F,     2.5F, -0.5F,  1,       16777217 };
    const uint32_t kind = qw_rng_u32(r) % 8;
    const float value = ((float)qw_rng_double(r) - 0.5F) * 8;
    return kind == 0 ? odd[qw_rng_u32(r) % 16] : kind == 1 ? rintf(value) : kind == 2 ? rintf(value) + 0.5F : value;
}

int V16_TEST(qw_rng *r, int rounds)
{
    failed = 0;
    while (rounds--) {
        float x[16], y[16], z[16];
        int32_t a[16], b[16];
        uint16_t h[16];
        for (int i = 0; i < 16; i++) {
            x[i] = odd_value(r);
            y[i] = odd_value(r);
            z[i] = odd_value(r);
            a[i] = (int32_t)qw_rng_u32(r);
            b[i] = (int32_t)qw_rng_u32(r);
            h[i] = (uint16_t)qw_rng_u32(r);
        }
        arithmetic(x, y, z);
        sums(x);
        integers(a, b);
        memory(x);
        halves(x, h);
    }
    return failed;
}
