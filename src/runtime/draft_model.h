/* Drafts of a smaller model of the same family, with a session of its own that is kept in step. */
#ifndef QW_RUNTIME_DRAFT_MODEL_H
#define QW_RUNTIME_DRAFT_MODEL_H

#include "runtime/speculate.h"

typedef struct qw_draft_model qw_draft_model;

/* m: a model with the same tokens, for timelines of up to n_ctx of them. prefix: of that model, so that it too goes back without computing anew; NULL: without. Both must
 * outlive it. Free with qw_draft_model_free(). */
qwren_status qw_draft_model_create(qw_draft_model **out, const qw_model *m, size_t n_ctx, qwren_kv_type kv_type, qw_prefix *prefix,
                                   qwren_error *err);
void qw_draft_model_free(qw_draft_model *d); /* NULL is allowed */
/* What it takes when its context is full. E_LIMIT: there cannot be so much. */
qwren_status qw_draft_model_bytes(const qw_model *m, size_t n_ctx, qwren_kv_type kv_type, uint64_t *bytes, qwren_error *err);

/* The drafter that it is. Text alone: it makes no guess behind a picture. Where it lags behind by more than a pass on trial it computes what it lacks first, or says nothing when it cannot. */
qw_drafter qw_draft_model_drafter(qw_draft_model *d);

#endif
