/* A request -> the timeline that its prompt is: rendered, tokenised with the answers that are known, cut to the context when that is
 * wished, its pictures loaded. The first half of qwren_chat; nothing is computed here. Private to src/api. */
#ifndef QW_API_CHAT_PROMPT_H
#define QW_API_CHAT_PROMPT_H

#include "api/pictures.h"
#include "api/prompt_ids.h"
#include "api/request.h"

typedef struct qw_chat_prompt {
    const qwren_model *model;
    const qwren_chat_options *opt;
    size_t capacity; /* tokens of the context */
    qw_request request;
    qw_prompt text;
    qw_prompt_ids places; /* expanded once the timeline is there */
    qw_pictures pictures;
    qw_timeline timeline;
    size_t *boundaries; /* [n_boundaries] lengths at which a later request may leave this timeline, ascending */
    size_t n_boundaries;
    size_t n_system;             /* tokens of the system block */
    size_t skip_begin, skip_end; /* messages that were left out */
    double image_s;              /* loading pictures took so long */
} qw_chat_prompt;

/* The options are borrowed. qw_chat_prompt_deinit() may be called after a failure, and on a zeroed struct. */
qwren_status qw_chat_prompt_make(qw_chat_prompt *p, const qwren_model *m, size_t capacity, const char *request,
                                 const qwren_chat_options *opt, qwren_error *err);
void qw_chat_prompt_deinit(qw_chat_prompt *p);
/* What shall become of a conversation that is too long: the request's word, else the options'. */
qwren_overflow qw_chat_prompt_overflow(const qw_chat_prompt *p);

#endif
