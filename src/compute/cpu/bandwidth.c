/* How fast all threads together read memory: the limit of a decode step, for the estimate of qwren doctor and the shares that qwren bench tells. Tested by
 * tests/unit/test_bandwidth.c. */
#include "base/alloc.h"
#include "base/clock.h"
#include "base/machine.h"
#include "compute/cpu/cpu.h"

#include <math.h>
#include <stdatomic.h>
#include <string.h>

#define USUAL_BYTES ((size_t)128 << 20)
#define MOST_BYTES ((size_t)1 << 30) /* caches hold a small part of it, those of a host machine included, which a guest does not see */
#define LEAST_BYTES ((size_t)8 << 20)
#define PIECE_BYTES ((size_t)256 << 10) /* that a thread reads at a time */
#define LEAST_RUNS 6                    /* two of each way to share */
#define PERSISTENCE 6                   /* times the patience, while the best time stands alone: something else is using the machine */
#define SAME 1.1                        /* times that differ by less are the same */
#define ALONE 0.75                      /* of the time that the threads should have computed: with less they were kept from it */

typedef struct reading {
    const qw_kernels *k;
    const uint8_t *bytes;
    size_t n;
    _Atomic uint64_t sum; /* so that reading is not left out */
} reading;

static void read_pieces(void *ctx, size_t begin, size_t end, int worker)
{
    reading *r = ctx;
    const size_t from = begin * PIECE_BYTES, to = end * PIECE_BYTES < r->n ? end * PIECE_BYTES : r->n;
    (void)worker;
    atomic_fetch_add_explicit(&r->sum, r->k->read(r->bytes + from, to - from), memory_order_relaxed);
}

/* Seconds of the fastest run, for whatever disturbs makes it slower; and several must agree, for it may disturb all of them. Pieces that are taken in turn, and a
 * stretch for each thread: memory prefers one or the other. */
static double best_time(qw_pool *pool, reading *r, double patience_s)
{
    const size_t pieces = r->n / PIECE_BYTES, grains[] = { 4, 32, pieces / (size_t)qw_pool_size(pool) + 1 };
    const double begun = qw_now_s();
    double best = INFINITY, elapsed = 0;
    int n_close = 0; /* runs that took about as long as the best */
    for (int i = 0; i < LEAST_RUNS || elapsed < (n_close < 3 ? PERSISTENCE : 1) * patience_s; i++) {
        const double start = qw_now_s();
        qw_parallel_for(pool, pieces, grains[i % 3], read_pieces, r);
        const double took = qw_now_s() - start;
        n_close = took * SAME < best ? 1 : n_close + (took <= best * SAME);
        best = took < best ? took : best;
        elapsed = qw_now_s() - begun;
    }
    return best;
}

/* What is asked for, but no more than a quarter of what the machine has left, and whole pieces. */
static size_t buffer_bytes_of(size_t wanted)
{
    const uint64_t part = qw_machine_get_memory().available / 4;
    uint64_t bytes = wanted ? wanted : USUAL_BYTES;
    bytes = bytes < MOST_BYTES ? bytes : MOST_BYTES;
    bytes = bytes < part ? bytes : part;
    return (size_t)(bytes > LEAST_BYTES ? bytes : LEAST_BYTES) / PIECE_BYTES * PIECE_BYTES;
}

qwren_status qw_ops_measure_read(qw_read_speed *out, qw_ops *ops, size_t buffer_bytes, double patience_s, qwren_error *err)
{
    const size_t bytes = buffer_bytes_of(buffer_bytes);
    const int size = qw_pool_size(ops->pool), cores = qw_cpu_count(), at_once = size < cores ? size : cores;
    uint8_t *p = qw_alloc_aligned(bytes);
    *out = (qw_read_speed){ 0 };
    if (!p)
        return qw_fail_memory(err, bytes, "a buffer to measure the memory's speed");
    qw_huge_pages(p, bytes);
    memset(p, 1, bytes); /* pages of their own */
    reading r = { &ops->kernels, p, bytes, 0 };
    const double begun_s = qw_now_s(), begun_cpu_s = qw_cpu_s();
    out->bytes_per_s = (double)bytes / fmax(best_time(ops->pool, &r, patience_s), 1e-9);
    /* Threads that read wait for nobody else; more than there are cores wait for each other. */
    out->busy = qw_cpu_s() - begun_cpu_s < ALONE * (qw_now_s() - begun_s) * at_once;
    qw_free_aligned(p);
    return QWREN_OK;
}
