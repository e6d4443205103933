/* The readers of src/image on small pictures of every kind: depths, palettes, transparency, interlacing, samplings, four colours, animations, the eight
 * orientations (tests/oracle/make_pictures.py). Every byte must be equal; the header alone must tell the same size. */
#include "support/pictures.h"

static bool has_reader(const char *name)
{
    const char *dot = strrchr(name, '.');
#if !QW_HAVE_PNG
    if (strcmp(dot, ".png") == 0)
        return false;
#endif
#if !QW_HAVE_JPEG
    if (strcmp(dot, ".jpg") == 0)
        return false;
#endif
#if !QW_HAVE_WEBP
    if (strcmp(dot, ".webp") == 0)
        return false;
#endif
    return dot != NULL;
}

static int from_hex(char c) { return c <= '9' ? c - '0' : c - 'a' + 10; }

static void compare(const char *name, const qw_pixels *p, const char *hex)
{
    size_t n = (size_t)p->width * (size_t)p->height * 3;
    assert_int_equal(strlen(hex), n * 2);
    for (size_t i = 0; i < n; i++) {
        int want = from_hex(hex[i * 2]) * 16 + from_hex(hex[i * 2 + 1]);
        if (p->rgb[i] != want)
            fail_msg("%s: pixel (%zu, %zu) channel %zu is %d, not %d", name, i / 3 % (size_t)p->width, i / 3 / (size_t)p->width, i % 3,
                     p->rgb[i], want);
    }
}

static void check_picture(const qw_json *row, void *ctx)
{
    (void)ctx;
    const char *name = case_text(row, "file");
    if (!has_reader(name))
        return;
    size_t n;
    char *bytes = read_data("image/pictures", name, &n);
    qwren_image_limits limits = qwren_image_limits_default();
    qw_image_info info;
    qw_pixels p;
    decode_picture(&p, name, bytes, n);
    assert_int_equal(p.width, case_int(row, "width"));
    assert_int_equal(p.height, case_int(row, "height"));
    compare(name, &p, case_text(row, "rgb"));
    assert_int_equal(qw_image_size(&info, bytes, n, &limits, NULL), QWREN_OK);
    assert_int_equal(info.width, p.width);
    assert_int_equal(info.height, p.height);
    qw_pixels_free(&p);
    qw_free(bytes);
}

static void pictures_of_every_kind_have_the_references_pixels(void **state)
{
    (void)state;
    each_case("image/pictures.jsonl", 96, check_picture, NULL);
}

#if HAVE_ALL_READERS

static void the_header_tells_format_and_orientation(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        qw_image_kind kind;
        int orientation;
    } files[] = { { "exif7.png", QW_IMAGE_PNG, 7 },
                  { "exif5.jpg", QW_IMAGE_JPEG, 5 },
                  { "exif8.webp", QW_IMAGE_WEBP, 8 },
                  { "exif9.jpg", QW_IMAGE_JPEG, 1 } };
    qwren_image_limits limits = qwren_image_limits_default();
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        size_t n;
        qw_image_info info;
        char *bytes = read_data("image/pictures", files[i].name, &n);
        assert_int_equal(qw_image_size(&info, bytes, n, &limits, NULL), QWREN_OK);
        assert_int_equal(info.kind, files[i].kind);
        assert_int_equal(info.orientation, files[i].orientation);
        qw_free(bytes);
    }
}

#else

static void a_build_without_a_reader_says_so(void **state)
{
    (void)state;
    qwren_image_limits limits = qwren_image_limits_default();
    static const struct {
        const char *name, *bytes, *part;
        size_t n;
    } formats[] = { { ".png", "\x89PNG\r\n\x1a\n", "no PNG reader", 8 },
                    { ".jpg", "\xff\xd8\xff\xe0", "no JPEG reader", 4 },
                    { ".webp", "RIFF\4\0\0\0WEBP", "no WebP reader", 12 } };
    for (size_t i = 0; i < sizeof formats / sizeof *formats; i++) {
        qw_pixels p;
        qwren_error err;
        if (has_reader(formats[i].name))
            continue;
        assert_int_equal(qw_image_decode(&p, formats[i].bytes, formats[i].n, &limits, &err), QWREN_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, formats[i].part));
    }
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_of_every_kind_have_the_references_pixels),
#if HAVE_ALL_READERS
        cmocka_unit_test(the_header_tells_format_and_orientation),
#else
        cmocka_unit_test(a_build_without_a_reader_says_so),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
