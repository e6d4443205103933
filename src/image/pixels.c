/* Blocks of 8-bit RGB pixels: memory, and turning them the way the EXIF orientation says. Between the readers and the resize.
 * Tested by tests/unit/test_image_exif.c. */
#include "image/codec.h"

#include "base/alloc.h"

#include <stddef.h>
#include <string.h>

void qw_pixels_free(qw_pixels *p)
{
    qw_free(p->rgb);
    *p = (qw_pixels){ 0 };
}

qwren_status qw_pixels_alloc(qw_pixels *out, int width, int height, qwren_error *err)
{
    size_t n = 0;
    *out = (qw_pixels){ 0 };
    if (width <= 0 || height <= 0)
        return qw_fail(err, QWREN_E_ARGUMENT, "a picture of %d x %d pixels: both sides must be positive", width, height);
    if (!qw_mul_size((size_t)width, (size_t)height, &n) || !qw_mul_size(n, 3, &n))
        return qw_fail(err, QWREN_E_LIMIT, "a picture of %d x %d pixels does not fit the address space", width, height);
    uint8_t *rgb = qw_malloc(n);
    if (!rgb)
        return qw_fail_memory(err, n, "pixels");
    *out = (qw_pixels){ .rgb = rgb, .width = width, .height = height };
    return QWREN_OK;
}

/* Where the first pixel of the turned picture lies in the stored one, and how far, in bytes, one goes there for a step to the right (x) and
 * down (y). */
typedef struct walk {
    ptrdiff_t start, x, y;
} walk;

static walk orientation_walk(int orientation, int width, int height)
{
    ptrdiff_t row = (ptrdiff_t)width * 3, right = row - 3, bottom = row * (height - 1);
    switch (orientation) {
    case 2: return (walk){ right, -3, row };           /* mirrored left to right */
    case 3: return (walk){ right + bottom, -3, -row }; /* upside down */
    case 4: return (walk){ bottom, 3, -row };          /* mirrored top to bottom */
    case 5: return (walk){ 0, row, 3 };                /* transposed */
    case 6: return (walk){ bottom, -row, 3 };          /* must be turned a quarter clockwise */
    case 7: return (walk){ right + bottom, -row, -3 }; /* transposed along the other diagonal */
    case 8: return (walk){ right, row, -3 };           /* must be turned a quarter anticlockwise */
    default: return (walk){ 0, 3, row };
    }
}

qwren_status qw_pixels_orient(qw_pixels *p, int orientation, qwren_error *err)
{
    if (orientation <= 1 || orientation > 8)
        return QWREN_OK;
    qw_pixels out;
    bool sides_swap = orientation >= 5;
    QW_TRY(qw_pixels_alloc(&out, sides_swap ? p->height : p->width, sides_swap ? p->width : p->height, err));
    walk w = orientation_walk(orientation, p->width, p->height);
    uint8_t *to = out.rgb;
    for (ptrdiff_t y = 0; y < out.height; y++)
        for (ptrdiff_t x = 0; x < out.width; x++, to += 3)
            memcpy(to, p->rgb + w.start + x * w.x + y * w.y, 3);
    qw_pixels_free(p);
    *p = out;
    return QWREN_OK;
}
