/* Which size a picture is brought to, and so how many tokens it costs, from its sides alone (docs/model.md). Roundings and floating-point
 * operations are the reference's, in its order. Tested by tests/golden/test_image.c. */
#include "image/image.h"

#include <math.h>

static double larger(double a, double b) { return a > b ? a : b; }

qwren_status qw_smart_resize(int height, int width, int factor, int64_t lo, int64_t hi, int *out_h, int *out_w, qwren_error *err)
{
    *out_h = *out_w = 0;
    if (height < 1 || width < 1)
        return qw_fail(err, QWREN_E_ARGUMENT, "a picture of %d x %d pixels: both sides must be positive", width, height);
    if (factor < 1 || lo < 1 || hi < lo)
        return qw_fail(err, QWREN_E_ARGUMENT, "picture sizes from %lld to %lld pixels in steps of %d cannot be", (long long)lo,
                       (long long)hi, factor);
    double h = height, w = width, f = factor;
    if (larger(h, w) / (h < w ? h : w) > QW_IMAGE_MAX_ASPECT)
        return qw_fail(err, QWREN_E_LIMIT, "a picture of %d x %d pixels: one side may be %d times as long as the other at most; crop it",
                       width, height, QW_IMAGE_MAX_ASPECT);
    double new_h = rint(h / f) * f, new_w = rint(w / f) * f; /* halves to even; may be 0, which is below lo */
    if (new_h * new_w > (double)hi) {
        double by = sqrt(h * w / (double)hi);
        new_h = larger(f, floor(h / by / f) * f);
        new_w = larger(f, floor(w / by / f) * f);
    } else if (new_h * new_w < (double)lo) {
        double by = sqrt((double)lo / (h * w));
        new_h = ceil(h * by / f) * f;
        new_w = ceil(w * by / f) * f;
    }
    if (new_h > INT32_MAX || new_w > INT32_MAX)
        return qw_fail(err, QWREN_E_LIMIT, "a picture of %d x %d pixels would be resized to more than can be computed with", width, height);
    *out_h = (int)new_h;
    *out_w = (int)new_w;
    return QWREN_OK;
}

qwren_status qw_patch_grid(qw_grid *out, int width, int height, const qw_patch_config *c, qwren_error *err)
{
    int h, w;
    *out = (qw_grid){ 0 };
    if (c->patch_size < 1 || c->merge_size < 1 || c->patch_size > 4096 || c->merge_size > 64)
        return qw_fail(err, QWREN_E_ARGUMENT, "patches of %d pixels, merged %d by %d, cannot be", c->patch_size, c->merge_size,
                       c->merge_size);
    QW_TRY(qw_smart_resize(height, width, c->patch_size * c->merge_size, c->min_pixels, c->max_pixels, &h, &w, err));
    *out = (qw_grid){ .t = 1, .h = h / c->patch_size, .w = w / c->patch_size };
    return QWREN_OK;
}
