/* Activations in eight bits (kernels/q8.h) for NEON, equal to kernels/ref/q8.c to the bit. Included by q8_neon.c. Tested by tests/kernels/check_q8.c. */
#ifndef QW_KERNELS_ARM_Q8_QUANTIZE_BODY_H
#define QW_KERNELS_ARM_Q8_QUANTIZE_BODY_H

#include "kernels/arm/q8_codes_body.h"

#include <math.h>

/* The largest magnitude of each quad: [16]. What is not a number counts as 0. */
ALWAYS void quad_magnitudes(const float *x, float32x4_t *m)
{
    for (size_t i = 0; i < 4; i++) {
        const float32x4x4_t v = vld4q_f32(x + 16 * i); /* lane l of val[j]: column 4 l + j */
        m[i] = vdupq_n_f32(0);
        for (size_t j = 0; j < 4; j++) {
            const float32x4_t a = vabsq_f32(v.val[j]);
            m[i] = vbslq_f32(vcgtq_f32(a, m[i]), a, m[i]);
        }
    }
}

ALWAYS float largest_of(const float32x4_t *m) { return vmaxvq_f32(vmaxq_f32(vmaxq_f32(m[0], m[1]), vmaxq_f32(m[2], m[3]))); }

/* The first quad of the largest magnitude, which becomes -1: 16 bytes of ones and zeroes are narrowed to nibbles, and the lowest one is found. */
ALWAYS uint32_t take_largest(float32x4_t *m)
{
    const float32x4_t best = vdupq_n_f32(largest_of(m));
    uint16x4_t equal[4];
    for (size_t i = 0; i < 4; i++)
        equal[i] = vmovn_u32(vceqq_f32(m[i], best));
    const uint8x16_t bytes = vcombine_u8(vmovn_u16(vcombine_u16(equal[0], equal[1])), vmovn_u16(vcombine_u16(equal[2], equal[3])));
    const uint64_t nibbles = vget_lane_u64(vreinterpret_u64_u8(vshrn_n_u16(vreinterpretq_u16_u8(bytes), 4)), 0);
    const uint32_t quad = (uint32_t)__builtin_ctzll(nibbles) / 4;
    static const uint32_t numbers[] = { 0, 1, 2, 3 };
    for (uint32_t i = 0; i < 4; i++)
        m[i] = vbslq_f32(vceqq_u32(vaddq_u32(vld1q_u32(numbers), vdupq_n_u32(4 * i)), vdupq_n_u32(quad)), vdupq_n_f32(-1), m[i]);
    return quad;
}

/* The integers of four columns split into upper and lower bits. */
ALWAYS void split_quad(int8_t *low, qw_q8_fix *fix, int32x4_t v)
{
    const int32x4_t high = vshrq_n_s32(vaddq_s32(v, vdupq_n_s32(64)), 7), rest = vsubq_s32(v, vshlq_n_s32(high, 7));
    int32_t h[4], l[4];
    vst1q_s32(h, high);
    vst1q_s32(l, rest);
    for (size_t i = 0; i < 4; i++) {
        fix->high[i] = (int8_t)h[i];
        low[i] = (int8_t)l[i];
    }
}

ALWAYS float scale_of(float unfixed, float all)
{
    const float scale = fmaxf(unfixed * (1 / 127.0F), all * (1 / 16256.0F));
    return scale < 1e-30F ? 0 : scale; /* its reciprocal is finite */
}

ALWAYS bool all_finite(const float *x)
{
    float32x4_t zero = vdupq_n_f32(0); /* x - x: not 0 where x is not finite */
    for (size_t i = 0; i < QW_Q8_GROUP; i += 4) {
        const float32x4_t v = vld1q_f32(x + i);
        zero = vaddq_f32(zero, vsubq_f32(v, v));
    }
    return vaddvq_f32(zero) == 0;
}

ALWAYS void quantize_group(int8_t *low, qw_q8_group *g, qw_q8_fix *fixes, int n_fix, const float *x)
{
    float32x4_t m[4];
    quad_magnitudes(x, m);
    const float all = largest_of(m);
    for (int f = 0; f < n_fix; f++)
        fixes[f] = (qw_q8_fix){ .quad = take_largest(m) };
    g->scale = scale_of(fmaxf(largest_of(m), 0), all);
    if (!all_finite(x))
        g->scale = NAN;
    const float inverse = g->scale > 0 ? 1.0F / g->scale : 0;
    int32_t sums[4];
    for (size_t i = 0; i < 4; i++) {
        int32x4_t v[4];
        for (size_t j = 0; j < 4; j++)
            v[j] = inverse > 0 ? vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 16 * i + 4 * j), inverse)) : vdupq_n_s32(0);
        sums[i] = vaddvq_s32(vaddq_s32(vaddq_s32(v[0], v[1]), vaddq_s32(v[2], v[3])));
        g->sum16[i] = g->scale * (float)sums[i];
        const int16x8_t a = vcombine_s16(vmovn_s32(v[0]), vmovn_s32(v[1])), b = vcombine_s16(vmovn_s32(v[2]), vmovn_s32(v[3]));
        vst1q_s8(low + 16 * i, vcombine_s8(vmovn_s16(a), vmovn_s16(b)));
    }
    g->sum32[0] = g->scale * (float)(sums[0] + sums[1]);
    g->sum32[1] = g->scale * (float)(sums[2] + sums[3]);
    g->sum64 = g->scale * (float)(sums[0] + sums[1] + sums[2] + sums[3]);
    for (int f = 0; f < n_fix && inverse > 0; f++)
        split_quad(low + 4 * fixes[f].quad, fixes + f, vcvtnq_s32_f32(vmulq_n_f32(vld1q_f32(x + 4 * fixes[f].quad), inverse)));
}

static void quantize(const qw_q8_quantize *a)
{
    const qw_q8 *out = a->out;
    for (size_t t = 0; t < a->n_tokens; t++)
        for (size_t g = 0; g < a->n_groups; g++) {
            const size_t at = (a->token + t) * (out->cols / QW_Q8_GROUP) + a->group + g;
            quantize_group(out->low + at * QW_Q8_GROUP, out->groups + at, out->fixes + at * (size_t)out->n_fix, out->n_fix,
                           a->x + t * a->x_stride + g * QW_Q8_GROUP);
        }
}

#endif
