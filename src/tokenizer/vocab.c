/* tokenizer.json -> qw_tokenizer: the vocabulary by id, the merge list, the added tokens. Read once when a model is opened. What a
 * checkpoint may say beside the vocabulary is in vocab_check.c. Tested by tests/unit/test_tokenizer_open.c. */
#include "tokenizer/vocab.h"

#include "base/alloc.h"

#include <string.h>

#define MAX_FILE_BYTES ((size_t)256 << 20)

static const char config_name[] = "tokenizer_config.json";

/* ---- vocabulary */

typedef struct reader {
    qw_vocab_words words;
    const char *config_where;
    qwren_error *err;
    const qw_json *vocab;
    qw_added *added; /* ascending by id */
    size_t n_added;
    qw_token_text *spelling; /* [n_base] by id */
    size_t n_base;
} reader;

static qwren_status collect_spellings(reader *r)
{
    size_t n = r->n_base = qw_json_size(r->vocab);
    if (n == 0 || n > QW_VOCAB_MAX_TOKENS)
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.vocab must be an object with 1 to %d tokens, it has %zu", r->words.where,
                       QW_VOCAB_MAX_TOKENS, n);
    r->spelling = qw_calloc(n, sizeof *r->spelling);
    if (!r->spelling)
        return qw_fail_memory(r->err, n * sizeof *r->spelling, "the vocabulary");
    for (qw_json_iter it = qw_json_first(r->vocab); it.key; qw_json_next(r->vocab, &it)) {
        int64_t id = qw_json_int(it.value, -1);
        if (id < 0 || (uint64_t)id >= n || r->spelling[id].data)
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.vocab: the ids must be 0 to %zu, each once; \"%s\" is not", r->words.where,
                           n - 1, it.key);
        if (it.key_len == 0 || memchr(it.key, '\0', it.key_len))
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.vocab: token %lld is empty or holds a NUL", r->words.where, (long long)id);
        r->spelling[id] = (qw_token_text){ it.key, it.key_len };
    }
    return QWREN_OK;
}

/* ---- merges: "left right", or ["left", "right"] */

/* False when the element is neither form. */
static bool read_pair(const qw_json *v, qw_token_text *left, qw_token_text *right)
{
    left->data = qw_json_string(v, &left->len);
    if (left->data) {
        const char *blank = memchr(left->data, ' ', left->len);
        if (!blank)
            return false;
        *right = (qw_token_text){ blank + 1, left->len - (size_t)(blank + 1 - left->data) };
        left->len = (size_t)(blank - left->data);
    } else {
        left->data = qw_json_string(qw_json_at(v, 0), &left->len);
        right->data = qw_json_string(qw_json_at(v, 1), &right->len);
        if (!left->data || !right->data || qw_json_size(v) != 2)
            return false;
    }
    return !memchr(left->data, '\0', left->len) && !memchr(right->data, '\0', right->len);
}

static qwren_status add_merges(const reader *r, qw_builder *b, const qw_json *merges)
{
    for (size_t i = 0; i < qw_json_size(merges); i++) {
        qw_token_text left, right;
        if (!read_pair(qw_json_at(merges, i), &left, &right))
            return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.merges[%zu] must be \"left right\" or [\"left\", \"right\"]", r->words.where,
                           i);
        QW_TRY(qw_builder_merge(b, i, left, right));
    }
    return QWREN_OK;
}

/* ---- opening */

static qwren_status read_lists(reader *r, const qw_json *root, const qw_json *config)
{
    QW_TRY(qw_vocab_check(root, r->words.where, r->err));
    QW_TRY(qw_vocab_check_config(config, r->config_where, r->err));
    const qw_json *merges = qw_json_get(qw_json_get(root, "model"), "merges");
    if (!qw_json_is(merges, QW_JSON_ARRAY) || qw_json_size(merges) > QW_VOCAB_MAX_TOKENS)
        return qw_fail(r->err, QWREN_E_FORMAT, "%s: model.merges must be an array of at most %d pairs", r->words.where,
                       QW_VOCAB_MAX_TOKENS);
    r->vocab = qw_json_get(qw_json_get(root, "model"), "vocab");
    QW_TRY(collect_spellings(r));
    return qw_added_read(&r->added, &r->n_added, root, r->words.where, config, r->config_where, r->err);
}

static qwren_status build(const reader *r, const qw_json *merges, qw_tokenizer **out)
{
    qw_builder b;
    qwren_status st;
    QW_TRY_GOTO(st, qw_builder_init(&b, &r->words, r->spelling, r->n_base, r->added, r->n_added, qw_json_size(merges), r->err), done);
    QW_TRY_GOTO(st, add_merges(r, &b, merges), done);
    st = qw_builder_finish(&b, out);
done:
    qw_builder_deinit(&b);
    return st;
}

static qwren_status open_roots(qw_tokenizer **out, const qw_json *root, const char *where, const qw_json *config, const char *config_where,
                               qwren_error *err)
{
    reader r = { .words = { where, "model.vocab", "added_tokens", "model.merges" }, .config_where = config_where, .err = err };
    qwren_status st = read_lists(&r, root, config);
    if (st == QWREN_OK)
        st = build(&r, qw_json_get(qw_json_get(root, "model"), "merges"), out);
    qw_free(r.spelling);
    qw_free(r.added);
    return st;
}

/* The texts of the two files; `config` may be NULL. */
static qwren_status parse(qw_tokenizer **out, const char *json, size_t len, const char *where, const char *config, size_t config_len,
                          const char *config_where, qwren_error *err)
{
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

qwren_status qw_tokenizer_parse(qw_tokenizer **out, const char *json, size_t len, const char *config, size_t config_len, const char *where,
                                qwren_error *err)
{
    return parse(out, json, len, where, config, config_len, config_name, err);
}

/* ---- folders */

static const char *text_of(const qw_map *m) { return m->data ? (const char *)m->data : ""; }

qwren_status qw_vocab_parse_files(qw_tokenizer **out, const qw_vocab_files *f, qwren_error *err)
{
    return parse(out, text_of(&f->json), f->json.size, f->path, f->has_config ? text_of(&f->config) : NULL, f->config.size, f->config_path,
                 err);
}

static qwren_status map_limited(qw_map *m, const char *path, qwren_error *err)
{
    QW_TRY(qw_map_open(m, path, err));
    return m->size <= MAX_FILE_BYTES ? QWREN_OK
                                     : qw_fail(err, QWREN_E_LIMIT, "%s: larger than the limit of %zu bytes", path, MAX_FILE_BYTES);
}

qwren_status qw_vocab_files_open(qw_vocab_files *f, const char *dir, qwren_error *err)
{
    *f = (qw_vocab_files){ .path = qw_path_join(dir, "tokenizer.json"), .config_path = qw_path_join(dir, config_name) };
    if (!f->path || !f->config_path)
        return qw_fail_memory(err, strlen(dir), "a file's name");
    QW_TRY(map_limited(&f->json, f->path, err));
    f->has_config = qw_file_exists(f->config_path);
    return f->has_config ? map_limited(&f->config, f->config_path, err) : QWREN_OK;
}

void qw_vocab_files_close(qw_vocab_files *f)
{
    qw_map_close(&f->json);
    qw_map_close(&f->config);
    qw_free(f->path);
    qw_free(f->config_path);
    *f = (qw_vocab_files){ 0 };
}

qwren_status qw_tokenizer_open(qw_tokenizer **out, const char *dir, qwren_error *err)
{
    qw_vocab_files f;
    *out = NULL;
    qwren_status st = qw_vocab_files_open(&f, dir, err);
    if (st == QWREN_OK)
        st = qw_vocab_read_cache(out, &f, dir, err);
    if (st == QWREN_OK && !*out)
        st = qw_vocab_parse_files(out, &f, err);
    qw_vocab_files_close(&f);
    return st;
}
