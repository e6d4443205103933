/* Section 4 of qwren.h: the tokenizer of a directory or of a GGUF file (tokenizer_gguf.c), text -> ids and back. Tested by
 * tests/unit/test_tokenizer_api.c. */
#include "api/tokenizer.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"
#include "weights/gguf_files.h"

#include <string.h>

#define MAX_TEMPLATE_BYTES ((size_t)16 << 20)
#define MAX_CONFIG_BYTES ((size_t)256 << 20)

/* ---- reading a directory */

/* The whole file DIR/name, or *text NULL when there is none. */
static qwren_status read_optional(const char *dir, const char *name, size_t max_bytes, char **text, size_t *len, qwren_error *err)
{
    char *path = qw_path_join(dir, name);
    qwren_status st = QWREN_OK;
    *text = NULL;
    *len = 0;
    if (!path)
        return qw_fail_memory(err, strlen(dir), "a file's name");
    if (qw_file_exists(path))
        st = qw_file_read(path, max_bytes, text, len, err);
    qw_free(path);
    return st;
}

static qwren_status read_optional_json(const char *dir, const char *name, qw_json **root, qwren_error *err)
{
    char *text;
    size_t len;
    *root = NULL;
    QW_TRY(read_optional(dir, name, MAX_CONFIG_BYTES, &text, &len, err));
    qwren_status st = text ? qw_json_parse(root, text, len, name, err) : QWREN_OK;
    qw_free(text);
    return st;
}

/* Older checkpoints carry the template as a string of tokenizer_config.json, or as a list of {"name", "template"} with one named
 * "default". */
static const char *template_of_config(const qw_json *config, size_t *len)
{
    const qw_json *v = qw_json_get(config, "chat_template");
    for (size_t i = 0; i < qw_json_size(v); i++) {
        const qw_json *entry = qw_json_at(v, i);
        const char *name = qw_json_string(qw_json_get(entry, "name"), NULL);
        if (name && strcmp(name, "default") == 0)
            return qw_json_string(qw_json_get(entry, "template"), len);
    }
    return qw_json_string(v, len);
}

static qwren_status read_template_kind(qw_template_kind *kind, const char *dir, qwren_error *err)
{
    char *text;
    size_t len;
    qw_json *config = NULL;
    QW_TRY(read_optional(dir, "chat_template.jinja", MAX_TEMPLATE_BYTES, &text, &len, err));
    const char *found = text;
    if (!text) {
        QW_TRY(read_optional_json(dir, "tokenizer_config.json", &config, err));
        found = template_of_config(config, &len);
    }
    *kind = qw_template_detect(found, len);
    qw_json_free(config);
    qw_free(text);
    return QWREN_OK;
}

/* A token without a row of the embedding would be read from behind it. */
static qwren_status check_config(const qwren_tokenizer *t, const char *dir, qwren_error *err)
{
    qw_json *config;
    QW_TRY(read_optional_json(dir, "config.json", &config, err));
    const qw_json *text = qw_json_get(config, "text_config");
    int64_t rows = qw_json_int(qw_json_get(text ? text : config, "vocab_size"), INT64_MAX);
    qw_json_free(config);
    if (rows < qw_tokenizer_count(t->vocabulary))
        return qw_fail(err, QWREN_E_FORMAT,
                       "%s: config.json has vocab_size %lld, but tokenizer.json has %d tokens: they are of different models", dir,
                       (long long)rows, qw_tokenizer_count(t->vocabulary));
    return QWREN_OK;
}

static qwren_status read_folder(qwren_tokenizer *t, const char *dir, qwren_error *err)
{
    QW_TRY(qw_tokenizer_open(&t->vocabulary, dir, err));
    QW_TRY(check_config(t, dir, err));
    return read_template_kind(&t->template_kind, dir, err);
}

qwren_status qw_api_tokenizer_create(qwren_tokenizer **out, const char *path, const qw_gguf *settings, qwren_error *err)
{
    *out = NULL;
    qwren_tokenizer *t = qw_calloc(1, sizeof *t);
    if (!t)
        return qw_fail_memory(err, sizeof *t, "a tokenizer");
    qwren_status st = settings                 ? qw_api_tokenizer_of_gguf(t, settings, err)
                      : qw_gguf_is_model(path) ? qw_api_tokenizer_of_gguf_path(t, path, err)
                                               : read_folder(t, path, err);
    if (st == QWREN_OK)
        *out = t;
    else
        qwren_tokenizer_close(t);
    return st;
}

/* ---- the public functions */

qwren_status qwren_tokenizer_open(qwren_tokenizer **out, const char *path, qwren_error *err)
{
    *out = NULL;
    if (!path)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_tokenizer_open: path is NULL; give the directory of a tokenizer or a .gguf file");
    return qw_api_tokenizer_create(out, path, NULL, err);
}

void qwren_tokenizer_close(qwren_tokenizer *t)
{
    if (!t)
        return;
    qw_tokenizer_close(t->vocabulary);
    qw_free(t);
}

qwren_status qwren_tokenize(const qwren_tokenizer *t, const char *text, size_t len, qwren_special mode, int32_t **ids, size_t *n_ids,
                            qwren_error *err)
{
    qw_ids list = QW_IDS_INIT;
    *ids = NULL;
    *n_ids = 0;
    if (mode != QWREN_SPECIAL_ALL && mode != QWREN_SPECIAL_SOME && mode != QWREN_SPECIAL_NONE)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_tokenize: mode %d is none of qwren_special", (int)mode);
    if (!text && len)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_tokenize: text is NULL");
    len = len == SIZE_MAX ? strlen(text) : len;
    qwren_status st = qw_tokenizer_encode(t->vocabulary, text, len, mode, NULL, 0, &list, err);
    if (st != QWREN_OK) {
        qw_ids_free(&list);
        return st;
    }
    *ids = list.data;
    *n_ids = list.n;
    return QWREN_OK;
}

qwren_status qwren_detokenize(const qwren_tokenizer *t, const int32_t *ids, size_t n_ids, bool skip_special, char **text, size_t *len,
                              qwren_error *err)
{
    qw_buf b = QW_BUF_INIT;
    *text = NULL;
    if (len)
        *len = 0;
    if (!ids && n_ids)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_detokenize: ids is NULL");
    qwren_status st = qw_tokenizer_decode(t->vocabulary, ids, n_ids, skip_special, &b, err);
    if (st == QWREN_OK)
        return qw_buf_take(&b, text, len, err);
    qw_buf_free(&b);
    return st;
}

int32_t qwren_token_id(const qwren_tokenizer *t, const char *added_token)
{
    return qw_tokenizer_find_added(t->vocabulary, added_token, strlen(added_token));
}

int32_t qwren_token_count(const qwren_tokenizer *t) { return qw_tokenizer_count(t->vocabulary); }
bool qwren_thinks_by_default(const qwren_tokenizer *t) { return t->template_kind.thinks_by_default; }
