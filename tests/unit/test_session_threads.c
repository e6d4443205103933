/* Sessions in several threads on one prefix cache: they go on in each other's pages and from each other's checkpoints while these are written and dropped, and all numbers are
 * those of a fresh computation, to the bit. Run under the thread sanitizer. */
#include "base/rng.h"
#include "support/tiny.h"

#include <pthread.h>

#define N_THREADS 4
#define N_STEPS 8
#define N_LINES 9
#define LAST 12 /* tokens that are computed behind a stop, when others may have found it already */

typedef struct line {
    qw_timeline t;
    size_t parts;         /* where it parts from others */
    float *stop, *logits; /* LAST tokens before the end, and at the end */
} line;

static line lines[N_LINES];

static void make_lines(void)
{
    static const size_t parts[3] = { 40, 90, 505 };
    for (size_t i = 0; i < N_LINES; i++) {
        line *l = &lines[i];
        l->parts = parts[i % 3];
        l->t = timeline(l->parts + 30 + 9 * i, l->parts, (int)i);
        l->stop = fresh_logits(&l->t, l->t.n - LAST);
        l->logits = fresh_logits(&l->t, l->t.n);
    }
}

static void free_lines(void)
{
    for (size_t i = 0; i < N_LINES; i++) {
        free(lines[i].stop);
        free(lines[i].logits);
        qw_timeline_deinit(&lines[i].t);
    }
}

typedef struct worker {
    pthread_t thread;
    qw_prefix *p;
    uint64_t seed;
    size_t n_reused;
} worker;

static void go_along(qw_session *s, const line *l, worker *w)
{
    const qw_eval_options opt = { .boundaries = &l->parts, .n_boundaries = 1 };
    const size_t stop = l->t.n - LAST;
    qwren_error err = { 0 };
    size_t n = qw_session_reuse(s, &l->t).length;
    w->n_reused += n;
    if (n < stop) {
        ok(qw_session_eval(s, &l->t, n, stop, &opt, &err), &err);
        same_logits(s, l->stop);
        n = stop;
    }
    for (; n + 2 < l->t.n; n++)
        ok(qw_session_step(s, l->t.ids[n], &err), &err);
    ok(qw_session_eval(s, &l->t, n, l->t.n, NULL, &err), &err);
    same_logits(s, l->logits);
}

static void *work(void *ctx)
{
    worker *w = ctx;
    qw_session *s = session_with(&(qw_session_options){ .n_ctx = 700, .prefix = w->p });
    qwren_error err = { 0 };
    qw_rng r;
    qw_rng_seed(&r, w->seed);
    for (size_t i = 0; i < N_STEPS; i++) {
        const line *l = &lines[qw_rng_u32(&r) % N_LINES];
        go_along(s, l, w);
        if (i % 3 == 2) /* back into the middle of what others hold too */
            ok(qw_session_rewind(s, l->t.n - 1 - qw_rng_u32(&r) % LAST, &err), &err);
        if (i % 4 == 3)
            qw_session_reset(s);
    }
    qw_session_free(s);
    return NULL;
}

static void together(size_t n_checkpoints)
{
    worker workers[N_THREADS];
    qw_page_shape shape;
    qw_prefix *p = NULL;
    qwren_error err = { 0 };
    size_t n_reused = 0;
    ok(qw_page_shape_make(&shape, &model.config.text, qw_cache_type(&model, QWREN_KV_DEFAULT), &err), &err);
    const qw_prefix_options opt = { n_checkpoints * (qw_checkpoint_bytes(&model.config.text) + shape.bytes) };
    ok(qw_prefix_create(&p, &shape, &opt, &err), &err);
    for (size_t i = 0; i < N_THREADS; i++) {
        workers[i] = (worker){ .p = p, .seed = i + 1 };
        assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        pthread_join(workers[i].thread, NULL);
        n_reused += workers[i].n_reused;
    }
    assert_true(n_reused > 0);
    assert_int_equal(qw_prefix_statistics(p).evictions > 0, n_checkpoints < 100);
    qw_prefix_free(p);
    assert_int_equal(qw_page_live_bytes(), 0);
}

static void all_that_was_computed_is_shared(void **state)
{
    (void)state;
    together(1000);
}

static void so_is_what_a_small_cache_has_left(void **state)
{
    (void)state;
    together(6);
}

static int open_all(void **state)
{
    const int st = open_model(state);
    if (st == 0)
        make_lines();
    return st;
}

static int close_all(void **state)
{
    free_lines();
    return close_model(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_that_was_computed_is_shared),
        cmocka_unit_test(so_is_what_a_small_cache_has_left),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
