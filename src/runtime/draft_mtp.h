/* Drafts of the model's own prediction head (model/mtp.h): from the decoder's final hidden state of a token and the id of the next one it guesses the one after that, and from
 * its own hidden state and that guess the following ones.
 *
 * It has a cache of its own, of the timeline's last part. Hidden states that it has not seen wait in a row of QW_MTP_WAITING, the oldest ones are given up: so it
 * costs nothing while nobody asks for drafts. Measured on qwren-nano (docs/speculation.md): with the last 64 tokens of a prompt 95.6 % of first drafts are right, with all
 * of it 98.3 %, with none of it 67 %. */
#ifndef QW_RUNTIME_DRAFT_MTP_H
#define QW_RUNTIME_DRAFT_MTP_H

#include "model/model.h"

#define QW_MTP_WAITING 64 /* tokens */
#define QW_MTP_GUESSES 16 /* between two notes, the first one included */

typedef struct qw_draft_mtp qw_draft_mtp;

/* For a model that has the head. shortlist: rows of the output head that drafting always looks at, those of the first so many ids, which BPE made first because they
 * are frequent; 0 = 32768, or all when there are not twice as many. Free with qw_draft_mtp_free(), before the model. */
qwren_status qw_draft_mtp_create(qw_draft_mtp **out, const qw_model *m, size_t shortlist, qwren_error *err);
void qw_draft_mtp_free(qw_draft_mtp *d); /* NULL is allowed */
size_t qw_draft_mtp_bytes(const qw_model *m, size_t shortlist);

/* These tokens occur in the timeline: they may well occur again, so rows of the output head that lie beside theirs are looked at, too. */
void qw_draft_mtp_saw(qw_draft_mtp *d, const int32_t *ids, size_t n);
/* Tokens [at, at + n) of the timeline are computed: their ids, rotary positions and the decoder's final hidden states [n, H]. When they do not follow what was noted
 * before, the head begins anew with them. */
void qw_draft_mtp_note(qw_draft_mtp *d, size_t at, const int32_t *ids, const int32_t (*pos)[3], const float *hidden, size_t n);
/* Nothing is known any more: the timeline jumps. */
void qw_draft_mtp_forget(qw_draft_mtp *d);
/* Tokens that were noted since the last drafts: what the next first draft must take in. */
size_t qw_draft_mtp_waiting(const qw_draft_mtp *d);

typedef struct qw_guess {
    int32_t id;
    float margin; /* by how much its logit is above the second best */
} qw_guess;
/* The token behind `id`, which stands behind all that was noted (qw_draft_mtp_waiting() > 0). */
qw_guess qw_draft_mtp_first(qw_draft_mtp *d, int32_t id);
/* The token behind the last guess. Up to QW_MTP_GUESSES - 1 times before the next note. */
qw_guess qw_draft_mtp_next(qw_draft_mtp *d);

#endif
