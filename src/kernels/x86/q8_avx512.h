/* What the files of the eight-bit products of level avx512 share. A panel is 16 rows of weights unpacked: codes [cols / 4][16 rows][4], scales and biases
 * [cols / unit][16 rows] as floats. Rows that are too few for a panel make one each, 16 times the same: its first result is stored. */
#ifndef QW_KERNELS_Q8_AVX512_H
#define QW_KERNELS_Q8_AVX512_H

#include "kernels/ref/ref.h"

#include <immintrin.h>
#include <string.h>

#define ROWS 16        /* of a panel */
#define BATCH 16       /* groups whose scales are fetched together */
#define BATCH_UNITS 64 /* at most, of 16 columns */
#define INLINE static inline __attribute__((always_inline))
#define UNROLL _Pragma("GCC unroll 64")

/* The rows of one panel in the matrix, `stride` bytes apart: 16 of them, or one that counts 16 times, with a stride of 0. */
typedef struct q8_rows {
    const qw_matrix *w;
    size_t n;
    const uint8_t *at;
    const char *scales, *biases; /* of the affine types */
    size_t stride, scale_stride;
} q8_rows;

/* The compiler takes p for a pointer of its own. Otherwise it computes the addresses of all rows ahead of a loop, more than there are registers. */
#define Q8_OPAQUE(p) __asm__ volatile("" : "+r"(p))

typedef struct q8_panel {
    uint8_t *codes;
    float *scales, *biases;
} q8_panel;

/* Scales and biases of groups [group, group + n), group a multiple of BATCH, n <= BATCH, as [units][16 rows]. */
void qw_q8_scales_avx512(const q8_rows *rows, size_t group, size_t n, float *scales, float *biases);

/* y of one panel for tokens [token, token + n) of `a`, n <= QW_Q8_TOKENS; y rows [row, row + rows) of the call. next: what is asked for meanwhile, so many bytes a
 * group; or NULL. */
#define QW_Q8_TOKENS 12
void qw_q8_panel_avx512(const qw_q8_matmul *a, const q8_panel *panel, size_t row, size_t rows, size_t token, size_t n, const char *next,
                        size_t next_bytes);

/* The whole panels of a product of 2..QW_Q8_FEW tokens with an affine type in units of 64; other products not at all. Returns the rows that are done. Called for every
 * product of up to QW_Q8_TOKENS tokens, for what it makes ready of them. */
#define QW_Q8_FEW 6
size_t qw_q8_few_avx512(const qw_q8_matmul *a);

void qw_quantize_avx512(const qw_q8_quantize *a);

/* t[l] of four vectors: dword q of lane l of a, b, c, d: a 4 x 4 transposition in each lane. */
INLINE void q8_transpose4(__m512i v[4])
{
    const __m512i ab0 = _mm512_unpacklo_epi32(v[0], v[1]), ab1 = _mm512_unpackhi_epi32(v[0], v[1]);
    const __m512i cd0 = _mm512_unpacklo_epi32(v[2], v[3]), cd1 = _mm512_unpackhi_epi32(v[2], v[3]);
    v[0] = _mm512_unpacklo_epi64(ab0, cd0);
    v[1] = _mm512_unpackhi_epi64(ab0, cd0);
    v[2] = _mm512_unpacklo_epi64(ab1, cd1);
    v[3] = _mm512_unpackhi_epi64(ab1, cd1);
}

/* Lane l: the sums of lane l of a, b, c, d. */
INLINE __m512i q8_sum4(const __m512i v[4])
{
    const __m512i ab = _mm512_add_epi32(_mm512_unpacklo_epi32(v[0], v[1]), _mm512_unpackhi_epi32(v[0], v[1]));
    const __m512i cd = _mm512_add_epi32(_mm512_unpacklo_epi32(v[2], v[3]), _mm512_unpackhi_epi32(v[2], v[3]));
    return _mm512_add_epi32(_mm512_unpacklo_epi64(ab, cd), _mm512_unpackhi_epi64(ab, cd));
}

/* Lanes 0 and 2 of both; lanes 1 and 3 of both. */
INLINE __m512i q8_even(__m512i u, __m512i v) { return _mm512_shuffle_i32x4(u, v, 0x88); }
INLINE __m512i q8_odd(__m512i u, __m512i v) { return _mm512_shuffle_i32x4(u, v, 0xDD); }

#endif
