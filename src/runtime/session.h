/* One timeline of tokens on a model: pages of keys and values, DeltaNet states, the logits after the last token. One thread at a time; sessions that share a prefix cache
 * may be used by different threads. */
#ifndef QW_RUNTIME_SESSION_H
#define QW_RUNTIME_SESSION_H

#include "model/merge.h"
#include "model/model.h"
#include "runtime/memplan.h"
#include "runtime/prefix_disk.h"

typedef struct qw_session qw_session;

/* What a cache of the model is made of: 16 bits, or 32 where arithmetic is exact, unless another is wanted. */
qw_kv_type qw_cache_type(const qw_model *m, qwren_kv_type wanted);

typedef struct qw_session_options {
    size_t n_ctx; /* 0: the smaller of the model's maximum and 32768 */
    qwren_kv_type kv_type;
    size_t n_trial; /* rows of qw_session_try(); 0: none */
    qw_prefix *
        prefix; /* where checkpoints are kept, of this model and cache type; it must outlive the session. NULL: the session cannot go back */
    qw_prefix_disk *disk; /* and where they are kept between runs; NULL: nowhere */
} qw_session_options;
/* Takes the memory of states and buffers in one piece; that of keys and values comes page by page (memplan.h). The model must outlive it. opt may be NULL. */
qwren_status qw_session_create(qw_session **out, const qw_model *m, const qw_session_options *opt, qwren_error *err);
/* The end of the timeline is kept in the prefix cache. NULL is allowed. */
void qw_session_free(qw_session *s);
/* To an empty timeline; the end of the present one is kept in the prefix cache. */
void qw_session_reset(qw_session *s);
size_t qw_session_length(const qw_session *s);
size_t qw_session_capacity(const qw_session *s);
int32_t qw_session_next_pos(const qw_session *s);     /* rotary position of the next token: less than the length once there were pictures */
const uint64_t *qw_session_keys(const qw_session *s); /* [length] what each token is, as qw_timeline.keys */

/* ---- going on */

/* Called between passes with the tokens done of this eval; false cancels. */
typedef bool (*qw_eval_fn)(void *ctx, size_t done, size_t total);
typedef struct qw_eval_options {
    float *all_logits; /* [end - first, V] or NULL: only the last row is computed */
    size_t
        n_hidden; /* the final hidden states of so many last tokens (at most those of a pass) are wanted (qw_session_hidden); SIZE_MAX: of every pass, all; 0 is 1 */
    const size_t *
        boundaries; /* [n_boundaries] ascending: lengths of the timeline where another is likely to part from it, so that a checkpoint is wanted there */
    size_t n_boundaries;
    qw_eval_fn progress;
    void *progress_ctx;
} qw_eval_options;

/* Appends the tokens [first, end) of a timeline whose token `first` follows the session's last. `end` does not stand inside a picture; the pictures that begin in
 * [first, end) must have their rows. Checkpoints are made at the boundaries, around pictures, and at lengths that lie the closer the nearer they are to the end (session_saves.c).
 * When the tokens do not fit, E_LIMIT and the session is as it was. When cancelled (E_CANCELLED) or out of memory for a page (E_MEMORY), what is computed stays: the session holds a
 * beginning of the timeline, and eval may go on from its length. opt may be NULL. first == end is allowed and does nothing. */
qwren_status qw_session_eval(qw_session *s, const qw_timeline *t, size_t first, size_t end, const qw_eval_options *opt, qwren_error *err);
/* Text tokens that are about to be computed: they are in the vocabulary, there is room, and there are pages for them. Steps and trials ask by themselves; who asks before knows
 * that one will not fail. */
qwren_status qw_session_admit(qw_session *s, const int32_t *ids, size_t n, qwren_error *err);
/* The same for one token of text: the decode step. */
qwren_status qw_session_step(qw_session *s, int32_t id, qwren_error *err);
/* The same for one token of each of n different sessions on one model: weights are read once for all of them, and every session's numbers are those that
 * it would have had alone, to the bit. On failure all are as they were. */
qwren_status qw_session_step_many(qw_session *const *sessions, const int32_t *ids, size_t n, qwren_error *err);

/* Computes n tokens of text (1 to the options' n_trial) behind the last one in one pass, on trial: the session's length stays, and so does all that it holds; afterwards there
 * are logits behind each of them. qw_session_keep() makes the first n of them part of the timeline, for nothing; whatever else is done with the session forgets them. Numbers are
 * those of single steps, to the bit. */
qwren_status qw_session_try(qw_session *s, const int32_t *ids, size_t n, qwren_error *err);
void qw_session_keep(qw_session *s, size_t n);
const float *qw_session_try_logits(const qw_session *s, size_t i); /* [V] behind row i of the trial; until the next pass */
const float *qw_session_try_maxima(const qw_session *s, size_t i);

/* Logits after the last token, [V]; NULL when the session is empty, or went back and nothing was computed since. Valid until the next change. */
const float *qw_session_logits(const qw_session *s);
/* The largest of each QW_LOGIT_BLOCK of them (compute/ops.h), NaN where one of these is; valid as the logits are. */
const float *qw_session_maxima(const qw_session *s);

/* ---- going back */

/* What a session found of a timeline. */
typedef struct qw_reuse {
    size_t length;      /* tokens that stand already: the session's length now */
    size_t n_common;    /* tokens that were known: by this session's own timeline, or by any in the prefix cache */
    qw_prefix_miss why; /* why not more of them stand */
} qw_reuse;
/* Goes to the longest beginning of t's tokens whose state is there, this session's own or one of the prefix cache; at least one token stays to be computed. The end of the timeline
 * that is left is kept in the prefix cache. */
qw_reuse qw_session_reuse(qw_session *s, const qw_timeline *t);
/* Back to the first n tokens (at most the length), by the nearest checkpoint before, from where the tokens are computed again. The logits are NULL afterwards unless tokens were
 * computed, or n is the length. E_ARGUMENT: n is more than the length, or a picture would have to be computed again, whose rows are gone; the session is as it was then. */
qwren_status qw_session_rewind(qw_session *s, size_t n, qwren_error *err);
/* A second timeline that begins as this one does: pages are shared, states copied. `s` is only read. */
qwren_status qw_session_fork(qw_session **out, qw_session *s, qwren_error *err);

/* A full window goes on: the tokens [keep, keep + by) go; those behind move up, and with them the rotary positions of their keys; the DeltaNet states, which have seen them, stay.
 * Multiples of QW_KV_BLOCK, keep + by < length. E_MEMORY: the session is as it was. What follows is like no other timeline, and is not found as one. */
qwren_status qw_session_shift(qw_session *s, size_t keep, size_t by, qwren_error *err);

/* For measuring: the timeline becomes n tokens long with copies of the keys and values of its first QW_KV_PAGE tokens; it has a multiple of these. What is computed afterwards takes the time
 * and memory that it would take behind n tokens, and means nothing; it is not found as a timeline. E_ARGUMENT, E_LIMIT, E_MEMORY: the session is as it was. */
qwren_status qw_session_stretch(qw_session *s, size_t n, qwren_error *err);

/* ---- for those who look inside */

/* What passes call after each layer (model/text.h); NULL ends it. */
void qw_session_set_trace(qw_session *s, const qw_trace *trace);
/* The final hidden states of the newest pass's last tokens, [n, H]: as many as were wanted (qw_eval_options.n_hidden), all of a trial, or one. */
const float *qw_session_hidden(const qw_session *s);
/* The states of layer i after the last token. */
const qw_layer_state *qw_session_layer(qw_session *s, int i);
/* A checkpoint of the present end, which the caller holds then; NULL when memory is short or the session is empty. */
qw_checkpoint *qw_session_checkpoint(qw_session *s, qw_checkpoint_kind kind);

#endif
