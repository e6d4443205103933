/* Ids of an answer -> text -> events (answer.h). Behind the sampler, before the caller's event function: detokenizer, stop strings, output
 * parser and loop guard in their order. Tested by tests/unit/test_chat.c. */
#include "api/answer.h"

#include "api/tokenizer.h"
#include "base/alloc.h"

#include <string.h>

qwren_status qw_answer_init(qw_answer *a, const qwren_model *m, const qw_request *r, bool in_think, const qwren_chat_options *opt,
                            qwren_error *err)
{
    *a = (qw_answer){ .model = m, .guarded = !opt->no_loop_guard, .thinking = in_think };
    a->use_tools = r->tools && !(r->tool_choice && strcmp(r->tool_choice, "none") == 0);
    qw_stream_options options = {
        .thinking = in_think, .markup_by_id = true, .tools = r->tools, .tool_choice = r->tool_choice, .call_ids = true
    };
    qw_detok_init(&a->detok, m->tokenizer->vocabulary, true);
    qw_loopguard_init(&a->guard);
    QW_TRY(qw_stream_create(&a->stream, &options, opt->on_event, opt->event_ctx, err));
    return r->n_stop ? qw_stop_create(&a->stop, r->stop, r->n_stop, err) : QWREN_OK;
}

void qw_answer_deinit(qw_answer *a)
{
    qw_stream_free(a->stream);
    qw_stop_free(a->stop);
    qw_buf_free(&a->piece);
    qw_buf_free(&a->visible);
    qw_ids_free(&a->ids);
    *a = (qw_answer){ 0 };
}

/* ---- text */

static bool is_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }

/* Blanks before the answer's first word are not seen by anybody, so they stop nothing. */
static size_t blanks_before_begin(qw_answer *a, const char *text, size_t len)
{
    size_t n = 0;
    while (!a->begun && n < len && is_blank(text[n]))
        n++;
    a->begun = a->begun || n < len;
    return n;
}

static qwren_status push_visible(qw_answer *a, qwren_error *err)
{
    QW_TRY(qw_buf_status(&a->visible, err));
    QW_TRY(qw_stream_push(a->stream, qw_buf_text(&a->visible), a->visible.len, err));
    qw_buf_clear(&a->visible);
    return QWREN_OK;
}

/* a->piece goes to the parser, visible text past the stop strings. Thoughts and calls are not visible. */
static qwren_status write_piece(qw_answer *a, qwren_error *err)
{
    QW_TRY(qw_buf_status(&a->piece, err));
    const char *text = qw_buf_text(&a->piece);
    size_t len = a->piece.len, n = len;
    bool visible = a->stop && !a->in_call && !qw_stream_in_think(a->stream);
    if (a->stopped || !len)
        return QWREN_OK;
    if (visible)
        n = blanks_before_begin(a, text, len);
    QW_TRY(qw_stream_push(a->stream, text, n, err));
    if (n == len)
        return QWREN_OK;
    a->stopped = qw_stop_push(a->stop, text + n, len - n, &a->visible);
    return push_visible(a, err);
}

/* What waited for more text gets none: a tag follows, or the end. */
static qwren_status release(qw_answer *a, qwren_error *err)
{
    qw_buf_clear(&a->piece);
    qw_detok_flush(&a->detok, &a->piece);
    QW_TRY(write_piece(a, err));
    if (!a->stop || a->stopped)
        return QWREN_OK;
    qw_stop_flush(a->stop, &a->visible);
    qw_stop_reset(a->stop);
    return push_visible(a, err);
}

static qwren_status push_tag(qw_answer *a, qw_tag tag, qwren_error *err)
{
    QW_TRY(release(a, err));
    if (a->stopped)
        return QWREN_OK;
    bool was_thinking = qw_stream_in_think(a->stream);
    QW_TRY(qw_stream_push_tag(a->stream, tag, err));
    if (tag == QW_TAG_CALL)
        a->in_call = a->use_tools;
    else if (tag == QW_TAG_CALL_END || was_thinking)
        a->in_call = false;
    return QWREN_OK;
}

static qwren_status push_text(qw_answer *a, int32_t id, qwren_error *err)
{
    qw_buf_clear(&a->piece);
    QW_TRY(qw_detok_push(&a->detok, id, &a->piece, err));
    return write_piece(a, err);
}

/* ---- ids */

/* Counts the id; thought and answer are watched for loops each by itself. */
static bool closes_loop(qw_answer *a, int32_t id)
{
    bool thinking = qw_stream_in_think(a->stream);
    if (thinking != a->thinking)
        qw_loopguard_init(&a->guard);
    a->thinking = thinking;
    a->n_tokens++;
    a->n_reasoning += thinking;
    return qw_loopguard_push(&a->guard, id) && a->guarded;
}

qwren_status qw_answer_push(qw_answer *a, int32_t id, const char **finish, qwren_error *err)
{
    int tag = qw_model_tag_of(a->model, id);
    QW_TRY(qw_ids_append(&a->ids, id, err));
    if (tag >= 0)
        QW_TRY(push_tag(a, (qw_tag)tag, err));
    else
        QW_TRY(push_text(a, id, err));
    bool loop = closes_loop(a, id);
    if (qw_stream_stopped(a->stream))
        *finish = "cancelled";
    else if (a->stopped)
        *finish = "stop";
    else if (loop)
        *finish = "loop";
    return QWREN_OK;
}

bool qw_answer_in_think(const qw_answer *a) { return qw_stream_in_think(a->stream); }
bool qw_answer_in_call(const qw_answer *a) { return a->in_call || qw_stream_call_count(a->stream) > 0; }

qwren_status qw_answer_finish(qw_answer *a, const char *finish, qw_buf *json, qwren_error *err)
{
    QW_TRY(release(a, err));
    return qw_stream_finish(a->stream, finish, json, err);
}
