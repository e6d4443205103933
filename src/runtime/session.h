/* One timeline of tokens on a model: KV cache, DeltaNet states, the logits after the last token. One thread at a time. */
#ifndef QW_RUNTIME_SESSION_H
#define QW_RUNTIME_SESSION_H

#include "model/merge.h"
#include "model/model.h"
#include "runtime/memplan.h"

typedef struct qw_session qw_session;

/* What a cache of the model is made of: 16 bits, or 32 where arithmetic is exact, unless another is wanted. */
qw_kv_type qw_cache_type(const qw_model *m, qwren_kv_type wanted);
/* Takes all memory in one piece (memplan.h). n_ctx 0 = the smaller of the model's maximum and 32768. The model must outlive it. */
qwren_status qw_session_create(qw_session **out, const qw_model *m, size_t n_ctx, qwren_kv_type kv_type, qwren_error *err);
void qw_session_free(qw_session *s); /* NULL is allowed */
void qw_session_reset(qw_session *s);
size_t qw_session_length(const qw_session *s);
size_t qw_session_capacity(const qw_session *s);
int32_t qw_session_next_pos(const qw_session *s); /* rotary position of the next token: less than the length once there were pictures */

/* Called between passes with the tokens done of this eval; false cancels. */
typedef bool (*qw_eval_fn)(void *ctx, size_t done, size_t total);
typedef struct qw_eval_options {
    float *all_logits; /* [end - first, V] or NULL: only the last row is computed */
    bool all_hidden;   /* the final hidden states of all tokens are wanted (qw_session_hidden) */
    qw_eval_fn progress;
    void *progress_ctx;
} qw_eval_options;

/* Appends the tokens [first, end) of a timeline whose token `first` follows the session's last. `end` does not stand inside a picture; the pictures that begin in
 * [first, end) must have their rows. When the tokens do not fit, E_LIMIT and the session is as it was; when cancelled E_CANCELLED and the session is reset. opt may
 * be NULL. first == end is allowed and does nothing. */
qwren_status qw_session_eval(qw_session *s, const qw_timeline *t, size_t first, size_t end, const qw_eval_options *opt, qwren_error *err);
/* The same for one token of text: the decode step. */
qwren_status qw_session_step(qw_session *s, int32_t id, qwren_error *err);
/* The same for one token of each of n different sessions on one model: weights are read once for all of them, and every session's numbers are those that
 * it would have had alone, to the bit. On failure all are as they were. */
qwren_status qw_session_step_many(qw_session *const *sessions, const int32_t *ids, size_t n, qwren_error *err);
/* Logits after the last token, [V]; NULL when the session is empty, or went back and nothing was computed since. Valid until the next change. */
const float *qw_session_logits(const qw_session *s);

/* The largest of each QW_LOGIT_BLOCK of them (compute/ops.h), NaN where one of these is; valid as the logits are. */
const float *qw_session_maxima(const qw_session *s);

/* Saves the constant-size states at the present length, so that the session can come back here. One mark; a new one replaces it. */
void qw_session_mark(qw_session *s);
/* Goes back as little as possible so that what remains is a beginning of t's tokens, at least one of which stays to be computed; returns how many
 * tokens remain: all of the session, those up to the mark, or none. */
size_t qw_session_reuse(qw_session *s, const qw_timeline *t);

/* For tests: what passes call after each layer (model/text.h); NULL ends it. */
void qw_session_set_trace(qw_session *s, const qw_trace *trace);
/* The final hidden states of the newest pass: [n, H] with all_hidden or a trace, else that of the last token alone. */
const float *qw_session_hidden(const qw_session *s);
/* For tests: the states of layer i after the last token. */
const qw_layer_state *qw_session_layer(const qw_session *s, int i);

#endif
