/* Reading a model through texts in chunks (eval.h): a session that grows with them, and room for a few rows of logits. Tested by
 * tests/unit/test_eval.c. */
#include "api/eval.h"

#include "base/alloc.h"

#define SMALLEST_SESSION 256

qwren_status qw_reader_init(qw_reader *r, const qwren_model *m, qwren_error *err)
{
    size_t row = (size_t)m->core.config.text.vocab_size * sizeof(float);
    *r = (qw_reader){ .model = m };
    if (!m->core.ops)
        return qw_fail(err, QWREN_E_ARGUMENT, "%s was opened with config_only; open it without to compute with it", m->path);
    r->logits = qw_alloc_array(QW_READER_ROWS, row);
    return r->logits ? QWREN_OK : qw_fail_memory(err, QW_READER_ROWS * row, "logits");
}

static void forget(qw_reader *r)
{
    qw_timeline_deinit(&r->timeline);
    qw_pictures_deinit(&r->pictures);
    r->timeline = (qw_timeline){ 0 };
}

void qw_reader_deinit(qw_reader *r)
{
    forget(r);
    qw_session_free(r->session);
    qw_free(r->logits);
    *r = (qw_reader){ 0 };
}

/* A session for n tokens: the present one, or one of the next power of two. */
static qwren_status make_room(qw_reader *r, size_t n, qwren_error *err)
{
    size_t most = (size_t)r->model->core.config.text.max_positions, room = SMALLEST_SESSION;
    if (n > most)
        return qw_fail(err, QWREN_E_LIMIT, "%zu tokens are more than the %zu that %s can read at once; cut the line", n, most,
                       r->model->path);
    if (r->session && n <= qw_session_capacity(r->session)) {
        qw_session_reset(r->session);
        return QWREN_OK;
    }
    while (room < n)
        room *= 2;
    qw_session_free(r->session);
    r->session = NULL;
    const qw_session_options opt = { .n_ctx = room < most ? room : most, .kv_type = r->kv_type };
    return qw_session_create(&r->session, &r->model->core, &opt, err);
}

qwren_status qw_reader_open(qw_reader *r, const qw_sample *s, const qwren_model *like, qwren_error *err)
{
    forget(r);
    QW_TRY(qw_sample_lay_out(s, like, &r->pictures, &r->timeline, err));
    if (r->model->core.has_vision)
        r->pictures.model = r->model;
    return make_room(r, r->timeline.n, err);
}

size_t qw_reader_chunk(const qw_reader *r, size_t first, size_t *picture)
{
    size_t end = r->timeline.n - first > QW_READER_ROWS ? first + QW_READER_ROWS : r->timeline.n;
    *picture = r->timeline.n_spans;
    for (size_t i = 0; i < r->timeline.n_spans; i++) {
        const qw_image_span *span = &r->timeline.spans[i];
        if (span->begin == first) {
            *picture = i;
            return first + span->n;
        }
        if (span->begin > first && span->begin < end)
            end = span->begin;
    }
    return end;
}

qwren_status qw_reader_eval(qw_reader *r, size_t first, size_t end, size_t picture, qwren_error *err)
{
    bool text = picture == r->timeline.n_spans;
    qw_eval_options options = { .all_logits = text ? r->logits : NULL };
    if (!text)
        QW_TRY(qw_pictures_see(&r->pictures, &r->timeline.spans[picture], NULL, err));
    return qw_session_eval(r->session, &r->timeline, first, end, &options, err);
}
