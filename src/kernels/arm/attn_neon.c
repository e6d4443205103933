/* Attention, level neon: 16 of the 32 registers are sums. Tested by tests/unit/test_kernels_attn.c. */
#include "kernels/levels.h"
#include "kernels/vec/math.h"

#define ATTN_QUERIES 4
#define ATTN_VECTORS 1
#define ATTN_EXP v16_exp

static inline v16 load_i8(const int8_t *p)
{
    const int8x16_t codes = vld1q_s8(p);
    const int16x8_t low = vmovl_s8(vget_low_s8(codes)), high = vmovl_s8(vget_high_s8(codes));
    const v16i x = { { vmovl_s16(vget_low_s16(low)), vmovl_s16(vget_high_s16(low)), vmovl_s16(vget_low_s16(high)),
                       vmovl_s16(vget_high_s16(high)) } };
    return v16_from_int(x);
}

#include "kernels/vec/attn_types_body.h"

void qw_attn_neon(qw_kernels *k) { attn_fill(k); }
