/* An answer as it grows: ids in; thought, answer and calls out as events, and the word that ends it. Private to src/api. */
#ifndef QW_API_ANSWER_H
#define QW_API_ANSWER_H

#include "api/model.h"
#include "api/request.h"
#include "runtime/loopguard.h"
#include "runtime/stop.h"
#include "tokenizer/tokenizer.h"

typedef struct qw_answer {
    const qwren_model *model;
    qw_stream *stream;
    qw_stop *stop; /* NULL when the request names no stop strings */
    qw_detok detok;
    qw_loopguard guard;
    bool guarded; /* the guard counts */
    bool use_tools;
    bool in_call;   /* behind <tool_call>: markup, not visible text */
    bool begun;     /* visible text has begun */
    bool stopped;   /* a stop string is complete */
    bool thinking;  /* the last id belonged to the thought */
    qw_buf piece;   /* text of one id */
    qw_buf visible; /* what the stop strings let through of it */
    qw_ids ids;     /* all that were pushed */
    size_t n_tokens, n_reasoning;
} qw_answer;

/* in_think: the prompt ended inside an open <think>. The request is borrowed. qw_answer_deinit() may be called after a failure, and on a
 * zeroed struct. */
qwren_status qw_answer_init(qw_answer *a, const qwren_model *m, const qw_request *r, bool in_think, const qwren_chat_options *opt,
                            qwren_error *err);
void qw_answer_deinit(qw_answer *a);

/* The next id, which ends no answer by itself. *finish is set to "stop", "loop" or "cancelled" when the answer ends here, and left alone
 * otherwise. */
qwren_status qw_answer_push(qw_answer *a, int32_t id, const char **finish, qwren_error *err);
/* Whether the answer stands inside a thought; whether it has begun a call. */
bool qw_answer_in_think(const qw_answer *a);
bool qw_answer_in_call(const qw_answer *a);
/* The last events, and the parser's object appended to *json. */
qwren_status qw_answer_finish(qw_answer *a, const char *finish, qw_buf *json, qwren_error *err);

#endif
