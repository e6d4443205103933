/* What an open tokenizer holds, and how its file is read. Private to the room. */
#ifndef QW_TOKENIZER_VOCAB_H
#define QW_TOKENIZER_VOCAB_H

#include "base/json.h"
#include "tokenizer/bpe.h"

/* A token that is looked for in the text before anything else happens to it. */
typedef struct qw_added {
    const char *text;
    size_t len;
    int32_t id;
    bool special, from_config;
} qw_added;

struct qw_tokenizer {
    int32_t n_base, count; /* ids 0 .. n_base-1 are made by merges, n_base .. count-1 are added tokens */
    char *bytes;           /* of all tokens, one after the other; each is followed by a NUL */
    size_t *offset;        /* [count + 1] where a token's bytes begin */
    int32_t byte_ids[256];
    qw_merges merges;
    qw_added *added; /* [count - n_base], by text */
    bool *special;   /* [count - n_base], by id */
    bool first[256]; /* bytes with which an added token begins */
};

/* Refuses every part of tokenizer.json that would make other ids than Qwen 3.5's (vocab_check.c). */
qwren_status qw_vocab_check(const qw_json *root, const char *where, qwren_error *err);
qwren_status qw_vocab_check_config(const qw_json *config, const char *where, qwren_error *err);

/* Reads the added tokens of both files; *out [*n] (qw_free) is ascending by id, its texts borrowed from the roots (added.c). `config` may be NULL. */
qwren_status qw_added_read(qw_added **out, size_t *n, const qw_json *root, const char *where, const qw_json *config,
                           const char *config_where, qwren_error *err);
/* Sorts by text; two equal texts are an error. */
qwren_status qw_added_sort(qw_added *added, size_t n, const char *where, qwren_error *err);
/* The longest added token that stands at `at`, or NULL. */
const qw_added *qw_added_at(const qw_tokenizer *t, const char *text, size_t len, size_t at);

#endif
