/* src/image on any bytes: no crash; what decodes has the size that its header told, and can be resized and cut into patches unless it is too
 * long and narrow. */
#include <stdlib.h>

#include "base/alloc.h"
#include "image/image.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const qw_patch_config small = { .patch_size = 16,
                                       .merge_size = 2,
                                       .temporal_patch_size = 2,
                                       .channels = 3,
                                       .min_pixels = 1024,
                                       .max_pixels = 16384,
                                       .mean = { 0.5, 0.5, 0.5 },
                                       .std = { 0.5, 0.5, 0.5 } };

static void cut(const qw_pixels *p)
{
    qw_grid grid;
    qw_pixels resized;
    if (qw_patch_grid(&grid, p->width, p->height, &small, NULL) != QWREN_OK)
        return;
    if (qw_image_resize(&resized, p, grid.w * 16, grid.h * 16, NULL) != QWREN_OK)
        abort();
    size_t rows = (size_t)grid.h * (size_t)grid.w;
    float *patches = qw_alloc_array(rows * qw_patch_length(&small), sizeof *patches);
    if (!patches)
        abort();
    qw_patches_make(patches, &resized, &small, grid);
    for (size_t i = 0; i < rows * qw_patch_length(&small); i++)
        if (!(patches[i] >= -1 && patches[i] <= 1))
            abort();
    qw_free(patches);
    qw_pixels_free(&resized);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const qwren_image_limits limits = { .struct_size = sizeof limits, .max_file_bytes = 1 << 20, .max_pixels = 1 << 18 };
    qw_image_info info;
    qw_pixels p;
    qwren_status header = qw_image_size(&info, data, size, &limits, NULL);
    if (qw_image_decode(&p, data, size, &limits, NULL) != QWREN_OK)
        return 0;
    if (header != QWREN_OK || info.width != p.width || info.height != p.height)
        abort();
    cut(&p);
    qw_pixels_free(&p);
    return 0;
}
