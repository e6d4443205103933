/* Guessing ahead: tokens are drafted and verified together in one pass of the model, which costs little more than one token while the weights' way from memory is what lasts.
 *
 * A drop-in for qw_session_step(): the caller picks from qw_speculate_logits() and tells what it picked. When that is the token that was drafted, it is computed already.
 * So each token is picked as it would have been without drafts, from the same logits to the bit, with the same random numbers, penalties and masks: what comes out is the
 * same sequence, whatever the drafts were. (A draft is a point mass; accepting it when the sampler draws it, and otherwise keeping what was drawn, is exact speculative
 * sampling.) */
#ifndef QW_RUNTIME_SPECULATE_H
#define QW_RUNTIME_SPECULATE_H

#include "runtime/draft_mtp.h"
#include "runtime/session.h"
#include "runtime/spec_control.h"

typedef struct qw_speculate qw_speculate;

/* A drafter from outside: a smaller model (draft_model.h), or a test. ids [n] are all tokens of the timeline, the one that was picked last included. First says false: it is not asked again
 * within the answer. */
typedef struct qw_drafter {
    void *ctx; /* NULL: there is none */
    bool (*first)(void *ctx, const int32_t *ids, size_t n, qw_guess *out);
    bool (*next)(void *ctx, qw_guess *out); /* behind its last guess */
} qw_drafter;

typedef struct qw_speculate_options {
    qw_spec_options control; /* use[MODEL] needs `drafter`; use[MTP] a model that has the head */
    qw_drafter drafter;
    size_t shortlist; /* draft_mtp.h */
} qw_speculate_options;

/* For one session of m, with QW_SPEC_ROWS rows for trials, which it must not outlive. Free with qw_speculate_free(). */
qwren_status qw_speculate_create(qw_speculate **out, const qw_model *m, qw_session *s, const qw_speculate_options *opt, qwren_error *err);
void qw_speculate_free(qw_speculate *p); /* NULL is allowed */
/* Bytes that it takes for a session of n_ctx tokens; pass rows of the session's own are not counted. */
size_t qw_speculate_bytes(const qw_model *m, size_t n_ctx, const qw_speculate_options *opt);

/* An answer begins behind ids [n], all that the session holds. ends [n_ends]: ids that end an answer, of which none is drafted. */
void qw_speculate_begin(qw_speculate *p, const int32_t *ids, size_t n, const int32_t *ends, size_t n_ends);
/* How many of a prompt's last tokens it wants to see the hidden states of: 0 without the prediction head, few while it does not pay. */
size_t qw_speculate_wants(const qw_speculate *p);
/* Behind qw_speculate_begin(): they are these, tokens [at, at + n) of the timeline. */
void qw_speculate_saw(qw_speculate *p, size_t at, const int32_t *ids, const int32_t (*pos)[3], const float *hidden, size_t n);

/* Behind the token that was given last: [V], and the largest of each block. Valid until the next call. */
const float *qw_speculate_logits(const qw_speculate *p);
const float *qw_speculate_maxima(const qw_speculate *p);
/* The next token is `id`, and at most `more` others will be asked for behind it. On failure the session is as it was. */
qwren_status qw_speculate_step(qw_speculate *p, int32_t id, size_t more, qwren_error *err);
/* The answer is over: the session holds exactly the tokens that were given. Without a begin it does nothing. */
void qw_speculate_end(qw_speculate *p);

/* Tokens of the timeline, those given included that the session has only on trial. */
size_t qw_speculate_length(const qw_speculate *p);
/* Behind qw_speculate_end(): the session has dropped the tokens [keep, keep + by), and the answer goes on. */
void qw_speculate_shift(qw_speculate *p, size_t keep, size_t by);

/* For measuring: the seconds of a pass on trial over n made-up tokens behind what the session holds, which is not empty, and of one draft of the prediction head (NAN
 * without it). Nothing of it stays, but the logits are gone until a token is computed. Not within an answer. */
qwren_status qw_speculate_measure(qw_speculate *p, size_t n, double *pass_s, double *draft_s, qwren_error *err);

/* What happened since qw_spec_forget_counts(): its counts. */
qw_spec_control *qw_speculate_control(qw_speculate *p);

#endif
