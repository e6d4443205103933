/* Open tokenizers for tests: the bundled model's, and Qwen 3.5's whole vocabulary of 248,044 tokens, unpacked from
 * golden/data/tokenizer/vocabulary.bin (packed by oracle/qwen_vocabulary.py). */
#ifndef QW_TESTS_VOCABULARY_H
#define QW_TESTS_VOCABULARY_H

#include "tokenizer/tokenizer.h"

#define NANO_TOKENIZER QW_MODELS "/qwren-nano/tokenizer.json"

/* Each fails the test when something is wrong. */
qw_tokenizer *open_nano_tokenizer(void);
qw_tokenizer *open_qwen_tokenizer(void);
/* The large one from the tables that qw_tokenizer_write_tables() makes of its JSON, and from lists as a GGUF file has them. */
qw_tokenizer *open_qwen_tables(void);
qw_tokenizer *open_qwen_lists(void);
/* The text of the large one's tokenizer.json, as the published one but for white space and order. */
qw_buf qwen_tokenizer_json(void);

/* What llama.cpp's converter makes of a tokenizer.json, and n_unused rows behind it. */
typedef struct made_lists {
    qw_token_lists lists;
    qw_token_text *tokens, *merges; /* those of lists, to be changed */
    int32_t *types;
    struct qw_json *root; /* holds the texts */
} made_lists;
made_lists make_lists(const char *json, size_t len, size_t n_unused);
void free_lists(made_lists *m);

/* A folder of a test's own for tokenizer.json, tokenizer_config.json and qwren/vocabulary.bin. */
void folder_make(char path[64]);
void folder_put(const char *folder, const char *name, const void *bytes, size_t n);
void folder_remove(const char *folder);

#endif
