/* A checkpoint's text side: tokenizer and kind of chat template. What qwren_tokenizer_open() hands out, and what a model owns. */
#ifndef QW_API_TOKENIZER_H
#define QW_API_TOKENIZER_H

#include "text/template.h"
#include "tokenizer/tokenizer.h"

struct qwren_tokenizer {
    qw_tokenizer *vocabulary;
    qw_template_kind template_kind;
};

/* Reads DIR's tokenizer.json, tokenizer_config.json, chat_template.jinja and config.json; only the first must be there. On
 * failure *t is all zeros. */
qwren_status qw_api_tokenizer_init(qwren_tokenizer *t, const char *dir, qwren_error *err);
void qw_api_tokenizer_deinit(qwren_tokenizer *t); /* safe on zeros */

#endif
