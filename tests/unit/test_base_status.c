/* base/status.c and base/log.c: names and texts from one list, a sentence that always fits, notices that go where they were sent. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/log.h"
#include "base/status.h"
#include "base/utf8.h"

static void every_status_has_its_name_and_text(void **state)
{
    (void)state;
    assert_string_equal(qwren_status_name(QWREN_OK), "OK");
    assert_string_equal(qwren_status_name(QWREN_E_FORMAT), "E_FORMAT");
    assert_string_equal(qwren_status_text(QWREN_E_MEMORY), "not enough memory");
#define CHECK(name, value, text)                                        \
  assert_int_equal(QWREN_##name, value);                                \
  assert_string_equal(qwren_status_name((qwren_status)(value)), #name); \
  assert_string_equal(qwren_status_text((qwren_status)(value)), text);
    QWREN_STATUS_LIST(CHECK)
#undef CHECK
}

static void a_number_not_in_the_list_is_unknown(void **state)
{
    (void)state;
    assert_string_equal(qwren_status_name((qwren_status)-77), "E_UNKNOWN");
    assert_true(strlen(qwren_status_text((qwren_status)-77)) > 0);
}

static void the_version_is_the_headers(void **state)
{
    (void)state;
    char want[32];
    snprintf(want, sizeof want, "%d.%d.%d", QWREN_VERSION_MAJOR, QWREN_VERSION_MINOR, QWREN_VERSION_PATCH);
    assert_string_equal(qwren_version(), want);
}

static void fail_writes_code_and_sentence(void **state)
{
    (void)state;
    qwren_error err;
    assert_int_equal(qw_fail(&err, QWREN_E_IO, "%s: line %d", "a.txt", 3), QWREN_E_IO);
    assert_int_equal(err.code, QWREN_E_IO);
    assert_string_equal(err.text, "a.txt: line 3");
    assert_int_equal(qw_fail(NULL, QWREN_E_LIMIT, "nobody listens"), QWREN_E_LIMIT);
    assert_int_equal(qw_fail_memory(&err, 12345, "a session"), QWREN_E_MEMORY);
    assert_non_null(strstr(err.text, "12345"));
    assert_non_null(strstr(err.text, "a session"));
}

/* Every length around the end of the buffer, so that the cut falls on each byte of a character of 2, 3 and 4 bytes. */
static void a_long_sentence_is_cut_between_characters(void **state)
{
    (void)state;
    static const char *const characters[] = { "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80" };
    for (size_t c = 0; c < 3; c++) {
        for (size_t lead = 0; lead < 4; lead++) {
            char text[1200] = "";
            memset(text, 'x', lead);
            for (size_t at = lead; at + 4 < 1000; at += strlen(characters[c]))
                memcpy(text + at, characters[c], strlen(characters[c]) + 1);
            qwren_error err;
            qw_fail(&err, QWREN_E_FORMAT, "%s", text);
            size_t n = strlen(err.text);
            assert_in_range(n, sizeof err.text - 5, sizeof err.text - 1);
            assert_true(qw_utf8_is_valid(err.text, n));
        }
    }
}

/* Names are cut by %.5s, and paths are any bytes; whoever gets the sentence is promised UTF-8. */
static void a_sentence_is_valid_utf8_whatever_it_quotes(void **state)
{
    (void)state;
    qwren_error err;
    qw_fail(&err, QWREN_E_IO, "%.4s: %s, %s.", "aéé", "x\xff\xfey", "\xf0\x9f");
    assert_string_equal(err.text, "aé?: x??y, ??.");
    assert_true(qw_utf8_is_valid(err.text, strlen(err.text)));
    qw_fail(&err, QWREN_E_IO,
            "C1 \xc2\x9b"
            "31m stays away, \xc2\xa0 does not");
    assert_string_equal(err.text, "C1   31m stays away, \xc2\xa0 does not");
}

static void control_characters_of_a_name_never_reach_the_terminal(void **state)
{
    (void)state;
    qwren_error err;
    qw_fail(&err, QWREN_E_IO, "%s: missing", "evil\x1b[2J\nname\x7f");
    for (const char *p = err.text; *p; p++)
        assert_true((unsigned char)*p >= 0x20 && *p != 0x7f);
    assert_non_null(strstr(err.text, "missing"));
}

static qwren_status three_steps(int failing, int *done, qwren_error *err)
{
    for (int i = 0; i < 3; i++) {
        QW_TRY(i == failing ? qw_fail(err, QWREN_E_LIMIT, "step %d", i) : QWREN_OK);
        ++*done;
    }
    return QWREN_OK;
}

static qwren_status with_cleanup(bool failing, int *cleaned, qwren_error *err)
{
    qwren_status st;
    QW_TRY_GOTO(st, failing ? qw_fail(err, QWREN_E_IO, "no") : QWREN_OK, done);
done:
    ++*cleaned;
    return st;
}

static void try_forwards_the_first_failure_unchanged(void **state)
{
    (void)state;
    qwren_error err;
    int done = 0, cleaned = 0;
    assert_int_equal(three_steps(1, &done, &err), QWREN_E_LIMIT);
    assert_int_equal(done, 1);
    assert_string_equal(err.text, "step 1");
    assert_int_equal(three_steps(-1, &done, &err), QWREN_OK);
    assert_int_equal(with_cleanup(true, &cleaned, &err), QWREN_E_IO);
    assert_int_equal(with_cleanup(false, &cleaned, &err), QWREN_OK);
    assert_int_equal(cleaned, 2);
}

typedef struct heard {
    int n;
    qwren_log_level level;
    char text[2048];
} heard;

static void listen(void *ctx, qwren_log_level level, const char *text)
{
    heard *h = ctx;
    h->n++;
    h->level = level;
    snprintf(h->text, sizeof h->text, "%s", text);
}

static void notices_go_to_the_callback_and_nowhere_without_one(void **state)
{
    (void)state;
    heard h = { 0 };
    qw_log(QWREN_LOG_WARN, "nobody hears %d", 1);
    qwren_set_log(listen, &h);
    qw_log(QWREN_LOG_INFO, "key %s ignored", "x");
    qwren_set_log(NULL, NULL);
    qw_log(QWREN_LOG_WARN, "nobody hears %d", 2);
    assert_int_equal(h.n, 1);
    assert_int_equal(h.level, QWREN_LOG_INFO);
    assert_string_equal(h.text, "key x ignored");
}

static void a_long_notice_stays_valid_utf8(void **state)
{
    (void)state;
    heard h = { 0 };
    qwren_set_log(listen, &h);
    for (size_t lead = 0; lead < 3; lead++) {
        char text[1200] = "";
        memset(text, 'x', lead);
        for (size_t at = lead; at + 4 < 1000; at += 3)
            memcpy(text + at, "\xE2\x82\xAC", 4);
        qw_log(QWREN_LOG_DEBUG, "%s", text);
        assert_true(strlen(h.text) > 100);
        assert_true(qw_utf8_is_valid(h.text, strlen(h.text)));
    }
    qwren_set_log(NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_status_has_its_name_and_text),
        cmocka_unit_test(a_number_not_in_the_list_is_unknown),
        cmocka_unit_test(the_version_is_the_headers),
        cmocka_unit_test(fail_writes_code_and_sentence),
        cmocka_unit_test(a_long_sentence_is_cut_between_characters),
        cmocka_unit_test(a_sentence_is_valid_utf8_whatever_it_quotes),
        cmocka_unit_test(control_characters_of_a_name_never_reach_the_terminal),
        cmocka_unit_test(try_forwards_the_first_failure_unchanged),
        cmocka_unit_test(notices_go_to_the_callback_and_nowhere_without_one),
        cmocka_unit_test(a_long_notice_stays_valid_utf8),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
