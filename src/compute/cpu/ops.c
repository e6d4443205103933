/* Making the device, and the operations that go row by row or value by value. Every loop hands out whole rows (or ranges of values), so results do not
 * depend on the number of threads. Tested by tests/unit/test_ops.c. */
#include "base/alloc.h"
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

#define TOGETHER 16 /* rows of a matrix that are better not parted: kernels read the tokens once for several */
#define SMALL 16384 /* floats: less than this is one piece */

qwren_status qw_ops_create(qw_ops **out, int n_threads, qwren_error *err)
{
    *out = NULL;
    qw_ops *ops = qw_calloc(1, sizeof *ops);
    if (!ops)
        return qw_fail_memory(err, sizeof *ops, "a device");
    ops->kernels = qw_kernels_get();
    qwren_status st = qw_pool_create(&ops->pool, n_threads > 0 ? n_threads : qw_cpu_count(), err);
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
    qw_free_aligned(ops->delta_scratch);
    qw_free(ops);
}

qwren_status qw_ops_reserve_delta(qw_ops *ops, size_t key_dim, size_t value_dim, qwren_error *err)
{
    size_t floats = (qw_delta_scratch(key_dim, value_dim) + 15) / 16 * 16; /* threads do not share cache lines */
    size_t bytes = floats * sizeof(float) * (size_t)qw_pool_size(ops->pool);
    float *scratch = qw_alloc_aligned(bytes);
    if (!scratch)
        return qw_fail_memory(err, bytes, "scratch of the delta rule");
    qw_free_aligned(ops->delta_scratch);
    ops->delta_scratch = scratch;
    ops->delta_floats = floats;
    return QWREN_OK;
}

void qw_ops_observe(qw_ops *ops, qw_linear_observer fn, void *ctx)
{
    ops->observe = fn;
    ops->observe_ctx = ctx;
}

/* ---- matrices */

typedef struct linear_job {
    const qw_kernels *kernels;
    float *y;
    const qw_matrix *w;
    const float *bias, *x;
    size_t n;
} linear_job;

static void linear_rows(void *ctx, size_t begin, size_t end, int worker)
{
    const linear_job *j = ctx;
    const qw_matrix *w = j->w;
    j->kernels->matmul[w->type](j->y + begin, w->rows, w, begin, end - begin, j->x, w->cols, j->n);
    if (j->bias)
        for (size_t t = 0; t < j->n; t++)
            j->kernels->add(j->y + t * w->rows + begin, j->bias + begin, end - begin);
    (void)worker;
}

void qw_op_linear(qw_ops *ops, float *y, const qw_matrix *w, const float *bias, const float *x, size_t n)
{
    linear_job job = { &ops->kernels, y, w, bias, x, n };
    if (ops->observe)
        ops->observe(ops->observe_ctx, w, x, n);
    const size_t grain = qw_grain(w->cols * n, SMALL * 4);
    qw_parallel_for(ops->pool, w->rows, grain < TOGETHER ? TOGETHER : grain, linear_rows, &job);
}

void qw_op_embed(qw_ops *ops, float *y, const qw_matrix *w, const int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        ops->kernels.decode[w->type](y + i * w->cols, w, (size_t)ids[i]);
}

/* ---- rows */

typedef struct norm_job {
    const qw_kernels *kernels;
    float *y;
    const float *x, *w, *b, *z;
    size_t width;
    float eps;
} norm_job;

static void rmsnorm_rows(void *ctx, size_t begin, size_t end, int worker)
{
    const norm_job *j = ctx;
    for (size_t i = begin; i < end; i++)
        j->kernels->rmsnorm(j->y + i * j->width, j->x + i * j->width, j->w, j->width, j->eps);
    (void)worker;
}

static void layernorm_rows(void *ctx, size_t begin, size_t end, int worker)
{
    const norm_job *j = ctx;
    for (size_t i = begin; i < end; i++)
        j->kernels->layernorm(j->y + i * j->width, j->x + i * j->width, j->w, j->b, j->width, j->eps);
    (void)worker;
}

static void gated_rmsnorm_rows(void *ctx, size_t begin, size_t end, int worker)
{
    const norm_job *j = ctx;
    for (size_t i = begin; i < end; i++)
        j->kernels->gated_rmsnorm(j->y + i * j->width, j->x + i * j->width, j->w, j->z + i * j->width, j->width, j->eps);
    (void)worker;
}

void qw_op_rmsnorm(qw_ops *ops, float *y, const float *x, const float *w, size_t n_rows, size_t width, float eps)
{
    norm_job job = { .kernels = &ops->kernels, .y = y, .x = x, .w = w, .width = width, .eps = eps };
    qw_parallel_for(ops->pool, n_rows, qw_grain(width, SMALL), rmsnorm_rows, &job);
}

void qw_op_layernorm(qw_ops *ops, float *y, const float *x, const float *w, const float *b, size_t n_rows, size_t width, float eps)
{
    norm_job job = { .kernels = &ops->kernels, .y = y, .x = x, .w = w, .b = b, .width = width, .eps = eps };
    qw_parallel_for(ops->pool, n_rows, qw_grain(width, SMALL), layernorm_rows, &job);
}

void qw_op_gated_rmsnorm(qw_ops *ops, float *y, const float *x, const float *w, const float *z, size_t n_rows, size_t width, float eps)
{
    norm_job job = { .kernels = &ops->kernels, .y = y, .x = x, .w = w, .z = z, .width = width, .eps = eps };
    qw_parallel_for(ops->pool, n_rows, qw_grain(width, SMALL), gated_rmsnorm_rows, &job);
}

/* ---- values */

typedef struct values_job {
    const qw_kernels *kernels;
    float *y;
    const float *a, *b;
} values_job;

static void add_values(void *ctx, size_t begin, size_t end, int worker)
{
    const values_job *j = ctx;
    j->kernels->add(j->y + begin, j->a + begin, end - begin);
    (void)worker;
}

static void silu_mul_values(void *ctx, size_t begin, size_t end, int worker)
{
    const values_job *j = ctx;
    j->kernels->silu_mul(j->y + begin, j->a + begin, j->b + begin, end - begin);
    (void)worker;
}

static void gelu_tanh_values(void *ctx, size_t begin, size_t end, int worker)
{
    const values_job *j = ctx;
    j->kernels->gelu_tanh(j->y + begin, end - begin);
    (void)worker;
}

static void gelu_erf_values(void *ctx, size_t begin, size_t end, int worker)
{
    const values_job *j = ctx;
    j->kernels->gelu_erf(j->y + begin, end - begin);
    (void)worker;
}

static void over_values(qw_ops *ops, qw_range_fn fn, float *y, const float *a, const float *b, size_t n)
{
    values_job job = { &ops->kernels, y, a, b };
    qw_parallel_for(ops->pool, n, SMALL, fn, &job);
}

void qw_op_add(qw_ops *ops, float *y, const float *x, size_t n) { over_values(ops, add_values, y, x, NULL, n); }
void qw_op_silu_mul(qw_ops *ops, float *y, const float *gate, const float *up, size_t n)
{
    over_values(ops, silu_mul_values, y, gate, up, n);
}
void qw_op_gelu_tanh(qw_ops *ops, float *x, size_t n) { over_values(ops, gelu_tanh_values, x, NULL, NULL, n); }
void qw_op_gelu_erf(qw_ops *ops, float *x, size_t n) { over_values(ops, gelu_erf_values, x, NULL, NULL, n); }

/* ln(1 + e^x), exact where e^x would overflow */
static float softplus(float x) { return x > 20.0F ? x : log1pf(expf(x)); }

void qw_op_delta_gates(qw_ops *ops, float *log_decay, float *beta, const float *a, const float *b, const float *neg_exp_a,
                       const float *dt_bias, size_t n, size_t heads)
{
    for (size_t i = 0; i < n * heads; i++) {
        log_decay[i] = neg_exp_a[i % heads] * softplus(a[i] + dt_bias[i % heads]);
        beta[i] = 1.0F / (1.0F + expf(-b[i]));
    }
    (void)ops;
}
