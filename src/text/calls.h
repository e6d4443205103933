/* The tool calls of an assistant's message -> the markup that the model itself writes. Private to src/text. */
#ifndef QW_TEXT_CALLS_H
#define QW_TEXT_CALLS_H

#include "text/prompt.h"

/* Appends the calls of `message` to *out. `after_text`: the turn has words before the first call. `index` of the message is for
 * errors. */
qwren_status qw_calls_render(qw_prompt *out, const qw_json *message, bool after_text, bool strict, size_t index, qwren_error *err);

#endif
