/* The output parser's outside (stream.h): pieces in, events and the final object out. Stands between the detokenizer and the
 * caller's event function. The grammar is in stream_parse.c and stream_call.c. Tested by tests/golden/test_parse.c,
 * tests/unit/test_stream.c, tests/fuzz/fuzz_stream.c. */
#include "text/stream.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "text/stream_state.h"

#include <string.h>

static const char *const tag_texts[QW_TAG_COUNT] = { "<think>", "</think>", "<tool_call>", "</tool_call>" };

const char *qw_tag_text(qw_tag tag) { return tag_texts[tag]; }

/* -------------------------------------------------------------------------------------------------------- output */

void qw_stream_unfold(qw_buf *out, const char *p, size_t n)
{
    size_t begin = 0;
    for (size_t i = 0; i < n; i++) {
        if (!IS_TAG(p[i]))
            continue;
        qw_buf_append(out, p + begin, i - begin);
        qw_buf_puts(out, tag_texts[TAG_OF(p[i])]);
        begin = i + 1;
    }
    qw_buf_append(out, p + begin, n - begin);
}

void qw_sink_append(text_sink *sink, const char *p, size_t n)
{
    size_t old = sink->text.len;
    qw_stream_unfold(&sink->text, p, n);
    for (size_t i = sink->text.len; i > old; i--) {
        if (qw_is_ascii_blank(sink->text.data[i - 1]))
            continue;
        sink->solid = i;
        return;
    }
}

static void send(qw_stream *s, const qwren_event *event)
{
    if (s->fn && !s->stopped && !s->fn(s->ctx, event))
        s->stopped = true;
}

/* Events are NUL-terminated, so the byte behind the piece makes way while it is sent. */
static void send_text(qw_stream *s, qwren_event_kind kind, text_sink *sink, size_t end)
{
    if (end <= sink->sent || sink->text.failed)
        return;
    char *data = sink->text.data, behind = data[end];
    data[end] = '\0';
    send(s, &(qwren_event){ .kind = kind, .text = data + sink->sent, .len = end - sink->sent });
    data[end] = behind;
    sink->sent = end;
}

void qw_stream_flush(qw_stream *s)
{
    send_text(s, QWREN_EVENT_REASONING, &s->thought, s->thought.solid);
    send_text(s, QWREN_EVENT_CONTENT, &s->content, s->content.solid);
}

/* "call_" and 64 random bits: unique over all calls that a conversation will ever hold. */
static void make_id(qw_stream *s)
{
    qw_rng rng;
    qw_rng_seed(&rng, qw_random_seed());
    qw_buf_clear(&s->id);
    qw_buf_puts(&s->id, "call_");
    for (int i = 0; i < 2; i++)
        qw_buf_printf(&s->id, "%08x", (unsigned)qw_rng_u32(&rng));
}

qwren_status qw_stream_emit_call(qw_stream *s, qwren_error *err)
{
    make_id(s);
    qw_buf_puts(&s->calls, s->n_calls ? ", {" : "{");
    if (s->call_ids) {
        qw_buf_puts(&s->calls, "\"id\": ");
        qw_json_dump_string(&s->calls, qw_buf_text(&s->id), s->id.len);
        qw_buf_puts(&s->calls, ", ");
    }
    qw_buf_puts(&s->calls, "\"name\": ");
    qw_json_dump_string(&s->calls, qw_buf_text(&s->name), s->name.len);
    qw_buf_puts(&s->calls, ", \"arguments\": ");
    qw_buf_append(&s->calls, qw_buf_text(&s->arguments), s->arguments.len);
    qw_buf_putc(&s->calls, '}');
    QW_TRY(qw_buf_status(&s->id, err));
    QW_TRY(qw_buf_status(&s->calls, err));
    qw_stream_flush(s);
    send(s, &(qwren_event){ .kind = QWREN_EVENT_TOOL_CALL,
                            .index = s->n_calls++,
                            .call_id = qw_buf_text(&s->id),
                            .name = qw_buf_text(&s->name),
                            .arguments = qw_buf_text(&s->arguments) });
    return QWREN_OK;
}

/* --------------------------------------------------------------------------------------------------------- input */

/* How many bytes of `p` the tag takes: its length when it is there, 0 when not; *open when p ends inside it. */
static size_t match_tag(const char *p, size_t n, qw_tag tag, bool *open)
{
    size_t k = strlen(tag_texts[tag]);
    if (n >= k)
        return memcmp(p, tag_texts[tag], k) == 0 ? k : 0;
    *open = *open || memcmp(p, tag_texts[tag], n) == 0;
    return 0;
}

/* Moves s->spelled to s->in with tags as bytes, but for an end that may become one. */
static void find_tags(qw_stream *s)
{
    const char *p = qw_buf_text(&s->spelled);
    size_t n = s->spelled.len, done = 0;
    bool open = false;
    while (done < n && !open) {
        const char *angle = memchr(p + done, '<', n - done);
        size_t plain = angle ? (size_t)(angle - p) - done : n - done, k = 0;
        qw_buf_append(&s->in, p + done, plain);
        done += plain;
        for (int tag = 0; done < n && !k && tag < QW_TAG_COUNT; tag++)
            if ((k = match_tag(p + done, n - done, (qw_tag)tag, &open)) > 0)
                qw_buf_putc(&s->in, TAG_BYTE(tag));
        if (done < n && !k && !open)
            qw_buf_putc(&s->in, p[done]);
        done += k ? k : done < n && !open;
    }
    qw_buf_remove_front(&s->spelled, done);
}

/* `in` is kept while a part is undecided; what is parsed goes once it is half of it, so that each byte moves once at most. */
static void compact(qw_stream *s)
{
    size_t n = s->pos;
    if (n < s->in.len && (n < 4096 || n < s->in.len / 2))
        return;
    call_parser *c = &s->call;
    qw_buf_remove_front(&s->in, n);
    s->pos = 0;
    s->scan = s->scan > n ? s->scan - n : 0;
    s->look = s->look > n ? s->look - n : 0;
    bool known = c->value_end > n;
    c->value_from = c->value_from > n ? c->value_from - n : 0;
    c->value_end = known ? c->value_end - n : 0;
    c->value_next = known ? c->value_next - n : 0;
    c->dead_end = c->dead_end > n ? c->dead_end - n : 0;
    c->close_at = c->close_at > n ? c->close_at - n : 0;
}

static qwren_status parse(qw_stream *s, qwren_error *err)
{
    QW_TRY(qw_buf_status(&s->raw, err));
    QW_TRY(qw_buf_status(&s->spelled, err));
    QW_TRY(qw_buf_status(&s->in, err));
    QW_TRY(qw_stream_parse(s, err));
    if (s->state != S_CALL)
        compact(s);
    QW_TRY(qw_buf_status(&s->thought.text, err));
    QW_TRY(qw_buf_status(&s->content.text, err));
    QW_TRY(qw_buf_status(&s->between, err));
    qw_stream_flush(s);
    return QWREN_OK;
}

/* Everything that is still waiting to become a character or a tag is text. */
static void release_text(qw_stream *s)
{
    qw_utf8_sanitize(&s->spelled, qw_buf_text(&s->raw), s->raw.len);
    qw_buf_clear(&s->raw);
    qw_buf_append(&s->in, qw_buf_text(&s->spelled), s->spelled.len);
    s->in.failed = s->in.failed || s->spelled.failed; /* clearing forgets it, and the text is lost */
    qw_buf_clear(&s->spelled);
}

qwren_status qw_stream_push(qw_stream *s, const char *text, size_t len, qwren_error *err)
{
    if (s->stopped)
        return QWREN_OK;
    qw_buf_append(&s->raw, text, len);
    QW_TRY(qw_buf_status(&s->raw, err));
    size_t whole = qw_utf8_complete_prefix(qw_buf_text(&s->raw), s->raw.len);
    qw_utf8_sanitize(s->by_id ? &s->in : &s->spelled, qw_buf_text(&s->raw), whole);
    qw_buf_remove_front(&s->raw, whole);
    if (!s->by_id)
        find_tags(s);
    return parse(s, err);
}

qwren_status qw_stream_push_tag(qw_stream *s, qw_tag tag, qwren_error *err)
{
    if (s->stopped)
        return QWREN_OK;
    release_text(s);
    qw_buf_putc(&s->in, TAG_BYTE(tag));
    return parse(s, err);
}

/* ------------------------------------------------------------------------------------------------ life and result */

qwren_status qw_stream_create(qw_stream **out, const qw_stream_options *opt, qwren_event_fn fn, void *ctx, qwren_error *err)
{
    qw_stream *s = *out = qw_calloc(1, sizeof *s);
    if (!s)
        return qw_fail_memory(err, sizeof *s, "an output parser");
    s->by_id = opt->markup_by_id;
    s->tools = opt->tools;
    s->use_tools = qw_json_size(opt->tools) > 0 && !(opt->tool_choice && strcmp(opt->tool_choice, "none") == 0);
    s->call_ids = opt->call_ids;
    s->thinking = opt->thinking && !opt->keep_markup;
    s->fn = fn;
    s->ctx = ctx;
    s->state = opt->keep_markup ? S_CONTENT : S_HEAD;
    if (opt->keep_markup && opt->thinking)
        qw_sink_append(&s->content, "<think>\n", 8); /* the prompt's, put back in front */
    if (s->content.text.failed) {
        qw_stream_free(s);
        *out = NULL;
        return qw_fail_memory(err, 8, "an output parser");
    }
    return QWREN_OK;
}

void qw_stream_free(qw_stream *s)
{
    if (!s)
        return;
    qw_buf *const bufs[] = { &s->raw,     &s->spelled, &s->in,   &s->thought.text, &s->content.text,
                             &s->between, &s->calls,   &s->name, &s->arguments,    &s->id };
    for (size_t i = 0; i < sizeof bufs / sizeof *bufs; i++)
        qw_buf_free(bufs[i]);
    qw_free(s->call.params);
    qw_free(s);
}

bool qw_stream_in_think(const qw_stream *s) { return s->state == S_THOUGHT || (s->state == S_HEAD && s->thinking); }
size_t qw_stream_call_count(const qw_stream *s) { return s->n_calls; }
bool qw_stream_stopped(const qw_stream *s) { return s->stopped; }

/* Blank content beside a thought or a call is none; alone it is kept as it is. */
static void finish_content(qw_stream *s)
{
    if (s->n_calls || s->state == S_DROP || (s->content.solid == 0 && s->thought.solid > 0))
        qw_stream_close_content(s);
    else
        s->content.solid = s->content.text.len;
}

static void append_text_or_null(qw_buf *json, const text_sink *sink)
{
    if (sink->solid)
        qw_json_dump_string(json, qw_buf_text(&sink->text), sink->solid);
    else
        qw_buf_puts(json, "null");
}

qwren_status qw_stream_finish(qw_stream *s, const char *finish, qw_buf *json, qwren_error *err)
{
    bool stop = strcmp(finish, "stop") == 0;
    if (!s->at_end && !s->stopped) {
        release_text(s);
        s->at_end = true;
        s->cut = !stop;
        QW_TRY(parse(s, err));
        finish_content(s);
        QW_TRY(qw_buf_status(&s->content.text, err));
        qw_stream_flush(s);
    }
    qw_buf_puts(json, "{\"reasoning_content\": ");
    append_text_or_null(json, &s->thought);
    qw_buf_puts(json, ", \"content\": ");
    append_text_or_null(json, &s->content);
    qw_buf_puts(json, ", \"tool_calls\": [");
    qw_buf_append(json, qw_buf_text(&s->calls), s->calls.len);
    qw_buf_puts(json, "], \"finish_reason\": ");
    const char *reason = stop && s->n_calls ? "tool_calls" : finish;
    qw_json_dump_string(json, reason, strlen(reason));
    qw_buf_putc(json, '}');
    return qw_buf_status(json, err);
}
