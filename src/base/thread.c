/* The pool of workers behind every parallel loop (thread.h). A loop is published under one mutex, its pieces are taken by an atomic counter, and
 * the caller works too; workers sleep between loops. Tested by tests/unit/test_base_thread.c, also under the thread sanitizer. */
#include "base/thread.h"

#include "base/alloc.h"

#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#define MAX_THREADS 1024

/* One parallel loop: pieces of `grain` items, the last one shorter. */
typedef struct loop {
    qw_range_fn fn;
    void *ctx;
    size_t n, grain, n_pieces;
} loop;

typedef struct worker {
    struct qw_pool *pool;
    pthread_t thread;
    int index; /* 1 .. size-1; the caller is worker 0 */
} worker;

struct qw_pool {
    int size, n_started;
    worker *workers;      /* [size - 1] */
    pthread_mutex_t turn; /* held by the caller whose loop is running */
    pthread_mutex_t lock; /* guards what follows */
    pthread_cond_t wake, done;
    loop loop;
    unsigned long round; /* counts loops; a worker sleeps while it has seen this one */
    int n_busy;          /* workers that have not finished this round */
    bool stop;
    atomic_size_t next; /* the next piece */
};

static void run_pieces(qw_pool *p, const loop *l, int index)
{
    for (;;) {
        size_t piece = atomic_fetch_add_explicit(&p->next, 1, memory_order_relaxed);
        if (piece >= l->n_pieces)
            return;
        size_t begin = piece * l->grain, left = l->n - begin;
        l->fn(l->ctx, begin, begin + (left < l->grain ? left : l->grain), index);
    }
}

static void *work(void *arg)
{
    worker *w = arg;
    qw_pool *p = w->pool;
    unsigned long seen = 0;
    pthread_mutex_lock(&p->lock);
    for (;;) {
        while (p->round == seen && !p->stop)
            pthread_cond_wait(&p->wake, &p->lock);
        if (p->stop)
            break;
        seen = p->round;
        loop l = p->loop;
        pthread_mutex_unlock(&p->lock);
        run_pieces(p, &l, w->index);
        pthread_mutex_lock(&p->lock);
        if (--p->n_busy == 0)
            pthread_cond_signal(&p->done);
    }
    pthread_mutex_unlock(&p->lock);
    return NULL;
}

static qwren_status start_workers(qw_pool *p, qwren_error *err)
{
    for (int i = 0; i < p->size - 1; i++) {
        p->workers[i] = (worker){ .pool = p, .index = i + 1 };
        int code = pthread_create(&p->workers[i].thread, NULL, work, &p->workers[i]);
        if (code != 0)
            return qw_fail(err, QWREN_E_LIMIT, "the system starts no more than %d of %d threads: %s; ask for fewer", i + 1, p->size,
                           strerror(code));
        p->n_started++;
    }
    return QWREN_OK;
}

qwren_status qw_pool_create(qw_pool **out, int n_threads, qwren_error *err)
{
    *out = NULL;
    if (n_threads < 1 || n_threads > MAX_THREADS)
        return qw_fail(err, QWREN_E_ARGUMENT, "%d threads: a number from 1 to %d is needed", n_threads, MAX_THREADS);
    qw_pool *p = qw_calloc(1, sizeof *p);
    worker *workers = qw_calloc((size_t)n_threads, sizeof *workers);
    if (!p || !workers) {
        qw_free(p);
        qw_free(workers);
        return qw_fail_memory(err, sizeof *p + (size_t)n_threads * sizeof *workers, "a pool of threads");
    }
    p->size = n_threads;
    p->workers = workers;
    pthread_mutex_init(&p->turn, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
    pthread_cond_init(&p->done, NULL);
    qwren_status st = start_workers(p, err);
    if (st != QWREN_OK) {
        qw_pool_free(p);
        return st;
    }
    *out = p;
    return QWREN_OK;
}

void qw_pool_free(qw_pool *p)
{
    if (!p)
        return;
    pthread_mutex_lock(&p->lock);
    p->stop = true;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->done);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->turn);
    qw_free(p->workers);
    qw_free(p);
}

int qw_pool_size(const qw_pool *p) { return p->size; }

/* Wakes everybody for the loop, takes part, and waits until the last worker is done with it. */
static void run_together(qw_pool *p, const loop *l)
{
    pthread_mutex_lock(&p->lock);
    p->loop = *l;
    p->round++;
    p->n_busy = p->n_started;
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    run_pieces(p, l, 0);
    pthread_mutex_lock(&p->lock);
    while (p->n_busy > 0)
        pthread_cond_wait(&p->done, &p->lock);
    pthread_mutex_unlock(&p->lock);
}

void qw_parallel_for(qw_pool *p, size_t n, size_t grain, qw_range_fn fn, void *ctx)
{
    if (n == 0)
        return;
    if (grain == 0)
        grain = 1;
    loop l = { fn, ctx, n, grain, n / grain + (n % grain != 0) };
    pthread_mutex_lock(&p->turn); /* also for loops that the caller runs alone: worker 0 is unique */
    atomic_store_explicit(&p->next, 0, memory_order_relaxed);
    if (p->size == 1 || l.n_pieces == 1)
        run_pieces(p, &l, 0);
    else
        run_together(p, &l);
    pthread_mutex_unlock(&p->turn);
}
