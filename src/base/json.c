/* Looking at JSON values (json.h): requests, config.json, tokenizer.json and the headers of weight files pass through here. Tested by
 * tests/unit/test_base_json.c. */
#include "base/json_value.h"

#include "base/alloc.h"
#include "base/file.h"

#include <stdlib.h>
#include <string.h>

qwren_status qw_json_read_file(qw_json **out, const char *path, size_t max_bytes, qwren_error *err)
{
    char *text;
    size_t len;
    *out = NULL;
    QW_TRY(qw_file_read(path, max_bytes, &text, &len, err));
    qwren_status st = qw_json_parse(out, text, len, path, err);
    qw_free(text);
    return st;
}

void qw_json_free(qw_json *root)
{
    if (!root)
        return;
    qw_json_document *doc = (qw_json_document *)(void *)root;
    qw_arena_deinit(&doc->arena);
    qw_free(doc->strings);
    qw_free(doc);
}

qw_json_kind qw_json_kind_of(const qw_json *v) { return v ? v->kind : QW_JSON_NULL; }
bool qw_json_is(const qw_json *v, qw_json_kind kind) { return v && kind != QW_JSON_NULL && v->kind == kind; }

/* FNV-1a from a random start. */
static uint64_t hash(uint64_t seed, const char *key, size_t len)
{
    uint64_t h = seed;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)key[i]) * 0x100000001B3u;
    return h ^ h >> 32;
}

static bool has_key(const qw_json_member *m, const char *key, size_t len) { return m->key_len == len && memcmp(m->key, key, len) == 0; }

qw_json_member *qw_json_find(const qw_json_object *o, const char *key, size_t len, size_t *slot)
{
    union {
        const qw_json_member *given;
        qw_json_member *open;
    } members = { o->members }; /* only the parser changes them */
    if (!o->index) {
        for (size_t i = 0; i < o->n; i++)
            if (has_key(&o->members[i], key, len))
                return &members.open[i];
        return NULL;
    }
    size_t at = hash(o->index->seed, key, len) & o->index->mask;
    for (; o->index->slots[at]; at = (at + 1) & o->index->mask)
        if (has_key(&o->members[o->index->slots[at] - 1], key, len))
            return &members.open[o->index->slots[at] - 1];
    if (slot)
        *slot = at;
    return NULL;
}

const qw_json *qw_json_get(const qw_json *object, const char *key)
{
    if (!qw_json_is(object, QW_JSON_OBJECT))
        return NULL;
    const qw_json_member *m = qw_json_find(object->as.object, key, strlen(key), NULL);
    return m ? &m->value : NULL;
}

const qw_json *qw_json_at(const qw_json *array, size_t i)
{
    return qw_json_is(array, QW_JSON_ARRAY) && i < array->as.array.n ? &array->as.array.items[i] : NULL;
}

size_t qw_json_size(const qw_json *v)
{
    return qw_json_is(v, QW_JSON_ARRAY) ? v->as.array.n : qw_json_is(v, QW_JSON_OBJECT) ? v->as.object->n : 0;
}

const char *qw_json_string(const qw_json *v, size_t *len)
{
    bool is_string = qw_json_is(v, QW_JSON_STRING);
    if (len)
        *len = is_string ? v->as.string.len : 0;
    return is_string ? v->as.string.text : NULL;
}

bool qw_json_bool(const qw_json *v, bool fallback) { return qw_json_is(v, QW_JSON_BOOL) ? v->as.boolean : fallback; }

int64_t qw_json_int(const qw_json *v, int64_t fallback)
{
    return qw_json_is(v, QW_JSON_INT) && !v->as.integer.digits ? v->as.integer.value : fallback;
}

double qw_json_number(const qw_json *v, double fallback)
{
    if (qw_json_is(v, QW_JSON_INT))
        return v->as.integer.digits ? strtod(v->as.integer.digits, NULL) : (double)v->as.integer.value;
    return qw_json_is(v, QW_JSON_REAL) ? v->as.real : fallback;
}

/* ---- members in order; the iterator's state is the member it stands on */

static qw_json_iter standing_on(const qw_json_object *o, size_t i)
{
    if (!o || i >= o->n)
        return (qw_json_iter){ 0 };
    const qw_json_member *m = &o->members[i];
    return (qw_json_iter){ m->key, m->key_len, &m->value, i };
}

qw_json_iter qw_json_first(const qw_json *object) { return standing_on(qw_json_is(object, QW_JSON_OBJECT) ? object->as.object : NULL, 0); }

void qw_json_next(const qw_json *object, qw_json_iter *it) { *it = standing_on(object->as.object, it->position + 1); }
