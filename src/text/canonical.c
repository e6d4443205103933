/* JSON values in one spelling each (canonical.h): what calls.c compares the calls of two messages by. Tested by
 * tests/unit/test_template_places.c. */
#include "text/canonical.h"

#include "base/alloc.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define MOST_EXACT 9007199254740992.0 /* 2^53: every integer up to here is a double */

static int by_key(const void *a, const void *b)
{
    const qw_json_iter *x = a, *y = b;
    int order = memcmp(x->key, y->key, x->key_len < y->key_len ? x->key_len : y->key_len);
    return order ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static qwren_status append_object(qw_buf *out, const qw_json *v, qwren_error *err)
{
    size_t n = 0;
    qwren_status st = QWREN_OK;
    qw_json_iter *members = qw_alloc_array(qw_json_size(v), sizeof *members);
    if (!members)
        return qw_fail_memory(err, qw_json_size(v) * sizeof *members, "the members of an object");
    for (qw_json_iter it = qw_json_first(v); it.key; qw_json_next(v, &it))
        members[n++] = it;
    qsort(members, n, sizeof *members, by_key);
    qw_buf_putc(out, '{');
    for (size_t i = 0; i < n && st == QWREN_OK; i++) {
        if (i)
            qw_buf_putc(out, ',');
        qw_json_dump_string(out, members[i].key, members[i].key_len);
        qw_buf_putc(out, ':');
        st = qw_json_canonical(out, members[i].value, err);
    }
    qw_buf_putc(out, '}');
    qw_free(members);
    return st;
}

static qwren_status append_array(qw_buf *out, const qw_json *v, qwren_error *err)
{
    qw_buf_putc(out, '[');
    for (size_t i = 0; i < qw_json_size(v); i++) {
        if (i)
            qw_buf_putc(out, ',');
        QW_TRY(qw_json_canonical(out, qw_json_at(v, i), err));
    }
    qw_buf_putc(out, ']');
    return QWREN_OK;
}

static void append_real(qw_buf *out, double x)
{
    if (fabs(x) <= MOST_EXACT && x == trunc(x))
        qw_buf_printf(out, "%lld", (long long)x);
    else
        qw_json_dump_double(out, x);
}

qwren_status qw_json_canonical(qw_buf *out, const qw_json *v, qwren_error *err)
{
    switch (qw_json_kind_of(v)) {
    case QW_JSON_OBJECT: return append_object(out, v, err);
    case QW_JSON_ARRAY: return append_array(out, v, err);
    case QW_JSON_REAL: append_real(out, qw_json_number(v, 0)); break;
    default: qw_json_dump(out, v); break;
    }
    return qw_buf_status(out, err);
}
