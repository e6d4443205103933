/* Bicubic resize with antialias on 8-bit pixels, the bytes of torchvision: horizontal pass, 8-bit intermediate, vertical pass, weights in
 * fixed point. The precision of an axis is as many bits (22 at most) as leave its largest weight within 16 bits. A pass that changes
 * nothing is left out. Between decoding and the patches. Tested by tests/golden/test_image.c. */
#include "image/image.h"

#include "base/alloc.h"

#include <math.h>
#include <string.h>

#define MAX_PRECISION 22

/* How one axis of n samples becomes m: sample i is the sum of weights[i * taps + k] * source[first[i] + k], k < count[i]. */
typedef struct axis {
    int *first, *count; /* [m] */
    int16_t *weights;   /* [m, taps] */
    size_t taps;
    int precision; /* weights are in units of 2^-precision */
} axis;

/* Keys' cubic, a = -1/2. */
static double cubic(double x)
{
    const double a = -0.5;
    x = fabs(x);
    if (x < 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return x < 2 ? (((x - 5) * x + 8) * x - 4) * a : 0;
}

static void axis_deinit(axis *a)
{
    qw_free(a->first);
    qw_free(a->count);
    qw_free(a->weights);
}

/* The window of sample i and its weights, which sum to 1, into real [taps]. */
static void axis_window(const axis *a, int i, int n, int m, double *real)
{
    double scale = (double)n / m, filter = scale > 1 ? scale : 1, radius = 2 * filter, centre = (i + 0.5) * scale, sum = 0;
    double lo = centre - radius + 0.5, hi = centre + radius + 0.5;
    int first = lo > 0 ? (int)lo : 0, end = hi < n ? (int)hi : n;
    for (int k = 0; k < end - first; k++)
        sum += real[k] = cubic((k + first - centre + 0.5) / filter);
    for (int k = 0; k < end - first; k++)
        real[k] /= sum;
    a->first[i] = first;
    a->count[i] = end - first;
}

static int axis_precision(double largest)
{
    int bits = 0;
    while (bits < MAX_PRECISION && (int)(0.5 + largest * (1 << (bits + 1))) < 1 << 15)
        bits++;
    return bits;
}

static void axis_quantise(axis *a, const double *real, int m)
{
    double unit = 1 << a->precision;
    for (size_t i = 0; i < (size_t)m; i++)
        for (size_t k = 0; k < (size_t)a->count[i]; k++) {
            double w = real[i * a->taps + k] * unit;
            a->weights[i * a->taps + k] = (int16_t)(w < 0 ? w - 0.5 : w + 0.5);
        }
}

/* To be deinited in any case. */
static qwren_status axis_init(axis *a, int n, int m, qwren_error *err)
{
    double scale = (double)n / m, largest = 0;
    size_t count = 0;
    *a = (axis){ .taps = 2 * (size_t)ceil(2 * (scale > 1 ? scale : 1)) + 1 };
    a->first = qw_alloc_array((size_t)m, sizeof *a->first);
    a->count = qw_alloc_array((size_t)m, sizeof *a->count);
    double *real = qw_mul_size((size_t)m, a->taps, &count) ? qw_alloc_array(count, sizeof *real) : NULL;
    a->weights = real ? qw_alloc_array(count, sizeof *a->weights) : NULL;
    if (!a->first || !a->count || !a->weights) {
        qw_free(real);
        return qw_fail_memory(err, count * sizeof *real, "the weights of a resize");
    }
    for (int i = 0; i < m; i++) {
        axis_window(a, i, n, m, real + (size_t)i * a->taps);
        for (int k = 0; k < a->count[i]; k++)
            largest = fmax(largest, real[(size_t)i * a->taps + (size_t)k]);
    }
    a->precision = axis_precision(largest);
    axis_quantise(a, real, m);
    qw_free(real);
    return QWREN_OK;
}

static uint8_t to_byte(int32_t sum, int precision)
{
    sum >>= precision;
    return (uint8_t)(sum < 0 ? 0 : sum > 255 ? 255 : sum);
}

/* |weights| of a sample sum to less than 1.4 * 2^22, times 255 is below 2^31. */
static void pass_horizontal(qw_pixels *out, const qw_pixels *in, const axis *a)
{
    uint8_t *to = out->rgb;
    for (int y = 0; y < in->height; y++) {
        const uint8_t *row = in->rgb + (size_t)y * (size_t)in->width * 3;
        for (int x = 0; x < out->width; x++, to += 3) {
            const uint8_t *from = row + (size_t)a->first[x] * 3;
            const int16_t *w = a->weights + (size_t)x * a->taps;
            int32_t r = a->precision ? 1 << (a->precision - 1) : 0, g = r, b = r;
            for (int k = 0; k < a->count[x]; k++, from += 3) {
                r += w[k] * from[0];
                g += w[k] * from[1];
                b += w[k] * from[2];
            }
            to[0] = to_byte(r, a->precision);
            to[1] = to_byte(g, a->precision);
            to[2] = to_byte(b, a->precision);
        }
    }
}

/* Whole rows at a time; sums is [width * 3]. */
static void pass_vertical(qw_pixels *out, const qw_pixels *in, const axis *a, int32_t *sums)
{
    size_t row_bytes = (size_t)in->width * 3;
    for (int y = 0; y < out->height; y++) {
        const uint8_t *from = in->rgb + (size_t)a->first[y] * row_bytes;
        const int16_t *w = a->weights + (size_t)y * a->taps;
        uint8_t *to = out->rgb + (size_t)y * row_bytes;
        for (size_t x = 0; x < row_bytes; x++)
            sums[x] = a->precision ? 1 << (a->precision - 1) : 0;
        for (int k = 0; k < a->count[y]; k++, from += row_bytes)
            for (size_t x = 0; x < row_bytes; x++)
                sums[x] += w[k] * from[x];
        for (size_t x = 0; x < row_bytes; x++)
            to[x] = to_byte(sums[x], a->precision);
    }
}

static qwren_status resize_width(qw_pixels *out, const qw_pixels *in, int width, qwren_error *err)
{
    axis a;
    *out = (qw_pixels){ 0 };
    qwren_status st = axis_init(&a, in->width, width, err);
    if (st == QWREN_OK)
        st = qw_pixels_alloc(out, width, in->height, err);
    if (st == QWREN_OK)
        pass_horizontal(out, in, &a);
    axis_deinit(&a);
    return st;
}

static qwren_status resize_height(qw_pixels *out, const qw_pixels *in, int height, qwren_error *err)
{
    axis a;
    *out = (qw_pixels){ 0 };
    qwren_status st = axis_init(&a, in->height, height, err);
    int32_t *sums = st == QWREN_OK ? qw_alloc_array((size_t)in->width * 3, sizeof *sums) : NULL;
    if (st == QWREN_OK && !sums)
        st = qw_fail_memory(err, (size_t)in->width * 3 * sizeof *sums, "a row of a resize");
    if (st == QWREN_OK)
        st = qw_pixels_alloc(out, in->width, height, err);
    if (st == QWREN_OK)
        pass_vertical(out, in, &a, sums);
    qw_free(sums);
    axis_deinit(&a);
    return st;
}

static qwren_status copy(qw_pixels *out, const qw_pixels *in, qwren_error *err)
{
    QW_TRY(qw_pixels_alloc(out, in->width, in->height, err));
    memcpy(out->rgb, in->rgb, (size_t)in->width * (size_t)in->height * 3);
    return QWREN_OK;
}

qwren_status qw_image_resize(qw_pixels *out, const qw_pixels *in, int width, int height, qwren_error *err)
{
    *out = (qw_pixels){ 0 };
    if (width < 1 || height < 1)
        return qw_fail(err, QWREN_E_ARGUMENT, "a picture cannot be resized to %d x %d pixels", width, height);
    if (width == in->width && height == in->height)
        return copy(out, in, err);
    if (width == in->width)
        return resize_height(out, in, height, err);
    if (height == in->height)
        return resize_width(out, in, width, err);
    qw_pixels wide;
    QW_TRY(resize_width(&wide, in, width, err));
    qwren_status st = resize_height(out, &wide, height, err);
    qw_pixels_free(&wide);
    return st;
}
