/* Drafts of a smaller model (draft_model.h). All that is drafted is computed on trial behind what is certain, one row more for each guess: rows that turn out right stay for
 * nothing, and none must be undone. Tested by tests/unit/test_draft_model.c. */
#include "runtime/draft_model.h"

#include "base/alloc.h"

#include <math.h>

struct qw_draft_model {
    const qw_model *model;
    qw_session *session;
    int32_t tried[QW_MAX_TRIAL]; /* rows of the newest trial, behind the session's last token */
    size_t n_tried;
    qw_guess last;
};

static size_t context(const qw_model *m, size_t n_ctx)
{
    const size_t most = (size_t)m->config.text.max_positions;
    return n_ctx < most ? n_ctx : most;
}

qwren_status qw_draft_model_create(qw_draft_model **out, const qw_model *m, size_t n_ctx, qwren_kv_type kv_type, qw_prefix *prefix,
                                   qwren_error *err)
{
    const qw_session_options opt = { .n_ctx = context(m, n_ctx), .kv_type = kv_type, .n_trial = QW_MAX_TRIAL, .prefix = prefix };
    *out = NULL;
    qw_draft_model *d = qw_calloc(1, sizeof *d);
    if (!d)
        return qw_fail_memory(err, sizeof *d, "a draft model");
    d->model = m;
    qwren_status st = qw_session_create(&d->session, m, &opt, err);
    if (st == QWREN_OK)
        *out = d;
    else
        qw_free(d);
    return st;
}

void qw_draft_model_free(qw_draft_model *d)
{
    if (!d)
        return;
    qw_session_free(d->session);
    qw_free(d);
}

qwren_status qw_draft_model_bytes(const qw_model *m, size_t n_ctx, qwren_kv_type kv_type, uint64_t *bytes, qwren_error *err)
{
    qw_memplan plan;
    QW_TRY(qw_memplan_make(&plan, &m->config.text, context(m, n_ctx), qw_cache_type(m, kv_type), QW_MAX_TRIAL, err));
    *bytes = plan.total_bytes + sizeof(qw_draft_model);
    return QWREN_OK;
}

/* ---- in step */

/* Rows of the newest trial that came true stay, but for the last id: guesses come from its row, which is tried again. */
static void settle(qw_draft_model *d, const int32_t *ids, size_t n)
{
    const size_t begin = qw_session_length(d->session);
    size_t right = 0;
    while (right < d->n_tried && begin + right + 1 < n && d->tried[right] == ids[begin + right])
        right++;
    if (right)
        qw_session_keep(d->session, right);
    d->n_tried = 0;
}

static bool holds_beginning(const qw_draft_model *d, const int32_t *ids, size_t n)
{
    const uint64_t *keys = qw_session_keys(d->session);
    const size_t length = qw_session_length(d->session);
    bool same = length < n;
    for (size_t i = 0; same && i < length; i++)
        same = keys[i] == (uint64_t)ids[i];
    return same;
}

/* Computes all but the last id: for a new prompt, and after a time in which nobody asked. */
static bool catch_up(qw_draft_model *d, const int32_t *ids, size_t n)
{
    qw_timeline t;
    if (qw_timeline_build(&t, &d->model->config, ids, n, NULL, NULL, 0, 0, NULL) != QWREN_OK) /* there are pictures */
        return false;
    const size_t length = qw_session_reuse(d->session, &t).length;
    const bool done = qw_session_eval(d->session, &t, length, n - 1 > length ? n - 1 : length, NULL, NULL) == QWREN_OK;
    qw_timeline_deinit(&t);
    return done;
}

static bool keep_step(qw_draft_model *d, const int32_t *ids, size_t n)
{
    settle(d, ids, n);
    if (holds_beginning(d, ids, n) && n - qw_session_length(d->session) < QW_MAX_TRIAL / 2)
        return true;
    return catch_up(d, ids, n);
}

/* ---- guesses */

static qw_guess likeliest(const float *logits, size_t n)
{
    qw_guess best = { 0 };
    float top = -INFINITY, second = -INFINITY;
    for (size_t i = 0; i < n; i++) {
        if (logits[i] > top) {
            second = top;
            top = logits[i];
            best.id = (int32_t)i;
        } else if (logits[i] > second)
            second = logits[i];
    }
    best.margin = top - second;
    return best;
}

/* The guess behind all rows of `tried`. */
static bool try_rows(qw_draft_model *d, qw_guess *out)
{
    if (qw_session_try(d->session, d->tried, d->n_tried, NULL) != QWREN_OK) { /* its context is full */
        d->n_tried = 0;
        return false;
    }
    *out = d->last = likeliest(qw_session_try_logits(d->session, d->n_tried - 1), (size_t)d->model->config.text.vocab_size);
    return true;
}

static bool first(void *ctx, const int32_t *ids, size_t n, qw_guess *out)
{
    qw_draft_model *d = ctx;
    if (!n || !keep_step(d, ids, n))
        return false;
    for (size_t i = qw_session_length(d->session); i < n; i++)
        d->tried[d->n_tried++] = ids[i];
    return try_rows(d, out);
}

static bool next(void *ctx, qw_guess *out)
{
    qw_draft_model *d = ctx;
    if (!d->n_tried || d->n_tried == QW_MAX_TRIAL)
        return false;
    d->tried[d->n_tried++] = d->last.id;
    return try_rows(d, out);
}

qw_drafter qw_draft_model_drafter(qw_draft_model *d) { return (qw_drafter){ d, first, next }; }
