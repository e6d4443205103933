/* One tool call of an answer: <tool_call> <function=NAME> <parameter=KEY> value </parameter> ... </function> </tool_call>, or
 * the same as a JSON object. stream_parse.c calls it with everything behind a <tool_call> that opens a call; it answers call,
 * text, or "more". Tested by tests/golden/test_parse.c and tests/unit/test_stream.c (pathological texts in linear time). */
#include "base/alloc.h"
#include "text/stream_state.h"

#include <string.h>

static const char FUNCTION[] = "<function=", FUNCTION_END[] = "</function>", PARAMETER[] = "<parameter=", PARAMETER_END[] = "</parameter>";
#define LEN(word) (sizeof(word) - 1)

/* ------------------------------------------------------------------------------------------------- looking at `in` */

typedef enum match { MATCH_NO, MATCH_YES, MATCH_OPEN } match; /* OPEN: the text ends inside the word */

static match match_at(const qw_stream *s, size_t at, const char *word, size_t len)
{
    size_t n = s->in.len - at;
    if (n >= len)
        return memcmp(s->in.data + at, word, len) == 0 ? MATCH_YES : MATCH_NO;
    return n == 0 || memcmp(s->in.data + at, word, n) == 0 ? MATCH_OPEN : MATCH_NO;
}

static bool tag_at(const qw_stream *s, size_t at, qw_tag tag) { return at < s->in.len && s->in.data[at] == TAG_BYTE(tag); }

/* First byte at or behind `at` that is no blank, remembered in s->look, so that blanks that come one by one are not counted
 * again. */
static size_t skip_blanks(qw_stream *s, size_t at)
{
    size_t i = s->look > at ? s->look : at;
    while (i < s->in.len && qw_is_markup_blank(s->in.data[i]))
        i++;
    s->look = i;
    return i;
}

/* The same with form feeds, which the markup does not allow but the reference trims. */
static size_t skip_odd_blanks(qw_stream *s, size_t at)
{
    size_t i = s->call.solid > at ? s->call.solid : at;
    while (i < s->in.len && qw_is_ascii_blank(s->in.data[i]))
        i++;
    s->call.solid = i;
    return i;
}

static void go(qw_stream *s, call_state state, size_t at)
{
    s->call.state = state;
    s->call.at = s->scan = at;
    s->call.solid = s->look = 0;
}

void qw_call_begin(qw_stream *s, size_t body)
{
    s->call.body = body;
    s->call.n_params = 0;
    if (s->in.data[body] == '{') {
        qw_jsonscan_init(&s->call.json);
        go(s, C_JSON, body);
    } else {
        go(s, C_NAME, body + LEN(FUNCTION));
    }
}

/* Scans for the '>' that ends a name; a tag holds one at its own end. */
static match find_name_end(qw_stream *s, size_t *end)
{
    for (; s->scan < s->in.len; s->scan++) {
        char c = s->in.data[s->scan];
        if (c == '\n')
            return MATCH_NO;
        if (c != '>' && !IS_TAG(c))
            continue;
        *end = s->scan + (IS_TAG(c) ? 1 : 0);
        return MATCH_YES;
    }
    return MATCH_OPEN;
}

/* Where a name goes on behind its '>', which a tag at its end includes. */
static size_t behind_name(const qw_stream *s, size_t end)
{
    return end < s->in.len && s->in.data[end] == '>' && !IS_TAG(s->in.data[end - 1]) ? end + 1 : end;
}

/* ------------------------------------------------------------------------------------------------------- XML parts */

static call_result step_name(qw_stream *s)
{
    size_t end = 0;
    match m = find_name_end(s, &end);
    if (m == MATCH_NO)
        return CALL_NONE;
    if (m == MATCH_OPEN)
        return s->at_end ? CALL_PARTIAL : CALL_WAIT;
    s->call.name = s->call.at;
    s->call.name_end = end;
    go(s, C_BODY, behind_name(s, end));
    return CALL_DONE;
}

/* The text at `i` begins neither <parameter= nor </function>. Cut off with blanks behind it, it might have. */
static call_result refuse_body(qw_stream *s, size_t i)
{
    size_t a = 0, b = 0, n = s->in.len - i;
    while (a < n && a < LEN(PARAMETER) && s->in.data[i + a] == PARAMETER[a])
        a++;
    while (b < n && b < LEN(FUNCTION_END) && s->in.data[i + b] == FUNCTION_END[b])
        b++;
    if (a == LEN(PARAMETER)) /* behind a form feed: the reference waits for ever */
        return CALL_PARTIAL;
    size_t k = i + (a > b ? a : b);
    k = s->look > k ? s->look : k;
    while (k < s->in.len && qw_is_ascii_blank(s->in.data[k]))
        k++;
    s->look = k;
    if (k == s->in.len)
        return s->at_end ? CALL_PARTIAL : CALL_WAIT;
    s->call.dead_end = s->call.at;
    return CALL_NONE;
}

static call_result step_body(qw_stream *s)
{
    size_t i = s->scan;
    while (i < s->in.len && qw_is_markup_blank(s->in.data[i]))
        i++;
    s->scan = i;
    if (match_at(s, i, FUNCTION_END, LEN(FUNCTION_END)) == MATCH_YES) {
        go(s, C_CLOSE, i + LEN(FUNCTION_END));
        return CALL_DONE;
    }
    if (match_at(s, i, PARAMETER, LEN(PARAMETER)) == MATCH_YES) {
        go(s, C_KEY, i + LEN(PARAMETER));
        return CALL_DONE;
    }
    return refuse_body(s, skip_odd_blanks(s, i));
}

static call_parameter *add_parameter(qw_stream *s)
{
    call_parser *c = &s->call;
    if (c->n_params == c->cap_params) {
        size_t cap = c->cap_params ? c->cap_params * 2 : 8;
        call_parameter *p = qw_realloc_array(c->params, cap, sizeof *p);
        if (!p)
            return NULL;
        c->params = p;
        c->cap_params = cap;
    }
    return &c->params[c->n_params++];
}

static call_result step_key(qw_stream *s, qwren_status *st, qwren_error *err)
{
    size_t end = 0;
    match m = find_name_end(s, &end);
    if (m == MATCH_NO) /* a key over two lines: no reading of it can end */
        return CALL_PARTIAL;
    if (m == MATCH_OPEN)
        return s->at_end ? CALL_PARTIAL : CALL_WAIT;
    call_parameter *p = add_parameter(s);
    if (!p) {
        *st = qw_fail_memory(err, sizeof *p * s->call.n_params, "a call's parameters");
        return CALL_PARTIAL;
    }
    *p = (call_parameter){ .key = s->call.at, .key_end = end, .value = behind_name(s, end) };
    go(s, C_VALUE, p->value);
    return CALL_DONE;
}

/* Does a value end at the '<' at `at`? </parameter> counts when markup or the end follows, so that a value may hold the word; a
 * </function> that closes the call ends a value whose </parameter> was forgotten. *next is where the call goes on. */
static match ends_value(qw_stream *s, size_t at, size_t *next)
{
    match parameter = match_at(s, at, PARAMETER_END, LEN(PARAMETER_END));
    match function = match_at(s, at, FUNCTION_END, LEN(FUNCTION_END));
    if (parameter != MATCH_YES && function != MATCH_YES)
        return (parameter == MATCH_OPEN || function == MATCH_OPEN) && !s->at_end ? MATCH_OPEN : MATCH_NO;
    *next = parameter == MATCH_YES ? at + LEN(PARAMETER_END) : at;
    size_t i = skip_blanks(s, at + (parameter == MATCH_YES ? LEN(PARAMETER_END) : LEN(FUNCTION_END)));
    if (i == s->in.len)
        return s->at_end ? MATCH_YES : MATCH_OPEN;
    if (tag_at(s, i, QW_TAG_CALL_END))
        return MATCH_YES;
    if (function == MATCH_YES)
        return MATCH_NO;
    match a = match_at(s, i, PARAMETER, LEN(PARAMETER)), b = match_at(s, i, FUNCTION_END, LEN(FUNCTION_END));
    if (a == MATCH_YES || b == MATCH_YES)
        return MATCH_YES;
    return (a == MATCH_OPEN || b == MATCH_OPEN) && !s->at_end ? MATCH_OPEN : MATCH_NO;
}

/* The first end of a value at or behind s->call.at. */
static match find_value_end(qw_stream *s)
{
    call_parser *c = &s->call;
    if (c->value_next && c->value_from <= c->at && c->at <= c->value_end)
        return MATCH_YES;
    for (;;) {
        const char *angle = s->scan < s->in.len ? memchr(s->in.data + s->scan, '<', s->in.len - s->scan) : NULL;
        size_t at = angle ? (size_t)(angle - s->in.data) : s->in.len, next = 0;
        if (s->scan != at)
            s->look = 0;
        s->scan = at;
        if (!angle)
            return MATCH_OPEN;
        match m = ends_value(s, at, &next);
        if (m == MATCH_OPEN)
            return MATCH_OPEN;
        if (m == MATCH_YES) {
            c->value_from = c->at;
            c->value_end = at;
            c->value_next = next;
            return MATCH_YES;
        }
        s->scan = at + 1;
        s->look = 0;
    }
}

static call_result step_value(qw_stream *s)
{
    call_parser *c = &s->call;
    if (find_value_end(s) == MATCH_OPEN)
        return s->at_end ? CALL_PARTIAL : CALL_WAIT;
    if (s->at_end && c->value_next == s->in.len && c->value_next > c->value_end) /* </parameter> and nothing more */
        return CALL_PARTIAL;
    if (c->value_next <= c->dead_end)
        return CALL_NONE;
    c->params[c->n_params - 1].value_end = c->value_end;
    go(s, C_BODY, c->value_next);
    return CALL_DONE;
}

/* Behind </function>: the </tool_call>, which may be missing. */
static call_result step_close(qw_stream *s, bool *built, qwren_status *st, qwren_error *err)
{
    size_t i = skip_blanks(s, s->call.at);
    if (i == s->in.len && !s->at_end)
        return CALL_WAIT;
    if (tag_at(s, i, QW_TAG_CALL_END))
        s->call.at = i + 1;
    *st = qw_call_build(s, err);
    *built = true;
    return CALL_DONE;
}

/* ------------------------------------------------------------------------------------------------------ JSON calls */

static call_result step_json(qw_stream *s, qwren_status *st, qwren_error *err)
{
    qw_jsonscan_result r = QW_JSONSCAN_MORE;
    bool fits = false;
    while (r == QW_JSONSCAN_MORE && s->scan < s->in.len)
        r = qw_jsonscan_push(&s->call.json, (unsigned char)s->in.data[s->scan++]);
    if (r == QW_JSONSCAN_MORE && !s->at_end)
        return CALL_WAIT;
    if (r != QW_JSONSCAN_DONE) {
        go(s, C_JSON_BAD, s->call.body);
        return CALL_DONE;
    }
    s->call.json_end = s->scan;
    *st = qw_call_build_json(s, &fits, err);
    if (*st == QWREN_OK && !fits)
        return CALL_NONE;
    go(s, C_JSON_CLOSE, s->call.json_end);
    return CALL_DONE;
}

static call_result step_json_close(qw_stream *s, bool *built)
{
    size_t i = skip_blanks(s, s->call.at);
    if (tag_at(s, i, QW_TAG_CALL_END)) {
        s->call.at = i + 1;
        *built = true;
        return CALL_DONE;
    }
    if (skip_odd_blanks(s, i) < s->in.len)
        return CALL_NONE;
    if (!s->at_end)
        return CALL_WAIT;
    s->call.at = s->in.len;
    *built = true;
    return CALL_DONE;
}

/* Text, if ever a </tool_call> comes; without one, the output was cut inside the object. */
static call_result step_json_bad(qw_stream *s)
{
    call_parser *c = &s->call;
    if (c->close_at >= c->body)
        return CALL_NONE;
    const char *p = s->scan < s->in.len ? memchr(s->in.data + s->scan, TAG_BYTE(QW_TAG_CALL_END), s->in.len - s->scan) : NULL;
    s->scan = s->in.len;
    if (p) {
        c->close_at = (size_t)(p - s->in.data);
        return CALL_NONE;
    }
    return s->at_end ? CALL_PARTIAL : CALL_WAIT;
}

/* ---------------------------------------------------------------------------------------------------------- driver */

qwren_status qw_call_parse(qw_stream *s, call_result *result, qwren_error *err)
{
    bool built = false;
    qwren_status st = QWREN_OK;
    do {
        switch (s->call.state) {
        case C_NAME: *result = step_name(s); break;
        case C_BODY: *result = step_body(s); break;
        case C_KEY: *result = step_key(s, &st, err); break;
        case C_VALUE: *result = step_value(s); break;
        case C_CLOSE: *result = step_close(s, &built, &st, err); break;
        case C_JSON: *result = step_json(s, &st, err); break;
        case C_JSON_CLOSE: *result = step_json_close(s, &built); break;
        case C_JSON_BAD: *result = step_json_bad(s); break;
        }
    } while (*result == CALL_DONE && !built && st == QWREN_OK);
    return st;
}
