/* Conversations that are longer than the context: refused, without their oldest turns, or forgotten while the answer goes on; never silently. */
#include "support/nano.h"

#include <string.h>

#include "base/alloc.h"
#include "base/json.h"

static qwren_model *nano, *tiny;

static int open_models(void **state)
{
    (void)state;
    nano = nano_open(1);
    tiny = model_open_cached(TINY, 1, QWREN_ARITHMETIC_DEFAULT);
    return 0;
}

static int close_models(void **state)
{
    (void)state;
    qwren_model_close(nano);
    qwren_model_close(tiny);
    return 0;
}

#define WORDS "one two three four five six seven eight nine ten eleven twelve"
#define EXCHANGE(n) \
  "{'role': 'user', 'content': 'Question " #n " " WORDS "'}, {'role': 'assistant', 'content': 'Answer " #n " " WORDS "'}, "
#define SYSTEM "{'role': 'system', 'content': 'Be brief.'}, "
#define LAST "{'role': 'user', 'content': 'The last question'}"
#define FIELDS ", 'enable_thinking': false, 'max_tokens': 8, 'logit_bias': {}}"

/* Tokens of a request's prompt. */
static size_t prompt_tokens(const qwren_model *m, const char *request)
{
    qwren_session *s = nano_session(m, 0);
    qwren_chat_options opt = nano_greedy();
    qwren_result *r = nano_ask(s, &opt, request);
    size_t n = qwren_result_stats(r)->prompt_tokens;
    qwren_result_free(r);
    qwren_session_free(s);
    return n;
}

#define TALK EXCHANGE(1) EXCHANGE(2) EXCHANGE(3) EXCHANGE(4)

static void the_oldest_turns_go(void **state)
{
    (void)state;
    const size_t whole = prompt_tokens(tiny, "{'messages': [" SYSTEM TALK LAST "]" FIELDS);
    const size_t without = prompt_tokens(tiny, "{'messages': [" SYSTEM EXCHANGE(3) EXCHANGE(4) LAST "]" FIELDS);
    const size_t capacity = without + 12;
    assert_true(capacity < whole);
    qwren_session *s = nano_session(tiny, capacity), *t = nano_session(tiny, capacity);
    qwren_chat_options opt = nano_greedy();
    nano_refuses(s, &opt, "{'messages': [" SYSTEM TALK LAST "]" FIELDS, QWREN_E_LIMIT, "drop-oldest-turns");
    nano_refuses(s, &opt, "{'messages': [" SYSTEM TALK LAST "], 'overflow': 'error'" FIELDS, QWREN_E_LIMIT, "--ctx");
    opt.overflow = QWREN_OVERFLOW_DROP_OLDEST_TURNS;
    nano_refuses(s, &opt, "{'messages': [" SYSTEM TALK LAST "], 'overflow': 'error'" FIELDS, QWREN_E_LIMIT,
                 "--ctx"); /* the request's word counts */
    qwren_result *a = nano_ask(s, &opt, "{'messages': [" SYSTEM TALK LAST "]" FIELDS);
    const qwren_stats *stats = qwren_result_stats(a);
    assert_true(stats->dropped_messages >= 4 && stats->dropped_messages % 2 == 0);
    assert_true(stats->prompt_tokens <= without);
    /* what is left is the same as if no more had ever been sent */
    qwren_result *b = nano_ask(t, &opt,
                               stats->dropped_messages == 4   ? "{'messages': [" SYSTEM EXCHANGE(3) EXCHANGE(4) LAST "]" FIELDS
                               : stats->dropped_messages == 6 ? "{'messages': [" SYSTEM EXCHANGE(4) LAST "]" FIELDS
                                                              : "{'messages': [" SYSTEM LAST "]" FIELDS);
    assert_int_equal(qwren_result_stats(b)->prompt_tokens, stats->prompt_tokens);
    assert_int_equal(qwren_result_stats(b)->dropped_messages, 0);
    assert_string_equal(qwren_result_content(a), qwren_result_content(b));
    qw_json *root = NULL;
    assert_int_equal(qw_json_parse(&root, qwren_result_json(a), strlen(qwren_result_json(a)), "result", NULL), QWREN_OK);
    assert_int_equal(qw_json_int(qw_json_get(qw_json_get(root, "usage"), "dropped_messages"), -1), stats->dropped_messages);
    qw_json_free(root);
    qwren_result_free(a);
    qwren_result_free(b);
    qwren_session_free(s);
    qwren_session_free(t);
}

static void what_fits_stays(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    qwren_session *s = nano_session(tiny, 0);
    opt.overflow = QWREN_OVERFLOW_DROP_OLDEST_TURNS;
    qwren_result *r = nano_ask(s, &opt, "{'messages': [" SYSTEM TALK LAST "]" FIELDS);
    assert_int_equal(qwren_result_stats(r)->dropped_messages, 0);
    qwren_result_free(r);
    qwren_session_free(s);
}

/* Every length of conversation gets an answer, and with it the room that it asked for. */
static void room_for_the_answer_is_kept(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    opt.overflow = QWREN_OVERFLOW_DROP_OLDEST_TURNS;
    qwren_session *s = nano_session(tiny, 512);
    qw_buf talk = QW_BUF_INIT;
    size_t dropped = 0, last = 0, changes = 0;
    for (int i = 0; i < 40; i++) {
        char *request = nano_text("{'messages': [" SYSTEM "%s" LAST "], 'enable_thinking': false, 'max_tokens': 20}", qw_buf_text(&talk));
        qwren_result *r = nano_ask(s, &opt, request);
        assert_true(qwren_result_stats(r)->prompt_tokens + 20 <= 512);
        dropped = qwren_result_stats(r)->dropped_messages;
        assert_true(dropped >= last);
        changes += dropped > last;
        last = dropped;
        qwren_result_free(r);
        qw_free(request);
        qw_buf_printf(&talk, "{'role': 'user', 'content': 'Q%d'}, {'role': 'assistant', 'content': 'A%d, that is so'}, ", i, i);
    }
    print_message("%zu messages left out, in %zu steps\n", dropped, changes);
    assert_true(dropped > 0 && changes <= 8); /* in steps, so that turns between them find what they know */
    qw_buf_free(&talk);
    qwren_session_free(s);
}

static void what_cannot_go_is_named(void **state)
{
    (void)state;
    qwren_chat_options opt = nano_greedy();
    opt.overflow = QWREN_OVERFLOW_DROP_OLDEST_TURNS;
    qwren_session *s = nano_session(tiny, 24);
    nano_refuses(s, &opt, "{'messages': [" SYSTEM TALK "{'role': 'user', 'content': '" WORDS WORDS WORDS "'}]" FIELDS, QWREN_E_LIMIT,
                 "would do");
    nano_refuses(s, &opt, "{'messages': [" LAST "], 'overflow': 'sometimes'" FIELDS, QWREN_E_ARGUMENT, "overflow must be");
    nano_refuses(s, &opt, "{'messages': [" LAST "], 'overflow': 3" FIELDS, QWREN_E_ARGUMENT, "overflow must be");
    opt.overflow = (qwren_overflow)9;
    nano_refuses(s, &opt, "{'messages': [" LAST "]" FIELDS, QWREN_E_ARGUMENT, "qwren_overflow");
    qwren_session_free(s);
}

/* ------------------------------------------------------------------------------------------------------- pictures */

/* picture:N; those below `gone` cannot be loaded. Bit N of `loaded` tells which were. */
typedef struct album {
    int gone;
    unsigned loaded;
} album;

static qwren_status load(void *ctx, const char *url, qwren_image **out, qwren_error *err)
{
    static uint8_t rgb[64 * 64 * 3];
    album *a = ctx;
    int n = url[8] - '0';
    if (n < a->gone) {
        if (err)
            *err = (qwren_error){ .code = QWREN_E_IO, .text = "the picture is gone" };
        return QWREN_E_IO;
    }
    a->loaded |= 1u << n;
    memset(rgb, 40 * n, sizeof rgb);
    return qwren_image_from_rgb(out, rgb, 64, 64, 0, err);
}

#define SEE(n) \
  "{'role': 'user', 'content': [{'type': 'image_url', 'image_url': {'url': 'picture:" #n "'}}, {'type': 'text', 'text': 'What?'}]}"
#define SAW "{'role': 'assistant', 'content': 'A picture.'}"

static void pictures_of_turns_that_go_are_not_loaded(void **state)
{
    (void)state;
    static const char request[] = "{'messages': [" SEE(0) ", " SAW ", " SEE(1) ", " SAW ", " SEE(2) ", " SAW ", " SEE(3) "]" FIELDS;
    album all = { 0 }, some = { .gone = 2 };
    qwren_chat_options opt = nano_greedy();
    opt.load_image = load;
    opt.load_ctx = &all;
    qwren_session *wide = nano_session(nano, 0);
    qwren_result *r = nano_ask(wide, &opt, request), *last = nano_ask(wide, &opt, "{'messages': [" SEE(3) "]" FIELDS);
    assert_int_equal(all.loaded, 15);
    const size_t one = qwren_result_stats(last)->prompt_tokens, more = (qwren_result_stats(r)->prompt_tokens - one) / 3;
    qwren_result_free(r);
    qwren_result_free(last);
    qwren_session_free(wide);
    /* Room for the last two. The picture before them is not even asked for when its text alone is too much; else it tells that there is no place. */
    qwren_session *narrow = nano_session(nano, one + more + 8);
    opt.overflow = QWREN_OVERFLOW_DROP_OLDEST_TURNS;
    opt.load_ctx = &some;
    r = nano_ask(narrow, &opt, request);
    assert_int_equal(qwren_result_stats(r)->dropped_messages, 4);
    assert_int_equal(some.loaded, 12);
    album two = { .gone = 2 };
    opt.load_ctx = &two;
    qwren_result *same = nano_ask(narrow, &opt, "{'messages': [" SEE(2) ", " SAW ", " SEE(3) "]" FIELDS);
    assert_int_equal(qwren_result_stats(same)->prompt_tokens, qwren_result_stats(r)->prompt_tokens);
    assert_int_equal(qwren_result_stats(same)->image_tokens, qwren_result_stats(r)->image_tokens);
    assert_string_equal(qwren_result_content(same), qwren_result_content(r));
    qwren_result_free(r);
    qwren_result_free(same);
    qwren_session_free(narrow);
}

/* ------------------------------------------------------------------------------------------------------------- shift */

static char *endless(const char *more)
{
    const qwren_tokenizer *t = qwren_model_tokenizer(tiny);
    return nano_text(
        "{'messages': [" SYSTEM
        "{'role': 'user', 'content': 'Hello'}], 'enable_thinking': false, 'temperature': 1.5, 'seed': 3, 'logit_bias': {'%d': -1000, '%d': "
        "-1000}, %s}",
        (int)qwren_token_id(t, "<|im_end|>"), (int)qwren_token_id(t, "<|endoftext|>"), more);
}

static void an_answer_goes_on_when_the_window_is_full(void **state)
{
    (void)state;
    qwren_chat_options opt = qwren_chat_options_default();
    opt.no_loop_guard = true;
    qwren_session *s = nano_session(tiny, 128), *large = nano_session(tiny, 1024);
    char *request = endless("'max_tokens': 400"), *shifted = endless("'max_tokens': 400, 'overflow': 'shift'");
    qwren_result *cut = nano_ask(s, &opt, request), *whole = nano_ask(large, &opt, request), *r = nano_ask(s, &opt, shifted);
    const qwren_stats *stats = qwren_result_stats(r);
    assert_string_equal(qwren_result_finish_reason(cut), "length");
    assert_int_equal(qwren_result_stats(cut)->completion_tokens, 128 - qwren_result_stats(cut)->prompt_tokens);
    assert_int_equal(qwren_result_stats(cut)->shifted_tokens, 0);
    assert_string_equal(qwren_result_finish_reason(r), "length");
    assert_int_equal(stats->completion_tokens, 400);
    assert_true(stats->shifted_tokens > 0 && stats->shifted_tokens % 16 == 0);
    assert_int_equal(qwren_session_length(s), stats->prompt_tokens + stats->completion_tokens - stats->shifted_tokens);
    assert_true(qwren_session_length(s) <= 128);
    /* until the window is full nothing is different */
    const char *a = qwren_result_content(r), *b = qwren_result_content(whole), *c = qwren_result_content(cut);
    assert_memory_equal(a, c, strlen(c) - 8);
    assert_memory_equal(a, b, strlen(c) - 8);
    qwren_result_free(cut);
    qwren_result_free(whole);
    qwren_result_free(r);
    qw_free(request);
    qw_free(shifted);
    qwren_session_free(s);
    qwren_session_free(large);
}

/* Where there is nothing to forget behind the system block the answer ends. */
static void a_window_that_the_system_block_fills_ends(void **state)
{
    (void)state;
    qwren_chat_options opt = qwren_chat_options_default();
    opt.overflow = QWREN_OVERFLOW_SHIFT;
    char *request = endless("'max_tokens': 100");
    const size_t n = prompt_tokens(tiny, request);
    qwren_session *s = nano_session(tiny, n + 1);
    qwren_result *r = nano_ask(s, &opt, request);
    const qwren_stats *stats = qwren_result_stats(r);
    assert_true(stats->completion_tokens == 100 || stats->completion_tokens == 1);
    assert_int_equal(stats->completion_tokens == 100, stats->shifted_tokens > 0);
    assert_string_equal(qwren_result_finish_reason(r), "length");
    qwren_result_free(r);
    nano_refuses(s, &opt, "{'messages': [" SYSTEM TALK LAST "]" FIELDS, QWREN_E_LIMIT, "drop-oldest-turns");
    qw_free(request);
    qwren_session_free(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_oldest_turns_go),
        cmocka_unit_test(what_fits_stays),
        cmocka_unit_test(room_for_the_answer_is_kept),
        cmocka_unit_test(what_cannot_go_is_named),
        cmocka_unit_test(pictures_of_turns_that_go_are_not_loaded),
        cmocka_unit_test(an_answer_goes_on_when_the_window_is_full),
        cmocka_unit_test(a_window_that_the_system_block_fills_ends),
    };
    return cmocka_run_group_tests(tests, open_models, close_models);
}
