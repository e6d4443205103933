/* What the image tower does around its matrices: layernorm and gelu on the way into an input, and attention of all patches to all. Its keys and values stand in
 * a cache as the decoder's do (kernels/kv.h), in bf16 where the processor multiplies that and exact arithmetic is not asked for. Tested by tests/golden/test_vision.c. */
#include "compute/cpu/cpu.h"

#include <math.h>

#define ROWS_FLOATS 8192       /* of one piece of work */
#define PIECE 64               /* positions of one piece of work; whole blocks of the cache, for two threads must not write one */
#define TILE QW_ATTEND_QUERIES /* queries that read keys and values together */
#define TILES_OF(n) (((n) + TILE - 1) / TILE)

/* ---- layernorm */

typedef struct layernorm_job {
    const qw_ops *ops;
    const qw_input *in;
    const float *x, *w, *b;
    float eps;
} layernorm_job;

static void layernorm_rows(void *ctx, size_t begin, size_t end, int worker)
{
    const layernorm_job *j = ctx;
    const qw_input *in = j->in;
    for (size_t i = begin; i < end; i++) {
        float *normed = in->forms & QW_FORM_F32 ? in->f32 + i * in->cols : j->ops->workers[worker].row;
        j->ops->kernels.layernorm(normed, j->x + i * in->cols, j->w, j->b, in->cols, j->eps);
        qw_input_write(j->ops, in, i, 1, 0, in->cols, normed, in->cols);
    }
}

void qw_op_layernorm_input(qw_ops *ops, qw_input *in, const float *x, const float *w, const float *b, size_t n, size_t cols, float eps,
                           unsigned forms)
{
    QW_TIMED(ops, QW_OP_NORM);
    layernorm_job job = { ops, in, x, w, b, eps };
    qw_input_shape(in, cols, QW_ROLE_NORMED, forms);
    qw_parallel_for(ops->pool, n, qw_grain(cols, ROWS_FLOATS), layernorm_rows, &job);
}

/* ---- gelu */

typedef struct gelu_job {
    const qw_ops *ops;
    const qw_input *out, *in;
    const qw_matrix *w;
    const float *bias;
    void (*gelu)(float *x, size_t n);
    size_t n;
} gelu_job;

/* QW_PANEL rows of the matrix, and what becomes of them: columns of the next input. */
static void gelu_panels(void *ctx, size_t begin, size_t end, int worker)
{
    const gelu_job *j = ctx;
    qw_worker *own = j->ops->workers + worker;
    for (size_t panel = begin; panel < end; panel++) {
        const size_t first = panel * QW_PANEL, left = j->w->rows - first, rows = left < QW_PANEL ? left : QW_PANEL;
        for (size_t at = 0, k; at < j->n; at += k) {
            k = j->n - at < QW_TILE_TOKENS ? j->n - at : QW_TILE_TOKENS;
            qw_multiply(j->ops, own, own->tile, rows, j->w, first, rows, j->in, at, k, false);
            for (size_t t = 0; t < k; t++)
                j->ops->kernels.add(own->tile + t * rows, j->bias + first, rows);
            j->gelu(own->tile, k * rows);
            qw_input_write(j->ops, j->out, at, k, first, rows, own->tile, rows);
        }
    }
}

void qw_op_linear_gelu(qw_ops *ops, qw_input *out, const qw_matrix *w, const float *bias, qw_gelu gelu, const qw_input *in, size_t n,
                       unsigned forms)
{
    QW_TIMED(ops, QW_OP_GATE_UP);
    gelu_job job = { ops, out, in, w, bias, gelu == QW_GELU_TANH ? ops->kernels.gelu_tanh : ops->kernels.gelu_erf, n };
    if (ops->observe)
        ops->observe(ops->observe_ctx, w, in->f32, n);
    qw_input_shape(out, w->rows, QW_ROLE_DOWN, forms);
    qw_parallel_for(ops->pool, (w->rows + QW_PANEL - 1) / QW_PANEL, 1, gelu_panels, &job);
}

/* ---- attention */

static qw_kv_type cache_type(const qw_ops *ops)
{
    return ops->arithmetic == QWREN_ARITHMETIC_DEFAULT && ops->kernels.attend[QW_KV_PAIRS] ? QW_KV_PAIRS : QW_KV_F32;
}

size_t qw_op_tower_cache(const qw_ops *ops, size_t head_dim, size_t n) { return qw_kv_bytes(cache_type(ops), head_dim, n); }

typedef struct patches_job {
    const qw_ops *ops;
    const qw_tower_attention *a;
    float *x; /* keys and values, or queries */
    const qw_input *out;
    size_t first, n;
} patches_job;

static qw_kv cache_of(const patches_job *j, size_t head)
{
    const size_t bytes = qw_op_tower_cache(j->ops, j->a->head_dim, j->a->n);
    return (qw_kv){ .type = cache_type(j->ops), .head_dim = j->a->head_dim, .data = (char *)j->a->cache + head * bytes };
}

/* Item: the positions of a piece of the picture for one head. */
static void remember_items(void *ctx, size_t begin, size_t end, int worker)
{
    const patches_job *j = ctx;
    const qw_tower_attention *a = j->a;
    const size_t row = 2 * a->n_heads * a->head_dim;
    for (size_t item = begin; item < end; item++) {
        const size_t head = item % a->n_heads, from = (j->first / PIECE + item / a->n_heads) * PIECE,
                     at = from > j->first ? from : j->first, last = j->first + j->n, stop = from + PIECE < last ? from + PIECE : last;
        float *k = j->x + (at - j->first) * row + head * a->head_dim;
        const qw_kv cache = cache_of(j, head);
        for (size_t t = 0; t < stop - at; t++)
            j->ops->kernels.rope(k + t * row, a->cos + (at - j->first + t) * a->head_dim / 2,
                                 a->sin + (at - j->first + t) * a->head_dim / 2, a->head_dim / 2);
        j->ops->kernels.kv_append[cache.type](
            &(qw_kv_append_args){ .kv = &cache, .pos = at, .n = stop - at, .k = k, .v = k + row / 2, .k_stride = row, .v_stride = row });
    }
    (void)worker;
}

void qw_op_tower_remember(qw_ops *ops, const qw_tower_attention *a, float *kv, size_t first, size_t n)
{
    QW_TIMED(ops, QW_OP_ATTENTION);
    patches_job job = { ops, a, kv, NULL, first, n };
    const size_t pieces = (first + n - 1) / PIECE - first / PIECE + 1;
    qw_parallel_for(ops->pool, pieces * a->n_heads, 1, remember_items, &job);
}

/* Item: a tile of queries of one head. */
static void attend_tiles(void *ctx, size_t begin, size_t end, int worker)
{
    const patches_job *j = ctx;
    const qw_tower_attention *a = j->a;
    qw_worker *own = j->ops->workers + worker;
    const size_t row = a->n_heads * a->head_dim, half = a->head_dim / 2;
    for (size_t item = begin; item < end; item++) {
        const size_t head = item / TILES_OF(j->n), first = item % TILES_OF(j->n) * TILE, left = j->n - first, n = left < TILE ? left : TILE;
        float *q = j->x + first * row + head * a->head_dim;
        const qw_kv cache = cache_of(j, head);
        for (size_t t = 0; t < n; t++)
            j->ops->kernels.rope(q + t * row, a->cos + (first + t) * half, a->sin + (first + t) * half, half);
        j->ops->kernels.attend[cache.type](&(qw_attend_args){ .kv = &cache,
                                                              .q = q,
                                                              .out = own->queries,
                                                              .q_token_stride = row,
                                                              .out_token_stride = a->head_dim,
                                                              .n_tokens = n,
                                                              .n_heads = 1,
                                                              .n_keys = a->n,
                                                              .scale = 1.0F / sqrtf((float)a->head_dim),
                                                              .scratch = own->attend });
        qw_input_write(j->ops, j->out, first, n, head * a->head_dim, a->head_dim, own->queries, a->head_dim);
    }
}

void qw_op_tower_attend(qw_ops *ops, const qw_tower_attention *a, qw_input *out, float *q, size_t n, unsigned forms)
{
    QW_TIMED(ops, QW_OP_ATTENTION);
    patches_job job = { ops, a, q, out, 0, n };
    qw_input_begin(out, a->n_heads * a->head_dim, QW_ROLE_MIXED, forms, a->head_dim);
    qw_parallel_for(ops->pool, a->n_heads * TILES_OF(n), 1, attend_tiles, &job);
    qw_input_end(ops, out, n, QW_ROLE_MIXED, forms);
}
