/* A request -> its timeline (chat_prompt.h). Before chat.c, which computes it. Tested by tests/unit/test_chat.c, test_chat_errors.c and
 * test_chat_overflow.c. */
#include "api/chat_prompt.h"

#include "api/media.h"
#include "api/overflow.h"
#include "api/tokenizer.h"
#include "base/alloc.h"
#include "base/clock.h"

qwren_overflow qw_chat_prompt_overflow(const qw_chat_prompt *p)
{
    return p->request.overflow >= 0 ? (qwren_overflow)p->request.overflow : p->opt->overflow;
}

/* ---- request -> text -> ids */

static qwren_status render(qw_chat_prompt *p, qwren_error *err)
{
    const qw_template_input in = {
        .messages = p->request.messages,
        .tools = p->request.tools,
        .strict = p->opt->strict,
        .thinks_by_default = qwren_thinks_by_default(p->model->tokenizer),
        .thinking = p->request.thinking,
        .add_generation_prompt = p->request.add_generation_prompt,
        .add_vision_id = p->request.add_vision_id,
        .skip_begin = p->skip_begin,
        .skip_end = p->skip_end,
    };
    return qw_template_render(&p->text, &in, err);
}

/* Strictly the template's bytes: then nothing is replayed, for blanks may differ. */
static qwren_status encode(qw_chat_prompt *p, qwren_error *err)
{
    qw_replay *replay = p->opt->strict ? NULL : p->model->replay;
    QW_TRY(qw_prompt_ids_encode(&p->places, p->model->tokenizer->vocabulary, &p->text, p->request.messages, replay, err));
    return p->places.ids.n ? QWREN_OK : qw_fail(err, QWREN_E_ARGUMENT, "request: the conversation is empty; give at least one message");
}

/* ---- room */

/* The prompt must leave room for an answer. Asked before anything is computed, and between pictures. */
static qwren_status check_room(const qw_chat_prompt *p, size_t n_tokens, qwren_error *err)
{
    if (n_tokens < p->capacity)
        return QWREN_OK;
    return qw_fail(
        err, QWREN_E_LIMIT,
        "the prompt has %zu tokens, but the context has room for %zu, the answer included; shorten the conversation, make the context "
        "larger (n_ctx; --ctx of the program), or let its oldest turns go (overflow; --overflow drop-oldest-turns)",
        n_tokens, p->capacity);
}

static qwren_status load_picture(qw_chat_prompt *p, size_t i, qwren_error *err)
{
    const qw_media *media = &p->text.media[i];
    if (qw_pictures_has(&p->pictures, i))
        return QWREN_OK;
    if (media->kind == QW_MEDIA_VIDEO)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "message %zu: videos are not supported yet; send single pictures of it",
                       media->message + 1);
    if (!media->url)
        return qw_fail(err, QWREN_E_ARGUMENT,
                       "message %zu: image %zu has no url; give {\"type\": \"image_url\", \"image_url\": {\"url\": ...}}",
                       media->message + 1, i + 1);
    qwren_image *image = NULL;
    QW_TRY(qw_media_load(&image, media->url, i + 1, p->opt->load_image, p->opt->load_ctx, err));
    qwren_status st = qw_pictures_put(&p->pictures, i, image, err);
    qwren_image_free(image);
    return st;
}

/* Tokens of pictures [first, end), which are loaded for it. */
static qwren_status count_pictures(void *ctx, size_t first, size_t end, size_t *n_tokens, qwren_error *err)
{
    qw_chat_prompt *p = ctx;
    *n_tokens = 0;
    for (size_t i = end; i-- > first;) {
        QW_TRY(load_picture(p, i, err));
        *n_tokens += qw_pictures_count(&p->pictures, i);
    }
    return QWREN_OK;
}

/* The first exchanges are left out: the prompt is made again without them. */
static qwren_status leave_out(qw_chat_prompt *p, const qw_exchanges *e, size_t n, qwren_error *err)
{
    p->skip_begin = e->list[0].first;
    p->skip_end = e->list[n - 1].end;
    qw_pictures_remove(&p->pictures, e->list[0].first_media, e->list[n - 1].end_media);
    qw_prompt_ids_deinit(&p->places);
    qw_prompt_deinit(&p->text);
    QW_TRY(render(p, err));
    return encode(p, err);
}

/* Leaves out what has no place, if that is wished. */
static qwren_status make_room(qw_chat_prompt *p, qwren_error *err)
{
    qw_exchanges e = { 0 };
    qw_overflow o = { 0 };
    const size_t reserve = qw_overflow_reserve(p->capacity, p->request.max_tokens),
                 wish = p->request.max_tokens > 0 ? (size_t)p->request.max_tokens : 1;
    qwren_status st;
    if (qw_chat_prompt_overflow(p) != QWREN_OVERFLOW_DROP_OLDEST_TURNS)
        return QWREN_OK;
    QW_TRY_GOTO(st, qw_exchanges_find(&e, &p->text, p->places.starts, err), done);
    QW_TRY_GOTO(st, qw_overflow_choose(&o, &e, p->capacity, reserve, count_pictures, p, err), done);
    if (o.n_least >= p->capacity)
        st = qw_fail(
            err, QWREN_E_LIMIT,
            "the system messages, the tools and the last question have %zu tokens, and they cannot be left out, but the context has "
            "room for %zu, the answer included; make it larger (n_ctx; --ctx of the program: %zu would do), or shorten them",
            o.n_least, p->capacity, o.n_least + wish);
    else if (o.n_dropped)
        st = leave_out(p, &e, o.n_dropped, err);
done:
    qw_exchanges_deinit(&e);
    return st;
}

static qwren_status load_pictures(qw_chat_prompt *p, qwren_error *err)
{
    const double start = qw_now_s();
    QW_TRY(qw_pictures_init(&p->pictures, p->model, p->text.n_media, err));
    QW_TRY(make_room(p, err));
    QW_TRY(check_room(p, p->places.ids.n, err));
    for (size_t i = 0; i < p->text.n_media; i++) {
        QW_TRY(load_picture(p, i, err));
        QW_TRY(check_room(p, p->places.ids.n - p->pictures.n + p->pictures.n_tokens, err));
    }
    p->image_s = qw_now_s() - start;
    return QWREN_OK;
}

/* ---- the timeline */

static qwren_status lay_out(qw_chat_prompt *p, qwren_error *err)
{
    const size_t room = p->text.n_turns;
    QW_TRY(qw_timeline_build(&p->timeline, &p->model->core.config, p->places.ids.data, p->places.ids.n, p->pictures.grids,
                             p->pictures.hashes, p->pictures.n, 0, err));
    QW_TRY(check_room(p, p->timeline.n, err));
    qw_prompt_ids_expand(&p->places, &p->timeline);
    p->boundaries = qw_alloc_array(room, sizeof *p->boundaries);
    if (!p->boundaries)
        return qw_fail_memory(err, room * sizeof *p->boundaries, "the turns of a conversation");
    p->n_boundaries = qw_prompt_ids_boundaries(&p->places, p->boundaries);
    if (p->text.turns[0].is_system)
        p->n_system = p->places.starts[1];
    return QWREN_OK;
}

qwren_status qw_chat_prompt_make(qw_chat_prompt *p, const qwren_model *m, size_t capacity, const char *request,
                                 const qwren_chat_options *opt, qwren_error *err)
{
    *p = (qw_chat_prompt){ .model = m, .opt = opt, .capacity = capacity };
    if ((int)opt->overflow < 0 || opt->overflow > QWREN_OVERFLOW_SHIFT)
        return qw_fail(err, QWREN_E_ARGUMENT, "overflow is %d; give one of qwren_overflow", (int)opt->overflow);
    QW_TRY(qw_request_parse(&p->request, request, SIZE_MAX, err));
    QW_TRY(render(p, err));
    QW_TRY(encode(p, err));
    QW_TRY(load_pictures(p, err));
    return lay_out(p, err);
}

void qw_chat_prompt_deinit(qw_chat_prompt *p)
{
    qw_free(p->boundaries);
    qw_timeline_deinit(&p->timeline);
    qw_pictures_deinit(&p->pictures);
    qw_prompt_ids_deinit(&p->places);
    qw_prompt_deinit(&p->text);
    qw_request_deinit(&p->request);
    *p = (qw_chat_prompt){ 0 };
}
