/* Resized pixels -> rows of normalised floats in the order in which the tower reads them: merge blocks one after the other, so that
 * merge_size^2 consecutive rows become one token. Last step of the room. Tested by tests/golden/test_image.c. */
#include "image/image.h"

#include <assert.h>
#include <string.h>

typedef struct table {
    float value[3][256]; /* (v/255 - mean) / std for each channel and byte */
} table;

/* (v - 255*mean) / (255*std) in float32, as the reference folds the two steps into one. */
static void table_init(table *t, const qw_patch_config *c)
{
    for (int ch = 0; ch < 3; ch++) {
        float mean = (float)c->mean[ch] * 255.0f, std = (float)c->std[ch] * 255.0f;
        for (int v = 0; v < 256; v++)
            t->value[ch][v] = ((float)v - mean) / std;
    }
}

/* Pixel position of the upper left corner of patch `row` within its frame. */
static void patch_corner(const qw_patch_config *c, qw_grid grid, size_t row, size_t *x, size_t *y)
{
    size_t m = (size_t)c->merge_size, p = (size_t)c->patch_size, within = row % (m * m), block = row / (m * m),
           blocks_wide = (size_t)grid.w / m;
    *y = (block / blocks_wide * m + within / m) * p;
    *x = (block % blocks_wide * m + within % m) * p;
}

size_t qw_patch_length(const qw_patch_config *c)
{
    return (size_t)c->channels * (size_t)c->temporal_patch_size * (size_t)c->patch_size * (size_t)c->patch_size;
}

/* One row: [C, Tp, P, P] from the P x P pixels at `corner`. */
static void patch_row(float *out, const uint8_t *corner, size_t row_bytes, const qw_patch_config *c, const table *t)
{
    size_t p = (size_t)c->patch_size, area = p * p;
    for (size_t ch = 0; ch < 3; ch++) {
        float *frame = out;
        for (size_t y = 0; y < p; y++)
            for (size_t x = 0; x < p; x++)
                *out++ = t->value[ch][corner[y * row_bytes + x * 3 + ch]];
        for (int k = 1; k < c->temporal_patch_size; k++, out += area)
            memcpy(out, frame, area * sizeof *out);
    }
}

void qw_patches_rows(float *out, const qw_pixels *resized, const qw_patch_config *c, qw_grid grid, size_t first, size_t n)
{
    assert(c->channels == 3 && grid.t == 1 && grid.h % c->merge_size == 0 && grid.w % c->merge_size == 0);
    assert(resized->width == grid.w * c->patch_size && resized->height == grid.h * c->patch_size);
    assert(first + n <= (size_t)grid.h * (size_t)grid.w);
    table t;
    table_init(&t, c);
    size_t row_bytes = (size_t)resized->width * 3, length = qw_patch_length(c);
    for (size_t i = 0; i < n; i++) {
        size_t x, y;
        patch_corner(c, grid, first + i, &x, &y);
        patch_row(out + i * length, resized->rgb + y * row_bytes + x * 3, row_bytes, c, &t);
    }
}

void qw_patches_make(float *out, const qw_pixels *resized, const qw_patch_config *c, qw_grid grid)
{
    qw_patches_rows(out, resized, c, grid, 0, (size_t)grid.h * (size_t)grid.w);
}
