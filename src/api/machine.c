/* The machine as the public API tells it (qwren.h, section 12): its processor, what it can do at most, and what a token asks of it. Tested
 * by tests/unit/test_api_machine.c. */
#include "api/model.h"
#include "base/alloc.h"
#include "base/clock.h"
#include "base/processor.h"
#include "base/thread.h"
#include "kernels/kernels.h"
#include "runtime/session.h"
#include "runtime/traffic.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#define BUFFER_BYTES ((size_t)1 << 30)
#define SMALLEST_BUFFER_BYTES ((size_t)32 << 20)
#define PIECES_PER_THREAD 8 /* of the rounds of a peak, so that threads which begin late do less */
#define PIECE_S 1.5e-3
#define TRIES 6
#define READ_S 0.05 /* several times as long while the machine is disturbed */

/* ---- the processor */

qwren_status qwren_get_cpu_info(qwren_cpu_info *out, qwren_error *err)
{
    qw_cpu_level level;
    const qw_processor p = qw_processor_get();
    *out = (qwren_cpu_info){ 0 };
    QW_TRY(qw_cpu_choose(&level, err));
    snprintf(out->name, sizeof out->name, "%s", p.name);
    snprintf(out->level, sizeof out->level, "%s", qw_cpu_level_name(level));
    qw_cpu_list(out->levels, sizeof out->levels);
    qw_cpu_features(out->features, sizeof out->features);
    out->n_cores = qw_cpu_count();
    out->n_logical = p.n_logical;
    memcpy(out->cache_bytes, p.cache_bytes, sizeof out->cache_bytes);
    return QWREN_OK;
}

/* ---- what it can do at most */

/* A buffer of at least 32 MB: what is asked for, or 1 GB. */
static qwren_status measure_read(double *out, int n_threads, size_t wanted, qwren_error *err)
{
    const size_t bytes = wanted && wanted < BUFFER_BYTES ? wanted : BUFFER_BYTES;
    qw_ops *ops;
    qw_read_speed speed;
    QW_TRY(qw_ops_create(&ops, &(qw_ops_options){ .n_threads = n_threads }, err));
    const qwren_status st = qw_ops_measure_read(&speed, ops, bytes > SMALLEST_BUFFER_BYTES ? bytes : SMALLEST_BUFFER_BYTES, READ_S, err);
    *out = speed.bytes_per_s;
    qw_ops_free(ops);
    return st;
}

typedef struct peak_run {
    const qw_peak *peak;
    uint64_t rounds;
    _Atomic uint64_t ops;
} peak_run;

static void run_peak(void *ctx, size_t begin, size_t end, int worker)
{
    peak_run *r = ctx;
    float sink = 0;
    uint64_t ops = 0;
    (void)worker;
    for (size_t i = begin; i < end; i++)
        ops += r->peak->run(r->rounds, &sink);
    atomic_fetch_add_explicit(&r->ops, isnan(sink) ? 0 : ops, memory_order_relaxed);
}

/* Rounds that take about PIECE_S. */
static uint64_t rounds_of(const qw_peak *peak)
{
    float sink = 0;
    uint64_t rounds = 1000;
    for (double took = 0; took < PIECE_S / 2; rounds *= 2) {
        const double start = qw_now_s();
        peak->run(rounds, &sink);
        took = qw_now_s() - start;
    }
    return rounds;
}

/* By as many threads as run at one time: more would take as much longer. */
static double measure_peak(qw_pool *pool, const qw_peak *peak)
{
    const int size = qw_pool_size(pool), processors = qw_processor_count(), at_once = size < processors ? size : processors;
    const uint64_t rounds = rounds_of(peak);
    double best = 0;
    for (int i = 0; i < TRIES; i++) {
        peak_run r = { .peak = peak, .rounds = rounds };
        const double start = qw_now_s();
        qw_parallel_for(pool, PIECES_PER_THREAD * (size_t)at_once, 1, run_peak, &r);
        const double rate = (double)r.ops / (qw_now_s() - start);
        best = rate > best ? rate : best;
    }
    return best;
}

qwren_status qwren_measure_machine(int n_threads, size_t buffer_bytes, qwren_machine_speed *out, qwren_error *err)
{
    qw_cpu_level level;
    qw_pool *pool;
    double read;
    *out = (qwren_machine_speed){ 0 };
    if (n_threads < 0)
        return qw_fail(err, QWREN_E_ARGUMENT, "n_threads is %d; give a positive number, or 0 for all physical cores", n_threads);
    QW_TRY(qw_cpu_choose(&level, err));
    const qw_kernels k = qw_kernels_of(level);
    n_threads = n_threads ? n_threads : qw_cpu_count();
    QW_TRY(measure_read(&read, n_threads, buffer_bytes, err));
    QW_TRY(qw_pool_create(&pool, n_threads, err));
    out->n_threads = n_threads;
    out->read_bytes_per_s = read;
    out->dot_ops_per_s = measure_peak(pool, &k.dot_peak);
    out->float_ops_per_s = measure_peak(pool, &k.float_peak);
    snprintf(out->dot_name, sizeof out->dot_name, "%s", k.dot_peak.name);
    snprintf(out->float_name, sizeof out->float_name, "%s", k.float_peak.name);
    qw_pool_free(pool);
    return QWREN_OK;
}

/* ---- what a token costs */

qwren_status qwren_model_get_token_cost(const qwren_model *m, size_t depth, qwren_kv_type kv_type, qwren_token_cost *out, qwren_error *err)
{
    qw_traffic t;
    *out = (qwren_token_cost){ 0 };
    QW_TRY(qw_kv_type_check(kv_type, err));
    QW_TRY(qw_traffic_of(&t, &m->core, depth, qw_cache_type(&m->core, kv_type), err));
    *out = (qwren_token_cost){ t.weight_bytes, t.state_bytes, t.cache_bytes, t.layer_ops, t.head_ops, t.is_float, t.last_ops };
    return QWREN_OK;
}

uint64_t qwren_model_get_image_ops(const qwren_model *m, size_t n_patches) { return qw_traffic_image_ops(&m->core, n_patches); }

/* ---- and where its time goes */

void qwren_model_profile(qwren_model *m, bool on)
{
    m->profile = (qw_profile){ 0 };
    if (m->core.ops)
        qw_ops_profile(m->core.ops, on ? &m->profile : NULL);
}

bool qwren_model_get_profile(const qwren_model *m, size_t i, qwren_profile_entry *out)
{
    *out = (qwren_profile_entry){ 0 };
    if (i >= QW_OP_KINDS)
        return false;
    *out = (qwren_profile_entry){ qw_op_kind_name((qw_op_kind)i), m->profile.seconds[i], m->profile.calls[i] };
    return true;
}
