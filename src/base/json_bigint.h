/* Integers beyond 64 bits, which jansson has no room for: they travel through it as strings that nobody else can spell. Private to json.c. */
#ifndef QW_BASE_JSON_BIGINT_H
#define QW_BASE_JSON_BIGINT_H

#include "base/buf.h"

/* Copies JSON text with every integer literal that does not fit 64 bits replaced by a marked string. *n_hidden 0: there was none, and
 * nothing was copied. */
void qw_bigint_hide(qw_buf *out, const char *text, size_t len, size_t *n_hidden);

/* The digits of a marked string (NUL-terminated), or NULL for any other string. */
const char *qw_bigint_digits(const char *s, size_t len);

#endif
