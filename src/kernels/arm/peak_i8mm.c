/* What the machine can do at most, level i8mm: its product of matrices of bytes. Tested by tests/unit/test_kernels_peak.c. */
#include "kernels/levels.h"

#include <arm_neon.h>

#define CHAINS 16

static uint64_t dot_peak(uint64_t rounds, float *sink)
{
    const uint8x16_t a = vdupq_n_u8(3);
    const int8x16_t b = vdupq_n_s8(-2);
    int32x4_t sums[CHAINS];
    for (int i = 0; i < CHAINS; i++)
        sums[i] = vdupq_n_s32(i); /* different, or the compiler finds that they stay equal */
    for (uint64_t r = 0; r < rounds; r++) {
#pragma GCC unroll 16
        for (int i = 0; i < CHAINS; i++)
            sums[i] = vusmmlaq_s32(sums[i], a, b);
    }
    for (int i = 1; i < CHAINS; i++)
        sums[0] = vaddq_s32(sums[0], sums[i]);
    *sink += (float)vaddvq_s32(sums[0]);
    return rounds * CHAINS * 64;
}

void qw_peak_i8mm(qw_kernels *k) { k->dot_peak = (qw_peak){ "usmmla", dot_peak }; }
