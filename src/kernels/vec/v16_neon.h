/* v16.h for NEON: four registers, lanes 4i..4i+3 in the i-th. v16i are sixteen 32-bit integers. */
#ifndef QW_KERNELS_V16_NEON_H
#define QW_KERNELS_V16_NEON_H

#include <arm_neon.h>
#include <stddef.h>
#include <string.h>

typedef float32x4x4_t v16;
typedef int32x4x4_t v16i;

#define QW_V16_EACH(type, expression) \
  type r;                             \
  for (int i = 0; i < 4; i++)         \
    r.val[i] = expression;            \
  return r

static inline v16 v16_set(float x) { QW_V16_EACH(v16, vdupq_n_f32(x)); }
static inline v16 v16_zero(void) { return v16_set(0); }
static inline v16 v16_load(const float *p) { QW_V16_EACH(v16, vld1q_f32(p + 4 * i)); }
static inline void v16_store(float *p, v16 x)
{
    for (int i = 0; i < 4; i++)
        vst1q_f32(p + 4 * i, x.val[i]);
}
static inline v16 v16_load_n(const float *p, size_t n) /* n < 16; the rest is 0 */
{
    float copy[16] = { 0 };
    memcpy(copy, p, n * sizeof *p);
    return v16_load(copy);
}
static inline void v16_store_n(float *p, v16 x, size_t n)
{
    float copy[16];
    v16_store(copy, x);
    memcpy(p, copy, n * sizeof *p);
}
static inline v16 v16_load_f16(const uint16_t *p) { QW_V16_EACH(v16, vcvt_f32_f16(vreinterpret_f16_u16(vld1_u16(p + 4 * i)))); }
static inline void v16_store_f16(uint16_t *p, v16 x) /* nearest even */
{
    for (int i = 0; i < 4; i++)
        vst1_u16(p + 4 * i, vreinterpret_u16_f16(vcvt_f16_f32(x.val[i])));
}
static inline v16 v16_load_bf16(const uint16_t *p) { QW_V16_EACH(v16, vreinterpretq_f32_u32(vshll_n_u16(vld1_u16(p + 4 * i), 16))); }
static inline void v16_store_bf16(uint16_t *p, v16 x) /* nearest even, as qw_f32_to_bf16 */
{
    for (int i = 0; i < 4; i++) {
        const uint32x4_t bits = vreinterpretq_u32_f32(x.val[i]), high = vshrq_n_u32(bits, 16);
        const uint32x4_t r = vaddq_u32(bits, vaddq_u32(vdupq_n_u32(0x7FFF), vandq_u32(high, vdupq_n_u32(1))));
        const uint32x4_t quiet = vorrq_u32(high, vdupq_n_u32(0x40)), number = vceqq_f32(x.val[i], x.val[i]);
        vst1_u16(p + 4 * i, vmovn_u32(vbslq_u32(number, vshrq_n_u32(r, 16), quiet)));
    }
}
static inline v16 v16_add(v16 x, v16 y) { QW_V16_EACH(v16, vaddq_f32(x.val[i], y.val[i])); }
static inline v16 v16_sub(v16 x, v16 y) { QW_V16_EACH(v16, vsubq_f32(x.val[i], y.val[i])); }
static inline v16 v16_mul(v16 x, v16 y) { QW_V16_EACH(v16, vmulq_f32(x.val[i], y.val[i])); }
static inline v16 v16_div(v16 x, v16 y) { QW_V16_EACH(v16, vdivq_f32(x.val[i], y.val[i])); }
static inline v16 v16_sqrt(v16 x) { QW_V16_EACH(v16, vsqrtq_f32(x.val[i])); }
static inline v16 v16_fma(v16 x, v16 y, v16 z) { QW_V16_EACH(v16, vfmaq_f32(z.val[i], x.val[i], y.val[i])); }  /* x * y + z, rounded once */
static inline v16 v16_fnma(v16 x, v16 y, v16 z) { QW_V16_EACH(v16, vfmsq_f32(z.val[i], x.val[i], y.val[i])); } /* z - x * y */
static inline v16 v16_max(v16 x, v16 y)
{
    QW_V16_EACH(v16, vbslq_f32(vcgtq_f32(x.val[i], y.val[i]), x.val[i], y.val[i]));
} /* y where either is NaN */
static inline v16 v16_min(v16 x, v16 y) { QW_V16_EACH(v16, vbslq_f32(vcltq_f32(x.val[i], y.val[i]), x.val[i], y.val[i])); }
static inline v16 v16_abs(v16 x) { QW_V16_EACH(v16, vabsq_f32(x.val[i])); }
static inline v16 v16_round(v16 x) { QW_V16_EACH(v16, vrndnq_f32(x.val[i])); }
static inline v16i v16_to_int(v16 x) { QW_V16_EACH(v16i, vcvtnq_s32_f32(x.val[i])); } /* nearest even */
static inline v16 v16_from_int(v16i x) { QW_V16_EACH(v16, vcvtq_f32_s32(x.val[i])); }
static inline v16i v16i_set(int32_t x) { QW_V16_EACH(v16i, vdupq_n_s32(x)); }
static inline v16i v16i_add(v16i x, v16i y) { QW_V16_EACH(v16i, vaddq_s32(x.val[i], y.val[i])); }
static inline v16i v16i_sub(v16i x, v16i y) { QW_V16_EACH(v16i, vsubq_s32(x.val[i], y.val[i])); }
#define v16i_shl(x, n) \
  ((v16i){ { vshlq_n_s32((x).val[0], n), vshlq_n_s32((x).val[1], n), vshlq_n_s32((x).val[2], n), vshlq_n_s32((x).val[3], n) } })
#define v16i_shr(x, n) \
  ((v16i){ { vshrq_n_s32((x).val[0], n), vshrq_n_s32((x).val[1], n), vshrq_n_s32((x).val[2], n), vshrq_n_s32((x).val[3], n) } })
static inline v16 v16_as_float(v16i x) { QW_V16_EACH(v16, vreinterpretq_f32_s32(x.val[i])); }
static inline v16i v16_as_int(v16 x) { QW_V16_EACH(v16i, vreinterpretq_s32_f32(x.val[i])); }
static inline v16 v16_select_lt(v16 x, v16 y, v16 yes, v16 no) /* x < y ? yes : no */
{
    QW_V16_EACH(v16, vbslq_f32(vcltq_f32(x.val[i], y.val[i]), yes.val[i], no.val[i]));
}
/* lanes l and l + 8, then l + 4, l + 2, l + 1 */
static inline float v16_sum(v16 x)
{
    const float32x4_t q = vaddq_f32(vaddq_f32(x.val[0], x.val[2]), vaddq_f32(x.val[1], x.val[3]));
    const float32x2_t h = vadd_f32(vget_low_f32(q), vget_high_f32(q));
    return vget_lane_f32(h, 0) + vget_lane_f32(h, 1);
}
/* v16_sum of four at once */
static inline float32x4_t v16_quarter(v16 x) { return vaddq_f32(vaddq_f32(x.val[0], x.val[2]), vaddq_f32(x.val[1], x.val[3])); }
static inline float32x4_t v16_halves(float32x4_t x, float32x4_t y)
{
    return vaddq_f32(vcombine_f32(vget_low_f32(x), vget_low_f32(y)), vcombine_f32(vget_high_f32(x), vget_high_f32(y)));
}
static inline void v16_sum4(float *sums, v16 x, v16 y, v16 z, v16 w)
{
    vst1q_f32(sums, vpaddq_f32(v16_halves(v16_quarter(x), v16_quarter(y)), v16_halves(v16_quarter(z), v16_quarter(w))));
}
static inline float v16_largest(v16 x) { return vmaxvq_f32(vmaxq_f32(vmaxq_f32(x.val[0], x.val[2]), vmaxq_f32(x.val[1], x.val[3]))); }

#endif
