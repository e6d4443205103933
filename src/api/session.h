/* A session as the public API hands it out. Private to src/api. */
#ifndef QW_API_SESSION_H
#define QW_API_SESSION_H

#include "api/model.h"
#include "runtime/session.h"

struct qwren_session {
    const qwren_model *model;
    qw_session *core;
};

#endif
