/* api/sample.c: lines of request files as samples, on the bundled model. */
#include "support/nano.h"

#include <string.h>

#include "api/sample.h"
#include "base/alloc.h"
#include "convert/bundled.h"
#include "support/fault.h"

static qwren_model *model;

static int open_model(void **state)
{
    (void)state;
    model = nano_open(1);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    qwren_model_close(model);
    return 0;
}

static qw_sample read_line(const char *line)
{
    qw_sample s;
    qwren_error err;
    if (qw_sample_read(&s, model, line, strlen(line), "line 1", NULL, NULL, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return s;
}

/* The ids [first, end) as text. */
static void expect_text(const qw_sample *s, size_t first, size_t end, const char *want)
{
    char *text = NULL;
    size_t len = 0;
    qwren_error err;
    if (qwren_detokenize(qwren_model_tokenizer(model), s->ids.data + first, end - first, false, &text, &len, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    assert_string_equal(text, want);
    qwren_free(text);
}

static void lines_are_found(void **state)
{
    (void)state;
    const char *text = "\n{1}\r\n  \t\n{2}", *line = NULL;
    size_t left = strlen(text), len = 0, number = 0;
    assert_true(qw_sample_next(&text, &left, &line, &len, &number));
    assert_int_equal(number, 2);
    assert_memory_equal(line, "{1}\r", len);
    assert_true(qw_sample_next(&text, &left, &line, &len, &number));
    assert_int_equal(number, 4);
    assert_int_equal(len, 3);
    assert_memory_equal(line, "{2}", len);
    assert_false(qw_sample_next(&text, &left, &line, &len, &number));
}

/* Some editors put one before a text; it is no part of the first line, nor anything in the others. */
static void a_byte_order_mark_is_skipped(void **state)
{
    (void)state;
    const char *text = "\xEF\xBB\xBF{1}\n\xEF\xBB\xBF{2}", *line = NULL;
    size_t left = strlen(text), len = 0, number = 0;
    assert_true(qw_sample_next(&text, &left, &line, &len, &number));
    assert_int_equal(number, 1);
    assert_int_equal(len, 3);
    assert_memory_equal(line, "{1}", len);
    assert_true(qw_sample_next(&text, &left, &line, &len, &number));
    assert_int_equal(len, 6);
    assert_false(qw_sample_next(&text, &left, &line, &len, &number));
    text = "\xEF\xBB\xBF";
    left = 3, number = 0;
    assert_false(qw_sample_next(&text, &left, &line, &len, &number));
}

static void text_is_plain(void **state)
{
    (void)state;
    qw_sample s = read_line("{\"text\": \"one <|im_end|> two\"}");
    expect_text(&s, 0, s.ids.n, "one <|im_end|> two");
    for (size_t i = 0; i < s.ids.n; i++)
        assert_int_not_equal(s.ids.data[i], qwren_token_id(qwren_model_tokenizer(model), "<|im_end|>"));
    assert_int_equal(s.n_context, s.ids.n);
    qw_sample_deinit(&s);
}

#define ASKED "{\"role\": \"user\", \"content\": \"Hello\"}"
#define TURN "<|im_start|>user\nHello<|im_end|>\n<|im_start|>assistant\n<think>\n"

static void the_answer_is_told_from_the_rest(void **state)
{
    (void)state;
    qw_sample s =
        read_line("{\"messages\": [" ASKED ", {\"role\": \"assistant\", \"content\": \"Good day.\"}], \"enable_thinking\": false}");
    expect_text(&s, 0, s.n_context, TURN "\n</think>\n\n");
    expect_text(&s, s.n_context, s.ids.n, "Good day.<|im_end|>\n");
    qw_sample_deinit(&s);
    s = read_line("{\"messages\": [" ASKED
                  ", {\"role\": \"assistant\", \"content\": \"Good day.\", \"reasoning_content\": \"I greet.\"}]}");
    expect_text(&s, 0, s.n_context, TURN);
    expect_text(&s, s.n_context, s.ids.n, "I greet.\n</think>\n\nGood day.<|im_end|>\n");
    qw_sample_deinit(&s);
    s = read_line("{\"messages\": [" ASKED "], \"enable_thinking\": true}");
    expect_text(&s, 0, s.ids.n, TURN);
    assert_int_equal(s.n_context, s.ids.n);
    qw_sample_deinit(&s);
}

static void refuses(const char *line, qwren_status status, const char *word)
{
    qw_sample s;
    qwren_error err = { 0 };
    assert_int_equal(qw_sample_read(&s, model, line, strlen(line), "line 7", NULL, NULL, &err), status);
    if (strncmp(err.text, "line 7", 6) != 0 || !strstr(err.text, word))
        fail_msg("'%s' does not begin with the line, or does not hold '%s'", err.text, word);
    qw_sample_deinit(&s);
}

static void what_is_no_sample_is_refused(void **state)
{
    (void)state;
    refuses("rubbish", QWREN_E_FORMAT, "line 7");
    refuses("[1]", QWREN_E_ARGUMENT, "request");
    refuses("{\"text\": 3}", QWREN_E_ARGUMENT, "string");
    refuses("{\"text\": \"\"}", QWREN_E_ARGUMENT, "nothing to read");
    refuses("{\"messages\": 3}", QWREN_E_ARGUMENT, "messages");
    refuses("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"image_url\": {\"url\": \"a.png\"}}]}]}",
            QWREN_E_ARGUMENT, "a.png");
    refuses("{\"messages\": [{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"image_url\": {\"url\": "
            "\"data:image/png;base64,AAAA\"}}]}]}",
            QWREN_E_FORMAT, "image 1");
}

static void lay_out_all(const char *text, size_t left)
{
    const char *line = NULL;
    size_t len = 0, number = 0, n_pictures = 0, n_answers = 0;
    while (qw_sample_next(&text, &left, &line, &len, &number)) {
        qw_sample s;
        qw_pictures pictures;
        qw_timeline timeline;
        qwren_error err;
        if (qw_sample_read(&s, model, line, len, "line", NULL, NULL, &err) != QWREN_OK ||
            qw_sample_lay_out(&s, model, &pictures, &timeline, &err) != QWREN_OK)
            fail_msg("line %zu: %s", number, err.text);
        assert_int_equal(timeline.n, s.ids.n - s.n_images + pictures.n_tokens);
        n_answers += s.n_context < s.ids.n;
        n_pictures += s.n_images;
        qw_timeline_deinit(&timeline);
        qw_pictures_deinit(&pictures);
        qw_sample_deinit(&s);
    }
    assert_true(n_pictures > 15 && n_answers > 50);
}

static void the_bundled_files_are_samples(void **state)
{
    (void)state;
    size_t len = 0;
    const char *text = qw_calibration_default(&len);
    lay_out_all(text, len);
    text = qw_evaluation_default(&len);
    lay_out_all(text, len);
}

static qwren_status read_and_lay_out(void *ctx, qwren_error *err)
{
    const char *line = ctx;
    qw_sample s;
    qw_pictures pictures = { 0 };
    qw_timeline timeline = { 0 };
    qwren_status st = qw_sample_read(&s, model, line, strlen(line), "line 1", NULL, NULL, err);
    if (st == QWREN_OK)
        st = qw_sample_lay_out(&s, model, &pictures, &timeline, err);
    qw_timeline_deinit(&timeline);
    qw_pictures_deinit(&pictures);
    qw_sample_deinit(&s);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char *url = nano_data_url(PICTURE);
    char *line = nano_text("{'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': '%s'}}]}, "
                           "{'role': 'assistant', 'content': 'Two.'}]}",
                           url);
    fault_install();
    assert_true(fault_try_all(read_and_lay_out, line, 1) > 20);
    fault_remove();
    qw_free(line);
    qw_free(url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_are_found),
        cmocka_unit_test(a_byte_order_mark_is_skipped),
        cmocka_unit_test(text_is_plain),
        cmocka_unit_test(the_answer_is_told_from_the_rest),
        cmocka_unit_test(what_is_no_sample_is_refused),
        cmocka_unit_test(the_bundled_files_are_samples),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
