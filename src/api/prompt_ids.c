/* A rendered prompt -> token ids (prompt_ids.h). Between the template and the timeline: turn by turn, and within a turn that is a known
 * answer piece by piece. Tested by tests/unit/test_replay.c. */
#include "api/prompt_ids.h"

#include "base/alloc.h"
#include "base/hash.h"
#include "text/calls.h"

#include <string.h>

typedef struct encoder {
    const qw_tokenizer *t;
    const qw_prompt *p;
    const qw_json *messages;
    qw_replay *replay;
    qw_prompt_ids *out;
    qw_hash context; /* of out's ids [0, hashed) */
    size_t hashed;
    qw_span *spans; /* [p->n_untrusted] those of a piece */
    size_t at_span; /* untrusted spans before this one end before the piece */
    qw_buf calls;
    qwren_error *err;
} encoder;

/* ---- pieces */

/* Bytes [begin, end) of the prompt; pieces are asked for in order. */
static qwren_status encode(encoder *e, size_t begin, size_t end)
{
    const qw_prompt *p = e->p;
    size_t n = 0;
    while (e->at_span < p->n_untrusted && p->untrusted[e->at_span].end <= begin)
        e->at_span++;
    for (size_t i = e->at_span; i < p->n_untrusted && p->untrusted[i].begin < end; i++) {
        qw_span s = p->untrusted[i];
        e->spans[n++] = (qw_span){ s.begin > begin ? s.begin - begin : 0, (s.end < end ? s.end : end) - begin };
    }
    return qw_tokenizer_encode(e->t, qw_buf_text(&p->text) + begin, end - begin, QWREN_SPECIAL_ALL, e->spans, n, &e->out->ids, e->err);
}

static qwren_status append(encoder *e, const qw_ids *ids)
{
    for (size_t i = 0; i < ids->n; i++)
        QW_TRY(qw_ids_append(&e->out->ids, ids->data[i], e->err));
    return QWREN_OK;
}

/* Hash of all ids so far. */
static uint64_t context(encoder *e)
{
    qw_ids *ids = &e->out->ids;
    if (ids->n > e->hashed)
        qw_hash_add(&e->context, ids->data + e->hashed, (ids->n - e->hashed) * sizeof *ids->data);
    e->hashed = ids->n;
    return qw_hash_value(&e->context);
}

/* ---- known answers */

static bool has_media(const qw_prompt *p, size_t begin, size_t end)
{
    for (size_t i = 0; i < p->n_media; i++)
        if (p->media[i].offset >= begin && p->media[i].offset < end)
            return true;
    return false;
}

static qwren_status find_answer(encoder *e, const qw_answer_place *a, qw_replay_ids *ids, bool *found)
{
    const char *text = qw_buf_text(&e->p->text);
    size_t content = a->content, content_end = a->content_end, n_calls = 0;
    qw_buf_clear(&e->calls);
    QW_TRY(qw_calls_canonical(&e->calls, qw_json_at(e->messages, a->message), &n_calls, e->err));
    if (!e->replay || has_media(e->p, a->begin, a->end) || (n_calls > 0) != (a->end > a->content_end))
        return QWREN_OK;
    qw_trim(text, &content, &content_end);
    const qw_replay_key key = { .content = text + content,
                                .content_len = content_end - content,
                                .calls = qw_buf_text(&e->calls),
                                .calls_len = e->calls.len,
                                .thought = a->begin < a->content ? text + a->thought : NULL,
                                .thought_len = a->thought_end - a->thought };
    return qw_replay_find(e->replay, &key, context(e), ids, found, e->err);
}

/* The body of an answer's turn, as it was sampled when that is known. Pieces end behind "</think>\n\n", where no token goes on, and before
 * <|im_end|>. */
static qwren_status encode_answer(encoder *e, const qw_answer_place *a, size_t end)
{
    qw_replay_ids ids = { 0 };
    bool found = false;
    qwren_status st;
    QW_TRY_GOTO(st, find_answer(e, a, &ids, &found), done);
    e->out->replayed[a->turn] = found;
    if (!found) {
        st = encode(e, a->begin, end);
        goto done;
    }
    if (ids.thought.n)
        QW_TRY_GOTO(st, append(e, &ids.thought), done);
    else
        QW_TRY_GOTO(st, encode(e, a->begin, a->content), done);
    QW_TRY_GOTO(st, append(e, &ids.content), done);
    st = encode(e, a->end, end);
done:
    qw_replay_ids_free(&ids);
    return st;
}

/* ---- turns */

/* The words that open a turn end in a line break, and its body begins with no blank: no token reaches over the cut. */
static qwren_status encode_turn(encoder *e, size_t i, const qw_answer_place **next_answer)
{
    const qw_prompt *p = e->p;
    const qw_turn_place *turn = &p->turns[i];
    const size_t end = i + 1 < p->n_turns ? p->turns[i + 1].offset : p->text.len;
    e->out->starts[i] = e->out->ids.n;
    QW_TRY(encode(e, turn->offset, turn->body));
    e->out->bodies[i] = e->out->ids.n;
    if (p->think == turn->body) {
        e->out->think = e->out->ids.n;
        e->out->context = context(e);
    }
    if (*next_answer < p->answers + p->n_answers && (*next_answer)->turn == i)
        return encode_answer(e, (*next_answer)++, end);
    return encode(e, turn->body, end);
}

static qwren_status encode_all(encoder *e)
{
    const qw_answer_place *next = e->p->answers;
    for (size_t i = 0; i < e->p->n_turns; i++)
        QW_TRY(encode_turn(e, i, &next));
    e->out->starts[e->p->n_turns] = e->out->ids.n;
    if (e->p->think == e->p->text.len)
        e->out->think = e->out->ids.n;
    return QWREN_OK;
}

qwren_status qw_prompt_ids_encode(qw_prompt_ids *out, const qw_tokenizer *t, const qw_prompt *p, const qw_json *messages, qw_replay *replay,
                                  qwren_error *err)
{
    encoder e = { .t = t, .p = p, .messages = messages, .replay = replay, .out = out, .err = err };
    *out = (qw_prompt_ids){ .n_turns = p->n_turns };
    qw_hash_init(&e.context);
    out->starts = qw_alloc_array(p->n_turns + 1, sizeof *out->starts);
    out->bodies = qw_alloc_array(p->n_turns + 1, sizeof *out->bodies);
    out->replayed = qw_calloc(p->n_turns + 1, sizeof *out->replayed);
    e.spans = qw_alloc_array(p->n_untrusted + 1, sizeof *e.spans);
    qwren_status st = QWREN_OK;
    if (!out->starts || !out->bodies || !out->replayed || !e.spans)
        st = qw_fail_memory(err, (p->n_turns + 1) * sizeof *out->starts, "the turns of a prompt");
    if (st == QWREN_OK)
        st = encode_all(&e);
    qw_free(e.spans);
    qw_buf_free(&e.calls);
    return st;
}

void qw_prompt_ids_deinit(qw_prompt_ids *p)
{
    qw_ids_free(&p->ids);
    qw_free(p->starts);
    qw_free(p->bodies);
    qw_free(p->replayed);
    *p = (qw_prompt_ids){ 0 };
}

/* ---- places */

void qw_prompt_ids_expand(qw_prompt_ids *p, const qw_timeline *t)
{
    size_t added = 0, span = 0;
    for (size_t i = 0; i <= p->n_turns; i++) {
        while (span < t->n_spans && t->spans[span].begin < p->starts[i] + added)
            added += t->spans[span++].n - 1;
        p->starts[i] += added;
        if (i < p->n_turns)
            p->bodies[i] += added; /* no picture stands in the words before it */
    }
    p->think += added; /* nor in the generation prompt */
}

size_t qw_prompt_ids_boundaries(const qw_prompt_ids *p, size_t *out)
{
    for (size_t i = 1; i < p->n_turns; i++)
        out[i - 1] = p->bodies[i];
    return p->n_turns - 1;
}
