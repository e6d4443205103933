/* Python literals -> JSON text. Models that learned from Python write {'a': True, 'b': None} where a schema asks for an object;
 * arguments.c tries this reading when JSON fails. Tested by tests/golden/test_parse.c and tests/unit/test_stream.c. */
#include "text/pyliteral.h"

#include "base/json.h"
#include "base/utf8.h"

#include <string.h>

#define MAX_DEPTH 90 /* about where Python's own parser gives up */

typedef struct reader {
    const char *at, *end;
    qw_buf *out;
    qw_buf string; /* the string at hand, decoded */
    int depth;
} reader;

static bool read_value(reader *r);

static void skip_blanks(reader *r)
{
    while (r->at < r->end && strchr(" \t\r\n\f", *r->at) && *r->at)
        r->at++;
}

static bool take(reader *r, char c)
{
    skip_blanks(r);
    if (r->at == r->end || *r->at != c)
        return false;
    r->at++;
    return true;
}

static bool take_word(reader *r, const char *word)
{
    size_t n = strlen(word);
    if ((size_t)(r->end - r->at) < n || memcmp(r->at, word, n) != 0)
        return false;
    const char *next = r->at + n;
    if (next < r->end &&
        (*next == '_' || (*next >= '0' && *next <= '9') || (*next >= 'A' && *next <= 'Z') || (*next >= 'a' && *next <= 'z')))
        return false;
    r->at = next;
    return true;
}

/* r->string is used again and again, and forgets that memory ran short; *out does not. */
static bool keep_failure(reader *r)
{
    r->out->failed = r->out->failed || r->string.failed;
    return !r->out->failed;
}

/* ---- strings */

static int digit_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    return c >= 'A' && c <= 'F' ? c - 'A' + 10 : 99;
}

static bool put_scalar(reader *r, uint32_t cp)
{
    char bytes[4];
    if (cp > 0x10FFFF || (cp >= 0xD800 && cp < 0xE000))
        return false;
    qw_buf_append(&r->string, bytes, qw_utf8_encode(cp, bytes));
    return true;
}

/* Up to `max` digits, at least `min`. */
static bool read_code(reader *r, int min, int max, int base)
{
    uint32_t cp = 0;
    int n = 0;
    for (; n < max && r->at < r->end && digit_value(*r->at) < base; n++)
        cp = cp * (uint32_t)base + (uint32_t)digit_value(*r->at++);
    return n >= min && put_scalar(r, cp);
}

static bool read_escape(reader *r)
{
    static const char from[] = "\\'\"abfnrtv", to[] = "\\'\"\a\b\f\n\r\t\v";
    if (r->at == r->end)
        return false;
    char c = *r->at++;
    const char *known = c ? strchr(from, c) : NULL;
    if (known) {
        qw_buf_putc(&r->string, to[known - from]);
        return true;
    }
    switch (c) {
    case '\n': return true; /* a line that goes on */
    case 'x': return read_code(r, 2, 2, 16);
    case 'u': return read_code(r, 4, 4, 16);
    case 'U': return read_code(r, 8, 8, 16);
    case 'N': return false; /* names of characters are not known here */
    default: break;
    }
    if (c >= '0' && c <= '7') {
        r->at--;
        return read_code(r, 1, 3, 8);
    }
    qw_buf_putc(&r->string, '\\'); /* unknown escapes stand for themselves */
    r->at--;
    return true;
}

/* One quoted string, appended to r->string. */
static bool read_quoted(reader *r, char quote)
{
    while (r->at < r->end) {
        char c = *r->at++;
        if (c == quote)
            return true;
        if (c == '\n' || c == '\r' || c == '\0')
            return false;
        if (c != '\\')
            qw_buf_putc(&r->string, c);
        else if (!read_escape(r))
            return false;
    }
    return false;
}

/* 'a' "b" side by side are one string, as in Python. */
static bool read_string(reader *r)
{
    qw_buf_clear(&r->string);
    for (;;) {
        char quote = *r->at++;
        if (!read_quoted(r, quote))
            return false;
        skip_blanks(r);
        if (r->at == r->end || (*r->at != '\'' && *r->at != '"'))
            break;
    }
    qw_json_dump_string(r->out, qw_buf_text(&r->string), r->string.len);
    return keep_failure(r);
}

/* ---- numbers */

static bool is_digit(const reader *r) { return r->at < r->end && *r->at >= '0' && *r->at <= '9'; }

static size_t read_digits(reader *r, qw_buf *text)
{
    size_t n = 0;
    for (; is_digit(r); n++) {
        qw_buf_putc(text, *r->at++);
        if (r->at + 1 < r->end && *r->at == '_' && r->at[1] >= '0' && r->at[1] <= '9')
            r->at++;
    }
    return n;
}

static bool read_exponent(reader *r, qw_buf *text)
{
    if (r->at == r->end || (*r->at != 'e' && *r->at != 'E'))
        return false;
    qw_buf_putc(text, *r->at++);
    if (r->at < r->end && (*r->at == '+' || *r->at == '-'))
        qw_buf_putc(text, *r->at++);
    return true;
}

/* Digits with an optional point and exponent into *text, as JSON spells it; *real tells whether it is a float. */
static bool spell_number(reader *r, qw_buf *text, bool *real)
{
    size_t whole = read_digits(r, text), fraction = 0;
    bool zeros = whole > 1 && qw_buf_text(text)[0] == '0';
    if (!whole)
        qw_buf_putc(text, '0');
    *real = r->at < r->end && *r->at == '.';
    if (*real) {
        r->at++;
        qw_buf_putc(text, '.');
        fraction = read_digits(r, text);
        if (!fraction)
            qw_buf_putc(text, '0');
    }
    if (!whole && !fraction)
        return false;
    if (read_exponent(r, text)) {
        *real = true;
        return read_digits(r, text) > 0 && !zeros;
    }
    return !zeros; /* 007 is no Python; 00.5 would be, and no model writes it */
}

static bool read_number(reader *r)
{
    bool minus = *r->at == '-', real = false;
    qw_json *v = NULL;
    qw_buf *text = &r->string;
    if (*r->at == '-' || *r->at == '+')
        r->at++;
    qw_buf_clear(text);
    if (!spell_number(r, text, &real) || !keep_failure(r))
        return false;
    if (r->at < r->end && (*r->at == '_' || *r->at == 'j' || *r->at == 'J' || *r->at == '.'))
        return false;
    if (minus && (real || strcmp(qw_buf_text(text), "0") != 0))
        qw_buf_putc(r->out, '-');
    if (!real) {
        qw_buf_append(r->out, qw_buf_text(text), text->len);
        return true;
    }
    qwren_status st = qw_json_parse(&v, qw_buf_text(text), text->len, "number", NULL);
    r->out->failed = r->out->failed || st == QWREN_E_MEMORY;
    if (st != QWREN_OK)
        return false;
    qw_json_dump_double(r->out, qw_json_number(v, 0));
    qw_json_free(v);
    return true;
}

/* ---- containers */

/* Items up to `close`; a comma may follow the last. *n counts them, *comma tells whether the last one had a comma. */
static bool read_items(reader *r, char close, size_t *n, bool *comma)
{
    *comma = true;
    for (*n = 0; !take(r, close); ++*n) {
        if (!*comma)
            return false;
        if (*n)
            qw_buf_puts(r->out, ", ");
        if (!read_value(r))
            return false;
        *comma = take(r, ',');
    }
    return true;
}

static bool read_list(reader *r)
{
    size_t n;
    bool comma;
    qw_buf_putc(r->out, '[');
    if (!read_items(r, ']', &n, &comma))
        return false;
    qw_buf_putc(r->out, ']');
    return true;
}

/* (1, 2) and (1,) are tuples, (1) is only 1. */
static bool read_tuple(reader *r)
{
    size_t n, begin = r->out->len;
    bool comma;
    qw_buf_putc(r->out, '[');
    if (!read_items(r, ')', &n, &comma))
        return false;
    qw_buf_putc(r->out, ']');
    if (n == 1 && !comma && !r->out->failed) {
        memmove(r->out->data + begin, r->out->data + begin + 1, r->out->len - begin - 2);
        qw_buf_truncate(r->out, r->out->len - 2);
    }
    return true;
}

/* A member's name: strings as they are; numbers, True, None become their JSON text in quotes, as json.dumps does it. */
static bool read_key(reader *r)
{
    size_t begin = r->out->len;
    skip_blanks(r);
    if (r->at == r->end || *r->at == '[' || *r->at == '{' || *r->at == '(' || !read_value(r))
        return false;
    if (r->out->failed || r->out->data[begin] == '"')
        return true;
    qw_buf_putc(r->out, '"');
    qw_buf_putc(r->out, '"');
    if (!r->out->failed) {
        memmove(r->out->data + begin + 1, r->out->data + begin, r->out->len - begin - 2);
        r->out->data[begin] = '"';
    }
    return true;
}

static bool read_dict(reader *r)
{
    bool comma = true;
    qw_buf_putc(r->out, '{');
    for (size_t n = 0; !take(r, '}'); n++) {
        if (!comma)
            return false;
        if (n)
            qw_buf_puts(r->out, ", ");
        if (!read_key(r) || !take(r, ':'))
            return false;
        qw_buf_puts(r->out, ": ");
        if (!read_value(r))
            return false;
        comma = take(r, ',');
    }
    qw_buf_putc(r->out, '}');
    return true;
}

static bool read_container(reader *r)
{
    char c = *r->at++;
    if (r->depth++ >= MAX_DEPTH)
        return false;
    bool ok = c == '{' ? read_dict(r) : c == '[' ? read_list(r) : read_tuple(r);
    r->depth--;
    return ok;
}

static bool read_value(reader *r)
{
    skip_blanks(r);
    if (r->at == r->end)
        return false;
    char c = *r->at;
    if (c == '{' || c == '[' || c == '(')
        return read_container(r);
    if (c == '\'' || c == '"')
        return read_string(r);
    if ((c >= '0' && c <= '9') || c == '-' || c == '+' || c == '.')
        return read_number(r);
    const char *json = take_word(r, "True") ? "true" : take_word(r, "False") ? "false" : take_word(r, "None") ? "null" : NULL;
    if (json)
        qw_buf_puts(r->out, json);
    return json != NULL;
}

bool qw_pyliteral_to_json(qw_buf *out, const char *text, size_t len)
{
    reader r = { .at = text, .end = text + len, .out = out };
    size_t begin = out->len;
    skip_blanks(&r);
    bool ok = r.at < r.end && (*r.at == '{' || *r.at == '[' || *r.at == '(') && read_container(&r);
    skip_blanks(&r);
    ok = keep_failure(&r) && ok && r.at == r.end;
    qw_buf_free(&r.string);
    if (!ok && out->len > begin)
        qw_buf_truncate(out, begin);
    return ok;
}
