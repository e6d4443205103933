/* base/thread.c: every item exactly once, on no more workers than asked for, from several callers at once. Also run under the thread sanitizer. */
#include <pthread.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/thread.h"
#include "support/fault.h"

#define MAX_ITEMS 5000

typedef struct visits {
    atomic_int times[MAX_ITEMS];
    atomic_int busy[64]; /* per worker: calls running now */
    size_t n, grain;
    int size;
    atomic_int bad; /* pieces that were too long, out of range, or on a worker already at work */
} visits;

static void visit(void *ctx, size_t begin, size_t end, int worker)
{
    visits *v = ctx;
    if (worker < 0 || worker >= v->size || begin >= end || end > v->n || end - begin > v->grain) {
        atomic_fetch_add(&v->bad, 1);
        return;
    }
    if (atomic_fetch_add(&v->busy[worker], 1) != 0)
        atomic_fetch_add(&v->bad, 1);
    for (size_t i = begin; i < end; i++)
        atomic_fetch_add(&v->times[i], 1);
    atomic_fetch_sub(&v->busy[worker], 1);
}

static void expect_each_once(qw_pool *p, size_t n, size_t grain)
{
    static visits v;
    memset(&v, 0, sizeof v);
    v.n = n;
    v.grain = grain;
    v.size = qw_pool_size(p);
    qw_parallel_for(p, n, grain, visit, &v);
    assert_int_equal(v.bad, 0);
    for (size_t i = 0; i < n; i++)
        if (v.times[i] != 1)
            fail_msg("item %zu of %zu (grain %zu, %d threads) was visited %d times", i, n, grain, v.size, v.times[i]);
}

static void every_item_is_visited_exactly_once(void **state)
{
    (void)state;
    static const size_t counts[] = { 0, 1, 2, 3, 7, 64, 65, 1000, MAX_ITEMS }, grains[] = { 1, 2, 3, 16, 1000, MAX_ITEMS * 2 };
    for (int threads = 1; threads <= 6; threads++) {
        qw_pool *p;
        assert_int_equal(qw_pool_create(&p, threads, NULL), QWREN_OK);
        assert_int_equal(qw_pool_size(p), threads);
        for (size_t c = 0; c < sizeof counts / sizeof *counts; c++)
            for (size_t g = 0; g < sizeof grains / sizeof *grains; g++)
                expect_each_once(p, counts[c], grains[g]);
        qw_pool_free(p);
    }
}

static void many_short_loops_in_a_row_lose_nothing(void **state)
{
    (void)state;
    qw_pool *p;
    assert_int_equal(qw_pool_create(&p, 4, NULL), QWREN_OK);
    for (int i = 0; i < 3000; i++)
        expect_each_once(p, (size_t)(i % 9), 1);
    qw_pool_free(p);
}

/* What worker 0 took, in its order; worker 1 keeps its first piece until worker 0 has come to help it. */
typedef struct helping {
    size_t taken[64];
    atomic_size_t n;
} helping;

static void help(void *ctx, size_t begin, size_t end, int worker)
{
    helping *h = ctx;
    (void)end;
    if (worker == 0)
        h->taken[atomic_fetch_add(&h->n, 1)] = begin;
    else
        while (atomic_load(&h->n) < 12)
            ;
}

static void pieces_follow_each_other_and_help_comes_from_the_back(void **state)
{
    (void)state;
    qw_pool *p;
    if (qw_processor_count() < 2)
        skip(); /* the caller has all pieces: see below */
    assert_int_equal(qw_pool_create(&p, 2, NULL), QWREN_OK);
    for (int round = 0; round < 50; round++) {
        helping h = { .n = 0 };
        qw_parallel_for(p, 20, 1, help, &h);
        assert_true(h.n >= 12);
        for (size_t i = 0; i < 10; i++)
            assert_int_equal(h.taken[i], i);
        for (size_t i = 10; i < h.n; i++)
            assert_int_equal(h.taken[i], 29 - i);
    }
    qw_pool_free(p);
}

typedef struct square {
    const int *in;
    int *out;
} square;

static void square_items(void *ctx, size_t begin, size_t end, int worker)
{
    square *s = ctx;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        s->out[i] = s->in[i] * s->in[i];
}

/* Plain memory, no atomics: the loop's end must order the workers' writes before the caller's reads, and its begin the other way. */
static void results_are_visible_to_the_caller(void **state)
{
    (void)state;
    enum { N = 257 };
    int in[N], out[N];
    qw_pool *p;
    assert_int_equal(qw_pool_create(&p, 3, NULL), QWREN_OK);
    for (int round = 0; round < 300; round++) {
        for (int i = 0; i < N; i++)
            in[i] = i + round;
        qw_parallel_for(p, N, 5, square_items, &(square){ in, out });
        for (int i = 0; i < N; i++)
            assert_int_equal(out[i], (i + round) * (i + round));
    }
    qw_pool_free(p);
}

/* Pauses longer than workers spin: they sleep, and a loop wakes them. */
static void loops_after_a_pause_wake_the_workers(void **state)
{
    (void)state;
    qw_pool *p;
    assert_int_equal(qw_pool_create(&p, 3, NULL), QWREN_OK);
    for (int i = 0; i < 60; i++) {
        nanosleep(&(struct timespec){ .tv_nsec = (i % 5) * 100000 }, NULL);
        expect_each_once(p, 100, 3);
    }
    qw_pool_free(p);
}

static void an_idle_pool_uses_no_cpu(void **state)
{
    (void)state;
    qw_pool *p;
    assert_int_equal(qw_pool_create(&p, 4, NULL), QWREN_OK);
    expect_each_once(p, 100, 1);
    nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL); /* they fall asleep */
    const double before = qw_cpu_s();
    nanosleep(&(struct timespec){ .tv_nsec = 300000000 }, NULL);
    const double used = qw_cpu_s() - before;
    qw_pool_free(p);
    if (used > 0.05) /* of 0.3 s, on three workers */
        fail_msg("an idle pool used %g s", used);
}

#if defined(__linux__)
static void count_helped(void *ctx, size_t begin, size_t end, int worker)
{
    (void)begin, (void)end;
    atomic_fetch_add((atomic_int *)ctx, worker != 0);
}

/* The next piece must be the one behind the last. */
static void follow(void *ctx, size_t begin, size_t end, int worker)
{
    size_t *next = ctx;
    (void)worker;
    *next = *next == begin ? end : SIZE_MAX;
}

/* Eight threads on one processor: once they sleep, the caller does not wake them to stand in its way, and reads from front to back what
 * would have been theirs. */
static void threads_without_a_processor_sleep(void **state)
{
    (void)state;
    cpu_set_t all, one;
    qw_pool *p;
    atomic_int helped = 0;
    assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
    CPU_ZERO(&one);
    for (size_t cpu = 0; cpu < CPU_SETSIZE && !CPU_COUNT(&one); cpu++)
        if (CPU_ISSET(cpu, &all))
            CPU_SET(cpu, &one);
    assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
    assert_int_equal(qw_processor_count(), 1);
    assert_int_equal(qw_pool_create(&p, 8, NULL), QWREN_OK);
    nanosleep(&(struct timespec){ .tv_nsec = 50000000 }, NULL); /* they fall asleep */
    for (int i = 0; i < 200; i++)
        qw_parallel_for(p, 100, 1, count_helped, &helped);
    assert_int_equal(helped, 0);
    size_t next = 0;
    qw_parallel_for(p, 100, 3, follow, &next);
    assert_int_equal(next, 100);
    expect_each_once(p, 1000, 7);
    qw_pool_free(p);
    assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
}
#endif

typedef struct caller {
    qw_pool *pool;
    atomic_int *total;
} caller;

static void count_items(void *ctx, size_t begin, size_t end, int worker)
{
    (void)worker;
    atomic_fetch_add((atomic_int *)ctx, (int)(end - begin));
}

static void *call_many(void *arg)
{
    caller *c = arg;
    for (int i = 0; i < 200; i++)
        qw_parallel_for(c->pool, 17, 2, count_items, c->total);
    return NULL;
}

static void several_callers_take_turns(void **state)
{
    (void)state;
    atomic_int total = 0;
    pthread_t threads[4];
    caller c = { NULL, &total };
    assert_int_equal(qw_pool_create(&c.pool, 3, NULL), QWREN_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(pthread_create(&threads[i], NULL, call_many, &c), 0);
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    assert_int_equal(total, 4 * 200 * 17);
    qw_pool_free(c.pool);
}

static void remember_thread(void *ctx, size_t begin, size_t end, int worker)
{
    (void)begin;
    (void)end;
    (void)worker;
    *(pthread_t *)ctx = pthread_self();
}

static void one_thread_means_the_callers_own(void **state)
{
    (void)state;
    qw_pool *p;
    pthread_t ran;
    assert_int_equal(qw_pool_create(&p, 1, NULL), QWREN_OK);
    qw_parallel_for(p, 1, 1, remember_thread, &ran);
    assert_true(pthread_equal(ran, pthread_self()));
    qw_pool_free(p);
    qw_pool_free(NULL);
}

static void the_machine_has_at_least_one_core(void **state)
{
    (void)state;
    assert_in_range(qw_cpu_count(), 1, 4096);
    assert_in_range(qw_processor_count(), 1, 4096);
}

static void a_senseless_number_of_threads_is_refused(void **state)
{
    (void)state;
    qwren_error err;
    static const int senseless[] = { -1, 1000000 };
    for (size_t i = 0; i < 2; i++) {
        qw_pool *p = (qw_pool *)1;
        assert_int_equal(qw_pool_create(&p, senseless[i], &err), QWREN_E_ARGUMENT);
        assert_null(p);
        assert_true(strlen(err.text) > 0);
    }
}

static qwren_status create_pool(void *ctx, qwren_error *err)
{
    (void)ctx;
    qw_pool *p;
    QW_TRY(qw_pool_create(&p, 3, err));
    qw_pool_free(p);
    return QWREN_OK;
}

static void a_pool_without_memory_is_an_error_and_leaks_nothing(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(create_pool, NULL, 1) >= 1);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_item_is_visited_exactly_once),
        cmocka_unit_test(pieces_follow_each_other_and_help_comes_from_the_back),
        cmocka_unit_test(many_short_loops_in_a_row_lose_nothing),
        cmocka_unit_test(results_are_visible_to_the_caller),
        cmocka_unit_test(loops_after_a_pause_wake_the_workers),
        cmocka_unit_test(an_idle_pool_uses_no_cpu),
#if defined(__linux__)
        cmocka_unit_test(threads_without_a_processor_sleep),
#endif

        cmocka_unit_test(several_callers_take_turns),
        cmocka_unit_test(one_thread_means_the_callers_own),
        cmocka_unit_test(the_machine_has_at_least_one_core),
        cmocka_unit_test(a_senseless_number_of_threads_is_refused),
        cmocka_unit_test(a_pool_without_memory_is_an_error_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
