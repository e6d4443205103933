/* The one file that knows jansson (json.h). Tested by tests/unit/test_base_json.c. */
#include "base/json.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json_bigint.h"
#include "base/utf8.h"

#include <float.h>
#include <jansson.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_DEPTH 512

static pthread_once_t allocator_once = PTHREAD_ONCE_INIT;

/* jansson goes on after some failed allocations, with a byte less in a string: so the failure is noted here, and believed. */
static _Thread_local bool memory_ran_short;

static void *noting_malloc(size_t size)
{
    void *p = qw_malloc(size);
    memory_ran_short = memory_ran_short || !p;
    return p;
}

static void use_our_allocator(void) { json_set_alloc_funcs(noting_malloc, qw_free); }

static const json_t *jansson(const qw_json *v) { return (const json_t *)(const void *)v; }
static const qw_json *ours(const json_t *v) { return (const qw_json *)(const void *)v; }

static int depth_below(const json_t *v, int limit);

static int deepest_child(const json_t *v, int limit)
{
    int deepest = 0;
    size_t i;
    const json_t *child;
    if (json_is_array(v)) {
        json_array_foreach(v, i, child) {
            int d = depth_below(child, limit);
            deepest = d > deepest ? d : deepest;
        }
        return deepest;
    }
    union { const json_t *given; json_t *taken; } o = { v }; /* iterating changes nothing, yet jansson asks for a mutable object */
    for (void *it = json_object_iter(o.taken); it; it = json_object_iter_next(o.taken, it)) {
        int d = depth_below(json_object_iter_value(it), limit);
        deepest = d > deepest ? d : deepest;
    }
    return deepest;
}

/* Nesting of v, but no deeper than limit. */
static int depth_below(const json_t *v, int limit)
{
    if (limit <= 0 || !(json_is_array(v) || json_is_object(v)))
        return 0;
    return 1 + deepest_child(v, limit - 1);
}

qwren_status qw_json_parse(qw_json **out, const char *text, size_t len, const char *where, qwren_error *err)
{
    *out = NULL;
    pthread_once(&allocator_once, use_our_allocator);
    json_error_t e;
    qw_buf hidden = QW_BUF_INIT;
    size_t n_hidden = 0;
    qw_bigint_hide(&hidden, text, len, &n_hidden);
    if (hidden.failed) {
        qw_buf_free(&hidden);
        return qw_fail_memory(err, len, where);
    }
    memory_ran_short = false;
    json_t *root = json_loadb(n_hidden ? hidden.data : text, n_hidden ? hidden.len : len, JSON_DECODE_ANY | JSON_ALLOW_NUL, &e);
    qw_buf_free(&hidden);
    if (memory_ran_short) {
        json_decref(root);
        return qw_fail_memory(err, len, where);
    }
    if (!root)
        return qw_fail(err, QWREN_E_FORMAT, "%s: line %d, column %d: %s", where, e.line, e.column, e.text);
    if (depth_below(root, MAX_DEPTH + 1) > MAX_DEPTH) {
        json_decref(root);
        return qw_fail(err, QWREN_E_FORMAT, "%s: nested deeper than %d levels", where, MAX_DEPTH);
    }
    *out = (qw_json *)(void *)root;
    return QWREN_OK;
}

qwren_status qw_json_read_file(qw_json **out, const char *path, size_t max_bytes, qwren_error *err)
{
    char *text;
    size_t len;
    *out = NULL;
    QW_TRY(qw_file_read(path, max_bytes, &text, &len, err));
    qwren_status st = qw_json_parse(out, text, len, path, err);
    qw_free(text);
    return st;
}

void qw_json_free(qw_json *root) { json_decref((json_t *)(void *)root); }

/* The digits of an integer beyond 64 bits, else NULL. */
static const char *bigint(const qw_json *v)
{
    const char *s = v ? json_string_value(jansson(v)) : NULL;
    return s ? qw_bigint_digits(s, json_string_length(jansson(v))) : NULL;
}

qw_json_kind qw_json_kind_of(const qw_json *v)
{
    if (!v)
        return QW_JSON_NULL;
    switch (json_typeof(jansson(v))) {
    case JSON_OBJECT: return QW_JSON_OBJECT;
    case JSON_ARRAY: return QW_JSON_ARRAY;
    case JSON_STRING: return bigint(v) ? QW_JSON_INT : QW_JSON_STRING;
    case JSON_INTEGER: return QW_JSON_INT;
    case JSON_REAL: return QW_JSON_REAL;
    case JSON_TRUE:
    case JSON_FALSE: return QW_JSON_BOOL;
    case JSON_NULL: break;
    }
    return QW_JSON_NULL;
}

bool qw_json_is(const qw_json *v, qw_json_kind kind) { return v && kind != QW_JSON_NULL && qw_json_kind_of(v) == kind; }
const qw_json *qw_json_get(const qw_json *object, const char *key) { return object ? ours(json_object_get(jansson(object), key)) : NULL; }
const qw_json *qw_json_at(const qw_json *array, size_t i) { return array ? ours(json_array_get(jansson(array), i)) : NULL; }

size_t qw_json_size(const qw_json *v)
{
    const json_t *j = jansson(v);
    return json_is_array(j) ? json_array_size(j) : json_is_object(j) ? json_object_size(j) : 0;
}

const char *qw_json_string(const qw_json *v, size_t *len)
{
    bool is_string = qw_json_is(v, QW_JSON_STRING);
    if (len)
        *len = is_string ? json_string_length(jansson(v)) : 0;
    return is_string ? json_string_value(jansson(v)) : NULL;
}

bool qw_json_bool(const qw_json *v, bool fallback) { return qw_json_is(v, QW_JSON_BOOL) ? json_is_true(jansson(v)) : fallback; }
int64_t qw_json_int(const qw_json *v, int64_t fallback) { return v && json_is_integer(jansson(v)) ? json_integer_value(jansson(v)) : fallback; }

double qw_json_number(const qw_json *v, double fallback)
{
    const char *big = bigint(v);
    if (big)
        return strtod(big, NULL);
    return v && json_is_number(jansson(v)) ? json_number_value(jansson(v)) : fallback;
}

static void load_iter(qw_json_iter *it)
{
    it->key = it->state ? json_object_iter_key(it->state) : NULL;
    it->key_len = it->state ? json_object_iter_key_len(it->state) : 0;
    it->value = it->state ? ours(json_object_iter_value(it->state)) : NULL;
}

static json_t *mutable_object(const qw_json *v)
{
    union { const qw_json *given; void *taken; } o = { v };
    return o.taken;
}

qw_json_iter qw_json_first(const qw_json *object)
{
    qw_json_iter it = { 0 };
    if (qw_json_is(object, QW_JSON_OBJECT))
        it.state = json_object_iter(mutable_object(object));
    load_iter(&it);
    return it;
}

void qw_json_next(const qw_json *object, qw_json_iter *it)
{
    it->state = json_object_iter_next(mutable_object(object), it->state);
    load_iter(it);
}

/* ---- printing as Python's json.dumps(ensure_ascii=False) */

void qw_json_dump_string(qw_buf *out, const char *s, size_t len)
{
    size_t start = 0;
    qw_buf_putc(out, '"');
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)s[i];
        if (c >= 0x20 && c != '"' && c != '\\')
            continue;
        qw_buf_append(out, s + start, i - start);
        start = i + 1;
        const char *named = c == '"' ? "\\\"" : c == '\\' ? "\\\\" : c == '\n' ? "\\n" : c == '\r' ? "\\r" : c == '\t' ? "\\t" : c == '\b' ? "\\b"
                          : c == '\f' ? "\\f" : NULL;
        if (named)
            qw_buf_puts(out, named);
        else
            qw_buf_printf(out, "\\u%04x", c);
    }
    qw_buf_append(out, s + start, len - start);
    qw_buf_putc(out, '"');
}

/* Adds one to the last digit of "d.ddde-dd"; false when all are nines. */
static bool next_digit(char *text)
{
    for (char *p = strchr(text, 'e') - 1; p >= text; p--) {
        if (*p >= '0' && *p < '9') {
            ++*p;
            return true;
        }
        if (*p == '9')
            *p = '0';
    }
    return false;
}

/* "d.ddde-dd" with the fewest digits that read back as x > 0. The nearest text of so many digits may fail where the next one does
 * not: below a power of two the doubles lie twice as close. */
static void shortest(char text[40], double x)
{
    for (int precision = 0; precision < DBL_DECIMAL_DIG; precision++) {
        snprintf(text, 40, "%.*e", precision, x);
        if (strtod(text, NULL) == x || (next_digit(text) && strtod(text, NULL) == x))
            return;
    }
    snprintf(text, 40, "%.*e", DBL_DECIMAL_DIG - 1, x);
}

/* Digits without an exponent, at least one on each side of the point. */
static void dump_fixed(qw_buf *out, const char *digits, int n, int exponent)
{
    int first = exponent < 0 ? exponent : 0, last = exponent + 1 > n - 1 ? exponent + 1 : n - 1;
    for (int i = first; i <= last; i++) {
        qw_buf_putc(out, i >= 0 && i < n ? digits[i] : '0');
        if (i == exponent || (exponent < 0 && i == first))
            qw_buf_putc(out, '.');
    }
}

/* repr(): exponent form below 1e-4 and from 1e16 on. Only digits are taken from printf, so that the locale's decimal comma never shows. */
void qw_json_dump_double(qw_buf *out, double x)
{
    if (isnan(x) || isinf(x)) {
        qw_buf_puts(out, isnan(x) ? "NaN" : x > 0 ? "Infinity" : "-Infinity");
        return;
    }
    if (signbit(x))
        qw_buf_putc(out, '-');
    char text[40], digits[DBL_DECIMAL_DIG + 1];
    int n = 0;
    shortest(text, fabs(x));
    const char *e = strchr(text, 'e');
    for (const char *p = text; p < e; p++)
        if (*p >= '0' && *p <= '9')
            digits[n++] = *p;
    int exponent = atoi(e + 1);
    if (exponent >= -4 && exponent < 16) {
        dump_fixed(out, digits, n, exponent);
        return;
    }
    qw_buf_putc(out, digits[0]);
    if (n > 1)
        qw_buf_putc(out, '.');
    qw_buf_append(out, digits + 1, (size_t)n - 1);
    qw_buf_printf(out, "e%c%02d", exponent < 0 ? '-' : '+', abs(exponent));
}

static void dump_array(qw_buf *out, const qw_json *v)
{
    qw_buf_putc(out, '[');
    for (size_t i = 0; i < qw_json_size(v); i++) {
        if (i)
            qw_buf_puts(out, ", ");
        qw_json_dump(out, qw_json_at(v, i));
    }
    qw_buf_putc(out, ']');
}

static void dump_object(qw_buf *out, const qw_json *v)
{
    bool first = true;
    qw_buf_putc(out, '{');
    for (qw_json_iter it = qw_json_first(v); it.key; qw_json_next(v, &it), first = false) {
        if (!first)
            qw_buf_puts(out, ", ");
        qw_json_dump_string(out, it.key, it.key_len);
        qw_buf_puts(out, ": ");
        qw_json_dump(out, it.value);
    }
    qw_buf_putc(out, '}');
}

void qw_json_dump(qw_buf *out, const qw_json *v)
{
    size_t len;
    const char *s;
    switch (qw_json_kind_of(v)) {
    case QW_JSON_NULL: qw_buf_puts(out, "null"); break;
    case QW_JSON_BOOL: qw_buf_puts(out, qw_json_bool(v, false) ? "true" : "false"); break;
    case QW_JSON_INT:
        if (bigint(v))
            qw_buf_puts(out, bigint(v));
        else
            qw_buf_printf(out, "%lld", (long long)qw_json_int(v, 0));
        break;
    case QW_JSON_REAL: qw_json_dump_double(out, qw_json_number(v, 0)); break;
    case QW_JSON_STRING:
        s = qw_json_string(v, &len);
        qw_json_dump_string(out, s, len);
        break;
    case QW_JSON_ARRAY: dump_array(out, v); break;
    case QW_JSON_OBJECT: dump_object(out, v); break;
    }
}
