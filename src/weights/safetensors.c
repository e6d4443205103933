/* The container safetensors: 8 bytes length N, N bytes of JSON, data. It comes from outside, so nothing is believed: names are unique,
 * types and shapes fit the bytes, and the tensors fill the data without gap or overlap. What no layer reads may have any type.
 * Tested by tests/unit/test_safetensors.c and tests/fuzz/fuzz_safetensors.c. */
#include "weights/safetensors.h"

#include "base/alloc.h"
#include "base/json.h"
#include "weights/names.h"

#include <stdlib.h>
#include <string.h>

#define LENGTH_BYTES 8
#define MAX_HEADER_BYTES ((size_t)16 << 20) /* a published header has about 100 KB; a JSON tree takes several times its text */

typedef struct reader {
    const char *path;
    qw_arena *names;
    const char *header; /* the JSON text */
    size_t header_bytes;
    const uint8_t *data; /* behind the header */
    size_t data_bytes;
    qw_tensor *tensors;
    size_t n;
    qwren_error *err;
} reader;

/* ---- the frame: length, JSON, data */

static uint64_t little_endian_64(const uint8_t *p)
{
    uint64_t x = 0;
    for (int i = 7; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

static bool is_lfs_pointer(const qw_map *map)
{
    static const char start[] = "version https://git-lfs";
    return map->size >= sizeof start - 1 && memcmp(map->data, start, sizeof start - 1) == 0;
}

static qwren_status find_parts(reader *r, const qw_map *map)
{
    if (map->size < LENGTH_BYTES)
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: has %zu bytes and is no safetensors file, or was cut off", r->path, map->size);
    if (is_lfs_pointer(map))
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: is a pointer of Git LFS, not the weights; fetch them with \"git lfs pull\"", r->path);
    uint64_t n = little_endian_64(map->data);
    size_t rest = map->size - LENGTH_BYTES;
    if (n > rest)
        return qw_fail(r->err, QWREN_E_FORMAT,
                       "%s: its header claims %llu bytes and only %zu follow: it is no safetensors file, or was cut off", r->path,
                       (unsigned long long)n, rest);
    if (n > MAX_HEADER_BYTES)
        return qw_fail(r->err, QWREN_E_LIMIT, "%s: a header of %llu bytes; up to %zu are read", r->path, (unsigned long long)n,
                       MAX_HEADER_BYTES);
    r->header = (const char *)map->data + LENGTH_BYTES;
    r->header_bytes = (size_t)n;
    r->data = map->data + LENGTH_BYTES + r->header_bytes;
    r->data_bytes = rest - r->header_bytes;
    if (n == 0 || r->header[0] != '{')
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: is no safetensors file: its header does not begin with '{'", r->path);
    return QWREN_OK;
}

/* ---- unique names: the JSON reader keeps the last of two equal keys, so they are counted in the text */

typedef struct key_scan {
    const char *at, *end;
    int depth;
    bool key_is_next;
} key_scan;

/* The next key of the outer object, with its quotes; false at the end. The text is valid JSON. */
static bool next_key(key_scan *s, const char **key, size_t *len)
{
    while (s->at < s->end) {
        const char *first = s->at++;
        if (*first == '"') {
            while (*s->at != '"')
                s->at += *s->at == '\\' ? 2 : 1;
            s->at++;
            if (s->depth == 1 && s->key_is_next) {
                s->key_is_next = false;
                *key = first;
                *len = (size_t)(s->at - first);
                return true;
            }
        } else if (*first == '{' || *first == '[') {
            s->key_is_next = ++s->depth == 1;
        } else if (*first == '}' || *first == ']') {
            s->depth--;
        } else if (*first == ',' && s->depth == 1) {
            s->key_is_next = true;
        }
    }
    return false;
}

/* Keys keep their first place, so the first key of the text that is not the next one of the object was there before. */
static qwren_status fail_duplicate(const reader *r, const qw_json *root)
{
    key_scan scan = { r->header, r->header + r->header_bytes, 0, false };
    qw_json_iter it = qw_json_first(root);
    const char *raw, *text;
    size_t raw_len, len;
    while (next_key(&scan, &raw, &raw_len)) {
        qw_json *key;
        QW_TRY(qw_json_parse(&key, raw, raw_len, r->path, r->err));
        text = qw_json_string(key, &len);
        bool is_next = it.key && it.key_len == len && memcmp(it.key, text, len) == 0;
        if (!is_next)
            qw_fail(r->err, QWREN_E_FORMAT, "%s: two tensors are named %s", r->path, text);
        qw_json_free(key);
        if (!is_next)
            break;
        qw_json_next(root, &it);
    }
    return QWREN_E_FORMAT;
}

static qwren_status check_unique(const reader *r, const qw_json *root)
{
    key_scan scan = { r->header, r->header + r->header_bytes, 0, false };
    const char *key;
    size_t len, n = 0;
    while (next_key(&scan, &key, &len))
        n++;
    return n == qw_json_size(root) ? QWREN_OK : fail_duplicate(r, root);
}

/* ---- one entry: "name": {"dtype": "BF16", "shape": [2, 3], "data_offsets": [0, 12]} */

static qwren_status fail_tensor(const reader *r, const qw_tensor *t, const char *what)
{
    return qw_fail(r->err, QWREN_E_FORMAT, "%s: tensor %s: %s", r->path, t->file_name, what);
}

/* A number >= 0 that fits size_t. */
static bool take_size(const qw_json *v, size_t *out)
{
    int64_t x = qw_json_int(v, -1);
    if (x < 0 || (uint64_t)x > SIZE_MAX)
        return false;
    *out = (size_t)x;
    return true;
}

/* A tail of the file's name where that is enough, a text of its own otherwise. */
static qwren_status take_our_name(const reader *r, qw_tensor *t)
{
    char buf[QW_NAME_BYTES];
    t->name = qw_name_from_file(t->file_name, buf);
    if (t->name == buf)
        t->name = qw_arena_strndup(r->names, buf, strlen(buf));
    return t->name ? QWREN_OK : qw_fail_memory(r->err, sizeof buf, "the name of a tensor");
}

static qwren_status read_name(const reader *r, const char *key, size_t len, qw_tensor *t)
{
    t->file = qw_path_base(r->path);
    t->file_name = qw_arena_strndup(r->names, key, len);
    if (!t->file_name)
        return qw_fail_memory(r->err, len, "the name of a tensor");
    QW_TRY(take_our_name(r, t));
    return strlen(key) == len ? QWREN_OK : fail_tensor(r, t, "its name holds a NUL byte");
}

static qwren_status read_dtype(const reader *r, const qw_json *v, qw_tensor *t)
{
    size_t len;
    const char *tag = qw_json_string(v, &len);
    if (!tag)
        return fail_tensor(r, t, "\"dtype\" is missing or no text");
    if (qw_type_from_tag(tag, &t->type) && strlen(tag) == len) {
        t->dtype = qw_type_name(t->type);
        return QWREN_OK;
    }
    t->type = QW_TYPE_OTHER;
    t->dtype = qw_arena_strndup(r->names, tag, len);
    return t->dtype ? QWREN_OK : qw_fail_memory(r->err, len, "the type of a tensor");
}

static qwren_status read_shape(const reader *r, const qw_json *v, qw_tensor *t)
{
    size_t n = qw_json_size(v), elements = 1;
    if (!qw_json_is(v, QW_JSON_ARRAY))
        return fail_tensor(r, t, "\"shape\" is missing or no list");
    if (n > QW_MAX_DIMS)
        return qw_fail(r->err, QWREN_E_UNSUPPORTED, "%s: tensor %s has %zu dimensions, supported are up to %d", r->path, t->file_name, n,
                       QW_MAX_DIMS);
    t->n_dims = (int)n;
    for (size_t i = 0; i < n; i++) {
        if (!take_size(qw_json_at(v, i), &t->shape[i]))
            return fail_tensor(r, t, "\"shape\" holds something that is no size");
        if (!qw_mul_size(elements, t->shape[i], &elements))
            return fail_tensor(r, t, "its shape overflows");
    }
    return QWREN_OK;
}

static qwren_status read_offsets(const reader *r, const qw_json *v, qw_tensor *t)
{
    size_t begin, end;
    if (qw_json_size(v) != 2 || !take_size(qw_json_at(v, 0), &begin) || !take_size(qw_json_at(v, 1), &end))
        return fail_tensor(r, t, "\"data_offsets\" is no list of two sizes");
    if (begin > end)
        return fail_tensor(r, t, "\"data_offsets\" end before they begin");
    if (end > r->data_bytes)
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: tensor %s ends at byte %zu of %zu: the file was cut off, or its header lies", r->path,
                       t->file_name, end, r->data_bytes);
    t->data = r->data + begin;
    t->n_bytes = end - begin;
    return QWREN_OK;
}

static qwren_status check_bytes(const reader *r, const qw_tensor *t)
{
    char shape[QW_SHAPE_TEXT_BYTES];
    size_t need;
    if (t->type == QW_TYPE_OTHER)
        return QWREN_OK;
    if (!qw_mul_size(qw_tensor_elements(t), qw_type_block_bytes(t->type), &need))
        return fail_tensor(r, t, "its shape overflows");
    if (need != t->n_bytes)
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: tensor %s holds %zu bytes, its shape %s of %s needs %zu", r->path, t->file_name,
                       t->n_bytes, qw_shape_text(shape, sizeof shape, t->n_dims, t->shape), t->dtype, need);
    return QWREN_OK;
}

static qwren_status read_tensor(const reader *r, const qw_json_iter *it, qw_tensor *t)
{
    *t = (qw_tensor){ 0 };
    QW_TRY(read_name(r, it->key, it->key_len, t));
    if (!qw_json_is(it->value, QW_JSON_OBJECT))
        return fail_tensor(r, t, "its entry is no object");
    QW_TRY(read_dtype(r, qw_json_get(it->value, "dtype"), t));
    QW_TRY(read_shape(r, qw_json_get(it->value, "shape"), t));
    QW_TRY(read_offsets(r, qw_json_get(it->value, "data_offsets"), t));
    return check_bytes(r, t);
}

/* "__metadata__": texts by name. None of them is needed: who wrote a file shows in its tensors (weights.c). */
static qwren_status check_metadata(const reader *r, const qw_json *v)
{
    if (qw_json_kind_of(v) == QW_JSON_NULL)
        return QWREN_OK; /* mlx's way of saying that there is none */
    if (!qw_json_is(v, QW_JSON_OBJECT))
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: \"__metadata__\" is no object", r->path);
    for (qw_json_iter it = qw_json_first(v); it.key; qw_json_next(v, &it))
        if (!qw_json_is(it.value, QW_JSON_STRING))
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: \"__metadata__\": %s is no text", r->path, it.key);
    return QWREN_OK;
}

static qwren_status read_entries(reader *r, const qw_json *root)
{
    QW_TRY(check_unique(r, root));
    r->tensors = qw_calloc(qw_json_size(root), sizeof *r->tensors);
    if (!r->tensors)
        return qw_fail_memory(r->err, qw_json_size(root) * sizeof *r->tensors, "the list of tensors");
    for (qw_json_iter it = qw_json_first(root); it.key; qw_json_next(root, &it)) {
        if (strcmp(it.key, "__metadata__") == 0)
            QW_TRY(check_metadata(r, it.value));
        else
            QW_TRY(read_tensor(r, &it, &r->tensors[r->n++]));
    }
    return QWREN_OK;
}

/* ---- all entries together */

/* By place; of two at one place the empty one comes first. */
static int compare_places(const void *a, const void *b)
{
    const qw_tensor *x = a, *y = b;
    const uint8_t *p = x->data, *q = y->data;
    if (p != q)
        return p < q ? -1 : 1;
    if (x->n_bytes != y->n_bytes)
        return x->n_bytes < y->n_bytes ? -1 : 1;
    return strcmp(x->file_name, y->file_name);
}

static qwren_status check_layout(const reader *r)
{
    const uint8_t *at = r->data;
    for (size_t i = 0; i < r->n; i++) {
        const qw_tensor *t = &r->tensors[i];
        const uint8_t *begin = t->data;
        if (begin < at)
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: tensors %s and %s overlap", r->path, r->tensors[i - 1].file_name, t->file_name);
        if (begin > at)
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: %zu bytes before tensor %s belong to no tensor", r->path, (size_t)(begin - at),
                           t->file_name);
        at = begin + t->n_bytes;
    }
    size_t rest = r->data_bytes - (size_t)(at - r->data);
    if (rest)
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: %zu bytes behind the last tensor belong to no tensor", r->path, rest);
    return QWREN_OK;
}

static qwren_status parse(reader *r, const qw_map *map)
{
    qw_json *root;
    QW_TRY(find_parts(r, map));
    QW_TRY(qw_json_parse(&root, r->header, r->header_bytes, r->path, r->err));
    qwren_status st = read_entries(r, root); /* an object, since it begins with '{' */
    qw_json_free(root);
    QW_TRY(st);
    if (r->n > 1)
        qsort(r->tensors, r->n, sizeof *r->tensors, compare_places);
    return check_layout(r);
}

qwren_status qw_safetensors_parse(const qw_map *map, const char *path, qw_arena *names, qw_tensor **out, size_t *n_out, qwren_error *err)
{
    reader r = { .path = path, .names = names, .err = err };
    qwren_status st = parse(&r, map);
    if (st != QWREN_OK) {
        qw_free(r.tensors);
        r.tensors = NULL;
        r.n = 0;
    }
    *out = r.tensors;
    *n_out = r.n;
    return st;
}
