/* What the levels of Arm share of eight-bit products (kernels/q8.h): the types, panels of eight rows of unpacked weights, and how results are stored. Included by
 * q8_neon.c and q8_i8mm.c. Tested by tests/kernels/check_q8.c. */
#ifndef QW_KERNELS_ARM_Q8_BODY_H
#define QW_KERNELS_ARM_Q8_BODY_H

#include "kernels/arm/q8_codes_body.h"
#include "kernels/arm/q8_scales_body.h"
#include "kernels/levels.h"

#define PANEL_ROWS 8
#define BLOCK_TOKENS \
  4 /* that a panel meets at once: 8 x 4 integer sums and 8 x 4 float sums are 16 registers, which leaves 16 for operands */

/* Every type of qw_q8_has(). */
#define QW_Q8_TYPES(X) \
  X(AFFINE2) X(AFFINE3) X(AFFINE4) X(AFFINE5) X(AFFINE6) X(AFFINE8) X(Q8_0) X(Q4_0) X(Q4_1) X(Q5_0) X(Q5_1) X(Q4_K) X(Q5_K) X(Q6_K)

/* The whole slot of the level neon, any type: i8mm hands it what matrix products do not do better. */
void qw_matmul_q8_neon(const qw_q8_matmul *a);

/* Eight rows in a->scratch; those that a matrix does not have are copies of its last one. */
typedef struct panel {
    uint8_t *codes;         /* [cols * 8]; each level has its order */
    float *scales, *biases; /* [units, lanes]: of 8 rows, on i8mm twice each */
    int32_t *offsets;       /* [units, BLOCK_TOKENS], neon's types of 8 bits alone */
} panel;

ALWAYS panel panel_in(const qw_q8_matmul *a, size_t lanes)
{
    const size_t cols = a->w->cols, most_units = cols / 16;
    panel p = { .codes = a->scratch };
    p.scales = (float *)(void *)(p.codes + PANEL_ROWS * cols);
    p.biases = p.scales + lanes * most_units;
    p.offsets = (int32_t *)(void *)(p.biases + lanes * most_units);
    return p;
}

/* A constant for all but the affine types. */
ALWAYS size_t unit_of(qw_type type, const qw_matrix *w)
{
    const bool affine = type >= QW_TYPE_AFFINE2 && type <= QW_TYPE_AFFINE8;
    return type == QW_TYPE_Q6_K ? 16 : affine && w->group != 32 ? 64 : 32;
}

ALWAYS const qw_q8_group *group_of(const qw_q8 *x, size_t token, size_t g) { return x->groups + token * (x->cols / QW_Q8_GROUP) + g; }
ALWAYS const qw_q8_fix *fixes_of(const qw_q8 *x, size_t token, size_t g)
{
    return x->fixes + (token * (x->cols / QW_Q8_GROUP) + g) * (size_t)x->n_fix;
}
ALWAYS float unit_sum(const qw_q8_group *g, size_t unit, size_t u)
{
    return unit == 64 ? g->sum64 : unit == 32 ? g->sum32[u] : g->sum16[u];
}
/* The unit of a group in which a quad stands, units of a constant number of columns. */
ALWAYS size_t unit_with(uint32_t quad, size_t unit) { return unit == 64 ? 0 : 4 * quad / unit; }

/* Results of rows [r, r + n) of n_rows, n <= 4, for token t of the call. */
ALWAYS void store_rows(const qw_q8_matmul *a, size_t r, size_t t, float32x4_t v)
{
    float *y = a->y + t * a->y_stride + r;
    if (r + 4 <= a->n_rows) {
        vst1q_f32(y, a->add ? vaddq_f32(vld1q_f32(y), v) : v);
        return;
    }
    float lanes[4];
    vst1q_f32(lanes, v);
    for (size_t i = 0; r + i < a->n_rows; i++)
        y[i] = a->add ? y[i] + lanes[i] : lanes[i];
}

/* Rows [r, r + 4) of the call, the last one in the place of those that are no more: where their bytes begin. Their scales and biases are written. */
ALWAYS void enter_rows(qw_type type, const qw_q8_matmul *a, size_t r, const uint8_t **row, float *scales, float *biases, size_t stride)
{
    const size_t block = type == QW_TYPE_Q4_K || type == QW_TYPE_Q5_K || type == QW_TYPE_Q6_K ? 256 : 32;
    size_t rows[4];
    for (size_t i = 0; i < 4; i++) {
        rows[i] = a->first + (r + i < a->n_rows ? r + i : a->n_rows - 1);
        row[i] = (const uint8_t *)a->w->data + rows[i] * (a->w->cols / block) * block_bytes_of(type);
    }
    scales_of(a->w, rows, scales, biases, stride);
}

#endif
