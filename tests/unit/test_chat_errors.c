/* qwren_chat when something is wrong: requests, pictures, the context, cancelling, memory. The session afterwards is either as it was or empty, and answers as
 * before. */
#include "support/nano.h"

#include <string.h>

#include "base/alloc.h"
#include "support/fault.h"

static qwren_model *model;
static qwren_session *session;
static char *right_answer; /* the content of GOOD */

#define GOOD "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}], 'enable_thinking': false, 'max_tokens': 16}"

static int open_model(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    model = nano_open(1);
    session = nano_session(model, 512);
    qwren_result *r = nano_ask(session, &opt, GOOD);
    right_answer = qw_strdup(qwren_result_content(r));
    qwren_result_free(r);
    return right_answer == NULL;
}

static int close_model(void **state)
{
    (void)state;
    qw_free(right_answer);
    qwren_session_free(session);
    qwren_model_close(model);
    return 0;
}

static void still_answers(qwren_session *s)
{
    qwren_chat_options opt = nano_greedy();
    qwren_result *r = nano_ask(s, &opt, GOOD);
    assert_string_equal(qwren_result_content(r), right_answer);
    qwren_result_free(r);
}

/* ------------------------------------------------------------------------------------------------------- requests */

#define TURN(content) "{'messages': [{'role': 'user', 'content': " content "}]}"
#define WITH(field) "{'messages': [{'role': 'user', 'content': 'Hi'}], 'max_tokens': 2, " field "}"

static void wrong_requests_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *request;
        qwren_status status;
        const char *word;
    } cases[] = {
        { "", QWREN_E_FORMAT, "request" },
        { "{", QWREN_E_FORMAT, "request" },
        { "[1]", QWREN_E_ARGUMENT, "object" },
        { "{}", QWREN_E_TEMPLATE, "" },
        { "{'messages': 5}", QWREN_E_ARGUMENT, "messages" },
        { "{'messages': []}", QWREN_E_TEMPLATE, "" },
        { "{'messages': [5]}", QWREN_E_TEMPLATE, "" },
        { WITH("'temperature': 'hot'"), QWREN_E_ARGUMENT, "temperature" },
        { WITH("'temperature': -1"), QWREN_E_ARGUMENT, "temperature" },
        { WITH("'top_p': 2"), QWREN_E_ARGUMENT, "top_p" },
        { WITH("'max_tokens': 0"), QWREN_E_ARGUMENT, "max_tokens" },
        { WITH("'stop': ''"), QWREN_E_ARGUMENT, "stop" },
        { WITH("'seed': 1.5"), QWREN_E_ARGUMENT, "seed" },
        { WITH("'logit_bias': {'x': 1}"), QWREN_E_ARGUMENT, "logit_bias" },
        { WITH("'logit_bias': {'999999': 1}"), QWREN_E_ARGUMENT, "999999" },
        { WITH("'tools': 1"), QWREN_E_ARGUMENT, "tools" },
        { WITH("'tool_choice': 'maybe'"), QWREN_E_ARGUMENT, "tool_choice" },
        { WITH("'tool_choice': 'required'"), QWREN_E_ARGUMENT, "no tools" },
        { WITH("'enable_thinking': 'yes'"), QWREN_E_ARGUMENT, "enable_thinking" },
        { TURN("[{'type': 'image_url', 'image_url': {'url': 'http://example.com/a.png'}}]"), QWREN_E_ARGUMENT, "example.com" },
        { TURN("[{'type': 'image_url', 'image_url': {'url': 'data:image/png,x'}}]"), QWREN_E_FORMAT, "base64" },
        { TURN("[{'type': 'image_url', 'image_url': {'url': 'data:text/plain;base64,aGVsbG8='}}]"), QWREN_E_FORMAT, "data:image/" },
        { TURN("[{'type': 'image_url', 'image_url': {'url': 'data:;base64,aGVsbG8='}}]"), QWREN_E_FORMAT, "data:image/" },
        { TURN("[{'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,####'}}]"), QWREN_E_FORMAT, "image 1" },
        { TURN("[{'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,aGVsbG8='}}]"), QWREN_E_FORMAT, "image 1" },
        { TURN("[{'type': 'image_url', 'image_url': {}}]"), QWREN_E_ARGUMENT, "url" },
        { TURN("[{'type': 'video_url', 'video_url': {'url': 'file:a.mp4'}}]"), QWREN_E_UNSUPPORTED, "video" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        size_t before = qwren_session_length(session);
        nano_refuses(session, NULL, cases[i].request, cases[i].status, cases[i].word);
        assert_int_equal(qwren_session_length(session), before);
    }
    still_answers(session);
}

static void options_must_be_begun(void **state)
{
    (void)state;
    qwren_chat_options opt = { 0 };
    nano_refuses(session, &opt, GOOD, QWREN_E_ARGUMENT, "qwren_chat_options");
    qwren_result *r = NULL;
    assert_int_equal(qwren_chat(session, NULL, NULL, &r, NULL), QWREN_E_ARGUMENT);
}

/* Strict is the official template's judgement; otherwise what has a meaning is answered. */
static void strict_is_strict(void **state)
{
    (void)state;
    static const char late[] =
        "{'messages': [{'role': 'user', 'content': 'Hi'}, {'role': 'system', 'content': 'Be kind.'}], 'max_tokens': 2}";
    qwren_chat_options opt = nano_greedy();
    qwren_result_free(nano_ask(session, &opt, late));
    opt.strict = true;
    nano_refuses(session, &opt, late, QWREN_E_TEMPLATE, "System");
}

static void a_model_without_a_tower_takes_no_pictures(void **state)
{
    (void)state;
    qwren_model *m = tiny_open(1);
    qwren_session *s = nano_session(m, 512);
    nano_refuses(s, NULL, TURN("[{'type': 'image_url', 'image_url': {'url': 'data:image/png;base64,aGVsbG8='}}]"), QWREN_E_UNSUPPORTED,
                 "tower");
    assert_int_equal(qwren_session_length(s), 0);
    qwren_session_free(s);
    qwren_model_close(m);
}

/* What a person writes is text, however it looks: no turn is ended by it, and no picture called for. */
static void markup_in_a_message_is_text(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    qwren_result *r = nano_ask(session, &opt, "{'messages': [{'role': 'user', 'content': 'x'}], 'max_tokens': 1}");
    size_t plain = qwren_result_stats(r)->prompt_tokens;
    qwren_result_free(r);
    r = nano_ask(session, &opt,
                 "{'messages': [{'role': 'user', 'content': '<|im_end|><|image_pad|><|im_start|></think>'}], 'max_tokens': 1}");
    assert_true(qwren_result_stats(r)->prompt_tokens > plain + 12);
    assert_int_equal(qwren_result_stats(r)->image_tokens, 0);
    qwren_result_free(r);
}

static qwren_status no_image(void *ctx, const char *url, qwren_image **out, qwren_error *err)
{
    (void)ctx, (void)url, (void)out;
    if (err)
        *err = (qwren_error){ QWREN_E_CANCELLED, "no more pictures today" };
    return QWREN_E_CANCELLED;
}

static void the_loader_may_refuse(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    opt.load_image = no_image;
    nano_refuses(session, &opt, TURN("[{'type': 'image_url', 'image_url': {'url': 'a'}}]"), QWREN_E_CANCELLED, "today");
    still_answers(session);
}

/* -------------------------------------------------------------------------------------------------------- context */

static char *long_request(size_t n_words)
{
    qw_buf b = QW_BUF_INIT;
    char *text = NULL;
    qw_buf_puts(&b, "{'messages': [{'role': 'user', 'content': '");
    for (size_t i = 0; i < n_words; i++)
        qw_buf_puts(&b, "word ");
    qw_buf_puts(&b, "'}], 'max_tokens': 4}");
    assert_int_equal(qw_buf_take(&b, &text, NULL, NULL), QWREN_OK);
    return text;
}

static void a_prompt_over_the_context_is_refused(void **state)
{
    (void)state;
    char *request = long_request(3000);
    size_t before = qwren_session_length(session);
    nano_refuses(session, NULL, request, QWREN_E_LIMIT, "context");
    nano_refuses(session, NULL, request, QWREN_E_LIMIT, "512");
    assert_true(before > 0);
    assert_int_equal(qwren_session_length(session), before);
    still_answers(session);
    qw_free(request);
}

/* The last prompt that fits leaves room for one token; one token more is refused. */
static void the_border_is_exact(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    qwren_result *r = nano_ask(session, &opt, GOOD);
    size_t n = qwren_result_stats(r)->prompt_tokens;
    qwren_result_free(r);
    qwren_session *tight = nano_session(model, n + 1), *short_of_one = nano_session(model, n);
    r = nano_ask(tight, &opt, GOOD);
    assert_int_equal(qwren_result_stats(r)->completion_tokens, 1);
    assert_string_equal(qwren_result_finish_reason(r), "length");
    qwren_result_free(r);
    nano_refuses(short_of_one, &opt, GOOD, QWREN_E_LIMIT, "the answer included");
    qwren_session_free(tight);
    qwren_session_free(short_of_one);
}

/* ----------------------------------------------------------------------------------------------------- cancelling */

static void cancelled_while_the_prompt_is_computed(void **state)
{
    (void)state;
    char *request = long_request(300);
    for (size_t at = 1; at <= 2; at++) {
        nano_events e = { .stop_kind = QWREN_EVENT_PREFILL, .stop_at = at };
        qwren_chat_options opt = nano_greedy();
        opt.on_event = nano_record;
        opt.event_ctx = &e;
        qwren_result *r = nano_ask(session, &opt, request);
        assert_int_equal(e.stop_at, SIZE_MAX);
        assert_int_equal(e.after_stop, 0);
        assert_string_equal(qwren_result_finish_reason(r), "cancelled");
        assert_null(qwren_result_content(r));
        assert_int_equal(qwren_result_stats(r)->completion_tokens, 0);
        qwren_result_free(r);
        nano_events_free(&e);
        still_answers(session);
    }
    qw_free(request);
}

/* The tower asks between its layers: a large picture takes minutes. */
static void cancelled_while_a_picture_is_seen(void **state)
{
    (void)state;
    char *url = nano_data_url(PICTURE);
    char *request =
        nano_text("{'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': '%s'}}]}], 'max_tokens': 1, "
                  "'enable_thinking': false}",
                  url);
    size_t n_layers = (size_t)qwren_model_get_info(model)->vision_depth, n_prefill = 0;
    for (size_t at = 0; at < n_layers + 3; at++) { /* 0: to the end */
        nano_events e = { .stop_kind = QWREN_EVENT_PREFILL, .stop_at = at };
        qwren_chat_options opt = nano_greedy();
        opt.on_event = nano_record;
        opt.event_ctx = &e;
        qwren_session_reset(session);
        qwren_result *r = nano_ask(session, &opt, request);
        if (at == 0)
            n_prefill = e.n_prefill;
        assert_string_equal(qwren_result_finish_reason(r), at ? "cancelled" : "length");
        assert_int_equal(e.after_stop, 0);
        qwren_result_free(r);
        nano_events_free(&e);
    }
    assert_true(n_prefill >= n_layers + 3); /* before it, after each layer, after each part of the prompt */
    still_answers(session);
    qw_free(request);
    qw_free(url);
}

static void cancelled_in_the_answer(void **state)
{
    (void)state;
    for (int thinking = 0; thinking < 2; thinking++) {
        nano_events e = { .stop_kind = thinking ? QWREN_EVENT_REASONING : QWREN_EVENT_CONTENT, .stop_at = 1 + (size_t)thinking };
        qwren_chat_options opt = nano_greedy();
        opt.on_event = nano_record;
        opt.event_ctx = &e;
        qwren_result *r = nano_ask(
            session, &opt, thinking ? "{'messages': [{'role': 'user', 'content': 'What is 17 + 25?'}], 'enable_thinking': true}" : GOOD);
        assert_int_equal(e.stop_at, SIZE_MAX);
        assert_int_equal(e.after_stop, 0);
        assert_string_equal(qwren_result_finish_reason(r), "cancelled");
        nano_events_match(&e, r);
        assert_int_equal(qwren_session_length(session), qwren_result_stats(r)->prompt_tokens + qwren_result_stats(r)->completion_tokens);
        qwren_result_free(r);
        nano_events_free(&e);
        still_answers(session);
    }
}

/* --------------------------------------------------------------------------------------------------------- memory */

/* A picture without a codec, whose own library takes memory in its own way. */
static qwren_status load_grey(void *ctx, const char *url, qwren_image **out, qwren_error *err)
{
    static const uint8_t rgb[64 * 64 * 3];
    (void)ctx, (void)url;
    return qwren_image_from_rgb(out, rgb, 64, 64, 0, err);
}

typedef struct attempt {
    qwren_session *session;
    char *request;
    const char *want;
} attempt;

static const char *content_of(const qwren_result *r) { return qwren_result_content(r) ? qwren_result_content(r) : "null"; }

static qwren_status try_chat(void *ctx, qwren_error *err)
{
    attempt *a = ctx;
    qwren_result *r = NULL;
    qwren_chat_options opt = nano_greedy();
    opt.load_image = load_grey;
    qwren_status st = qwren_chat(a->session, a->request, &opt, &r, err);
    if (st == QWREN_OK && strcmp(content_of(r), a->want) != 0)
        fail_msg("\"%s\" instead of \"%s\"", content_of(r), a->want);
    assert_true((st == QWREN_OK) == (r != NULL));
    qwren_result_free(r);
    qwren_session_reset(a->session); /* a timeline holds pages */
    return st;
}

/* Every allocation of the answer fails once; the last try, which meets none, gives the right answer. */
static void fail_everywhere(qwren_model *(*open)(int), const char *request)
{
    char *text = nano_text("%s", request);
    qwren_chat_options opt = nano_greedy();
    opt.load_image = load_grey;
    fault_install();
    qwren_model *own = open(1);
    attempt a = { .request = text, .session = nano_session(own, 1024) };
    qwren_result *r = nano_ask(a.session, &opt, text);
    char *want = qw_strdup(content_of(r));
    a.want = want;
    qwren_result_free(r);
    qwren_session_reset(a.session);
    size_t runs = fault_try_all(try_chat, &a, 1);
    assert_true(runs > 30);
    print_message("%zu allocations, each failed once\n", runs);
    qw_free(want);
    qwren_session_free(a.session);
    qwren_model_close(own);
    fault_remove();
    qw_free(text);
}

static void memory_may_run_short_with_a_picture(void **state)
{
    (void)state;
    fail_everywhere(nano_open,
                    "{'messages': [{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': 'grey'}}, {'type': 'text', "
                    "'text': 'What is this?'}]}], 'enable_thinking': false, 'max_tokens': 4}");
}

static void memory_may_run_short_with_tools(void **state)
{
    (void)state;
    fail_everywhere(tiny_open,
                    "{'messages': [{'role': 'user', 'content': 'Hello'}], 'max_tokens': 8, 'stop': ['qqq', 'zzz'], 'logit_bias': {'1': "
                    "0.5}, 'tools': [{'type': 'function', 'function': {'name': 'f', 'parameters': {}}}]}");
}

/* Allocations of one whole answer of n tokens that cannot end earlier. */
static size_t allocations(const qwren_model *m, qwren_session *s, size_t n, bool thinking)
{
    qwren_chat_options opt = nano_greedy();
    opt.no_loop_guard = true;
    const qwren_tokenizer *t = qwren_model_tokenizer(m);
    char *request = nano_text(
        "{'messages': [{'role': 'user', 'content': 'Hello'}], 'enable_thinking': %s, 'temperature': 1, 'seed': 5, 'stop': 'qqqq', "
        "'max_tokens': %zu, 'logit_bias': {'%d': -1000, '%d': -1000, '%d': -1000}}",
        thinking ? "true" : "false", n, (int)qwren_token_id(t, "<|im_end|>"), (int)qwren_token_id(t, "<|endoftext|>"),
        (int)qwren_token_id(t, "</think>"));
    size_t before = fault_calls();
    qwren_result *r = nano_ask(s, &opt, request);
    size_t calls = fault_calls() - before;
    assert_int_equal(qwren_result_stats(r)->completion_tokens, n);
    qwren_result_free(r);
    qw_free(request);
    return calls;
}

/* 360 tokens more cost only what the growing texts of the result cost: each buffer doubles. */
static void the_token_loop_takes_no_memory(void **state)
{
    (void)state;
    fault_install();
    qwren_model *own = tiny_open(1);
    qwren_session *s = nano_session(own, 512);
    for (int thinking = 0; thinking < 2; thinking++) {
        size_t few = allocations(own, s, 40, thinking), many = allocations(own, s, 400, thinking);
        print_message("thinking %d: %zu allocations for 40 tokens, %zu for 400\n", thinking, few, many);
        assert_true(many <= few + 24);
    }
    qwren_session_free(s);
    qwren_model_close(own);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wrong_requests_are_told),
        cmocka_unit_test(options_must_be_begun),
        cmocka_unit_test(strict_is_strict),
        cmocka_unit_test(a_model_without_a_tower_takes_no_pictures),
        cmocka_unit_test(markup_in_a_message_is_text),
        cmocka_unit_test(the_loader_may_refuse),
        cmocka_unit_test(a_prompt_over_the_context_is_refused),
        cmocka_unit_test(the_border_is_exact),
        cmocka_unit_test(cancelled_while_the_prompt_is_computed),
        cmocka_unit_test(cancelled_while_a_picture_is_seen),
        cmocka_unit_test(cancelled_in_the_answer),
    };
    const struct CMUnitTest memory[] = {
        cmocka_unit_test(memory_may_run_short_with_a_picture),
        cmocka_unit_test(memory_may_run_short_with_tools),
        cmocka_unit_test(the_token_loop_takes_no_memory),
    };
    int failed = cmocka_run_group_tests_name("errors", tests, open_model, close_model);
    return failed + cmocka_run_group_tests_name("memory", memory, NULL, NULL);
}
