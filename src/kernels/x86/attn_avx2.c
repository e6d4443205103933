/* Attention, level avx2: 8 of the 16 registers are sums. Tested by tests/unit/test_kernels_attn.c. */
#include "kernels/levels.h"
#include "kernels/vec/math.h"

#define ATTN_QUERIES 4
#define ATTN_VECTORS 1
#define ATTN_EXP v16_exp

static inline v16 load_i8(const int8_t *p)
{
    const __m128i codes = _mm_loadu_si128((const __m128i *)(const void *)p);
    return (v16){ _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(codes)), _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_srli_si128(codes, 8))) };
}

#include "kernels/vec/attn_types_body.h"

void qw_attn_avx2(qw_kernels *k) { attn_fill(k); }
