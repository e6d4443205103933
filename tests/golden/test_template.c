/* The prompt against the official template: every case that tests/oracle/make_template.py rendered with jinja2, to the byte,
 * errors included. */
#include "support/jsonl.h"

#include "text/template.h"

#define N_CASES 190

static qw_template_input input_of(const qw_json *row, bool strict)
{
    const qw_json *flags = qw_json_get(row, "flags"), *thinking = qw_json_get(flags, "enable_thinking");
    return (qw_template_input){
        .messages = qw_json_get(row, "messages"),
        .tools = qw_json_get(row, "tools"),
        .strict = strict,
        .thinks_by_default = strcmp(case_text(row, "variant"), "4b") == 0,
        .thinking = qw_json_is(thinking, QW_JSON_BOOL) ? qw_json_bool(thinking, false) : -1,
        .add_generation_prompt = qw_json_bool(qw_json_get(flags, "add_generation_prompt"), false),
        .add_vision_id = qw_json_bool(qw_json_get(flags, "add_vision_id"), false),
    };
}

static void check_text(const qw_json *row, const qw_prompt *p)
{
    size_t n = 0;
    const char *want = qw_json_string(qw_json_get(row, "text"), &n);
    if (p->text.len == n && memcmp(qw_buf_text(&p->text), want, n) == 0)
        return;
    fail_msg("%s\n got: %s\nwant: %s", case_text(row, "id"), qw_buf_text(&p->text), want);
}

static void check_strict(const qw_json *row, void *ctx)
{
    (void)ctx;
    qw_prompt p;
    qwren_error err = { 0 };
    qw_template_input in = input_of(row, true);
    qwren_status st = qw_template_render(&p, &in, &err);
    const char *error = case_text(row, "error");
    if (!error && st != QWREN_OK)
        fail_msg("%s: %s", case_text(row, "id"), err.text);
    if (error && (st != QWREN_E_TEMPLATE || strcmp(err.text, error) != 0))
        fail_msg("%s: got \"%s\", want \"%s\"", case_text(row, "id"), st ? err.text : "a prompt", error);
    if (!error)
        check_text(row, &p);
    qw_prompt_deinit(&p);
}

/* Where leniency means something else than the template. */
static bool is_odd(const char *id)
{
    return strncmp(id, "tool-calls-dict/", 16) == 0 /* one call without its list: the template ignores it */
           || strncmp(id, "tool-first/", 11) == 0;  /* the template opens no turn for it */
}

static void check_lenient(const qw_json *row, void *ctx)
{
    qw_prompt p;
    qwren_error err = { 0 };
    qw_template_input in = input_of(row, false);
    if (is_odd(case_text(row, "id")))
        return;
    qwren_status st = qw_template_render(&p, &in, &err);
    if (!case_text(row, "error")) {
        assert_int_equal(st, QWREN_OK);
        check_text(row, &p);
    }
    *(int *)ctx += st != QWREN_OK;
    qw_prompt_deinit(&p);
}

static void the_official_templates_bytes_and_errors(void **state)
{
    (void)state;
    each_case("template/cases.jsonl", N_CASES, check_strict, NULL);
}

static void leniency_changes_nothing_that_the_template_accepts(void **state)
{
    (void)state;
    int refused = 0;
    each_case("template/cases.jsonl", N_CASES, check_lenient, &refused);
    assert_int_equal(refused, 4); /* no messages, an audio part, a missing role, a call without a name */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_official_templates_bytes_and_errors),
        cmocka_unit_test(leniency_changes_nothing_that_the_template_accepts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
