/* Tool calls of past turns, printed as the model would have written them. Called by template.c for each assistant's message.
 * Tested by tests/golden/test_template.c and tests/unit/test_template.c. */
#include "text/calls.h"

#include "text/canonical.h"
#include "text/content.h"

#include <string.h>

/* `"..." + name` in the template: what Python says when that cannot be. */
static qwren_status strict_name(const qw_json *call, const char **name, size_t *len, qwren_error *err)
{
    const qw_json *v = qw_json_get(call, "name");
    *name = qw_json_string(v, len);
    if (*name)
        return QWREN_OK;
    if (v)
        return qw_fail(err, QWREN_E_TEMPLATE, "TypeError: can only concatenate str (not \"%s\") to str", qw_python_type(v));
    if (qw_json_kind_of(call) == QW_JSON_NULL)
        return qw_fail(err, QWREN_E_TEMPLATE, "'None' has no attribute 'name'");
    return qw_fail(err, QWREN_E_TEMPLATE, "'%s object' has no attribute 'name'", qw_python_type(call));
}

static void write_parameter(qw_prompt *out, const char *key, size_t key_len, const qw_json *value)
{
    qw_prompt_trusted(out, "<parameter=");
    qw_prompt_untrusted(out, key, key_len);
    qw_prompt_trusted(out, ">\n");
    qw_content_value(out, value);
    qw_prompt_trusted(out, "\n</parameter>\n");
}

static void write_parameters(qw_prompt *out, const qw_json *arguments)
{
    for (qw_json_iter it = qw_json_first(arguments); it.key; qw_json_next(arguments, &it))
        write_parameter(out, it.key, it.key_len, it.value);
}

static bool is_blank(const char *s, size_t n)
{
    size_t begin = 0;
    qw_trim(s, &begin, &n);
    return begin == n;
}

/* OpenAI's clients send the arguments as JSON text. What is not an object was a model's mistake once, and is shown to it as
 * such: refusing it would end the conversation for good. */
static qwren_status write_lenient_arguments(qw_prompt *out, const qw_json *arguments, qwren_error *err)
{
    size_t n = 0;
    const char *s = qw_json_string(arguments, &n);
    qw_json *parsed = NULL;
    qwren_status st = s && !is_blank(s, n) ? qw_json_parse(&parsed, s, n, "arguments", NULL) : QWREN_E_FORMAT;
    if (st == QWREN_E_MEMORY)
        return qw_fail_memory(err, n, "a call's arguments");
    if (st == QWREN_OK)
        arguments = parsed;
    if (qw_json_is(arguments, QW_JSON_OBJECT))
        write_parameters(out, arguments);
    else if (qw_json_kind_of(arguments) != QW_JSON_NULL && !(s && is_blank(s, n)))
        write_parameter(out, "arguments", strlen("arguments"), arguments);
    qw_json_free(parsed);
    return QWREN_OK;
}

static qwren_status write_call(qw_prompt *out, const qw_json *call, const char *before, bool strict, size_t message, size_t i,
                               qwren_error *err)
{
    size_t n = 0;
    const char *name = NULL;
    const qw_json *function = qw_json_get(call, "function");
    if (function)
        call = function;
    if (strict)
        QW_TRY(strict_name(call, &name, &n, err));
    else if (!(name = qw_json_string(qw_json_get(call, "name"), &n)))
        return qw_fail(err, QWREN_E_TEMPLATE, "messages[%zu].tool_calls[%zu]: the function's name is missing", message, i);
    qw_prompt_trusted(out, before);
    qw_prompt_trusted(out, "<tool_call>\n<function=");
    qw_prompt_untrusted(out, name, n);
    qw_prompt_trusted(out, ">\n");
    const qw_json *arguments = qw_json_get(call, "arguments");
    if (!strict)
        QW_TRY(write_lenient_arguments(out, arguments, err));
    else if (qw_json_is(arguments, QW_JSON_OBJECT))
        write_parameters(out, arguments);
    else if (arguments)
        return qw_fail(err, QWREN_E_TEMPLATE, "TypeError: Can only get item pairs from a mapping.");
    qw_prompt_trusted(out, "</function>\n</tool_call>");
    return QWREN_OK;
}

qwren_status qw_calls_render(qw_prompt *out, const qw_json *message, bool after_text, bool strict, size_t index, qwren_error *err)
{
    const qw_json *calls = qw_json_get(message, "tool_calls");
    const char *first = after_text ? "\n\n" : "";
    size_t n = 0;
    if (strict && qw_json_string(calls, &n) && n) /* Python walks through the letters of a string */
        return qw_fail(err, QWREN_E_TEMPLATE, "'str object' has no attribute 'name'");
    for (size_t i = 0; i < qw_json_size(calls) && qw_json_is(calls, QW_JSON_ARRAY); i++)
        QW_TRY(write_call(out, qw_json_at(calls, i), i ? "\n" : first, strict, index, i, err));
    if (strict)
        return QWREN_OK;
    if (qw_json_is(calls, QW_JSON_OBJECT)) /* one call without its list */
        return write_call(out, calls, first, false, index, 0, err);
    const qw_json *legacy = qw_json_get(message, "function_call"); /* OpenAI's older form */
    if (!qw_json_size(calls) && qw_json_is(legacy, QW_JSON_OBJECT))
        return write_call(out, legacy, first, false, index, 0, err);
    return QWREN_OK;
}

/* ---- to compare by */

static qwren_status append_canonical(qw_buf *out, const qw_json *call, qwren_error *err)
{
    const qw_json *function = qw_json_get(call, "function"), *name, *arguments;
    size_t n = 0;
    qw_json *parsed = NULL;
    call = function ? function : call;
    name = qw_json_get(call, "name");
    arguments = qw_json_get(call, "arguments");
    const char *s = qw_json_string(arguments, &n);
    if (s && !is_blank(s, n) && qw_json_parse(&parsed, s, n, "arguments", NULL) == QWREN_E_MEMORY)
        return qw_fail_memory(err, n, "a call's arguments");
    if (parsed)
        arguments = parsed;
    qw_buf_putc(out, '[');
    if (name)
        qw_json_dump(out, name);
    qw_buf_putc(out, ',');
    bool none = qw_json_kind_of(arguments) == QW_JSON_NULL || (s && is_blank(s, n)); /* a call without parameters */
    if (none)
        qw_buf_puts(out, "{}");
    qwren_status st = none ? qw_buf_status(out, err) : qw_json_canonical(out, arguments, err);
    qw_buf_putc(out, ']');
    qw_json_free(parsed);
    return st;
}

qwren_status qw_calls_canonical(qw_buf *out, const qw_json *message, size_t *n_calls, qwren_error *err)
{
    const qw_json *calls = qw_json_get(message, "tool_calls"), *legacy = qw_json_get(message, "function_call");
    const qw_json *single = qw_json_is(calls, QW_JSON_OBJECT) ? calls : !qw_json_size(calls) ? legacy : NULL;
    *n_calls = 0;
    if (qw_json_is(single, QW_JSON_OBJECT)) {
        *n_calls = 1;
        QW_TRY(append_canonical(out, single, err));
    }
    for (size_t i = 0; qw_json_is(calls, QW_JSON_ARRAY) && i < qw_json_size(calls); i++, ++*n_calls)
        QW_TRY(append_canonical(out, qw_json_at(calls, i), err));
    return qw_buf_status(out, err);
}
