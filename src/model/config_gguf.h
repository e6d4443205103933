/* The configuration of a model in GGUF files, from the settings in them. */
#ifndef QW_MODEL_CONFIG_GGUF_H
#define QW_MODEL_CONFIG_GGUF_H

#include "model/config.h"
#include "weights/weights.h"

/* Reads and checks the settings of weights that were opened as GGUF, by the same rules as qw_config_read(). The vocabulary is as large as
 * token_embd; the head is tied when there is no output.weight; tokens with a meaning are found in the tokenizer's list. */
qwren_status qw_config_read_gguf(qw_config *out, const qw_weights *weights, qwren_error *err);

#endif
