/* What the files behind encode.h share. */
#ifndef QW_CONVERT_ENCODE_PARTS_H
#define QW_CONVERT_ENCODE_PARTS_H

#include "convert/encode.h"
#include "quant/half.h"

#include <math.h>

#define QW_GROUP_MIN 32 /* columns of the smallest and the largest group */
#define QW_GROUP_MAX 128

/* The values that a group can have: scale * q + bias for q = 0 .. 2^bits - 1. */
typedef struct qw_grid {
    float scale, bias;
} qw_grid;

/* As MLX chooses it; not yet rounded to a 16-bit type. w [n] */
qw_grid qw_plain_grid(const float *w, size_t n, int bits);

/* The grid, representable in `type`, with the smallest sum of h (w - value)^2 that the search finds, never worse than the rounded plain
 * grid. h [n] > 0 */
qw_grid qw_search_grid(const float *w, const float *h, size_t n, int bits, qw_type type);

/* The nearest code of w, as a float: what search and feedback use. inverse = 1 / scale, 0 for a scale of 0. Adding 1.5 * 2^23 rounds to an
 * integer, ties to even, without a call that would keep the compiler from making vectors. */
static inline float qw_nearest_code(float w, float inverse, float bias, float top)
{
    float q = (w - bias) * inverse;
    q = q < 0 ? 0 : q;
    q = q > top ? top : q;
    return q + 0x1.8p23f - 0x1.8p23f;
}

static inline float qw_inverse_scale(float scale)
{
    const float inverse = 1 / scale;
    return isfinite(inverse) ? inverse : 0;
}

/* The value that x has once it is stored as `type` (F32, F16, BF16). */
static inline float qw_rounded_to(qw_type type, float x)
{
    if (type == QW_TYPE_BF16)
        return qw_bf16_to_f32(qw_f32_to_bf16(x));
    return type == QW_TYPE_F16 ? qw_f16_to_f32(qw_f32_to_f16(x)) : x;
}

/* Group g of a row of out <- the grid and its codes [out->group]. E_FORMAT when the grid is not finite as out->scale_type. */
qwren_status qw_store_group(const qw_matrix *out, size_t row, size_t g, qw_grid grid, const uint8_t *codes, qwren_error *err);

/* Rows [first, first + n) by error feedback; weights are finite. */
qwren_status qw_feedback_rows(const qw_matrix *out, size_t first, size_t n, const float *w, const qw_moments *m, qwren_error *err);

/* ---- moments, finished. Block k covers the columns [k * block, k * block + width). */
struct qw_moments {
    size_t cols, block; /* block <= cols; 0: the diagonal alone */
    double count;       /* rows seen */
    size_t left_out;    /* rows that were not usable */
    double spread;      /* times the mean of the diagonal, added to it by finish */
    float *sums;        /* blocks one after the other, each [width, width], symmetric: sums, after finish means; diagonal: [cols] */
    float *feedback;    /* like sums, upper triangles with diagonal 1: T of moments.c */
    float *
        shift; /* like sums, whole squares, NULL without pairs: sums of (source - x) x^T; after finish S: w - w S is what to code instead of
                * w */
    float *weights;   /* [cols] of the search: mean square of an input, a little more for inputs that hardly ever speak */
    float *remaining; /* [cols] the same under feedback: what of the input the later inputs of the block cannot make up for */
    float *panels;    /* scratch of add: a chunk of rows */
    float *lost;      /* another, of source - x */
};

/* Columns of the block that begins at column `first`. */
static inline size_t qw_moments_width(const qw_moments *m, size_t first) { return m->cols - first < m->block ? m->cols - first : m->block; }

#endif
