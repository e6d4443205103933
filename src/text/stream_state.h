/* What the files of the output parser share. Private to src/text.
 *
 *   pieces → stream.c: whole characters, tags → `in`: text in which each tag is one byte → stream_parse.c: thought, content
 *                                                                                        → stream_call.c: calls
 *                                                                                           → stream_build.c: their arguments
 *
 * Tags are the bytes F8..FB, which valid UTF-8 never has, so both drivers meet in one grammar: a text stream finds the tags by
 * spelling, a stream by id is told. Written out again they are the tags' texts. */
#ifndef QW_TEXT_STREAM_STATE_H
#define QW_TEXT_STREAM_STATE_H

#include "text/jsonscan.h"
#include "text/stream.h"

#define TAG_BYTE(tag) ((char)(unsigned char)(0xF8 + (tag)))
#define IS_TAG(c) ((unsigned char)(c) >= 0xF8)
#define TAG_OF(c) ((qw_tag)((unsigned char)(c)-0xF8))

typedef enum stream_state {
    S_HEAD, /* nothing but blanks so far: the model may open or close the thought itself */
    S_THOUGHT,
    S_GAP, /* blanks behind </think> */
    S_CONTENT,
    S_CALL, /* behind <tool_call>, undecided what it will be */
    S_DROP  /* an unfinished call to the end of the output: nothing of it is shown */
} stream_state;

typedef enum call_state {
    C_NAME, /* behind <function= */
    C_BODY, /* a parameter or </function> must come */
    C_KEY,  /* behind <parameter= */
    C_VALUE,
    C_CLOSE,      /* behind </function> */
    C_JSON,       /* in {"name": ...} */
    C_JSON_CLOSE, /* behind it */
    C_JSON_BAD    /* no JSON: text, once there is a </tool_call> */
} call_state;

/* One kind of text that is being sent: blanks at its end wait, for they may have to go. */
typedef struct text_sink {
    qw_buf text;
    size_t solid; /* length up to the last byte that is no blank */
    size_t sent;
} text_sink;

typedef struct call_parameter {
    size_t key, key_end, value, value_end; /* offsets in `in` */
} call_parameter;

typedef struct call_parser {
    call_state state;
    size_t body;  /* behind <tool_call> and blanks */
    size_t at;    /* where the part at hand begins */
    size_t solid; /* ... and its first byte that is no blank of any kind, as far as is known */
    size_t name, name_end;
    call_parameter *params;
    size_t n_params, cap_params;
    qw_jsonscan json;
    size_t json_end;

    /* Searches that later attempts need not repeat, so that text full of false beginnings takes linear time. */
    size_t value_from, value_end; /* the first end of a value at or behind value_from ... */
    size_t value_next;            /* ... and what is behind it; 0 = none known */
    size_t dead_end;              /* parameters that lead here lead to no call */
    size_t close_at;              /* a </tool_call> is here; 0 = none known */
} call_parser;

struct qw_stream {
    bool by_id, use_tools, call_ids, thinking;
    const qw_json *tools;
    qwren_event_fn fn;
    void *ctx;
    bool stopped;

    qw_buf raw;     /* the beginning of a character */
    qw_buf spelled; /* whole characters whose end may be the beginning of a tag */

    stream_state state;
    qw_buf in;
    size_t pos;  /* parsed up to here */
    size_t scan; /* the part at hand needs no second look before here */
    size_t look; /* nor its lookahead before here; 0 = none begun */
    bool at_end; /* no more will come */
    bool cut;    /* ... because a limit was reached */
    call_parser call;

    text_sink thought, content;
    qw_buf between; /* text behind a call, while it is open how it joins the content */
    bool between_open, between_held;

    size_t n_calls;
    qw_buf calls; /* the calls as JSON, for the result */
    qw_buf name, arguments, id;
};

/* ---- stream.c */
void qw_stream_unfold(qw_buf *out, const char *p, size_t n);   /* appends with tags written out */
void qw_sink_append(text_sink *sink, const char *p, size_t n); /* likewise */
/* Sends what is certain. */
void qw_stream_flush(qw_stream *s);
/* s->name and s->arguments are a call. */
qwren_status qw_stream_emit_call(qw_stream *s, qwren_error *err);

/* ---- stream_parse.c */
qwren_status qw_stream_parse(qw_stream *s, qwren_error *err); /* as much of `in` as can be decided */
void qw_stream_close_content(qw_stream *s);                   /* blanks at the end of the content go */

/* ---- stream_call.c */
typedef enum call_result {
    CALL_WAIT,   /* more text is needed */
    CALL_DONE,   /* a call: s->name, s->arguments; s->call.at is behind it */
    CALL_NONE,   /* text after all */
    CALL_PARTIAL /* the output ends, or is lost, inside a call */
} call_result;
void qw_call_begin(qw_stream *s, size_t body);
qwren_status qw_call_parse(qw_stream *s, call_result *result, qwren_error *err);

/* ---- stream_build.c: both fill s->name and s->arguments */
qwren_status qw_call_build(qw_stream *s, qwren_error *err);
qwren_status qw_call_build_json(qw_stream *s, bool *fits, qwren_error *err); /* *fits is false when the object is no call */

static inline bool qw_is_ascii_blank(char c) { return c == ' ' || (c >= '\t' && c <= '\r'); }
static inline bool qw_is_markup_blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\n'; }

#endif
