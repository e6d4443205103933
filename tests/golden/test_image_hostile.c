/* Damaged, hostile and foreign files: each ends with the stated status and sentence, takes little memory, leaks nothing (tests/oracle/make_hostile.py). Files
 * that would be large are made here. */
#include "support/pictures.h"

#if HAVE_ALL_READERS

#  include "base/base64.h"
#  include "support/fault.h"

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

static qwren_status decode_and_drop(const void *bytes, size_t n, const qwren_image_limits *limits, qwren_error *err)
{
    qwren_image_limits l = qwren_image_limits_default();
    qw_pixels p;
    /* A copy of exactly its size, so that a sanitizer sees a read too far. */
    uint8_t *copy = qw_malloc(n ? n : 1);
    memcpy(copy, bytes, n);
    qwren_status st = qw_image_decode(&p, copy, n, limits ? limits : &l, err);
    qw_free(copy);
    if (st != QWREN_OK)
        assert_true(p.rgb == NULL && p.width == 0 && p.height == 0);
    qw_pixels_free(&p);
    return st;
}

static void check_file(const qw_json *row, void *ctx)
{
    (void)ctx;
    size_t n;
    uint8_t *bytes;
    qwren_error err = { 0 };
    const char *base64 = case_text(row, "bytes"), *name = case_text(row, "name");
    assert_int_equal(qw_base64_decode(base64, strlen(base64), name, &bytes, &n, NULL), QWREN_OK);
    qwren_status st = decode_and_drop(bytes, n, NULL, &err);
    if (strcmp(qwren_status_name(st), case_text(row, "status")) != 0 || !strstr(err.text, case_text(row, "text")))
        fail_msg("%s: %s, \"%s\"; wanted %s with \"%s\"", name, qwren_status_name(st), err.text, case_text(row, "status"),
                 case_text(row, "text"));
    qw_free(bytes);
}

static void hostile_files_end_as_stated(void **state)
{
    (void)state;
    each_case("image/hostile.jsonl", 96, check_file, NULL);
}

static const char *const kinds[] = { "rgb-8-adam7.png",     "palette-4-trns.png", "420.jpg",    "progressive.jpg",  "cmyk-adobe.jpg",
                                     "exif6.png",           "exif6.jpg",          "exif6.webp", "lossy-alpha.webp", "lossless.webp",
                                     "animated-alpha.webp", "grey-1-plain.png" };

static void a_file_cut_anywhere_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t n;
        char *bytes = read_data("image/pictures", kinds[i], &n);
        for (size_t cut = 0; cut < n; cut++)
            if (decode_and_drop(bytes, cut, NULL, NULL) != QWREN_E_FORMAT)
                fail_msg("%s: its first %zu of %zu bytes are accepted", kinds[i], cut, n);
        qw_free(bytes);
    }
}

static void a_png_with_a_changed_bit_is_refused(void **state)
{
    (void)state;
    size_t n;
    char *bytes = read_data("image/pictures", "rgb-8-plain.png", &n);
    for (size_t bit = 64; bit < n * 8; bit++) {
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
        if (decode_and_drop(bytes, n, NULL, NULL) == QWREN_OK)
            fail_msg("byte %zu with bit %zu changed is accepted", bit / 8, bit % 8);
        bytes[bit / 8] = (char)(bytes[bit / 8] ^ (1 << bit % 8));
    }
    qw_free(bytes);
}

/* No changed byte may crash, hang or leak; whether it shows is up to the format. */
static void changed_bytes_never_crash(void **state)
{
    (void)state;
    qwren_image_limits limits = qwren_image_limits_default();
    limits.max_pixels = 1 << 16;
    for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
        size_t n;
        char *bytes = read_data("image/pictures", kinds[i], &n);
        for (size_t at = 8; at < n; at++) {
            char kept = bytes[at];
            bytes[at] = (char)(kept + 1 + (int)(at * 37 % 254));
            decode_and_drop(bytes, n, &limits, NULL);
            bytes[at] = kept;
        }
        qw_free(bytes);
    }
}

static void refused_bombs_take_no_memory(void **state)
{
    (void)state;
    static const struct {
        const char *header;
        size_t n;
    } bombs[] = { { "\x89PNG\r\n\x1a\n\0\0\0\rIHDR\0\0\xea\x60\0\0\xea\x60\x08\6\0\0\0....\0\0\0\0IEND....", 45 },
                  { "\xff\xd8\xff\xc0\0\x11\x08\xff\xdc\xff\xdc\3\1\x22\0\2\x11\1\3\x11\1\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0", 35 } };
    for (size_t i = 0; i < sizeof bombs / sizeof *bombs; i++) {
        qwren_error err;
        assert_int_equal(decode_and_drop(bombs[i].header, bombs[i].n, NULL, &err), QWREN_E_LIMIT);
        assert_true(fault_peak_bytes() < 1000);
    }
}

/* ---- limits */

static void limits_are_checked_from_the_header(void **state)
{
    (void)state;
    size_t n;
    qwren_error err;
    char *bytes = read_data("image/pictures", "rgb-8-plain.png", &n); /* 19 x 13 = 247 */
    qwren_image_limits limits = qwren_image_limits_default();
    limits.max_pixels = 247;
    limits.max_file_bytes = n;
    assert_int_equal(decode_and_drop(bytes, n, &limits, &err), QWREN_OK);
    limits.max_pixels = 246;
    assert_int_equal(decode_and_drop(bytes, n, &limits, &err), QWREN_E_LIMIT);
    assert_string_equal(err.text, "PNG: 19 x 13 pixels; the limit is 246 pixels");
    limits.max_pixels = 247;
    limits.max_file_bytes = n - 1;
    assert_int_equal(decode_and_drop(bytes, n, &limits, &err), QWREN_E_LIMIT);
    assert_non_null(strstr(err.text, "bytes; the limit is"));
    qw_image_info info;
    assert_int_equal(qw_image_size(&info, bytes, n, &limits, &err), QWREN_E_LIMIT);
    assert_true(info.width == 0 && info.height == 0);
    qw_free(bytes);
}

/* A strip has few enough pixels for the limit and would be refused by qw_smart_resize later, after much work. */
static void strips_are_refused_from_the_header(void **state)
{
    (void)state;
    static const struct {
        uint32_t width, height;
        qwren_status status;
    } strips[] = { { 200000, 499, QWREN_E_LIMIT },
                   { 401, 2, QWREN_E_LIMIT },
                   { 1, 201, QWREN_E_LIMIT },
                   { 400, 2, QWREN_E_FORMAT },
                   { 1, 200, QWREN_E_FORMAT } }; /* these fail for want of pixels */
    for (size_t i = 0; i < sizeof strips / sizeof *strips; i++) {
        qwren_error err;
        uint8_t png[45] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR....####\1\0\0\0\0....\0\0\0\0IEND...";
        for (int k = 0; k < 4; k++) {
            png[16 + k] = (uint8_t)(strips[i].width >> (24 - 8 * k));
            png[20 + k] = (uint8_t)(strips[i].height >> (24 - 8 * k));
        }
        qwren_status st = decode_and_drop(png, sizeof png, NULL, &err);
        if (st != strips[i].status || (st == QWREN_E_LIMIT && !strstr(err.text, "200 times")))
            fail_msg("%u x %u: %s, %s", strips[i].width, strips[i].height, qwren_status_name(st), err.text);
        if (st == QWREN_E_LIMIT)
            assert_true(fault_peak_bytes() < 1000);
    }
}

/* ---- many and large chunks of a PNG */

static void put(qw_buf *b, const char *type, const void *data, size_t n)
{
    uint8_t length[4] = { (uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8), (uint8_t)n };
    qw_buf_append(b, length, 4);
    qw_buf_append(b, type, 4);
    qw_buf_append(b, data, n);
    qw_buf_append(b, "crc?", 4); /* wrong: these chunks must not even be read */
}

static void large_and_many_chunks_are_stepped_over(void **state)
{
    (void)state;
    size_t n;
    char *bytes = read_data("image/pictures", "rgb-8-plain.png", &n), *large = qw_calloc(1, 9 << 20);
    static const char *const types[] = { "iCCP", "zTXt", "iTXt", "tEXt", "eXIf", "sPLT", "fdAT" };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        qw_buf b = QW_BUF_INIT;
        qw_buf_append(&b, bytes, 33);
        put(&b, types[i], large, 9 << 20);
        qw_buf_append(&b, bytes + 33, n - 33);
        assert_int_equal(decode_and_drop(b.data, b.len, NULL, NULL), QWREN_OK);
        qw_buf_free(&b);
    }
    qw_buf b = QW_BUF_INIT;
    qw_buf_append(&b, bytes, 33);
    for (int i = 0; i < 300000; i++)
        put(&b, "tEXt", "a", 1);
    qw_buf_append(&b, bytes + 33, n - 33);
    assert_int_equal(decode_and_drop(b.data, b.len, NULL, NULL), QWREN_OK);
    qw_buf_free(&b);
    qw_free(large);
    qw_free(bytes);
}

/* ---- shapes that the tower cannot take */

static void a_side_may_be_200_times_the_other(void **state)
{
    (void)state;
    static const struct {
        int width, height;
        qwren_status want;
    } shapes[] = { { 1, 1, QWREN_OK },        { 1990, 10, QWREN_OK },    { 28, 900, QWREN_OK },       { 400, 2, QWREN_OK },
                   { 402, 2, QWREN_E_LIMIT }, { 2, 402, QWREN_E_LIMIT }, { 0, 10, QWREN_E_ARGUMENT }, { 10, -1, QWREN_E_ARGUMENT } };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; i++) {
        qw_grid grid;
        qwren_error err = { 0 };
        assert_int_equal(qw_patch_grid(&grid, shapes[i].width, shapes[i].height, &published, &err), shapes[i].want);
        if (shapes[i].want == QWREN_E_LIMIT)
            assert_non_null(strstr(err.text, "crop it"));
        else if (shapes[i].want == QWREN_OK)
            assert_true(grid.t == 1 && grid.h % 2 == 0 && grid.w % 2 == 0 && grid.h * grid.w >= 256);
    }
}

#  define WATCHED(f) cmocka_unit_test_setup_teardown(f, counted, balanced)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCHED(hostile_files_end_as_stated),         WATCHED(a_file_cut_anywhere_is_refused),
        WATCHED(a_png_with_a_changed_bit_is_refused), WATCHED(changed_bytes_never_crash),
        WATCHED(refused_bombs_take_no_memory),        WATCHED(limits_are_checked_from_the_header),
        WATCHED(strips_are_refused_from_the_header),  WATCHED(large_and_many_chunks_are_stepped_over),
        WATCHED(a_side_may_be_200_times_the_other),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

#else

int main(void) { return 0; } /* a build without all readers: tests/golden/test_image_decode.c looks at its messages */

#endif
