/* Added tokens: read from tokenizer.json ("added_tokens") and tokenizer_config.json ("added_tokens_decoder"), and found in a text. Tested
 * by tests/unit/test_tokenizer_open.c and tests/golden/test_tokenizer.c. */
#include "base/alloc.h"
#include "tokenizer/vocab.h"

#include <stdlib.h>
#include <string.h>

/* ---- reading */

typedef struct source {
    const char *where, *key; /* the file, and what it calls its list */
    bool is_config;
    qwren_error *err;
} source;

static qwren_status read_one(qw_added *out, const qw_json *v, int64_t id, const source *s)
{
    static const char *const never[] = { "single_word", "lstrip", "rstrip", "normalized" };
    size_t len = 0;
    const char *text = qw_json_string(qw_json_get(v, "content"), &len);
    if (id < 0 || id > INT32_MAX || !text || len == 0)
        return qw_fail(s->err, QWREN_E_FORMAT, "%s: %s: each entry needs an id and a content that is not empty", s->where, s->key);
    for (size_t i = 0; i < sizeof never / sizeof *never; i++)
        if (qw_json_bool(qw_json_get(v, never[i]), false))
            return qw_fail(s->err, QWREN_E_UNSUPPORTED, "%s: %s: \"%s\" has %s set, which no token of Qwen 3.5 has", s->where, s->key, text,
                           never[i]);
    *out = (qw_added){ text, len, (int32_t)id, qw_json_bool(qw_json_get(v, "special"), false), s->is_config };
    return QWREN_OK;
}

static qwren_status read_array(qw_added *out, const qw_json *array, const source *s)
{
    for (size_t i = 0; i < qw_json_size(array); i++) {
        const qw_json *v = qw_json_at(array, i);
        QW_TRY(read_one(&out[i], v, qw_json_int(qw_json_get(v, "id"), -1), s));
    }
    return QWREN_OK;
}

/* "248044" -> 248044; -1 for what is no number. */
static int64_t parse_id(const char *s, size_t n)
{
    int64_t id = 0;
    if (n == 0 || n > 10)
        return -1;
    for (size_t i = 0; i < n; i++) {
        if (s[i] < '0' || s[i] > '9')
            return -1;
        id = id * 10 + (s[i] - '0');
    }
    return id;
}

static qwren_status read_object(qw_added *out, const qw_json *object, const source *s)
{
    size_t i = 0;
    for (qw_json_iter it = qw_json_first(object); it.key; qw_json_next(object, &it))
        QW_TRY(read_one(&out[i++], it.value, parse_id(it.key, it.key_len), s));
    return QWREN_OK;
}

static int by_id(const void *a, const void *b)
{
    const qw_added *x = a, *y = b;
    if (x->id != y->id)
        return x->id < y->id ? -1 : 1;
    return (int)x->from_config - (int)y->from_config;
}

/* What stands in both files becomes one, with the config's word on whether it is special, as in the reference. */
static qwren_status unite(qw_added *a, size_t *n, const char *where, qwren_error *err)
{
    size_t kept = 0;
    for (size_t i = 0; i < *n; i++) {
        qw_added *last = kept ? &a[kept - 1] : NULL;
        if (!last || last->id != a[i].id) {
            a[kept++] = a[i];
            continue;
        }
        if (last->from_config == a[i].from_config || last->len != a[i].len || memcmp(last->text, a[i].text, a[i].len) != 0)
            return qw_fail(err, QWREN_E_FORMAT,
                           "%s: added_tokens (or added_tokens_decoder of tokenizer_config.json): id %d is both \"%s\" and \"%s\"", where,
                           a[i].id, last->text, a[i].text);
        *last = a[i];
    }
    *n = kept;
    return QWREN_OK;
}

static qwren_status check_kind(const qw_json *list, qw_json_kind kind, const source *s)
{
    if (qw_json_kind_of(list) == QW_JSON_NULL || qw_json_is(list, kind))
        return QWREN_OK;
    return qw_fail(s->err, QWREN_E_FORMAT, "%s: %s must be an %s", s->where, s->key, kind == QW_JSON_ARRAY ? "array" : "object");
}

qwren_status qw_added_read(qw_added **out, size_t *n, const qw_json *root, const char *where, const qw_json *config,
                           const char *config_where, qwren_error *err)
{
    source first = { where, "added_tokens", false, err }, second = { config_where, "added_tokens_decoder", true, err };
    const qw_json *array = qw_json_get(root, first.key), *object = qw_json_get(config, second.key);
    QW_TRY(check_kind(array, QW_JSON_ARRAY, &first));
    QW_TRY(check_kind(object, QW_JSON_OBJECT, &second));
    *n = qw_json_size(array) + qw_json_size(object);
    *out = qw_alloc_array(*n, sizeof **out);
    if (!*out)
        return qw_fail_memory(err, *n * sizeof **out, "the added tokens");
    QW_TRY(read_array(*out, array, &first));
    QW_TRY(read_object(*out + qw_json_size(array), object, &second));
    qsort(*out, *n, sizeof **out, by_id);
    return unite(*out, n, where, err);
}

/* ---- finding */

int qw_added_compare(const qw_added *a, const qw_added *b)
{
    int order = memcmp(a->text, b->text, a->len < b->len ? a->len : b->len);
    return order ? order : (a->len > b->len) - (a->len < b->len);
}

static int by_text(const void *a, const void *b) { return qw_added_compare(a, b); }

qwren_status qw_added_sort(qw_added *added, size_t n, const qw_vocab_words *words, qwren_error *err)
{
    qsort(added, n, sizeof *added, by_text);
    for (size_t i = 1; i < n; i++)
        if (by_text(&added[i - 1], &added[i]) == 0)
            return qw_fail(err, QWREN_E_FORMAT, "%s: %s: \"%.*s\" has two ids, %d and %d", words->where, words->added, (int)added[i].len,
                           added[i].text, added[i - 1].id, added[i].id);
    return QWREN_OK;
}

/* Byte i of a token; behind its end, -1. */
static int byte_at(const qw_added *a, size_t i) { return i < a->len ? (unsigned char)a->text[i] : -1; }

/* The first of [low, high) whose byte i is at least `want`; their first i bytes are equal. */
static size_t lower_bound(const qw_added *a, size_t low, size_t high, size_t i, int want)
{
    while (low < high) {
        size_t mid = low + (high - low) / 2;
        if (byte_at(&a[mid], i) < want)
            low = mid + 1;
        else
            high = mid;
    }
    return low;
}

const qw_added *qw_added_at(const qw_tokenizer *t, const char *text, size_t len, size_t at)
{
    const qw_added *found = NULL;
    size_t low = 0, high = (size_t)(t->count - t->n_base);
    for (size_t i = 0; at + i < len && low < high; i++) { /* [low, high): the tokens that begin with the i bytes at `at` */
        int c = (unsigned char)text[at + i];
        low = lower_bound(t->added, low, high, i, c);
        high = lower_bound(t->added, low, high, i, c + 1);
        if (low < high && t->added[low].len == i + 1)
            found = &t->added[low];
    }
    return found;
}

int32_t qw_tokenizer_find_added(const qw_tokenizer *t, const char *text, size_t len)
{
    const qw_added *a = qw_added_at(t, text, len, 0);
    return a && a->len == len ? a->id : -1;
}
