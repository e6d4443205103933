/* Printing JSON byte for byte as Python's json.dumps(..., ensure_ascii=False): the chat template puts tools and arguments into the prompt
 * in this form, and qwren prints everything so. Tested by tests/unit/test_base_json.c against Python's own output. */
#include "base/json_value.h"
#include "base/utf8.h"

#include <float.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A character that cannot stand in a string as it is. */
static void dump_escape(qw_buf *out, uint32_t c)
{
    const char *named = c == '"'    ? "\\\""
                        : c == '\\' ? "\\\\"
                        : c == '\n' ? "\\n"
                        : c == '\r' ? "\\r"
                        : c == '\t' ? "\\t"
                        : c == '\b' ? "\\b"
                        : c == '\f' ? "\\f"
                                    : NULL;
    if (named)
        qw_buf_puts(out, named);
    else
        qw_buf_printf(out, "\\u%04x", (unsigned)c);
}

/* Paths of files may be no UTF-8, JSON must be: what is ill-formed becomes U+FFFD. */
void qw_json_dump_string(qw_buf *out, const char *s, size_t len)
{
    size_t start = 0;
    qw_buf_putc(out, '"');
    for (size_t i = 0, n = 1; i < len; i += n) {
        uint32_t c = (unsigned char)s[i];
        bool valid = true;
        n = c < 0x80 ? 1 : qw_utf8_decode(s + i, len - i, &c, &valid);
        if (valid && c >= 0x20 && c != '"' && c != '\\')
            continue;
        qw_buf_append(out, s + start, i - start);
        start = i + n;
        if (valid)
            dump_escape(out, c);
        else
            qw_buf_puts(out, "\xEF\xBF\xBD");
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

void qw_json_dump_number(qw_buf *out, double x)
{
    if (isfinite(x))
        qw_json_dump_double(out, x);
    else
        qw_buf_puts(out, "null");
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
        if (v->as.integer.digits)
            qw_buf_puts(out, v->as.integer.digits);
        else
            qw_buf_printf(out, "%lld", (long long)v->as.integer.value);
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
