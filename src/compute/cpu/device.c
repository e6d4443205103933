/* Making the device: the table of kernels, the pool, the scratch of its threads; and its clock. Tested by tests/unit/test_ops.c. */
#include "base/alloc.h"
#include "base/clock.h"
#include "compute/cpu/cpu.h"

static qwren_status init(qw_ops *ops, const qw_ops_options *opt, qwren_error *err)
{
    qw_cpu_level level;
    if (opt->level)
        level = *opt->level;
    else
        QW_TRY(qw_cpu_choose(&level, err));
    ops->kernels = qw_kernels_of(level);
    ops->arithmetic = opt->arithmetic;
    return qw_pool_create(&ops->pool, opt->n_threads > 0 ? opt->n_threads : qw_cpu_count(), err);
}

qwren_status qw_ops_create(qw_ops **out, const qw_ops_options *opt, qwren_error *err)
{
    static const qw_ops_options usual = { 0 };
    *out = NULL;
    qw_ops *ops = qw_calloc(1, sizeof *ops);
    if (!ops)
        return qw_fail_memory(err, sizeof *ops, "a device");
    qwren_status st = init(ops, opt ? opt : &usual, err);
    if (st == QWREN_OK)
        *out = ops;
    else
        qw_ops_free(ops);
    return st;
}

void qw_ops_free(qw_ops *ops)
{
    if (!ops)
        return;
    qw_pool_free(ops->pool);
    qw_free_aligned(ops->scratch);
    qw_free(ops->workers);
    qw_free(ops);
}

/* Threads do not share cache lines. */
static size_t rounded(size_t bytes) { return (bytes + QW_ALIGN - 1) / QW_ALIGN * QW_ALIGN; }

/* The next part of a thread's scratch. */
static void *take(char **at, size_t bytes)
{
    void *part = *at;
    *at += rounded(bytes);
    return part;
}

static void place(qw_worker *w, const qw_ops_needs *needs, char **at)
{
    w->tile = take(at, QW_TILE_FLOATS * sizeof *w->tile);
    w->row = take(at, needs->cols * sizeof *w->row);
    w->delta = take(at, qw_delta_floats(needs) * sizeof *w->delta);
    w->queries = take(at, qw_query_floats(needs) * sizeof *w->queries);
    w->attend = take(at, qw_attend_scratch(needs->head_dim));
    w->q8 = take(at, qw_q8_scratch(needs->cols));
}

static size_t scratch_bytes(const qw_ops_needs *needs)
{
    return rounded(QW_TILE_FLOATS * sizeof(float)) + rounded(needs->cols * sizeof(float)) +
           rounded(qw_delta_floats(needs) * sizeof(float)) + rounded(qw_query_floats(needs) * sizeof(float)) +
           rounded(qw_attend_scratch(needs->head_dim)) + rounded(qw_q8_scratch(needs->cols));
}

qwren_status qw_ops_reserve(qw_ops *ops, const qw_ops_needs *needs, qwren_error *err)
{
    const size_t threads = (size_t)qw_pool_size(ops->pool), bytes = threads * scratch_bytes(needs);
    char *block = qw_alloc_aligned(bytes), *at = block;
    qw_worker *workers = qw_calloc(threads, sizeof *workers);
    if (!block || !workers) {
        qw_free_aligned(block);
        qw_free(workers);
        return qw_fail_memory(err, bytes, "scratch of the threads");
    }
    for (size_t i = 0; i < threads; i++)
        place(&workers[i], needs, &at);
    qw_free_aligned(ops->scratch);
    qw_free(ops->workers);
    ops->scratch = block;
    ops->workers = workers;
    return QWREN_OK;
}

void qw_ops_observe(qw_ops *ops, qw_linear_observer fn, void *ctx)
{
    ops->observe = fn;
    ops->observe_ctx = ctx;
}

/* ---- where the time goes */

const char *qw_op_kind_name(qw_op_kind kind)
{
    static const char *const names[QW_OP_KINDS] = {
        [QW_OP_EMBED] = "embeddings",         [QW_OP_NORM] = "norms, rounding", [QW_OP_LINEARS] = "projections in",
        [QW_OP_RESIDUAL] = "projections out", [QW_OP_GATE_UP] = "gate and up",  [QW_OP_HEAD] = "head",
        [QW_OP_DELTA] = "DeltaNet",           [QW_OP_ATTENTION] = "attention",  [QW_OP_FLOATS] = "float products",
        [QW_OP_VALUES] = "row by row",
    };
    return names[kind];
}

void qw_ops_profile(qw_ops *ops, qw_profile *p)
{
    ops->profile = p;
    ops->timing = false;
}

qw_timer qw_timer_begin(qw_ops *ops, qw_op_kind kind)
{
    if (!ops->profile || ops->timing)
        return (qw_timer){ NULL, kind, 0 };
    ops->timing = true;
    return (qw_timer){ ops, kind, qw_now_s() };
}

void qw_timer_end(const qw_timer *t)
{
    if (!t->ops)
        return;
    t->ops->profile->seconds[t->kind] += qw_now_s() - t->begun_s;
    t->ops->profile->calls[t->kind]++;
    t->ops->timing = false;
}
