/* UTF-8 the way the WHATWG decoder and Python's errors="replace" read it: one U+FFFD per maximal ill-formed part. */
#ifndef QW_BASE_UTF8_H
#define QW_BASE_UTF8_H

#include "base/buf.h"

/* Decodes the character at p (n > 0 bytes available). Returns the bytes consumed (>= 1) and sets *cp; for an ill-formed
 * part *cp is 0xFFFD and *valid (may be NULL) is false. */
size_t qw_utf8_decode(const char *p, size_t n, uint32_t *cp, bool *valid);
/* Writes cp (a scalar value) to out[4], returns 1..4. */
size_t qw_utf8_encode(uint32_t cp, char out[4]);
/* Behind the byte order mark that some editors put before a text; *len gets shorter by it. */
const char *qw_utf8_skip_bom(const char *text, size_t *len);
bool qw_utf8_is_valid(const char *p, size_t n);
/* Appends p with every ill-formed part replaced by U+FFFD. */
void qw_utf8_sanitize(qw_buf *out, const char *p, size_t n);
/* Length of the longest prefix of p that does not end inside a character that later bytes could still complete: n minus 0..3. */
size_t qw_utf8_complete_prefix(const char *p, size_t n);

#endif
