/* The output parser against the reference parser (tests/oracle/parse_ref.py), which reads the whole text at once: every case as
 * its chunks come, cut in two at every byte, and byte by byte; by spelling and by id. */
#include "support/jsonl.h"

#include "text/stream.h"

#define N_CASES 83

typedef struct answer {
    qw_buf reasoning, content, calls; /* the events, joined */
    size_t n_calls;
} answer;

static qw_json *tools;

static int open_tools(void **state)
{
    (void)state;
    return qw_json_read_file(&tools, QW_TEST_DATA "/parse/tools.json", SIZE_MAX / 2, NULL) != QWREN_OK;
}

static int close_tools(void **state)
{
    (void)state;
    qw_json_free(tools);
    return 0;
}

static bool on_event(void *ctx, const qwren_event *ev)
{
    answer *a = ctx;
    if (ev->kind != QWREN_EVENT_TOOL_CALL) {
        assert_int_equal(ev->text[ev->len], '\0');
        assert_true(ev->len > 0);
        qw_buf_append(ev->kind == QWREN_EVENT_REASONING ? &a->reasoning : &a->content, ev->text, ev->len);
        return true;
    }
    assert_int_equal(ev->index, a->n_calls++);
    assert_int_equal(strncmp(ev->call_id, "call_", 5), 0);
    qw_buf_puts(&a->calls, a->calls.len ? ", {\"name\": " : "{\"name\": ");
    qw_json_dump_string(&a->calls, ev->name, strlen(ev->name));
    qw_buf_printf(&a->calls, ", \"arguments\": %s}", ev->arguments);
    return true;
}

static void check_joined(const char *id, const qw_json *got, const char *key, qw_buf *joined)
{
    size_t n = 0;
    const char *s = qw_json_string(qw_json_get(got, key), &n);
    if (n != joined->len || (s && memcmp(s, qw_buf_text(joined), n) != 0))
        fail_msg("%s: the events give %s \"%s\", the result \"%s\"", id, key, qw_buf_text(joined), s ? s : "(null)");
    qw_buf_free(joined);
}

static qw_stream *open_stream(const qw_json *row, bool by_id, answer *a)
{
    const char *choice = case_text(row, "tool_choice"), *format = case_text(row, "reasoning_format");
    qw_stream_options opt = {
        .thinking = qw_json_bool(qw_json_get(row, "thinking"), false),
        .markup_by_id = by_id,
        .keep_markup = strcmp(format, "none") == 0,
        .tools = case_text(row, "tools") ? tools : NULL,
        .tool_choice = choice,
    };
    qw_stream *s = NULL;
    assert_int_equal(qw_stream_create(&s, &opt, on_event, a, NULL), QWREN_OK);
    return s;
}

static void close_stream(qw_stream *s, const qw_json *row, answer *a, const char *how, size_t where)
{
    const char *id = case_text(row, "id");
    qw_buf json = QW_BUF_INIT, want = QW_BUF_INIT;
    assert_int_equal(qw_stream_finish(s, case_text(row, "finish"), &json, NULL), QWREN_OK);
    qw_json_dump(&want, qw_json_get(row, "expect"));
    if (strcmp(qw_buf_text(&json), qw_buf_text(&want)) != 0)
        fail_msg("%s, %s %zu\n got: %s\nwant: %s", id, how, where, qw_buf_text(&json), qw_buf_text(&want));
    qw_json *got = NULL;
    assert_int_equal(qw_json_parse(&got, json.data, json.len, "result", NULL), QWREN_OK);
    check_joined(id, got, "reasoning_content", &a->reasoning);
    check_joined(id, got, "content", &a->content);
    qw_buf calls = QW_BUF_INIT;
    qw_json_dump(&calls, qw_json_get(got, "tool_calls"));
    assert_int_equal(calls.len, a->calls.len + 2);
    assert_memory_equal(calls.data + 1, qw_buf_text(&a->calls), a->calls.len);
    qw_json_free(got);
    qw_buf_free(&json);
    qw_buf_free(&want);
    qw_buf_free(&calls);
    qw_buf_free(&a->calls);
    qw_stream_free(s);
}

static void push(qw_stream *s, const char *p, size_t n) { assert_int_equal(qw_stream_push(s, p, n, NULL), QWREN_OK); }

static void as_the_chunks_come(const qw_json *row, void *ctx)
{
    (void)ctx;
    answer a = { 0 };
    qw_stream *s = open_stream(row, false, &a);
    const qw_json *chunks = qw_json_get(row, "chunks");
    for (size_t i = 0; i < qw_json_size(chunks); i++) {
        size_t n = 0;
        const char *p = qw_json_string(qw_json_at(chunks, i), &n);
        push(s, p, n);
    }
    close_stream(s, row, &a, "chunks", qw_json_size(chunks));
}

static qw_buf whole_text(const qw_json *row)
{
    qw_buf b = QW_BUF_INIT;
    const qw_json *chunks = qw_json_get(row, "chunks");
    for (size_t i = 0; i < qw_json_size(chunks); i++) {
        size_t n = 0;
        const char *p = qw_json_string(qw_json_at(chunks, i), &n);
        qw_buf_append(&b, p, n);
    }
    return b;
}

static void cut_at_every_byte(const qw_json *row, void *ctx)
{
    (void)ctx;
    qw_buf text = whole_text(row);
    size_t stride = text.len < 1000 ? 1 : 7; /* one case is long */
    for (size_t cut = 0; cut <= text.len; cut += stride) {
        answer a = { 0 };
        qw_stream *s = open_stream(row, false, &a);
        push(s, qw_buf_text(&text), cut);
        push(s, qw_buf_text(&text) + cut, text.len - cut);
        close_stream(s, row, &a, "cut at", cut);
    }
    qw_buf_free(&text);
}

static void byte_by_byte(const qw_json *row, void *ctx)
{
    (void)ctx;
    answer a = { 0 };
    qw_buf text = whole_text(row);
    qw_stream *s = open_stream(row, false, &a);
    for (size_t i = 0; i < text.len; i++)
        push(s, text.data + i, 1);
    close_stream(s, row, &a, "byte by byte", 1);
    qw_buf_free(&text);
}

/* The tag at p, or QW_TAG_COUNT. */
static int tag_at(const char *p)
{
    for (int tag = 0; tag < QW_TAG_COUNT; tag++)
        if (strncmp(p, qw_tag_text((qw_tag)tag), strlen(qw_tag_text((qw_tag)tag))) == 0)
            return tag;
    return QW_TAG_COUNT;
}

static void tags_as_ids(const qw_json *row, void *ctx)
{
    (void)ctx;
    answer a = { 0 };
    qw_buf text = whole_text(row);
    qw_stream *s = open_stream(row, true, &a);
    for (const char *p = qw_buf_text(&text), *end = p + text.len; p < end;) {
        int tag = tag_at(p);
        if (tag == QW_TAG_COUNT) {
            push(s, p++, 1);
            continue;
        }
        assert_int_equal(qw_stream_push_tag(s, (qw_tag)tag, NULL), QWREN_OK);
        p += strlen(qw_tag_text((qw_tag)tag));
    }
    close_stream(s, row, &a, "by id", 0);
    qw_buf_free(&text);
}

#define CASE_TEST(name, fn)                            \
  static void name(void **state)                       \
  {                                                    \
    (void)state;                                       \
    each_case("parse/cases.jsonl", N_CASES, fn, NULL); \
  }

CASE_TEST(chunks_give_the_reference_result, as_the_chunks_come)
CASE_TEST(a_cut_anywhere_changes_nothing, cut_at_every_byte)
CASE_TEST(single_bytes_change_nothing, byte_by_byte)
CASE_TEST(tags_by_id_give_the_same, tags_as_ids)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chunks_give_the_reference_result),
        cmocka_unit_test(a_cut_anywhere_changes_nothing),
        cmocka_unit_test(single_bytes_change_nothing),
        cmocka_unit_test(tags_by_id_give_the_same),
    };
    return cmocka_run_group_tests(tests, open_tools, close_tools);
}
