/* Positions of patches (vision_pos.h): merge order -> row and column -> taps of the learned table, rows of the rotary table. vision.c asks
 * for them block by block. Tested by tests/golden/test_vision.c. */
#include "model/vision_pos.h"

#include <math.h>
#include <string.h>

void qw_vision_places(qw_vision_place *out, qw_grid grid, int merge, size_t first, size_t n)
{
    size_t m = (size_t)merge, blocks_per_row = (size_t)grid.w / m;
    for (size_t i = 0; i < n; i++) {
        size_t within = (first + i) % (m * m), block = (first + i) / (m * m);
        out[i].row = (int)(block / blocks_per_row * m + within / m);
        out[i].col = (int)(block % blocks_per_row * m + within % m);
    }
}

/* Two neighbours on one axis of the table. */
typedef struct axis_taps {
    int at[2];
    float weight[2];
} axis_taps;

static axis_taps taps_on_axis(int position, int length, int side)
{
    /* the order of the float operations is the reference's */
    float u = (float)position * (float)(side - 1) / (float)(length > 1 ? length - 1 : 1);
    float low = floorf(u), fraction = u - low;
    int at = (int)low < side - 1 ? (int)low : side - 1;
    return (axis_taps){ { at, at + 1 < side ? at + 1 : at }, { 1.0f - fraction, 1.0f - fabsf(fraction - 1.0f) } };
}

void qw_vision_taps(int32_t (*at)[4], float (*weight)[4], const qw_vision_place *places, size_t n, qw_grid grid, int side)
{
    for (size_t i = 0; i < n; i++) {
        axis_taps y = taps_on_axis(places[i].row, grid.h, side), x = taps_on_axis(places[i].col, grid.w, side);
        for (int t = 0; t < 4; t++) {
            at[i][t] = y.at[t / 2] * side + x.at[t % 2];
            weight[i][t] = y.weight[t / 2] * x.weight[t % 2];
        }
    }
}

void qw_vision_angles(float *cos_table, float *sin_table, size_t n_positions, size_t quarter, double theta)
{
    for (size_t k = 0; k < quarter; k++) {
        float frequency = 1.0f / (float)pow(theta, (double)((float)k / (float)quarter));
        for (size_t p = 0; p < n_positions; p++) {
            float angle = (float)p * frequency;
            cos_table[p * quarter + k] = (float)cos((double)angle);
            sin_table[p * quarter + k] = (float)sin((double)angle);
        }
    }
}

void qw_vision_rope(float *out, const float *table, const qw_vision_place *places, size_t n, size_t quarter)
{
    for (size_t i = 0; i < n; i++, out += 2 * quarter) {
        memcpy(out, table + (size_t)places[i].row * quarter, quarter * sizeof *out);
        memcpy(out + quarter, table + (size_t)places[i].col * quarter, quarter * sizeof *out);
    }
}
