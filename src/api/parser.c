/* qwren_parser: the output parser of src/text as the public API shows it, for text whose tags are spelled out. qwren_chat uses
 * src/text itself, with tags by id. Tested by tests/golden/test_parser_api.c. */
#include "api/options.h"
#include "base/alloc.h"
#include "text/stream.h"

struct qwren_parser {
    qw_stream *stream;
    qw_json *tools;
    bool finished;
};

qwren_parser_options qwren_parser_options_default(void) { return (qwren_parser_options){ .struct_size = sizeof(qwren_parser_options) }; }

static qwren_status open_parser(qwren_parser *p, const qwren_parser_options *opt, qwren_event_fn fn, void *ctx, qwren_error *err)
{
    if (opt->tools) {
        QW_TRY(qw_json_parse(&p->tools, opt->tools, strlen(opt->tools), "tools", err));
        if (!qw_json_is(p->tools, QW_JSON_ARRAY) && qw_json_kind_of(p->tools) != QW_JSON_NULL)
            return qw_fail(err, QWREN_E_ARGUMENT, "tools: must be an array of {\"type\": \"function\", \"function\": {...}}");
    }
    qw_stream_options options = {
        .thinking = opt->thinking, .keep_markup = opt->keep_markup, .tools = p->tools, .tool_choice = opt->tool_choice
    };
    return qw_stream_create(&p->stream, &options, fn, ctx, err);
}

qwren_status qwren_parser_create(qwren_parser **out, const qwren_parser_options *opt, qwren_event_fn fn, void *ctx, qwren_error *err)
{
    qwren_parser_options options = qwren_parser_options_default();
    *out = NULL;
    QW_TRY(qw_options_read(&options, sizeof options, opt, "qwren_parser_options", err));
    qwren_parser *p = qw_calloc(1, sizeof *p);
    if (!p)
        return qw_fail_memory(err, sizeof *p, "a parser");
    qwren_status st = open_parser(p, &options, fn, ctx, err);
    if (st == QWREN_OK)
        *out = p;
    else
        qwren_parser_free(p);
    return st;
}

qwren_status qwren_parser_push(qwren_parser *p, const char *text, size_t len, qwren_error *err)
{
    if (p->finished)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_parser_push: the output is finished; create a new parser");
    return qw_stream_push(p->stream, text, len == SIZE_MAX ? strlen(text) : len, err);
}

qwren_status qwren_parser_finish(qwren_parser *p, const char *finish, char **json, qwren_error *err)
{
    qw_buf b = QW_BUF_INIT;
    *json = NULL;
    p->finished = true;
    qwren_status st = qw_stream_finish(p->stream, finish ? finish : "stop", &b, err);
    if (st == QWREN_OK)
        st = qw_buf_take(&b, json, NULL, err);
    qw_buf_free(&b);
    return st;
}

void qwren_parser_free(qwren_parser *p)
{
    if (!p)
        return;
    qw_stream_free(p->stream);
    qw_json_free(p->tools);
    qw_free(p);
}
