/* The text of a tool call's parameter -> the JSON value that the tool's schema asks for. Private to src/text. */
#ifndef QW_TEXT_ARGUMENTS_H
#define QW_TEXT_ARGUMENTS_H

#include "base/json.h"

/* The `parameters` schema of the tool called `name`; NULL when there is no such tool, or it has none. */
const qw_json *qw_tool_schema(const qw_json *tools, const char *name, size_t len);

/* Appends the value that `raw` spells, read by the property `key` of `schema`: null, booleans, numbers, arrays and objects
 * where the schema admits them (JSON first, then Python's spelling), else the text as a string. */
qwren_status qw_argument_append(qw_buf *out, const qw_json *schema, const char *key, const char *raw, size_t len, qwren_error *err);

#endif
