/* Matrices times inputs. Rows of all matrices that share an input are cut into pieces that threads take one after the other; what is done to a product (added to
 * the residual stream, silu(gate) * up, the largest logit of a block) is done by the thread that made it, while it is in the cache. Tested by
 * tests/unit/test_ops.c. */
#include "compute/cpu/cpu.h"

#include <math.h>
#include <string.h>

#define TOGETHER 16                  /* rows that are better not parted: kernels take so many at once */
#define PIECE_WORK ((size_t)1 << 19) /* weights times tokens of a piece: some microseconds, against the 0.1 that taking one costs */
#define READ_WORK 4                  /* tokens that a weight costs which is only read */
#define MOST_ROWS 256
#define NEAR_TOKENS 32 /* of a panel: their values stay in the nearest cache until they are codes */

static bool same_rows(const qw_rows_id *a, const qw_rows_id *b)
{
    return a->version && a->version == b->version && a->at == b->at && a->n == b->n;
}

void qw_multiply(const qw_ops *ops, qw_worker *own, float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t rows,
                 const qw_input *in, size_t at, size_t n, bool add)
{
    const qw_rows_id id = { in->version, at, n };
    switch (qw_form_of(ops, w)) {
    case QW_FORM_Q8:
        ops->kernels.matmul_q8[w->type](&(qw_q8_matmul){ .y = y,
                                                         .y_stride = y_stride,
                                                         .w = w,
                                                         .first = first,
                                                         .n_rows = rows,
                                                         .x = &in->q8,
                                                         .first_token = at,
                                                         .n_tokens = n,
                                                         .add = add,
                                                         .ready = same_rows(&own->ready, &id),
                                                         .scratch = own->q8 });
        own->ready = id;
        break;
    case QW_FORM_BF16: ops->kernels.matmul_bf16(y, y_stride, w, first, rows, in->bf16 + at * in->cols, in->cols, n); break;
    default: ops->kernels.matmul[w->type](y, y_stride, w, first, rows, in->f32 + at * in->cols, in->cols, n); break;
    }
}

static void observe(const qw_ops *ops, const qw_matrix *w, const qw_input *in, size_t n)
{
    if (ops->observe)
        ops->observe(ops->observe_ctx, w, in->f32, n);
}

/* ---- several matrices over one input */

typedef struct linears_job {
    const qw_ops *ops;
    const qw_linear *l;
    const qw_input *in;
    size_t n, rows; /* tokens; rows of a piece */
} linears_job;

static size_t pieces_of(const linears_job *j, const qw_matrix *w) { return (w->rows + j->rows - 1) / j->rows; }

/* Whole panels, so many that a piece is worth taking, and so few that all threads have some. */
static size_t rows_of_piece(const qw_ops *ops, size_t all_rows, size_t cols, size_t n)
{
    const size_t share = all_rows / (4 * (size_t)qw_pool_size(ops->pool));
    size_t rows = PIECE_WORK / (cols * (n + READ_WORK));
    rows = rows < share ? rows : share;
    rows = rows < MOST_ROWS ? rows : MOST_ROWS;
    return rows < TOGETHER ? TOGETHER : rows / TOGETHER * TOGETHER;
}

/* y += the product, by way of the tile. */
static void multiply_add(const qw_ops *ops, qw_worker *own, const qw_linear *l, size_t first, size_t rows, const qw_input *in, size_t n)
{
    const size_t most = QW_TILE_FLOATS / rows;
    for (size_t at = 0, k; at < n; at += k) {
        k = n - at < most ? n - at : most;
        qw_multiply(ops, own, own->tile, rows, l->w, first, rows, in, at, k, false);
        for (size_t t = 0; t < k; t++)
            ops->kernels.add(l->y + (at + t) * l->w->rows + first, own->tile + t * rows, rows);
    }
}

static void linear_rows(const linears_job *j, qw_worker *own, const qw_linear *l, size_t first, size_t rows)
{
    const qw_ops *ops = j->ops;
    if (l->add && qw_form_of(ops, l->w) != QW_FORM_Q8)
        multiply_add(ops, own, l, first, rows, j->in, j->n);
    else
        qw_multiply(ops, own, l->y + first, l->w->rows, l->w, first, rows, j->in, 0, j->n, l->add);
    for (size_t t = 0; l->bias && t < j->n; t++)
        ops->kernels.add(l->y + t * l->w->rows + first, l->bias + first, rows);
}

static void linears_pieces(void *ctx, size_t begin, size_t end, int worker)
{
    const linears_job *j = ctx;
    qw_worker *own = j->ops->workers + worker;
    for (size_t piece = begin; piece < end; piece++) {
        const qw_linear *l = j->l;
        size_t k = piece;
        for (; k >= pieces_of(j, l->w); l++)
            k -= pieces_of(j, l->w);
        const size_t first = k * j->rows, left = l->w->rows - first, rows = left < j->rows ? left : j->rows;
        linear_rows(j, own, l, first, rows);
    }
}

void qw_op_linears(qw_ops *ops, const qw_linear *l, size_t n_linears, const qw_input *in, size_t n)
{
    QW_TIMED(ops, l->add ? QW_OP_RESIDUAL : QW_OP_LINEARS);
    size_t rows = 0, pieces = 0;
    for (size_t i = 0; i < n_linears; i++) {
        observe(ops, l[i].w, in, n);
        rows += l[i].w->rows;
    }
    linears_job job = { ops, l, in, n, rows_of_piece(ops, rows, in->cols, n) };
    for (size_t i = 0; i < n_linears; i++)
        pieces += pieces_of(&job, l[i].w);
    qw_parallel_for(ops->pool, pieces, 1, linears_pieces, &job);
}

/* ---- gate and up */

typedef struct gate_up_job {
    const qw_ops *ops;
    const qw_input *out, *in;
    const qw_matrix *gate, *up;
    size_t n;
} gate_up_job;

/* QW_PANEL rows of both, and what becomes of them: columns of the next input. */
static void gate_up_panel(const gate_up_job *j, qw_worker *own, size_t first)
{
    const qw_ops *ops = j->ops;
    const size_t left = j->gate->rows - first, rows = left < QW_PANEL ? left : QW_PANEL;
    float *gate = own->tile, *up = own->tile + QW_TILE_FLOATS / 2;
    for (size_t at = 0, k; at < j->n; at += k) {
        k = j->n - at < QW_TILE_TOKENS ? j->n - at : QW_TILE_TOKENS;
        qw_multiply(ops, own, gate, rows, j->gate, first, rows, j->in, at, k, false);
        qw_multiply(ops, own, up, rows, j->up, first, rows, j->in, at, k, false);
        for (size_t t = 0, m; t < k; t += m) {
            m = k - t < NEAR_TOKENS ? k - t : NEAR_TOKENS;
            ops->kernels.silu_mul(gate + t * rows, gate + t * rows, up + t * rows, m * rows);
            qw_input_write(ops, j->out, at + t, m, first, rows, gate + t * rows, rows);
        }
    }
}

static void gate_up_panels(void *ctx, size_t begin, size_t end, int worker)
{
    const gate_up_job *j = ctx;
    for (size_t i = begin; i < end; i++)
        gate_up_panel(j, j->ops->workers + worker, i * QW_PANEL);
}

void qw_op_gate_up(qw_ops *ops, qw_input *out, const qw_matrix *gate, const qw_matrix *up, const qw_input *in, size_t n, unsigned forms)
{
    QW_TIMED(ops, QW_OP_GATE_UP);
    gate_up_job job = { ops, out, in, gate, up, n };
    observe(ops, gate, in, n);
    observe(ops, up, in, n);
    qw_input_shape(out, gate->rows, QW_ROLE_DOWN, forms);
    qw_parallel_for(ops->pool, (gate->rows + QW_PANEL - 1) / QW_PANEL, 1, gate_up_panels, &job);
}

/* ---- the head */

typedef struct head_job {
    const qw_ops *ops;
    float *const *logits, *const *maxima;
    const qw_matrix *w;
    const qw_input *in;
    size_t first, n; /* rows of the input */
} head_job;

/* NaN when one of them is. */
static float largest(const qw_kernels *k, const float *x, size_t n)
{
    bool nan = false;
    for (size_t i = 0; i < n; i++)
        nan |= x[i] != x[i];
    return nan ? NAN : k->max(x, n);
}

/* A block of the vocabulary for all rows: their logits lie in memory of their own, a kernel's do not. */
static void head_block(const head_job *j, qw_worker *own, size_t block)
{
    const size_t first = block * QW_LOGIT_BLOCK, left = j->w->rows - first, rows = left < QW_LOGIT_BLOCK ? left : QW_LOGIT_BLOCK,
                 most = QW_TILE_FLOATS / QW_LOGIT_BLOCK;
    for (size_t at = 0, k; at < j->n; at += k) {
        k = j->n - at < most ? j->n - at : most;
        qw_multiply(j->ops, own, own->tile, rows, j->w, first, rows, j->in, j->first + at, k, false);
        for (size_t t = 0; t < k; t++) {
            memcpy(j->logits[at + t] + first, own->tile + t * rows, rows * sizeof *own->tile);
            if (j->maxima)
                j->maxima[at + t][block] = largest(&j->ops->kernels, own->tile + t * rows, rows);
        }
    }
}

static void head_blocks(void *ctx, size_t begin, size_t end, int worker)
{
    const head_job *j = ctx;
    for (size_t i = begin; i < end; i++)
        head_block(j, j->ops->workers + worker, i);
}

void qw_op_head(qw_ops *ops, float *const *logits, float *const *maxima, const qw_matrix *w, const qw_input *in, size_t first, size_t n)
{
    QW_TIMED(ops, QW_OP_HEAD);
    head_job job = { ops, logits, maxima, w, in, first, n };
    if (ops->observe)
        ops->observe(ops->observe_ctx, w, in->f32 + first * in->cols, n);
    qw_parallel_for(ops->pool, qw_logit_blocks(w->rows), 1, head_blocks, &job);
}
