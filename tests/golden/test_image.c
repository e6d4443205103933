/* src/image against the reference: decoded, resized and cut pictures, target sizes, resizes of generated pictures (tests/oracle/make_image.py). All
 * bytes must be equal, all floats too. */
#include "support/pictures.h"

/* ---- the pictures that the goldens of the vision tower use as well */

static void expect_values(const qw_pixels *resized, qw_patch_config c, qw_grid grid, const char *want)
{
    size_t rows = (size_t)grid.h * (size_t)grid.w, n = rows * qw_patch_length(&c);
    float *values = qw_alloc_array(n, sizeof *values);
    char text[17];
    qw_patches_make(values, resized, &c, grid);
    assert_string_equal(hash_of(values, n * sizeof *values, text), want);
    qw_free(values);
}

static void check_values(const qw_json *row, const qw_pixels *resized, qw_patch_config c, qw_grid grid)
{
    if (!qw_json_get(row, "values"))
        return;
    expect_values(resized, c, grid, case_text(row, "values"));
    for (size_t i = 0; i < 3; i++) {
        c.mean[i] = qw_json_number(qw_json_at(qw_json_get(row, "mean"), i), 0);
        c.std[i] = qw_json_number(qw_json_at(qw_json_get(row, "std"), i), 0);
    }
    expect_values(resized, c, grid, case_text(row, "values_other"));
}

static void check_picture(const qw_json *row, void *ctx)
{
    (void)ctx;
    size_t n;
    const char *name = case_text(row, "file");
    char *bytes = read_data("vision/images", name, &n);
    qw_patch_config c = published;
    c.min_pixels = qw_json_int(qw_json_get(row, "min_pixels"), 0);
    c.max_pixels = qw_json_int(qw_json_get(row, "max_pixels"), 0);
    qw_pixels decoded, resized;
    qw_grid grid;
    decode_picture(&decoded, name, bytes, n);
    assert_int_equal(decoded.width, case_int(row, "width"));
    assert_int_equal(decoded.height, case_int(row, "height"));
    expect_pixels(name, &decoded, case_text(row, "decoded"));
    assert_int_equal(qw_patch_grid(&grid, decoded.width, decoded.height, &c, NULL), QWREN_OK);
    const qw_json *want = qw_json_get(row, "grid");
    assert_int_equal(grid.t, qw_json_int(qw_json_at(want, 0), -1));
    assert_int_equal(grid.h, qw_json_int(qw_json_at(want, 1), -1));
    assert_int_equal(grid.w, qw_json_int(qw_json_at(want, 2), -1));
    assert_int_equal(qw_image_resize(&resized, &decoded, grid.w * 16, grid.h * 16, NULL), QWREN_OK);
    expect_pixels(name, &resized, case_text(row, "resized"));
    check_values(row, &resized, c, grid);
    qw_pixels_free(&decoded);
    qw_pixels_free(&resized);
    qw_free(bytes);
}

static void pictures_become_the_references_pixels_and_patches(void **state)
{
    (void)state;
    if (HAVE_ALL_READERS)
        each_case("image/reference.jsonl", 12, check_picture, NULL);
}

/* ---- target sizes */

static void check_size(const qw_json *row, void *ctx)
{
    (void)ctx;
    int h = case_int(row, "height"), w = case_int(row, "width"), out_h, out_w;
    const qw_json *want = qw_json_get(row, "size");
    qwren_status st = qw_smart_resize(h, w, 32, case_int(row, "min"), case_int(row, "max"), &out_h, &out_w, NULL);
    if (st != (want ? QWREN_OK : QWREN_E_LIMIT) ||
        (want && (out_h != qw_json_int(qw_json_at(want, 0), -1) || out_w != qw_json_int(qw_json_at(want, 1), -1))))
        fail_msg("%d x %d (height x width) became %d x %d, status %d", h, w, out_h, out_w, st);
}

static void target_sizes_are_the_references(void **state)
{
    (void)state;
    each_case("image/smart_resize.jsonl", 166, check_size, NULL);
}

/* ---- resizes of generated pictures */

static uint8_t formula(const char *kind, uint32_t i, uint32_t width)
{
    uint32_t noise = (i * 2654435761u >> 13) & 255;
    if (strcmp(kind, "noise") == 0)
        return (uint8_t)noise;
    if (strcmp(kind, "contrast") == 0)
        return noise >> 7 ? 255 : 0;
    return (uint8_t)(i / 3 % width / 3 % 2 ? 255 - i % 256 : i % 256);
}

static void check_resize(const qw_json *row, void *ctx)
{
    (void)ctx;
    qw_pixels in, out;
    char what[96];
    assert_int_equal(qw_pixels_alloc(&in, case_int(row, "width"), case_int(row, "height"), NULL), QWREN_OK);
    for (uint32_t i = 0; i < (uint32_t)(in.width * in.height * 3); i++)
        in.rgb[i] = formula(case_text(row, "kind"), i, (uint32_t)in.width);
    assert_int_equal(qw_image_resize(&out, &in, case_int(row, "to_width"), case_int(row, "to_height"), NULL), QWREN_OK);
    snprintf(what, sizeof what, "%s of %d x %d", case_text(row, "kind"), in.width, in.height);
    expect_pixels(what, &out, case_text(row, "pixels"));
    qw_pixels_free(&in);
    qw_pixels_free(&out);
}

static void resizes_of_any_shape_are_the_references(void **state)
{
    (void)state;
    each_case("image/resize.jsonl", 51, check_resize, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_become_the_references_pixels_and_patches),
        cmocka_unit_test(target_sizes_are_the_references),
        cmocka_unit_test(resizes_of_any_shape_are_the_references),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
