/* The tool calls of an assistant's message -> the markup that the model itself writes, or one spelling to compare them by. */
#ifndef QW_TEXT_CALLS_H
#define QW_TEXT_CALLS_H

#include "text/prompt.h"

/* Appends the calls of `message` to *out. `after_text`: the turn has words before the first call. `index` of the message is for
 * errors. */
qwren_status qw_calls_render(qw_prompt *out, const qw_json *message, bool after_text, bool strict, size_t index, qwren_error *err);

/* Appends what the calls say: ["name",{arguments}] for each, arguments as values (canonical.h), whichever form the client chose; ids do not
 * count. Nothing when there are none. *n_calls counts them. Arguments that are no object stand as they are, which no answer's do. */
qwren_status qw_calls_canonical(qw_buf *out, const qw_json *message, size_t *n_calls, qwren_error *err);

#endif
