/* Checked reading of configuration files (config_fields.h). Tested by tests/unit/test_config.c. */
#include "model/config_fields.h"

#include <limits.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define SHOWN_BYTES 80 /* of a value, in a message */

const qw_json *qw_field(const qw_fields *f, const char *key)
{
    const qw_json *v = qw_json_get(f->object, key);
    return qw_json_kind_of(v) == QW_JSON_NULL ? NULL : v;
}

qwren_status qw_field_object(const qw_fields *f, const char *key, const char *section, qw_fields *out)
{
    const qw_json *v = qw_field(f, key);
    *out = (qw_fields){ v, f->path, section, f->err };
    return v && !qw_json_is(v, QW_JSON_OBJECT) ? qw_field_fail(f, QWREN_E_FORMAT, key, "an object is needed") : QWREN_OK;
}

/* ---- refusals */

qwren_status qw_field_fail(const qw_fields *f, qwren_status code, const char *key, const char *fmt, ...)
{
    char supported[256];
    va_list args;
    va_start(args, fmt);
    vsnprintf(supported, sizeof supported, fmt, args);
    va_end(args);

    const qw_json *v = qw_field(f, key);
    if (!v)
        return qw_fail(f->err, code, "%s: %s%s is missing; %s", f->path, f->section, key, supported);
    qw_buf value = QW_BUF_INIT;
    qw_json_dump(&value, v);
    qw_fail(f->err, code, "%s: %s%s is %.*s%s; %s", f->path, f->section, key, SHOWN_BYTES, qw_buf_text(&value),
            value.len > SHOWN_BYTES ? "..." : "", supported);
    qw_buf_free(&value);
    return code;
}

/* ---- numbers */

qwren_status qw_field_int64_maybe(const qw_fields *f, const char *key, int64_t min, int64_t max, int64_t *out)
{
    const qw_json *v = qw_field(f, key);
    int64_t x = qw_json_int(v, INT64_MIN); /* the answer for what is no whole number of 64 bits */
    if (!v)
        return QWREN_OK;
    if (!(x >= min && x <= max) || x == INT64_MIN)
        return qw_field_fail(f, QWREN_E_FORMAT, key, "supported are whole numbers from %lld to %lld", (long long)min, (long long)max);
    *out = x;
    return QWREN_OK;
}

qwren_status qw_field_int_maybe(const qw_fields *f, const char *key, int min, int max, int *out)
{
    int64_t x = *out;
    QW_TRY(qw_field_int64_maybe(f, key, min, max, &x));
    *out = (int)x;
    return QWREN_OK;
}

qwren_status qw_field_int(const qw_fields *f, const char *key, int min, int max, int *out)
{
    if (!qw_field(f, key))
        return qw_field_fail(f, QWREN_E_FORMAT, key, "a whole number from %d to %d is needed", min, max);
    return qw_field_int_maybe(f, key, min, max, out);
}

qwren_status qw_field_ints(const qw_fields *f, const qw_int_rule *rules, size_t n, void *out)
{
    for (size_t i = 0; i < n; i++) {
        int x = 0;
        QW_TRY(qw_field_int(f, rules[i].key, rules[i].min, rules[i].max, &x));
        memcpy((char *)out + rules[i].offset, &x, sizeof x);
    }
    return QWREN_OK;
}

qwren_status qw_field_number_maybe(const qw_fields *f, const char *key, double min, double max, double *out)
{
    const qw_json *v = qw_field(f, key);
    double x = qw_json_number(v, (double)NAN);
    if (!v)
        return QWREN_OK;
    if (!(x >= min && x <= max))
        return qw_field_fail(f, QWREN_E_FORMAT, key, "supported are numbers from %g to %g", min, max);
    *out = x;
    return QWREN_OK;
}

qwren_status qw_field_number(const qw_fields *f, const char *key, double min, double max, double *out)
{
    if (!qw_field(f, key))
        return qw_field_fail(f, QWREN_E_FORMAT, key, "a number from %g to %g is needed", min, max);
    return qw_field_number_maybe(f, key, min, max, out);
}

qwren_status qw_field_numbers_maybe(const qw_fields *f, const char *key, int n, double min, double max, double *out)
{
    const qw_json *v = qw_field(f, key);
    if (!v)
        return QWREN_OK;
    bool good = qw_json_is(v, QW_JSON_ARRAY) && qw_json_size(v) == (size_t)n;
    for (int i = 0; good && i < n; i++) {
        double x = qw_json_number(qw_json_at(v, (size_t)i), (double)NAN);
        good = x >= min && x <= max;
        out[i] = x;
    }
    return good ? QWREN_OK : qw_field_fail(f, QWREN_E_FORMAT, key, "a list of %d numbers from %g to %g is needed", n, min, max);
}

qwren_status qw_field_bool_maybe(const qw_fields *f, const char *key, bool *out)
{
    const qw_json *v = qw_field(f, key);
    if (v && !qw_json_is(v, QW_JSON_BOOL))
        return qw_field_fail(f, QWREN_E_FORMAT, key, "true or false is needed");
    *out = qw_json_bool(v, *out);
    return QWREN_OK;
}

/* ---- what has one meaning only */

qwren_status qw_field_must_be_bool(const qw_fields *f, const char *key, bool only)
{
    bool x = only;
    QW_TRY(qw_field_bool_maybe(f, key, &x));
    return x == only ? QWREN_OK : qw_field_fail(f, QWREN_E_UNSUPPORTED, key, "supported is %s", only ? "true" : "false");
}

qwren_status qw_field_must_be_text(const qw_fields *f, const char *key, const char *only, const char *or_only)
{
    const qw_json *v = qw_field(f, key);
    const char *text = qw_json_string(v, NULL);
    if (!v || (text && (strcmp(text, only) == 0 || (or_only && strcmp(text, or_only) == 0))))
        return QWREN_OK;
    return qw_field_fail(f, QWREN_E_UNSUPPORTED, key, "supported is \"%s\"%s%s%s", only, or_only ? " or \"" : "", or_only ? or_only : "",
                         or_only ? "\"" : "");
}

qwren_status qw_field_must_be_int(const qw_fields *f, const char *key, int only)
{
    int x = only;
    QW_TRY(qw_field_int_maybe(f, key, INT_MIN, INT_MAX, &x));
    return x == only ? QWREN_OK : qw_field_fail(f, QWREN_E_UNSUPPORTED, key, "supported is %d", only);
}

qwren_status qw_field_must_be_empty(const qw_fields *f, const char *key)
{
    const qw_json *v = qw_field(f, key);
    bool is_list = qw_json_is(v, QW_JSON_ARRAY) || qw_json_is(v, QW_JSON_OBJECT);
    return !v || (is_list && qw_json_size(v) == 0) ? QWREN_OK : qw_field_fail(f, QWREN_E_UNSUPPORTED, key, "supported is an empty list");
}
