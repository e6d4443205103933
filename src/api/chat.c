/* qwren_chat: a conversation in, an answer out. The way of a token from its beginning to its end, step by step; each step is a room of its
 * own (docs/architecture.md). Tested by tests/unit/test_chat.c. */
#include "api/ahead.h"
#include "api/answer.h"
#include "api/chat_prompt.h"
#include "api/options.h"
#include "api/overflow.h"
#include "api/result.h"
#include "api/reuse.h"
#include "api/sampling.h"
#include "api/session.h"
#include "api/tokenizer.h"
#include "base/clock.h"
#include "base/rng.h"

#include <string.h>

/* One request on its way. */
typedef struct chat {
    const qwren_model *model;
    qw_session *session;
    qw_speculate *ahead; /* NULL: one token at a time */
    qwren_chat_options opt;
    double began_s;
    qw_chat_prompt prompt;
    qw_ids opening;  /* what the answer must begin with: tool_choice "required" */
    size_t n_opened; /* how much of it stands there */
    qw_sampler *sampler;
    qw_answer answer;
    bool cancelled; /* the event function said so while the prompt was computed */
    qwren_stats stats;
} chat;

qwren_chat_options qwren_chat_options_default(void) { return (qwren_chat_options){ .struct_size = sizeof(qwren_chat_options) }; }

/* ---- what makes and reads the answer: before the prompt is computed, so that a wrong value costs no time */

static qwren_status open_sampler(chat *c, qwren_error *err)
{
    const qw_config *config = &c->model->core.config;
    qw_sampling_defaults defaults = {
        .file = &config->generation,
        .greedy = c->opt.greedy,
        .thinks_by_default = qwren_thinks_by_default(c->model->tokenizer),
        .thinking = c->prompt.text.in_think,
        .has_images = c->prompt.pictures.n > 0,
    };
    qw_sampler_options options = {
        .sampling = qw_sampling_choose(&c->prompt.request, &defaults),
        .seed = c->prompt.request.has_seed ? c->prompt.request.seed : qw_random_seed(),
        .n_vocab = (size_t)config->text.vocab_size,
        .n_tokens = (size_t)qwren_token_count(c->model->tokenizer),
        .bias = c->prompt.request.bias,
        .n_bias = c->prompt.request.n_bias,
    };
    QW_TRY(qw_sampler_create(&c->sampler, &options, err));
    qw_sampler_note_prompt(c->sampler, c->prompt.timeline.ids, c->prompt.timeline.n);
    return QWREN_OK;
}

/* A required call: its first tokens are written for the model, as it would write them itself. They end before the "=", which makes one token with
 * the tool's name. */
static qwren_status prepare_opening(chat *c, qwren_error *err)
{
    const char *opening = c->prompt.text.in_think ? "\n\n<tool_call>\n<function" : "<tool_call>\n<function";
    if (!c->prompt.request.tool_choice || strcmp(c->prompt.request.tool_choice, "required") != 0)
        return QWREN_OK;
    return qw_tokenizer_encode(c->model->tokenizer->vocabulary, opening, strlen(opening), QWREN_SPECIAL_ALL, NULL, 0, &c->opening, err);
}

static qwren_status prepare_answer(chat *c, qwren_error *err)
{
    QW_TRY(open_sampler(c, err));
    QW_TRY(prepare_opening(c, err));
    return qw_answer_init(&c->answer, c->model, &c->prompt.request, c->prompt.text.in_think, &c->opt, err);
}

/* ---- the prompt */

/* `done` tokens of the prompt are there. False when the caller has had enough. */
static bool tell(chat *c, size_t done)
{
    qwren_event event = { .kind = QWREN_EVENT_PREFILL, .done = done, .total = c->prompt.timeline.n };
    if (c->opt.on_event && !c->cancelled)
        c->cancelled = !c->opt.on_event(c->opt.event_ctx, &event);
    return !c->cancelled;
}

static bool tell_pass(void *ctx, size_t done, size_t total)
{
    chat *c = ctx;
    (void)total;
    return tell(c, c->stats.reused_tokens + done);
}

/* Between two layers of the tower. */
static bool tell_layer(void *ctx, int step, const float *x, size_t n)
{
    chat *c = ctx;
    (void)step, (void)x, (void)n;
    return tell(c, c->stats.reused_tokens);
}

/* Stopped by the caller: an end like any other, the result tells. */
static qwren_status forgive_cancel(const chat *c, qwren_status st, qwren_error *err)
{
    if (st != QWREN_E_CANCELLED || !c->cancelled)
        return st;
    if (err)
        *err = (qwren_error){ 0 };
    return QWREN_OK;
}

/* Pictures that the session holds already need no second look. */
static qwren_status see_pictures(chat *c, qwren_error *err)
{
    double start = qw_now_s();
    qw_vision_trace trace = { .fn = tell_layer, .ctx = c };
    for (size_t i = 0; i < c->prompt.timeline.n_spans && !c->cancelled; i++) {
        qw_image_span *span = &c->prompt.timeline.spans[i];
        if (span->begin + span->n <= c->stats.reused_tokens)
            continue;
        QW_TRY(forgive_cancel(c, qw_pictures_see(&c->prompt.pictures, span, &trace, err), err));
        c->stats.seen_tokens += c->cancelled ? 0 : span->n;
        tell(c, c->stats.reused_tokens);
    }
    c->stats.image_s += qw_now_s() - start;
    return QWREN_OK;
}

/* Computes what the session does not hold yet. */
static qwren_status compute(chat *c, qwren_error *err)
{
    const double start = qw_now_s();
    const qw_timeline *t = &c->prompt.timeline;
    const qw_eval_options options = {
        .boundaries = c->prompt.boundaries,
        .n_boundaries = c->prompt.n_boundaries,
        .n_hidden = c->ahead ? qw_speculate_wants(c->ahead) : 0,
        .progress = tell_pass,
        .progress_ctx = c,
    };
    c->stats.computed_tokens = 0;
    if (c->cancelled)
        return QWREN_OK;
    QW_TRY(forgive_cancel(c, qw_session_eval(c->session, t, c->stats.reused_tokens, t->n, &options, err), err));
    c->stats.computed_tokens = qw_session_length(c->session) - c->stats.reused_tokens;
    c->stats.prefill_s = qw_now_s() - start;
    return QWREN_OK;
}

static qwren_status prefill(chat *c, qwren_error *err)
{
    const qw_reuse r = qw_session_reuse(c->session, &c->prompt.timeline);
    const qw_known known = {
        .reused = r.length, .common = r.n_common, .whole = r.why == QW_PREFIX_NONE, .evicted = r.why == QW_PREFIX_EVICTED
    };
    qw_reuse_explain(&c->stats, &c->prompt, &known);
    tell(c, r.length);
    QW_TRY(see_pictures(c, err));
    return compute(c, err);
}

/* ---- the answer */

static bool shifts(const chat *c) { return qw_chat_prompt_overflow(&c->prompt) == QWREN_OVERFLOW_SHIFT; }

static size_t token_limit(const chat *c)
{
    size_t room = shifts(c) ? SIZE_MAX : qw_session_capacity(c->session) - qw_session_length(c->session);
    int64_t wish = c->prompt.request.max_tokens;
    return wish >= 0 && (uint64_t)wish < room ? (size_t)wish : room;
}

/* An answer begins: guessing ahead gets to know the prompt, and the hidden states of its last tokens, which the last pass has left. */
static void look_ahead(const chat *c)
{
    const qw_timeline *t = &c->prompt.timeline;
    const size_t computed = t->n - c->stats.reused_tokens, wants = c->ahead ? qw_speculate_wants(c->ahead) : 0,
                 n = wants < computed ? wants : computed;
    if (!c->ahead)
        return;
    qw_spec_forget_counts(qw_speculate_control(c->ahead));
    qw_speculate_begin(c->ahead, t->ids, t->n, c->model->eos, (size_t)c->model->n_eos);
    if (n)
        qw_speculate_saw(c->ahead, t->n - n, t->ids + t->n - n, (const int32_t(*)[3])(t->pos + t->n - n), qw_session_hidden(c->session), n);
}

static size_t length(const chat *c) { return c->ahead ? qw_speculate_length(c->ahead) : qw_session_length(c->session); }

static qwren_status pick(chat *c, int32_t *id, qwren_error *err)
{
    const float *logits = c->ahead ? qw_speculate_logits(c->ahead) : qw_session_logits(c->session),
                *maxima = c->ahead ? qw_speculate_maxima(c->ahead) : qw_session_maxima(c->session);
    return qw_sampler_pick(c->sampler, logits, maxima, id, err);
}

/* The id is computed; at most `more` others will follow it. */
static qwren_status step(chat *c, int32_t id, size_t more, qwren_error *err)
{
    return c->ahead ? qw_speculate_step(c->ahead, id, more, err) : qw_session_step(c->session, id, err);
}

/* The next id: of the opening once the thought is over, unless the model called by itself; else the sampler's. */
static qwren_status next_id(chat *c, int32_t *id, qwren_error *err)
{
    if (c->n_opened == 0 && qw_answer_in_call(&c->answer))
        c->n_opened = c->opening.n;
    if (c->n_opened < c->opening.n && !qw_answer_in_think(&c->answer)) {
        *id = c->opening.data[c->n_opened++];
        return QWREN_OK;
    }
    return pick(c, id, err);
}

/* The window is full: half of what is behind the system block is forgotten, if that is wished; else, or when there is nothing to forget, the answer ends. */
static qwren_status make_room(chat *c, const char **finish, qwren_error *err)
{
    const size_t n = length(c);
    const qw_shift s = qw_overflow_shift(c->prompt.n_system, n);
    if (n < qw_session_capacity(c->session))
        return QWREN_OK;
    if (!shifts(c) || !s.by) {
        *finish = "length";
        return QWREN_OK;
    }
    if (c->ahead)
        qw_speculate_end(c->ahead);
    QW_TRY(qw_session_shift(c->session, s.keep, s.by, err));
    if (c->ahead)
        qw_speculate_shift(c->ahead, s.keep, s.by);
    c->stats.shifted_tokens += s.by;
    return QWREN_OK;
}

/* Every token of the answer is computed, the last one too: the session ends with the answer. */
static qwren_status write_answer(chat *c, const char **finish, qwren_error *err)
{
    const size_t limit = token_limit(c);
    while (!*finish) {
        int32_t id = -1;
        QW_TRY(next_id(c, &id, err));
        if (!c->answer.n_tokens)
            c->stats.first_token_s = qw_now_s() - c->began_s;
        if (qw_model_is_eos(c->model, id)) {
            *finish = "stop";
            break;
        }
        QW_TRY(make_room(c, finish, err));
        if (*finish)
            break;
        qw_sampler_accept(c->sampler, id);
        QW_TRY(qw_answer_push(&c->answer, id, finish, err));
        QW_TRY(step(c, id, *finish || limit <= c->answer.n_tokens ? 0 : limit - c->answer.n_tokens, err));
        if (!*finish && c->answer.n_tokens == limit)
            *finish = "length";
    }
    return QWREN_OK;
}

static qwren_status generate(chat *c, const char **finish, qwren_error *err)
{
    const double start = qw_now_s();
    *finish = c->cancelled ? "cancelled" : NULL;
    if (c->cancelled)
        return QWREN_OK;
    look_ahead(c);
    const qwren_status st = write_answer(c, finish, err);
    if (c->ahead)
        qw_speculate_end(c->ahead);
    qw_ahead_report(c->ahead, &c->stats);
    c->stats.decode_s = qw_now_s() - start;
    return st;
}

/* A later request that brings the answer back shall find it as it was sampled. */
static qwren_status remember(chat *c, const qwren_result *r, qwren_error *err)
{
    const qw_sampled sampled = { .ids = c->answer.ids.data, .n = c->answer.ids.n, .in_think = c->prompt.text.in_think, .message = r->root };
    if (!sampled.n || c->prompt.text.think == c->prompt.text.text.len) /* nothing was said, or without a turn of its own */
        return QWREN_OK;
    return qw_replay_note(c->model->replay, c->model, &sampled, c->prompt.places.context, err);
}

static qwren_status finish_result(chat *c, const char *finish, qwren_result **out, qwren_error *err)
{
    qw_buf json = QW_BUF_INIT;
    qwren_status st = qw_answer_finish(&c->answer, finish, &json, err);
    c->stats.completion_tokens = c->answer.n_tokens;
    c->stats.reasoning_tokens = c->answer.n_reasoning;
    c->stats.total_s = qw_now_s() - c->began_s;
    if (st == QWREN_OK)
        st = qw_result_create(out, qw_buf_text(&json), &c->stats, err);
    qw_buf_free(&json);
    if (st == QWREN_OK && (st = remember(c, *out, err)) != QWREN_OK) {
        qwren_result_free(*out);
        *out = NULL;
    }
    return st;
}

/* ---- the whole way */

static qwren_status answer_request(chat *c, const char *request, qwren_result **out, qwren_error *err)
{
    const char *finish = NULL;
    QW_TRY(qw_chat_prompt_make(&c->prompt, c->model, qw_session_capacity(c->session), request, &c->opt, err));
    c->stats.prompt_tokens = c->prompt.timeline.n;
    c->stats.image_tokens = c->prompt.pictures.n_tokens;
    c->stats.image_s = c->prompt.image_s;
    c->stats.dropped_messages = c->prompt.skip_end - c->prompt.skip_begin;
    QW_TRY(prepare_answer(c, err));
    QW_TRY(prefill(c, err));
    QW_TRY(generate(c, &finish, err));
    return finish_result(c, finish, out, err);
}

static void put_away(chat *c)
{
    qw_answer_deinit(&c->answer);
    qw_sampler_free(c->sampler);
    qw_ids_free(&c->opening);
    qw_chat_prompt_deinit(&c->prompt);
}

qwren_status qwren_chat(qwren_session *s, const char *request, const qwren_chat_options *opt, qwren_result **out, qwren_error *err)
{
    chat c = { .model = s->model, .session = s->core, .ahead = s->ahead, .opt = qwren_chat_options_default(), .began_s = qw_now_s() };
    *out = NULL;
    QW_TRY(qw_options_read(&c.opt, sizeof c.opt, opt, "qwren_chat_options", err));
    if (!s->model->tokenizer)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s was opened with no_tokenizer; open it without to chat", s->model->path);
    if (!request)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_chat: the request is NULL; give a JSON object with \"messages\"");
    qwren_status st = answer_request(&c, request, out, err);
    put_away(&c);
    qw_session_keep_on_disk(s);
    return st;
}
