/* Twenty turns with pictures and thoughts: what a turn computes is what nobody has computed before, and a tenth more at most. Alone, and with two conversations that take turns on
 * one session and on two. */
#include "support/nano.h"

#include <string.h>

#include "api/session.h"
#include "base/alloc.h"
#include "base/json.h"

#define N_TURNS 20

/* ----------------------------------------------------------------------------------- what has ever been computed */

typedef struct timelines {
    uint64_t *keys[4 * N_TURNS];
    size_t length[4 * N_TURNS];
    size_t n;
} timelines;

/* Tokens of the session's first n that some timeline begins with too. */
static size_t known_of(const timelines *t, const qwren_session *s, size_t n)
{
    const uint64_t *keys = qw_session_keys(s->core);
    size_t best = 0;
    for (size_t i = 0; i < t->n; i++) {
        size_t k = 0;
        while (k < n && k < t->length[i] && keys[k] == t->keys[i][k])
            k++;
        best = k > best ? k : best;
    }
    return best;
}

static void add_timeline(timelines *t, const qwren_session *s)
{
    const size_t n = qwren_session_length(s);
    t->keys[t->n] = qw_alloc_array(n, sizeof **t->keys);
    assert_non_null(t->keys[t->n]);
    memcpy(t->keys[t->n], qw_session_keys(s->core), n * sizeof **t->keys);
    t->length[t->n++] = n;
}

static void free_timelines(timelines *t)
{
    for (size_t i = 0; i < t->n; i++)
        qw_free(t->keys[i]);
}

/* ------------------------------------------------------------------------------------------------- one conversation */

typedef struct talk {
    qwren_session *session;
    qw_buf messages;
    int number, turn;
} talk;

/* picture:SHADE is a grey one. */
static qwren_status load_grey(void *ctx, const char *url, qwren_image **out, qwren_error *err)
{
    static uint8_t rgb[64 * 64 * 3];
    (void)ctx;
    memset(rgb, url[8], sizeof rgb);
    return qwren_image_from_rgb(out, rgb, 64, 64, 0, err);
}

static void put_question(talk *t)
{
    static const char *const questions[] = { "What is 17 + 25?", "Translate red to German.", "And what is 2 + 3?",
                                             "Say hello to my friend.", "How many days has a week?" };
    const char *question = questions[(t->turn + 2 * t->number) % 5];
    qw_buf_puts(&t->messages, t->messages.len
                                  ? ", "
                                  : "{\"role\": \"system\", \"content\": \"You are a helpful assistant. Answer briefly, and be kind.\"}, ");
    if ((t->turn + t->number) % 5 == 1)
        qw_buf_printf(&t->messages,
                      "{\"role\": \"user\", \"content\": [{\"type\": \"image_url\", \"image_url\": {\"url\": \"picture:%c\"}}, {\"type\": "
                      "\"text\", \"text\": \"Which "
                      "colour is this?\"}]}",
                      'A' + t->turn + 20 * t->number);
    else
        qw_buf_printf(&t->messages, "{\"role\": \"user\", \"content\": \"%s\"}", question);
}

static void put_answer(talk *t, const qwren_result *r)
{
    const char *content = qwren_result_content(r), *thought = qwren_result_reasoning(r);
    qw_buf_puts(&t->messages, ", {\"role\": \"assistant\", \"content\": ");
    qw_json_dump_string(&t->messages, content ? content : "", content ? strlen(content) : 0);
    if (thought) {
        qw_buf_puts(&t->messages, ", \"reasoning_content\": ");
        qw_json_dump_string(&t->messages, thought, strlen(thought));
    }
    qw_buf_putc(&t->messages, '}');
}

/* Thoughts on, off and on again; some are cut. */
static void ask(talk *t, timelines *past)
{
    qwren_chat_options opt = nano_greedy();
    qwren_error err = { 0 };
    qwren_result *r = NULL;
    qw_buf request = QW_BUF_INIT;
    opt.load_image = load_grey;
    put_question(t);
    qw_buf_printf(&request, "{\"messages\": [%s], \"enable_thinking\": %s, \"max_tokens\": %d}", qw_buf_text(&t->messages),
                  t->turn % 3 ? "true" : "false", 24 + 8 * (t->turn % 7));
    if (qwren_chat(t->session, qw_buf_text(&request), &opt, &r, &err) != QWREN_OK)
        fail_msg("turn %d: %s", t->turn, err.text);
    const qwren_stats *s = qwren_result_stats(r);
    const size_t known = known_of(past, t->session, s->prompt_tokens), fresh = s->prompt_tokens - known;
    if ((double)s->computed_tokens > 1.10 * (double)fresh)
        fail_msg("conversation %d, turn %d: %zu of %zu tokens were computed, but only %zu are new: %s", t->number, t->turn,
                 s->computed_tokens, s->prompt_tokens, fresh, s->reuse_reason);
    assert_int_equal(s->computed_tokens + s->reused_tokens, s->prompt_tokens);
    add_timeline(past, t->session);
    put_answer(t, r);
    t->turn++;
    qwren_result_free(r);
    qw_buf_free(&request);
}

static void alone(void **state)
{
    (void)state;
    timelines past = { 0 };
    qwren_model *model = nano_open_cached(1);
    talk a = { .session = nano_session(model, 0) };
    while (a.turn < N_TURNS)
        ask(&a, &past);
    qwren_session_free(a.session);
    qw_buf_free(&a.messages);
    free_timelines(&past);
    qwren_model_close(model);
}

static void interleaved(bool one_session)
{
    timelines past = { 0 };
    qwren_model *model = nano_open_cached(1);
    talk a = { .session = nano_session(model, 0) }, b = { .number = 1 };
    b.session = one_session ? a.session : nano_session(model, 0);
    while (b.turn < N_TURNS) {
        ask(&a, &past);
        ask(&b, &past);
    }
    qwren_session_free(a.session);
    if (!one_session)
        qwren_session_free(b.session);
    qw_buf_free(&a.messages);
    qw_buf_free(&b.messages);
    free_timelines(&past);
    qwren_model_close(model);
}

static void two_on_one_session(void **state)
{
    (void)state;
    interleaved(true);
}

static void two_on_two_sessions(void **state)
{
    (void)state;
    interleaved(false);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(alone),
        cmocka_unit_test(two_on_one_session),
        cmocka_unit_test(two_on_two_sessions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
