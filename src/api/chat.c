/* qwren_chat: a conversation in, an answer out. The way of a token from its beginning to its end, step by step; each step is a room of its
 * own (docs/architecture.md). Tested by tests/unit/test_chat.c. */
#include "api/answer.h"
#include "api/media.h"
#include "api/options.h"
#include "api/pictures.h"
#include "api/result.h"
#include "api/sampling.h"
#include "api/session.h"
#include "api/tokenizer.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/rng.h"
#include "text/template.h"

#include <string.h>

/* One request on its way. */
typedef struct chat {
    const qwren_model *model;
    qw_session *session;
    qwren_chat_options opt;
    double began_s;
    qw_request request;
    qw_prompt prompt;
    qw_ids ids; /* of the prompt, one pad for each picture */
    qw_pictures pictures;
    qw_timeline timeline; /* the prompt as it is computed */
    size_t *boundaries;   /* [n_boundaries] lengths at which a later request may leave this one */
    size_t n_boundaries;
    qw_ids opening;  /* what the answer must begin with: tool_choice "required" */
    size_t n_opened; /* how much of it stands there */
    qw_sampler *sampler;
    qw_answer answer;
    bool cancelled; /* the event function said so while the prompt was computed */
    qwren_stats stats;
} chat;

qwren_chat_options qwren_chat_options_default(void) { return (qwren_chat_options){ .struct_size = sizeof(qwren_chat_options) }; }

/* ---- request -> prompt -> ids */

static qwren_status render(chat *c, qwren_error *err)
{
    qw_template_input in = {
        .messages = c->request.messages,
        .tools = c->request.tools,
        .strict = c->opt.strict,
        .thinks_by_default = qwren_thinks_by_default(c->model->tokenizer),
        .thinking = c->request.thinking,
        .add_generation_prompt = c->request.add_generation_prompt,
        .add_vision_id = c->request.add_vision_id,
    };
    return qw_template_render(&c->prompt, &in, err);
}

static qwren_status encode(chat *c, qwren_error *err)
{
    QW_TRY(qw_tokenizer_encode(c->model->tokenizer->vocabulary, qw_buf_text(&c->prompt.text), c->prompt.text.len, QWREN_SPECIAL_ALL,
                               c->prompt.untrusted, c->prompt.n_untrusted, &c->ids, err));
    return c->ids.n ? QWREN_OK : qw_fail(err, QWREN_E_ARGUMENT, "request: the conversation is empty; give at least one message");
}

/* ---- pictures and the timeline */

/* The prompt must leave room for an answer. Asked before anything is computed, and between pictures. */
static qwren_status check_room(const chat *c, size_t n_tokens, qwren_error *err)
{
    size_t capacity = qw_session_capacity(c->session);
    if (n_tokens < capacity)
        return QWREN_OK;
    return qw_fail(
        err, QWREN_E_LIMIT,
        "the prompt has %zu tokens, but the context has room for %zu, the answer included; shorten the conversation or make the context "
        "larger (n_ctx; --ctx of the program)",
        n_tokens, capacity);
}

static qwren_status load_picture(chat *c, const qw_media *media, qwren_error *err)
{
    size_t number = c->pictures.n + 1;
    if (media->kind == QW_MEDIA_VIDEO)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "message %zu: videos are not supported yet; send single pictures of it",
                       media->message + 1);
    if (!media->url)
        return qw_fail(err, QWREN_E_ARGUMENT,
                       "message %zu: image %zu has no url; give {\"type\": \"image_url\", \"image_url\": {\"url\": ...}}",
                       media->message + 1, number);
    qwren_image *image = NULL;
    QW_TRY(qw_media_load(&image, media->url, number, c->opt.load_image, c->opt.load_ctx, err));
    qwren_status st = qw_pictures_add(&c->pictures, image, err);
    qwren_image_free(image);
    return st;
}

static qwren_status load_pictures(chat *c, qwren_error *err)
{
    double start = qw_now_s();
    size_t n = c->prompt.n_media;
    QW_TRY(check_room(c, c->ids.n, err));
    QW_TRY(qw_pictures_init(&c->pictures, c->model, n, err));
    for (size_t i = 0; i < n; i++) {
        QW_TRY(load_picture(c, &c->prompt.media[i], err));
        QW_TRY(check_room(c, c->ids.n - (i + 1) + c->pictures.n_tokens, err));
    }
    c->stats.image_tokens = c->pictures.n_tokens;
    c->stats.image_s = qw_now_s() - start;
    return QWREN_OK;
}

/* Where turns begin (<|im_start|> is the template's alone, whatever the messages say), and before the last <think>: up to there a request that continues this one is the same,
 * while its template drops this answer's thought. */
static qwren_status find_boundaries(chat *c, qwren_error *err)
{
    const int32_t start = qwren_token_id(c->model->tokenizer, "<|im_start|>"), think = c->model->tags[QW_TAG_THINK];
    const qw_timeline *t = &c->timeline;
    size_t n = 0, last = 0;
    for (size_t i = 1; i < t->n; i++)
        n += t->ids[i] == start;
    c->boundaries = qw_alloc_array(n + 1, sizeof *c->boundaries);
    if (!c->boundaries)
        return qw_fail_memory(err, (n + 1) * sizeof *c->boundaries, "the turns of a conversation");
    for (size_t i = 1; i < t->n; i++) {
        if (t->ids[i] == start)
            c->boundaries[c->n_boundaries++] = i;
        last = t->ids[i] == think ? i : last;
    }
    if (last && (!c->n_boundaries || last > c->boundaries[c->n_boundaries - 1]))
        c->boundaries[c->n_boundaries++] = last;
    return QWREN_OK;
}

static qwren_status lay_out(chat *c, qwren_error *err)
{
    QW_TRY(qw_timeline_build(&c->timeline, &c->model->core.config, c->ids.data, c->ids.n, c->pictures.grids, c->pictures.hashes,
                             c->pictures.n, 0, err));
    QW_TRY(check_room(c, c->timeline.n, err));
    c->stats.prompt_tokens = c->timeline.n;
    return find_boundaries(c, err);
}

/* ---- what makes and reads the answer: before the prompt is computed, so that a wrong value costs no time */

static qwren_status open_sampler(chat *c, qwren_error *err)
{
    const qw_config *config = &c->model->core.config;
    qw_sampling_defaults defaults = {
        .file = &config->generation,
        .greedy = c->opt.greedy,
        .thinks_by_default = qwren_thinks_by_default(c->model->tokenizer),
        .thinking = c->prompt.in_think,
        .has_images = c->pictures.n > 0,
    };
    qw_sampler_options options = {
        .sampling = qw_sampling_choose(&c->request, &defaults),
        .seed = c->request.has_seed ? c->request.seed : qw_random_seed(),
        .n_vocab = (size_t)config->text.vocab_size,
        .n_tokens = (size_t)qwren_token_count(c->model->tokenizer),
        .bias = c->request.bias,
        .n_bias = c->request.n_bias,
    };
    QW_TRY(qw_sampler_create(&c->sampler, &options, err));
    qw_sampler_note_prompt(c->sampler, c->timeline.ids, c->timeline.n);
    return QWREN_OK;
}

/* A required call: its first tokens are written for the model, as it would write them itself. They end before the "=", which makes one token with
 * the tool's name. */
static qwren_status prepare_opening(chat *c, qwren_error *err)
{
    const char *opening = c->prompt.in_think ? "\n\n<tool_call>\n<function" : "<tool_call>\n<function";
    if (!c->request.tool_choice || strcmp(c->request.tool_choice, "required") != 0)
        return QWREN_OK;
    return qw_tokenizer_encode(c->model->tokenizer->vocabulary, opening, strlen(opening), QWREN_SPECIAL_ALL, NULL, 0, &c->opening, err);
}

static qwren_status prepare_answer(chat *c, qwren_error *err)
{
    QW_TRY(open_sampler(c, err));
    QW_TRY(prepare_opening(c, err));
    return qw_answer_init(&c->answer, c->model, &c->request, c->prompt.in_think, &c->opt, err);
}

/* ---- the prompt */

/* `done` tokens of the prompt are there. False when the caller has had enough. */
static bool tell(chat *c, size_t done)
{
    qwren_event event = { .kind = QWREN_EVENT_PREFILL, .done = done, .total = c->timeline.n };
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
    qw_vision_trace trace = { tell_layer, c };
    for (size_t i = 0; i < c->timeline.n_spans && !c->cancelled; i++) {
        qw_image_span *span = &c->timeline.spans[i];
        if (span->begin + span->n <= c->stats.reused_tokens)
            continue;
        QW_TRY(forgive_cancel(c, qw_pictures_see(&c->pictures, span, &trace, err), err));
        tell(c, c->stats.reused_tokens);
    }
    c->stats.image_s += qw_now_s() - start;
    return QWREN_OK;
}

/* Computes what the session does not hold yet. */
static qwren_status compute(chat *c, qwren_error *err)
{
    const double start = qw_now_s();
    const qw_eval_options options = {
        .boundaries = c->boundaries, .n_boundaries = c->n_boundaries, .progress = tell_pass, .progress_ctx = c
    };
    if (c->cancelled)
        return QWREN_OK;
    QW_TRY(forgive_cancel(c, qw_session_eval(c->session, &c->timeline, c->stats.reused_tokens, c->timeline.n, &options, err), err));
    c->stats.prefill_s = qw_now_s() - start;
    return QWREN_OK;
}

static qwren_status prefill(chat *c, qwren_error *err)
{
    c->stats.reused_tokens = qw_session_reuse(c->session, &c->timeline).length;
    tell(c, c->stats.reused_tokens);
    QW_TRY(see_pictures(c, err));
    return compute(c, err);
}

/* ---- the answer */

static size_t token_limit(const chat *c)
{
    size_t room = qw_session_capacity(c->session) - qw_session_length(c->session);
    int64_t wish = c->request.max_tokens;
    return wish >= 0 && (uint64_t)wish < room ? (size_t)wish : room;
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
    return qw_sampler_pick(c->sampler, qw_session_logits(c->session), qw_session_maxima(c->session), id, err);
}

/* Every token of the answer is computed, the last one too: the session ends with the answer. */
static qwren_status generate(chat *c, const char **finish, qwren_error *err)
{
    size_t limit = token_limit(c);
    double start = qw_now_s();
    *finish = c->cancelled ? "cancelled" : NULL;
    while (!*finish) {
        int32_t id = -1;
        QW_TRY(next_id(c, &id, err));
        if (!c->answer.n_tokens)
            c->stats.first_token_s = qw_now_s() - c->began_s;
        if (qw_model_is_eos(c->model, id)) {
            *finish = "stop";
            break;
        }
        qw_sampler_accept(c->sampler, id);
        QW_TRY(qw_answer_push(&c->answer, id, finish, err));
        QW_TRY(qw_session_step(c->session, id, err));
        if (!*finish && c->answer.n_tokens == limit)
            *finish = "length";
    }
    c->stats.decode_s = qw_now_s() - start;
    return QWREN_OK;
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
    return st;
}

/* ---- the whole way */

static qwren_status answer_request(chat *c, const char *request, qwren_result **out, qwren_error *err)
{
    const char *finish = NULL;
    QW_TRY(qw_request_parse(&c->request, request, SIZE_MAX, err));
    QW_TRY(render(c, err));
    QW_TRY(encode(c, err));
    QW_TRY(load_pictures(c, err));
    QW_TRY(lay_out(c, err));
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
    qw_timeline_deinit(&c->timeline);
    qw_free(c->boundaries);
    qw_pictures_deinit(&c->pictures);
    qw_ids_free(&c->ids);
    qw_prompt_deinit(&c->prompt);
    qw_request_deinit(&c->request);
}

qwren_status qwren_chat(qwren_session *s, const char *request, const qwren_chat_options *opt, qwren_result **out, qwren_error *err)
{
    chat c = { .model = s->model, .session = s->core, .opt = qwren_chat_options_default(), .began_s = qw_now_s() };
    *out = NULL;
    QW_TRY(qw_options_read(&c.opt, sizeof c.opt, opt, "qwren_chat_options", err));
    if (!s->model->tokenizer)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s was opened with no_tokenizer; open it without to chat", s->model->path);
    if (!request)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_chat: the request is NULL; give a JSON object with \"messages\"");
    qwren_status st = answer_request(&c, request, out, err);
    put_away(&c);
    return st;
}
