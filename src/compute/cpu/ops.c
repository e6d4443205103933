/* The operations of the tower and of calibration, in float: matrices and norms. Every loop hands out whole rows, so results do not depend on the number of threads. Tested by tests/unit/test_ops.c. */
#include "compute/cpu/cpu.h"

#define TOGETHER 16 /* rows of a matrix that are better not parted: kernels read the tokens once for several */
#define SMALL 16384 /* floats: less than this is one piece */

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
    QW_TIMED(ops, QW_OP_FLOATS);
    linear_job job = { &ops->kernels, y, w, bias, x, n };
    if (ops->observe)
        ops->observe(ops->observe_ctx, w, x, n);
    const size_t grain = qw_grain(w->cols * n, SMALL * 4);
    qw_parallel_for(ops->pool, w->rows, grain < TOGETHER ? TOGETHER : grain, linear_rows, &job);
}

void qw_op_embed(qw_ops *ops, float *y, const qw_matrix *w, const int32_t *ids, size_t n)
{
    QW_TIMED(ops, QW_OP_EMBED);
    for (size_t i = 0; i < n; i++)
        ops->kernels.decode[w->type](y + i * w->cols, w, (size_t)ids[i]);
}

/* ---- rows */

typedef struct norm_job {
    const qw_kernels *kernels;
    float *y;
    const float *x, *w, *b;
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

void qw_op_rmsnorm(qw_ops *ops, float *y, const float *x, const float *w, size_t n_rows, size_t width, float eps)
{
    QW_TIMED(ops, QW_OP_VALUES);
    norm_job job = { .kernels = &ops->kernels, .y = y, .x = x, .w = w, .width = width, .eps = eps };
    qw_parallel_for(ops->pool, n_rows, qw_grain(width, SMALL), rmsnorm_rows, &job);
}

void qw_op_layernorm(qw_ops *ops, float *y, const float *x, const float *w, const float *b, size_t n_rows, size_t width, float eps)
{
    QW_TIMED(ops, QW_OP_VALUES);
    norm_job job = { .kernels = &ops->kernels, .y = y, .x = x, .w = w, .b = b, .width = width, .eps = eps };
    qw_parallel_for(ops->pool, n_rows, qw_grain(width, SMALL), layernorm_rows, &job);
}
