/* api/image.c: pictures through qwren.h, from files, bytes and pixels of the caller. */
#include "support/pictures.h"

#include <stdlib.h>
#include <unistd.h>

static void the_default_limits_are_those_of_the_header(void **state)
{
    (void)state;
    qwren_image_limits l = qwren_image_limits_default();
    assert_int_equal(l.struct_size, sizeof l);
    assert_int_equal(l.max_file_bytes, 64 << 20);
    assert_int_equal(l.max_pixels, 100000000);
}

static void pixels_of_the_caller_are_copied(void **state)
{
    (void)state;
    uint8_t rgb[2 * 10] = "abcdef....ghijkl...";
    qwren_image *img;
    assert_int_equal(qwren_image_from_rgb(&img, rgb, 2, 2, 10, NULL), QWREN_OK);
    memset(rgb, 0, sizeof rgb);
    assert_int_equal(qwren_image_width(img), 2);
    assert_int_equal(qwren_image_height(img), 2);
    assert_memory_equal(qwren_image_pixels(img), "abcdefghijkl", 12);
    qwren_image_free(img);
    memcpy(rgb, "abcdefghijkl", 12);
    assert_int_equal(qwren_image_from_rgb(&img, rgb, 1, 4, 0, NULL), QWREN_OK);
    assert_memory_equal(qwren_image_pixels(img), "abcdefghijkl", 12);
    qwren_image_free(img);
    qwren_image_free(NULL);
}

static void wrong_arguments_are_refused(void **state)
{
    (void)state;
    uint8_t rgb[12] = { 0 };
    qwren_image *img = (qwren_image *)rgb;
    qwren_error err;
    assert_int_equal(qwren_image_from_rgb(&img, NULL, 2, 2, 0, &err), QWREN_E_ARGUMENT);
    assert_null(img);
    assert_int_equal(qwren_image_from_rgb(&img, rgb, 0, 2, 0, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qwren_image_from_rgb(&img, rgb, 2, -2, 0, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qwren_image_from_rgb(&img, rgb, 2, 2, 5, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "stride is 5"));
    qwren_image_limits l = { 0 };
    assert_int_equal(qwren_image_decode(&img, rgb, 12, &l, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "qwren_image_limits_default()"));
    assert_int_equal(qwren_image_decode(&img, NULL, 0, NULL, &err), QWREN_E_FORMAT);
    assert_null(img);
}

static void a_file_that_cannot_be_opened_is_named(void **state)
{
    (void)state;
    qwren_image *img = NULL;
    qwren_error err;
    assert_int_equal(qwren_image_open(&img, "/nowhere/cat.png", NULL, &err), QWREN_E_IO);
    assert_null(img);
    assert_non_null(strstr(err.text, "/nowhere/cat.png"));
    char path[] = "/tmp/qwren-image-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0 && write(fd, "GIF89a", 6) == 6);
    close(fd);
    assert_int_equal(qwren_image_open(&img, path, NULL, &err), QWREN_E_UNSUPPORTED);
    assert_memory_equal(err.text, path, strlen(path));
    assert_non_null(strstr(err.text, ": format GIF is not supported"));
    qwren_image_limits l = qwren_image_limits_default();
    l.max_file_bytes = 5;
    assert_int_equal(qwren_image_open(&img, path, &l, &err), QWREN_E_LIMIT);
    assert_null(img);
    unlink(path);
}

#if QW_HAVE_PNG

static void files_and_bytes_give_the_same_picture(void **state)
{
    (void)state;
    size_t n;
    char path[1024], *bytes = read_data("image/pictures", "exif6.png", &n);
    snprintf(path, sizeof path, "%s/image/pictures/exif6.png", QW_TEST_DATA);
    qwren_image *a, *b;
    assert_int_equal(qwren_image_open(&a, path, NULL, NULL), QWREN_OK);
    assert_int_equal(qwren_image_decode(&b, bytes, n, NULL, NULL), QWREN_OK);
    assert_int_equal(qwren_image_width(a), 5);
    assert_int_equal(qwren_image_height(a), 7);
    assert_memory_equal(qwren_image_pixels(a), qwren_image_pixels(b), 5 * 7 * 3);
    qwren_image_free(a);
    qwren_image_free(b);
    qw_free(bytes);
}

/* A struct of an older header ends before max_pixels: the default stands in for what it lacks. */
static void an_older_limits_struct_is_understood(void **state)
{
    (void)state;
    size_t n;
    char *bytes = read_data("image/pictures", "exif6.png", &n);
    qwren_image_limits l = { .struct_size = offsetof(qwren_image_limits, max_pixels), .max_file_bytes = n, .max_pixels = 1 };
    qwren_image *img;
    assert_int_equal(qwren_image_decode(&img, bytes, n, &l, NULL), QWREN_OK);
    qwren_image_free(img);
    l.struct_size = sizeof l;
    assert_int_equal(qwren_image_decode(&img, bytes, n, &l, NULL), QWREN_E_LIMIT);
    qw_free(bytes);
}

#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_default_limits_are_those_of_the_header),
        cmocka_unit_test(pixels_of_the_caller_are_copied),
        cmocka_unit_test(wrong_arguments_are_refused),
        cmocka_unit_test(a_file_that_cannot_be_opened_is_named),
#if QW_HAVE_PNG
        cmocka_unit_test(files_and_bytes_give_the_same_picture),
        cmocka_unit_test(an_older_limits_struct_is_understood),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
