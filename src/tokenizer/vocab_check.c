/* Is this Qwen 3.5's tokenizer? Every setting of tokenizer.json that could make other ids, with the one value that encode.c and
 * detok.c implement. What changes no id (truncation, padding, version) is not looked at: they are wishes for one call. Tested by
 * tests/unit/test_tokenizer_open.c. */
#include "tokenizer/pretok.h"
#include "tokenizer/vocab.h"

#include <stdlib.h>
#include <string.h>

typedef enum demand {
    TEXT,         /* exactly this string */
    TEXT_OR_NONE, /* it, or the thing that should hold it is not there */
    FALSE,        /* false, spelled out: its absence means true */
    UNSET         /* absent, null, false or "" */
} demand;

typedef struct rule {
    const char *path; /* keys and indexes from the root */
    demand demand;
    const char *text;
} rule;

static const rule tokenizer_rules[] = {
    { "model.type", TEXT, "BPE" },
    { "model.dropout", UNSET, NULL },
    { "model.unk_token", UNSET, NULL },
    { "model.continuing_subword_prefix", UNSET, NULL },
    { "model.end_of_word_suffix", UNSET, NULL },
    { "model.byte_fallback", UNSET, NULL },
    { "model.ignore_merges", UNSET, NULL },
    { "normalizer.type", TEXT, "NFC" },
    { "pre_tokenizer.type", TEXT, "Sequence" },
    { "pre_tokenizer.pretokenizers.0.type", TEXT, "Split" },
    { "pre_tokenizer.pretokenizers.0.pattern.Regex", TEXT, QW_PRETOK_PATTERN },
    { "pre_tokenizer.pretokenizers.0.behavior", TEXT, "Isolated" },
    { "pre_tokenizer.pretokenizers.0.invert", UNSET, NULL },
    { "pre_tokenizer.pretokenizers.1.type", TEXT, "ByteLevel" },
    { "pre_tokenizer.pretokenizers.1.add_prefix_space", FALSE, NULL },
    { "pre_tokenizer.pretokenizers.1.use_regex", FALSE, NULL },
    { "pre_tokenizer.pretokenizers.2", UNSET, NULL },
    { "post_processor.type", TEXT_OR_NONE, "ByteLevel" },
    { "decoder.type", TEXT, "ByteLevel" },
    { NULL, UNSET, NULL },
};

static const rule config_rules[] = {
    { "add_bos_token", UNSET, NULL },
    { "add_eos_token", UNSET, NULL },
    { "add_prefix_space", UNSET, NULL },
    { "split_special_tokens", UNSET, NULL },
    { NULL, UNSET, NULL },
};

/* One step of a path: a key, or an index when it begins with a digit. */
static const qw_json *step(const qw_json *v, const char *name, size_t n)
{
    char key[64];
    if (name[0] >= '0' && name[0] <= '9')
        return qw_json_at(v, (size_t)strtoul(name, NULL, 10));
    memcpy(key, name, n);
    key[n] = '\0';
    return qw_json_get(v, key);
}

static const qw_json *follow(const qw_json *v, const char *path)
{
    while (*path) {
        size_t n = strcspn(path, ".");
        v = step(v, path, n);
        path += n + (path[n] == '.');
    }
    return v;
}

static bool meets(const qw_json *v, const rule *r)
{
    size_t n = 0;
    const char *s = qw_json_string(v, &n);
    switch (r->demand) {
    case TEXT_OR_NONE:
        if (!v)
            return true;
        /* fallthrough */
    case TEXT: return s && n == strlen(r->text) && memcmp(s, r->text, n) == 0;
    case FALSE: return qw_json_is(v, QW_JSON_BOOL) && !qw_json_bool(v, true);
    default: return qw_json_kind_of(v) == QW_JSON_NULL || (s && n == 0) || (qw_json_is(v, QW_JSON_BOOL) && !qw_json_bool(v, true));
    }
}

static qwren_status refuse(const qw_json *v, const rule *r, const char *where, qwren_error *err)
{
    qw_buf found = QW_BUF_INIT;
    if (v)
        qw_json_dump(&found, v);
    else
        qw_buf_puts(&found, "missing");
    if (found.len > 150)
        qw_buf_truncate(&found, 150);
    qwren_status st = qw_fail(err, QWREN_E_UNSUPPORTED, "%s: %s is %s, which is not Qwen 3.5's (%s): this is another model's tokenizer",
                              where, r->path, qw_buf_text(&found), r->text ? r->text : "false");
    qw_buf_free(&found);
    return st;
}

static qwren_status check(const qw_json *root, const rule *r, const char *where, qwren_error *err)
{
    for (; r->path; r++) {
        const qw_json *v = follow(root, r->path);
        if (!meets(v, r))
            return refuse(v, r, where, err);
    }
    return QWREN_OK;
}

qwren_status qw_vocab_check(const qw_json *root, const char *where, qwren_error *err) { return check(root, tokenizer_rules, where, err); }
qwren_status qw_vocab_check_config(const qw_json *config, const char *where, qwren_error *err)
{
    return check(config, config_rules, where, err);
}
