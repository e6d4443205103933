/* Text <-> token ids, exactly as the reference: added tokens, NFC, split, byte-level BPE (docs/model.md). The room's one header.
 * A tokenizer is read-only once opened: any number of threads may use one at once. */
#ifndef QW_TOKENIZER_TOKENIZER_H
#define QW_TOKENIZER_TOKENIZER_H

#include "base/buf.h"

typedef struct qw_tokenizer qw_tokenizer;

/* Bytes [begin, end) of a text. */
typedef struct qw_span {
    size_t begin, end;
} qw_span;

/* A growing list of ids. Begin with QW_IDS_INIT; what append gives is E_MEMORY or OK. */
typedef struct qw_ids {
    int32_t *data; /* NULL when nothing was ever appended */
    size_t n, cap;
} qw_ids;
#define QW_IDS_INIT ((qw_ids){ 0 })
qwren_status qw_ids_append(qw_ids *ids, int32_t id, qwren_error *err);
void qw_ids_free(qw_ids *ids); /* frees and re-initialises */

/* Reads DIR/tokenizer.json and, when present, DIR/tokenizer_config.json (added tokens that stand only there). Refuses, naming the key, what
 * is not Qwen 3.5's: another model, normaliser, split pattern or decoder. On failure *out is NULL. Close with qw_tokenizer_close(). */
qwren_status qw_tokenizer_open(qw_tokenizer **out, const char *dir, qwren_error *err);
/* The same from memory; `config` may be NULL. `where` names the source in errors. */
qwren_status qw_tokenizer_parse(qw_tokenizer **out, const char *json, size_t len, const char *config, size_t config_len, const char *where,
                                qwren_error *err);
/* Writes the tables of DIR's tokenizer.json to `path`, bound to the bytes of that file and of tokenizer_config.json. As
 * DIR/qwren/vocabulary.bin they are what qw_tokenizer_open(DIR) maps instead of reading the JSON, as long as both files stay the same to
 * the byte. */
qwren_status qw_tokenizer_write_tables(const char *dir, const char *path, qwren_error *err);
void qw_tokenizer_close(qw_tokenizer *t); /* NULL is allowed */

/* A token or a merge as a file spells it: not terminated. */
typedef struct qw_token_text {
    const char *data;
    size_t len;
} qw_token_text;

/* The vocabulary as the settings of a GGUF file have it (tokenizer.ggml.*). */
typedef struct qw_token_lists {
    const qw_token_text *tokens; /* by id; those that are no added ones in the byte-level alphabet */
    size_t n_tokens;
    const int32_t *types; /* the numbers of llama.cpp: 1 normal, 3 control, 4 user-defined, 5 unused */
    size_t n_types;
    const qw_token_text *merges; /* "left right" */
    size_t n_merges;
} qw_token_lists;
/* The same tokenizer from lists. Control tokens are special, user-defined ones added but not special; unused ones at the end are no
 * tokens. */
qwren_status qw_tokenizer_from_lists(qw_tokenizer **out, const qw_token_lists *lists, const char *where, qwren_error *err);

/* Appends the ids of text to *ids (left as it was after a failure). Ill-formed UTF-8 counts as U+FFFD. O(n log n) for any text.
 *
 * `untrusted` (ascending, disjoint; may be NULL) are the bytes that users and tools wrote. An added token that touches one of them, be it
 * by a single byte, is not recognised and stays text; an edge inside a character is moved outwards. Nothing else changes at an edge: NFC,
 * split and merges run over the text between two recognised tokens as one piece, as the reference does. So a user's leading combining mark
 * joins the template's letter before it, and ids differ from those without `untrusted` only where an added token was suppressed. */
qwren_status qw_tokenizer_encode(const qw_tokenizer *t, const char *text, size_t len, qwren_special mode, const qw_span *untrusted,
                                 size_t n_untrusted, qw_ids *ids, qwren_error *err);

/* Appends the text of ids to *out. Ill-formed sequences become U+FFFD; an id without a token is E_ARGUMENT and *out is left as it was. */
qwren_status qw_tokenizer_decode(const qw_tokenizer *t, const int32_t *ids, size_t n_ids, bool skip_special, qw_buf *out, qwren_error *err);

int32_t qw_tokenizer_count(const qw_tokenizer *t);                                    /* ids 0 .. count-1 have a token */
const char *qw_tokenizer_bytes(const qw_tokenizer *t, int32_t id, size_t *len);       /* may be part of a character; NULL: no such id */
int32_t qw_tokenizer_find_added(const qw_tokenizer *t, const char *text, size_t len); /* id of "<|im_end|>", or -1 */
bool qw_tokenizer_is_added(const qw_tokenizer *t, int32_t id);
bool qw_tokenizer_is_special(const qw_tokenizer *t, int32_t id); /* an added token that decoding may skip */

/* Ids one by one -> text in whole characters. The pieces that push and flush append, joined, are what qw_tokenizer_decode() gives for all
 * ids. Takes no memory of its own; when *out is cleared and reused, none at all after the first tokens. */
typedef struct qw_detok {
    const qw_tokenizer *tokenizer;
    bool skip_special;
    char held[4]; /* the beginning of a character whose end has not come yet */
    size_t n_held;
} qw_detok;
void qw_detok_init(qw_detok *d, const qw_tokenizer *t, bool skip_special);
void qw_detok_reset(qw_detok *d); /* forgets what is held */
qwren_status qw_detok_push(qw_detok *d, int32_t id, qw_buf *out, qwren_error *err);
void qw_detok_flush(qw_detok *d, qw_buf *out); /* an unfinished character becomes U+FFFD */

#endif
