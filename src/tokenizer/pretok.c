/* The split scanner (pretok.h), the third step from text to ids: each alternative of the regular expression is a function, tried in the
 * expression's order, and none of them ever goes back. Tested by tests/golden/test_tokenizer.c and test_tokenizer_unicode.c. */
#include "tokenizer/pretok.h"

#include "base/utf8.h"
#include "tokenizer/unicode.h"

/* Class of the character at `at` (L, M, N, S, O) and its bytes; 0 at the end. */
static char class_at(const char *p, size_t n, size_t at, size_t *used)
{
    if (at >= n)
        return 0;
    uint32_t cp = (unsigned char)p[at];
    *used = cp < 0x80 ? 1 : qw_utf8_decode(p + at, n - at, &cp, NULL);
    return qw_unicode_class(cp);
}

static size_t skip_letters(const char *p, size_t n, size_t at)
{
    size_t used = 0;
    for (char c; (c = class_at(p, n, at, &used)) == 'L' || c == 'M';)
        at += used;
    return at;
}

static size_t skip_others(const char *p, size_t n, size_t at)
{
    size_t used = 0;
    while (class_at(p, n, at, &used) == 'O')
        at += used;
    return at;
}

/* Small letter of an ASCII letter. */
static char small(char c) { return (char)(c >= 'A' && c <= 'Z' ? c | 0x20 : c); }

/* (?i:'s|'t|'re|'ve|'m|'ll|'d). Without regard to case the long s, U+017F, is an s as well. */
static size_t contraction(const char *p, size_t n)
{
    if (p[0] != '\'' || n < 2)
        return 0;
    char a = small(p[1]), b = n > 2 ? small(p[2]) : '\0';
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return 3;
    return n > 2 && p[1] == '\xC5' && p[2] == '\xBF' ? 3 : 0;
}

/* [^\r\n\p{L}\p{N}]?[\p{L}\p{M}]+ */
static size_t word(const char *p, size_t n)
{
    size_t used = 0;
    char c = class_at(p, n, 0, &used);
    if (c == 'L' || c == 'M')
        return skip_letters(p, n, used);
    if (c == 'N' || p[0] == '\r' || p[0] == '\n')
        return 0;
    size_t end = skip_letters(p, n, used);
    return end > used ? end : 0;
}

/* \p{N} */
static size_t digit(const char *p, size_t n)
{
    size_t used = 0;
    return class_at(p, n, 0, &used) == 'N' ? used : 0;
}

/* ` ?[^\s\p{L}\p{M}\p{N}]+[\r\n]*` */
static size_t punctuation(const char *p, size_t n)
{
    size_t begin = p[0] == ' ', end = skip_others(p, n, begin);
    if (end == begin)
        return 0;
    while (end < n && (p[end] == '\r' || p[end] == '\n'))
        end++;
    return end;
}

/* \s*[\r\n]+ | \s+(?!\S) | \s+ : up to the last line end of the run; else all of it at the end of the text; else all but its last
 * character, which belongs to what follows. */
static size_t white_space(const char *p, size_t n)
{
    size_t end = 0, last = 0, behind_line = 0, used = 0;
    while (class_at(p, n, end, &used) == 'S') {
        last = end;
        end += used;
        if (p[last] == '\r' || p[last] == '\n')
            behind_line = end;
    }
    if (behind_line)
        return behind_line;
    return end == n || last == 0 ? end : last;
}

size_t qw_pretok_next(const char *text, size_t len)
{
    size_t n;
    if ((n = contraction(text, len)) || (n = word(text, len)) || (n = digit(text, len)) || (n = punctuation(text, len)))
        return n;
    return white_space(text, len);
}
