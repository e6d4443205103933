/* src/image and api/image.c when memory is short at any allocation, and the patch rows against the definition of their order. */
#include "support/pictures.h"

#include "support/fault.h"

static int counted(void **state)
{
    (void)state;
    fault_install();
    return 0;
}
static int balanced(void **state)
{
    (void)state;
    fault_remove();
    return 0;
}

/* ---- every allocation fails once */

typedef struct file {
    char *bytes;
    size_t n;
} file;

static qwren_status decode(void *ctx, qwren_error *err)
{
    const file *f = ctx;
    qwren_image *img = NULL;
    QW_TRY(qwren_image_decode(&img, f->bytes, f->n, NULL, err));
    qwren_image_free(img);
    return QWREN_OK;
}

static void a_decoder_without_memory_says_so(void **state)
{
    (void)state;
    static const char *const names[] = {
#if QW_HAVE_PNG
        "rgb-8-plain.png",
        "rgb-16-adam7.png",
        "palette-4-trns.png",
        "exif6.png",
#endif
#if QW_HAVE_JPEG
        "cmyk-adobe.jpg",
        "exif6.jpg",
        "progressive.jpg",
#endif
#if QW_HAVE_WEBP
        "lossless-alpha.webp",
        "exif6.webp",
        "animated-small.webp",
#endif
        NULL
    };
    for (const char *const *name = names; *name; name++) {
        file f;
        f.bytes = read_data("image/pictures", *name, &f.n);
        size_t failures = fault_try_all(decode, &f, 1);
        if (failures < 2)
            fail_msg("%s: only %zu allocations", *name, failures);
        qw_free(f.bytes);
    }
}

#if QW_HAVE_PNG

static qwren_status open_file(void *ctx, qwren_error *err)
{
    qwren_image *img = NULL;
    QW_TRY(qwren_image_open(&img, ctx, NULL, err));
    qwren_image_free(img);
    return QWREN_OK;
}

static void opening_a_file_without_memory_says_so(void **state)
{
    (void)state;
    char path[1024];
    snprintf(path, sizeof path, "%s/image/pictures/exif6.png", QW_TEST_DATA);
    assert_true(fault_try_all(open_file, path, 1) >= 3);
}

#endif

static qwren_status resize(void *ctx, qwren_error *err)
{
    qw_pixels out;
    QW_TRY(qw_image_resize(&out, ctx, 32, 64, err));
    qw_pixels_free(&out);
    return QWREN_OK;
}

static void a_resize_without_memory_says_so(void **state)
{
    (void)state;
    static const struct {
        int width, height;
        size_t allocations;
    } shapes[] = { { 40, 30, 11 }, { 32, 30, 6 }, { 40, 64, 5 }, { 32, 64, 1 } };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        qw_pixels in;
        assert_int_equal(qw_pixels_alloc(&in, shapes[i].width, shapes[i].height, NULL), QWREN_OK);
        memset(in.rgb, 99, (size_t)in.width * (size_t)in.height * 3);
        assert_int_equal(fault_try_all(resize, &in, 1), shapes[i].allocations);
        qw_pixels_free(&in);
    }
}

static void sizes_that_cannot_be_are_refused(void **state)
{
    (void)state;
    qw_pixels p, q;
    qwren_error err;
    int h, w;
    assert_int_equal(qw_pixels_alloc(&p, 0, 5, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_pixels_alloc(&p, 5, -5, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_pixels_alloc(&p, 1, 1, &err), QWREN_OK);
    assert_int_equal(qw_image_resize(&q, &p, 0, 10, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_image_resize(&q, &p, 10, -10, &err), QWREN_E_ARGUMENT);
    qw_pixels_free(&p);
    qw_pixels_free(&p);
    assert_int_equal(qw_smart_resize(100, 100, 0, 1, 2, &h, &w, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_smart_resize(100, 100, 32, 2, 1, &h, &w, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_smart_resize(100, 100, 32, 0, 1, &h, &w, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_smart_resize(INT32_MAX, INT32_MAX, 32, 65536, INT64_MAX, &h, &w, &err), QWREN_E_LIMIT);
    assert_int_equal(qw_smart_resize(INT32_MAX, INT32_MAX, 32, 65536, 16777216, &h, &w, &err), QWREN_OK);
    assert_int_equal(h, 4096);
    assert_int_equal(w, 4096);
    assert_int_equal(qw_smart_resize(1, 1, 32, INT64_MAX, INT64_MAX, &h, &w, &err), QWREN_E_LIMIT);
    qw_patch_config c = published;
    qw_grid grid;
    c.patch_size = 0;
    assert_int_equal(qw_patch_grid(&grid, 100, 100, &c, &err), QWREN_E_ARGUMENT);
    c.patch_size = INT32_MAX;
    assert_int_equal(qw_patch_grid(&grid, 100, 100, &c, &err), QWREN_E_ARGUMENT);
}

/* ---- order of the patches */

/* The definition, in the words of docs/model.md: rows t, R, C, r, c; columns ch, dt, y, x. */
static float *patches_by_definition(const qw_pixels *p, const qw_patch_config *c, qw_grid g)
{
    int m = c->merge_size, P = c->patch_size;
    float *out = qw_alloc_array((size_t)(g.h * g.w) * qw_patch_length(c), sizeof *out), *to = out;
    for (int R = 0; R < g.h / m; R++)
        for (int C = 0; C < g.w / m; C++)
            for (int r = 0; r < m; r++)
                for (int col = 0; col < m; col++)
                    for (int ch = 0; ch < 3; ch++)
                        for (int dt = 0; dt < c->temporal_patch_size; dt++)
                            for (int y = 0; y < P; y++)
                                for (int x = 0; x < P; x++) {
                                    int py = (m * R + r) * P + y, px = (m * C + col) * P + x;
                                    *to++ = ((float)p->rgb[(py * p->width + px) * 3 + ch] - 127.5f) / 127.5f;
                                }
    return out;
}

static void patch_rows_follow_the_definition(void **state)
{
    (void)state;
    static const struct {
        int patch, merge, temporal, h, w;
    } shapes[] = { { 16, 2, 2, 4, 6 }, { 16, 2, 1, 2, 8 }, { 4, 3, 3, 6, 3 }, { 2, 1, 2, 5, 3 } };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        qw_patch_config c = published;
        c.patch_size = shapes[i].patch;
        c.merge_size = shapes[i].merge;
        c.temporal_patch_size = shapes[i].temporal;
        qw_grid g = { 1, shapes[i].h, shapes[i].w };
        qw_pixels p;
        assert_int_equal(qw_pixels_alloc(&p, g.w * c.patch_size, g.h * c.patch_size, NULL), QWREN_OK);
        for (int k = 0; k < p.width * p.height * 3; k++)
            p.rgb[k] = (uint8_t)(k * 7 + k / 256);
        size_t rows = (size_t)(g.h * g.w), length = qw_patch_length(&c);
        float *want = patches_by_definition(&p, &c, g), *got = qw_alloc_array(rows * length, sizeof *got);
        qw_patches_make(got, &p, &c, g);
        assert_memory_equal(got, want, rows * length * sizeof *got);
        memset(got, 0, rows * length * sizeof *got);
        for (size_t first = 0, n; first < rows; first += n) { /* pieces of 1, 2, 3, ... rows */
            n = first + 1 < rows - first ? first + 1 : rows - first;
            qw_patches_rows(got + first * length, &p, &c, g, first, n);
        }
        assert_memory_equal(got, want, rows * length * sizeof *got);
        qw_free(want);
        qw_free(got);
        qw_pixels_free(&p);
    }
}

#define WATCHED(f) cmocka_unit_test_setup_teardown(f, counted, balanced)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCHED(a_decoder_without_memory_says_so),
#if QW_HAVE_PNG
        WATCHED(opening_a_file_without_memory_says_so),
#endif
        WATCHED(a_resize_without_memory_says_so),
        WATCHED(sizes_that_cannot_be_are_refused),
        WATCHED(patch_rows_follow_the_definition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
