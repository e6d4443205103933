/* The settings of a GGUF file (gguf.h): read once, found by key, answered as the caller wants them. Texts and lists stay in the mapping.
 * Used by gguf.c when a file is opened, and by whoever asks for a setting. Tested by tests/unit/test_gguf.c and tests/fuzz/fuzz_gguf.c. */
#include "base/alloc.h"
#include "weights/gguf_parts.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MIN_VALUE_BYTES 14 /* a key of one letter, a type, a value of one byte */
#define LENGTH_BYTES 8

static const uint8_t type_bytes[] = {
    [QW_GGUF_U8] = 1,  [QW_GGUF_I8] = 1,   [QW_GGUF_U16] = 2, [QW_GGUF_I16] = 2, [QW_GGUF_U32] = 4, [QW_GGUF_I32] = 4,
    [QW_GGUF_F32] = 4, [QW_GGUF_BOOL] = 1, [QW_GGUF_U64] = 8, [QW_GGUF_I64] = 8, [QW_GGUF_F64] = 8,
};

/* ---- reading */

static qwren_status fail_value(const qw_gguf_cursor *c, const qw_gguf_value *v, qwren_status code, const char *what)
{
    return qw_fail(c->err, code, "%s: %.*s %s", c->g->path, (int)v->key.len, v->key.data, what);
}

static qwren_status fail_short(const qw_gguf_cursor *c, const qw_gguf_value *v)
{
    return fail_value(c, v, QWREN_E_FORMAT, "is longer than the file: it was cut off, or a length in it lies");
}

static qwren_status read_key(qw_gguf_cursor *c, size_t index, qw_gguf_value *v)
{
    if (!qw_gguf_take_text(c, &v->key))
        return qw_gguf_fail_short(c, "setting", index);
    if (!qw_gguf_is_name(v->key) || v->key.len > UINT16_MAX)
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: setting %zu has a name that is no word", c->g->path, index);
    return QWREN_OK;
}

static qwren_status read_type(qw_gguf_cursor *c, const qw_gguf_value *v, uint32_t *type)
{
    if (!qw_gguf_take_32(c, type))
        return fail_short(c, v);
    if (*type > QW_GGUF_F64)
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: %.*s is of type %u; 0 to 12 are known", c->g->path, (int)v->key.len, v->key.data,
                       (unsigned)*type);
    return QWREN_OK;
}

static qwren_status read_list_head(qw_gguf_cursor *c, qw_gguf_value *v, uint32_t *type)
{
    uint64_t n;
    QW_TRY(read_type(c, v, type));
    if (*type == QW_GGUF_LIST)
        return fail_value(c, v, QWREN_E_UNSUPPORTED, "is a list of lists, which no setting of a model is");
    if (!qw_gguf_take_64(c, &n) || n > (size_t)(c->end - c->at)) /* an element has a byte at least */
        return fail_short(c, v);
    v->is_list = true;
    v->n = (size_t)n;
    return QWREN_OK;
}

static bool take_texts(qw_gguf_cursor *c, size_t n)
{
    qw_gguf_text text;
    for (size_t i = 0; i < n; i++)
        if (!qw_gguf_take_text(c, &text))
            return false;
    return true;
}

static qwren_status check_bools(const qw_gguf_cursor *c, const qw_gguf_value *v)
{
    for (size_t i = 0; i < v->n; i++)
        if (v->data[i] > 1)
            return fail_value(c, v, QWREN_E_FORMAT, "holds something that is neither false nor true");
    return QWREN_OK;
}

static qwren_status read_value(qw_gguf_cursor *c, size_t index, qw_gguf_value *v)
{
    uint32_t type;
    size_t bytes;
    const uint8_t *p;
    *v = (qw_gguf_value){ .n = 1 };
    QW_TRY(read_key(c, index, v));
    QW_TRY(read_type(c, v, &type));
    if (type == QW_GGUF_LIST)
        QW_TRY(read_list_head(c, v, &type));
    v->type = (qw_gguf_type)type;
    v->data = c->at;
    if (type == QW_GGUF_STRING ? !take_texts(c, v->n) : !qw_mul_size(v->n, type_bytes[type], &bytes) || !qw_gguf_take(c, bytes, &p))
        return fail_short(c, v);
    v->n_bytes = (size_t)(c->at - v->data);
    return type == QW_GGUF_BOOL ? check_bools(c, v) : QWREN_OK;
}

static int compare_texts(qw_gguf_text a, qw_gguf_text b)
{
    int order = memcmp(a.data, b.data, a.len < b.len ? a.len : b.len);
    return order ? order : a.len < b.len ? -1 : a.len > b.len;
}

static int compare_keys(const void *a, const void *b)
{
    return compare_texts((*(const qw_gguf_value *const *)a)->key, (*(const qw_gguf_value *const *)b)->key);
}

static qwren_status sort_keys(const qw_gguf_cursor *c)
{
    qw_gguf *g = c->g;
    for (size_t i = 0; i < g->n_values; i++)
        g->by_key[i] = &g->values[i];
    if (g->n_values > 1)
        qsort(g->by_key, g->n_values, sizeof *g->by_key, compare_keys);
    for (size_t i = 1; i < g->n_values; i++)
        if (compare_keys(&g->by_key[i - 1], &g->by_key[i]) == 0)
            return fail_value(c, g->by_key[i], QWREN_E_FORMAT, "is there twice");
    return QWREN_OK;
}

qwren_status qw_gguf_read_values(qw_gguf_cursor *c, uint64_t n)
{
    qw_gguf *g = c->g;
    if (n > (size_t)(c->end - c->at) / MIN_VALUE_BYTES)
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: claims %llu settings, more than its bytes can hold: it was cut off, or damaged",
                       g->path, (unsigned long long)n);
    g->values = qw_alloc_array((size_t)n, sizeof *g->values);
    g->by_key = qw_alloc_array((size_t)n, sizeof *g->by_key);
    if (!g->values || !g->by_key)
        return qw_fail_memory(c->err, (size_t)n * sizeof *g->values, "the list of settings");
    for (; g->n_values < n; g->n_values++)
        QW_TRY(read_value(c, g->n_values, &g->values[g->n_values]));
    return sort_keys(c);
}

/* ---- asking */

size_t qw_gguf_count(const qw_gguf *g) { return g->n_values; }
const qw_gguf_value *qw_gguf_at(const qw_gguf *g, size_t i) { return &g->values[i]; }

const qw_gguf_value *qw_gguf_find(const qw_gguf *g, const char *key)
{
    const qw_gguf_text wanted = { key, strlen(key) };
    size_t low = 0, high = g->n_values;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = compare_texts(wanted, g->by_key[middle]->key);
        if (order == 0)
            return g->by_key[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}

/* One number at p as `name`. */
#define LOAD(ctype, name) \
  ctype name;             \
  memcpy(&name, p, sizeof name)

static bool load_int(qw_gguf_type type, const uint8_t *p, int64_t *out)
{
    switch (type) {
    case QW_GGUF_U8: *out = *p; return true;
    case QW_GGUF_I8: *out = (int8_t)*p; return true;
    case QW_GGUF_U16: {
        LOAD(uint16_t, x);
        *out = x;
        return true;
    }
    case QW_GGUF_I16: {
        LOAD(int16_t, x);
        *out = x;
        return true;
    }
    case QW_GGUF_U32: {
        LOAD(uint32_t, x);
        *out = x;
        return true;
    }
    case QW_GGUF_I32: {
        LOAD(int32_t, x);
        *out = x;
        return true;
    }
    case QW_GGUF_U64: {
        LOAD(uint64_t, x);
        if (x > INT64_MAX)
            return false;
        *out = (int64_t)x;
        return true;
    }
    case QW_GGUF_I64: {
        LOAD(int64_t, x);
        *out = x;
        return true;
    }
    default: return false;
    }
}

static bool load_number(qw_gguf_type type, const uint8_t *p, double *out)
{
    int64_t whole;
    if (type == QW_GGUF_F32) {
        LOAD(float, x);
        *out = (double)x;
        return true;
    }
    if (type == QW_GGUF_F64) {
        LOAD(double, x);
        *out = x;
        return true;
    }
    if (!load_int(type, p, &whole))
        return false;
    *out = (double)whole;
    return true;
}

bool qw_gguf_int(const qw_gguf_value *v, int64_t *out) { return v && !v->is_list && load_int(v->type, v->data, out); }
bool qw_gguf_number(const qw_gguf_value *v, double *out) { return v && !v->is_list && load_number(v->type, v->data, out); }

bool qw_gguf_bool(const qw_gguf_value *v, bool *out)
{
    if (!v || v->is_list || v->type != QW_GGUF_BOOL)
        return false;
    *out = *v->data;
    return true;
}

bool qw_gguf_string(const qw_gguf_value *v, qw_gguf_text *out)
{
    if (!v || v->is_list || v->type != QW_GGUF_STRING)
        return false;
    *out = (qw_gguf_text){ (const char *)v->data + LENGTH_BYTES, v->n_bytes - LENGTH_BYTES };
    return true;
}

bool qw_gguf_is(const qw_gguf_value *v, const char *text)
{
    qw_gguf_text is;
    return qw_gguf_string(v, &is) && is.len == strlen(text) && memcmp(is.data, text, is.len) == 0;
}

static void show_text(char *buf, size_t n, qw_gguf_text t)
{
    size_t len = t.len < n - 1 ? t.len : n - 1;
    for (size_t i = 0; i < len; i++)
        buf[i] = (char)(t.data[i] >= ' ' && t.data[i] <= '~' ? t.data[i] : '?');
    buf[len] = '\0';
}

const char *qw_gguf_show(char *buf, size_t n, const qw_gguf_value *v)
{
    int64_t whole;
    double number;
    bool truth;
    qw_gguf_text text;
    if (!v)
        snprintf(buf, n, "missing");
    else if (v->is_list)
        snprintf(buf, n, "a list of %zu", v->n);
    else if (qw_gguf_int(v, &whole))
        snprintf(buf, n, "%" PRId64, whole);
    else if (qw_gguf_number(v, &number))
        snprintf(buf, n, "%g", number);
    else if (qw_gguf_bool(v, &truth))
        snprintf(buf, n, "%s", truth ? "true" : "false");
    else if (qw_gguf_string(v, &text))
        show_text(buf, n, text);
    else
        snprintf(buf, n, "too large"); /* U64 beyond INT64_MAX */
    return buf;
}

bool qw_gguf_int_at(const qw_gguf_value *v, size_t i, int64_t *out)
{
    return v && v->is_list && i < v->n && load_int(v->type, v->data + i * type_bytes[v->type], out);
}

bool qw_gguf_number_at(const qw_gguf_value *v, size_t i, double *out)
{
    return v && v->is_list && i < v->n && load_number(v->type, v->data + i * type_bytes[v->type], out);
}

bool qw_gguf_bool_at(const qw_gguf_value *v, size_t i, bool *out)
{
    if (!v || !v->is_list || v->type != QW_GGUF_BOOL || i >= v->n)
        return false;
    *out = v->data[i];
    return true;
}

bool qw_gguf_next_text(const qw_gguf_value *list, qw_gguf_texts *it)
{
    if (!list || !list->is_list || list->type != QW_GGUF_STRING || it->n_seen == list->n)
        return false;
    uint64_t len; /* was checked when the file was opened */
    memcpy(&len, list->data + it->at, sizeof len);
    it->text = (qw_gguf_text){ (const char *)list->data + it->at + LENGTH_BYTES, (size_t)len };
    it->at += LENGTH_BYTES + (size_t)len;
    it->index = it->n_seen++;
    return true;
}
