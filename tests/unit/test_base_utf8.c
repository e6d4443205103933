/* base/utf8.c: every scalar value there and back, every kind of ill-formed sequence as Unicode's table 3-8 and Python read it, prefixes
 * that never cut a character. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/utf8.h"

#define R "\xEF\xBF\xBD" /* U+FFFD */

static void every_scalar_value_survives_encode_and_decode(void **state)
{
    (void)state;
    for (uint32_t cp = 0; cp <= 0x10FFFF; cp++) {
        if (cp >= 0xD800 && cp <= 0xDFFF)
            continue;
        char text[4];
        size_t n = qw_utf8_encode(cp, text);
        uint32_t back = 1;
        bool valid = false;
        if (qw_utf8_decode(text, n, &back, &valid) != n || back != cp || !valid)
            fail_msg("U+%04X came back as U+%04X", (unsigned)cp, (unsigned)back);
        if (n != (cp < 0x80 ? 1u : cp < 0x800 ? 2u : cp < 0x10000 ? 3u : 4u))
            fail_msg("U+%04X took %zu bytes", (unsigned)cp, n);
    }
}

static void sanitized(const char *in, size_t n, const char *want)
{
    qw_buf b = QW_BUF_INIT;
    qw_utf8_sanitize(&b, in, n);
    assert_string_equal(qw_buf_text(&b), want);
    assert_true(qw_utf8_is_valid(qw_buf_text(&b), b.len));
    assert_int_equal(qw_utf8_is_valid(in, n), strcmp(in, want) == 0 && strlen(in) == n);
    qw_buf_free(&b);
}

#define SANITIZED(in, want) sanitized(in, sizeof(in) - 1, want)

static void each_ill_formed_part_becomes_one_replacement(void **state)
{
    (void)state;
    SANITIZED("", "");
    SANITIZED("plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80", "plain \xC3\xA9 \xE2\x82\xAC \xF0\x9F\x98\x80");
    SANITIZED("\x80", R);
    SANITIZED("\xC0\x80", R R); /* overlong NUL */
    SANITIZED("\xC1\xBF", R R);
    SANITIZED("\xE0\x80\x80", R R R); /* overlong, 3 bytes */
    SANITIZED("\xE0\x9F\xBF", R R R);
    SANITIZED("\xED\xA0\x80", R R R); /* a surrogate */
    SANITIZED("\xED\xBF\xBF", R R R);
    SANITIZED("\xF0\x80\x80\x80", R R R R); /* overlong, 4 bytes */
    SANITIZED("\xF4\x90\x80\x80", R R R R); /* above U+10FFFF */
    SANITIZED("\xF5\x80\x80\x80", R R R R);
    SANITIZED("\xFF\xFE", R R);
    SANITIZED("\xE2\x82", R); /* a truncated character is one part */
    SANITIZED("\xF0\x9F\x98", R);
    SANITIZED("\xF0\x9F"
              "A",
              R "A");
    SANITIZED("\xE2\x82\xE2\x82\xAC", R "\xE2\x82\xAC");
    SANITIZED("\xC3\xC3\xA9", R "\xC3\xA9");
    /* the example of Unicode's table 3-8 */
    SANITIZED("a\xF1\x80\x80\xE1\x80\xC2"
              "b\x80"
              "c\x80\xBF"
              "d",
              "a" R R R "b" R "c" R R "d");
}

static void nul_is_a_character_like_others(void **state)
{
    (void)state;
    qw_buf b = QW_BUF_INIT;
    qw_utf8_sanitize(&b,
                     "a\0\xFF"
                     "b",
                     4);
    assert_int_equal(b.len, 6);
    assert_memory_equal(b.data, "a\0" R "b", 6);
    qw_buf_free(&b);
    assert_true(qw_utf8_is_valid("a\0b", 3));
}

/* Against the definition: a prefix may be held back only when some continuation makes the tail well-formed. */
static void complete_prefix_holds_back_only_what_may_still_become_a_character(void **state)
{
    (void)state;
    assert_int_equal(qw_utf8_complete_prefix("", 0), 0);
    assert_int_equal(qw_utf8_complete_prefix("abc", 3), 3);
    assert_int_equal(qw_utf8_complete_prefix("a\xC3", 2), 1);
    assert_int_equal(qw_utf8_complete_prefix("a\xC3\xA9", 3), 3);
    assert_int_equal(qw_utf8_complete_prefix("a\xE2", 2), 1);
    assert_int_equal(qw_utf8_complete_prefix("a\xE2\x82", 3), 1);
    assert_int_equal(qw_utf8_complete_prefix("a\xF0\x9F\x98", 4), 1);
    assert_int_equal(qw_utf8_complete_prefix("a\xF0\x9F\x98\x80", 5), 5);
    assert_int_equal(qw_utf8_complete_prefix("\xF0\x9F\x98", 3), 0);
    /* already ill-formed: nothing that follows can mend it */
    assert_int_equal(qw_utf8_complete_prefix("a\xC0", 2), 2);
    assert_int_equal(qw_utf8_complete_prefix("a\xE0\x80", 3), 3);
    assert_int_equal(qw_utf8_complete_prefix("a\xED\xA0", 3), 3);
    assert_int_equal(qw_utf8_complete_prefix("a\xF4\x90", 3), 3);
    assert_int_equal(qw_utf8_complete_prefix("a\xFF", 2), 2);
    assert_int_equal(qw_utf8_complete_prefix("a\x80\x80\x80\x80", 5), 5);
}

/* Fed byte by byte with held-back tails, sanitising the pieces equals sanitising the whole. All strings of 5 bytes over an alphabet of bad company. */
static void pieces_cut_by_complete_prefix_sanitize_like_the_whole(void **state)
{
    (void)state;
    static const char alphabet[] = "a\x80\xA0\xBF\xC3\xE0\xE2\xED\xF0\xF4";
    for (size_t code = 0; code < 100000; code++) {
        char text[5];
        for (size_t i = 0, c = code; i < 5; i++, c /= 10)
            text[i] = alphabet[c % 10];
        qw_buf whole = QW_BUF_INIT, pieces = QW_BUF_INIT, held = QW_BUF_INIT;
        qw_utf8_sanitize(&whole, text, 5);
        for (size_t i = 0; i < 5; i++) {
            qw_buf_putc(&held, text[i]);
            size_t n = qw_utf8_complete_prefix(held.data, held.len);
            qw_utf8_sanitize(&pieces, held.data, n);
            qw_buf_remove_front(&held, n);
        }
        qw_utf8_sanitize(&pieces, qw_buf_text(&held), held.len);
        if (strcmp(qw_buf_text(&whole), qw_buf_text(&pieces)) != 0)
            fail_msg("%02x %02x %02x %02x %02x", text[0] & 255, text[1] & 255, text[2] & 255, text[3] & 255, text[4] & 255);
        qw_buf_free(&whole);
        qw_buf_free(&pieces);
        qw_buf_free(&held);
    }
}

static void only_a_whole_byte_order_mark_is_skipped(void **state)
{
    (void)state;
    size_t n = 4;
    assert_string_equal(qw_utf8_skip_bom("\xEF\xBB\xBF{", &n), "{");
    assert_int_equal(n, 1);
    n = 2;
    assert_string_equal(qw_utf8_skip_bom("\xEF\xBB", &n), "\xEF\xBB");
    assert_int_equal(n, 2);
    n = 0;
    assert_string_equal(qw_utf8_skip_bom("", &n), "");
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_scalar_value_survives_encode_and_decode),
        cmocka_unit_test(each_ill_formed_part_becomes_one_replacement),
        cmocka_unit_test(nul_is_a_character_like_others),
        cmocka_unit_test(complete_prefix_holds_back_only_what_may_still_become_a_character),
        cmocka_unit_test(pieces_cut_by_complete_prefix_sanitize_like_the_whole),
        cmocka_unit_test(only_a_whole_byte_order_mark_is_skipped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
