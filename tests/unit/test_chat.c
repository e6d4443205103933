/* qwren_chat on the bundled model: events and result, sampling values, stop strings, bias, loop guard, tools, pictures. What the model says is not the
 * subject; that the same thing is said whatever way it is asked for is. */
#include "support/nano.h"

#include <stdio.h>
#include <string.h>

#include "api/sampling.h"
#include "base/alloc.h"
#include "base/json.h"

static qwren_model *model, *tiny;

static int open_model(void **state)
{
    (void)state;
    model = nano_open(1);
    tiny = tiny_open(1);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    qwren_model_close(model);
    qwren_model_close(tiny);
    return 0;
}

#define ASK "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}], 'enable_thinking': %s, 'max_tokens': %d%s}"
#define QUESTION "'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}]"

/* One answer on a session of its own. */
static qwren_result *ask_of(const qwren_model *m, const qwren_chat_options *opt, const char *request)
{
    qwren_session *s = nano_session(m, 1024);
    qwren_result *r = nano_ask(s, opt, request);
    qwren_session_free(s);
    return r;
}

static qwren_result *ask_anew(const qwren_chat_options *opt, const char *request) { return ask_of(model, opt, request); }

static bool same_answer(const qwren_result *a, const qwren_result *b)
{
    const char *x[] = { qwren_result_reasoning(a), qwren_result_content(a), qwren_result_finish_reason(a) };
    const char *y[] = { qwren_result_reasoning(b), qwren_result_content(b), qwren_result_finish_reason(b) };
    for (int i = 0; i < 3; i++)
        if ((x[i] == NULL) != (y[i] == NULL) || (x[i] && strcmp(x[i], y[i]) != 0))
            return false;
    return true;
}

/* --------------------------------------------------------------------------------------------------------- events */

static void events_joined_are_the_result(void **state)
{
    (void)state;
    for (int thinking = 0; thinking < 2; thinking++) {
        nano_events e = { 0 };
        qwren_chat_options opt = nano_greedy();
        opt.on_event = nano_record;
        opt.event_ctx = &e;
        qwren_session *s = nano_session(model, 0);
        char *request = nano_text(ASK, thinking ? "true" : "false", 400, "");
        qwren_result *r = nano_ask(s, &opt, request);
        const qwren_stats *stats = qwren_result_stats(r);
        nano_events_match(&e, r);
        assert_int_equal(e.n_reasoning > 0, thinking);
        assert_int_equal(stats->reasoning_tokens > 0, thinking);
        assert_true(stats->reasoning_tokens <= stats->completion_tokens);
        assert_int_equal(e.prefill_done, stats->prompt_tokens);
        assert_int_equal(e.prefill_total, stats->prompt_tokens);
        assert_int_equal(qwren_session_length(s), stats->prompt_tokens + stats->completion_tokens);
        assert_true(stats->first_token_s > 0 && stats->total_s >= stats->first_token_s);
        qwren_result_free(r);
        qw_free(request);
        qwren_session_free(s);
        nano_events_free(&e);
    }
}

static void json_is_whole(void **state)
{
    (void)state;
    qw_json *root = NULL;
    qwren_chat_options opt = nano_greedy();
    qwren_result *r = ask_anew(&opt, "{" QUESTION ", 'enable_thinking': false, 'max_tokens': 5}");
    const char *json = qwren_result_json(r);
    assert_int_equal(qw_json_parse(&root, json, strlen(json), "result", NULL), QWREN_OK);
    static const char *const keys[] = { "reasoning_content", "content", "tool_calls", "finish_reason", "usage" };
    for (size_t i = 0; i < sizeof keys / sizeof *keys; i++)
        assert_non_null(qw_json_get(root, keys[i]));
    const qw_json *usage = qw_json_get(root, "usage");
    const qwren_stats *stats = qwren_result_stats(r);
    assert_int_equal(qw_json_int(qw_json_get(usage, "prompt_tokens"), -1), stats->prompt_tokens);
    assert_int_equal(qw_json_int(qw_json_get(usage, "completion_tokens"), -1), stats->completion_tokens);
    qw_json_free(root);
    qwren_result_free(r);
}

static void limit_is_kept(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    for (int n = 1; n <= 3; n++) {
        qwren_session *s = nano_session(model, 0);
        char *request = nano_text(ASK, "true", n, "");
        qwren_result *r = nano_ask(s, &opt, request);
        assert_string_equal(qwren_result_finish_reason(r), "length");
        assert_int_equal(qwren_result_stats(r)->completion_tokens, n);
        assert_int_equal(qwren_result_stats(r)->reasoning_tokens, n);
        assert_null(qwren_result_content(r));
        qwren_result_free(r);
        qw_free(request);
        qwren_session_free(s);
    }
}

/* ------------------------------------------------------------------------------------------------------- sampling */

static void same_seed_same_text(void **state)
{
    (void)state;
    size_t different = 0;
    qwren_result *first[4];
    for (int seed = 0; seed < 4; seed++) {
        char *request = nano_text(ASK, "false", 24, ", 'temperature': 1.5, 'top_k': 0, 'top_p': 1");
        char *seeded = nano_text("%.*s, 'seed': %d}", (int)strlen(request) - 1, request, seed);
        first[seed] = ask_of(tiny, NULL, seeded);
        qwren_result *again = ask_of(tiny, NULL, seeded);
        assert_true(same_answer(first[seed], again));
        different += seed && !same_answer(first[0], first[seed]);
        qwren_result_free(again);
        qw_free(request);
        qw_free(seeded);
    }
    assert_true(different > 0);
    for (int seed = 0; seed < 4; seed++)
        qwren_result_free(first[seed]);
}

static void unsaid_values_come_from_file_then_card(void **state)
{
    (void)state;
    qw_request r;
    assert_int_equal(qw_request_parse(&r, "{\"top_p\": 0.25}", SIZE_MAX, NULL), QWREN_OK);
    qw_generation_config file = { .temperature = 0.5, .top_p = 0.75, .min_p = -1, .top_k = -1, .do_sample = true };
    file.min_p = file.presence_penalty = file.repetition_penalty = __builtin_nan("");
    qw_sampling_defaults d = { .file = &file, .thinks_by_default = true, .thinking = true };
    qw_sampling card = qw_sampling_card(true, true, false), s = qw_sampling_choose(&r, &d);
    assert_true(s.top_p == 0.25);
    assert_true(s.temperature == 0.5);
    assert_true(s.top_k == card.top_k && s.presence_penalty == card.presence_penalty && s.min_p == card.min_p);
    file.repetition_penalty = 1.25;
    file.do_sample = false;
    s = qw_sampling_choose(&r, &d);
    assert_true(s.temperature == 0 && s.presence_penalty == 0 && s.repetition_penalty == 1.25);
    file.do_sample = true;
    d.greedy = true;
    assert_true(qw_sampling_choose(&r, &d).temperature == 0);
    r.temperature = 0.75;
    s = qw_sampling_choose(&r, &d);
    assert_true(s.temperature == 0.75 && s.presence_penalty == card.presence_penalty);
    qw_request_deinit(&r);
}

static void bias_decides_and_both_ends_end(void **state)
{
    (void)state;
    static const char *const ends[] = { "<|im_end|>", "<|endoftext|>" };
    qwren_chat_options opt = nano_greedy();
    for (int i = 0; i < 4; i++) {
        const qwren_model *m = i < 2 ? model : tiny;
        int32_t id = qwren_token_id(qwren_model_tokenizer(m), ends[i % 2]);
        char *request = nano_text("{" QUESTION ", 'enable_thinking': false, 'max_tokens': 3, 'logit_bias': {'%d': 1000}}", (int)id);
        qwren_result *r = ask_of(m, &opt, request);
        assert_int_equal(qwren_result_stats(r)->completion_tokens, 0);
        assert_string_equal(qwren_result_finish_reason(r), "stop");
        assert_null(qwren_result_content(r));
        qwren_result_free(r);
        qw_free(request);
    }
}

/* ------------------------------------------------------------------------------------------------- ends of answers */

static void stop_strings_end_the_answer(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    qwren_result *whole = ask_anew(&opt, "{" QUESTION ", 'enable_thinking': false, 'max_tokens': 24}");
    const char *text = qwren_result_content(whole);
    assert_true(text && strlen(text) >= 2);
    for (size_t at = 0; at < strlen(text); at++) {
        char word[3] = { text[at], at + 1 < strlen(text) ? text[at + 1] : '\0', '\0' };
        nano_events e = { 0 };
        opt.on_event = nano_record;
        opt.event_ctx = &e;
        char *request = nano_text("{" QUESTION ", 'enable_thinking': false, 'max_tokens': 24, 'stop': ['never this', '%s']}", word);
        qwren_result *r = ask_anew(&opt, request);
        const char *content = qwren_result_content(r);
        size_t want = (size_t)(strstr(text, word) - text);
        assert_int_equal(content ? strlen(content) : 0, want);
        assert_memory_equal(content ? content : "", text, want);
        assert_string_equal(qwren_result_finish_reason(r), "stop");
        nano_events_match(&e, r);
        qwren_result_free(r);
        qw_free(request);
        nano_events_free(&e);
    }
    qwren_result_free(whole);
}

/* The beginning of a stop string at the answer's end is part of the answer. */
static void half_a_stop_string_is_text(void **state)
{
    (void)state;
    nano_events e = { 0 };
    qwren_chat_options opt = nano_greedy();
    qwren_result *whole = ask_anew(&opt, "{" QUESTION ", 'enable_thinking': false, 'max_tokens': 24}");
    const char *text = qwren_result_content(whole);
    char *request = nano_text("{" QUESTION ", 'enable_thinking': false, 'max_tokens': 24, 'stop': '%cqqq'}", text[strlen(text) - 1]);
    opt.on_event = nano_record;
    opt.event_ctx = &e;
    qwren_result *r = ask_anew(&opt, request);
    assert_true(same_answer(whole, r));
    nano_events_match(&e, r);
    nano_events_free(&e);
    qwren_result_free(r);
    qwren_result_free(whole);
    qw_free(request);
}

/* A word of the thought is no stop string of the answer. */
static void thoughts_are_not_stopped(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    qwren_result *free_one = ask_anew(&opt, "{" QUESTION ", 'enable_thinking': true, 'max_tokens': 400}");
    const char *thought = qwren_result_reasoning(free_one);
    assert_true(thought && thought[0]);
    char *request = nano_text("{" QUESTION ", 'enable_thinking': true, 'max_tokens': 400, 'stop': '%.1s'}", thought);
    qwren_result *r = ask_anew(&opt, request);
    assert_string_equal(qwren_result_reasoning(r), thought);
    qwren_result_free(r);
    qwren_result_free(free_one);
    qw_free(request);
}

static int32_t id_of(const qwren_model *m, const char *text)
{
    int32_t *ids = NULL;
    size_t n = 0;
    assert_int_equal(qwren_tokenize(qwren_model_tokenizer(m), text, SIZE_MAX, QWREN_SPECIAL_ALL, &ids, &n, NULL), QWREN_OK);
    assert_int_equal(n, 1);
    int32_t id = ids[0];
    qwren_free(ids);
    return id;
}

static void loops_are_ended(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    for (int thinking = 0; thinking < 2; thinking++) {
        char *request = nano_text("{" QUESTION ", 'enable_thinking': %s, 'max_tokens': 400, 'logit_bias': {'%d': 1000}}",
                                  thinking ? "true" : "false", (int)id_of(tiny, "a"));
        qwren_result *r = ask_of(tiny, &opt, request);
        assert_string_equal(qwren_result_finish_reason(r), "loop");
        assert_in_range(qwren_result_stats(r)->completion_tokens, 256, 260);
        const char *text = thinking ? qwren_result_reasoning(r) : qwren_result_content(r);
        assert_int_equal(strlen(text), qwren_result_stats(r)->completion_tokens);
        qwren_result_free(r);
        opt.no_loop_guard = true;
        r = ask_of(tiny, &opt, request);
        assert_string_equal(qwren_result_finish_reason(r), "length");
        assert_int_equal(qwren_result_stats(r)->completion_tokens, 400);
        qwren_result_free(r);
        qw_free(request);
        opt.no_loop_guard = false;
    }
}

static void without_a_limit_the_context_is_filled(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    opt.no_loop_guard = true;
    qwren_session *s = nano_session(tiny, 128);
    char *request = nano_text("{" QUESTION ", 'enable_thinking': false, 'logit_bias': {'%d': 1000}}", (int)id_of(tiny, "a"));
    qwren_result *r = nano_ask(s, &opt, request);
    assert_string_equal(qwren_result_finish_reason(r), "length");
    assert_int_equal(qwren_session_length(s), 128);
    qwren_result_free(r);
    qw_free(request);
    qwren_session_free(s);
}

/* -------------------------------------------------------------------------------------------- tools, tags, pictures */

/* Tags come as ids: the bias makes the model write them whatever it thinks. */
static void tags_by_id_shape_the_answer(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    char *request =
        nano_text("{" QUESTION ", 'enable_thinking': true, 'max_tokens': 5, 'logit_bias': {'%d': 1000}}", (int)id_of(model, "</think>"));
    qwren_result *r = ask_anew(&opt, request);
    assert_null(qwren_result_reasoning(r));
    assert_string_equal(qwren_result_content(r), "</think></think></think></think>"); /* the first ended the thought */
    qwren_result_free(r);
    qw_free(request);
}

static const char weather[] =
    "{'messages': [{'role': 'user', 'content': 'What is the weather in Paris?'}], 'enable_thinking': false, 'max_tokens': 100, "
    "'tools': [{'type': 'function', 'function': {'name': 'get_weather', 'description': 'Weather of a city', 'parameters': {'type': "
    "'object', "
    "'properties': {'city': {'type': 'string'}}, 'required': ['city']}}}]}";

/* Nano may or may not call; when it does, event, JSON and reason agree. */
static void calls_agree_with_the_result(void **state)
{
    (void)state;
    nano_events e = { 0 };
    qw_json *root = NULL;
    qwren_chat_options opt = nano_greedy();
    opt.on_event = nano_record;
    opt.event_ctx = &e;
    qwren_result *r = ask_anew(&opt, weather);
    const char *json = qwren_result_json(r);
    assert_int_equal(qw_json_parse(&root, json, strlen(json), "result", NULL), QWREN_OK);
    assert_int_equal(qw_json_size(qw_json_get(root, "tool_calls")), e.n_calls);
    if (e.n_calls) {
        assert_string_equal(qwren_result_finish_reason(r), "tool_calls");
        assert_non_null(qw_json_string(qw_json_get(qw_json_at(qw_json_get(root, "tool_calls"), 0), "id"), NULL));
    }
    nano_events_match(&e, r);
    qw_json_free(root);
    qwren_result_free(r);
    nano_events_free(&e);
}

/* Whatever the model thinks of the question, the answer begins with a call. Its name is the model's. */
static void a_required_call_is_begun(void **state)
{
    (void)state;
    for (int thinking = 0; thinking < 2; thinking++) {
        qwren_chat_options opt = nano_greedy();
        char *request = nano_text(
            "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}], 'enable_thinking': %s, 'max_tokens': 200, "
            "'tool_choice': 'required', 'tools': [{'type': 'function', 'function': {'name': 'get_weather', 'description': 'Weather "
            "of a city', 'parameters': {'type': 'object', 'properties': {'city': {'type': 'string'}}, 'required': ['city']}}}]}",
            thinking ? "true" : "false");
        qwren_result *r = ask_anew(&opt, request);
        const char *reason = qwren_result_finish_reason(r);
        if (strcmp(reason, "tool_calls") != 0 && strcmp(reason, "length") != 0)
            fail_msg("thinking %d: finish reason %s, %s", thinking, reason, qwren_result_json(r));
        if (strcmp(reason, "tool_calls") == 0)
            assert_null(qwren_result_content(r));
        qwren_result_free(r);
        qw_free(request);
    }
}

static qwren_status load_file(void *ctx, const char *url, qwren_image **out, qwren_error *err)
{
    ++*(int *)ctx;
    return qwren_image_open(out, url, NULL, err);
}

static void a_picture_is_seen(void **state)
{
    (void)state;
    int loaded = 0;
    qwren_chat_options opt = nano_greedy();
    char *url = nano_data_url(PICTURE);
    const char *form = "{'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': '%s'}}, {'type': 'text', "
                       "'text': 'What is in the picture?'}]}], 'enable_thinking': false, 'max_tokens': 40}";
    char *by_data = nano_text(form, url), *by_name = nano_text(form, PICTURE);
    qwren_result *a = ask_anew(&opt, by_data);
    assert_true(qwren_result_stats(a)->image_tokens > 0);
    assert_true(qwren_result_stats(a)->prompt_tokens > qwren_result_stats(a)->image_tokens);
    opt.load_image = load_file;
    opt.load_ctx = &loaded;
    qwren_result *b = ask_anew(&opt, by_name);
    assert_int_equal(loaded, 1);
    assert_true(same_answer(a, b));
    qwren_result_free(a);
    qwren_result_free(b);
    qw_free(by_data);
    qw_free(by_name);
    qw_free(url);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(events_joined_are_the_result),
        cmocka_unit_test(json_is_whole),
        cmocka_unit_test(limit_is_kept),
        cmocka_unit_test(same_seed_same_text),
        cmocka_unit_test(unsaid_values_come_from_file_then_card),
        cmocka_unit_test(bias_decides_and_both_ends_end),
        cmocka_unit_test(stop_strings_end_the_answer),
        cmocka_unit_test(half_a_stop_string_is_text),
        cmocka_unit_test(thoughts_are_not_stopped),
        cmocka_unit_test(loops_are_ended),
        cmocka_unit_test(without_a_limit_the_context_is_filled),
        cmocka_unit_test(tags_by_id_shape_the_answer),
        cmocka_unit_test(calls_agree_with_the_result),
        cmocka_unit_test(a_required_call_is_begun),
        cmocka_unit_test(a_picture_is_seen),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
