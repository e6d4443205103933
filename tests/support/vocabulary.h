/* Open tokenizers for tests: the bundled model's, and Qwen 3.5's whole vocabulary of 248,044 tokens, unpacked from
 * golden/data/tokenizer/vocabulary.bin (packed by oracle/qwen_vocabulary.py). */
#ifndef QW_TESTS_VOCABULARY_H
#define QW_TESTS_VOCABULARY_H

#include "tokenizer/tokenizer.h"

#define NANO_TOKENIZER QW_MODELS "/qwren-nano/tokenizer.json"

/* Each fails the test when something is wrong. */
qw_tokenizer *open_nano_tokenizer(void);
qw_tokenizer *open_qwen_tokenizer(void);
/* The text of the large one's tokenizer.json, as the published one but for white space and order. */
qw_buf qwen_tokenizer_json(void);

#endif
