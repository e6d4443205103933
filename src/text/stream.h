/* Output as it grows -> thought, answer, tool calls. Keeps back only what may still turn out to be markup.
 *
 * Two drivers. A *text* stream recognises <think>, </think>, <tool_call> and </tool_call> where they are spelled, however the
 * pieces are cut. A stream *by id* (markup_by_id) takes them from qw_stream_push_tag() alone, so that text which only looks like a
 * tag stays text. */
#ifndef QW_TEXT_STREAM_H
#define QW_TEXT_STREAM_H

#include "base/json.h"

typedef struct qw_stream qw_stream;

/* The added tokens that shape an answer; the caller maps its ids onto them. */
typedef enum qw_tag { QW_TAG_THINK, QW_TAG_THINK_END, QW_TAG_CALL, QW_TAG_CALL_END } qw_tag;
#define QW_TAG_COUNT 4
/* "<think>", "</think>", "<tool_call>", "</tool_call>". */
const char *qw_tag_text(qw_tag tag);

typedef struct qw_stream_options {
    bool thinking; /* the prompt ended inside an open <think> block (qw_prompt.in_think) */
    bool markup_by_id;
    bool keep_markup;        /* reasoning_format "none": the thought and its tags are content */
    const qw_json *tools;    /* array, borrowed for the stream's life; calls are recognised only if there are any */
    const char *tool_choice; /* "none" switches calls off; NULL = "auto" */
    bool call_ids;           /* qw_stream_finish() gives each call its "id" */
} qw_stream_options;

/* fn (may be NULL) receives REASONING, CONTENT and TOOL_CALL events as soon as they are certain. When it returns false the rest
 * is ignored. */
qwren_status qw_stream_create(qw_stream **out, const qw_stream_options *opt, qwren_event_fn fn, void *ctx, qwren_error *err);

/* The next piece; it may end inside a character or a tag. Ill-formed UTF-8 becomes U+FFFD. After a failure the stream can only
 * be freed. */
qwren_status qw_stream_push(qw_stream *s, const char *text, size_t len, qwren_error *err);
/* A tag that came as a token of its own. */
qwren_status qw_stream_push_tag(qw_stream *s, qw_tag tag, qwren_error *err);

/* Whether everything pushed so far belongs to a thought (for budgets and token counts). */
bool qw_stream_in_think(const qw_stream *s);
/* Whole calls so far. */
size_t qw_stream_call_count(const qw_stream *s);
/* The events' function asked to stop. */
bool qw_stream_stopped(const qw_stream *s);

/* Ends the output; the last events are sent. `finish` says why the engine stopped: "stop", or anything else ("length", "loop",
 * "cancelled") for an output that was cut. Appends {"reasoning_content", "content", "tool_calls": [{"name", "arguments":
 * {...}}], "finish_reason"} to *json; the reason is "tool_calls" in place of "stop" when there is a call. */
qwren_status qw_stream_finish(qw_stream *s, const char *finish, qw_buf *json, qwren_error *err);
void qw_stream_free(qw_stream *s); /* NULL is allowed */

#endif
