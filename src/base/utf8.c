/* UTF-8 (utf8.h): the ranges of Unicode's table 3-7, ill-formed parts as in its "best practice". Tested by tests/unit/test_base_utf8.c. */
#include "base/utf8.h"

#include <string.h>

/* Bytes that follow the lead, or 0 when it cannot lead; [*lo, *hi] is what the second byte may be. */
static int lead_length(unsigned char c, unsigned char *lo, unsigned char *hi)
{
    *lo = 0x80;
    *hi = 0xBF;
    if (c >= 0xC2 && c <= 0xDF)
        return 1;
    if (c == 0xE0)
        *lo = 0xA0;
    if (c == 0xED)
        *hi = 0x9F;
    if (c >= 0xE0 && c <= 0xEF)
        return 2;
    if (c == 0xF0)
        *lo = 0x90;
    if (c == 0xF4)
        *hi = 0x8F;
    if (c >= 0xF0 && c <= 0xF4)
        return 3;
    return 0;
}

/* Well-formed bytes from p; *want is the full length of the character that p begins (1 for a byte that leads nothing). */
static size_t scan(const unsigned char *p, size_t n, size_t *want)
{
    unsigned char lo, hi;
    int follow = lead_length(p[0], &lo, &hi);
    *want = (size_t)follow + 1;
    size_t i = 1;
    for (; i < *want && i < n; i++) {
        if (p[i] < lo || p[i] > hi)
            break;
        lo = 0x80;
        hi = 0xBF;
    }
    return i;
}

size_t qw_utf8_decode(const char *text, size_t n, uint32_t *cp, bool *valid)
{
    const unsigned char *p = (const unsigned char *)text;
    bool good = true;
    size_t used = 1, want = 1;
    if (p[0] < 0x80) {
        *cp = p[0];
    } else {
        used = scan(p, n, &want);
        good = want > 1 && used == want;
        uint32_t c = want == 2 ? p[0] & 0x1Fu : want == 3 ? p[0] & 0x0Fu : p[0] & 0x07u;
        for (size_t i = 1; i < used; i++)
            c = c << 6 | (p[i] & 0x3Fu);
        *cp = good ? c : 0xFFFD;
    }
    if (valid)
        *valid = good;
    return used;
}

size_t qw_utf8_encode(uint32_t cp, char out[4])
{
    if (cp < 0x80) {
        out[0] = (char)cp;
        return 1;
    }
    size_t n = cp < 0x800 ? 2 : cp < 0x10000 ? 3 : 4;
    for (size_t i = n - 1; i > 0; i--) {
        out[i] = (char)(0x80 | (cp & 0x3F));
        cp >>= 6;
    }
    out[0] = (char)((0xF00u >> n & 0xF0u) | cp);
    return n;
}

const char *qw_utf8_skip_bom(const char *text, size_t *len)
{
    const size_t n = *len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0 ? 3 : 0;
    *len -= n;
    return text + n;
}

bool qw_utf8_is_valid(const char *p, size_t n)
{
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool valid;
        i += qw_utf8_decode(p + i, n - i, &cp, &valid);
        if (!valid)
            return false;
    }
    return true;
}

void qw_utf8_sanitize(qw_buf *out, const char *p, size_t n)
{
    size_t start = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        bool valid;
        size_t used = qw_utf8_decode(p + i, n - i, &cp, &valid);
        if (!valid) {
            qw_buf_append(out, p + start, i - start);
            qw_buf_puts(out, "\xEF\xBF\xBD");
            start = i + used;
        }
        i += used;
    }
    qw_buf_append(out, p + start, n - start);
}

size_t qw_utf8_complete_prefix(const char *text, size_t n)
{
    const unsigned char *p = (const unsigned char *)text;
    for (size_t back = 1; back <= 3 && back <= n; back++) {
        unsigned char c = p[n - back];
        if ((c & 0xC0) == 0x80)
            continue;
        size_t want;
        size_t used = scan(p + n - back, back, &want);
        return used == back && used < want ? n - back : n;
    }
    return n;
}
