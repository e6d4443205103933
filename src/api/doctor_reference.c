/* Doctor lets the model compute. With the vectors that quantize stored (check.safetensors: "ids" [n], "source.hidden" and
 * "quantised.hidden" [layers + 1, n, H], "source.logits" and "quantised.logits" [V]) every layer is compared with itself of then, and its
 * distance from the source is told; without them a few ids show whether the numbers stay finite. Tested by tests/unit/test_doctor.c and
 * tests/cli/doctor.sh. */
#include "api/doctor.h"
#include "base/alloc.h"
#include "base/file.h"
#include "runtime/divergence.h"
#include "runtime/session.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define TOLERANCE 1e-3 /* relative: kernels that round otherwise stay far below, a damaged matrix does not */
#define PLAIN_IDS 16   /* of a model without stored vectors */

typedef struct reference {
    size_t n, n_steps, H, V;
    int32_t *ids;                       /* [n] */
    float *source, *then, *now;         /* [n_steps, n, H]: source and then are NULL without stored vectors */
    float *logits_source, *logits_then; /* [V], likewise */
    float *logits;                      /* [V] now */
} reference;

static void reference_free(reference *r)
{
    void *const parts[] = { r->ids, r->source, r->then, r->now, r->logits_source, r->logits_then, r->logits };
    for (size_t i = 0; i < sizeof parts / sizeof *parts; i++)
        qw_free(parts[i]);
}

static qwren_status make_room(void *out, size_t n, size_t size, qwren_error *err)
{
    void *p = qw_alloc_array(n, size);
    memcpy(out, &p, sizeof p);
    return p ? QWREN_OK : qw_fail_memory(err, n * size, "reference vectors");
}

/* ---- what is stored */

static qwren_status find(const qw_weights *w, const char *name, qw_type type, int n_dims, const size_t *shape, const qw_tensor **out,
                         qwren_error *err)
{
    const qw_tensor *t = qw_weights_find(w, name);
    bool fits = t && t->type == type && t->n_dims == n_dims;
    for (int i = 0; fits && i < n_dims; i++)
        fits = t->shape[i] == shape[i];
    *out = t;
    return fits ? QWREN_OK
                : qw_fail(err, QWREN_E_FORMAT, "%s: %s is missing, or not of the type and shape of this model", QW_CHECK_FILE, name);
}

static qwren_status load_floats(float **out, const qw_weights *w, const char *name, int n_dims, const size_t *shape, qwren_error *err)
{
    const qw_tensor *t;
    QW_TRY(find(w, name, QW_TYPE_F32, n_dims, shape, &t, err));
    QW_TRY(make_room(out, qw_tensor_elements(t), sizeof **out, err));
    qw_tensor_to_f32(t, *out);
    return QWREN_OK;
}

static qwren_status load_ids(reference *r, const qw_weights *w, qwren_error *err)
{
    const qw_tensor *t = qw_weights_find(w, "ids");
    if (!t || t->type != QW_TYPE_I32 || t->n_dims != 1 || t->shape[0] < 1 || t->shape[0] > QW_MAX_BATCH)
        return qw_fail(err, QWREN_E_FORMAT, "%s: ids are missing, or not 1 to %d whole numbers", QW_CHECK_FILE, QW_MAX_BATCH);
    r->n = t->shape[0];
    QW_TRY(make_room(&r->ids, r->n, sizeof *r->ids, err));
    memcpy(r->ids, t->data, r->n * sizeof *r->ids);
    return QWREN_OK;
}

static qwren_status load(reference *r, const qw_weights *w, qwren_error *err)
{
    QW_TRY(load_ids(r, w, err));
    const size_t hidden[] = { r->n_steps, r->n, r->H }, logits[] = { r->V };
    QW_TRY(load_floats(&r->source, w, "source.hidden", 3, hidden, err));
    QW_TRY(load_floats(&r->then, w, "quantised.hidden", 3, hidden, err));
    QW_TRY(load_floats(&r->logits_source, w, "source.logits", 1, logits, err));
    return load_floats(&r->logits_then, w, "quantised.logits", 1, logits, err);
}

static qwren_status load_file(reference *r, const char *path, qwren_error *err)
{
    qw_weights *w;
    QW_TRY(qw_weights_open_file(&w, path, err));
    qwren_status st = load(r, w, err);
    qw_weights_close(w);
    return st;
}

/* Some ids that every vocabulary has; a picture's pad would want a picture. */
static qwren_status make_ids(reference *r, const qw_config *c, qwren_error *err)
{
    r->n = r->V < PLAIN_IDS ? r->V : PLAIN_IDS;
    QW_TRY(make_room(&r->ids, r->n, sizeof *r->ids, err));
    for (size_t i = 0; i < r->n; i++) {
        const int32_t id = (int32_t)(r->V / r->n * i);
        r->ids[i] = id == c->image_token || id == c->video_token ? 0 : id;
    }
    return QWREN_OK;
}

static qwren_status read_reference(reference *r, const qw_doctor *d, qwren_error *err)
{
    const qw_text_config *c = &d->model.config.text;
    char *path = qw_path_join(d->path, QW_CHECK_FILE);
    if (!path)
        return qw_fail_memory(err, strlen(d->path), "a path");
    *r = (reference){ .n_steps = (size_t)c->n_layers + 1, .H = (size_t)c->hidden_size, .V = (size_t)c->vocab_size };
    qwren_status st = qw_file_exists(path) ? load_file(r, path, err) : make_ids(r, &d->model.config, err);
    qw_free(path);
    return st;
}

/* ---- what is computed */

static void keep_step(void *ctx, int step, const float *x, size_t n)
{
    reference *r = ctx;
    memcpy(r->now + (size_t)step * r->n * r->H, x, n * r->H * sizeof *x);
}

static qwren_status eval(reference *r, const qw_model *m, qw_session *s, qwren_error *err)
{
    const qw_trace trace = { keep_step, r };
    qw_timeline t;
    QW_TRY(qw_timeline_build(&t, &m->config, r->ids, r->n, NULL, NULL, 0, 0, err));
    qw_session_set_trace(s, &trace);
    qwren_status st = qw_session_eval(s, &t, 0, t.n, NULL, err);
    if (st == QWREN_OK)
        memcpy(r->logits, qw_session_logits(s), r->V * sizeof *r->logits);
    qw_timeline_deinit(&t);
    return st;
}

/* With a device, and bound without mercy: nothing was found that could stop it. */
static qwren_status compute(reference *r, const qw_doctor *d, qwren_error *err)
{
    qw_model m;
    qw_session *s = NULL;
    QW_TRY(make_room(&r->now, r->n_steps * r->n * r->H, sizeof *r->now, err));
    QW_TRY(make_room(&r->logits, r->V, sizeof *r->logits, err));
    QW_TRY(qw_model_init(
        &m, d->path, &(qw_model_params){ .n_threads = d->n_threads, .mmproj = d->opt->mmproj, .arithmetic = QWREN_ARITHMETIC_EXACT }, err));
    qwren_status st = qw_session_create(&s, &m, &(qw_session_options){ .n_ctx = r->n }, err);
    if (st == QWREN_OK)
        st = eval(r, &m, s, err);
    qw_session_free(s);
    qw_model_deinit(&m);
    return st;
}

/* ---- comparing */

/* |a - b| / |b|; 0 of two zeros, infinite when a number is not finite or b is zero and a is not. */
static double distance(const float *a, const float *b, size_t n)
{
    double squares = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        const double x = (double)a[i] - b[i];
        squares += x * x;
        size += (double)b[i] * b[i];
    }
    if (squares == 0)
        return 0;
    return size > 0 && isfinite(squares) ? sqrt(squares / size) : (double)INFINITY;
}

static const char *step_text(char *buf, size_t size, size_t step)
{
    if (step == 0)
        snprintf(buf, size, "the embeddings");
    else
        snprintf(buf, size, "layer %zu", step - 1);
    return buf;
}

/* Which tensor of the step is to blame: one that was found to be wrong before. */
static const qw_finding *culprit(const qw_doctor *d, size_t step)
{
    char prefix[32];
    snprintf(prefix, sizeof prefix, "layers.%zu.", step ? step - 1 : 0);
    return qw_doctor_found_in(d, step ? prefix : "embed_tokens.");
}

static qwren_status find_bad_step(qw_doctor *d, size_t step, const char *what, qwren_error *err)
{
    char where[32];
    const qw_finding *c = culprit(d, step);
    step_text(where, sizeof where, step);
    if (c)
        return qw_doctor_find(d, QW_CHECK_REFERENCE, c->tensor, err,
                              "%s is the first step %s; the first tensor there that is not as it should be is %s", where, what, c->tensor);
    return qw_doctor_find(d, QW_CHECK_REFERENCE, NULL, err, "%s is the first step %s, though all its tensors are as they should be", where,
                          what);
}

/* Stored vectors: each step of now against then, then against the source. */
static qwren_status compare(qw_doctor *d, const reference *r, qwren_error *err)
{
    const size_t floats = r->n * r->H;
    size_t bad = SIZE_MAX;
    qw_point last;
    QW_TRY(make_room(&d->steps, r->n_steps, sizeof *d->steps, err));
    d->n_steps = r->n_steps;
    d->n_reference_tokens = r->n;
    for (size_t i = 0; i < r->n_steps; i++) {
        d->steps[i].difference = distance(r->now + i * floats, r->then + i * floats, floats);
        d->steps[i].drift = distance(r->then + i * floats, r->source + i * floats, floats);
        if (bad == SIZE_MAX && !(d->steps[i].difference <= TOLERANCE))
            bad = i;
    }
    d->logits_difference = distance(r->logits, r->logits_then, r->V);
    d->logits_drift = qw_point_measure(&last, r->logits_source, r->logits_then, r->V) ? last.kld : (double)NAN;
    if (bad != SIZE_MAX)
        return find_bad_step(d, bad, "that differs from the vectors stored when the model was made", err);
    if (!(d->logits_difference <= TOLERANCE))
        return qw_doctor_find(
            d, QW_CHECK_REFERENCE, NULL, err,
            "the logits differ from those stored when the model was made, though all layers agree: look at norm.weight and the head");
    return qw_doctor_tell(d, QW_CHECK_REFERENCE, true, err, "%zu tokens through all layers, against the vectors of %s", r->n,
                          QW_CHECK_FILE);
}

static bool all_finite(const float *x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (!isfinite(x[i]))
            return false;
    return true;
}

static qwren_status check_finite(qw_doctor *d, const reference *r, qwren_error *err)
{
    const size_t floats = r->n * r->H;
    for (size_t i = 0; i < r->n_steps; i++)
        if (!all_finite(r->now + i * floats, floats))
            return find_bad_step(d, i, "whose numbers are not finite", err);
    if (!all_finite(r->logits, r->V))
        return qw_doctor_find(d, QW_CHECK_REFERENCE, NULL, err,
                              "the logits are not finite, though all layers are: look at norm.weight and the head");
    return QWREN_OK;
}

static qwren_status judge(qw_doctor *d, const reference *r, qwren_error *err)
{
    QW_TRY(qw_doctor_tell(d, QW_CHECK_REFERENCE, true, err, "%zu tokens through all layers", r->n));
    QW_TRY(check_finite(d, r, err));
    if (r->then)
        return d->found[QW_CHECK_REFERENCE] ? QWREN_OK : compare(d, r, err);
    if (d->records)
        QW_TRY(qw_doctor_find(d, QW_CHECK_REFERENCE, NULL, err, "%s is missing, which qwren quantize writes beside %s", QW_CHECK_FILE,
                              QW_RECORDS_FILE));
    return qw_doctor_tell(d, QW_CHECK_REFERENCE, true, err,
                          "%zu tokens through all layers: their numbers are looked at; there are no stored vectors to compare them with",
                          r->n);
}

static qwren_status run(qw_doctor *d, reference *r, qwren_error *err)
{
    QW_TRY(read_reference(r, d, err));
    return compute(r, d, err);
}

qwren_status qw_doctor_reference(qw_doctor *d, qwren_error *err)
{
    reference r = { 0 };
    qwren_error why;
    if (d->found[QW_CHECK_SHAPES])
        return qw_doctor_tell(d, QW_CHECK_REFERENCE, false, err, "not looked at: the model cannot be bound");
    QW_TRY(qw_doctor_progress(d, "layers", 0, 1, err));
    qwren_status st = run(d, &r, &why);
    const bool ran = st == QWREN_OK;
    st = qw_doctor_settle(d, QW_CHECK_REFERENCE, NULL, st, &why, err);
    if (st == QWREN_OK)
        st = ran ? judge(d, &r, err) : qw_doctor_tell(d, QW_CHECK_REFERENCE, true, err, "could not be compared");
    reference_free(&r);
    QW_TRY(st);
    return qw_doctor_progress(d, "layers", 1, 1, err);
}
