/* Tokens on trial: one pass over several rows of which perhaps only the first few will stay. Keys and values of those that do not are overwritten by what comes next; the
 * states are not touched by a trial at all: the next pass takes the rows that stayed into them first (compute/ops.h, qw_delta_segment). Tested by tests/unit/test_session_try.c. */
#include "runtime/session_parts.h"

static float *logits_of(const qw_session *s, size_t i) { return s->memory.logits + i * (size_t)s->model->config.text.vocab_size; }

static float *maxima_of(const qw_session *s, size_t i)
{
    return s->memory.maxima + i * qw_logit_blocks((size_t)s->model->config.text.vocab_size);
}

qwren_status qw_session_try(qw_session *s, const int32_t *ids, size_t n, qwren_error *err)
{
    const qw_model *m = s->model;
    int32_t pos[QW_MAX_TRIAL][3];
    float *logits[QW_MAX_TRIAL], *maxima[QW_MAX_TRIAL];
    if (n == 0 || n > s->plan.n_trial)
        return qw_fail(err, QWREN_E_ARGUMENT, "%zu tokens on trial: this session takes 1 to %zu", n, s->plan.n_trial);
    QW_TRY(qw_session_admit(s, ids, n, err));
    for (size_t i = 0; i < n; i++) {
        pos[i][0] = pos[i][1] = pos[i][2] = s->next_pos + (int32_t)i;
        logits[i] = logits_of(s, i);
        maxima[i] = maxima_of(s, i);
        s->tried[i] = ids[i];
    }
    const qw_segment segment = { .states = s->memory.layers, .n = n, .start = s->n, .n_kept = s->n_kept, .on_trial = true };
    const qw_batch b = { .ids = ids, .pos = (const int32_t(*)[3])pos, .n = n, .segments = &segment, .n_segments = 1, .n_last = SIZE_MAX };
    qw_text_forward(m->ops, &m->text, &s->scratch, &b, s->trace);
    qw_op_head(m->ops, logits, maxima, &m->text.head, &s->scratch.in, 0, n);
    s->n_kept = s->n_logits = 0;
    s->n_tried = n;
    return QWREN_OK;
}

void qw_session_keep(qw_session *s, size_t n)
{
    const size_t before = s->n;
    if (n > s->n_tried)
        n = s->n_tried;
    for (size_t i = 0; i < n; i++)
        qw_session_push(s, s->tried[i]);
    s->n_kept = n;
    s->n_tried = 0;
    s->n_logits = n ? s->n : 0;
    s->logits_row = n ? n - 1 : 0;
    qw_session_keep_due(s, before);
}

void qw_session_settle(qw_session *s)
{
    const qw_segment segment = { .states = s->memory.layers, .start = s->n, .n_kept = s->n_kept };
    if (s->n_kept)
        qw_text_settle(s->model->ops, &s->model->text, &s->scratch, &segment, 1);
    s->n_kept = 0;
}

const float *qw_session_try_logits(const qw_session *s, size_t i) { return logits_of(s, i); }
const float *qw_session_try_maxima(const qw_session *s, size_t i) { return maxima_of(s, i); }
