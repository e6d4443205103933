/* JSON values in one spelling each, so that equal values are equal bytes. Private to src/text. */
#ifndef QW_TEXT_CANONICAL_H
#define QW_TEXT_CANONICAL_H

#include "base/json.h"

/* Appends v: keys in the order of their bytes, no blanks, a number with an integral value as an integer (1.0 and 1e0 are 1). */
qwren_status qw_json_canonical(qw_buf *out, const qw_json *v, qwren_error *err);

#endif
