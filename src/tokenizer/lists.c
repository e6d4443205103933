/* The vocabulary of a GGUF file -> qw_tokenizer: what llama.cpp's converter made of tokenizer.json, turned back. Tested by
 * tests/unit/test_tokenizer_lists.c. */
#include "base/alloc.h"
#include "base/utf8.h"
#include "tokenizer/vocab.h"

#include <string.h>

enum { NORMAL = 1, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5 };

static const char types_name[] = "tokenizer.ggml.token_type";

/* The converter calls every token control that looks like <|...|>. These six are none in Qwen's own file. */
static bool is_control(qw_token_text t)
{
    static const char *const plain[] = { "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>",
                                         "<|fim_pad|>",    "<|repo_name|>",  "<|file_sep|>" };
    for (size_t i = 0; i < sizeof plain / sizeof *plain; i++)
        if (strlen(plain[i]) == t.len && memcmp(plain[i], t.data, t.len) == 0)
            return false;
    return true;
}

/* Rows of the embedding without a token are filled up with unused ones. */
static size_t count_used(const qw_token_lists *l)
{
    size_t n = l->n_tokens;
    while (n > 0 && l->types[n - 1] == UNUSED)
        n--;
    return n;
}

static size_t count_normal(const qw_token_lists *l)
{
    size_t n = 0;
    while (n < l->n_tokens && l->types[n] == NORMAL)
        n++;
    return n;
}

static qwren_status read_added(qw_added *out, const qw_token_lists *l, size_t id, const char *where, qwren_error *err)
{
    qw_token_text t = l->tokens[id];
    int32_t type = l->types[id];
    if (type != CONTROL && type != USER_DEFINED)
        return qw_fail(err, QWREN_E_FORMAT,
                       "%s: %s[%zu] is %d: behind the first added token only 3 (control) and 4 (user-defined) may come", where, types_name,
                       id, (int)type);
    if (t.len == 0 || !qw_utf8_is_valid(t.data, t.len))
        return qw_fail(err, QWREN_E_FORMAT, "%s: tokenizer.ggml.tokens[%zu] is empty or not valid UTF-8", where, id);
    *out = (qw_added){ t.data, t.len, (int32_t)id, type == CONTROL && is_control(t), false };
    return QWREN_OK;
}

static qwren_status check(const qw_token_lists *l, const char *where, qwren_error *err)
{
    if (l->n_types != l->n_tokens)
        return qw_fail(err, QWREN_E_FORMAT, "%s: tokenizer.ggml.tokens has %zu elements, but %s %zu", where, l->n_tokens, types_name,
                       l->n_types);
    if (l->n_tokens > QW_VOCAB_MAX_TOKENS)
        return qw_fail(err, QWREN_E_FORMAT, "%s: tokenizer.ggml.tokens has %zu elements; at most %d are possible", where, l->n_tokens,
                       QW_VOCAB_MAX_TOKENS);
    return QWREN_OK;
}

static qwren_status add_merges(qw_builder *b, const qw_token_lists *l, const char *where, qwren_error *err)
{
    for (size_t i = 0; i < l->n_merges; i++) {
        qw_token_text left = l->merges[i], right;
        const char *blank = left.len ? memchr(left.data, ' ', left.len) : NULL;
        if (!blank)
            return qw_fail(err, QWREN_E_FORMAT, "%s: tokenizer.ggml.merges[%zu] must be \"left right\"", where, i);
        right = (qw_token_text){ blank + 1, left.len - (size_t)(blank + 1 - left.data) };
        left.len = (size_t)(blank - left.data);
        QW_TRY(qw_builder_merge(b, i, left, right));
    }
    return QWREN_OK;
}

static qwren_status build(qw_tokenizer **out, const qw_token_lists *l, const qw_added *added, size_t n_base, size_t n_added,
                          const char *where, qwren_error *err)
{
    const qw_vocab_words words = { where, "tokenizer.ggml.tokens", types_name, "tokenizer.ggml.merges" };
    qw_builder b;
    qwren_status st;
    QW_TRY_GOTO(st, qw_builder_init(&b, &words, l->tokens, n_base, added, n_added, l->n_merges, err), done);
    QW_TRY_GOTO(st, add_merges(&b, l, where, err), done);
    st = qw_builder_finish(&b, out);
done:
    qw_builder_deinit(&b);
    return st;
}

qwren_status qw_tokenizer_from_lists(qw_tokenizer **out, const qw_token_lists *lists, const char *where, qwren_error *err)
{
    *out = NULL;
    QW_TRY(check(lists, where, err));
    size_t n_base = count_normal(lists), n_used = count_used(lists), n_added = n_used > n_base ? n_used - n_base : 0;
    qw_added *added = qw_alloc_array(n_added, sizeof *added);
    qwren_status st = added ? QWREN_OK : qw_fail_memory(err, n_added * sizeof *added, "the added tokens");
    for (size_t i = 0; i < n_added && st == QWREN_OK; i++)
        st = read_added(&added[i], lists, n_base + i, where, err);
    if (st == QWREN_OK)
        st = build(out, lists, added, n_base, n_added, where, err);
    qw_free(added);
    return st;
}
