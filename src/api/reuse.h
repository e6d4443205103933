/* How much of a prompt was known already, and in a sentence why not more. Private to src/api. */
#ifndef QW_API_REUSE_H
#define QW_API_REUSE_H

#include "api/chat_prompt.h"

typedef struct qw_known {
    size_t reused; /* tokens of the prompt that need not be computed */
    size_t common; /* tokens that some timeline began with too (at least `reused`) */
    bool whole;    /* the timeline that they are of ends there, or the prompt does */
    bool evicted;  /* there was a nearer state, which was dropped for lack of room */
} qw_known;

/* Fills what *s says about it: reused_tokens, computed_tokens, reuse, reuse_reason. */
void qw_reuse_explain(qwren_stats *s, const qw_chat_prompt *p, const qw_known *known);

#endif
