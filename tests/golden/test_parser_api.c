/* qwren_parser as a program uses it: every case of the reference parser through the public API, and what it says to wrong calls. */
#include "support/jsonl.h"

#include "qwren.h"

#define N_CASES 83

static qw_buf tools;

static int read_tools(void **state)
{
    (void)state;
    qw_json *v = NULL;
    if (qw_json_read_file(&v, QW_TEST_DATA "/parse/tools.json", SIZE_MAX / 2, NULL) != QWREN_OK)
        return 1;
    qw_json_dump(&tools, v);
    qw_json_free(v);
    return 0;
}

static int free_tools(void **state)
{
    (void)state;
    qw_buf_free(&tools);
    return 0;
}

static void check_case(const qw_json *row, void *ctx)
{
    (void)ctx;
    qwren_parser *p = NULL;
    qwren_error err = { 0 };
    char *json = NULL;
    qw_buf want = QW_BUF_INIT;
    qwren_parser_options opt = qwren_parser_options_default();
    opt.thinking = qw_json_bool(qw_json_get(row, "thinking"), false);
    opt.keep_markup = strcmp(case_text(row, "reasoning_format"), "none") == 0;
    opt.tools = case_text(row, "tools") ? tools.data : NULL;
    opt.tool_choice = case_text(row, "tool_choice");
    assert_int_equal(qwren_parser_create(&p, &opt, NULL, NULL, &err), QWREN_OK);
    const qw_json *chunks = qw_json_get(row, "chunks");
    for (size_t i = 0; i < qw_json_size(chunks); i++) {
        size_t n = 0;
        const char *text = qw_json_string(qw_json_at(chunks, i), &n);
        assert_int_equal(qwren_parser_push(p, text, n, &err), QWREN_OK);
    }
    assert_int_equal(qwren_parser_finish(p, case_text(row, "finish"), &json, &err), QWREN_OK);
    qw_json_dump(&want, qw_json_get(row, "expect"));
    assert_string_equal(json, want.data);
    qwren_free(json);
    qwren_parser_free(p);
    qw_buf_free(&want);
}

static void every_case_through_the_public_api(void **state)
{
    (void)state;
    each_case("parse/cases.jsonl", N_CASES, check_case, NULL);
}

static void wrong_calls_are_told_apart(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    qwren_parser *p = NULL;
    char *json = NULL;
    qwren_parser_options opt = { 0 };
    assert_int_equal(qwren_parser_create(&p, &opt, NULL, NULL, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "struct_size"));
    opt = qwren_parser_options_default();
    opt.tools = "{\"a\": 1}";
    assert_int_equal(qwren_parser_create(&p, &opt, NULL, NULL, &err), QWREN_E_ARGUMENT);
    assert_null(p);
    opt.tools = "[oops";
    assert_int_equal(qwren_parser_create(&p, &opt, NULL, NULL, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "tools"));
    assert_int_equal(qwren_parser_create(&p, NULL, NULL, NULL, &err), QWREN_OK);
    assert_int_equal(qwren_parser_push(p, "hello", SIZE_MAX, &err), QWREN_OK);
    assert_int_equal(qwren_parser_finish(p, NULL, &json, &err), QWREN_OK);
    assert_string_equal(json, "{\"reasoning_content\": null, \"content\": \"hello\", \"tool_calls\": [], \"finish_reason\": \"stop\"}");
    assert_int_equal(qwren_parser_push(p, "more", SIZE_MAX, &err), QWREN_E_ARGUMENT);
    qwren_free(json);
    qwren_parser_free(p);
    qwren_parser_free(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_case_through_the_public_api),
        cmocka_unit_test(wrong_calls_are_told_apart),
    };
    return cmocka_run_group_tests(tests, read_tools, free_tools);
}
