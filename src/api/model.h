/* A model as the public API hands it out: the checkpoint, its tokenizer, and what `inspect` tells about it. Private to src/api. */
#ifndef QW_API_MODEL_H
#define QW_API_MODEL_H

#include "api/caches.h"
#include "convert/records.h"
#include "model/logical.h"
#include "model/model.h"
#include "text/stream.h"

struct qwren_model {
    qw_model core;
    qwren_tokenizer *tokenizer; /* NULL only when opened for inspection and the directory has none */
    char *path;                 /* as opened */
    char *made_by;              /* the recipe of a model that is in no files (model_random.c); NULL otherwise */
    qwren_model_info info;
    qw_logical *tensors;         /* [info.n_tensors] as a person counts them */
    qw_records *records;         /* of qwren quantize; NULL when there are none */
    int32_t tags[QW_TAG_COUNT];  /* ids of <think>, </think>, <tool_call>, </tool_call>; -1 when absent */
    int32_t eos[QW_MAX_EOS + 2]; /* what ends an answer: the config's ids, <|im_end|> and <|endoftext|> */
    int n_eos;
    qw_caches *caches;        /* what its sessions share */
    struct qw_replay *replay; /* answers that they have sampled (replay.h); NULL without a tokenizer */
    bool weights_stay;        /* in memory already, to stay: made, or locked */
    qw_profile profile;       /* while qwren_model_profile() asks for it */
};

/* One without anything in it; NULL when memory is short. */
qwren_model *qw_model_new(qwren_error *err);
qwren_status qw_kv_type_check(qwren_kv_type type, qwren_error *err);
qwren_status qw_model_check_options(const qwren_model_options *opt, qwren_error *err);
/* What its sessions share. The model has been described. */
qwren_status qw_model_share(qwren_model *m, const qwren_model_options *opt, qwren_error *err);
/* Fills info, tensors and records. */
qwren_status qw_model_describe(qwren_model *m, qwren_error *err);
const char *qw_layout_name(qw_layout layout); /* "Hugging Face", "MLX", "GGUF" */
/* Whether the id ends an answer. */
bool qw_model_is_eos(const qwren_model *m, int32_t id);
/* The tag that the id is, or -1. */
int qw_model_tag_of(const qwren_model *m, int32_t id);

#endif
