/* Pictures: file bytes -> 8-bit RGB -> the size the tower wants -> rows of normalised patches. No model is needed here.
 *
 *   bytes ── qw_image_decode ──► qw_pixels ── qw_image_resize ──► qw_pixels ── qw_patches_rows ──► float rows
 *            (png.c jpeg.c webp.c)    │        (resize.c)                        (patches.c)
 *                                     └── qw_patch_grid (smart_resize.c): which size, how many tokens; needs no pixels
 *
 * Every step gives the bytes of the reference (Pillow for decoding, torchvision for the resize). */
#ifndef QW_IMAGE_IMAGE_H
#define QW_IMAGE_IMAGE_H

#include "base/status.h"

typedef struct qw_pixels {
    uint8_t *rgb; /* packed rows of width * 3 bytes, top to bottom; qw_free */
    int width, height;
} qw_pixels;

void qw_pixels_free(qw_pixels *p); /* frees and zeroes; safe on a zeroed struct */
/* Room for width x height pixels, not set. Both must be positive. */
qwren_status qw_pixels_alloc(qw_pixels *out, int width, int height, qwren_error *err);

/* ---- decoding */

typedef enum qw_image_kind { QW_IMAGE_PNG, QW_IMAGE_JPEG, QW_IMAGE_WEBP } qw_image_kind;

typedef struct qw_image_info {
    qw_image_kind kind;
    int width, height; /* as qw_image_decode will give them: after the EXIF orientation */
    int orientation;   /* EXIF 1..8, 1 when the file says nothing */
} qw_image_info;

#define QW_IMAGE_MAX_ASPECT 200 /* how many times as long as the other one side may be */

/* Reads the header only and checks it against the limits (resolved: never NULL). Enough for qw_patch_grid. */
qwren_status qw_image_size(qw_image_info *out, const void *bytes, size_t n, const qwren_image_limits *limits, qwren_error *err);

/* PNG, JPEG or WebP -> RGB: EXIF orientation applied, transparency laid on white, first frame only. Limits and aspect ratio are checked
 * from the header before memory is taken. On failure *out is zeroed. */
qwren_status qw_image_decode(qw_pixels *out, const void *bytes, size_t n, const qwren_image_limits *limits, qwren_error *err);

/* ---- from pixels to what the tower sees */

typedef struct qw_patch_config {
    int patch_size, merge_size, temporal_patch_size, channels; /* 16, 2, 2, 3 in the published models; channels must be 3 */
    int64_t min_pixels, max_pixels;                            /* of the resized picture */
    double mean[3], std[3];                                    /* of values in 0..1 */
} qw_patch_config;

typedef struct qw_grid {
    int t, h, w; /* in patches; t counts groups of temporal_patch_size frames and is 1 for a still */
} qw_grid;

/* The nearest multiples of `factor` whose product lies in lo..hi, aspect ratio about kept. Sides with a ratio above
 * QW_IMAGE_MAX_ASPECT are refused (QWREN_E_LIMIT). */
qwren_status qw_smart_resize(int height, int width, int factor, int64_t lo, int64_t hi, int *out_h, int *out_w, qwren_error *err);

/* The grid of a still of width x height pixels. Resize it to grid.w * patch_size by grid.h * patch_size; it becomes
 * grid.h * grid.w / merge_size^2 tokens. */
qwren_status qw_patch_grid(qw_grid *out, int width, int height, const qw_patch_config *c, qwren_error *err);

/* Bicubic with antialias, 8-bit in and out, byte-equal to torchvision. A picture that has the size already is copied. */
qwren_status qw_image_resize(qw_pixels *out, const qw_pixels *in, int width, int height, qwren_error *err);

/* Length of one patch row: channels * temporal_patch_size * patch_size^2. */
size_t qw_patch_length(const qw_patch_config *c);

/* Rows first .. first + n - 1 of a still's patches into out [n, C*Tp*P*P]: merge blocks one after the other, row by row within; within a
 * row channel, time, y, x; values (v/255 - mean) / std. The still counts as temporal_patch_size equal frames; with a config whose
 * temporal_patch_size is 1 the rows are [C*P*P], for kernels whose temporal halves are added up beforehand. `resized` must be grid.w * P by
 * grid.h * P. */
void qw_patches_rows(float *out, const qw_pixels *resized, const qw_patch_config *c, qw_grid grid, size_t first, size_t n);
/* All grid.h * grid.w rows. */
void qw_patches_make(float *out, const qw_pixels *resized, const qw_patch_config *c, qw_grid grid);

#endif
