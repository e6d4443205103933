/* A finished answer, and how it is put together. */
#ifndef QW_API_RESULT_H
#define QW_API_RESULT_H

#include "base/json.h"

struct qwren_result {
    char *json;    /* the whole result as text */
    qw_json *root; /* json parsed; the strings below point into it */
    const char *reasoning, *content, *finish_reason;
    qwren_stats stats;
};

/* `answer` is the parser's object {"reasoning_content","content","tool_calls","finish_reason"}; usage is added to it. */
qwren_status qw_result_create(qwren_result **out, const char *answer, const qwren_stats *stats, qwren_error *err);

#endif
