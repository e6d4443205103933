/* Attention, level avx512: 16 sums in registers; of one dimension of 64 keys, 4 loads and 4 broadcasts serve 16 multiplications. Tested by
 * tests/unit/test_kernels_attn.c. */
#include "kernels/levels.h"
#include "kernels/vec/math.h"

#define ATTN_QUERIES 4
#define ATTN_VECTORS 4
#define ATTN_EXP v16_exp

static inline v16 load_i8(const int8_t *p)
{
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128((const __m128i *)(const void *)p)));
}

#include "kernels/vec/attn_types_body.h"

void qw_attn_avx512(qw_kernels *k) { attn_fill(k); }
