/* What the machine can do at most, level neon: its dot product of bytes and fma in registers, reading in whole vectors. Tested by
 * tests/unit/test_kernels_peak.c. */
#include "kernels/levels.h"

#include <arm_neon.h>

#define CHAINS 16 /* hides a latency of 4 at four a cycle */

static uint64_t dot_peak(uint64_t rounds, float *sink)
{
    const int8x16_t a = vdupq_n_s8(3), b = vdupq_n_s8(-2);
    int32x4_t sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = vdupq_n_s32(i); /* different, or the compiler finds that they stay equal */
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            sums[i] = vdotq_s32(sums[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = vaddq_s32(sums[0], sums[i]);
    *sink += (float)vaddvq_s32(sums[0]);
    return rounds * CHAINS * 32;
}

static uint64_t fma_peak(uint64_t rounds, float *sink)
{
    const float32x4_t a = vdupq_n_f32(0.999f), b = vdupq_n_f32(1e-3f);
    float32x4_t sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = vdupq_n_f32((float)i);
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            sums[i] = vfmaq_f32(sums[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = vaddq_f32(sums[0], sums[i]);
    *sink += vaddvq_f32(sums[0]);
    return rounds * CHAINS * 8;
}

static uint64_t read(const void *p, size_t n)
{
    uint64x2_t sums[4] = { vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0), vdupq_n_u64(0) };
    const uint8_t *at = p;
    for (size_t i = 0; i + 64 <= n; i += 64)
        for (int k = 0; k < 4; k++)
            sums[k] = vaddq_u64(sums[k], vreinterpretq_u64_u8(vld1q_u8(at + i + 16 * (size_t)k)));
    return vaddvq_u64(vaddq_u64(vaddq_u64(sums[0], sums[1]), vaddq_u64(sums[2], sums[3])));
}

void qw_peak_neon(qw_kernels *k)
{
    k->dot_peak = (qw_peak){ "sdot", dot_peak };
    k->float_peak = (qw_peak){ "fmla", fma_peak };
    k->read = read;
}
