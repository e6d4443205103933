/* convert/bundled.c: the request files inside the library are what data/ holds, every line is what it should be, and none is in both. */
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
#include "convert/bundled.h"

typedef struct counts {
    size_t lines, texts, requests, tools, pictures, thoughts;
} counts;

static void same_as_file(const char *name, const char *text, size_t len)
{
    char path[1024], *file = NULL;
    size_t n = 0;
    qwren_error err;
    snprintf(path, sizeof path, "%s/../data/%s", QW_TESTS, name);
    if (qw_file_read(path, SIZE_MAX / 2, &file, &n, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    assert_int_equal(n, len);
    assert_memory_equal(file, text, len);
    assert_int_equal(text[len], 0);
    qw_free(file);
}

static void check_request(const char *line, size_t len, const qw_json *row, counts *n)
{
    char *prompt = NULL, *found = NULL;
    size_t prompt_len = 0;
    qwren_error err;
    const qw_json *messages = qw_json_get(row, "messages");
    const qw_json *last = qw_json_at(messages, qw_json_size(messages) - 1);
    assert_string_equal(qw_json_string(qw_json_get(last, "role"), NULL), "assistant");
    qwren_render_options opt = qwren_render_options_default();
    opt.strict = true;
    if (qwren_render(NULL, line, len, &opt, &prompt, &prompt_len, &err) != QWREN_OK)
        fail_msg("line %zu: %s", n->lines, err.text);
    found = strstr(prompt, "<|image_pad|>");
    n->pictures += found != NULL;
    qwren_free(prompt);
    n->requests++;
    n->tools += qw_json_get(row, "tools") != NULL;
    n->thoughts += qw_json_get(last, "reasoning_content") != NULL;
}

static counts check_lines(const char *text, size_t len)
{
    counts n = { 0 };
    for (const char *line = text, *end; line < text + len; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + len - line));
        assert_non_null(end);
        qw_json *row = NULL;
        qwren_error err;
        if (qw_json_parse(&row, line, (size_t)(end - line), "line", &err) != QWREN_OK)
            fail_msg("line %zu: %s", n.lines, err.text);
        n.lines++;
        if (qw_json_get(row, "text"))
            n.texts++;
        else
            check_request(line, (size_t)(end - line), row, &n);
        qw_json_free(row);
    }
    return n;
}

static void calibration_holds_all_kinds(void **state)
{
    (void)state;
    size_t len = 0;
    const char *text = qw_calibration_default(&len);
    same_as_file("calibration.jsonl", text, len);
    assert_true(len <= 150 * 1024);
    counts n = check_lines(text, len);
    assert_true(n.texts > 60 && n.requests > 100 && n.tools > 30 && n.pictures > 30 && n.thoughts > 50);
}

static void evaluation_holds_all_kinds(void **state)
{
    (void)state;
    size_t len = 0;
    const char *text = qw_evaluation_default(&len);
    same_as_file("evaluation.jsonl", text, len);
    counts n = check_lines(text, len);
    assert_true(n.texts > 30 && n.requests > 50 && n.tools > 15 && n.pictures > 15 && n.thoughts > 25);
}

/* The contents of evaluation are new to who has seen the calibration. */
static void no_line_is_in_both(void **state)
{
    (void)state;
    size_t n_calibration = 0, n_evaluation = 0;
    const char *calibration = qw_calibration_default(&n_calibration), *text = qw_evaluation_default(&n_evaluation);
    for (const char *line = text, *end; line < text + n_evaluation; line = end + 1) {
        end = memchr(line, '\n', (size_t)(text + n_evaluation - line));
        assert_null(memmem(calibration, n_calibration, line, (size_t)(end + 1 - line)));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(calibration_holds_all_kinds),
        cmocka_unit_test(evaluation_holds_all_kinds),
        cmocka_unit_test(no_line_is_in_both),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
