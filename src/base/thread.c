/* The pool of workers behind every parallel loop (thread.h). A loop is opened at a gate, one atomic word; workers come in while it is
 * open, the caller too. Each has a share of its own (where there are more threads than processors, each of those that run), pieces that
 * follow each other, so that what it asks the memory for ahead is what it reads next; who is done helps the others with theirs. When no
 * piece is left the caller closes the gate and waits only for those that are still inside: one that wakes late finds it closed and costs
 * nobody time. Workers wait for the next loop spinning, since those of one token follow within microseconds, and sleep when none comes. No
 * loop depends on them: those that sleep while others use all processors are not missed. Tested by tests/unit/test_base_thread.c, also
 * under the thread sanitizer. */
#include "base/thread.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#define MAX_THREADS 1024
#define SPIN_SECONDS 60e-6 /* longer than what a token's pass does between two loops, shorter than anyone would see on a battery */
#define SPINS 64           /* looks at the gate between two looks at the clock */
/* Of a worker. The largest frame of a kernel has 130 KB (vec/dot_body.h), with a sanitizer a multiple; musl would give 128. What is not
 * touched costs nothing. */
#define STACK_BYTES ((size_t)1 << 20)

/* One parallel loop: pieces of `grain` items, the last one shorter. */
typedef struct loop {
    qw_range_fn fn;
    void *ctx;
    size_t n, grain, n_pieces;
} loop;

/* The pieces of a loop that are left to one worker: the first one in the lower half, the one behind the last in the upper. It takes them
 * from the front, those who help it from the back, so that what it has asked the memory for stays its own. */
typedef struct share {
    _Alignas(64) atomic_uint_least64_t left;
} share;
#define MOST_PIECES UINT32_MAX

typedef struct worker {
    struct qw_pool *pool;
    pthread_t thread;
    int index; /* 1 .. size-1; the caller is worker 0 */
} worker;

/* The gate: the number of the loop, whether it is open, and how many workers are inside. */
#define GATE_INSIDE 0xFFFFU
#define GATE_OPEN 0x10000U
#define GATE_LOOP 0x20000U /* added for each loop; wraps around after 2^47 */

struct qw_pool {
    int size, n_started;
    int most_awake;       /* of the workers: one for each processor but the caller's */
    int n_shares;         /* size, or where there are fewer processors, as many as these */
    atomic_int n_came;    /* workers that took part in this loop */
    worker *workers;      /* [size - 1] */
    share *shares;        /* [size]; written as the loop is */
    pthread_mutex_t turn; /* held by the caller whose loop is running */
    loop loop;            /* written while the gate is closed and nobody is inside */
    _Alignas(64) atomic_uint_least64_t gate;
    _Alignas(64) atomic_int n_asleep;
    atomic_bool stop;
    pthread_mutex_t lock; /* for sleeping alone */
    pthread_cond_t wake;
};

static inline void relax(void)
{
#if defined(__x86_64__) || defined(__i386__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("isb"); /* `yield` does nothing on most cores, this waits some dozen cycles */
#endif
}

static void run_piece(const loop *l, size_t piece, int index)
{
    const size_t begin = piece * l->grain, left = l->n - begin;
    l->fn(l->ctx, begin, begin + (left < l->grain ? left : l->grain), index);
}

static void share_out(qw_pool *p, size_t n_pieces)
{
    const size_t size = (size_t)p->n_shares, least = n_pieces / size, more = n_pieces % size; /* the first ones have one more */
    uint64_t begin = 0;
    for (size_t i = 0; i < size; i++) {
        const uint64_t end = begin + least + (i < more);
        atomic_store_explicit(&p->shares[i].left, end << 32 | begin, memory_order_relaxed);
        begin = end;
    }
}

/* False: none is left. */
static bool take_piece(share *s, bool own, size_t *piece)
{
    uint_least64_t left = atomic_load_explicit(&s->left, memory_order_relaxed), rest;
    do {
        const uint64_t begin = left & UINT32_MAX, end = left >> 32;
        if (begin >= end)
            return false;
        *piece = own ? begin : end - 1;
        rest = own ? left + 1 : left - ((uint64_t)1 << 32);
    } while (!atomic_compare_exchange_weak_explicit(&s->left, &left, rest, memory_order_relaxed, memory_order_relaxed));
    return true;
}

/* Where each worker has a share it is always the same one; otherwise those that came have one each. */
static int share_of(qw_pool *p, int index) { return p->n_shares == p->size || !index ? index : 1 + atomic_fetch_add(&p->n_came, 1); }

/* First its own share, then what the others have left. */
static void run_pieces(qw_pool *p, const loop *l, int index)
{
    const int own = share_of(p, index);
    size_t piece;
    for (int k = 0; k < p->n_shares; k++)
        while (take_piece(&p->shares[(own + k) % p->n_shares], k == 0, &piece))
            run_piece(l, piece, index);
}

/* ---- workers */

static bool has_news(qw_pool *p, uint64_t seen)
{
    return (atomic_load(&p->gate) & ~(uint64_t)GATE_INSIDE) != seen || atomic_load(&p->stop);
}

/* Returns when the gate is another one than `seen`: soon, by spinning, or late, by sleeping. The order of the counter of sleepers and the
 * look at the gate is the reverse of open_gate()'s, so one of the two sees the other. */
static void wait_for_news(qw_pool *p, uint64_t seen)
{
    const double until = qw_now_s() + SPIN_SECONDS;
    do {
        for (int i = 0; i < SPINS; i++) {
            if (has_news(p, seen))
                return;
            relax();
        }
    } while (qw_now_s() < until);
    pthread_mutex_lock(&p->lock);
    atomic_fetch_add(&p->n_asleep, 1);
    while (!has_news(p, seen))
        pthread_cond_wait(&p->wake, &p->lock);
    atomic_fetch_sub(&p->n_asleep, 1);
    pthread_mutex_unlock(&p->lock);
}

/* Goes in if the gate is open. False: it is closed; *seen says what it was. */
static bool come_in(qw_pool *p, uint64_t *seen)
{
    uint_least64_t gate = atomic_load(&p->gate);
    do {
        *seen = gate & ~(uint64_t)GATE_INSIDE;
        if (!(gate & GATE_OPEN))
            return false;
    } while (!atomic_compare_exchange_weak(&p->gate, &gate, gate + 1));
    return true;
}

static void *work(void *arg)
{
    worker *w = arg;
    qw_pool *p = w->pool;
    uint64_t seen = 0;
    while (!atomic_load(&p->stop)) {
        if (come_in(p, &seen)) {
            run_pieces(p, &p->loop, w->index);
            atomic_fetch_sub_explicit(&p->gate, 1, memory_order_release);
        }
        wait_for_news(p, seen);
    }
    return NULL;
}

/* ---- the caller */

/* As many as there are processors for; commonly all. */
static void wake_sleepers(qw_pool *p)
{
    const int asleep = atomic_load(&p->n_asleep), wanted = p->most_awake - (p->n_started - asleep);
    if (asleep == 0 || wanted <= 0)
        return;
    pthread_mutex_lock(&p->lock);
    if (wanted >= asleep)
        pthread_cond_broadcast(&p->wake);
    else
        for (int i = 0; i < wanted; i++)
            pthread_cond_signal(&p->wake);
    pthread_mutex_unlock(&p->lock);
}

static void wait_until_empty(qw_pool *p)
{
    for (unsigned i = 1; atomic_load_explicit(&p->gate, memory_order_acquire) & GATE_INSIDE; i++) {
        if (i % 1024 == 0)
            sched_yield(); /* the worker inside may have no core */
        relax();
    }
}

/* Opens the gate for the loop, takes part, closes it, and waits for those inside. */
static void run_together(qw_pool *p, const loop *l)
{
    p->loop = *l;
    share_out(p, l->n_pieces);
    atomic_store_explicit(&p->n_came, 0, memory_order_relaxed);
    atomic_fetch_add(&p->gate, GATE_LOOP + GATE_OPEN);
    wake_sleepers(p);
    run_pieces(p, l, 0);
    atomic_fetch_sub(&p->gate, GATE_OPEN);
    wait_until_empty(p);
}

void qw_parallel_for(qw_pool *p, size_t n, size_t grain, qw_range_fn fn, void *ctx)
{
    if (n == 0)
        return;
    if (grain == 0)
        grain = 1;
    if (n / grain >= MOST_PIECES)
        grain = n / MOST_PIECES + 1;
    loop l = { fn, ctx, n, grain, n / grain + (n % grain != 0) };
    pthread_mutex_lock(&p->turn); /* also for loops that the caller runs alone: worker 0 is unique */
    if (p->size == 1 || l.n_pieces == 1)
        for (size_t piece = 0; piece < l.n_pieces; piece++)
            run_piece(&l, piece, 0);
    else
        run_together(p, &l);
    pthread_mutex_unlock(&p->turn);
}

/* ---- making it */

static int start_worker(worker *w)
{
    pthread_attr_t attr;
    int code = pthread_attr_init(&attr);
    if (code != 0)
        return code;
    code = pthread_attr_setstacksize(&attr, STACK_BYTES);
    if (code == 0)
        code = pthread_create(&w->thread, &attr, work, w);
    pthread_attr_destroy(&attr);
    return code;
}

static qwren_status start_workers(qw_pool *p, qwren_error *err)
{
    for (int i = 0; i < p->size - 1; i++) {
        p->workers[i] = (worker){ .pool = p, .index = i + 1 };
        const int code = start_worker(&p->workers[i]);
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
    qw_pool *p = qw_alloc_aligned(sizeof *p);
    worker *workers = qw_calloc((size_t)n_threads, sizeof *workers);
    share *shares = qw_alloc_aligned((size_t)n_threads * sizeof *shares);
    if (!p || !workers || !shares) {
        qw_free_aligned(p);
        qw_free(workers);
        qw_free_aligned(shares);
        return qw_fail_memory(err, sizeof *p + (size_t)n_threads * (sizeof *workers + sizeof *shares), "a pool of threads");
    }
    memset(p, 0, sizeof *p);
    memset(shares, 0, (size_t)n_threads * sizeof *shares);
    p->size = n_threads;
    const int processors = qw_processor_count();
    p->most_awake = processors - 1;
    p->n_shares = processors < n_threads ? processors : n_threads;
    p->workers = workers;
    p->shares = shares;
    pthread_mutex_init(&p->turn, NULL);
    pthread_mutex_init(&p->lock, NULL);
    pthread_cond_init(&p->wake, NULL);
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
    atomic_store(&p->stop, true);
    pthread_mutex_lock(&p->lock);
    pthread_cond_broadcast(&p->wake);
    pthread_mutex_unlock(&p->lock);
    for (int i = 0; i < p->n_started; i++)
        pthread_join(p->workers[i].thread, NULL);
    pthread_cond_destroy(&p->wake);
    pthread_mutex_destroy(&p->lock);
    pthread_mutex_destroy(&p->turn);
    qw_free(p->workers);
    qw_free_aligned(p->shares);
    qw_free_aligned(p);
}

int qw_pool_size(const qw_pool *p) { return p->size; }
