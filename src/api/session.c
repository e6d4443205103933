/* qwren_session: token ids and images in, logits out. The level below qwren_chat, for people who bring their own prompts. Tested by
 * tests/unit/test_api_session.c and test_api_step.c. */
#include "api/session.h"

#include "api/ahead.h"
#include "api/memory.h"
#include "api/options.h"
#include "api/pictures.h"
#include "base/alloc.h"
#include "base/machine.h"

qwren_session_options qwren_session_options_default(void)
{
    return (qwren_session_options){ .struct_size = sizeof(qwren_session_options) };
}

static qwren_status create(qwren_session *s, const qwren_session_options *opt, qwren_error *err)
{
    const qw_model *m = &s->model->core;
    qw_session_options o = { .n_ctx = opt->n_ctx, .kv_type = opt->kv_type, .n_trial = qw_ahead_rows(opt) };
    s->type = qw_cache_type(m, opt->kv_type);
    QW_TRY(qw_caches_of(s->model->caches, m, s->type, &o.prefix, &o.disk, err));
    QW_TRY(qw_session_create(&s->core, m, &o, err));
    return qw_ahead_open(s, opt, err);
}

qwren_status qwren_session_create(qwren_session **out, const qwren_model *m, const qwren_session_options *opt, qwren_error *err)
{
    qwren_session_options options = qwren_session_options_default();
    *out = NULL;
    QW_TRY(qw_options_read(&options, sizeof options, opt, "qwren_session_options", err));
    if (!m->core.ops)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s was opened with config_only; open it without to make a session", m->path);
    QW_TRY(qw_kv_type_check(options.kv_type, err));
    if (options.n_ctx && !options.allow_overcommit)
        QW_TRY(qw_memory_check(m, &options, qw_machine_get_memory().available, err));
    qwren_session *s = qw_calloc(1, sizeof *s);
    if (!s)
        return qw_fail_memory(err, sizeof *s, "a session");
    s->model = m;
    s->options = options;
    qwren_status st = create(s, &options, err);
    if (st == QWREN_OK)
        *out = s;
    else
        qwren_session_free(s);
    return st;
}

void qwren_session_free(qwren_session *s)
{
    if (!s)
        return;
    qw_ahead_close(s);
    if (s->core)
        qw_session_keep_on_disk(s);
    qw_session_free(s->core);
    qw_free(s);
}

void qwren_session_reset(qwren_session *s) { qw_session_reset(s->core); }
size_t qwren_session_length(const qwren_session *s) { return qw_session_length(s->core); }
size_t qwren_session_capacity(const qwren_session *s) { return qw_session_capacity(s->core); }
const float *qwren_session_logits(const qwren_session *s) { return qw_session_logits(s->core); }

/* ---- eval */

/* One call's belongings. */
typedef struct evaluation {
    qw_pictures pictures;
    qw_timeline timeline;
    float *logits; /* [timeline.n, vocab_size], when all are wanted */
} evaluation;

static qwren_status lay_out(evaluation *e, const qwren_session *s, const int32_t *ids, size_t n_ids, const qwren_image *const *images,
                            size_t n_images, qwren_error *err)
{
    if (!n_ids)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_session_eval: there are no tokens; give at least one id");
    if ((!ids && n_ids) || (!images && n_images))
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_session_eval: ids or images is NULL");
    QW_TRY(qw_pictures_init(&e->pictures, s->model, n_images, err));
    for (size_t i = 0; i < n_images; i++)
        QW_TRY(qw_pictures_add(&e->pictures, images[i], err));
    QW_TRY(qw_timeline_build(&e->timeline, &s->model->core.config, ids, n_ids, e->pictures.grids, e->pictures.hashes, n_images,
                             qw_session_next_pos(s->core), err));
    size_t room = qwren_session_capacity(s) - qwren_session_length(s);
    if (e->timeline.n > room)
        return qw_fail(err, QWREN_E_LIMIT,
                       "%zu tokens do not fit: the context has room for %zu, of which %zu are left; make the session larger (n_ctx; --ctx "
                       "of the program)",
                       e->timeline.n, qwren_session_capacity(s), room);
    return QWREN_OK;
}

static qwren_status take_logits(evaluation *e, const qwren_session *s, qwren_error *err)
{
    size_t values = 0, bytes = SIZE_MAX;
    if (qw_mul_size(e->timeline.n, (size_t)s->model->core.config.text.vocab_size, &values) &&
        qw_mul_size(values, sizeof *e->logits, &bytes))
        e->logits = qw_malloc(bytes);
    return e->logits ? QWREN_OK : qw_fail_memory(err, bytes, "the logits of all tokens");
}

static qwren_status evaluate(evaluation *e, qwren_session *s, bool all, qwren_error *err)
{
    if (all)
        QW_TRY(take_logits(e, s, err));
    for (size_t i = 0; i < e->timeline.n_spans; i++)
        QW_TRY(qw_pictures_see(&e->pictures, &e->timeline.spans[i], NULL, err));
    qw_eval_options options = { .all_logits = e->logits };
    return qw_session_eval(s->core, &e->timeline, 0, e->timeline.n, &options, err);
}

qwren_status qwren_session_eval(qwren_session *s, const int32_t *ids, size_t n_ids, const qwren_image *const *images, size_t n_images,
                                float **all_logits, size_t *n_rows, qwren_error *err)
{
    evaluation e = { 0 };
    if (all_logits)
        *all_logits = NULL;
    if (n_rows)
        *n_rows = 0;
    qwren_status st = lay_out(&e, s, ids, n_ids, images, n_images, err);
    if (st == QWREN_OK)
        st = evaluate(&e, s, all_logits != NULL, err);
    if (st != QWREN_OK) {
        qw_free(e.logits);
    } else if (all_logits) {
        *all_logits = e.logits;
        if (n_rows)
            *n_rows = e.timeline.n;
    }
    qw_timeline_deinit(&e.timeline);
    qw_pictures_deinit(&e.pictures);
    return st;
}

qwren_status qwren_session_rewind(qwren_session *s, size_t n, qwren_error *err) { return qw_session_rewind(s->core, n, err); }

qwren_status qwren_session_stretch(qwren_session *s, size_t n, qwren_error *err) { return qw_session_stretch(s->core, n, err); }

qwren_status qwren_session_fork(qwren_session **out, qwren_session *s, qwren_error *err)
{
    *out = NULL;
    qwren_session *f = qw_calloc(1, sizeof *f);
    if (!f)
        return qw_fail_memory(err, sizeof *f, "a session");
    f->model = s->model;
    f->options = s->options;
    f->type = s->type;
    qwren_status st = qw_session_fork(&f->core, s->core, err);
    if (st == QWREN_OK)
        st = qw_ahead_open(f, &f->options, err);
    if (st == QWREN_OK)
        *out = f;
    else
        qwren_session_free(f);
    return st;
}

qwren_status qwren_session_measure_ahead(qwren_session *s, size_t n, double *pass_s, double *draft_s, qwren_error *err)
{
    *pass_s = *draft_s = 0;
    if (!s->ahead || !qwren_session_length(s))
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_session_measure_ahead: the session %s",
                       s->ahead ? "is empty; give it tokens first" : "does not guess ahead; make it with a spec");
    return qw_speculate_measure(s->ahead, n, pass_s, draft_s, err);
}

/* ---- many at once */

static qwren_status check_step(qwren_session *const *sessions, const int32_t *ids, size_t n, qwren_error *err)
{
    if (!n || !sessions || !ids)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_session_step_many: there are no sessions; give at least one, and an id for each");
    for (size_t i = 0; i < n; i++) {
        const qwren_session *s = sessions[i];
        if (s->model != sessions[0]->model)
            return qw_fail(err, QWREN_E_ARGUMENT, "sessions 0 and %zu are of different models; step those of one model together", i);
        if (ids[i] < 0 || ids[i] >= s->model->core.config.text.vocab_size)
            return qw_fail(err, QWREN_E_ARGUMENT, "token %d is not in the vocabulary of %d", ids[i], s->model->core.config.text.vocab_size);
        if (qwren_session_length(s) == qwren_session_capacity(s))
            return qw_fail(err, QWREN_E_LIMIT, "session %zu is full: it has room for %zu tokens; make it larger (n_ctx)", i,
                           qwren_session_capacity(s));
        for (size_t k = 0; k < i; k++)
            if (sessions[k] == s)
                return qw_fail(err, QWREN_E_ARGUMENT, "sessions %zu and %zu are the same; each takes one token", k, i);
    }
    return QWREN_OK;
}

qwren_status qwren_session_step_many(qwren_session *const *sessions, const int32_t *ids, size_t n, qwren_error *err)
{
    QW_TRY(check_step(sessions, ids, n, err));
    for (size_t i = 0; i < n; i++)
        QW_TRY(qw_session_admit(sessions[i]->core, ids + i, 1, err));
    for (size_t at = 0, k; at < n; at += k) {
        qw_session *together[QW_MAX_SEGMENTS];
        for (k = 0; k < QW_MAX_SEGMENTS && at + k < n; k++)
            together[k] = sessions[at + k]->core;
        QW_TRY(qw_session_step_many(together, ids + at, k, err));
    }
    return QWREN_OK;
}
