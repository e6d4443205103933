/* tokenizer.json -> qw_tokenizer: the vocabulary's bytes by id, the merge list, the added tokens. Read once when a model is opened. What a
 * checkpoint may say beside the vocabulary is in vocab_check.c. Tested by tests/unit/test_tokenizer_open.c. */
#include "tokenizer/vocab.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/utf8.h"

#include <string.h>

#define MAX_FILE_BYTES ((size_t)256 << 20)
#define MAX_TOKENS (1 << 24)

/* ---- the alphabet in which the file spells bytes: printable ones as themselves, the others as U+0100, U+0101, ... */

#define NO_BYTE (-1)

static bool spelt_as_itself(unsigned b) { return (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD && b < 0x100); }

/* Fills table[324]: code point -> byte. */
static void make_alphabet(int16_t table[324])
{
    int16_t next = 0x100;
    for (unsigned c = 0; c < 324; c++)
        table[c] = NO_BYTE;
    for (unsigned b = 0; b < 256; b++)
        table[spelt_as_itself(b) ? b : (unsigned)next++] = (int16_t)b;
}

/* Spelling -> bytes at out (never longer). False when a character is not of the alphabet. */
static bool unspell(const int16_t table[324], const char *s, size_t n, char *out, size_t *n_out)
{
    size_t k = 0;
    for (size_t i = 0; i < n;) {
        uint32_t cp;
        i += qw_utf8_decode(s + i, n - i, &cp, NULL);
        if (cp >= 324 || table[cp] == NO_BYTE)
            return false;
        out[k++] = (char)table[cp];
    }
    *n_out = k;
    return true;
}

/* ---- vocabulary */

typedef struct reader {
    const char *where, *config_where;
    qwren_error *err;
    const qw_json *vocab;
    qw_added *added; /* ascending by id */
    size_t n_added;
    const char **spelling; /* [n_base] by id; NULL: no token has it */
    qw_tokenizer *t;
} reader;

static qwren_status collect_spellings(reader *r)
{
    size_t n = qw_json_size(r->vocab);
    if (n == 0 || n > MAX_TOKENS)
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.vocab must be an object with 1 to %d tokens, it has %zu", r->where, MAX_TOKENS,
                       n);
    r->spelling = qw_calloc(n, sizeof *r->spelling);
    if (!r->spelling)
        return qw_fail_memory(r->err, n * sizeof *r->spelling, "the vocabulary");
    for (qw_json_iter it = qw_json_first(r->vocab); it.key; qw_json_next(r->vocab, &it)) {
        int64_t id = qw_json_int(it.value, -1);
        if (id < 0 || (uint64_t)id >= n || r->spelling[id])
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.vocab: the ids must be 0 to %zu, each once; \"%s\" is not", r->where, n - 1,
                           it.key);
        if (it.key_len == 0 || strlen(it.key) != it.key_len)
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.vocab: token %lld is empty or holds a NUL", r->where, (long long)id);
        r->spelling[id] = it.key;
    }
    r->t->n_base = (int32_t)n;
    return QWREN_OK;
}

/* The reference numbers added tokens by their order, and takes the vocabulary's id for one that is there already: in a file of
 * Qwen 3.5 neither differs from the ids written down. */
static qwren_status check_added_ids(const reader *r)
{
    for (size_t i = 0; i < r->n_added; i++) {
        const qw_added *a = &r->added[i];
        if (a->id != r->t->n_base + (int32_t)i)
            return qw_fail(r->err, QWREN_E_FORMAT,
                           "%s: added_tokens: ids must go on where model.vocab ends (%d), without a gap; \"%s\" has %d", r->where,
                           r->t->n_base, a->text, a->id);
        if (qw_json_get(r->vocab, a->text))
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: added_tokens: \"%s\" stands in model.vocab as well", r->where, a->text);
    }
    r->t->count = r->t->n_base + (int32_t)r->n_added;
    return QWREN_OK;
}

static qwren_status allocate_tokens(reader *r)
{
    qw_tokenizer *t = r->t;
    size_t bytes = (size_t)t->count; /* for the NULs */
    for (int32_t id = 0; id < t->n_base; id++)
        bytes += strlen(r->spelling[id]);
    for (size_t i = 0; i < r->n_added; i++)
        bytes += r->added[i].len;
    t->bytes = qw_malloc(bytes);
    t->offset = qw_alloc_array((size_t)t->count + 1, sizeof *t->offset);
    t->added = qw_alloc_array(r->n_added, sizeof *t->added);
    t->special = qw_alloc_array(r->n_added, sizeof *t->special);
    return t->bytes && t->offset && t->added && t->special ? QWREN_OK : qw_fail_memory(r->err, bytes, "the vocabulary");
}

static qwren_status fill_base(reader *r)
{
    qw_tokenizer *t = r->t;
    int16_t alphabet[324];
    size_t at = 0;
    make_alphabet(alphabet);
    memset(t->byte_ids, 0xFF, sizeof t->byte_ids);
    for (int32_t id = 0; id < t->n_base; id++) {
        size_t n;
        if (!unspell(alphabet, r->spelling[id], strlen(r->spelling[id]), t->bytes + at, &n))
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.vocab: token %d, \"%s\", is not spelt in the byte-level alphabet", r->where,
                           id, r->spelling[id]);
        if (n == 1)
            t->byte_ids[(unsigned char)t->bytes[at]] = id;
        t->offset[id] = at;
        at += n;
        t->bytes[at++] = '\0';
    }
    t->offset[t->n_base] = at;
    for (int b = 0; b < 256; b++)
        if (t->byte_ids[b] < 0)
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.vocab: there is no token for the single byte 0x%02X", r->where, (unsigned)b);
    return QWREN_OK;
}

static qwren_status fill_added(reader *r)
{
    qw_tokenizer *t = r->t;
    size_t at = t->offset[t->n_base];
    for (size_t i = 0; i < r->n_added; i++) {
        qw_added a = r->added[i];
        memcpy(t->bytes + at, a.text, a.len);
        a.text = t->bytes + at;
        t->added[i] = a;
        t->special[i] = a.special;
        t->first[(unsigned char)a.text[0]] = true;
        at += a.len;
        t->bytes[at++] = '\0';
        t->offset[a.id + 1] = at;
    }
    return qw_added_sort(t->added, r->n_added, r->where, r->err);
}

/* ---- merges: "left right", or ["left", "right"] */

/* Copies both halves to left (room for both) as two strings; false when the element is neither form. */
static bool read_pair(const qw_json *v, char *left, const char **right, size_t room)
{
    size_t n = 0, m = 0;
    const char *a = qw_json_string(v, &n), *b = NULL;
    if (a) {
        b = memchr(a, ' ', n);
        if (!b)
            return false;
        m = n - (size_t)(b + 1 - a);
        n = (size_t)(b - a);
        b++;
    } else {
        a = qw_json_string(qw_json_at(v, 0), &n);
        b = qw_json_string(qw_json_at(v, 1), &m);
    }
    if (!a || !b || n >= room || m >= room || n + m + 2 > room || (qw_json_is(v, QW_JSON_ARRAY) && qw_json_size(v) != 2))
        return false;
    memcpy(left, a, n);
    left[n] = '\0';
    memcpy(left + n + 1, b, m);
    left[n + 1 + m] = '\0';
    *right = left + n + 1;
    return strlen(left) == n && strlen(*right) == m;
}

static int32_t base_id(const reader *r, const char *spelling) { return (int32_t)qw_json_int(qw_json_get(r->vocab, spelling), -1); }

static qwren_status add_merge(const reader *r, size_t rank, const qw_json *v)
{
    char left[4096]; /* the longest token of Qwen 3.5 has 128 bytes */
    const char *right;
    if (!read_pair(v, left, &right, sizeof left))
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.merges[%zu] must be \"left right\" or [\"left\", \"right\"]", r->where, rank);
    qw_merge m = { .left = base_id(r, left), .right = base_id(r, right), .rank = (int32_t)rank };
    size_t n = strlen(left), k = strlen(right);
    memmove(left + n, right, k + 1);
    m.id = base_id(r, left);
    if (m.left < 0 || m.right < 0 || m.id < 0)
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.merges[%zu] joins to \"%s\", but one of the three is not in model.vocab",
                       r->where, rank, left);
    qw_merges_add(&r->t->merges, &m);
    return QWREN_OK;
}

static qwren_status fill_merges(const reader *r, const qw_json *merges)
{
    size_t n = qw_json_size(merges);
    if (!qw_json_is(merges, QW_JSON_ARRAY) || n > MAX_TOKENS)
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.merges must be an array of at most %d pairs", r->where, MAX_TOKENS);
    QW_TRY(qw_merges_init(&r->t->merges, n, r->err));
    for (size_t i = 0; i < n; i++)
        QW_TRY(add_merge(r, i, qw_json_at(merges, i)));
    return QWREN_OK;
}

/* ---- opening */

static qwren_status read_all(reader *r, const qw_json *root, const qw_json *config)
{
    const qw_json *model = qw_json_get(root, "model");
    QW_TRY(qw_vocab_check(root, r->where, r->err));
    QW_TRY(qw_vocab_check_config(config, r->config_where, r->err));
    r->vocab = qw_json_get(model, "vocab");
    QW_TRY(collect_spellings(r));
    QW_TRY(qw_added_read(&r->added, &r->n_added, root, r->where, config, r->config_where, r->err));
    QW_TRY(check_added_ids(r));
    QW_TRY(allocate_tokens(r));
    QW_TRY(fill_base(r));
    QW_TRY(fill_added(r));
    return fill_merges(r, qw_json_get(model, "merges"));
}

static qwren_status open_roots(qw_tokenizer **out, const qw_json *root, const char *where, const qw_json *config, const char *config_where,
                               qwren_error *err)
{
    qw_tokenizer *t = qw_calloc(1, sizeof *t);
    if (!t)
        return qw_fail_memory(err, sizeof *t, "a tokenizer");
    reader r = { .where = where, .config_where = config_where, .err = err, .t = t };
    qwren_status st = read_all(&r, root, config);
    qw_free(r.spelling);
    qw_free(r.added);
    if (st == QWREN_OK)
        *out = t;
    else
        qw_tokenizer_close(t);
    return st;
}

qwren_status qw_tokenizer_parse(qw_tokenizer **out, const char *json, size_t len, const char *config, size_t config_len, const char *where,
                                qwren_error *err)
{
    static const char config_where[] = "tokenizer_config.json";
    qw_json *root = NULL, *config_root = NULL;
    *out = NULL;
    qwren_status st = qw_json_parse(&root, json, len, where, err);
    if (st == QWREN_OK && config)
        st = qw_json_parse(&config_root, config, config_len, config_where, err);
    if (st == QWREN_OK)
        st = open_roots(out, root, where, config_root, config_where, err);
    qw_json_free(root);
    qw_json_free(config_root);
    return st;
}

static qwren_status open_files(qw_tokenizer **out, const char *path, const char *config_path, qwren_error *err)
{
    qw_json *root = NULL, *config = NULL;
    qwren_status st = qw_json_read_file(&root, path, MAX_FILE_BYTES, err);
    if (st == QWREN_OK && qw_file_exists(config_path))
        st = qw_json_read_file(&config, config_path, MAX_FILE_BYTES, err);
    if (st == QWREN_OK)
        st = open_roots(out, root, path, config, config_path, err);
    qw_json_free(root);
    qw_json_free(config);
    return st;
}

qwren_status qw_tokenizer_open(qw_tokenizer **out, const char *dir, qwren_error *err)
{
    char *path = qw_path_join(dir, "tokenizer.json"), *config_path = qw_path_join(dir, "tokenizer_config.json");
    *out = NULL;
    qwren_status st = path && config_path ? open_files(out, path, config_path, err) : qw_fail_memory(err, strlen(dir), "a file's name");
    qw_free(path);
    qw_free(config_path);
    return st;
}

void qw_tokenizer_close(qw_tokenizer *t)
{
    if (!t)
        return;
    qw_merges_deinit(&t->merges);
    qw_free(t->bytes);
    qw_free(t->offset);
    qw_free(t->added);
    qw_free(t->special);
    qw_free(t);
}

/* ---- tokens by id */

int32_t qw_tokenizer_count(const qw_tokenizer *t) { return t->count; }

const char *qw_tokenizer_bytes(const qw_tokenizer *t, int32_t id, size_t *len)
{
    bool known = id >= 0 && id < t->count;
    *len = known ? t->offset[id + 1] - t->offset[id] - 1 : 0;
    return known ? t->bytes + t->offset[id] : NULL;
}

bool qw_tokenizer_is_added(const qw_tokenizer *t, int32_t id) { return id >= t->n_base && id < t->count; }
bool qw_tokenizer_is_special(const qw_tokenizer *t, int32_t id) { return qw_tokenizer_is_added(t, id) && t->special[id - t->n_base]; }
