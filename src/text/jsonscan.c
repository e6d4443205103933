/* The end of a JSON object, found byte by byte (jsonscan.h). stream_call.c asks it about calls that are written as JSON. Tested
 * by tests/unit/test_stream.c. */
#include "text/jsonscan.h"

#include <string.h>

enum {
    VALUE,          /* a value must come */
    VALUE_OR_CLOSE, /* just behind '[' */
    KEY,            /* a member's name must come */
    KEY_OR_CLOSE,   /* just behind '{' */
    COLON,
    AFTER, /* behind a value: comma or closing bracket */
    STRING,
    ESCAPE,
    HEX,
    MINUS,
    ZERO,
    DIGITS,
    POINT,
    FRACTION,
    EXPONENT,
    EXPONENT_SIGN,
    EXPONENT_DIGITS,
    LITERAL /* inside true, false, null */
};

/* The literals in one string; `literal` is the offset of the next letter, a NUL ends each. */
static const char literals[] = "true\0false\0null";
enum { TRUE_AT = 0, FALSE_AT = 5, NULL_AT = 11 };

void qw_jsonscan_init(qw_jsonscan *j)
{
    memset(j, 0, sizeof *j);
    j->state = VALUE;
}

static bool is_digit(unsigned char c) { return c >= '0' && c <= '9'; }
static bool is_hex(unsigned char c) { return is_digit(c) || (c >= 'a' && c <= 'f') || (c >= 'A' && c <= 'F'); }
static bool is_blank(unsigned char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

static qw_jsonscan_result go(qw_jsonscan *j, int state)
{
    j->state = (uint8_t)state;
    return QW_JSONSCAN_MORE;
}

static qw_jsonscan_result open_bracket(qw_jsonscan *j, bool object)
{
    if (j->depth == QW_JSONSCAN_DEPTH)
        return QW_JSONSCAN_BAD;
    j->in_object[j->depth++] = object;
    return go(j, object ? KEY_OR_CLOSE : VALUE_OR_CLOSE);
}

static qw_jsonscan_result close_bracket(qw_jsonscan *j, bool object)
{
    if (j->in_object[j->depth - 1] != object)
        return QW_JSONSCAN_BAD;
    j->depth--;
    return j->depth ? go(j, AFTER) : QW_JSONSCAN_DONE;
}

static qw_jsonscan_result open_literal(qw_jsonscan *j, uint8_t at)
{
    j->literal = (uint8_t)(at + 1);
    return go(j, LITERAL);
}

static qw_jsonscan_result open_string(qw_jsonscan *j, bool is_key)
{
    j->is_key = is_key;
    return go(j, STRING);
}

static qw_jsonscan_result begin_value(qw_jsonscan *j, unsigned char c)
{
    if (c == '{' || j->depth == 0)
        return c == '{' ? open_bracket(j, true) : QW_JSONSCAN_BAD;
    if (c == '[')
        return open_bracket(j, false);
    if (c == '"')
        return open_string(j, false);
    if (c == '-')
        return go(j, MINUS);
    if (is_digit(c))
        return go(j, c == '0' ? ZERO : DIGITS);
    if (c == 't' || c == 'f' || c == 'n')
        return open_literal(j, c == 't' ? TRUE_AT : c == 'f' ? FALSE_AT : NULL_AT);
    return QW_JSONSCAN_BAD;
}

static qw_jsonscan_result after_value(qw_jsonscan *j, unsigned char c)
{
    if (is_blank(c))
        return go(j, AFTER);
    if (c == ',')
        return go(j, j->in_object[j->depth - 1] ? KEY : VALUE);
    if (c == '}' || c == ']')
        return close_bracket(j, c == '}');
    return QW_JSONSCAN_BAD;
}

static qw_jsonscan_result in_string(qw_jsonscan *j, unsigned char c)
{
    switch (j->state) {
    case ESCAPE:
        j->escape = 0;
        if (c == 'u')
            return go(j, HEX);
        return c && strchr("\"\\/bfnrt", c) ? go(j, STRING) : QW_JSONSCAN_BAD;
    case HEX:
        if (!is_hex(c))
            return QW_JSONSCAN_BAD;
        return ++j->escape == 4 ? go(j, STRING) : QW_JSONSCAN_MORE;
    default:
        if (c == '"')
            return go(j, j->is_key ? COLON : AFTER);
        if (c == '\\')
            return go(j, ESCAPE);
        return c < 0x20 ? QW_JSONSCAN_BAD : QW_JSONSCAN_MORE;
    }
}

/* A number has no end of its own: the byte behind it belongs to what follows. */
static qw_jsonscan_result in_number(qw_jsonscan *j, unsigned char c)
{
    bool digit = is_digit(c), e = c == 'e' || c == 'E';
    switch (j->state) {
    case MINUS: return digit ? go(j, c == '0' ? ZERO : DIGITS) : QW_JSONSCAN_BAD;
    case POINT: return digit ? go(j, FRACTION) : QW_JSONSCAN_BAD;
    case EXPONENT:
        if (c == '+' || c == '-')
            return go(j, EXPONENT_SIGN);
        return digit ? go(j, EXPONENT_DIGITS) : QW_JSONSCAN_BAD;
    case EXPONENT_SIGN: return digit ? go(j, EXPONENT_DIGITS) : QW_JSONSCAN_BAD;
    case EXPONENT_DIGITS: return digit ? QW_JSONSCAN_MORE : after_value(j, c);
    case FRACTION: return digit ? QW_JSONSCAN_MORE : e ? go(j, EXPONENT) : after_value(j, c);
    default: /* ZERO, DIGITS */
        if (digit)
            return j->state == ZERO ? QW_JSONSCAN_BAD : QW_JSONSCAN_MORE;
        return c == '.' ? go(j, POINT) : e ? go(j, EXPONENT) : after_value(j, c);
    }
}

static qw_jsonscan_result in_literal(qw_jsonscan *j, unsigned char c)
{
    if (c != (unsigned char)literals[j->literal])
        return QW_JSONSCAN_BAD;
    return literals[++j->literal] ? QW_JSONSCAN_MORE : go(j, AFTER);
}

static qw_jsonscan_result between(qw_jsonscan *j, unsigned char c)
{
    if (is_blank(c))
        return j->depth ? QW_JSONSCAN_MORE : QW_JSONSCAN_BAD;
    switch (j->state) {
    case COLON: return c == ':' ? go(j, VALUE) : QW_JSONSCAN_BAD;
    case KEY_OR_CLOSE:
        if (c == '}')
            return close_bracket(j, true);
        return c == '"' ? open_string(j, true) : QW_JSONSCAN_BAD;
    case KEY: return c == '"' ? open_string(j, true) : QW_JSONSCAN_BAD;
    case VALUE_OR_CLOSE:
        if (c == ']')
            return close_bracket(j, false);
        return begin_value(j, c);
    default: return begin_value(j, c);
    }
}

qw_jsonscan_result qw_jsonscan_push(qw_jsonscan *j, unsigned char c)
{
    if (j->state < AFTER)
        return between(j, c);
    if (j->state == AFTER)
        return after_value(j, c);
    if (j->state <= HEX)
        return in_string(j, c);
    return j->state == LITERAL ? in_literal(j, c) : in_number(j, c);
}
