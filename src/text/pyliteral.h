/* Python's literals as JSON. Private to src/text. */
#ifndef QW_TEXT_PYLITERAL_H
#define QW_TEXT_PYLITERAL_H

#include "base/buf.h"

/* Appends the list, tuple or dict that `text` spells in Python ({'a': True, 'b': [1, 2,]}) to *out as JSON. False, with *out as
 * it was, when the text is anything else. Names, calls, sets, bytes, complex numbers and comments are not read. */
bool qw_pyliteral_to_json(qw_buf *out, const char *text, size_t len);

#endif
