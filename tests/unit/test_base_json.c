/* base/json*.c: reads what JSON allows and nothing else, keeps order and digits, and prints byte for byte as Python's json.dumps(...,
 * ensure_ascii=False). Expected values: tests/oracle/make_base.py. */
#include <locale.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "support/fault.h"

static qw_json *parsed(const char *text)
{
    qwren_error err;
    qw_json *v = NULL;
    if (qw_json_parse(&v, text, strlen(text), "test", &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return v;
}

static char *golden(const char *name, size_t *len)
{
    char path[512], *text = NULL;
    snprintf(path, sizeof path, "%s/base/%s", QW_TEST_DATA, name);
    assert_int_equal(qw_file_read(path, 1u << 20, &text, len, NULL), QWREN_OK);
    return text;
}

/* The next line of *at without its newline, NULL at the end. */
static char *next_line(char **at)
{
    char *line = *at, *end = strchr(line, '\n');
    if (!end)
        return NULL;
    *end = '\0';
    *at = end + 1;
    return line;
}

static void doubles_print_as_python_prints_them(void **state)
{
    (void)state;
    size_t len, n = 0, wrong = 0;
    char *text = golden("repr.txt", &len), *at = text;
    for (char *line; (line = next_line(&at)); n++) {
        char *repr;
        uint64_t bits = strtoull(line, &repr, 16);
        double x;
        memcpy(&x, &bits, sizeof x);
        qw_buf b = QW_BUF_INIT;
        qw_json_dump_double(&b, x);
        if (strcmp(qw_buf_text(&b), repr + 1) != 0 && wrong++ < 5)
            print_error("%016llx: got %s, Python prints %s\n", (unsigned long long)bits, qw_buf_text(&b), repr + 1);
        qw_buf_free(&b);
    }
    qw_free(text);
    assert_true(n > 5000);
    assert_int_equal(wrong, 0);
}

static void documents_print_as_python_prints_them(void **state)
{
    (void)state;
    size_t len, n = 0;
    char *text = golden("dumps.txt", &len), *at = text;
    for (char *document; (document = next_line(&at)); n++) {
        char *want = next_line(&at);
        qw_json *v = parsed(document);
        qw_buf b = QW_BUF_INIT;
        qw_json_dump(&b, v);
        assert_string_equal(qw_buf_text(&b), want);
        qw_buf_free(&b);
        qw_json_free(v);
    }
    qw_free(text);
    assert_true(n >= 40);
}

static void a_decimal_comma_of_the_locale_changes_nothing(void **state)
{
    (void)state;
    if (!setlocale(LC_NUMERIC, "de_DE.UTF-8") && !setlocale(LC_NUMERIC, "fr_FR.UTF-8"))
        skip();
    qw_json *v = parsed("[1.5, 1e-7]");
    qw_buf b = QW_BUF_INIT;
    qw_json_dump(&b, v);
    setlocale(LC_NUMERIC, "C");
    assert_string_equal(qw_buf_text(&b), "[1.5, 1e-07]");
    assert_true(qw_json_number(qw_json_at(v, 0), 0) == 1.5);
    qw_buf_free(&b);
    qw_json_free(v);
}

static void values_that_are_no_number_print_as_python_prints_them(void **state)
{
    (void)state;
    qw_buf b = QW_BUF_INIT;
    qw_json_dump_double(&b, (double)NAN);
    qw_buf_putc(&b, ' ');
    qw_json_dump_double(&b, (double)INFINITY);
    qw_buf_putc(&b, ' ');
    qw_json_dump_double(&b, -(double)INFINITY);
    assert_string_equal(qw_buf_text(&b), "NaN Infinity -Infinity");
    qw_buf_free(&b);
}

static void other_programs_get_null_for_them(void **state)
{
    (void)state;
    const double values[] = { 0.5, (double)NAN, (double)INFINITY, -(double)INFINITY };
    qw_buf b = QW_BUF_INIT;
    for (size_t i = 0; i < sizeof values / sizeof *values; i++) {
        qw_json_dump_number(&b, values[i]);
        qw_buf_putc(&b, ' ');
    }
    assert_string_equal(qw_buf_text(&b), "0.5 null null null ");
    qw_buf_free(&b);
}

static void ill_formed_text_becomes_replacement_characters(void **state)
{
    (void)state;
    const char text[] = "a\xff\"\xe2\x82|\xed\xa0\x80\xc3\xa9\xf0\x9f";
    qw_buf b = QW_BUF_INIT;
    qw_json_dump_string(&b, text, sizeof text - 1);
    assert_string_equal(qw_buf_text(&b), "\"a\xef\xbf\xbd\\\"\xef\xbf\xbd|\xef\xbf\xbd\xef\xbf\xbd\xef\xbf\xbd\xc3\xa9\xef\xbf\xbd\"");
    qw_buf_free(&b);
}

static void getters_answer_by_kind_and_fall_back(void **state)
{
    (void)state;
    qw_json *v = parsed("{\"i\": 7, \"r\": 2.5, \"t\": true, \"n\": null, \"s\": \"a\\u0000b\", \"a\": [1, 2], \"o\": {\"k\": 1}}");
    size_t len;
    assert_int_equal(qw_json_size(v), 7);
    assert_int_equal(qw_json_int(qw_json_get(v, "i"), -1), 7);
    assert_int_equal(qw_json_int(qw_json_get(v, "r"), -1), -1);
    assert_true(qw_json_number(qw_json_get(v, "i"), 0) == 7 && qw_json_number(qw_json_get(v, "r"), 0) == 2.5);
    assert_true(qw_json_bool(qw_json_get(v, "t"), false));
    assert_true(qw_json_bool(qw_json_get(v, "i"), true));
    assert_memory_equal(qw_json_string(qw_json_get(v, "s"), &len), "a\0b", 4);
    assert_int_equal(len, 3);
    assert_null(qw_json_string(qw_json_get(v, "i"), &len));
    assert_int_equal(len, 0);
    assert_int_equal(qw_json_int(qw_json_at(qw_json_get(v, "a"), 1), 0), 2);
    assert_null(qw_json_at(qw_json_get(v, "a"), 2));
    assert_null(qw_json_at(v, 0));
    assert_null(qw_json_get(qw_json_get(v, "a"), "k"));
    assert_true(qw_json_is(qw_json_get(v, "o"), QW_JSON_OBJECT));
    assert_false(qw_json_is(qw_json_get(v, "n"), QW_JSON_NULL)); /* null counts as missing */
    assert_int_equal(qw_json_kind_of(qw_json_get(v, "n")), QW_JSON_NULL);
    qw_json_free(v);
}

static void a_missing_value_answers_every_getter(void **state)
{
    (void)state;
    assert_int_equal(qw_json_kind_of(NULL), QW_JSON_NULL);
    assert_false(qw_json_is(NULL, QW_JSON_NULL));
    assert_null(qw_json_get(NULL, "a"));
    assert_null(qw_json_at(NULL, 0));
    assert_int_equal(qw_json_size(NULL), 0);
    assert_null(qw_json_string(NULL, NULL));
    assert_int_equal(qw_json_int(NULL, 5), 5);
    assert_true(qw_json_number(NULL, 5.5) == 5.5 && qw_json_bool(NULL, true));
    assert_null(qw_json_first(NULL).key);
    qw_json_free(NULL);
}

static void an_integer_beyond_64_bits_keeps_its_digits(void **state)
{
    (void)state;
    qw_json *v = parsed("[123456789012345678901234567890, \"123456789012345678901234567890\"]");
    const qw_json *big = qw_json_at(v, 0), *text = qw_json_at(v, 1);
    assert_true(qw_json_is(big, QW_JSON_INT));
    assert_null(qw_json_string(big, NULL));
    assert_int_equal(qw_json_int(big, -5), -5);
    assert_true(qw_json_number(big, 0) == 123456789012345678901234567890.0);
    assert_true(qw_json_is(text, QW_JSON_STRING));
    qw_json_free(v);
}

static void members_come_in_the_files_order(void **state)
{
    (void)state;
    qw_json *v = parsed("{\"z\": 0, \"a\": 1, \"m\": 2, \"b\": 3}");
    static const char want[] = "zamb";
    size_t i = 0;
    for (qw_json_iter it = qw_json_first(v); it.key; qw_json_next(v, &it), i++) {
        assert_int_equal(it.key_len, 1);
        assert_int_equal(it.key[0], want[i]);
        assert_int_equal(qw_json_int(it.value, -1), i);
    }
    assert_int_equal(i, 4);
    qw_json_free(v);
}

static void refused(const char *text, size_t len)
{
    qwren_error err;
    qw_json *v = (qw_json *)1;
    if (qw_json_parse(&v, text, len, "config.json", &err) != QWREN_E_FORMAT)
        fail_msg("accepted: %.60s", text);
    assert_null(v);
    assert_non_null(strstr(err.text, "config.json"));
}

static void what_is_not_json_is_refused_with_its_place(void **state)
{
    (void)state;
    static const char *const bad[] = { "",
                                       " ",
                                       "{",
                                       "[1,]",
                                       "{\"a\":}",
                                       "{\"a\" 1}",
                                       "{a:1}",
                                       "'a'",
                                       "[1] x",
                                       "01",
                                       "1.",
                                       ".5",
                                       "+1",
                                       "nul",
                                       "NaN",
                                       "\"\\x\"",
                                       "\"\\ud800\"",
                                       "\"a\nb\"",
                                       "\"\xFF\"",
                                       "\"\xED\xA0\x80\"",
                                       "[1 2]",
                                       "\"open",
                                       "-",
                                       "1e",
                                       "99999999999999999999x",
                                       "1e999",
                                       "[",
                                       "{\"a\"",
                                       "{\"a\":1",
                                       "{\"a\":1,}",
                                       "[1",
                                       "tru",
                                       "\"\\u12\"",
                                       "\"\\u12g4\"",
                                       "\"\\udc00\"",
                                       "\"\\ud800\\u0041\"",
                                       "\"\\ud800x\"",
                                       "\"\\",
                                       "[,1]",
                                       "{,}",
                                       "\xEF\xBB\xBF[]" };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        refused(bad[i], strlen(bad[i]));
    qwren_error err;
    qw_json *v;
    qw_json_parse(&v, "{\n\"a\": 1,\n\"b\": }", 16, "config.json", &err);
    assert_non_null(strstr(err.text, "line 3"));
}

static void nesting_has_a_limit(void **state)
{
    (void)state;
    static char text[200001];
    for (size_t depth = 510; depth <= 514; depth++) {
        memset(text, '[', depth);
        memset(text + depth, ']', depth);
        qw_json *v = NULL;
        qwren_status st = qw_json_parse(&v, text, 2 * depth, "t", NULL);
        assert_int_equal(st, depth <= 512 ? QWREN_OK : QWREN_E_FORMAT);
        qw_json_free(v);
    }
    memset(text, '[', 100000);
    refused(text, 100000);
    memset(text + 100000, ']', 100000);
    refused(text, 200000);
    for (size_t i = 0; i + 5 <= 100000; i += 5)
        memcpy(text + i, "{\"a\":", 5);
    refused(text, 100000);
}

/* Objects beyond 16 members are looked up by an index: every key is found, a repeated one replaces its first value, order stays. */
static void large_objects_keep_order_and_find_every_key(void **state)
{
    (void)state;
    enum { N = 5000 };
    qw_buf b = QW_BUF_INIT;
    qw_buf_putc(&b, '{');
    for (int i = 0; i < N; i++)
        qw_buf_printf(&b, "%s\"key %d\": %d", i ? "," : "", i, i);
    for (int i = 0; i < N; i += 7)
        qw_buf_printf(&b, ", \"key %d\": %d", i, -i);
    qw_buf_putc(&b, '}');
    qw_json *v = parsed(b.data);
    qw_buf_free(&b);
    assert_int_equal(qw_json_size(v), N);
    int i = 0;
    for (qw_json_iter it = qw_json_first(v); it.key; qw_json_next(v, &it), i++) {
        char key[32];
        snprintf(key, sizeof key, "key %d", i);
        assert_string_equal(it.key, key);
        assert_int_equal(qw_json_int(it.value, 1), i % 7 ? i : -i);
        assert_ptr_equal(qw_json_get(v, key), it.value);
    }
    assert_int_equal(i, N);
    assert_null(qw_json_get(v, "key 5000"));
    assert_null(qw_json_get(v, ""));
    qw_json_free(v);
}

static void keys_may_hold_nul(void **state)
{
    (void)state;
    qw_json *v = parsed("{\"a\\u0000b\": 1, \"a\": 2}");
    qw_json_iter it = qw_json_first(v);
    assert_int_equal(it.key_len, 3);
    assert_memory_equal(it.key, "a\0b", 4);
    assert_int_equal(qw_json_int(qw_json_get(v, "a"), 0), 2);
    qw_json_free(v);
}

static qwren_status parse_and_print(void *ctx, qwren_error *err)
{
    const char *text = ctx;
    qw_json *v;
    char *printed = NULL;
    QW_TRY(qw_json_parse(&v, text, strlen(text), "test", err));
    qw_buf b = QW_BUF_INIT;
    qw_json_dump(&b, v);
    qwren_status st = qw_buf_take(&b, &printed, NULL, err);
    qw_free(printed);
    qw_json_free(v);
    return st;
}

static void any_failed_allocation_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    static char text[] =
        "{\"a\": [1, 2.5, \"text\", null, true, {\"b\": \"\\u20ac\"}], \"big\": 123456789012345678901234567890, \"c\": {\"d\": {}},"
        "\"large\": "
        "{\"0\":0,\"1\":0,\"2\":0,\"3\":0,\"4\":0,\"5\":0,\"6\":0,\"7\":0,\"8\":0,\"9\":0,\"10\":0,\"11\":0,\"12\":0,\"13\":0,\"14\":0,"
        "\"15\":0,\"16\":0}}";
    fault_install();
    assert_true(fault_try_all(parse_and_print, text, 1) > 5);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(doubles_print_as_python_prints_them),
        cmocka_unit_test(documents_print_as_python_prints_them),
        cmocka_unit_test(a_decimal_comma_of_the_locale_changes_nothing),
        cmocka_unit_test(values_that_are_no_number_print_as_python_prints_them),
        cmocka_unit_test(other_programs_get_null_for_them),
        cmocka_unit_test(ill_formed_text_becomes_replacement_characters),
        cmocka_unit_test(getters_answer_by_kind_and_fall_back),
        cmocka_unit_test(a_missing_value_answers_every_getter),
        cmocka_unit_test(an_integer_beyond_64_bits_keeps_its_digits),
        cmocka_unit_test(members_come_in_the_files_order),
        cmocka_unit_test(large_objects_keep_order_and_find_every_key),
        cmocka_unit_test(keys_may_hold_nul),
        cmocka_unit_test(what_is_not_json_is_refused_with_its_place),
        cmocka_unit_test(nesting_has_a_limit),
        cmocka_unit_test(any_failed_allocation_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
