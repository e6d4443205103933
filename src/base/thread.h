/* A pool of workers and parallel loops. Results never depend on the number of threads as long as an item's result does not
 * depend on other items: items are only distributed, never merged. */
#ifndef QW_BASE_THREAD_H
#define QW_BASE_THREAD_H

#include "base/status.h"

typedef struct qw_pool qw_pool;

/* Physical performance cores this process may use (affinity mask and cgroup CPU quota respected), at least 1. */
int qw_cpu_count(void);
/* All processors this process may use, the threads of a core counted each: so many threads run at one time. */
int qw_processor_count(void);

/* n_threads counts the caller: 1 starts no thread. Workers spin some 60 microseconds for the next loop, then sleep: an idle pool uses no
 * CPU. Where there are fewer processors than threads only as many as there are processors are awake at a time, so that none spins where
 * another could compute. */
qwren_status qw_pool_create(qw_pool **out, int n_threads, qwren_error *err);
void qw_pool_free(qw_pool *p);
int qw_pool_size(const qw_pool *p);

/* Calls fn(ctx, begin, end, worker) over [0, n) in pieces of at most `grain` items, of more where that would make 2^32 - 1 pieces or more.
 * Each worker has pieces that follow each other, as long as nobody waits; worker is 0..size-1 and unique among the calls running at one
 * time. Returns when all are done. Several threads may call it on one pool: the calls take turns. fn must not call it. */
typedef void (*qw_range_fn)(void *ctx, size_t begin, size_t end, int worker);
void qw_parallel_for(qw_pool *p, size_t n, size_t grain, qw_range_fn fn, void *ctx);

#endif
