/* JSON text -> values (RFC 8259), in one pass and in linear time. Written for this library because a failed allocation must be an error and
 * nothing worse, integers of any length must keep their digits, and a vocabulary of 11 MB should not take half a second. Children are
 * collected on a stack and copied into the arena when their bracket closes. Tested by tests/unit/test_base_json.c and
 * tests/fuzz/fuzz_json.c. */
#include "base/json_value.h"

#include "base/alloc.h"
#include "base/rng.h"
#include "base/utf8.h"

#include <locale.h>
#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#ifdef __APPLE__
#  include <xlocale.h> /* newlocale */
#endif

#define MAX_DEPTH 512
#define MAX_UNINDEXED 16 /* members; beyond, an object gets an index */

typedef struct parser {
    const char *begin, *at, *end;
    const char *where;
    qwren_error *err;
    qw_json_document *doc;
    char *strings;  /* next free byte of doc->strings */
    qw_json *stack; /* children of the open brackets */
    size_t n_stack, cap;
} parser;

static qwren_status parse_value(parser *p, int depth, qw_json *out);

/* ---- errors */

static qwren_status fail_here(parser *p, const char *what)
{
    size_t line = 1, column = 1;
    for (const char *c = p->begin; c < p->at && c < p->end; c++) {
        column = *c == '\n' ? 1 : column + 1;
        line += *c == '\n';
    }
    return qw_fail(p->err, QWREN_E_FORMAT, "%s: line %zu, column %zu: %s", p->where, line, column, what);
}

static qwren_status fail_memory(parser *p) { return qw_fail_memory(p->err, (size_t)(p->end - p->begin), p->where); }

/* ---- characters */

static void skip_space(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\n' || *p->at == '\t' || *p->at == '\r'))
        p->at++;
}

static bool take(parser *p, char c)
{
    skip_space(p);
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

static bool is_digit(const parser *p) { return p->at < p->end && *p->at >= '0' && *p->at <= '9'; }

static size_t skip_digits(parser *p)
{
    const char *first = p->at;
    while (is_digit(p))
        p->at++;
    return (size_t)(p->at - first);
}

/* ---- strings */

static int hex_value(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'a' && c <= 'f' ? c - 'a' + 10 : c >= 'A' && c <= 'F' ? c - 'A' + 10 : -1;
}

/* Four hexadecimal digits at p->at, -1 when they are not. */
static int32_t take_hex4(parser *p)
{
    int32_t value = 0;
    if (p->end - p->at < 4)
        return -1;
    for (int i = 0; i < 4; i++) {
        int digit = hex_value(p->at[i]);
        if (digit < 0)
            return -1;
        value = value * 16 + digit;
    }
    p->at += 4;
    return value;
}

/* Behind "\u": one escape, or two that form a pair of surrogates. A lone surrogate is no character. */
static qwren_status take_unicode_escape(parser *p)
{
    int32_t high = take_hex4(p), low = 0;
    if (high < 0)
        return fail_here(p, "\\u needs four hexadecimal digits");
    if (high >= 0xD800 && high <= 0xDBFF && p->end - p->at >= 6 && p->at[0] == '\\' && p->at[1] == 'u') {
        p->at += 2;
        low = take_hex4(p);
    }
    if (high >= 0xD800 && high <= 0xDFFF && (high > 0xDBFF || low < 0xDC00 || low > 0xDFFF))
        return fail_here(p, "half of a surrogate pair");
    uint32_t cp = low ? 0x10000u + ((uint32_t)(high - 0xD800) << 10) + (uint32_t)(low - 0xDC00) : (uint32_t)high;
    p->strings += qw_utf8_encode(cp, p->strings);
    return QWREN_OK;
}

static qwren_status take_escape(parser *p)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    char c = p->at < p->end ? *p->at : '\0';
    if (c == 'u') {
        p->at++;
        return take_unicode_escape(p);
    }
    const char *name = c ? strchr(names, c) : NULL;
    if (!name)
        return fail_here(p, "an escape that JSON does not have");
    p->at++;
    *p->strings++ = meanings[name - names];
    return QWREN_OK;
}

static qwren_status take_character(parser *p)
{
    uint32_t cp;
    bool valid;
    size_t n = qw_utf8_decode(p->at, (size_t)(p->end - p->at), &cp, &valid);
    if (!valid)
        return fail_here(p, "the text is not valid UTF-8");
    memcpy(p->strings, p->at, n);
    p->strings += n;
    p->at += n;
    return QWREN_OK;
}

/* The string whose opening quote was taken. */
static qwren_status parse_string(parser *p, qw_json *out)
{
    char *first = p->strings;
    for (;;) {
        if (p->at == p->end)
            return fail_here(p, "a string is not closed");
        unsigned char c = (unsigned char)*p->at;
        if (c == '"')
            break;
        if (c < 0x20)
            return fail_here(p, "a control character in a string");
        if (c == '\\') {
            p->at++;
            QW_TRY(take_escape(p));
        } else if (c < 0x80) {
            *p->strings++ = *p->at++;
        } else {
            QW_TRY(take_character(p));
        }
    }
    p->at++;
    *out = (qw_json){ .kind = QW_JSON_STRING, .as.string = { first, (size_t)(p->strings - first) } };
    *p->strings++ = '\0';
    return QWREN_OK;
}

/* ---- numbers */

static locale_t c_locale;
static pthread_once_t c_locale_once = PTHREAD_ONCE_INIT;
static void make_c_locale(void) { c_locale = newlocale(LC_ALL_MASK, "C", (locale_t)0); }

/* strtod with a decimal point, whatever the process's locale prefers. */
static double to_double(const char *text)
{
    pthread_once(&c_locale_once, make_c_locale);
    locale_t before = uselocale(c_locale);
    double x = strtod(text, NULL);
    uselocale(before);
    return x;
}

/* Decimal digits with an optional minus; false when they do not fit. */
static bool to_int64(const char *text, int64_t *out)
{
    bool minus = *text == '-';
    int64_t value = 0;
    for (text += minus; *text; text++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_sub_overflow(value, *text - '0', &value)) /* downwards: INT64_MIN has no positive twin */
            return false;
    if (!minus && value == INT64_MIN)
        return false;
    *out = minus ? value : -value;
    return true;
}

/* Moves p->at behind a number of RFC 8259's grammar; *integer when it has neither fraction nor exponent. */
static bool scan_number(parser *p, bool *integer)
{
    *integer = true;
    if (*p->at == '-')
        p->at++;
    const char *first = p->at;
    size_t n = skip_digits(p);
    if (n == 0 || (n > 1 && *first == '0'))
        return false;
    if (p->at < p->end && *p->at == '.') {
        *integer = false;
        p->at++;
        if (!skip_digits(p))
            return false;
    }
    if (p->at < p->end && (*p->at == 'e' || *p->at == 'E')) {
        *integer = false;
        p->at++;
        if (p->at < p->end && (*p->at == '+' || *p->at == '-'))
            p->at++;
        if (!skip_digits(p))
            return false;
    }
    return true;
}

static qwren_status parse_number(parser *p, qw_json *out)
{
    const char *first = p->at;
    bool integer;
    if (!scan_number(p, &integer))
        return fail_here(p, "not a number");
    size_t n = (size_t)(p->at - first);
    memcpy(p->strings, first, n);
    p->strings[n] = '\0';
    if (!integer) {
        *out = (qw_json){ .kind = QW_JSON_REAL, .as.real = to_double(p->strings) };
        return isinf(out->as.real) ? fail_here(p, "a number beyond the range of doubles") : QWREN_OK;
    }
    *out = (qw_json){ .kind = QW_JSON_INT };
    if (!to_int64(p->strings, &out->as.integer.value)) {
        out->as.integer.digits = p->strings;
        p->strings += n + 1;
    }
    return QWREN_OK;
}

static qwren_status parse_word(parser *p, const char *word, qw_json value, qw_json *out)
{
    size_t n = strlen(word);
    if ((size_t)(p->end - p->at) < n || memcmp(p->at, word, n) != 0)
        return fail_here(p, "not a JSON value");
    p->at += n;
    *out = value;
    return QWREN_OK;
}

/* ---- arrays and objects */

static qwren_status push(parser *p, const qw_json *v)
{
    if (p->n_stack == p->cap) {
        size_t cap = p->cap ? p->cap * 2 : 64;
        qw_json *grown = qw_realloc_array(p->stack, cap, sizeof *grown);
        if (!grown)
            return fail_memory(p);
        p->stack = grown;
        p->cap = cap;
    }
    p->stack[p->n_stack++] = *v;
    return QWREN_OK;
}

static qwren_status parse_array(parser *p, int depth, qw_json *out)
{
    size_t base = p->n_stack;
    if (!take(p, ']')) {
        do {
            qw_json v;
            QW_TRY(parse_value(p, depth, &v));
            QW_TRY(push(p, &v));
        } while (take(p, ','));
        if (!take(p, ']'))
            return fail_here(p, "',' or ']' is missing");
    }
    size_t n = p->n_stack - base;
    qw_json *items = n ? qw_arena_alloc(&p->doc->arena, n * sizeof *items) : NULL; /* n values fit in memory already: no overflow */
    if (n && !items)
        return fail_memory(p);
    if (n)
        memcpy(items, p->stack + base, n * sizeof *items);
    p->n_stack = base;
    *out = (qw_json){ .kind = QW_JSON_ARRAY, .as.array = { items, n } };
    return QWREN_OK;
}

static bool add_index(parser *p, qw_json_object *o, size_t n)
{
    size_t slots = 4 * MAX_UNINDEXED, bytes;
    while (slots < 2 * n)
        slots *= 2;
    if (n > UINT32_MAX - 1 || !qw_mul_size(slots, sizeof(uint32_t), &bytes) || !qw_add_size(bytes, sizeof *o->index, &bytes))
        return false;
    o->index = qw_arena_alloc(&p->doc->arena, bytes);
    if (!o->index)
        return false;
    memset(o->index, 0, bytes);
    o->index->seed = qw_random_seed();
    o->index->mask = slots - 1;
    return true;
}

/* Pairs of key and value -> members. A key that comes again keeps its first place and takes its last value, as in Python's dict. */
static qwren_status make_object(parser *p, const qw_json *pairs, size_t n, qw_json *out)
{
    qw_json_object *o = qw_arena_alloc(&p->doc->arena, sizeof *o + n * sizeof *o->members); /* less than the stack and the text took */
    if (!o)
        return fail_memory(p);
    *o = (qw_json_object){ 0, NULL };
    if (n > MAX_UNINDEXED && !add_index(p, o, n))
        return fail_memory(p);
    for (size_t i = 0; i < n; i++) {
        const qw_json *key = &pairs[2 * i], *value = &pairs[2 * i + 1];
        size_t slot = 0;
        qw_json_member *known = qw_json_find(o, key->as.string.text, key->as.string.len, &slot);
        if (known) {
            known->value = *value;
            continue;
        }
        o->members[o->n++] = (qw_json_member){ key->as.string.text, key->as.string.len, *value };
        if (o->index)
            o->index->slots[slot] = (uint32_t)o->n;
    }
    *out = (qw_json){ .kind = QW_JSON_OBJECT, .as.object = o };
    return QWREN_OK;
}

static qwren_status parse_member(parser *p, int depth)
{
    qw_json v;
    if (!take(p, '"'))
        return fail_here(p, "a key in quotes is missing");
    QW_TRY(parse_string(p, &v));
    QW_TRY(push(p, &v));
    if (!take(p, ':'))
        return fail_here(p, "':' is missing");
    QW_TRY(parse_value(p, depth, &v));
    return push(p, &v);
}

static qwren_status parse_object(parser *p, int depth, qw_json *out)
{
    size_t base = p->n_stack;
    if (!take(p, '}')) {
        do
            QW_TRY(parse_member(p, depth));
        while (take(p, ','));
        if (!take(p, '}'))
            return fail_here(p, "',' or '}' is missing");
    }
    qwren_status st = make_object(p, p->stack ? p->stack + base : NULL, (p->n_stack - base) / 2, out);
    p->n_stack = base;
    return st;
}

/* ---- values */

static qwren_status parse_value(parser *p, int depth, qw_json *out)
{
    skip_space(p);
    if (p->at == p->end)
        return fail_here(p, "the text ends too early");
    char c = *p->at;
    if ((c == '[' || c == '{') && depth == MAX_DEPTH)
        return qw_fail(p->err, QWREN_E_FORMAT, "%s: nested deeper than %d levels", p->where, MAX_DEPTH);
    switch (c) {
    case '[': p->at++; return parse_array(p, depth + 1, out);
    case '{': p->at++; return parse_object(p, depth + 1, out);
    case '"': p->at++; return parse_string(p, out);
    case 't': return parse_word(p, "true", (qw_json){ .kind = QW_JSON_BOOL, .as.boolean = true }, out);
    case 'f': return parse_word(p, "false", (qw_json){ .kind = QW_JSON_BOOL }, out);
    case 'n': return parse_word(p, "null", (qw_json){ .kind = QW_JSON_NULL }, out);
    default: return c == '-' || is_digit(p) ? parse_number(p, out) : fail_here(p, "not a JSON value");
    }
}

static qwren_status parse_document(parser *p)
{
    qw_json root; /* the document's own place is written last, when nothing can fail any more */
    QW_TRY(parse_value(p, 0, &root));
    skip_space(p);
    if (p->at != p->end)
        return fail_here(p, "something follows the value");
    p->doc->root = root;
    return QWREN_OK;
}

qwren_status qw_json_parse(qw_json **out, const char *text, size_t len, const char *where, qwren_error *err)
{
    *out = NULL;
    size_t bytes;
    qw_json_document *doc = qw_calloc(1, sizeof *doc);
    char *strings = qw_add_size(len, 1, &bytes) ? qw_malloc(bytes) : NULL;
    if (!doc || !strings) {
        qw_free(doc);
        qw_free(strings);
        return qw_fail_memory(err, len, where);
    }
    qw_arena_init(&doc->arena, len < 4096 ? 1024 : len < 1u << 20 ? 16384 : 1u << 20);
    doc->strings = strings;
    parser p = { .begin = text, .at = text, .end = text + len, .where = where, .err = err, .doc = doc, .strings = strings };
    qwren_status st = parse_document(&p);
    qw_free(p.stack);
    if (st != QWREN_OK) {
        qw_json_free(&doc->root);
        return st;
    }
    *out = &doc->root;
    return QWREN_OK;
}
