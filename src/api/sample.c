/* Lines of request files -> samples (sample.h): the way of qwren_chat up to the timeline, with the answer already written. Tested by
 * tests/unit/test_sample.c. */
#include "api/sample.h"

#include "api/media.h"
#include "api/request.h"
#include "api/tokenizer.h"
#include "base/affix.h"
#include "base/alloc.h"
#include "base/utf8.h"
#include "text/template.h"

#include <string.h>

static bool is_blank(const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!strchr(" \t\r", s[i]) || !s[i])
            return false;
    return true;
}

bool qw_sample_next(const char **text, size_t *left, const char **line, size_t *len, size_t *number)
{
    if (!*number)
        *text = qw_utf8_skip_bom(*text, left);
    while (*left) {
        const char *end = memchr(*text, '\n', *left);
        *line = *text;
        *len = end ? (size_t)(end - *text) : *left;
        size_t used = *len + (end ? 1 : 0);
        *text += used;
        *left -= used;
        ++*number;
        if (!is_blank(*line, *len))
            return true;
    }
    return false;
}

/* ---- plain text */

static qwren_status read_text(qw_sample *s, const qwren_model *m, const qw_json *text, const char *where, qwren_error *err)
{
    size_t len = 0;
    const char *chars = qw_json_string(text, &len);
    if (!chars)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s: \"text\" must be a string", where);
    QW_TRY(qw_tokenizer_encode(m->tokenizer->vocabulary, chars, len, QWREN_SPECIAL_NONE, NULL, 0, &s->ids, err));
    s->n_context = s->ids.n;
    return QWREN_OK;
}

/* ---- conversations */

static qwren_status load_images(qw_sample *s, const qw_prompt *p, const char *where, qwren_image_loader load, void *ctx, qwren_error *err)
{
    s->images = qw_calloc(p->n_media ? p->n_media : 1, sizeof(qwren_image *));
    if (!s->images)
        return qw_fail_memory(err, p->n_media * sizeof(qwren_image *), "pictures");
    for (; s->n_images < p->n_media; s->n_images++) {
        const qw_media *media = &p->media[s->n_images];
        if (media->kind == QW_MEDIA_VIDEO)
            return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: videos are not supported yet; give single pictures of it", where);
        if (!media->url)
            return qw_fail(err, QWREN_E_ARGUMENT, "%s: image %zu has no url", where, s->n_images + 1);
        QW_TRY(qw_media_load(&s->images[s->n_images], media->url, s->n_images + 1, load, ctx, err));
    }
    return QWREN_OK;
}

/* How many of the ids from `first` are the beginning of `text`. */
static qwren_status count_common(const qw_sample *s, const qwren_model *m, size_t first, const char *text, size_t *n, qwren_error *err)
{
    qw_ids opening = QW_IDS_INIT;
    QW_TRY(qw_tokenizer_encode(m->tokenizer->vocabulary, text, strlen(text), QWREN_SPECIAL_ALL, NULL, 0, &opening, err));
    for (*n = 0; *n < opening.n && first + *n < s->ids.n && s->ids.data[first + *n] == opening.data[*n];)
        ++*n;
    qw_ids_free(&opening);
    return QWREN_OK;
}

/* What the model would have been given: everything up to the opening of its last turn, which is the longer one when it does not think. */
static qwren_status find_answer(qw_sample *s, const qwren_model *m, qwren_error *err)
{
    int32_t start = qwren_token_id(m->tokenizer, "<|im_start|>");
    size_t turn = s->ids.n, thinking = 0, at_once = 0;
    while (turn && s->ids.data[turn - 1] != start)
        turn--;
    QW_TRY(count_common(s, m, turn, "assistant\n<think>\n", &thinking, err));
    QW_TRY(count_common(s, m, turn, "assistant\n<think>\n\n</think>\n\n", &at_once, err));
    s->n_context = turn + (at_once > thinking ? at_once : thinking);
    return QWREN_OK;
}

static bool ends_with_answer(const qw_json *messages)
{
    const char *role = qw_json_string(qw_json_get(qw_json_at(messages, qw_json_size(messages) - 1), "role"), NULL);
    return role && strcmp(role, "assistant") == 0;
}

static qwren_status render(qw_sample *s, const qwren_model *m, const qw_request *r, const char *where, qwren_image_loader load, void *ctx,
                           qwren_error *err)
{
    qw_prompt prompt;
    bool answered = qw_json_size(r->messages) && ends_with_answer(r->messages);
    qw_template_input in = {
        .messages = r->messages,
        .tools = r->tools,
        .thinks_by_default = qwren_thinks_by_default(m->tokenizer),
        .thinking = r->thinking,
        .add_generation_prompt = !answered,
        .add_vision_id = r->add_vision_id,
    };
    qwren_status st = qw_template_render(&prompt, &in, err);
    if (st == QWREN_OK)
        st = qw_tokenizer_encode(m->tokenizer->vocabulary, qw_buf_text(&prompt.text), prompt.text.len, QWREN_SPECIAL_ALL, prompt.untrusted,
                                 prompt.n_untrusted, &s->ids, err);
    if (st == QWREN_OK)
        st = load_images(s, &prompt, where, load, ctx, err);
    s->n_context = s->ids.n;
    if (st == QWREN_OK && answered)
        st = find_answer(s, m, err);
    qw_prompt_deinit(&prompt);
    return st;
}

static qwren_status read_request(qw_sample *s, const qwren_model *m, const char *line, size_t len, const char *where,
                                 qwren_image_loader load, void *ctx, qwren_error *err)
{
    qw_request request;
    qwren_status st = qw_request_parse(&request, line, len, err);
    if (st == QWREN_OK)
        st = render(s, m, &request, where, load, ctx, err);
    qw_request_deinit(&request);
    return st;
}

/* The sentence of a failure gets the line in front, unless it begins with it. */
static void name_line(qwren_error *err, const char *where)
{
    char text[sizeof err->text];
    if (!err || qw_begins_with(err->text, where))
        return;
    memcpy(text, err->text, sizeof text);
    qw_fail(err, err->code, "%s: %s", where, text);
}

qwren_status qw_sample_read(qw_sample *out, const qwren_model *m, const char *line, size_t len, const char *where, qwren_image_loader load,
                            void *load_ctx, qwren_error *err)
{
    qw_json *row = NULL;
    *out = (qw_sample){ 0 };
    QW_TRY(qw_json_parse(&row, line, len, where, err));
    const qw_json *text = qw_json_get(row, "text");
    qwren_status st = text ? read_text(out, m, text, where, err) : read_request(out, m, line, len, where, load, load_ctx, err);
    qw_json_free(row);
    if (st == QWREN_OK && !out->ids.n)
        st = qw_fail(err, QWREN_E_ARGUMENT, "%s: there is nothing to read; leave the line out", where);
    if (st != QWREN_OK)
        name_line(err, where);
    return st;
}

void qw_sample_deinit(qw_sample *s)
{
    qw_ids_free(&s->ids);
    for (size_t i = 0; i < s->n_images; i++)
        qwren_image_free(s->images[i]);
    qw_free(s->images);
    *s = (qw_sample){ 0 };
}

/* ---- for one model */

qwren_status qw_sample_lay_out(const qw_sample *s, const qwren_model *m, qw_pictures *pictures, qw_timeline *timeline, qwren_error *err)
{
    *timeline = (qw_timeline){ 0 };
    QW_TRY(qw_pictures_init(pictures, m, s->n_images, err));
    for (size_t i = 0; i < s->n_images; i++)
        QW_TRY(qw_pictures_add(pictures, s->images[i], err));
    return qw_timeline_build(timeline, &m->core.config, s->ids.data, s->ids.n, pictures->grids, pictures->hashes, pictures->n, 0, err);
}
