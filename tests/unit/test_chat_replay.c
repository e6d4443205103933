/* Answers that a client brings back are the tokens that were sampled: nothing of what stands before a later question is computed again, and the answer is that of a model
 * which has computed everything anew. */
#include "support/nano.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

static qwren_model *nano, *forgetful, *tiny; /* sessions of the second keep no states for each other */

static int open_models(void **state)
{
    (void)state;
    nano = nano_open_cached(1);
    forgetful = nano_open(1);
    tiny = model_open_cached(TINY, 1, QWREN_ARITHMETIC_DEFAULT);
    return 0;
}

static int close_models(void **state)
{
    (void)state;
    qwren_model_close(nano);
    qwren_model_close(forgetful);
    qwren_model_close(tiny);
    return 0;
}

/* ------------------------------------------------------------------------------------------------- what clients send */

static void put_text(qw_buf *out, const char *key, const char *text)
{
    qw_buf_printf(out, ", \"%s\": ", key);
    qw_json_dump_string(out, text, strlen(text));
}

/* An object's members from the last to the first, without blanks. */
static void put_backwards(qw_buf *out, const qw_json *object)
{
    const size_t n = qw_json_size(object);
    qw_buf_putc(out, '{');
    for (size_t i = n; i-- > 0;) {
        qw_json_iter it = qw_json_first(object);
        for (size_t k = 0; k < i; k++)
            qw_json_next(object, &it);
        qw_json_dump_string(out, it.key, it.key_len);
        qw_buf_putc(out, ':');
        qw_json_dump(out, it.value);
        qw_buf_puts(out, i ? "," : "");
    }
    qw_buf_putc(out, '}');
}

/* The answer as a message: calls in OpenAI's form, their arguments spelt anew. */
static void put_answer(qw_buf *out, const qwren_result *r, bool with_thought)
{
    qw_json *root = NULL;
    const char *json = qwren_result_json(r);
    assert_int_equal(qw_json_parse(&root, json, strlen(json), "result", NULL), QWREN_OK);
    const qw_json *calls = qw_json_get(root, "tool_calls");
    qw_buf_puts(out, ", {\"role\": \"assistant\"");
    put_text(out, "content", qwren_result_content(r) ? qwren_result_content(r) : "");
    if (with_thought && qwren_result_reasoning(r))
        put_text(out, "reasoning_content", qwren_result_reasoning(r));
    for (size_t i = 0; i < qw_json_size(calls); i++) {
        qw_buf arguments = QW_BUF_INIT;
        put_backwards(&arguments, qw_json_get(qw_json_at(calls, i), "arguments"));
        qw_buf_puts(out, i ? ", " : ", \"tool_calls\": [");
        qw_buf_printf(out, "{\"type\": \"function\", \"id\": \"call_%zu\", \"function\": {\"name\": \"%s\", \"arguments\": ", i,
                      qw_json_string(qw_json_get(qw_json_at(calls, i), "name"), NULL));
        qw_json_dump_string(out, qw_buf_text(&arguments), arguments.len);
        qw_buf_puts(out, i + 1 < qw_json_size(calls) ? "}}" : "}}]");
        qw_buf_free(&arguments);
    }
    qw_buf_puts(out, "}");
    qw_json_free(root);
}

static void put_message(qw_buf *out, const char *role, const char *text)
{
    qw_buf_printf(out, "%s{\"role\": \"%s\"", out->len ? ", " : "", role);
    put_text(out, "content", text);
    qw_buf_putc(out, '}');
}

/* `fields` with ' for ". */
static qwren_result *ask(qwren_session *s, const qw_buf *messages, const char *fields, const qwren_chat_options *opt)
{
    qwren_result *r = NULL;
    qwren_error err = { 0 };
    char *more = nano_text("%s", fields);
    qw_buf request = QW_BUF_INIT;
    qw_buf_printf(&request, "{\"messages\": [%s], %s}", qw_buf_text(messages), more);
    if (qwren_chat(s, qw_buf_text(&request), opt, &r, &err) != QWREN_OK)
        fail_msg("%s: %s", qw_buf_text(&request), err.text);
    qw_buf_free(&request);
    qw_free(more);
    return r;
}

static void assert_same(const qwren_result *a, const qwren_result *b)
{
    const char *x[] = { qwren_result_reasoning(a), qwren_result_content(a) }, *y[] = { qwren_result_reasoning(b), qwren_result_content(b) };
    for (int i = 0; i < 2; i++)
        assert_string_equal(x[i] ? x[i] : "", y[i] ? y[i] : "");
    assert_string_equal(qwren_result_finish_reason(a), qwren_result_finish_reason(b));
}

/* -------------------------------------------------------------------------------------------------------- odd answers */

/* Fields that keep a random model from ending its answer and from special tokens. */
static char *chaos(int seed, size_t n, bool thinking)
{
    const qwren_tokenizer *t = qwren_model_tokenizer(tiny);
    qw_buf b = QW_BUF_INIT;
    char *fields = NULL;
    qw_buf_printf(&b,
                  "'enable_thinking': %s, 'temperature': 2, 'top_k': 0, 'top_p': 1, 'presence_penalty': 0, 'seed': %d, 'max_tokens': %zu, "
                  "'logit_bias': {",
                  thinking ? "true" : "false", seed, n);
    for (int32_t id = 0, many = 0; id < qwren_token_count(t); id++) {
        char *text = NULL;
        size_t len = 0;
        assert_int_equal(qwren_detokenize(t, &id, 1, true, &text, &len, NULL), QWREN_OK);
        if (!len || strstr(text, "think>") || strstr(text, "tool_call>"))
            qw_buf_printf(&b, "%s'%d': -1000", many++ ? ", " : "", (int)id);
        qwren_free(text);
    }
    qw_buf_putc(&b, '}');
    assert_int_equal(qw_buf_take(&b, &fields, NULL, NULL), QWREN_OK);
    return fields;
}

static size_t count_tokens(const char *text)
{
    int32_t *ids = NULL;
    size_t n = 0;
    assert_int_equal(qwren_tokenize(qwren_model_tokenizer(tiny), text, SIZE_MAX, QWREN_SPECIAL_NONE, &ids, &n, NULL), QWREN_OK);
    qwren_free(ids);
    return n;
}

/* A random model's words are cut as no tokenizer would cut them; brought back they are all known. With a thought they are cut in it, so that the block has to be closed. */
static void nothing_of_an_odd_answer_is_computed_again(void **state)
{
    (void)state;
    qwren_chat_options opt = qwren_chat_options_default();
    opt.no_loop_guard = true;
    size_t odd = 0;
    for (int seed = 0; seed < 12; seed++) {
        const bool thinking = seed % 2;
        qwren_session *s = nano_session(tiny, 0);
        qw_buf messages = QW_BUF_INIT;
        char *fields = chaos(seed, 40, thinking);
        put_message(&messages, "user", "Hello");
        qwren_result *first = ask(s, &messages, fields, &opt);
        const char *text = thinking ? qwren_result_reasoning(first) : qwren_result_content(first);
        const size_t length = qwren_session_length(s);
        odd += count_tokens(text) != 40;
        put_answer(&messages, first, true);
        put_message(&messages, "tool", "so"); /* the question is still the last one: thoughts stay */
        qwren_result *second = ask(s, &messages, fields, &opt);
        const qwren_stats *stats = qwren_result_stats(second);
        if (stats->reused_tokens != length)
            fail_msg("seed %d: %zu of %zu tokens are known: %s", seed, stats->reused_tokens, length, stats->reuse_reason);
        assert_int_equal(stats->reuse, QWREN_REUSE_ALL);
        assert_int_equal(stats->computed_tokens, stats->prompt_tokens - length);
        opt.strict = true; /* the tokenizer's own cut, which is another one */
        qwren_result *strict = ask(s, &messages, fields, &opt);
        opt.strict = false;
        if (count_tokens(text) != 40)
            assert_int_not_equal(qwren_result_stats(strict)->prompt_tokens, stats->prompt_tokens);
        qwren_result_free(strict);
        qwren_result_free(first);
        qwren_result_free(second);
        qw_free(fields);
        qw_buf_free(&messages);
        qwren_session_free(s);
    }
    assert_true(odd >= 10);
}

static qwren_model *open_in(const char *dir)
{
    qwren_model *m = NULL;
    qwren_error err = { 0 };
    qwren_model_options opt = qwren_model_options_default();
    opt.n_threads = 1;
    opt.cache_dir = dir;
    if (qwren_model_open(&m, TINY, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return m;
}

/* The model opened anew stands for another process: what is in the folder is enough to know the answer again, and all that it was computed from. */
static void another_process_knows_the_answer(void **state)
{
    (void)state;
    char dir[] = "/tmp/qwren-test-XXXXXX", command[64];
    assert_non_null(mkdtemp(dir));
    qwren_chat_options opt = qwren_chat_options_default();
    opt.no_loop_guard = true;
    for (int seed = 40; seed < 44; seed++) {
        qw_buf messages = QW_BUF_INIT;
        char *fields = chaos(seed, 40, seed % 2);
        size_t length[2] = { 0 };
        put_message(&messages, "user", "Hello");
        for (int run = 0; run < 2; run++) {
            qwren_model *m = open_in(dir);
            qwren_session *s = nano_session(m, 0);
            qwren_result *r = ask(s, &messages, fields, &opt);
            const qwren_stats *stats = qwren_result_stats(r);
            if (run && stats->reused_tokens != length[0])
                fail_msg("seed %d: %zu of %zu tokens are known: %s", seed, stats->reused_tokens, length[0], stats->reuse_reason);
            length[run] = qwren_session_length(s);
            put_answer(&messages, r, true);
            put_message(&messages, "tool", "so");
            qwren_result_free(r);
            qwren_session_free(s);
            qwren_model_close(m);
        }
        qw_free(fields);
        qw_buf_free(&messages);
    }
    snprintf(command, sizeof command, "rm -r %s", dir);
    assert_int_equal(system(command), 0);
}

/* The end of an answer that a client has not seen is left again, and no more. */
static void what_a_client_has_seen_is_kept(void **state)
{
    (void)state;
    for (int seed = 20; seed < 28; seed++) {
        nano_events e = { .stop_kind = QWREN_EVENT_CONTENT, .stop_at = seed % 2 ? 9 : 0 };
        qwren_chat_options opt = qwren_chat_options_default();
        opt.no_loop_guard = true;
        opt.on_event = nano_record;
        opt.event_ctx = &e;
        qwren_session *s = nano_session(tiny, 0);
        qw_buf messages = QW_BUF_INIT;
        char *fields = chaos(seed, 40, false), *stopped = nano_text("%s, 'stop': ['a', 'e', 'r']", fields);
        put_message(&messages, "user", "Hello");
        qwren_result *first = ask(s, &messages, seed % 2 ? fields : stopped, &opt);
        const size_t asked = qwren_result_stats(first)->prompt_tokens;
        assert_string_equal(qwren_result_finish_reason(first), seed % 2 ? "cancelled" : "stop");
        put_answer(&messages, first, true);
        put_message(&messages, "tool", "so");
        opt.on_event = NULL;
        qwren_result *second = ask(s, &messages, fields, &opt);
        const qwren_stats *stats = qwren_result_stats(second);
        if (stats->reused_tokens + 8 < asked)
            fail_msg("seed %d: %zu of %zu tokens are known: %s", seed, stats->reused_tokens, asked, stats->reuse_reason);
        qwren_result_free(first);
        qwren_result_free(second);
        qw_free(fields);
        qw_free(stopped);
        qw_buf_free(&messages);
        qwren_session_free(s);
        nano_events_free(&e);
    }
}

/* --------------------------------------------------------------------------------------------------------- tool rounds */

#define TOOL                                                                                                                       \
  "'tools': [{'type': 'function', 'function': {'name': 'get_weather', 'description': 'Weather of a city', 'parameters': {'type': " \
  "'object',"                                                                                                                      \
  " 'properties': {'city': {'type': 'string'}, 'unit': {'type': 'string'}}, 'required': ['city', 'unit']}}}]"

/* Rounds of calls, brought back in another spelling, with their thoughts: each round continues the one before. */
static void rounds_of_calls_continue(void **state)
{
    (void)state;
    for (int thinking = 0; thinking < 2; thinking++) {
        qwren_chat_options opt = nano_greedy();
        qwren_session *s = nano_session(nano, 0);
        qw_buf messages = QW_BUF_INIT;
        char *fields =
            nano_text("%s, 'tool_choice': 'required', 'enable_thinking': %s, 'max_tokens': 160", TOOL, thinking ? "true" : "false");
        size_t length = 0;
        put_message(&messages, "user", "What is the weather in Paris, in celsius?");
        for (int round = 0; round < 3; round++) {
            qwren_result *r = ask(s, &messages, fields, &opt);
            const qwren_stats *stats = qwren_result_stats(r);
            if (round && strcmp(qwren_result_finish_reason(r), "tool_calls") == 0 && stats->reused_tokens != length)
                fail_msg("thinking %d, round %d: %zu of %zu tokens are known: %s\n%s", thinking, round, stats->reused_tokens, length,
                         stats->reuse_reason, qw_buf_text(&messages));
            length = qwren_session_length(s);
            put_answer(&messages, r, true);
            put_message(&messages, "tool", "12 degrees");
            qwren_result_free(r);
        }
        qw_free(fields);
        qw_buf_free(&messages);
        qwren_session_free(s);
    }
}

/* ------------------------------------------------------------------------------------------------------------- reasons */

static void expect_reason(const qwren_result *r, qwren_reuse reuse, const char *words)
{
    const qwren_stats *s = qwren_result_stats(r);
    if (s->reuse != reuse || !strstr(s->reuse_reason, words))
        fail_msg("%d \"%s\" instead of %d \"%s\" (%zu of %zu tokens)", s->reuse, s->reuse_reason, reuse, words, s->reused_tokens,
                 s->prompt_tokens);
    qw_json *root = NULL;
    const char *json = qwren_result_json(r);
    assert_int_equal(qw_json_parse(&root, json, strlen(json), "result", NULL), QWREN_OK);
    const qw_json *details = qw_json_get(qw_json_get(root, "usage"), "prompt_tokens_details");
    const char *told = qw_json_string(qw_json_get(details, "cache_miss_reason"), NULL);
    assert_string_equal(told ? told : "", reuse == QWREN_REUSE_ALL ? "" : s->reuse_reason);
    assert_int_equal(qw_json_int(qw_json_get(details, "computed_tokens"), -1), s->computed_tokens);
    assert_int_equal(s->computed_tokens + s->reused_tokens, s->prompt_tokens);
    qw_json_free(root);
}

/* States are kept at turns that are not too near to each other. */
#define LONG " - and this is a text that is long enough for a state to be kept where it begins, whatever stands behind it."
#define USER(text) "{\"role\": \"user\", \"content\": \"" text LONG "\"}"
#define SAID(text) "{\"role\": \"assistant\", \"content\": \"" text LONG "\"}"
#define SYSTEM(text) "{\"role\": \"system\", \"content\": \"" text LONG "\"}"

static void expect_reason_of(qwren_session *s, const char *messages, const char *fields, qwren_reuse reuse, const char *words)
{
    qwren_chat_options opt = nano_greedy();
    qw_buf b = QW_BUF_INIT;
    qw_buf_puts(&b, messages);
    qwren_result *r = ask(s, &b, fields, &opt);
    expect_reason(r, reuse, words);
    qwren_result_free(r);
    qw_buf_free(&b);
}

static void a_miss_is_explained(void **state)
{
    (void)state;
    static const char plain[] = "'enable_thinking': false, 'max_tokens': 4", tools[] = "'enable_thinking': false, 'max_tokens': 4, " TOOL;
    qwren_model *own = nano_open_cached(1);
    qwren_session *s = nano_session(own, 0);
    expect_reason_of(s, SYSTEM("Be kind.") ", " USER("One"), plain, QWREN_REUSE_FIRST, "nothing that begins like this");
    expect_reason_of(s, SYSTEM("Be kind.") ", " USER("One") ", " SAID("1") ", " USER("Two"), plain, QWREN_REUSE_CHANGED,
                     "message 3 is not what was computed");
    expect_reason_of(s, SYSTEM("Be kind.") ", " USER("One") ", " SAID("1") ", " USER("Two") ", " SAID("2") ", " USER("Three"), plain,
                     QWREN_REUSE_CHANGED, "message 5 is not");
    expect_reason_of(s, SYSTEM("Be kind.") ", " USER("Uno") ", " SAID("1") ", " USER("Two") ", " SAID("2") ", " USER("Three"), plain,
                     QWREN_REUSE_CHANGED, "message 2 is not");
    expect_reason_of(s, SYSTEM("Be cold.") ", " USER("One") ", " SAID("1") ", " USER("Two"), plain, QWREN_REUSE_CHANGED,
                     "the system message or the list of tools is not");
    expect_reason_of(s, USER("One") ", " SAID("1") ", " USER("Two"), tools, QWREN_REUSE_CHANGED, "the list of tools is not");
    expect_reason_of(s, SYSTEM("Be kind.") ", " USER("Something else"), plain, QWREN_REUSE_ALL, "all that was known");
    expect_reason_of(s, SYSTEM("Quite another chat."), plain, QWREN_REUSE_FIRST, "nothing that begins like this");
    qwren_session_free(s);
    qwren_model_close(own);
}

static void a_dropped_thought_is_named(void **state)
{
    (void)state;
    for (int thinking = 0; thinking < 2; thinking++) {
        qwren_chat_options opt = nano_greedy();
        qwren_session *s = nano_session(nano, 0), *anew = nano_session(forgetful, 0);
        qw_buf messages = QW_BUF_INIT;
        char *fields = nano_text("'enable_thinking': %s, 'max_tokens': 300", thinking ? "true" : "false");
        put_message(&messages, "user", "What is 17 + 25?");
        qwren_result *first = ask(s, &messages, fields, &opt), *other = ask(anew, &messages, fields, &opt);
        assert_same(first, other);
        put_answer(&messages, first, false);
        put_message(&messages, "user", "And 2 + 3?");
        qwren_result *second = ask(s, &messages, fields, &opt), *again = ask(anew, &messages, fields, &opt);
        expect_reason(second, QWREN_REUSE_THOUGHT, "message 2 stands without its thought now");
        assert_same(second, again);
        qwren_result_free(first);
        qwren_result_free(second);
        qwren_result_free(other);
        qwren_result_free(again);
        qw_free(fields);
        qw_buf_free(&messages);
        qwren_session_free(s);
        qwren_session_free(anew);
    }
}

/* A model whose sessions keep no states: what was left is far. */
static void a_state_that_is_far_is_told(void **state)
{
    (void)state;
    static const char fields[] = "'enable_thinking': false, 'max_tokens': 4";
    qwren_session *s = nano_session(forgetful, 0);
    expect_reason_of(s, USER("One") ", " SAID("A long way from here.") ", " USER("Two"), fields, QWREN_REUSE_FIRST, "nothing");
    expect_reason_of(s, USER("One") ", " SAID("A long way from here.") ", " USER("Three"), fields, QWREN_REUSE_FAR,
                     "tokens were known, but the nearest state that is kept is at token 0");
    expect_reason_of(s, USER("One") ", " SAID("A long way from here.") ", " USER("Two") ", " SAID("2") ", " USER("Three"), fields,
                     QWREN_REUSE_FAR, "message 3 is not what was computed before; ");
    qwren_session_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_of_an_odd_answer_is_computed_again),
        cmocka_unit_test(another_process_knows_the_answer),
        cmocka_unit_test(what_a_client_has_seen_is_kept),
        cmocka_unit_test(rounds_of_calls_continue),
        cmocka_unit_test(a_miss_is_explained),
        cmocka_unit_test(a_dropped_thought_is_named),
        cmocka_unit_test(a_state_that_is_far_is_told),
    };
    return cmocka_run_group_tests(tests, open_models, close_models);
}
