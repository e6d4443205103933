/* The text side of a GGUF file: vocabulary, kinds of tokens, merges and template stand among its settings. Joins weights/gguf.h and the
 * tokenizer's room, of which neither knows the other. Tested by tests/unit/test_api_gguf.c. */
#include "api/tokenizer.h"

#include "base/alloc.h"
#include "base/status.h"
#include "weights/gguf_files.h"

#include <string.h>

#define KEY(name) "tokenizer.ggml." name

/* ---- is it Qwen 3.5's? */

static qwren_status require_text(const qw_gguf *g, const char *key, const char *want, qwren_error *err)
{
    const qw_gguf_value *v = qw_gguf_find(g, key);
    qw_gguf_text found = { "", 0 };
    if (qw_gguf_is(v, want))
        return QWREN_OK;
    if (!v)
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: has no %s, so whose tokenizer it holds is not known; Qwen 3.5's says \"%s\"",
                       qw_gguf_path(g), key, want);
    if (!qw_gguf_string(v, &found))
        return qw_fail(err, QWREN_E_FORMAT, "%s: %s must be a string", qw_gguf_path(g), key);
    return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: %s is \"%.*s\", which is not Qwen 3.5's (\"%s\"): this is another model's tokenizer",
                   qw_gguf_path(g), key, (int)(found.len < 100 ? found.len : 100), found.data, want);
}

static qwren_status require_unset(const qw_gguf *g, const char *key, qwren_error *err)
{
    bool set = false;
    const qw_gguf_value *v = qw_gguf_find(g, key);
    if (!v || (qw_gguf_bool(v, &set) && !set))
        return QWREN_OK;
    return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: %s is set, which is not Qwen 3.5's (false): this is another model's tokenizer",
                   qw_gguf_path(g), key);
}

static qwren_status check_kind(const qw_gguf *g, qwren_error *err)
{
    static const char *const unset[] = { KEY("add_bos_token"), KEY("add_eos_token"), KEY("add_sep_token"), KEY("add_space_prefix") };
    QW_TRY(require_text(g, KEY("model"), "gpt2", err));
    QW_TRY(require_text(g, KEY("pre"), "qwen35", err));
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++)
        QW_TRY(require_unset(g, unset[i], err));
    return QWREN_OK;
}

/* ---- lists */

static qwren_status fail_list(const qw_gguf *g, const char *key, const char *of, qwren_error *err)
{
    return qw_fail(err, QWREN_E_FORMAT, "%s: %s must be a list of %s", qw_gguf_path(g), key, of);
}

static qwren_status read_texts(const qw_gguf *g, const char *key, qw_token_text **out, size_t *n, qwren_error *err)
{
    const qw_gguf_value *v = qw_gguf_find(g, key);
    qw_gguf_texts it = { 0 };
    if (!v || !v->is_list || v->type != QW_GGUF_STRING)
        return fail_list(g, key, "strings", err);
    *n = v->n;
    *out = qw_alloc_array(v->n, sizeof **out);
    if (!*out)
        return qw_fail_memory(err, v->n * sizeof **out, "the vocabulary");
    while (qw_gguf_next_text(v, &it))
        (*out)[it.index] = (qw_token_text){ it.text.data, it.text.len };
    return QWREN_OK;
}

static qwren_status read_types(const qw_gguf *g, int32_t **out, size_t *n, qwren_error *err)
{
    const char *key = KEY("token_type");
    const qw_gguf_value *v = qw_gguf_find(g, key);
    int64_t type = 0;
    if (!v || !v->is_list)
        return fail_list(g, key, "whole numbers", err);
    *n = v->n;
    *out = qw_alloc_array(v->n, sizeof **out);
    if (!*out)
        return qw_fail_memory(err, v->n * sizeof **out, "the vocabulary");
    for (size_t i = 0; i < v->n; i++) {
        if (!qw_gguf_int_at(v, i, &type) || type < 0 || type > INT32_MAX)
            return fail_list(g, key, "whole numbers", err);
        (*out)[i] = (int32_t)type;
    }
    return QWREN_OK;
}

static qwren_status read_vocabulary(qwren_tokenizer *t, const qw_gguf *g, qwren_error *err)
{
    qw_token_text *tokens = NULL, *merges = NULL;
    int32_t *types = NULL;
    size_t n_tokens = 0, n_types = 0, n_merges = 0;
    qwren_status st;
    QW_TRY_GOTO(st, read_texts(g, KEY("tokens"), &tokens, &n_tokens, err), done);
    QW_TRY_GOTO(st, read_types(g, &types, &n_types, err), done);
    QW_TRY_GOTO(st, read_texts(g, KEY("merges"), &merges, &n_merges, err), done);
    const qw_token_lists lists = { tokens, n_tokens, types, n_types, merges, n_merges };
    st = qw_tokenizer_from_lists(&t->vocabulary, &lists, qw_gguf_path(g), err);
done:
    qw_free(tokens);
    qw_free(types);
    qw_free(merges);
    return st;
}

/* ---- what the settings say about it */

static qwren_status check_id(const qwren_tokenizer *t, const qw_gguf *g, const char *key, qwren_error *err)
{
    const qw_gguf_value *v = qw_gguf_find(g, key);
    int64_t id = -1;
    if (!v || (qw_gguf_int(v, &id) && id >= 0 && id < qw_tokenizer_count(t->vocabulary)))
        return QWREN_OK;
    return qw_fail(err, QWREN_E_FORMAT, "%s: %s must be the id of a token, 0 to %d", qw_gguf_path(g), key,
                   (int)qw_tokenizer_count(t->vocabulary) - 1);
}

/* A token without a row of the embedding would be read from behind it. */
static qwren_status check_rows(const qwren_tokenizer *t, const qw_gguf *g, qwren_error *err)
{
    size_t n;
    const qw_tensor *tensors = qw_gguf_tensors(g, &n);
    for (size_t i = 0; i < n; i++)
        if (strcmp(tensors[i].name, "token_embd.weight") == 0 && tensors[i].shape[0] < (size_t)qw_tokenizer_count(t->vocabulary))
            return qw_fail(err, QWREN_E_FORMAT,
                           "%s: token_embd.weight has %zu rows, but " KEY("tokens") " %d tokens: they are of different models",
                           qw_gguf_path(g), tensors[i].shape[0], (int)qw_tokenizer_count(t->vocabulary));
    return QWREN_OK;
}

static qwren_status read_template(qwren_tokenizer *t, const qw_gguf *g, qwren_error *err)
{
    const qw_gguf_value *v = qw_gguf_find(g, "tokenizer.chat_template");
    qw_gguf_text text = { NULL, 0 };
    if (v && !qw_gguf_string(v, &text))
        return qw_fail(err, QWREN_E_FORMAT, "%s: tokenizer.chat_template must be a string", qw_gguf_path(g));
    t->template_kind = qw_template_detect(text.data, text.len);
    return QWREN_OK;
}

bool qw_api_gguf_has_tokenizer(const qw_gguf *g) { return qw_gguf_find(g, KEY("tokens")) != NULL; }

qwren_status qw_api_tokenizer_of_gguf(qwren_tokenizer *t, const qw_gguf *g, qwren_error *err)
{
    QW_TRY(check_kind(g, err));
    QW_TRY(read_vocabulary(t, g, err));
    QW_TRY(check_id(t, g, KEY("eos_token_id"), err));
    QW_TRY(check_id(t, g, KEY("padding_token_id"), err));
    QW_TRY(check_rows(t, g, err));
    return read_template(t, g, err);
}

qwren_status qw_api_tokenizer_of_gguf_path(qwren_tokenizer *t, const char *path, qwren_error *err)
{
    qw_gguf_files files;
    qw_gguf *g = NULL;
    qwren_status st = qw_gguf_files_find(&files, path, "none", err);
    if (st == QWREN_OK)
        st = qw_gguf_open(&g, files.parts[0], err);
    if (st == QWREN_OK)
        st = qw_api_tokenizer_of_gguf(t, g, err);
    qw_gguf_close(g);
    qw_gguf_files_deinit(&files);
    return st;
}
