/* A checkpoint's text side: tokenizer and kind of chat template. What qwren_tokenizer_open() hands out, and what a model owns. */
#ifndef QW_API_TOKENIZER_H
#define QW_API_TOKENIZER_H

#include "text/template.h"
#include "tokenizer/tokenizer.h"
#include "weights/gguf.h"

struct qwren_tokenizer {
    qw_tokenizer *vocabulary;
    qw_template_kind template_kind;
};

/* `path`: a GGUF model (weights/gguf_files.h), or a folder with tokenizer.json; tokenizer_config.json, chat_template.jinja and config.json
 * are read when they are there. With `settings`, those of the GGUF model that stands at `path`, no file is opened again. On failure *out is
 * NULL. */
qwren_status qw_api_tokenizer_create(qwren_tokenizer **out, const char *path, const qw_gguf *settings, qwren_error *err);

/* From the settings of a GGUF file (tokenizer_gguf.c). *t is all zeros before, and may be half filled after a failure. */
qwren_status qw_api_tokenizer_of_gguf(qwren_tokenizer *t, const qw_gguf *g, qwren_error *err);
qwren_status qw_api_tokenizer_of_gguf_path(qwren_tokenizer *t, const char *path, qwren_error *err);
/* Whether the settings hold a vocabulary at all. */
bool qw_api_gguf_has_tokenizer(const qw_gguf *g);

#endif
