/* Guessing ahead as a session's options want it. Private to src/api. */
#ifndef QW_API_AHEAD_H
#define QW_API_AHEAD_H

#include "api/session.h"

/* Sets s->ahead (NULL when nothing is to be guessed) and s->draft; s->model and s->core are set. qw_ahead_close() may be called after a
 * failure. */
qwren_status qw_ahead_open(qwren_session *s, const qwren_session_options *opt, qwren_error *err);
void qw_ahead_close(qwren_session *s);
/* Rows on trial that the session needs for it: 0 when nothing is to be guessed. */
size_t qw_ahead_rows(const qwren_session_options *opt);
/* What guessing ahead with these options adds to the memory of a session of n_ctx tokens when it is full: rows on trial, what its drafters
 * keep, and a draft model's session. 0 when nothing is to be guessed. */
qwren_status qw_ahead_bytes(const qwren_model *m, const qwren_session_options *opt, size_t n_ctx, qwren_kv_type kv_type, uint64_t *bytes,
                            qwren_error *err);
/* Weights that it reads besides, those of the model's head and of a draft model, but for what stays in memory anyway. */
uint64_t qw_ahead_weight_bytes(const qwren_model *m, const qwren_session_options *opt);
/* What came of it in the answer that has ended, into `stats`. p may be NULL. */
void qw_ahead_report(qw_speculate *p, qwren_stats *stats);

#endif
