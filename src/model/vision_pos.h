/* Where a patch stands, and what the tower makes of it: its part of the learned table and its rotation. Private to src/model. */
#ifndef QW_MODEL_VISION_POS_H
#define QW_MODEL_VISION_POS_H

#include "image/image.h"

typedef struct qw_vision_place {
    int row, col; /* in patches */
} qw_vision_place;

/* Places of the patches first .. first + n - 1. Patches stand in merge blocks of merge x merge, row by row within, so that those that
 * become one token are neighbours. */
void qw_vision_places(qw_vision_place *out, qw_grid grid, int merge, size_t first, size_t n);

/* The learned positions are a table of side x side rows. Patch i reads the rows at[i] of it, weighted: bilinear, corners aligned. */
void qw_vision_taps(int32_t (*at)[4], float (*weight)[4], const qw_vision_place *places, size_t n, qw_grid grid, int side);

/* Cosine and sine [n_positions, quarter] of p * theta^(-k / quarter), k < quarter, computed in float as the reference does. */
void qw_vision_angles(float *cos_table, float *sin_table, size_t n_positions, size_t quarter, double theta);
/* One of those tables -> rows [n, 2 * quarter] as the slot rope reads them: the first half turns by the patch's row, the second by its
 * column. */
void qw_vision_rope(float *out, const float *table, const qw_vision_place *places, size_t n, size_t quarter);

#endif
