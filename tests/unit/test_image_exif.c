/* image/exif.c and image/pixels.c: the orientation tag in sound and damaged blocks, and the eight ways to turn a picture. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "image/codec.h"

/* From a copy of exactly its size, so that a sanitizer sees a read too far. */
static int orientation(const void *bytes, size_t n)
{
    uint8_t *copy = calloc(1, n ? n : 1);
    memcpy(copy, bytes, n);
    int o = qw_exif_orientation(copy, n);
    free(copy);
    return o;
}

#define SAYS(want, bytes) assert_int_equal(orientation(bytes, sizeof(bytes) - 1), want)

static void both_byte_orders_and_the_prefix_are_read(void **state)
{
    (void)state;
    SAYS(6, "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0\0\0\0\0");
    SAYS(6, "MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0");
    SAYS(6, "Exif\0\0MM\0*\0\0\0\x08\0\1\1\x12\0\3\0\0\0\1\0\6\0\0\0\0\0\0");
}

static void other_tags_and_number_types_are_passed_over(void **state)
{
    (void)state;
    SAYS(3, "II*\0\x08\0\0\0\2\0\x0f\1\2\0\4\0\0\0abc\0\x12\1\3\0\1\0\0\0\3\0\0\0"); /* a Make tag before it */
    SAYS(8, "II*\0\x08\0\0\0\1\0\x12\1\4\0\1\0\0\0\x08\0\0\0");                      /* LONG */
    SAYS(8, "II*\0\x0a\0\0\0??\1\0\x12\1\1\0\1\0\0\0\x08\0\0\0");                    /* BYTE, directory moved */
    SAYS(1, "II*\0\x08\0\0\0\1\0\x12\1\2\0\1\0\0\0\6\0\0\0");                        /* text */
    SAYS(1, "II*\0\x08\0\0\0\1\0\x12\1\3\0\2\0\0\0\6\0\0\0");                        /* two of them */
    SAYS(1, "II*\0\x08\0\0\0\1\0\x13\1\3\0\1\0\0\0\6\0\0\0");                        /* no such tag */
}

static void damage_means_as_stored(void **state)
{
    (void)state;
    SAYS(1, "");
    SAYS(1, "Exif\0\0");
    SAYS(1, "II*\0\x08\0\0");
    SAYS(1, "II*\0\x08\0\0\0");
    SAYS(1, "II*\0\x08\0\0\0\1");
    SAYS(1, "II*\0\xff\xff\xff\xff\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"); /* far away */
    SAYS(1, "II*\0\0\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0");         /* the directory is the header */
    SAYS(1, "II*\0\x08\0\0\0\xff\xff\x13\1\3\0\1\0\0\0\6\0\0\0");   /* 65535 entries */
    SAYS(1, "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6");             /* cut within the entry */
    SAYS(1, "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\x09\0\0\0");     /* no such way */
    SAYS(1, "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\0\0\0\0");
    SAYS(1, "II+\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0");
    SAYS(1, "IM*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0");
}

static void an_oversized_block_is_not_read(void **state)
{
    (void)state;
    uint8_t *block = calloc(1, QW_EXIF_MAX_BYTES + 1);
    memcpy(block, "II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0", 22);
    assert_int_equal(qw_exif_orientation(block, QW_EXIF_MAX_BYTES), 6);
    assert_int_equal(qw_exif_orientation(block, QW_EXIF_MAX_BYTES + 1), 1);
    free(block);
}

/* A picture of 3 x 2 pixels a b c / d e f, turned, read row by row. */
static void each_orientation_turns_the_right_way(void **state)
{
    (void)state;
    static const char *const want[10] = {
        "abcdef", "abcdef", "cbafed", "fedcba", "defabc", "adbecf", "daebfc", "fcebda", "cfbead", "abcdef"
    };
    for (int o = 0; o <= 9; o++) {
        qw_pixels p;
        assert_int_equal(qw_pixels_alloc(&p, 3, 2, NULL), QWREN_OK);
        for (uint8_t i = 0; i < 18; i++)
            p.rgb[i] = (uint8_t)('a' + i / 3 + 32 * (i % 3));
        assert_int_equal(qw_pixels_orient(&p, o, NULL), QWREN_OK);
        assert_int_equal(p.width, o >= 5 && o <= 8 ? 2 : 3);
        assert_int_equal(p.height, 6 / p.width);
        for (int i = 0; i < 18; i++)
            assert_int_equal(p.rgb[i], want[o][i / 3] + 32 * (i % 3));
        qw_pixels_free(&p);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(both_byte_orders_and_the_prefix_are_read),
        cmocka_unit_test(other_tags_and_number_types_are_passed_over),
        cmocka_unit_test(damage_means_as_stored),
        cmocka_unit_test(an_oversized_block_is_not_read),
        cmocka_unit_test(each_orientation_turns_the_right_way),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
