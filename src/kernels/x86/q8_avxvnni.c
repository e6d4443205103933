/* Weights times activations in eight bits, level avxvnni: as avx2, but vpdpbusd multiplies unsigned codes of any width by signed bytes and adds four products
 * to 32 bits at once. Tested by tests/unit/test_kernels_q8_vnni.c, on processors without it with the same dot product made of other instructions. */
#include "kernels/levels.h"
#include "kernels/x86/q8_256_codes.h"

#define TOKENS 5
#define TOKEN_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4) CASE(5)
#define WIDE_TOKENS 4
#define WIDE_CASES(CASE) CASE(1) CASE(2) CASE(3) CASE(4)
/* a fixed quad costs as much as any other, a wide panel twice a narrow one */
#define USES_WIDE(bits, n_fix) ((void)(bits), (n_fix) > 14)
#define DEPTH(bits) ((void)(bits), 2)
#ifndef QW_DPBUSD
#  define QW_DPBUSD _mm256_dpbusd_avx_epi32
#  define QW_DPWSSD _mm256_dpwssd_avx_epi32
#endif
#define ADD_MADD(sum, a, b) QW_DPWSSD(sum, a, b)

/* dot[t] = quads [0, quads) of `codes` times the bytes at low[t] + from. 5 tokens x 16 rows: 10 sums, 2 vectors of codes, 1 of activations in 16 registers, and
 * enough sums to hide the latency of two a cycle. */
INLINE void unit_dots(const int quads, const int depth, const int tokens, const uint8_t *codes, const int8_t *const *low, const int from,
                      __m256i dot[][2])
{
    (void)depth;
    __m256i sum[TOKENS][2];
#pragma GCC unroll 6
    for (int t = 0; t < tokens; t++)
        sum[t][0] = sum[t][1] = _mm256_setzero_si256();
#pragma GCC unroll 1
    for (int q = 0; q < quads; q++) {
        const __m256i w0 = load32(codes + 64 * q), w1 = load32(codes + 64 * q + 32);
#pragma GCC unroll 6
        for (int t = 0; t < tokens; t++) {
            const __m256i x = broadcast4(low[t] + from + 4 * q);
            sum[t][0] = QW_DPBUSD(sum[t][0], w0, x);
            sum[t][1] = QW_DPBUSD(sum[t][1], w1, x);
        }
    }
#pragma GCC unroll 6
    for (int t = 0; t < tokens; t++) {
        dot[t][0] = sum[t][0];
        dot[t][1] = sum[t][1];
    }
}

INLINE __m256i dot_high(__m256i codes, __m256i high) { return _mm256_slli_epi32(QW_DPBUSD(_mm256_setzero_si256(), codes, high), 7); }

#include "kernels/x86/q8_256_body.h"

void qw_q8_avxvnni(qw_kernels *k) { fill_table(k); }
