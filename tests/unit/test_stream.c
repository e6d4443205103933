/* The output parser beyond the reference's cases: tags by id against text that looks like them, pieces cut anywhere, ids of
 * calls, texts made to be slow, and memory that runs short. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/alloc.h"
#include "base/json.h"
#include "base/rng.h"
#include "support/fault.h"
#include "text/stream.h"

static const char tools_text[] =
    "[{\"type\": \"function\", \"function\": {\"name\": \"f\", \"parameters\": {\"type\": \"object\", \"properties\": {"
    "\"s\": {\"type\": \"string\"}, \"i\": {\"type\": \"integer\"}, \"x\": {\"type\": \"number\"}, \"b\": {\"type\": \"boolean\"}, \"o\": "
    "{\"type\": \"object\"}, \"a\": {\"type\": \"array\"},"
    "\"any\": {\"anyOf\": [{\"type\": \"null\"}, {\"$ref\": \"#/$defs/i~1n\"}]}, \"self\": {\"anyOf\": [{\"$ref\": \"#/properties/self\"}, "
    "{\"$ref\": \"#/properties/self\"}, {\"$ref\": \"#/properties/self\"},"
    "{\"$ref\": \"#/properties/self\"}, {\"$ref\": \"#/properties/self\"}, {\"$ref\": \"#/properties/self\"}, {\"$ref\": "
    "\"#/properties/self\"}, {\"$ref\": \"#/properties/self\"}]}},"
    "\"$defs\": {\"i/n\": {\"type\": \"integer\"}}}}}]";
static qw_json *tools;

static int open_tools(void **state)
{
    (void)state;
    return qw_json_parse(&tools, tools_text, strlen(tools_text), "tools", NULL) != QWREN_OK;
}

static int close_tools(void **state)
{
    (void)state;
    qw_json_free(tools);
    return 0;
}

static qw_stream *open_stream(bool by_id, bool thinking, qwren_event_fn fn, void *ctx)
{
    qw_stream *s = NULL;
    qw_stream_options opt = { .thinking = thinking, .markup_by_id = by_id, .tools = tools };
    assert_int_equal(qw_stream_create(&s, &opt, fn, ctx, NULL), QWREN_OK);
    return s;
}

static void push(qw_stream *s, const char *text) { assert_int_equal(qw_stream_push(s, text, strlen(text), NULL), QWREN_OK); }
static void tag(qw_stream *s, qw_tag t) { assert_int_equal(qw_stream_push_tag(s, t, NULL), QWREN_OK); }

/* Ends and frees s; the result must be `want`, with ' for ". */
static void expect(qw_stream *s, const char *finish, const char *want)
{
    qw_buf json = QW_BUF_INIT;
    assert_int_equal(qw_stream_finish(s, finish, &json, NULL), QWREN_OK);
    char *quoted = qw_strdup(want);
    for (char *p = quoted; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    assert_string_equal(qw_buf_text(&json), quoted);
    qw_free(quoted);
    qw_buf_free(&json);
    qw_stream_free(s);
}

#define RESULT(reasoning, content, calls, reason)                                                                                          \
  "{'reasoning_content': " reasoning ", 'content': " content ", 'tool_calls': [" calls "], 'finish_reason': '" reason "'}"
#define CALL(args) "{'name': 'f', 'arguments': {" args "}}"

/* ------------------------------------------------------------------------------------------------------------ by id */

static void text_that_looks_like_a_tag_is_text(void **state)
{
    (void)state;
    qw_stream *s = open_stream(true, true, NULL, NULL);
    push(s, "I close with </think> and call <tool_call>\n<function=f>\n</function>\n</tool_call>.");
    tag(s, QW_TAG_THINK_END);
    push(s, "\n\nSee <think> and <tool_call>{\"name\": \"f\"}</tool_call>");
    expect(s, "stop",
           RESULT("'I close with </think> and call <tool_call>\\n<function=f>\\n</function>\\n</tool_call>.'",
                  "'See <think> and <tool_call>{\\'name\\': \\'f\\'}</tool_call>'", "", "stop"));
}

static void a_call_by_id_ends_the_thought(void **state)
{
    (void)state;
    qw_stream *s = open_stream(true, true, NULL, NULL);
    assert_true(qw_stream_in_think(s));
    push(s, "\nneed it\n");
    tag(s, QW_TAG_CALL);
    push(s, "\n<function=f>\n<parameter=i>\n7\n</parameter>\n</function>\n");
    assert_false(qw_stream_in_think(s));
    assert_int_equal(qw_stream_call_count(s), 0);
    tag(s, QW_TAG_CALL_END);
    assert_int_equal(qw_stream_call_count(s), 1);
    expect(s, "stop", RESULT("'need it'", "null", CALL("'i': 7"), "tool_calls"));
}

static void tags_inside_a_value_are_its_text(void **state)
{
    (void)state;
    qw_stream *s = open_stream(true, false, NULL, NULL);
    tag(s, QW_TAG_CALL);
    push(s, "\n<function=f>\n<parameter=s>\na ");
    tag(s, QW_TAG_THINK_END);
    tag(s, QW_TAG_CALL);
    tag(s, QW_TAG_CALL_END);
    push(s, " b\n</parameter>\n</function>\n");
    tag(s, QW_TAG_CALL_END);
    expect(s, "stop", RESULT("null", "null", CALL("'s': 'a </think><tool_call></tool_call> b'"), "tool_calls"));
}

static void a_mention_by_id_is_no_call(void **state)
{
    (void)state;
    qw_stream *s = open_stream(true, false, NULL, NULL);
    push(s, "The tag ");
    tag(s, QW_TAG_CALL);
    push(s, " wraps, ");
    tag(s, QW_TAG_CALL_END);
    push(s, " ends.");
    expect(s, "stop", RESULT("null", "'The tag <tool_call> wraps, </tool_call> ends.'", "", "stop"));
}

/* ----------------------------------------------------------------------------------------------------------- events */

typedef struct seen {
    qw_buf log;
    int left;
} seen;

static bool note(void *ctx, const qwren_event *ev)
{
    seen *n = ctx;
    if (ev->kind == QWREN_EVENT_TOOL_CALL)
        qw_buf_printf(&n->log, "T%zu %s%s|", ev->index, ev->name, ev->arguments);
    else
        qw_buf_printf(&n->log, "%c%s|", ev->kind == QWREN_EVENT_REASONING ? 'R' : 'C', ev->text);
    return --n->left != 0;
}

static void only_what_is_certain_is_sent(void **state)
{
    (void)state;
    seen n = { QW_BUF_INIT, -1 };
    qw_stream *s = open_stream(false, true, note, &n);
    static const char *const pieces[] = { "\n a",
                                          " ",
                                          "b </th",
                                          "ink",
                                          ">",
                                          "\n\n",
                                          "c  ",
                                          "<tool_",
                                          "call> or <tool_call>",
                                          "\n",
                                          "<func",
                                          "tion=f>\n<parameter=s>\nv",
                                          "\n</parameter>\n</function>",
                                          "\n</tool_call>",
                                          "\n\n",
                                          "d" };
    static const char *const sent[] = {
        "Ra|", "", "R b|", "", "", "", "Cc|", "", "C  <tool_call> or|", "", "", "", "", "T0 f{\"s\": \"v\"}|", "", ""
    };
    for (size_t i = 0; i < sizeof pieces / sizeof *pieces; i++) {
        qw_buf_clear(&n.log);
        push(s, pieces[i]);
        if (strcmp(qw_buf_text(&n.log), sent[i]) != 0)
            fail_msg("piece %zu (%s): sent %s, want %s", i, pieces[i], qw_buf_text(&n.log), sent[i]);
    }
    qw_buf_clear(&n.log);
    expect(s, "stop", RESULT("'a b'", "'c  <tool_call> or\\nd'", CALL("'s': 'v'"), "tool_calls"));
    assert_string_equal(qw_buf_text(&n.log), "C\nd|");
    qw_buf_free(&n.log);
}

static void text_behind_a_call_flows_when_its_join_is_certain(void **state)
{
    (void)state;
    seen n = { QW_BUF_INIT, -1 };
    qw_stream *s = open_stream(false, false, note, &n);
    push(s, "a\n<tool_call>\n<function=f>\n</function>\n</tool_call>\nb");
    push(s, "c");
    assert_string_equal(qw_buf_text(&n.log), "Ca|T0 f{}|C\nb|Cc|");
    expect(s, "stop", RESULT("null", "'a\\nbc'", CALL(""), "tool_calls"));
    qw_buf_free(&n.log);
}

static void a_listener_that_has_enough_hears_no_more(void **state)
{
    (void)state;
    seen n = { QW_BUF_INIT, 2 };
    qw_stream *s = open_stream(false, false, note, &n);
    push(s, "one");
    push(s, " two");
    assert_true(qw_stream_stopped(s));
    push(s, " three");
    expect(s, "cancelled", RESULT("null", "'one two'", "", "cancelled"));
    assert_string_equal(qw_buf_text(&n.log), "Cone|C two|");
    qw_buf_free(&n.log);
}

static void any_reason_but_stop_is_passed_on_and_drops_a_cut_call(void **state)
{
    (void)state;
    static const char *const reasons[] = { "length", "loop", "cancelled" };
    for (size_t i = 0; i < 3; i++) {
        qw_buf json = QW_BUF_INIT;
        qw_stream *s = open_stream(false, false, NULL, NULL);
        push(s, "a <tool_call>\n<fun");
        assert_int_equal(qw_stream_finish(s, reasons[i], &json, NULL), QWREN_OK);
        assert_non_null(strstr(json.data, "\"content\": \"a\""));
        assert_non_null(strstr(json.data, reasons[i]));
        qw_buf_free(&json);
        qw_stream_free(s);
    }
}

static bool keep_id(void *ctx, const qwren_event *ev)
{
    char(*ids)[64] = ctx;
    if (ev->kind == QWREN_EVENT_TOOL_CALL)
        snprintf(ids[ev->index], sizeof ids[0], "%s", ev->call_id);
    return true;
}

static void every_call_has_an_id_of_its_own(void **state)
{
    (void)state;
    char ids[2][64] = { "", "" };
    qw_buf json = QW_BUF_INIT;
    qw_stream *s = NULL;
    qw_stream_options opt = { .tools = tools, .call_ids = true };
    assert_int_equal(qw_stream_create(&s, &opt, keep_id, ids, NULL), QWREN_OK);
    push(s, "<tool_call>{\"name\": \"f\"}</tool_call><tool_call>{\"name\": \"f\"}</tool_call>");
    assert_int_equal(qw_stream_finish(s, "stop", &json, NULL), QWREN_OK);
    assert_int_equal(strlen(ids[0]), strlen("call_") + 16);
    assert_string_not_equal(ids[0], ids[1]);
    assert_non_null(strstr(json.data, ids[0]));
    assert_non_null(strstr(json.data, ids[1]));
    qw_buf_free(&json);
    qw_stream_free(s);
}

/* ------------------------------------------------------------------------------------------------------- characters */

static void ill_formed_utf8_becomes_replacement_characters(void **state)
{
    (void)state;
    qw_stream *s = open_stream(false, false, NULL, NULL);
    push(s, "a\xF8\xFA\xFF");
    push(s, "\xE6\x97"); /* the beginning of a character ... */
    push(s, "\xA5");     /* ... and its end */
    push(s, "\xF0\x9F");
    expect(s, "stop", RESULT("null", "'a\xEF\xBF\xBD\xEF\xBF\xBD\xEF\xBF\xBD\xE6\x97\xA5\xEF\xBF\xBD'", "", "stop"));
}

static void a_nul_byte_is_a_character(void **state)
{
    (void)state;
    qw_stream *s = open_stream(false, false, NULL, NULL);
    assert_int_equal(qw_stream_push(s, "a\0b", 3, NULL), QWREN_OK);
    expect(s, "stop", RESULT("null", "'a\\u0000b'", "", "stop"));
}

/* ------------------------------------------------------------------------------------------------------- arguments */

static void expect_argument(const char *key, const char *value, const char *want)
{
    qw_buf json = QW_BUF_INIT, text = QW_BUF_INIT;
    qw_stream *s = open_stream(false, false, NULL, NULL);
    qw_buf_printf(&text, "<tool_call>\n<function=f>\n<parameter=%s>\n%s\n</parameter>\n</function>\n</tool_call>", key, value);
    push(s, text.data);
    assert_int_equal(qw_stream_finish(s, "stop", &json, NULL), QWREN_OK);
    qw_buf_clear(&text);
    qw_buf_printf(&text, "\"arguments\": {\"%s\": %s}}", key, want);
    if (!strstr(json.data, text.data))
        fail_msg("%s as %s: %s has no %s", value, key, json.data, text.data);
    qw_buf_free(&json);
    qw_buf_free(&text);
    qw_stream_free(s);
}

static void values_by_the_schemas_types(void **state)
{
    (void)state;
    static const char *const cases[][3] = {
        { "i", "12", "12" },
        { "i", "-0", "0" },
        { "i", "1e3", "1000" },
        { "i", "1e999", "\"1e999\"" },
        { "i", "9007199254740993.0", "\"9007199254740993.0\"" },
        { "i", "99999999999999999999999", "99999999999999999999999" },
        { "i", "0x10", "\"0x10\"" },
        { "i", "1_000", "\"1_000\"" },
        { "i", "+1", "\"+1\"" },
        { "i", "", "\"\"" },
        { "x", "2.50", "2.5" },
        { "x", "1e22", "1e+22" },
        { "x", "-1.5E-7", "-1.5e-07" },
        { "x", "NaN", "\"NaN\"" },
        { "x", "none", "null" },
        { "b", "TRUE", "true" },
        { "b", "1", "\"1\"" },
        { "s", "null", "\"null\"" },
        { "s", "{\\\"a\\\": 1}", "\"{\\\\\\\"a\\\\\\\": 1}\"" },
        { "any", "None", "null" },
        { "any", "5", "5" },
        { "any", "x", "\"x\"" },
        { "unknown", "5", "\"5\"" },
        { "self", "5", "\"5\"" },
        { "o", "{'a': 'it\\'s', \"b\": [1, (2, 3), {}],}", "{\"a\": \"it's\", \"b\": [1, [2, 3], {}]}" },
        { "o", "{'a': 1, 'a': 2}", "{\"a\": 2}" },
        { "o", "{1: 2, None: 3, True: 4, 1.5: 5}", "{\"1\": 2, \"null\": 3, \"true\": 4, \"1.5\": 5}" },
        { "o", "{1, 2}", "\"{1, 2}\"" },
        { "o", "{a: 1}", "\"{a: 1}\"" },
        { "a", "[1_000, .5, 2., 0x1]", "\"[1_000, .5, 2., 0x1]\"" },
        { "a", "[1_000, .5, 2., -0, +3]", "[1000, 0.5, 2.0, 0, 3]" },
        { "a", "['a' 'b', '\\x41\\u00e9\\101\\q\\n']",
          "[\"ab\", \"A\xC3\xA9"
          "A\\\\q\\n\"]" },
        { "a", "[(1), (1,), ()]", "[1, [1], []]" },
        { "a", "['\\ud800']", "\"['\\\\ud800']\"" },
        { "a", "[1] x", "\"[1] x\"" },
        { "a", "{}", "\"{}\"" },
        { "a", "[1j]", "\"[1j]\"" },
        { "a", "[True, none]", "\"[True, none]\"" },
        { "a", "[b'x']", "\"[b'x']\"" },
        { "a", "[1,,2]", "\"[1,,2]\"" },
        { "a", "['open]", "\"['open]\"" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        expect_argument(cases[i][0], cases[i][1], cases[i][2]);
}

static void deep_nesting_is_text(void **state)
{
    (void)state;
    static char value[100001], want[100003];
    memset(value, '[', 100000);
    snprintf(want, sizeof want, "\"%s\"", value);
    expect_argument("a", value, want);
}

static void many_and_repeated_parameters(void **state)
{
    (void)state;
    qw_buf json = QW_BUF_INIT;
    qw_stream *s = open_stream(false, false, NULL, NULL);
    push(s, "<tool_call><function=f>");
    for (int i = 0; i < 100000; i++) {
        char text[64];
        snprintf(text, sizeof text, "<parameter=k%d>%d</parameter>", i % 50000, i);
        push(s, text);
    }
    push(s, "</function></tool_call>");
    assert_int_equal(qw_stream_finish(s, "stop", &json, NULL), QWREN_OK);
    assert_non_null(strstr(json.data, "{\"k0\": \"50000\", \"k1\": \"50001\", "));
    assert_non_null(strstr(json.data, "\"k49999\": \"99999\"}"));
    qw_buf_free(&json);
    qw_stream_free(s);
}

/* --------------------------------------------------------------------------------- texts that would be slow if quadratic */

/* `unit` n times, in pieces of `piece` bytes, between head and tail. Returns the result's length. */
static size_t run_long(const char *head, const char *unit, size_t n, const char *tail, size_t piece, bool thinking)
{
    qw_buf text = QW_BUF_INIT, json = QW_BUF_INIT;
    qw_buf_puts(&text, head);
    for (size_t i = 0; i < n; i++)
        qw_buf_puts(&text, unit);
    qw_buf_puts(&text, tail);
    qw_stream *s = open_stream(false, thinking, NULL, NULL);
    for (size_t i = 0; i < text.len; i += piece)
        assert_int_equal(qw_stream_push(s, text.data + i, text.len - i < piece ? text.len - i : piece, NULL), QWREN_OK);
    assert_int_equal(qw_stream_finish(s, "stop", &json, NULL), QWREN_OK);
    size_t len = json.len;
    qw_buf_free(&json);
    qw_buf_free(&text);
    qw_stream_free(s);
    return len;
}

/* Of this process: a busy machine makes nobody slow. */
static double cpu_s(void) { return (double)clock() / CLOCKS_PER_SEC; }

static void long_and_hostile_outputs_take_linear_time(void **state)
{
    (void)state;
    static const struct {
        const char *head, *unit, *tail;
        bool thinking;
    } texts[] = {
        { "", "word ", "", true },
        { "", "a < b <", "", false },
        { "", " ", "", false },
        { "x", "\n", "", true },
        { "<tool_call>", " ", "", false },
        { "<tool_call><function=f>", "\f", "", false },
        { "<tool_call><function=f>", " ", "x", false },
        { "<tool_call><function=f><para", " ", "", false },
        { "<tool_call><function=f><parameter=s>", "x", "</parameter></function></tool_call>", false },
        { "<tool_call><function=f><parameter=s>", "</parameter> ", "</function></tool_call>", false },
        { "<tool_call><function=f><parameter=s></parameter>", " ", "", false },
        { "<tool_call><function=f><parameter=s></function>", "\n", "x", false },
        { "", "<tool_call><function=f><parameter=s>", "</parameter></tool_call>", false },
        { "", "<tool_call><function=f><parameter=a></parameter><parameter=b>", "</parameter></tool_call>", false },
        { "", "<tool_call><function=", "", false },
        { "", "<tool_call>{", "", false },
        { "", "<tool_call>{", "</tool_call>", false },
        { "", "<tool_call>{\"", "</tool_call>", false },
        { "", "<tool_call>{\"a\":", "</tool_call>", true },
        { "<tool_call>", "{\"a\":", "</tool_call>", false },
        { "<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"", "x", "\"}}</tool_call>", false },
        { "<tool_call>{\"name\": \"f\"}", "\f", "", false },
        { "", "<tool_call>{\"name\": \"f\"}</tool_call>", "", false },
        { "", "<tool_call>{\"name\": \"f\"}</tool_call>a <tool_call>{x</tool_call>\n\n", "", false },
        { "", "</think>", "", true },
        { "", "<think>", "", true },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        for (size_t piece = 1; piece <= 4096; piece *= 64) {
            double start = cpu_s();
            assert_true(run_long(texts[i].head, texts[i].unit, 40000, texts[i].tail, piece, texts[i].thinking) > 50);
            if (cpu_s() - start > 8) /* a hundredth of a second, or minutes when something is quadratic */
                fail_msg("%s + 40000 x %s + %s in pieces of %zu: %.1f s", texts[i].head, texts[i].unit, texts[i].tail, piece,
                         cpu_s() - start);
        }
    }
}

/* ------------------------------------------------------------------------------------------- any cut, any allocation */

static const char sampler[] =
    " <think>\nplan <tool_call> \xE6\x97\xA5 </thin\n</think>\n\nLook:\n<tool_call>\n<function=f>\n<parameter=o>\n{'a': [1, "
    "'b']}\n</parameter>\n<parameter=s>\nx </parameter> y\n</parameter>\n"
    "<parameter=i>\n5.0\n</parameter>\n<parameter=x>\n1.5\n</parameter>\n<parameter=a>\n[10, None]\n</parameter>\n"
    "<parameter=any>\n6\n</parameter>\n</function>\n</tool_call>\n\n"
    "and <tool_call>\n{\"name\": \"f\", \"arguments\": {\"k\": 1}}\n</tool_call> then <tool_call>{oops</tool_call> end";

static qwren_status parse_sampler(void *ctx, qwren_error *err)
{
    qw_buf json = QW_BUF_INIT;
    qw_stream *s = NULL;
    qw_stream_options opt = { .tools = tools, .call_ids = true };
    const size_t *piece = ctx;
    QW_TRY(qw_stream_create(&s, &opt, NULL, NULL, err));
    qwren_status st = QWREN_OK;
    for (size_t i = 0, n = strlen(sampler); st == QWREN_OK && i < n; i += *piece)
        st = qw_stream_push(s, sampler + i, n - i < *piece ? n - i : *piece, err);
    if (st == QWREN_OK)
        st = qw_stream_finish(s, "stop", &json, err);
    qw_buf_free(&json);
    qw_stream_free(s);
    return st;
}

static void any_allocation_may_fail(void **state)
{
    (void)state;
    size_t pieces[] = { 1, 1000 };
    fault_install();
    for (size_t i = 0; i < 2; i++)
        assert_true(fault_try_all(parse_sampler, &pieces[i], 1) > 20);
    fault_remove();
}

static qw_buf cut_at_random(qw_rng *rng)
{
    seen n = { QW_BUF_INIT, -1 };
    qw_buf json = QW_BUF_INIT;
    qw_stream *s = open_stream(false, false, note, &n);
    for (size_t i = 0, len = strlen(sampler); i < len;) {
        size_t k = 1 + qw_rng_u32(rng) % 9;
        k = k < len - i ? k : len - i;
        assert_int_equal(qw_stream_push(s, sampler + i, k, NULL), QWREN_OK);
        i += k;
    }
    assert_int_equal(qw_stream_finish(s, "stop", &json, NULL), QWREN_OK);
    qw_stream_free(s);
    qw_buf_free(&n.log);
    return json;
}

static void random_cuts_change_nothing(void **state)
{
    (void)state;
    qw_rng rng;
    qw_rng_seed(&rng, 7);
    qw_buf first = cut_at_random(&rng);
    assert_non_null(strstr(first.data, "{\"o\": {\"a\": [1, \"b\"]}, \"s\": \"x </parameter> y\", \"i\": 5, \"x\": 1.5, "
                                       "\"a\": [10, null], \"any\": 6}"));
    for (int i = 0; i < 500; i++) {
        qw_buf again = cut_at_random(&rng);
        assert_string_equal(first.data, again.data);
        qw_buf_free(&again);
    }
    qw_buf_free(&first);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_looks_like_a_tag_is_text),
        cmocka_unit_test(a_call_by_id_ends_the_thought),
        cmocka_unit_test(tags_inside_a_value_are_its_text),
        cmocka_unit_test(a_mention_by_id_is_no_call),
        cmocka_unit_test(only_what_is_certain_is_sent),
        cmocka_unit_test(text_behind_a_call_flows_when_its_join_is_certain),
        cmocka_unit_test(a_listener_that_has_enough_hears_no_more),
        cmocka_unit_test(any_reason_but_stop_is_passed_on_and_drops_a_cut_call),
        cmocka_unit_test(every_call_has_an_id_of_its_own),
        cmocka_unit_test(ill_formed_utf8_becomes_replacement_characters),
        cmocka_unit_test(a_nul_byte_is_a_character),
        cmocka_unit_test(values_by_the_schemas_types),
        cmocka_unit_test(deep_nesting_is_text),
        cmocka_unit_test(many_and_repeated_parameters),
        cmocka_unit_test(long_and_hostile_outputs_take_linear_time),
        cmocka_unit_test(random_cuts_change_nothing),
        cmocka_unit_test(any_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, open_tools, close_tools);
}
