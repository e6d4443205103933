/* qwren_image: decoded pixels as the public API shows them (qwren.h section 5). The work is done in src/image. Tested by
 * tests/unit/test_image_api.c. */
#include "api/image.h"

#include "api/options.h"
#include "base/alloc.h"
#include "base/file.h"

qwren_image_limits qwren_image_limits_default(void)
{
    return (qwren_image_limits){ .struct_size = sizeof(qwren_image_limits), .max_file_bytes = (uint64_t)64 << 20, .max_pixels = 100000000 };
}

/* Takes the pixels over, on failure too. */
static qwren_status wrap(qwren_image **out, qw_pixels *pixels, qwren_error *err)
{
    qwren_image *img = qw_malloc(sizeof *img);
    if (!img) {
        qw_pixels_free(pixels);
        return qw_fail_memory(err, sizeof *img, "an image");
    }
    img->pixels = *pixels;
    *out = img;
    return QWREN_OK;
}

qwren_status qwren_image_decode(qwren_image **out, const void *bytes, size_t n_bytes, const qwren_image_limits *limits, qwren_error *err)
{
    qwren_image_limits l = qwren_image_limits_default();
    qw_pixels pixels;
    *out = NULL;
    QW_TRY(qw_options_read(&l, sizeof l, limits, "qwren_image_limits", err));
    if (!bytes && n_bytes)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_image_decode: bytes is NULL");
    QW_TRY(qw_image_decode(&pixels, bytes, n_bytes, &l, err));
    return wrap(out, &pixels, err);
}

qwren_status qwren_image_open(qwren_image **out, const char *path, const qwren_image_limits *limits, qwren_error *err)
{
    qwren_image_limits l = qwren_image_limits_default();
    qwren_error why = { 0 };
    char *bytes = NULL;
    size_t n = 0;
    *out = NULL;
    QW_TRY(qw_options_read(&l, sizeof l, limits, "qwren_image_limits", err));
    if (!path)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_image_open: path is NULL; give the name of a picture's file");
    QW_TRY(qw_file_read(path, l.max_file_bytes < SIZE_MAX / 2 ? (size_t)l.max_file_bytes : SIZE_MAX / 2, &bytes, &n, err));
    qwren_status st = qwren_image_decode(out, bytes, n, &l, &why);
    qw_free(bytes);
    return st ? qw_fail(err, st, "%s: %s", path, why.text) : QWREN_OK;
}

qwren_status qwren_image_from_rgb(qwren_image **out, const uint8_t *rgb, int width, int height, size_t stride, qwren_error *err)
{
    qw_pixels pixels;
    *out = NULL;
    if (!rgb)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_image_from_rgb: no pixels are given (rgb is NULL)");
    QW_TRY(qw_pixels_alloc(&pixels, width, height, err));
    size_t row = (size_t)width * 3;
    if (stride == 0)
        stride = row;
    if (stride < row) {
        qw_pixels_free(&pixels);
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_image_from_rgb: stride is %zu, a row of %d pixels has %zu bytes", stride, width, row);
    }
    for (size_t y = 0; y < (size_t)height; y++)
        memcpy(pixels.rgb + y * row, rgb + y * stride, row);
    return wrap(out, &pixels, err);
}

void qwren_image_free(qwren_image *img)
{
    if (!img)
        return;
    qw_pixels_free(&img->pixels);
    qw_free(img);
}

int qwren_image_width(const qwren_image *img) { return img->pixels.width; }
int qwren_image_height(const qwren_image *img) { return img->pixels.height; }
const uint8_t *qwren_image_pixels(const qwren_image *img) { return img->pixels.rgb; }
