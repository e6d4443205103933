/* What a session keeps between two requests: a later turn computes only what is new, and answers as if everything had been computed. Several sessions on one model. */
#include "support/nano.h"

#include <pthread.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

static qwren_model *model;

static int open_model(void **state)
{
    (void)state;
    model = nano_open(2);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    qwren_model_close(model);
    return 0;
}

static const char *or_empty(const char *s) { return s ? s : ""; }

static void assert_same(const qwren_result *a, const qwren_result *b)
{
    assert_string_equal(or_empty(qwren_result_reasoning(a)), or_empty(qwren_result_reasoning(b)));
    assert_string_equal(or_empty(qwren_result_content(a)), or_empty(qwren_result_content(b)));
    assert_string_equal(qwren_result_finish_reason(a), qwren_result_finish_reason(b));
}

/* Answers on `s` and, for comparison, on a session that knows nothing. Returns how many tokens were known. */
static size_t ask_both(qwren_session *s, const char *request)
{
    qwren_chat_options opt = nano_greedy();
    qwren_session *fresh = nano_session(model, 0);
    qwren_result *a = nano_ask(s, &opt, request), *b = nano_ask(fresh, &opt, request);
    size_t reused = qwren_result_stats(a)->reused_tokens;
    assert_same(a, b);
    assert_int_equal(qwren_result_stats(a)->prompt_tokens, qwren_result_stats(b)->prompt_tokens);
    assert_int_equal(qwren_result_stats(b)->reused_tokens, 0);
    assert_int_equal(qwren_session_length(s), qwren_session_length(fresh));
    qwren_result_free(a);
    qwren_result_free(b);
    qwren_session_free(fresh);
    return reused;
}

/* The conversation so far with its answer, and one question more. Frees both strings' predecessor. */
static char *continued(const char *turns, const char *answer, const char *question)
{
    qw_buf quoted = QW_BUF_INIT;
    qw_json_dump_string(&quoted, answer, strlen(answer));
    char *all =
        nano_text("%s, {'role': 'assistant', 'content': %s}, {'role': 'user', 'content': '%s'}", turns, qw_buf_text(&quoted), question);
    qw_buf_free(&quoted);
    return all;
}

static void turns_continue(bool thinking)
{
    qwren_chat_options opt = nano_greedy();
    qwren_session *s = nano_session(model, 0);
    static const char *const questions[] = { "And what is 2 + 3?", "Translate red to German.", "What is 100 - 1?" };
    char *turns = nano_text("{'role': 'user', 'content': 'What is 17 + 25?'}");
    size_t before = 0;
    for (int i = 0; i < 4; i++) {
        char *request = nano_text("{'messages': [%s], 'enable_thinking': %s, 'max_tokens': 200}", turns, thinking ? "true" : "false");
        size_t reused = ask_both(s, request);
        if (i)
            assert_true(reused >= before);
        qwren_result *r = nano_ask(s, &opt, request); /* again: everything but the last turn's beginning is known */
        before = qwren_result_stats(r)->reused_tokens;
        assert_true(before > 0 && before < qwren_result_stats(r)->prompt_tokens);
        char *next = i < 3 ? continued(turns, or_empty(qwren_result_content(r)), questions[i]) : NULL;
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
    turns_continue(false);
}

/* The template drops the former thought, so the former answer must be left again. */
static void thoughts_do_not_stand_in_the_way(void **state)
{
    (void)state;
    turns_continue(true);
}

static void another_conversation_begins_anew(void **state)
{
    (void)state;
    qwren_session *s = nano_session(model, 0);
    ask_both(s, "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}], 'max_tokens': 8}");
    assert_int_equal(
        ask_both(s, "{'messages': [{'role': 'system', 'content': 'Be kind.'}, {'role': 'user', 'content': 'Hello'}], 'max_tokens': 8}"), 0);
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
    qwren_session *s = nano_session(model, 0), *fresh = nano_session(model, 0);
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
    qwren_session *s = nano_session(model, 0), *fresh = nano_session(model, 0);
    qwren_result_free(show(s, 'a', ""));
    qwren_result *a = show(s, 'b', MORE), *b = show(fresh, 'b', MORE);
    assert_same(a, b);
    assert_int_equal(qwren_result_stats(a)->reused_tokens, 0);
    qwren_result_free(a);
    qwren_result_free(b);
    qwren_session_free(s);
    qwren_session_free(fresh);
}

/* -------------------------------------------------------------------------------------------------------- threads */

#define N_THREADS 2
#define N_QUESTIONS 3

typedef struct worker {
    pthread_t thread;
    char *answers[N_QUESTIONS];
} worker;

static void *answer_all(void *ctx)
{
    static const char *const requests[N_QUESTIONS] = {
        "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}], 'enable_thinking': true, 'max_tokens': 60}",
        "{'messages': [{'role': 'user', 'content': 'Translate red to German.'}], 'enable_thinking': false, 'max_tokens': 20}",
        "{'messages': [{'role': 'user', 'content': 'Tell me something.'}], 'temperature': 1, 'seed': 3, 'max_tokens': 40}",
    };
    worker *w = ctx;
    qwren_chat_options opt = nano_greedy();
    qwren_session *s = nano_session(model, 0);
    for (int i = 0; i < N_QUESTIONS; i++) {
        qwren_result *r = nano_ask(s, &opt, requests[i]);
        w->answers[i] = qw_strdup(qwren_result_json(r));
        qwren_result_free(r);
    }
    qwren_session_free(s);
    return NULL;
}

static void sessions_do_not_disturb_each_other(void **state)
{
    (void)state;
    worker alone = { 0 }, together[N_THREADS] = { 0 };
    answer_all(&alone);
    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&together[i].thread, NULL, answer_all, &together[i]), 0);
    for (int i = 0; i < N_THREADS; i++)
        pthread_join(together[i].thread, NULL);
    for (int k = 0; k < N_QUESTIONS; k++) {
        for (int i = 0; i < N_THREADS; i++) {
            assert_string_equal(together[i].answers[k], alone.answers[k]);
            qw_free(together[i].answers[k]);
        }
        qw_free(alone.answers[k]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_later_turn_starts_from_the_former),     cmocka_unit_test(thoughts_do_not_stand_in_the_way),
        cmocka_unit_test(another_conversation_begins_anew),        cmocka_unit_test(a_picture_that_is_held_is_recognised),
        cmocka_unit_test(another_picture_is_another_conversation), cmocka_unit_test(sessions_do_not_disturb_each_other),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
