/* Recording and pairing (pairs.h): two runs of the same samples, watched at the same four places. Tested by tests/unit/test_calibrate.c. */
#include "convert/pairs.h"

#include "base/alloc.h"

#include <string.h>

/* ---- memory */

static void find_inputs(qw_layer *l, const qw_matrix *first[QW_LAYER_INPUTS])
{
    qw_slot slots[QW_LAYER_SLOTS];
    const size_t n = qw_layer_slots(l, slots);
    for (size_t k = n; k-- > 0;)
        first[slots[k].input] = slots[k].matrix;
}

size_t qw_recording_bytes(qw_layer *l, size_t tokens)
{
    const qw_matrix *first[QW_LAYER_INPUTS];
    size_t cols = 0;
    find_inputs(l, first);
    for (int i = 0; i < QW_LAYER_INPUTS; i++)
        cols += first[i]->cols;
    return cols * tokens * sizeof(float);
}

qwren_status qw_recording_init(qw_recording *out, qw_layer *l, size_t tokens, qwren_error *err)
{
    const qw_matrix *first[QW_LAYER_INPUTS];
    *out = (qw_recording){ 0 };
    find_inputs(l, first);
    for (int i = 0; i < QW_LAYER_INPUTS; i++) {
        out->cols[i] = first[i]->cols;
        out->rows[i] = qw_alloc_array(tokens, first[i]->cols * sizeof(float));
        if (!out->rows[i]) {
            qw_recording_deinit(out);
            return qw_fail_memory(err, tokens * first[i]->cols * sizeof(float), "a layer's inputs");
        }
    }
    return QWREN_OK;
}

void qw_recording_deinit(qw_recording *r)
{
    for (int i = 0; i < QW_LAYER_INPUTS; i++)
        qw_free(r->rows[i]);
    *r = (qw_recording){ 0 };
}

/* ---- watching */

typedef struct watch {
    const qw_matrix *first[QW_LAYER_INPUTS]; /* the first matrix that reads each input */
    size_t at[QW_LAYER_INPUTS];              /* tokens that went by */
    qw_recording *record;                    /* when recording */
    const qw_recording *source;              /* when pairing */
    qw_layer_moments *moments;
    qw_pool *pool;
    qwren_status status;
    qwren_error *err;
} watch;

static void record_input(void *ctx, const qw_matrix *w, const float *x, size_t n)
{
    watch *o = ctx;
    for (int i = 0; i < QW_LAYER_INPUTS; i++)
        if (o->first[i] == w) {
            memcpy(o->record->rows[i] + o->at[i] * w->cols, x, n * w->cols * sizeof *x);
            o->at[i] += n;
        }
}

static void pair_input(void *ctx, const qw_matrix *w, const float *x, size_t n)
{
    watch *o = ctx;
    for (int i = 0; i < QW_LAYER_INPUTS; i++)
        if (o->first[i] == w) {
            if (o->moments->of[i] && o->status == QWREN_OK)
                o->status = qw_moments_add_pair(o->moments->of[i], o->pool, x, o->source->rows[i] + o->at[i] * w->cols, n, o->err);
            o->at[i] += n;
        }
}

bool qw_streams_record(qw_streams *s, qw_layer *l, qw_sample_range range, float *x, qw_recording *out, qw_keep_on_fn keep_on, void *ctx)
{
    watch o = { .record = out };
    find_inputs(l, o.first);
    qw_ops_observe(s->model->ops, record_input, &o);
    const bool all = qw_streams_run(s, l, range, x, x, keep_on, ctx);
    qw_ops_observe(s->model->ops, NULL, NULL);
    return all;
}

qwren_status qw_streams_pair(qw_streams *s, qw_layer *l, qw_sample_range range, const float *x, const qw_recording *source, qw_pool *pool,
                             qw_layer_moments *moments, qw_keep_on_fn keep_on, void *ctx, qwren_error *err)
{
    watch o = { .source = source, .moments = moments, .pool = pool, .err = err };
    find_inputs(l, o.first);
    qw_ops_observe(s->model->ops, pair_input, &o);
    const bool all = qw_streams_run(s, l, range, x, NULL, keep_on, ctx);
    qw_ops_observe(s->model->ops, NULL, NULL);
    QW_TRY(o.status);
    return all ? QWREN_OK : qw_fail(err, QWREN_E_CANCELLED, "cancelled while the calibration samples were computed");
}
