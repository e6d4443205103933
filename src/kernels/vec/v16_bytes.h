/* Sixteen bytes as one value (b16), and how they become v16: for the codes of weights. */
#ifndef QW_KERNELS_V16_BYTES_H
#define QW_KERNELS_V16_BYTES_H

#include "kernels/vec/v16.h"

#include <string.h>

#if defined(__ARM_NEON)

typedef uint8x16_t b16;

static inline b16 b16_load(const uint8_t *p) { return vld1q_u8(p); }
static inline b16 b16_and(b16 x, uint8_t mask) { return vandq_u8(x, vdupq_n_u8(mask)); }
static inline b16 b16_or(b16 x, b16 y) { return vorrq_u8(x, y); }
static inline b16 b16_sub(b16 x, uint8_t y) { return vsubq_u8(x, vdupq_n_u8(y)); }
static inline b16 b16_shr(b16 x, int n) { return vshlq_u8(x, vdupq_n_s8((int8_t)-n)); } /* of each byte; n < 8 */
static inline b16 b16_shl(b16 x, int n) { return vshlq_u8(x, vdupq_n_s8((int8_t)n)); }
static inline v16 v16_from_u8(b16 x)
{
    const uint16x8_t low = vmovl_u8(vget_low_u8(x)), high = vmovl_u8(vget_high_u8(x));
    return (v16){ { vcvtq_f32_u32(vmovl_u16(vget_low_u16(low))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(low))),
                    vcvtq_f32_u32(vmovl_u16(vget_low_u16(high))), vcvtq_f32_u32(vmovl_u16(vget_high_u16(high))) } };
}
static inline v16 v16_from_i8(b16 x)
{
    const int16x8_t low = vmovl_s8(vget_low_s8(vreinterpretq_s8_u8(x))), high = vmovl_s8(vget_high_s8(vreinterpretq_s8_u8(x)));
    return (v16){ { vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))),
                    vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))) } };
}
/* Lane l: the four bytes that `bytes` [64] names (none when >= 16), shifted right by shifts[l], and `mask`. */
static inline v16 v16_from_fields(b16 x, const uint8_t *bytes, const int32_t *shifts, int32_t mask)
{
    v16 r;
    for (int i = 0; i < 4; i++) {
        const uint32x4_t word = vreinterpretq_u32_u8(vqtbl1q_u8(x, vld1q_u8(bytes + 16 * i)));
        r.val[i] = vcvtq_f32_u32(vandq_u32(vshlq_u32(word, vnegq_s32(vld1q_s32(shifts + 4 * i))), vdupq_n_u32((uint32_t)mask)));
    }
    return r;
}

#elif defined(__AVX2__)

typedef __m128i b16;

static inline b16 b16_load(const uint8_t *p) { return _mm_loadu_si128((const __m128i *)(const void *)p); }
static inline b16 b16_and(b16 x, uint8_t mask) { return _mm_and_si128(x, _mm_set1_epi8((char)mask)); }
static inline b16 b16_or(b16 x, b16 y) { return _mm_or_si128(x, y); }
static inline b16 b16_sub(b16 x, uint8_t y) { return _mm_sub_epi8(x, _mm_set1_epi8((char)y)); }
static inline b16 b16_shr(b16 x, int n) { return b16_and(_mm_srli_epi16(x, n), (uint8_t)(0xFF >> n)); } /* of each byte; n < 8 */
static inline b16 b16_shl(b16 x, int n) { return b16_and(_mm_slli_epi16(x, n), (uint8_t)(0xFF << n)); }

#  if defined(__AVX512F__)
static inline v16 v16_from_u8(b16 x) { return _mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(x)); }
static inline v16 v16_from_i8(b16 x) { return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(x)); }
/* Lane l: the four bytes that `bytes` [64] names (none when >= 16), shifted right by shifts[l], and `mask`. */
static inline v16 v16_from_fields(b16 x, const uint8_t *bytes, const int32_t *shifts, int32_t mask)
{
    const __m512i word = _mm512_shuffle_epi8(_mm512_broadcast_i32x4(x), _mm512_loadu_si512(bytes));
    return _mm512_cvtepi32_ps(_mm512_and_si512(_mm512_srlv_epi32(word, _mm512_loadu_si512(shifts)), _mm512_set1_epi32(mask)));
}
#  else
static inline v16 v16_from_u8(b16 x)
{
    return (v16){ _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(x)), _mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_srli_si128(x, 8))) };
}
static inline v16 v16_from_i8(b16 x)
{
    return (v16){ _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(x)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(x, 8))) };
}
static inline __m256 v8_from_fields(b16 x, const uint8_t *bytes, const int32_t *shifts, int32_t mask)
{
    const __m256i at = _mm256_loadu_si256((const __m256i *)(const void *)bytes),
                  shift = _mm256_loadu_si256((const __m256i *)(const void *)shifts);
    const __m256i word = _mm256_shuffle_epi8(_mm256_broadcastsi128_si256(x), at);
    return _mm256_cvtepi32_ps(_mm256_and_si256(_mm256_srlv_epi32(word, shift), _mm256_set1_epi32(mask)));
}
/* Lane l: the four bytes that `bytes` [64] names (none when >= 16), shifted right by shifts[l], and `mask`. */
static inline v16 v16_from_fields(b16 x, const uint8_t *bytes, const int32_t *shifts, int32_t mask)
{
    return (v16){ v8_from_fields(x, bytes, shifts, mask), v8_from_fields(x, bytes + 32, shifts + 8, mask) };
}
#  endif
#endif

#endif
