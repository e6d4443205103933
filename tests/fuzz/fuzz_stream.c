/* The output parser under any bytes: the first byte chooses the options, the rest is an answer. Whole, in pieces and byte by
 * byte it must give one result, and the events must add up to it. By id, the bytes 1 to 4 stand for the tags. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/json.h"
#include "text/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char tools_text[] = "[{\"name\": \"f\", \"parameters\": {\"properties\": {\"s\": {\"type\": \"string\"}, \"i\": {\"type\": "
                                 "\"integer\"}, \"x\": {\"type\": [\"number\", \"null\"]},"
                                 " \"b\": {\"type\": \"boolean\"}, \"o\": {\"type\": \"object\"}, \"a\": {\"type\": \"array\"}}}}]";

typedef struct heard {
    qw_buf thought, content;
    size_t calls;
} heard;

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool hear(void *ctx, const qwren_event *ev)
{
    heard *h = ctx;
    if (ev->kind == QWREN_EVENT_TOOL_CALL) {
        qw_json *arguments = NULL;
        check(ev->index == h->calls++);
        check(qw_json_parse(&arguments, ev->arguments, strlen(ev->arguments), "arguments", NULL) == QWREN_OK);
        check(qw_json_is(arguments, QW_JSON_OBJECT));
        qw_json_free(arguments);
        return true;
    }
    check(ev->text[ev->len] == '\0');
    qw_buf_append(ev->kind == QWREN_EVENT_REASONING ? &h->thought : &h->content, ev->text, ev->len);
    return true;
}

static void check_text(const qw_json *result, const char *key, qw_buf *joined)
{
    size_t n = 0;
    const char *s = qw_json_string(qw_json_get(result, key), &n);
    check(n == joined->len && (n == 0 || memcmp(s, joined->data, n) == 0));
    qw_buf_free(joined);
}

static void push(qw_stream *s, bool by_id, const char *p, size_t n)
{
    size_t done = 0;
    for (size_t i = 0; by_id && i < n; i++) {
        if (p[i] < 1 || p[i] > QW_TAG_COUNT)
            continue;
        check(qw_stream_push(s, p + done, i - done, NULL) == QWREN_OK);
        check(qw_stream_push_tag(s, (qw_tag)(p[i] - 1), NULL) == QWREN_OK);
        done = i + 1;
    }
    check(qw_stream_push(s, p + done, n - done, NULL) == QWREN_OK);
}

static qw_buf run(const qw_json *tools, unsigned flags, const char *text, size_t size, size_t piece)
{
    heard h = { QW_BUF_INIT, QW_BUF_INIT, 0 };
    qw_buf json = QW_BUF_INIT;
    qw_stream *s = NULL;
    qw_json *result = NULL;
    bool by_id = flags & 1;
    qw_stream_options opt = {
        .markup_by_id = by_id, .thinking = flags & 2, .keep_markup = (flags & 28) == 28, .tools = flags & 32 ? NULL : tools
    };
    check(qw_stream_create(&s, &opt, hear, &h, NULL) == QWREN_OK);
    for (size_t i = 0; i < size; i += piece)
        push(s, by_id, text + i, size - i < piece ? size - i : piece);
    check(qw_stream_finish(s, flags & 64 ? "length" : "stop", &json, NULL) == QWREN_OK);
    check(qw_json_parse(&result, json.data, json.len, "result", NULL) == QWREN_OK);
    check_text(result, "reasoning_content", &h.thought);
    check_text(result, "content", &h.content);
    check(qw_json_size(qw_json_get(result, "tool_calls")) == h.calls);
    qw_json_free(result);
    qw_stream_free(s);
    return json;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static qw_json *tools;
    static const size_t pieces[] = { 1, 2, 7 };
    if (!tools)
        check(qw_json_parse(&tools, tools_text, sizeof tools_text - 1, "tools", NULL) == QWREN_OK);
    if (size < 1)
        return 0;
    const char *text = (const char *)data + 1;
    qw_buf whole = run(tools, data[0], text, size - 1, size);
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        qw_buf again = run(tools, data[0], text, size - 1, pieces[i]);
        check(strcmp(whole.data, again.data) == 0);
        qw_buf_free(&again);
    }
    qw_buf_free(&whole);
    return 0;
}
