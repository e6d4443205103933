/* Where in a prompt the turns and the parts of answers stand, what is left out of it on request, and by what two messages' calls are compared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "support/fault.h"
#include "text/calls.h"
#include "text/template.h"

#define NONE SIZE_MAX

/* With ' for ". */
static qw_json *read_json(const char *text)
{
    char *copy = qw_strdup(text);
    qw_json *root = NULL;
    qwren_error err = { 0 };
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    if (qw_json_parse(&root, copy, strlen(copy), "test", &err) != QWREN_OK)
        fail_msg("%s in %s", err.text, text);
    qw_free(copy);
    return root;
}

static void render(qw_prompt *p, const qw_json *root, size_t skip_begin, size_t skip_end)
{
    qwren_error err = { 0 };
    const qw_template_input in = { .messages = qw_json_get(root, "messages"),
                                   .tools = qw_json_get(root, "tools"),
                                   .thinking = qw_json_bool(qw_json_get(root, "think"), true),
                                   .add_generation_prompt = qw_json_bool(qw_json_get(root, "generate"), true),
                                   .skip_begin = skip_begin,
                                   .skip_end = skip_end };
    if (qw_template_render(p, &in, &err) != QWREN_OK)
        fail_msg("%s", err.text);
}

static void expect_part(const qw_prompt *p, size_t begin, size_t end, const char *want)
{
    char *got = qw_strndup(qw_buf_text(&p->text) + begin, end - begin);
    assert_string_equal(got, want);
    qw_free(got);
}

static void expect_turn(const qw_prompt *p, size_t i, const char *head, size_t first, size_t last, bool query)
{
    const qw_turn_place *t = &p->turns[i];
    if (strncmp(qw_buf_text(&p->text) + t->offset, head, strlen(head)) != 0)
        fail_msg("turn %zu begins with %.30s", i, qw_buf_text(&p->text) + t->offset);
    assert_int_equal(t->first, first);
    assert_int_equal(t->last, last);
    assert_int_equal(t->is_query, query);
    assert_int_equal(t->is_system, strstr(head, "system") != NULL);
}

#define HISTORY                                                                                                                           \
  "{'messages': [{'role': 'system', 'content': 'A'}, {'role': 'developer', 'content': 'B'}, {'role': 'user', 'content': '<|im_start|>'}," \
  "{'role': 'assistant', 'content': ' one ', 'reasoning_content': 'old'}, {'role': 'system', 'content': 'late'},"                         \
  "{'role': 'user', 'content': 'two'}, {'role': 'assistant', 'content': '', 'reasoning_content': ' why ', 'tool_calls': [{'name': 'f',"   \
  " 'arguments': {'x': 1}}]}, {'role': 'tool', 'content': 'r1'}, {'role': 'tool', 'content': 'r2'},"                                      \
  "{'role': 'assistant', 'content': '<think>hm</think>\\n\\n three'}, {'role': 'user', 'content': '<tool_response>r</tool_response>'}]%s}"

static void turns_know_their_messages(void **state)
{
    (void)state;
    char text[2048];
    snprintf(text, sizeof text, HISTORY, "");
    qw_json *root = read_json(text);
    qw_prompt p;
    render(&p, root, 0, 0);
    assert_int_equal(p.n_turns, 9);
    expect_turn(&p, 0, "<|im_start|>system\nA\n\nB<", 0, 1, false);
    expect_turn(&p, 1, "<|im_start|>user\n<|im_start|>", 2, 2, true);
    expect_turn(&p, 2, "<|im_start|>assistant\none<", 3, 3, false);
    expect_turn(&p, 3, "<|im_start|>user\nlate\n\ntwo<", 4, 5, true);
    expect_turn(&p, 4, "<|im_start|>assistant\n<think>\nwhy\n", 6, 6, false);
    expect_turn(&p, 5, "<|im_start|>user\n<tool_response>\nr1\n", 7, 8, false);
    expect_turn(&p, 6, "<|im_start|>assistant\n<think>\nhm\n", 9, 9, false);
    expect_turn(&p, 7, "<|im_start|>user\n<tool_response>r<", 10, 10, false);
    expect_turn(&p, 8, "<|im_start|>assistant\n<think>\n", NONE, NONE, false);
    expect_part(&p, p.think, p.text.len, "<think>\n");
    qw_prompt_deinit(&p);
    qw_json_free(root);
}

static void answers_know_their_parts(void **state)
{
    (void)state;
    char text[2048];
    snprintf(text, sizeof text, HISTORY, ", 'generate': false");
    qw_json *root = read_json(text);
    qw_prompt p;
    render(&p, root, 0, 0);
    assert_int_equal(p.think, p.text.len);
    assert_int_equal(p.n_answers, 3);
    const qw_answer_place *a = p.answers;
    expect_part(&p, a[0].begin, a[0].end, "one");
    expect_part(&p, a[0].content, a[0].content_end, "one");
    assert_true(a[0].begin == a[0].content && a[0].thought == a[0].thought_end && a[0].message == 3 && a[0].turn == 2);
    expect_part(&p, a[1].thought, a[1].thought_end, "why");
    expect_part(&p, a[1].begin, a[1].content, "<think>\nwhy\n</think>\n\n");
    expect_part(&p, a[1].content, a[1].content_end, "");
    expect_part(&p, a[1].content_end, a[1].end, "<tool_call>\n<function=f>\n<parameter=x>\n1\n</parameter>\n</function>\n</tool_call>");
    expect_part(&p, a[2].thought, a[2].thought_end, "hm");
    expect_part(&p, a[2].content, a[2].content_end, " three");
    for (size_t i = 0; i < 3; i++)
        expect_part(&p, a[i].end, a[i].end + 10, "<|im_end|>");
    qw_prompt_deinit(&p);
    qw_json_free(root);
}

static void without_thinking_the_place_is_before_the_empty_block(void **state)
{
    (void)state;
    qw_json *root = read_json("{'messages': [{'role': 'user', 'content': 'x'}], 'think': false, 'tools': [{'name': 'f'}]}");
    qw_prompt p;
    render(&p, root, 0, 0);
    expect_part(&p, p.think, p.text.len, "<think>\n\n</think>\n\n");
    expect_turn(&p, 0, "<|im_start|>system\n# Tools", NONE, NONE, false);
    qw_prompt_deinit(&p);
    qw_json_free(root);
}

/* What is left out leaves no trace, not even in which thought stays; the indices of the others are those of the request. */
static void messages_are_left_out(void **state)
{
    (void)state;
    char text[2048];
    snprintf(text, sizeof text, HISTORY, "");
    qw_json *root = read_json(text);
    qw_prompt p, whole;
    render(&p, root, 2, 5);
    render(&whole, root, 0, 0);
    assert_int_equal(p.n_turns, 7);
    expect_turn(&p, 1, "<|im_start|>user\ntwo<", 5, 5, true);
    assert_int_equal(p.answers[0].message, 6);
    const size_t rest = whole.text.len - whole.turns[4].offset;
    assert_int_equal(p.text.len - p.turns[2].offset, rest);
    assert_memory_equal(qw_buf_text(&p.text) + p.turns[2].offset, qw_buf_text(&whole.text) + whole.turns[4].offset, rest);
    qw_prompt_deinit(&p);
    qw_prompt_deinit(&whole);
    qw_json_free(root);
}

/* ---------------------------------------------------------------------------------------------------------- calls */

static char *canonical(const char *message, size_t *n)
{
    qw_json *root = read_json(message);
    qw_buf b = QW_BUF_INIT;
    char *out = NULL;
    assert_int_equal(qw_calls_canonical(&b, root, n, NULL), QWREN_OK);
    qw_buf_putc(&b, '.');
    assert_int_equal(qw_buf_take(&b, &out, NULL, NULL), QWREN_OK);
    qw_json_free(root);
    return out;
}

static void expect_same_calls(const char *a, const char *b, bool same)
{
    size_t n_a, n_b;
    char *x = canonical(a, &n_a), *y = canonical(b, &n_b);
    if ((strcmp(x, y) == 0) != same)
        fail_msg("%s and %s", x, y);
    qw_free(x);
    qw_free(y);
}

static void calls_are_compared_by_value(void **state)
{
    (void)state;
    static const char *const a =
        "{'tool_calls': [{'id': 'call_1', 'name': 'f', 'arguments': {'a': 1, 'b': [1.5, {'x': null, 'y': true}]}}]}";
    static const char *const same[] = {
        "{'tool_calls': [{'type': 'function', 'function': {'name': 'f', 'arguments': {'b': [1.50, {'y':true,'x':null}], 'a': 1.0}}}]}",
        "{'tool_calls': [{'function': {'arguments': '{\\u0022b\\u0022: [15e-1, {\\u0022y\\u0022: true, \\u0022x\\u0022: null}], "
        "\\u0022a\\u0022: 1}', 'name': 'f'}}]}",
        "{'tool_calls': {'name': 'f', 'arguments': {'b': [1.5, {'x': null, 'y': true}], 'a': 1}}}",
        "{'function_call': {'name': 'f', 'arguments': {'b': [1.5, {'x': null, 'y': true}], 'a': 1}}}",
    };
    static const char *const other[] = {
        "{'tool_calls': [{'name': 'g', 'arguments': {'a': 1, 'b': [1.5, {'x': null, 'y': true}]}}]}",
        "{'tool_calls': [{'name': 'f', 'arguments': {'a': '1', 'b': [1.5, {'x': null, 'y': true}]}}]}",
        "{'tool_calls': [{'name': 'f', 'arguments': {'a': 1, 'b': [{'x': null, 'y': true}, 1.5]}}]}",
        "{'tool_calls': [{'name': 'f', 'arguments': {'a': 1}}]}",
        "{'content': 'f'}",
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++)
        expect_same_calls(a, same[i], true);
    for (size_t i = 0; i < sizeof other / sizeof *other; i++)
        expect_same_calls(a, other[i], false);
    expect_same_calls("{'tool_calls': [{'name': 'f'}]}", "{'tool_calls': [{'name': 'f', 'arguments': ' '}]}", true);
    expect_same_calls("{'tool_calls': [{'name': 'f'}]}", "{'tool_calls': [{'name': 'f', 'arguments': '[1]'}]}", false);
    expect_same_calls("{'tool_calls': [{'name': 'f', 'arguments': {'a': 12345678901234567890123}}]}",
                      "{'tool_calls': [{'name': 'f', 'arguments': {'a': 12345678901234567890124}}]}", false);
    size_t n = 7;
    qw_free(canonical("{'tool_calls': [], 'content': 'x'}", &n));
    assert_int_equal(n, 0);
    qw_free(canonical("{'tool_calls': [{'name': 'f'}, {'name': 'g'}]}", &n));
    assert_int_equal(n, 2);
}

static qwren_status try_calls(void *ctx, qwren_error *err)
{
    qw_buf b = QW_BUF_INIT;
    size_t n = 0;
    qwren_status st = qw_calls_canonical(&b, ctx, &n, err);
    qw_buf_free(&b);
    return st;
}

static qwren_status try_render(void *ctx, qwren_error *err)
{
    qw_prompt p;
    const qw_template_input in = { .messages = qw_json_get(ctx, "messages"), .thinking = 1, .add_generation_prompt = true };
    qwren_status st = qw_template_render(&p, &in, err);
    qw_prompt_deinit(&p);
    return st;
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    char text[2048];
    snprintf(text, sizeof text, HISTORY, "");
    qw_json *root = read_json(text),
            *calls =
                read_json("{'tool_calls': [{'name': 'f', 'arguments': '{\\u0022a\\u0022: {\\u0022b\\u0022: [1, {}]}}'}, {'name': 'g'}]}");
    fault_install();
    assert_true(fault_try_all(try_calls, calls, 1) >= 4);
    assert_true(fault_try_all(try_render, root, 1) >= 8);
    fault_remove();
    qw_json_free(root);
    qw_json_free(calls);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(turns_know_their_messages),
        cmocka_unit_test(answers_know_their_parts),
        cmocka_unit_test(without_thinking_the_place_is_before_the_empty_block),
        cmocka_unit_test(messages_are_left_out),
        cmocka_unit_test(calls_are_compared_by_value),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
