/* Base64 of data: URLs -> bytes. Pictures in requests come this way (api/media.c). Tested by tests/unit/test_base64.c. */
#include "base/base64.h"

#include "base/alloc.h"

/* Value of a character: 0..63, -1 for white space, -2 for what does not belong. '+' and '-', '/' and '_' are the two alphabets. */
static int value_of(unsigned char c)
{
    if (c >= 'A' && c <= 'Z')
        return c - 'A';
    if (c >= 'a' && c <= 'z')
        return c - 'a' + 26;
    if (c >= '0' && c <= '9')
        return c - '0' + 52;
    if (c == '+' || c == '-')
        return 62;
    if (c == '/' || c == '_')
        return 63;
    if (c == ' ' || c == '\t' || c == '\n' || c == '\r')
        return -1;
    return -2;
}

/* Everything after the first '=' must be padding or white space. */
static bool only_padding(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++)
        if (text[i] != '=' && value_of((unsigned char)text[i]) != -1)
            return false;
    return true;
}

/* Writes at most len * 3 / 4 bytes; returns false and the offset of the offending character. */
static bool decode(const char *text, size_t len, uint8_t *out, size_t *n_out, size_t *bad)
{
    uint32_t bits = 0;
    int n_bits = 0;
    size_t n = 0;
    for (size_t i = 0; i < len; i++) {
        int v = value_of((unsigned char)text[i]);
        if (v == -1)
            continue;
        if (v < 0) {
            *bad = i;
            *n_out = n;
            return text[i] == '=' && n_bits != 6 && only_padding(text + i, len - i);
        }
        bits = (bits << 6 | (uint32_t)v) & 0xFFFFFF;
        n_bits += 6;
        if (n_bits >= 8) {
            n_bits -= 8;
            out[n++] = (uint8_t)(bits >> n_bits);
        }
    }
    *bad = len;
    *n_out = n;
    return n_bits != 6; /* one lone character carries six bits: not a byte */
}

qwren_status qw_base64_decode(const char *text, size_t len, const char *where, uint8_t **out, size_t *n_out, qwren_error *err)
{
    *out = NULL;
    *n_out = 0;
    size_t room = len / 4 * 3 + 3, n = 0, bad = 0;
    uint8_t *bytes = qw_malloc(room);
    if (!bytes)
        return qw_fail_memory(err, room, where);
    if (!decode(text, len, bytes, &n, &bad)) {
        qw_free(bytes);
        return qw_fail(err, QWREN_E_FORMAT, "%s: not base64 at character %zu of %zu", where, bad, len);
    }
    *out = bytes;
    *n_out = n;
    return QWREN_OK;
}
