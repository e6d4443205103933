/* A chat request (JSON in OpenAI's form), checked field by field. Everything below src/api sees plain values. */
#ifndef QW_API_REQUEST_H
#define QW_API_REQUEST_H

#include "base/json.h"
#include "runtime/sampler.h" /* qw_logit_bias */

typedef struct qw_request {
    qw_json *root;              /* owned; messages and tools point into it */
    const qw_json *messages;    /* an array; NULL when absent */
    const qw_json *tools;       /* a non-empty array, or NULL */
    const char *tool_choice;    /* "auto", "none", "required"; NULL when absent */
    int thinking;               /* 1, 0; -1 = not said */
    bool add_generation_prompt; /* true unless the request says false */
    bool add_vision_id;
    int overflow; /* a qwren_overflow; -1 = not said */

    /* Generation. NAN or -1 where the request says nothing. */
    int64_t max_tokens;
    double temperature, top_p, min_p, presence_penalty, frequency_penalty, repetition_penalty;
    int64_t top_k;
    bool has_seed;
    uint64_t seed;
    const char **stop; /* owned array of borrowed strings */
    size_t n_stop;
    qw_logit_bias *bias; /* owned */
    size_t n_bias;
} qw_request;

/* Parses and checks. Unknown fields are ignored; a known field of the wrong type or range is QWREN_E_ARGUMENT naming it. After
 * success or failure qw_request_deinit() may be called. */
qwren_status qw_request_parse(qw_request *r, const char *text, size_t len, qwren_error *err);
void qw_request_deinit(qw_request *r);

#endif
