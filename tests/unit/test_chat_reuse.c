/* What a session keeps between two requests: a later turn computes only what is new, and answers as if everything had been computed. */
#include "support/nano.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

static qwren_model *model, *forgetful; /* sessions of the second share nothing */

static int open_model(void **state)
{
    (void)state;
    model = nano_open_cached(1);
    forgetful = nano_open(1);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    qwren_model_close(model);
    qwren_model_close(forgetful);
    return 0;
}

static const char *or_empty(const char *s) { return s ? s : ""; }

static void assert_same(const qwren_result *a, const qwren_result *b)
{
    assert_string_equal(or_empty(qwren_result_reasoning(a)), or_empty(qwren_result_reasoning(b)));
    assert_string_equal(or_empty(qwren_result_content(a)), or_empty(qwren_result_content(b)));
    assert_string_equal(qwren_result_finish_reason(a), qwren_result_finish_reason(b));
}

/* The answer on `s`, which must be that of a session that knows nothing. */
static qwren_result *ask_both(qwren_session *s, const char *request)
{
    qwren_chat_options opt = nano_greedy();
    qwren_session *fresh = nano_session(forgetful, 0);
    qwren_result *a = nano_ask(s, &opt, request), *b = nano_ask(fresh, &opt, request);
    assert_same(a, b);
    assert_int_equal(qwren_result_stats(a)->prompt_tokens, qwren_result_stats(b)->prompt_tokens);
    assert_int_equal(qwren_result_stats(b)->reused_tokens, 0);
    assert_int_equal(qwren_session_length(s), qwren_session_length(fresh));
    qwren_result_free(b);
    qwren_session_free(fresh);
    return a;
}

/* The conversation so far with its answer, and one question more. */
static char *continued(const char *turns, const char *answer, const char *question)
{
    qw_buf quoted = QW_BUF_INIT;
    qw_json_dump_string(&quoted, answer, strlen(answer));
    char *all =
        nano_text("%s, {'role': 'assistant', 'content': %s}, {'role': 'user', 'content': '%s'}", turns, qw_buf_text(&quoted), question);
    qw_buf_free(&quoted);
    return all;
}

static size_t tokens_of(const char *text)
{
    int32_t *ids = NULL;
    size_t n = 0;
    assert_int_equal(qwren_tokenize(qwren_model_tokenizer(model), text, SIZE_MAX, QWREN_SPECIAL_ALL, &ids, &n, NULL), QWREN_OK);
    qwren_free(ids);
    return n;
}

/* Tokens at the end of a prompt that a later turn does not share: the template drops the thought. */
static size_t last_turn_tokens(bool thinking) { return tokens_of(thinking ? "<think>\n" : "<think>\n\n</think>\n\n"); }

/* Each turn knows at least what the one before was asked. */
static void turns_continue(bool thinking, int n_turns)
{
    static const char *const questions[] = { "And what is 2 + 3?", "Translate red to German." };
    qwren_session *s = nano_session(model, 0);
    char *turns = nano_text("{'role': 'user', 'content': 'What is 17 + 25?'}");
    size_t asked = 0;
    for (int i = 0; i < n_turns; i++) {
        char *request = nano_text("{'messages': [%s], 'enable_thinking': %s, 'max_tokens': 60}", turns, thinking ? "true" : "false");
        qwren_result *r = ask_both(s, request);
        const qwren_stats *stats = qwren_result_stats(r);
        assert_true(stats->reused_tokens >= asked && stats->reused_tokens < stats->prompt_tokens);
        asked = stats->prompt_tokens - last_turn_tokens(thinking);
        char *next = i + 1 < n_turns ? continued(turns, or_empty(qwren_result_content(r)), questions[i]) : NULL;
        qwren_result_free(r);
        qw_free(request);
        qw_free(turns);
        turns = next;
    }
    qwren_session_free(s);
}

static void a_later_turn_starts_from_the_former(void **state)
{
    (void)state;
    turns_continue(false, 3);
}

/* The template drops the former thought, so the former answer must be left again. */
static void thoughts_do_not_stand_in_the_way(void **state)
{
    (void)state;
    turns_continue(true, 2);
}

static void another_conversation_begins_anew(void **state)
{
    (void)state;
    qwren_session *s = nano_session(model, 0);
    qwren_result_free(ask_both(s, "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}], 'max_tokens': 8}"));
    qwren_result *r =
        ask_both(s, "{'messages': [{'role': 'system', 'content': 'Be kind.'}, {'role': 'user', 'content': 'Hello'}], 'max_tokens': 8}");
    assert_int_equal(qwren_result_stats(r)->reused_tokens, 0);
    qwren_result_free(r);
    qwren_session_free(s);
}

/* The same request again: everything is known but the last turn's beginning. */
static void a_question_may_be_repeated(void **state)
{
    (void)state;
    static const char request[] =
        "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}], 'enable_thinking': true, 'max_tokens': 8}";
    qwren_session *s = nano_session(model, 0);
    qwren_result_free(ask_both(s, request));
    qwren_result *r = ask_both(s, request);
    assert_int_equal(qwren_result_stats(r)->reused_tokens, qwren_result_stats(r)->prompt_tokens - last_turn_tokens(true));
    qwren_result_free(r);
    qwren_session_free(s);
}

/* ------------------------------------------------------------------------------------------------------- pictures */

/* picture:SHADE is a grey one; each load is counted. */
static qwren_status load_grey(void *ctx, const char *url, qwren_image **out, qwren_error *err)
{
    static uint8_t rgb[64 * 64 * 3];
    ++*(int *)ctx;
    memset(rgb, url[8], sizeof rgb);
    return qwren_image_from_rgb(out, rgb, 64, 64, 0, err);
}

#define SHOW \
  "{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': 'picture:%c'}}, {'type': 'text', 'text': 'What is this?'}]}"

static qwren_result *show(qwren_session *s, char shade, const char *more)
{
    int loads = 0;
    qwren_chat_options opt = nano_greedy();
    opt.load_image = load_grey;
    opt.load_ctx = &loads;
    char *request = nano_text("{'messages': [" SHOW "%s], 'enable_thinking': false, 'max_tokens': 12}", shade, more);
    qwren_result *r = nano_ask(s, &opt, request);
    assert_int_equal(loads, 1);
    qw_free(request);
    return r;
}

static const char MORE[] = ", {'role': 'assistant', 'content': 'A picture.'}, {'role': 'user', 'content': 'Which colour?'}";

static void a_picture_that_is_held_is_recognised(void **state)
{
    (void)state;
    qwren_session *s = nano_session(model, 0), *fresh = nano_session(forgetful, 0);
    qwren_result_free(show(s, 'a', ""));
    qwren_result *a = show(s, 'a', MORE), *b = show(fresh, 'a', MORE);
    assert_same(a, b);
    assert_true(qwren_result_stats(a)->reused_tokens > qwren_result_stats(a)->image_tokens);
    qwren_result_free(a);
    qwren_result_free(b);
    qwren_session_free(s);
    qwren_session_free(fresh);
}

static void another_picture_is_another_conversation(void **state)
{
    (void)state;
    qwren_session *s = nano_session(model, 0), *fresh = nano_session(forgetful, 0);
    qwren_result_free(show(s, 'a', ""));
    qwren_result *a = show(s, 'b', MORE), *b = show(fresh, 'b', MORE);
    assert_same(a, b);
    assert_int_equal(qwren_result_stats(a)->reused_tokens, tokens_of("<|im_start|>user\n<|vision_start|>"));
    qwren_result_free(a);
    qwren_result_free(b);
    qwren_session_free(s);
    qwren_session_free(fresh);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_turn_starts_from_the_former),  cmocka_unit_test(thoughts_do_not_stand_in_the_way),
        cmocka_unit_test(another_conversation_begins_anew),     cmocka_unit_test(a_question_may_be_repeated),
        cmocka_unit_test(a_picture_that_is_held_is_recognised), cmocka_unit_test(another_picture_is_another_conversation),

    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
