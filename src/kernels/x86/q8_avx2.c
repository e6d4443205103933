/* Weights times activations in eight bits, level avx2: unsigned codes times signed bytes in vpmaddubsw, which is exact for codes of up to 6 bits; the sums of
 * several quads fit 16 bits before vpmaddwd widens them. 8-bit codes would not fit: their panels are wide. Tested by tests/unit/test_kernels_q8_levels.c. */
#include "kernels/levels.h"
#include "kernels/x86/q8_256_codes.h"

#define TOKENS 3
#define TOKEN_CASES(CASE) CASE(1) CASE(2) CASE(3)
#define WIDE_TOKENS 4
#define WIDE_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4)
#define USES_WIDE(bits, n_fix) ((bits) == 8 || (n_fix) > 4)
/* products of a quad that fit 16 bits together: (2^bits - 1) * 128 * 2 * depth < 2^15 */
#define DEPTH(bits) ((bits) > 5 ? 2 : (bits) > 4 ? 4 : 8)
#define ADD_MADD(sum, a, b) _mm256_add_epi32(sum, _mm256_madd_epi16(a, b))

/* dot[t] = quads [0, quads) of `codes` times the bytes at low[t] + from; `depth` quads are added in 16 bits. Two quads at a time: with 3 tokens x 16 rows
 * that is 6 sums, 4 vectors of codes, 2 of activations and 2 products in 16 registers. The loop stays one: unrolled, its sums become a tree of additions and
 * the tree's leaves go through memory. */
INLINE void unit_dots(const int quads, const int depth, const int tokens, const uint8_t *codes, const int8_t *const *low, const int from,
                      __m256i dot[][2])
{
    const __m256i ones = _mm256_set1_epi16(1);
#pragma GCC unroll 3
    for (int t = 0; t < tokens; t++)
        dot[t][0] = dot[t][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
    for (int q = 0; q < quads; q += depth) {
        __m256i sum[TOKENS][2];
#pragma GCC unroll 4
        for (int d = 0; d < depth; d += 2) {
            const uint8_t *at = codes + 64 * (q + d);
            const __m256i w0 = load32(at), w1 = load32(at + 32), w2 = load32(at + 64), w3 = load32(at + 96);
#pragma GCC unroll 3
            for (int t = 0; t < tokens; t++) {
                const __m256i x0 = broadcast4(low[t] + from + 4 * (q + d)), x1 = broadcast4(low[t] + from + 4 * (q + d) + 4);
                const __m256i p0 = _mm256_add_epi16(_mm256_maddubs_epi16(w0, x0), _mm256_maddubs_epi16(w2, x1));
                const __m256i p1 = _mm256_add_epi16(_mm256_maddubs_epi16(w1, x0), _mm256_maddubs_epi16(w3, x1));
                sum[t][0] = d ? _mm256_add_epi16(sum[t][0], p0) : p0;
                sum[t][1] = d ? _mm256_add_epi16(sum[t][1], p1) : p1;
                HERE(sum[t][0]);
                HERE(sum[t][1]);
            }
        }
#pragma GCC unroll 3
        for (int t = 0; t < tokens; t++)
            for (int h = 0; h < 2; h++)
                dot[t][h] = _mm256_add_epi32(dot[t][h], _mm256_madd_epi16(sum[t][h], ones));
    }
}

INLINE __m256i dot_high(__m256i codes, __m256i high)
{
    return _mm256_madd_epi16(_mm256_maddubs_epi16(codes, high), _mm256_set1_epi16(128));
}

#include "kernels/x86/q8_256_body.h"

void qw_q8_avx2(qw_kernels *k) { fill_table(k); }
