/* Activations in eight bits and a little more, as integer kernels read them.
 *
 * A row is cut into groups of 64 columns. In each, x ~ scale * v with integers v. The `n_fix` quads (4 neighbouring columns, 16 in a group) that hold the
 * largest magnitudes are left out when the scale is chosen, and v is split there: v = low + 128 * high. Elsewhere v = low. One dot product more per fixed
 * quad, and one outlier no longer costs its neighbours their precision: on qwren-nano one fixed quad divides the divergence from float activations by 2.8, two
 * by 4.3 (docs/performance.md).
 *
 * To the bit, on every level:
 *   m = largest |x| of the group, m1 = of its quads that are not fixed (of equal ones the lower stays in the list of fixed ones)
 *   scale = max(m1 * (1 / 127.0f), m * (1 / 16256.0f)); below 1e-30 scale = 0 and all v = 0; when a value is not finite, scale = NaN and all v = 0
 *   v = x * (1 / scale) rounded to the nearest even integer; in fixed quads high = (v + 64) >> 7, low = v - 128 * high
 *   sums: scale * (float)(sum of v) over 64, 32 and 16 columns */
#ifndef QW_KERNELS_Q8_H
#define QW_KERNELS_Q8_H

#include "quant/matrix.h"

#include <stdbool.h>
#include <stdint.h>

#define QW_Q8_GROUP 64
#define QW_Q8_QUADS 16 /* of a group; n_fix = 16 gives all values 15 bits */

typedef struct qw_q8_group {
    float scale, sum64, sum32[2], sum16[4];
} qw_q8_group;

typedef struct qw_q8_fix {
    uint32_t quad; /* 0..15: columns 4 * quad .. 4 * quad + 3 of the group */
    int8_t high[4];
} qw_q8_fix;

/* Rows [n, cols]; cols is a multiple of QW_Q8_GROUP. All arrays are aligned to 64 bytes and owned by the caller. */
typedef struct qw_q8 {
    size_t cols;
    int n_fix;           /* 0..16 */
    int8_t *low;         /* [n, cols] */
    qw_q8_group *groups; /* [n, cols / 64] */
    qw_q8_fix *fixes;    /* [n, cols / 64, n_fix]; in no particular order */
} qw_q8;

/* Of rows [token, token + n_tokens) groups [group, group + n_groups): the columns of row t, and these alone, stand at x + t * x_stride. */
typedef struct qw_q8_quantize {
    const qw_q8 *out;
    size_t token, n_tokens, group, n_groups;
    const float *x;
    size_t x_stride; /* floats */
} qw_q8_quantize;

/* y[t][r] = w[first + r] . x[first_token + t] for r < n_rows, t < n_tokens; y[t][r] += ... when `add`.
 *
 * To the bit, on every level, for every number of tokens: a row's columns are taken in units of min(columns that share a scale of w, 64). With the weight codes
 * q as unsigned integers, w = s * q + b,
 *   I = sum of q * v over the unit (exact), acc = fma((float)I, s * scale, acc), acc = fma(b, sum of the unit, acc)
 * in the order of the columns. s and b in float:
 *   affine        the group's scale and bias
 *   Q8_0, Q4_0, Q4_1, Q5_0, Q5_1   q offset to be unsigned (by 128, 8, -, 16, -); s = d, b = -offset * d, or m
 *   Q4_K, Q5_K    s = d * sc, b = -(dmin * m)       Q6_K   q offset by 32: s = d * sc, b = -32 * s       (Q2_K as Q4_K, Q3_K by 4 as Q6_K, where they are done) */
typedef struct qw_q8_matmul {
    float *y;
    size_t y_stride; /* floats */
    const qw_matrix *w;
    size_t first, n_rows;
    const qw_q8 *x;
    size_t first_token, n_tokens;
    bool add;
    bool
        ready; /* the last call with this scratch had the same rows of x: what a kernel keeps there of a few tokens still stands. That must not depend on
                    * w: the call before may have had other weights, of another type and in other units. */
    void *scratch; /* qw_q8_scratch(w->cols) bytes, aligned to 64, of this thread alone */
} qw_q8_matmul;

size_t qw_q8_scratch(size_t cols);

#endif
