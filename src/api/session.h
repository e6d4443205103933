/* A session as the public API hands it out. Private to src/api. */
#ifndef QW_API_SESSION_H
#define QW_API_SESSION_H

#include "api/model.h"
#include "runtime/draft_model.h"
#include "runtime/session.h"

struct qwren_session {
    const qwren_model *model;
    qwren_session_options options; /* as it was made with */
    qw_session *core;
    qw_speculate *ahead;   /* NULL: one token at a time */
    qw_draft_model *draft; /* what it asks, or NULL */
    qw_kv_type type;       /* of its keys and values */
};

/* Writes what was computed to the cache's folder, if there is one. A disk that is full or gone costs nobody an answer: it is told to the
 * log. */
void qw_session_keep_on_disk(qwren_session *s);

#endif
