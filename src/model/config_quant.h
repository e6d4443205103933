/* The block "quantization" of an MLX checkpoint's config.json: which widths its writer chose. The tensors decide what they are
 * (model/groups.h); this block is what they are checked against. Checkpoints quantised in other ways are refused by name. */
#ifndef QW_MODEL_CONFIG_QUANT_H
#define QW_MODEL_CONFIG_QUANT_H

#include "base/arena.h"
#include "model/config_fields.h"
#include "quant/tensor.h"

/* What the file says about one matrix. */
typedef struct qw_quant_setting {
    bool stated;  /* false: nothing, and the rest is zero */
    bool off;     /* it stays as it is */
    int bits;     /* 0: not said */
    int group;    /* 0: not said */
    qw_type mode; /* QW_TYPE_MXFP4, QW_TYPE_NVFP4, QW_TYPE_MXFP8; QW_TYPE_OTHER: affine */
} qw_quant_setting;

typedef struct qw_quant_rule {
    const char *module; /* our name without ".weight" */
    qw_quant_setting setting;
} qw_quant_rule;

typedef struct qw_quant_block {
    qw_quant_setting usual; /* for all that have no rule of their own */
    qw_quant_rule *rules;
    size_t n;
} qw_quant_block;

typedef struct qw_quant_config {
    qw_quant_block main, draft; /* draft: of mtp/config.json */
} qw_quant_config;

/* Reads config.json and, where there is one, mtp/config.json of the directory. Rules live in the arena. Without a block everything is "not
 * stated". */
qwren_status qw_quant_config_read(qw_quant_config *out, const char *dir, qw_arena *arena, qwren_error *err);
/* One block: `top` is the whole config.json, an object. */
qwren_status qw_quant_block_read(qw_quant_block *out, const qw_fields *top, qw_arena *arena);
/* What is said about the matrix whose codes stand in `weight`. c may be NULL. */
qw_quant_setting qw_quant_config_find(const qw_quant_config *c, const qw_tensor *weight);
/* "6 bits in groups of 64", "mxfp4", "no codes": for messages. */
const char *qw_quant_setting_text(char *buf, size_t n, const qw_quant_setting *s);

#endif
