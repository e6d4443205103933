/* Rows of activations on their way into matrix products: made once, by the operation before, in every form that a reader wants. Tested by tests/unit/test_ops.c. */
#include "base/alloc.h"
#include "compute/cpu/cpu.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <string.h>

/* Quads of a group of 64 that keep 15 bits. On qwren-nano in 6bit the divergence from float activations is 2.6e-4 with these; docs/performance.md has others. A
 * prompt pays a sixteenth of a product's time for each. */
static const int fixes_of[QW_ROLE_COUNT] = { [QW_ROLE_NORMED] = 1, [QW_ROLE_MIXED] = 4, [QW_ROLE_DOWN] = 4, [QW_ROLE_HEAD] = 4 };

/* ---- memory: f32 | low | groups | fixes | bf16 */

static size_t rounded(size_t bytes) { return (bytes + QW_ALIGN - 1) / QW_ALIGN * QW_ALIGN; }
static size_t groups_of(size_t cols) { return (cols + QW_Q8_GROUP - 1) / QW_Q8_GROUP; }

static char *place(qw_input *in, char *at, size_t n, size_t cols)
{
    in->f32 = (float *)(void *)at;
    at += rounded(n * cols * sizeof *in->f32);
    in->q8.low = (int8_t *)at;
    at += rounded(n * groups_of(cols) * QW_Q8_GROUP);
    in->q8.groups = (qw_q8_group *)(void *)at;
    at += rounded(n * groups_of(cols) * sizeof *in->q8.groups);
    in->q8.fixes = (qw_q8_fix *)(void *)at;
    at += rounded(n * groups_of(cols) * QW_Q8_QUADS * sizeof *in->q8.fixes);
    in->bf16 = (uint16_t *)(void *)at;
    return at + rounded(n * cols * sizeof *in->bf16);
}

size_t qw_input_bytes(size_t n, size_t cols)
{
    return rounded(n * cols * sizeof(float)) + rounded(n * groups_of(cols) * QW_Q8_GROUP) +
           rounded(n * groups_of(cols) * sizeof(qw_q8_group)) + rounded(n * groups_of(cols) * QW_Q8_QUADS * sizeof(qw_q8_fix)) +
           rounded(n * cols * sizeof(uint16_t));
}

void qw_input_init(qw_input *in, void *block, size_t n, size_t cols)
{
    *in = (qw_input){ 0 };
    place(in, block, n, cols);
}

/* Sessions of several threads have inputs. */
static void change(qw_input *in)
{
    static atomic_uint_least64_t versions;
    in->version = atomic_fetch_add_explicit(&versions, 1, memory_order_relaxed) + 1;
}

void qw_input_move(qw_input *in, size_t to, size_t from)
{
    change(in);
    const size_t cols = in->cols, groups = groups_of(cols), fixes = groups * (size_t)in->q8.n_fix;
    if (in->forms & QW_FORM_F32)
        memmove(in->f32 + to * cols, in->f32 + from * cols, cols * sizeof *in->f32);
    if (in->forms & QW_FORM_BF16)
        memmove(in->bf16 + to * cols, in->bf16 + from * cols, cols * sizeof *in->bf16);
    if (in->forms & QW_FORM_Q8) {
        memmove(in->q8.low + to * cols, in->q8.low + from * cols, cols);
        memmove(in->q8.groups + to * groups, in->q8.groups + from * groups, groups * sizeof *in->q8.groups);
        memmove(in->q8.fixes + to * fixes, in->q8.fixes + from * fixes, fixes * sizeof *in->q8.fixes);
    }
}

/* ---- forms */

qw_form qw_form_of(const qw_ops *ops, const qw_matrix *w)
{
    if (ops->arithmetic == QWREN_ARITHMETIC_EXACT)
        return QW_FORM_F32;
    if (ops->kernels.matmul_q8[w->type] && w->cols % QW_Q8_GROUP == 0)
        return QW_FORM_Q8;
    if (w->type == QW_TYPE_BF16 && ops->kernels.matmul_bf16 && ops->arithmetic == QWREN_ARITHMETIC_DEFAULT)
        return QW_FORM_BF16;
    return QW_FORM_F32;
}

unsigned qw_op_forms(const qw_ops *ops, const qw_matrix *w, ...)
{
    unsigned forms = ops->observe ? QW_FORM_F32 : 0;
    va_list more;
    va_start(more, w);
    for (; w; w = va_arg(more, const qw_matrix *))
        forms |= (unsigned)qw_form_of(ops, w);
    va_end(more);
    return forms;
}

/* ---- filling */

void qw_input_shape(qw_input *in, size_t cols, qw_role role, unsigned forms)
{
    in->cols = in->q8.cols = cols;
    in->q8.n_fix = fixes_of[role];
    in->forms = forms;
    change(in);
}

void qw_input_write(const qw_ops *ops, const qw_input *in, size_t row, size_t n_rows, size_t col, size_t n, const float *x, size_t x_stride)
{
    float *f32 = in->f32 + row * in->cols + col;
    uint16_t *bf16 = in->bf16 + row * in->cols + col;
    for (size_t i = 0; in->forms & QW_FORM_F32 && f32 != x && i < n_rows; i++)
        memcpy(f32 + i * in->cols, x + i * x_stride, n * sizeof *x);
    if (in->forms & QW_FORM_Q8)
        ops->kernels.quantize(&(qw_q8_quantize){ .out = &in->q8,
                                                 .token = row,
                                                 .n_tokens = n_rows,
                                                 .group = col / QW_Q8_GROUP,
                                                 .n_groups = n / QW_Q8_GROUP,
                                                 .x = x,
                                                 .x_stride = x_stride });
    for (size_t i = 0; in->forms & QW_FORM_BF16 && i < n_rows; i++)
        ops->kernels.to_bf16(bf16 + i * in->cols, x + i * x_stride, n);
}

typedef struct input_job {
    qw_ops *ops;
    const qw_input *in;
    const float *x, *w; /* w: of the norm, or NULL */
    float eps;
} input_job;

static void input_rows(void *ctx, size_t begin, size_t end, int worker)
{
    const input_job *j = ctx;
    const qw_ops *ops = j->ops;
    const qw_input *in = j->in;
    for (size_t i = begin; i < end; i++) {
        const float *x = j->x + i * in->cols;
        if (j->w) {
            float *normed = in->forms & QW_FORM_F32 ? in->f32 + i * in->cols : ops->workers[worker].row;
            ops->kernels.rmsnorm(normed, x, j->w, in->cols, j->eps);
            x = normed;
        }
        qw_input_write(ops, in, i, 1, 0, in->cols, x, in->cols);
    }
}

#define ROWS_FLOATS 8192 /* of one piece of work */

void qw_op_input(qw_ops *ops, qw_input *in, const float *x, size_t n, size_t cols, qw_role role, unsigned forms)
{
    QW_TIMED(ops, QW_OP_NORM);
    input_job job = { ops, in, x, NULL, 0 };
    qw_input_shape(in, cols, role, forms);
    qw_parallel_for(ops->pool, n, qw_grain(cols, ROWS_FLOATS), input_rows, &job);
}

void qw_op_norm(qw_ops *ops, qw_input *in, const float *x, const float *w, size_t n, size_t cols, float eps, qw_role role, unsigned forms)
{
    QW_TIMED(ops, QW_OP_NORM);
    input_job job = { ops, in, x, w, eps };
    qw_input_shape(in, cols, role, forms);
    qw_parallel_for(ops->pool, n, qw_grain(cols, ROWS_FLOATS), input_rows, &job);
}

void qw_input_begin(qw_input *in, size_t cols, qw_role role, unsigned forms, size_t piece)
{
    qw_input_shape(in, cols, role, piece % QW_Q8_GROUP && forms & QW_FORM_Q8 ? QW_FORM_F32 : forms);
}

void qw_input_end(qw_ops *ops, qw_input *in, size_t n, qw_role role, unsigned forms)
{
    if (in->forms != forms)
        qw_op_input(ops, in, in->f32, n, in->cols, role, forms | QW_FORM_F32);
}
