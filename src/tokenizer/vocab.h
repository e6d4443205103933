/* What an open tokenizer holds, and how it is made: from the lists of a file (build.c), read from tokenizer.json (vocab.c) or GGUF
 * (lists.c), or from the tables that an earlier reading left beside them (cache.c). Private to the room. */
#ifndef QW_TOKENIZER_VOCAB_H
#define QW_TOKENIZER_VOCAB_H

#include "base/file.h"
#include "base/json.h"
#include "tokenizer/bpe.h"

#define QW_VOCAB_MAX_TOKENS (1 << 24)

/* A token that is looked for in the text before anything else happens to it. */
typedef struct qw_added {
    const char *text;
    size_t len;
    int32_t id;
    bool special, from_config;
} qw_added;

/* ---- the block: all tables in one piece, the same in memory and in a file (block.c) */

/* Which files a block was made from. */
typedef struct qw_vocab_stamp {
    uint64_t json_bytes, json_hash;     /* tokenizer.json */
    uint64_t config_bytes, config_hash; /* tokenizer_config.json; config_bytes UINT64_MAX: there is none */
} qw_vocab_stamp;

#define QW_VOCAB_MAGIC "QWRVOCAB"
#define QW_VOCAB_VERSION 1u /* of the tables and of what they mean: a reader takes no other */

/* The block's beginning; little-endian. The sections follow it in the order of qw_vocab_sections. */
typedef struct qw_vocab_header {
    char magic[8];
    uint32_t version, reserved;
    uint64_t checksum; /* of all that follows it */
    uint64_t n_bytes;  /* of the block */
    qw_vocab_stamp stamp;
    uint32_t n_base, count, n_merges, merge_bits;
    uint64_t text_bytes;
} qw_vocab_header;

/* Where each section begins, in bytes from the block's beginning. */
typedef struct qw_vocab_sections {
    uint64_t byte_ids; /* int32 [256]: the token of each byte */
    uint64_t offset;   /* uint32 [count + 1]: where a token's text begins in `text` */
    uint64_t merges;   /* qw_merge [2^merge_bits] */
    uint64_t by_text;  /* uint32 [count - n_base]: ids of the added tokens, by their text */
    uint64_t special;  /* uint8 [count - n_base], by id */
    uint64_t text;     /* of all tokens, one after the other; each is followed by a NUL */
    uint64_t end;
} qw_vocab_sections;
qw_vocab_sections qw_vocab_layout(const qw_vocab_header *h);

struct qw_tokenizer {
    uint8_t *heap;         /* the block when it is memory of our own, else NULL */
    qw_map map;            /* the block when it is a file's */
    int32_t n_base, count; /* ids 0 .. n_base-1 are made by merges, n_base .. count-1 are added tokens */
    const char *bytes;     /* these point into the block */
    const uint32_t *offset;
    const int32_t *byte_ids;
    const uint8_t *special;
    qw_merges merges;
    qw_added *added; /* [count - n_base], by text */
    bool first[256]; /* bytes with which an added token begins */
};

/* Sets all but heap and map from a block whose contents are right. E_MEMORY or OK. */
qwren_status qw_vocab_attach(qw_tokenizer *t, const uint8_t *block, qwren_error *err);
/* Why the block [n] cannot be used; NULL when every number in it is in its bounds. */
const char *qw_vocab_fault(const uint8_t *block, size_t n);
uint64_t qw_vocab_checksum(const uint8_t *block, size_t n);

/* ---- building a block from lists (build.c) */

/* What the file calls its lists, for messages. */
typedef struct qw_vocab_words {
    const char *where, *tokens, *added, *merges;
} qw_vocab_words;

typedef struct qw_builder {
    const qw_vocab_words *words;
    qwren_error *err;
    uint8_t *block;
    qw_vocab_header *header; /* at the block's beginning */
    char *bytes;
    uint32_t *offset;
    qw_merge *merges; /* as they come; the block's table is made of them at the end */
    size_t n_merges;
    uint64_t *index; /* open addressing by bytes: the upper half of the hash, and id + 1; 0: free */
    size_t mask;
    uint64_t seed;
    int32_t guess; /* what the next merge makes, if the tokens stand in the order of the merges */
    int16_t alphabet[324];
} qw_builder;

/* The tokens: those of merges by id, spelt in the byte-level alphabet, then the added ones, ascending by id. At most n_merges merges may
 * follow. After any call qw_builder_deinit() is due. */
qwren_status qw_builder_init(qw_builder *b, const qw_vocab_words *words, const qw_token_text *base, size_t n_base, const qw_added *added,
                             size_t n_added, size_t n_merges, qwren_error *err);
/* Line `rank` of the merges, in order. A pair that comes again takes the later rank, as in the reference. */
qwren_status qw_builder_merge(qw_builder *b, size_t rank, qw_token_text left, qw_token_text right);
qwren_status qw_builder_finish(qw_builder *b, qw_tokenizer **out); /* takes the block over */
void qw_builder_deinit(qw_builder *b);

/* ---- tokenizer.json */

/* Refuses every part of tokenizer.json that would make other ids than Qwen 3.5's (vocab_check.c). */
qwren_status qw_vocab_check(const qw_json *root, const char *where, qwren_error *err);
qwren_status qw_vocab_check_config(const qw_json *config, const char *where, qwren_error *err);

/* Reads the added tokens of both files; *out [*n] (qw_free) is ascending by id, its texts borrowed from the roots (added.c). `config` may
 * be NULL. */
qwren_status qw_added_read(qw_added **out, size_t *n, const qw_json *root, const char *where, const qw_json *config,
                           const char *config_where, qwren_error *err);

/* The files of a folder, mapped. */
typedef struct qw_vocab_files {
    char *path, *config_path; /* for messages */
    qw_map json, config;      /* config.data NULL: there is none, or it is empty */
    bool has_config;
} qw_vocab_files;
qwren_status qw_vocab_files_open(qw_vocab_files *f, const char *dir, qwren_error *err); /* qw_vocab_files_close() either way */
void qw_vocab_files_close(qw_vocab_files *f);
qwren_status qw_vocab_parse_files(qw_tokenizer **out, const qw_vocab_files *f, qwren_error *err);

/* The tables in DIR/qwren/vocabulary.bin, if they are whole and were made from these files; else *out is NULL and OK (cache.c). */
qwren_status qw_vocab_read_cache(qw_tokenizer **out, const qw_vocab_files *f, const char *dir, qwren_error *err);

/* ---- added tokens (added.c) */

/* Sorts by text; two equal texts are an error. */
qwren_status qw_added_sort(qw_added *added, size_t n, const qw_vocab_words *words, qwren_error *err);
int qw_added_compare(const qw_added *a, const qw_added *b); /* by text */
/* The longest added token that stands at `at`, or NULL. */
const qw_added *qw_added_at(const qw_tokenizer *t, const char *text, size_t len, size_t at);

#endif
