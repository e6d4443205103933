/* runtime/stop.c against the definition on whole texts: the string that ends first, of those the longest; however the text is cut. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "base/utf8.h"
#include "runtime/stop.h"
#include "support/fault.h"

static qw_stop *make(const char *const *strings, size_t n)
{
    qw_stop *s = NULL;
    qwren_error err = { 0 };
    if (qw_stop_create(&s, strings, n, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return s;
}

/* Pushes a string and compares all that came out since *out was cleared. */
static void expect(qw_stop *s, const char *piece, bool stops, qw_buf *out, const char *want)
{
    assert_int_equal(qw_stop_push(s, piece, strlen(piece), out), stops);
    assert_string_equal(qw_buf_text(out), want);
}

static void what_can_become_a_stop_string_is_held_back(void **state)
{
    (void)state;
    static const char *const strings[] = { "END" };
    qw_stop *s = make(strings, 1);
    qw_buf out = QW_BUF_INIT;
    expect(s, "abc", false, &out, "abc");
    expect(s, "dE", false, &out, "abcd");
    expect(s, "N", false, &out, "abcd");
    expect(s, "x", false, &out, "abcdENx");
    expect(s, "EN", false, &out, "abcdENx");
    expect(s, "EN", false, &out, "abcdENxEN");
    assert_int_equal(qw_stop_which(s), -1);
    expect(s, "Dyz", true, &out, "abcdENxEN");
    assert_int_equal(qw_stop_which(s), 0);
    expect(s, "more END", true, &out, "abcdENxEN");
    qw_stop_flush(s, &out);
    assert_string_equal(qw_buf_text(&out), "abcdENxEN");
    qw_buf_free(&out);
    qw_stop_free(s);
}

static void a_flush_gives_back_what_was_held(void **state)
{
    (void)state;
    static const char *const strings[] = { "\n\nUser:", "\nX" };
    qw_stop *s = make(strings, 2);
    qw_buf out = QW_BUF_INIT;
    expect(s, "Hi.\n\nUse", false, &out, "Hi.");
    qw_stop_flush(s, &out);
    assert_string_equal(qw_buf_text(&out), "Hi.\n\nUse");
    qw_stop_flush(s, &out);
    assert_string_equal(qw_buf_text(&out), "Hi.\n\nUse");
    expect(s, "r:", false, &out, "Hi.\n\nUser:"); /* a new text: nothing of the old one completes */
    assert_int_equal(qw_stop_which(s), -1);
    qw_buf_free(&out);
    qw_stop_free(s);
}

static void the_first_to_end_wins_and_then_the_longest(void **state)
{
    (void)state;
    static const struct {
        const char *strings[4];
        size_t n;
        const char *text, *want;
        ptrdiff_t which;
    } rows[] = {
        { { "bcdef", "cd" }, 2, "abcdef", "ab", 1 },   /* the longer begins earlier but ends later */
        { { "d", "bcd", "cd" }, 3, "abcdef", "a", 1 }, /* all end at the same place */
        { { "x", "x" }, 2, "axb", "a", 0 },            /* equal ones: the first */
        { { "aab" }, 1, "aaaab", "aa", 0 },            /* overlaps itself */
        { { "abab", "abc" }, 2, "ababc", "", 0 },      /* from the first character */
        { { "abac", "ba" }, 2, "abac", "a", 1 },       /* inside a longer one that is not complete */
        { { "\xf0\x9f\x98\x80" }, 1, "a\xf0\x9f\x98\x81\xf0\x9f\x98\x80", "a\xf0\x9f\x98\x81", 0 },
        { { "Z" }, 1, "nothing", "nothing", -1 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qw_stop *s = make(rows[i].strings, rows[i].n);
        qw_buf out = QW_BUF_INIT;
        bool stopped = qw_stop_push(s, rows[i].text, strlen(rows[i].text), &out);
        qw_stop_flush(s, &out);
        assert_string_equal(qw_buf_text(&out), rows[i].want);
        assert_int_equal(qw_stop_which(s), rows[i].which);
        assert_int_equal(stopped, rows[i].which >= 0);
        qw_buf_free(&out);
        qw_stop_free(s);
    }
}

static void no_strings_stop_nothing(void **state)
{
    (void)state;
    qw_stop *s = make(NULL, 0);
    qw_buf out = QW_BUF_INIT;
    expect(s, "all of it", false, &out, "all of it");
    expect(s, "", false, &out, "all of it");
    qw_stop_flush(s, &out);
    assert_int_equal(qw_stop_push(s, "a\0b", 3, &out), false);
    assert_memory_equal(out.data, "all of ita\0b", 13);
    qw_buf_free(&out);
    qw_stop_free(s);
    qw_stop_free(NULL);
}

static void a_reset_starts_anew(void **state)
{
    (void)state;
    static const char *const strings[] = { "ab" };
    qw_stop *s = make(strings, 1);
    qw_buf out = QW_BUF_INIT;
    expect(s, "xab", true, &out, "x");
    qw_stop_reset(s);
    assert_int_equal(qw_stop_which(s), -1);
    expect(s, "ya", false, &out, "xy");
    qw_stop_reset(s); /* drops the held a */
    expect(s, "b", false, &out, "xyb");
    qw_buf_free(&out);
    qw_stop_free(s);
}

static void empty_and_ill_formed_strings_are_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "\xff", "a\xc3", "\xed\xa0\x80" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        const char *strings[] = { "good", bad[i] };
        qw_stop *s = (qw_stop *)strings;
        qwren_error err = { 0 };
        assert_int_equal(qw_stop_create(&s, strings, 2, &err), QWREN_E_ARGUMENT);
        assert_null(s);
        assert_non_null(strstr(err.text, "stop string 1"));
    }
}

/* ---- random texts and cuts */

static bool ends_with(const char *text, size_t n, const char *s)
{
    return strlen(s) <= n && memcmp(text + n - strlen(s), s, strlen(s)) == 0;
}

/* The definition: length of what comes out, and which string stopped it. */
static size_t reference(const char *text, size_t n, const char *const *strings, size_t n_strings, ptrdiff_t *which)
{
    *which = -1;
    for (size_t end = 1; end <= n; end++) {
        for (size_t i = 0; i < n_strings; i++)
            if (ends_with(text, end, strings[i]) && (*which < 0 || strlen(strings[i]) > strlen(strings[*which])))
                *which = (ptrdiff_t)i;
        if (*which >= 0)
            return end - strlen(strings[*which]);
    }
    return n;
}

/* Bytes at the end of a text without a stop string that could become the beginning of one. */
static size_t reference_held(const char *text, size_t n, const char *const *strings, size_t n_strings)
{
    size_t most = 0;
    for (size_t i = 0; i < n_strings; i++)
        for (size_t k = 1; k < strlen(strings[i]) && k <= n; k++)
            if (k > most && memcmp(text + n - k, strings[i], k) == 0)
                most = k;
    return most;
}

static size_t random_text(qw_rng *r, char *out, size_t n_chars)
{
    static const char *const chars[] = { "a", "b", "a", "b", "\xc3\xa9", "\xe2\x82\xac", "\xf0\x9f\x98\x80", "\xf0\x9f\x98\x81" };
    size_t n = 0, kinds = qw_rng_u32(r) % 2 ? 2 : 8;
    for (size_t i = 0; i < n_chars; i++) {
        const char *c = chars[qw_rng_u32(r) % kinds];
        memcpy(out + n, c, strlen(c));
        n += strlen(c);
    }
    out[n] = '\0';
    return n;
}

/* The end of a piece of 0 to 6 characters that begins at i. */
static size_t cut(qw_rng *r, const char *text, size_t n, size_t i)
{
    for (size_t k = qw_rng_u32(r) % 7; k && i < n; k--)
        i += qw_utf8_decode(text + i, n - i, &(uint32_t){ 0 }, NULL);
    return i;
}

static void check_cuts(qw_rng *r, const char *text, size_t n, const char *const *strings, size_t n_strings)
{
    ptrdiff_t which;
    size_t want = reference(text, n, strings, n_strings, &which), i = 0;
    qw_stop *s = make(strings, n_strings);
    qw_buf out = QW_BUF_INIT;
    bool stopped = false;
    while (i < n && !stopped) {
        size_t end = cut(r, text, n, i);
        stopped = qw_stop_push(s, text + i, end - i, &out);
        i = end;
        assert_true(qw_utf8_is_valid(qw_buf_text(&out), out.len));
        if (!stopped) /* all that is certain is out, and no more */
            assert_int_equal(out.len, i - reference_held(text, i, strings, n_strings));
    }
    qw_stop_flush(s, &out);
    assert_int_equal(out.len, want);
    assert_memory_equal(qw_buf_text(&out), text, want);
    assert_int_equal(qw_stop_which(s), which);
    assert_int_equal(stopped, which >= 0);
    qw_buf_free(&out);
    qw_stop_free(s);
}

static void random_texts_in_random_pieces(void **state)
{
    (void)state;
    static char text[400], strings[4][64];
    const char *list[4] = { strings[0], strings[1], strings[2], strings[3] };
    qw_rng r;
    qw_rng_seed(&r, 21);
    for (int i = 0; i < 20000; i++) {
        size_t n_strings = 1 + qw_rng_u32(&r) % 4, n = random_text(&r, text, qw_rng_u32(&r) % 60);
        for (size_t k = 0; k < n_strings; k++)
            random_text(&r, strings[k], 1 + qw_rng_u32(&r) % (i % 3 ? 4 : 12));
        check_cuts(&r, text, n, list, n_strings);
    }
}

/* Time is linear in the text: a million characters that nearly match, one by one. */
static void a_long_text_that_nearly_matches(void **state)
{
    (void)state;
    static char string[4097];
    const char *list[1] = { string };
    memset(string, 'a', 4095);
    string[4095] = 'b';
    qw_stop *s = make(list, 1);
    qw_buf out = QW_BUF_INIT;
    for (size_t i = 0; i < 1000000; i++)
        assert_false(qw_stop_push(s, "a", 1, &out));
    assert_int_equal(out.len, 1000000 - 4095);
    assert_true(qw_stop_push(s, "b", 1, &out));
    assert_int_equal(out.len, 1000000 - 4095);
    qw_buf_free(&out);
    qw_stop_free(s);
}

/* ---- memory */

static qwren_status create_push_flush(void *ctx, qwren_error *err)
{
    static const char *const strings[] = { "stop", "end of text" };
    (void)ctx;
    qw_stop *s = NULL;
    qw_buf out = QW_BUF_INIT;
    qwren_status st = qw_stop_create(&s, strings, 2, err);
    if (st == QWREN_OK) {
        qw_stop_push(s, "one end of st", 13, &out);
        qw_stop_flush(s, &out);
        st = qw_buf_status(&out, err);
    } else
        assert_null(s);
    qw_buf_free(&out);
    qw_stop_free(s);
    return st;
}

static void every_failed_allocation_is_told(void **state)
{
    (void)state;
    fault_install();
    assert_int_equal(fault_try_all(create_push_flush, NULL, 1), 7);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_can_become_a_stop_string_is_held_back),
        cmocka_unit_test(a_flush_gives_back_what_was_held),
        cmocka_unit_test(the_first_to_end_wins_and_then_the_longest),
        cmocka_unit_test(no_strings_stop_nothing),
        cmocka_unit_test(a_reset_starts_anew),
        cmocka_unit_test(empty_and_ill_formed_strings_are_refused),
        cmocka_unit_test(random_texts_in_random_pieces),
        cmocka_unit_test(a_long_text_that_nearly_matches),
        cmocka_unit_test(every_failed_allocation_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
