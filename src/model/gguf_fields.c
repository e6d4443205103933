/* Checked reading of the settings of a GGUF file (gguf_fields.h), as config_fields.c does it for JSON. Tested by
 * tests/unit/test_config_gguf.c. */
#include "model/gguf_fields.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define MAX_KEY 96

static const char *full_key(const qw_gguf_fields *f, const char *key, char buf[MAX_KEY])
{
    snprintf(buf, MAX_KEY, "%s%s", f->prefix, key);
    return buf;
}

const qw_gguf_value *qw_gguf_field(const qw_gguf_fields *f, const char *key)
{
    char buf[MAX_KEY];
    return qw_gguf_find(f->file, full_key(f, key, buf));
}

qwren_status qw_gguf_field_fail(const qw_gguf_fields *f, qwren_status code, const char *key, const char *fmt, ...)
{
    char supported[256], full[MAX_KEY], value[QW_GGUF_SHOWN_BYTES];
    va_list args;
    va_start(args, fmt);
    vsnprintf(supported, sizeof supported, fmt, args);
    va_end(args);
    return qw_fail(f->err, code, "%s: %s is %s; %s", qw_gguf_path(f->file), full_key(f, key, full),
                   qw_gguf_show(value, sizeof value, qw_gguf_field(f, key)), supported);
}

/* ---- numbers */

qwren_status qw_gguf_field_int(const qw_gguf_fields *f, const char *key, int min, int max, int *out)
{
    int64_t x;
    if (!qw_gguf_int(qw_gguf_field(f, key), &x) || x < min || x > max)
        return qw_gguf_field_fail(f, QWREN_E_FORMAT, key, "a whole number from %d to %d is needed", min, max);
    *out = (int)x;
    return QWREN_OK;
}

qwren_status qw_gguf_field_int_maybe(const qw_gguf_fields *f, const char *key, int min, int max, int *out)
{
    return qw_gguf_field(f, key) ? qw_gguf_field_int(f, key, min, max, out) : QWREN_OK;
}

qwren_status qw_gguf_field_number(const qw_gguf_fields *f, const char *key, double min, double max, double *out)
{
    double x;
    if (!qw_gguf_number(qw_gguf_field(f, key), &x) || !(x >= min && x <= max))
        return qw_gguf_field_fail(f, QWREN_E_FORMAT, key, "a number from %g to %g is needed", min, max);
    *out = x;
    return QWREN_OK;
}

qwren_status qw_gguf_field_number_maybe(const qw_gguf_fields *f, const char *key, double min, double max, double *out)
{
    return qw_gguf_field(f, key) ? qw_gguf_field_number(f, key, min, max, out) : QWREN_OK;
}

qwren_status qw_gguf_field_ints(const qw_gguf_fields *f, const qw_gguf_int_rule *rules, size_t n, void *out)
{
    for (size_t i = 0; i < n; i++) {
        int x = 0;
        QW_TRY(qw_gguf_field_int(f, rules[i].key, rules[i].min, rules[i].max, &x));
        memcpy((char *)out + rules[i].offset, &x, sizeof x);
    }
    return QWREN_OK;
}

/* ---- what has one value */

qwren_status qw_gguf_field_must_be_int(const qw_gguf_fields *f, const char *key, int64_t only)
{
    const qw_gguf_value *v = qw_gguf_field(f, key);
    int64_t x;
    if (!v || (qw_gguf_int(v, &x) && x == only))
        return QWREN_OK;
    return qw_gguf_field_fail(f, QWREN_E_UNSUPPORTED, key, "supported is %lld", (long long)only);
}

qwren_status qw_gguf_field_must_be_bool(const qw_gguf_fields *f, const char *key, bool only)
{
    const qw_gguf_value *v = qw_gguf_field(f, key);
    bool x;
    if (!v || (qw_gguf_bool(v, &x) && x == only))
        return QWREN_OK;
    return qw_gguf_field_fail(f, QWREN_E_UNSUPPORTED, key, "supported is %s", only ? "true" : "false");
}
