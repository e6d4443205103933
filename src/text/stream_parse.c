/* The grammar of an answer: thought, blanks, content, calls (stream_state.h). Works through `in` as far as it can be decided;
 * the rules are those of tests/oracle/parse_ref.py, which sees the whole text at once. Tested by tests/golden/test_parse.c and
 * tests/unit/test_stream.c. */
#include "text/stream_state.h"

#include <string.h>

static void move_to(qw_stream *s, size_t pos)
{
    s->pos = s->scan = pos;
    s->look = 0;
}

static void enter(qw_stream *s, stream_state state, size_t pos)
{
    s->state = state;
    move_to(s, pos);
}

/* Offset of the next tag at or behind `at`, or the end. */
static size_t next_tag(const qw_stream *s, size_t at)
{
    while (at < s->in.len && !IS_TAG(s->in.data[at]))
        at++;
    return at;
}

/* ------------------------------------------------------------------------------------------------------- content */

/* The text goes, but not the memory of a failure. */
static void clear_between(qw_stream *s)
{
    s->content.text.failed = s->content.text.failed || s->between.failed;
    qw_buf_clear(&s->between);
}

/* Text behind a call joins the content with one line break, unless it turns out to hold a false <tool_call>; then it stays as
 * it is. Where both come to the same it need not wait. */
static void try_release_between(qw_stream *s)
{
    size_t join = s->content.text.len > 0;
    const qw_buf *b = &s->between;
    if (s->between_held || b->failed || b->len <= join)
        return;
    s->between_held = (join && b->data[0] != '\n') || qw_is_ascii_blank(b->data[join]);
    if (s->between_held)
        return;
    qw_sink_append(&s->content, b->data, b->len);
    clear_between(s);
    s->between_open = false;
}

static void append_content(qw_stream *s, size_t begin, size_t end)
{
    if (!s->between_open) {
        qw_sink_append(&s->content, s->in.data + begin, end - begin);
        return;
    }
    qw_stream_unfold(&s->between, s->in.data + begin, end - begin);
    try_release_between(s);
}

static void open_between(qw_stream *s)
{
    s->between_open = s->n_calls > 0;
    s->between_held = false;
}

static void close_between(qw_stream *s)
{
    const char *p = qw_buf_text(&s->between);
    size_t begin = 0, end = s->between.len;
    while (begin < end && qw_is_ascii_blank(p[begin]))
        begin++;
    while (end > begin && qw_is_ascii_blank(p[end - 1]))
        end--;
    if (begin < end && s->content.text.len)
        qw_sink_append(&s->content, "\n", 1);
    qw_sink_append(&s->content, p + begin, end - begin);
    clear_between(s);
    s->between_open = false;
}

void qw_stream_close_content(qw_stream *s)
{
    close_between(s);
    if (s->content.text.len > s->content.solid)
        qw_buf_truncate(&s->content.text, s->content.solid);
}

/* <tool_call> and its blanks [pos, end) are text after all, and so is what stood between. */
static void append_false_call(qw_stream *s, size_t end)
{
    qw_sink_append(&s->content, qw_buf_text(&s->between), s->between.len);
    clear_between(s);
    qw_sink_append(&s->content, s->in.data + s->pos, end - s->pos);
    open_between(s);
}

/* ---------------------------------------------------------------------------------------------- is it a call at all */

typedef enum verdict { NO, YES, UNDECIDED } verdict;

/* <tool_call> at `at` opens a call when "<function=" or "{" follows its blanks; *body is where that stands. A bare mention does
 * not. */
static verdict opens_call(qw_stream *s, size_t at, size_t *body)
{
    static const char word[] = "<function=";
    size_t i = s->look > at ? s->look : at + 1;
    while (i < s->in.len && qw_is_markup_blank(s->in.data[i]))
        i++;
    s->look = *body = i;
    size_t n = s->in.len - i;
    if (n && s->in.data[i] == '{')
        return YES;
    if (n >= sizeof word - 1)
        return memcmp(s->in.data + i, word, sizeof word - 1) == 0 ? YES : NO;
    if (n && memcmp(s->in.data + i, word, n) != 0)
        return NO;
    return UNDECIDED;
}

/* -------------------------------------------------------------------------------------------------------- states
 * Each step takes something off `in` and returns true, or returns false when it needs more text. */

static bool step_head(qw_stream *s)
{
    size_t i = s->scan;
    while (i < s->in.len && qw_is_ascii_blank(s->in.data[i]))
        i++;
    s->scan = i;
    if (i == s->in.len && !s->at_end)
        return false;
    char c = i < s->in.len ? s->in.data[i] : '\0';
    if (c == TAG_BYTE(QW_TAG_THINK))
        enter(s, S_THOUGHT, i + 1);
    else if (c == TAG_BYTE(QW_TAG_THINK_END) && !s->thinking)
        enter(s, S_GAP, i + 1);
    else
        enter(s, s->thinking ? S_THOUGHT : S_CONTENT, s->pos);
    return true;
}

/* Blanks at the beginning of a thought are not part of it. */
static void append_thought(qw_stream *s, size_t begin, size_t end)
{
    while (!s->thought.text.len && begin < end && qw_is_ascii_blank(s->in.data[begin]))
        begin++;
    qw_sink_append(&s->thought, s->in.data + begin, end - begin);
}

/* The tag at s->pos inside a thought. */
static bool step_thought_tag(qw_stream *s)
{
    char c = s->in.data[s->pos];
    size_t body;
    if (c == TAG_BYTE(QW_TAG_THINK_END)) {
        enter(s, S_GAP, s->pos + 1);
        return true;
    }
    if (c == TAG_BYTE(QW_TAG_CALL) && s->use_tools) {
        verdict v = opens_call(s, s->pos, &body);
        if (v == UNDECIDED && !s->at_end)
            return false;
        if (v == YES) {
            enter(s, S_CONTENT, s->pos);
            return true;
        }
    }
    append_thought(s, s->pos, s->pos + 1);
    move_to(s, s->pos + 1);
    return true;
}

static bool step_thought(qw_stream *s)
{
    size_t tag = next_tag(s, s->pos);
    if (tag > s->pos) {
        append_thought(s, s->pos, tag);
        move_to(s, tag);
    }
    return tag < s->in.len && step_thought_tag(s);
}

static bool step_gap(qw_stream *s)
{
    while (s->pos < s->in.len && qw_is_ascii_blank(s->in.data[s->pos]))
        s->pos++;
    move_to(s, s->pos);
    if (s->pos == s->in.len)
        return false;
    s->state = S_CONTENT;
    return true;
}

static bool step_content_tag(qw_stream *s)
{
    size_t body;
    if (s->in.data[s->pos] == TAG_BYTE(QW_TAG_CALL) && s->use_tools) {
        verdict v = opens_call(s, s->pos, &body);
        if (v == UNDECIDED && !s->at_end)
            return false;
        if (v == UNDECIDED && s->cut) {
            qw_stream_close_content(s);
            enter(s, S_DROP, s->in.len);
            return false;
        }
        if (v == YES) {
            s->state = S_CALL;
            qw_call_begin(s, body);
            return true;
        }
    }
    append_content(s, s->pos, s->pos + 1);
    move_to(s, s->pos + 1);
    return true;
}

static bool step_content(qw_stream *s)
{
    size_t tag = next_tag(s, s->pos);
    if (tag > s->pos) {
        append_content(s, s->pos, tag);
        move_to(s, tag);
    }
    return tag < s->in.len && step_content_tag(s);
}

static qwren_status step_call(qw_stream *s, bool *progress, qwren_error *err)
{
    call_result result;
    QW_TRY(qw_call_parse(s, &result, err));
    *progress = result != CALL_WAIT;
    switch (result) {
    case CALL_WAIT: break;
    case CALL_DONE:
        qw_stream_close_content(s);
        QW_TRY(qw_stream_emit_call(s, err));
        enter(s, S_CONTENT, s->call.at);
        open_between(s);
        break;
    case CALL_NONE:
        append_false_call(s, s->call.body);
        enter(s, S_CONTENT, s->call.body);
        break;
    case CALL_PARTIAL:
        qw_stream_close_content(s);
        enter(s, S_DROP, s->in.len);
        break;
    }
    return QWREN_OK;
}

static qwren_status step(qw_stream *s, bool *progress, qwren_error *err)
{
    switch (s->state) {
    case S_HEAD: *progress = step_head(s); break;
    case S_THOUGHT: *progress = step_thought(s); break;
    case S_GAP: *progress = step_gap(s); break;
    case S_CONTENT: *progress = step_content(s); break;
    case S_CALL: return step_call(s, progress, err);
    case S_DROP:
        move_to(s, s->in.len);
        *progress = false;
        break;
    }
    return QWREN_OK;
}

qwren_status qw_stream_parse(qw_stream *s, qwren_error *err)
{
    bool progress = true;
    while (progress && !s->stopped)
        QW_TRY(step(s, &progress, err));
    return QWREN_OK;
}
