/* convert/calibrate.c, pairs.c: the samples' streams through the layers are those of a session, whatever is in one batch with them; and what is observed on the way. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "api/model.h"
#include "base/alloc.h"
#include "convert/pairs.h"
#include "runtime/session.h"
#include "support/fault.h"
#include "support/nano.h"

#define N_SAMPLES 3
static const size_t lengths[N_SAMPLES] = { 7, 600, 33 }; /* the second one is more than a batch */

static qwren_model *model;
static qw_timeline samples[N_SAMPLES];

static int set_up(void **state)
{
    (void)state;
    model = nano_open_exact(2);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        int32_t ids[600];
        for (size_t t = 0; t < lengths[i]; t++)
            ids[t] = (int32_t)((t * 37 + i * 11) % 4000);
        if (qw_timeline_build(&samples[i], &model->core.config, ids, lengths[i], NULL, NULL, 0, 0, NULL) != QWREN_OK)
            return -1;
    }
    return 0;
}

static int tear_down(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_SAMPLES; i++)
        qw_timeline_deinit(&samples[i]);
    qwren_model_close(model);
    return 0;
}

static qw_streams open_streams(void)
{
    qw_streams s;
    qwren_error err;
    if (qw_streams_init(&s, &model->core, samples, N_SAMPLES, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    qw_streams_embed(&s, &model->core.text.embed, s.x);
    return s;
}

/* Logits of every last token, by a session. */
static void same_as_session(const float *hidden, const qw_timeline *t)
{
    const qw_model *m = &model->core;
    const size_t V = (size_t)m->config.text.vocab_size;
    qw_session *session = NULL;
    float *logits = qw_alloc_array(V, sizeof *logits);
    assert_non_null(logits);
    assert_int_equal(qw_session_create(&session, m, &(qw_session_options){ .n_ctx = 1024 }, NULL), QWREN_OK);
    assert_int_equal(qw_session_eval(session, t, 0, t->n, NULL, NULL), QWREN_OK);
    const qw_input in = { .cols = (size_t)m->config.text.hidden_size, .forms = QW_FORM_F32, .f32 = (float *)(uintptr_t)hidden };
    qw_text_logits(m->ops, &m->text, logits, &in, 1);
    assert_memory_equal(logits, qw_session_logits(session), V * sizeof *logits);
    qw_session_free(session);
    qw_free(logits);
}

static void streams_are_those_of_a_session(void **state)
{
    (void)state;
    qw_streams s = open_streams();
    const size_t H = (size_t)model->core.config.text.hidden_size;
    for (int n = 0; n < model->core.config.text.n_layers; n++)
        assert_true(qw_streams_layer(&s, &model->core.text.layers[n], s.x, s.x, NULL, NULL));
    qw_streams_norm(&s, model->core.text.norm, s.x, s.n_tokens, s.x);
    size_t at = 0;
    for (size_t i = 0; i < N_SAMPLES; i++) {
        at += samples[i].n;
        same_as_session(s.x + (at - 1) * H, &samples[i]);
    }
    assert_int_equal(at, s.n_tokens);
    qw_streams_deinit(&s);
}

/* Sums of squares of the first input, by hand. */
typedef struct sums {
    const qw_matrix *matrix;
    double first, last;
    size_t n;
} sums;

static void note(void *ctx, const qw_matrix *w, const float *x, size_t n)
{
    sums *s = ctx;
    if (w != s->matrix)
        return;
    for (size_t i = 0; i < n; i++) {
        s->first += (double)x[i * w->cols] * (double)x[i * w->cols];
        s->last += (double)x[(i + 1) * w->cols - 1] * (double)x[(i + 1) * w->cols - 1];
    }
    s->n += n;
}

static void expect(const qw_moments *m, size_t cols, size_t column, double want)
{
    float *d = qw_calloc(cols, sizeof *d);
    assert_non_null(d);
    d[column] = 1;
    const double got = qw_moments_error(m, d);
    if (fabs(got / want - 1) > 1e-3)
        fail_msg("column %zu of %zu: %g is not %g", column, cols, got, want);
    qw_free(d);
}

static void moments_are_of_what_each_matrix_reads(void **state)
{
    (void)state;
    qw_streams s = open_streams();
    qw_pool *pool = NULL;
    qwren_error err;
    assert_int_equal(qw_pool_create(&pool, 2, &err), QWREN_OK);
    for (int n = 0; n < model->core.config.text.n_layers; n++) {
        qw_layer *l = &model->core.text.layers[n];
        qw_layer_moments moments;
        qw_slot slots[QW_LAYER_SLOTS];
        const size_t n_slots = qw_layer_slots(l, slots);
        if (qw_streams_observe(&s, l, s.x, NULL, pool, &moments, NULL, NULL, &err) != QWREN_OK)
            fail_msg("%s", err.text);
        for (size_t k = 0; k < n_slots; k++) {
            sums by_hand = { .matrix = slots[k].matrix };
            qw_ops_observe(model->core.ops, note, &by_hand);
            qw_streams_layer(&s, l, s.x, NULL, NULL, NULL);
            qw_ops_observe(model->core.ops, NULL, NULL);
            assert_int_equal(by_hand.n, s.n_tokens);
            const size_t cols = slots[k].matrix->cols;
            expect(moments.of[slots[k].input], cols, 0, by_hand.first / (double)by_hand.n);
            expect(moments.of[slots[k].input], cols, cols - 1, by_hand.last / (double)by_hand.n);
        }
        qw_layer_moments_free(&moments);
        qw_streams_layer(&s, l, s.x, s.x, NULL, NULL);
    }
    qw_pool_free(pool);
    qw_streams_deinit(&s);
}

/* What was recorded of each sample is what the same pass reads again, and the source's stream went on. */
static void pairs_of_equal_streams_are_moments(void **state)
{
    (void)state;
    qw_streams s = open_streams(), plain = open_streams();
    qw_layer *l = &model->core.text.layers[0];
    const size_t H = (size_t)model->core.config.text.hidden_size, floats = s.n_tokens * H;
    float *x = qw_alloc_array(floats, sizeof *x);
    qw_recording source;
    qw_layer_moments pairs = { 0 }, want;
    assert_non_null(x);
    memcpy(x, s.x, floats * sizeof *x);
    assert_int_equal(qw_recording_init(&source, l, s.longest, NULL), QWREN_OK);
    assert_int_equal(qw_moments_create(&pairs.of[1], source.cols[1], source.cols[1], NULL), QWREN_OK);
    for (size_t i = 0; i < N_SAMPLES; i++) {
        const qw_sample_range one = { i, 1 };
        assert_true(qw_streams_record(&s, l, one, s.x, &source, NULL, NULL));
        assert_int_equal(qw_streams_pair(&s, l, one, x, &source, NULL, &pairs, NULL, NULL, NULL), QWREN_OK);
    }
    assert_int_equal(qw_moments_finish(pairs.of[1], NULL, NULL), QWREN_OK);
    assert_int_equal(qw_streams_observe(&plain, l, plain.x, plain.x, NULL, &want, NULL, NULL, NULL), QWREN_OK);
    assert_memory_equal(s.x, plain.x, floats * sizeof *x);
    float *d = qw_calloc(source.cols[1], sizeof *d);
    assert_non_null(d);
    d[3] = d[100] = 1;
    assert_true(fabs(qw_moments_error(pairs.of[1], d) / qw_moments_error(want.of[1], d) - 1) < 1e-9);
    qw_free(d);
    qw_free(x);
    qw_layer_moments_free(&pairs);
    qw_layer_moments_free(&want);
    qw_recording_deinit(&source);
    qw_streams_deinit(&s);
    qw_streams_deinit(&plain);
}

static bool once(void *ctx) { return (*(int *)ctx)++ < 1; }

static void a_pass_can_be_stopped(void **state)
{
    (void)state;
    qw_streams s = open_streams();
    qw_layer_moments moments;
    qwren_error err;
    int asked = 0;
    assert_int_equal(qw_streams_observe(&s, &model->core.text.layers[0], s.x, NULL, NULL, &moments, once, &asked, &err), QWREN_E_CANCELLED);
    assert_int_equal(asked, 2);
    assert_null(moments.of[0]);
    qw_streams_deinit(&s);
}

static qwren_status observe_all(void *ctx, qwren_error *err)
{
    qw_streams s;
    qw_layer_moments moments;
    (void)ctx;
    QW_TRY(qw_streams_init(&s, &model->core, samples, 1, err));
    qw_streams_embed(&s, &model->core.text.embed, s.x);
    qwren_status st = qw_streams_observe(&s, &model->core.text.layers[0], s.x, s.x, NULL, &moments, NULL, NULL, err);
    qw_layer_moments_free(&moments);
    qw_streams_deinit(&s);
    return st;
}

static void short_memory_is_told(void **state)
{
    (void)state;
    tear_down(state); /* the allocator changes only while nothing is alive */
    fault_install();
    assert_int_equal(set_up(state), 0);
    assert_true(fault_try_all(observe_all, NULL, 1) > 4);
    tear_down(state);
    fault_remove();
    assert_int_equal(set_up(state), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(streams_are_those_of_a_session),
        cmocka_unit_test(moments_are_of_what_each_matrix_reads),
        cmocka_unit_test(pairs_of_equal_streams_are_moments),
        cmocka_unit_test(a_pass_can_be_stopped),
        cmocka_unit_test(short_memory_is_told),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
