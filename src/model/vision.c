/* The image tower (vision.h, docs/model.md section 6): pixels of one picture -> rows that stand among the decoder's embeddings. What grows
 * with the picture is x [N, D] and the keys and values of one layer; everything else is made for a block of patches and used up at once.
 * Tested by tests/golden/test_vision.c, stage by stage, and with the decoder by tests/golden/test_vision_prompts.c. */
#include "model/vision.h"

#include "base/alloc.h"
#include "model/vision_pos.h"

#include <math.h>

#define BLOCK_PATCHES 512

/* One pass over one picture. Arrays are float, in one piece of memory. */
typedef struct tower {
    qw_ops *ops;
    const qw_vision_model *m;
    const qw_patch_config *processor;
    const qw_vision_trace *trace;
    const qw_pixels *pixels;
    qw_grid grid;
    bool stopped;
    size_t n, D, merged;      /* patches; width; patches that become one token */
    size_t block;             /* patches done at a time: a multiple of `merged` */
    size_t head_dim, quarter; /* of a head: frequencies on each axis */
    float *memory;
    float *x;                     /* [n, D] */
    float *cache;                 /* keys and values of this layer */
    float *wide;                  /* [block, widest row that is no input] */
    qw_input in, mid;             /* [block] what matrices read: rows of the picture, and what stands between two matrices */
    float *cos_table, *sin_table; /* [longer side of the grid, quarter] */
    float *cos, *sin;             /* [block, 2 * quarter] */
    float (*weight)[4];           /* [block] taps of the learned positions */
    int32_t (*tap)[4];
    qw_vision_place *places; /* [block] */
} tower;

/* ---- checks and memory */

static qwren_status check_picture(const tower *t, qwren_error *err)
{
    const qw_pixels *p = t->pixels;
    qw_grid g = t->grid;
    int merge = t->m->config->merge_size, side = t->m->config->patch_size;
    if (g.t != 1 || g.h <= 0 || g.w <= 0 || g.h % merge || g.w % merge)
        return qw_fail(err, QWREN_E_ARGUMENT,
                       "a grid of %d x %d x %d patches is no picture: it needs one frame and sides that are multiples of %d", g.t, g.h, g.w,
                       merge);
    if (p->height % side || p->width % side || p->height / side != g.h || p->width / side != g.w)
        return qw_fail(err, QWREN_E_ARGUMENT,
                       "a picture of %d x %d pixels does not fill %d x %d patches of %d pixels: resize it to the grid first", p->width,
                       p->height, g.w, g.h, side);
    return QWREN_OK;
}

static qwren_status check_processor(const tower *t, qwren_error *err)
{
    const qw_vision_config *c = t->m->config;
    const qw_patch_config *p = t->processor;
    if (qw_patch_length(p) == t->m->patch.cols && p->patch_size == c->patch_size && p->merge_size == c->merge_size)
        return QWREN_OK;
    return qw_fail(err, QWREN_E_ARGUMENT,
                   "the tower takes patches of %zu values (side %d, merged by %d), not of %zu (side %d, merged by %d): config.json and "
                   "preprocessor_config.json must agree",
                   t->m->patch.cols, c->patch_size, c->merge_size, qw_patch_length(p), p->patch_size, p->merge_size);
}

static size_t larger(size_t a, size_t b) { return a > b ? a : b; }

typedef struct piece {
    float **at;
    size_t rows, width;
} piece;

/* One aligned piece of memory, cut up. */
static qwren_status take(tower *t, const piece *pieces, size_t n_pieces, qwren_error *err)
{
    size_t total = 0, floats, bytes;
    bool fits = true;
    for (size_t i = 0; i < n_pieces; i++)
        fits = fits && qw_mul_size(pieces[i].rows, pieces[i].width, &floats) && qw_add_size(total, floats, &total);
    if (!fits || !qw_mul_size(total, sizeof(float), &bytes))
        return qw_fail(err, QWREN_E_LIMIT, "a picture of %d x %d patches is too large for this machine: make it smaller", t->grid.w,
                       t->grid.h);
    t->memory = qw_alloc_aligned(bytes);
    if (!t->memory)
        return qw_fail(err, QWREN_E_MEMORY,
                       "not enough memory: %zu bytes for a picture of %d x %d patches in the image tower; make it smaller", bytes,
                       t->grid.w, t->grid.h);
    float *next = t->memory;
    for (size_t i = 0; i < n_pieces; i++) {
        *pieces[i].at = next;
        next += pieces[i].rows * pieces[i].width;
    }
    return QWREN_OK;
}

static qwren_status tower_take_memory(tower *t, qwren_error *err)
{
    const size_t sides = larger((size_t)t->grid.h, (size_t)t->grid.w), heads = t->D / t->head_dim;
    const size_t wide = larger(t->m->patch.cols, 4 * t->D); /* a patch's pixels; four rows of the table */
    const size_t in = larger(t->m->patch.cols, t->D), mid = larger(t->m->fc1.rows, (size_t)t->m->config->intermediate_size);
    float *tap = NULL, *weight = NULL, *places = NULL, *in_block = NULL, *mid_block = NULL;
    const piece pieces[] = {
        { &t->cache, heads, qw_op_tower_cache(t->ops, t->head_dim, t->n) / sizeof(float) },
        { &in_block, 1, qw_input_bytes(t->block, in) / sizeof(float) },
        { &mid_block, 1, qw_input_bytes(t->block, mid) / sizeof(float) },
        { &t->x, t->n, t->D },
        { &t->wide, t->block, wide },
        { &t->cos_table, sides, t->quarter },
        { &t->sin_table, sides, t->quarter },
        { &t->cos, t->block, 2 * t->quarter },
        { &t->sin, t->block, 2 * t->quarter },
        { &weight, t->block, 4 },
        { &tap, t->block, sizeof *t->tap / sizeof(float) },
        { &places, t->block, sizeof *t->places / sizeof(float) },
    };
    QW_TRY(take(t, pieces, sizeof pieces / sizeof *pieces, err));
    qw_input_init(&t->in, in_block, t->block, in);
    qw_input_init(&t->mid, mid_block, t->block, mid);
    t->weight = (float(*)[4])weight;
    t->tap = (int32_t(*)[4])(void *)tap;
    t->places = (qw_vision_place *)(void *)places;
    return QWREN_OK;
}

static qwren_status tower_init(tower *t, qwren_error *err)
{
    const qw_vision_config *c = t->m->config;
    QW_TRY(check_picture(t, err));
    QW_TRY(check_processor(t, err));
    t->D = (size_t)c->hidden_size;
    t->head_dim = t->D / (size_t)c->n_heads;
    t->quarter = t->head_dim / 4;
    t->n = (size_t)t->grid.h * (size_t)t->grid.w; /* fits: the pixels are in memory */
    t->merged = (size_t)c->merge_size * (size_t)c->merge_size;
    t->block = larger(BLOCK_PATCHES / t->merged, 1) * t->merged;
    QW_TRY(tower_take_memory(t, err));
    qw_vision_angles(t->cos_table, t->sin_table, larger((size_t)t->grid.h, (size_t)t->grid.w), t->quarter, c->rope_theta);
    return QWREN_OK;
}

/* ---- the steps, block by block */

/* Patches of the block that begins at `first`; 0 after the last, or when nobody waits for the rest. */
static size_t block_at(tower *t, size_t first)
{
    if (first && t->trace && t->trace->poll && !t->stopped)
        t->stopped = !t->trace->poll(t->trace->ctx);
    return t->stopped ? 0 : t->n - first < t->block ? t->n - first : t->block;
}

/* y (+)= w in + bias for n rows of an input */
static void multiply(tower *t, float *y, const qw_matrix *w, const float *bias, bool add, const qw_input *in, size_t n)
{
    qw_op_linears(t->ops, &(qw_linear){ .y = y, .w = w, .bias = bias, .add = add }, 1, in, n);
}

static void embed_patches(tower *t)
{
    const qw_matrix *w = &t->m->patch;
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        qw_patches_rows(t->wide, t->pixels, t->processor, t->grid, first, n);
        qw_op_input(t->ops, &t->in, t->wide, n, w->cols, QW_ROLE_NORMED, qw_op_forms(t->ops, w, NULL));
        multiply(t, t->x + first * t->D, w, t->m->patch_b, false, &t->in, n);
    }
}

/* x [D] += four rows, weighted */
static void add_rows(float *x, const float *rows, const float weight[4], size_t D)
{
    for (size_t i = 0; i < D; i++)
        x[i] += rows[i] * weight[0] + rows[D + i] * weight[1] + rows[2 * D + i] * weight[2] + rows[3 * D + i] * weight[3];
}

static void add_positions(tower *t)
{
    int merge = t->m->config->merge_size, side = (int)lrint(sqrt((double)t->m->config->n_positions));
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        qw_vision_places(t->places, t->grid, merge, first, n);
        qw_vision_taps(t->tap, t->weight, t->places, n, t->grid, side);
        qw_op_embed(t->ops, t->wide, &t->m->pos, t->tap[0], 4 * n);
        for (size_t i = 0; i < n; i++)
            add_rows(t->x + (first + i) * t->D, t->wide + i * 4 * t->D, t->weight[i], t->D);
    }
}

/* The normalised input of a matrix for a block. */
static void norm_block(tower *t, size_t first, size_t n, const float *w, const float *b, const qw_matrix *reader)
{
    qw_op_layernorm_input(t->ops, &t->in, t->x + first * t->D, w, b, n, t->D, (float)t->m->config->layer_norm_eps,
                          qw_op_forms(t->ops, reader, NULL));
}

/* Attention of a block's patches, with their cos and sin. */
static qw_tower_attention attention_of(tower *t, size_t first, size_t n)
{
    qw_vision_places(t->places, t->grid, t->m->config->merge_size, first, n);
    qw_vision_rope(t->cos, t->cos_table, t->places, n, t->quarter);
    qw_vision_rope(t->sin, t->sin_table, t->places, n, t->quarter);
    return (qw_tower_attention){
        .cache = t->cache, .n = t->n, .n_heads = t->D / t->head_dim, .head_dim = t->head_dim, .cos = t->cos, .sin = t->sin
    };
}

/* Keys and values of all patches, before any of them changes. */
static void remember(tower *t, const qw_vision_block *l)
{
    const qw_matrix kv = qw_matrix_rows(&l->qkv, t->D, 2 * t->D);
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        const qw_tower_attention a = attention_of(t, first, n);
        norm_block(t, first, n, l->norm1_w, l->norm1_b, &kv);
        multiply(t, t->wide, &kv, l->qkv_b + t->D, false, &t->in, n);
        qw_op_tower_remember(t->ops, &a, t->wide, first, n);
    }
}

static void attention(tower *t, const qw_vision_block *l)
{
    const qw_matrix q = qw_matrix_rows(&l->qkv, 0, t->D);
    remember(t, l);
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        const qw_tower_attention a = attention_of(t, first, n);
        norm_block(t, first, n, l->norm1_w, l->norm1_b, &q);
        multiply(t, t->wide, &q, l->qkv_b, false, &t->in, n);
        qw_op_tower_attend(t->ops, &a, &t->mid, t->wide, n, qw_op_forms(t->ops, &l->proj, NULL));
        multiply(t, t->x + first * t->D, &l->proj, l->proj_b, true, &t->mid, n);
    }
}

static void mlp(tower *t, const qw_vision_block *l)
{
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        norm_block(t, first, n, l->norm2_w, l->norm2_b, &l->fc1);
        qw_op_linear_gelu(t->ops, &t->mid, &l->fc1, l->fc1_b, QW_GELU_TANH, &t->in, n, qw_op_forms(t->ops, &l->fc2, NULL));
        multiply(t, t->x + first * t->D, &l->fc2, l->fc2_b, true, &t->mid, n);
    }
}

/* Neighbours become one row simply by standing side by side: x [n, D] is also [n / merged, merged * D]. */
static void merge(tower *t, float *rows)
{
    const qw_vision_model *m = t->m;
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        const size_t tokens = n / t->merged;
        qw_op_input(t->ops, &t->in, t->x + first * t->D, tokens, m->fc1.cols, QW_ROLE_NORMED, qw_op_forms(t->ops, &m->fc1, NULL));
        qw_op_linear_gelu(t->ops, &t->mid, &m->fc1, m->fc1_b, QW_GELU_ERF, &t->in, tokens, qw_op_forms(t->ops, &m->fc2, NULL));
        multiply(t, rows + first / t->merged * m->fc2.rows, &m->fc2, m->fc2_b, false, &t->mid, tokens);
    }
}

/* ---- the whole way */

static qwren_status check_stopped(const tower *t, qwren_error *err)
{
    return t->stopped ? qw_fail(err, QWREN_E_CANCELLED, "reading a picture was cancelled") : QWREN_OK;
}

static qwren_status report(tower *t, int step, qwren_error *err)
{
    if (!t->stopped && t->trace)
        t->stopped = !t->trace->fn(t->trace->ctx, step, t->x, t->n);
    return check_stopped(t, err);
}

static qwren_status tower_run(tower *t, float *rows, qwren_error *err)
{
    const qw_vision_model *m = t->m;
    embed_patches(t);
    QW_TRY(report(t, 0, err));
    add_positions(t);
    QW_TRY(report(t, 1, err));
    for (int i = 0; i < m->config->depth; i++) {
        attention(t, &m->blocks[i]);
        mlp(t, &m->blocks[i]);
        QW_TRY(report(t, 2 + i, err));
    }
    qw_op_layernorm(t->ops, t->x, t->x, m->norm_w, m->norm_b, t->n, t->D, (float)m->config->layer_norm_eps);
    QW_TRY(report(t, 2 + m->config->depth, err));
    merge(t, rows);
    return check_stopped(t, err);
}

void qw_vision_needs(const qw_vision_config *c, qw_ops_needs *needs)
{
    const size_t merged = (size_t)c->merge_size * (size_t)c->merge_size * (size_t)c->hidden_size, inner = (size_t)c->intermediate_size;
    const size_t patch = (size_t)c->in_channels * (size_t)c->temporal_patch_size * (size_t)c->patch_size * (size_t)c->patch_size;
    needs->cols = larger(needs->cols, larger(patch, larger(merged, inner)));
    needs->head_dim = larger(needs->head_dim, (size_t)c->hidden_size / (size_t)c->n_heads);
}

qwren_status qw_vision_forward(qw_ops *ops, const qw_vision_model *m, const qw_patch_config *processor, const qw_pixels *pixels,
                               qw_grid grid, const qw_vision_trace *trace, float **rows, size_t *n_rows, qwren_error *err)
{
    tower t = { .ops = ops, .m = m, .processor = processor, .trace = trace, .pixels = pixels, .grid = grid };
    *rows = NULL;
    *n_rows = 0;
    QW_TRY(tower_init(&t, err));
    size_t n = t.n / t.merged, row_bytes = m->fc2.rows * sizeof **rows;
    float *out = qw_alloc_array(n, row_bytes);
    qwren_status st = out ? tower_run(&t, out, err) : qw_fail_memory(err, n * row_bytes, "the rows of a picture");
    qw_free_aligned(t.memory);
    if (st != QWREN_OK) {
        qw_free(out);
        return st;
    }
    *rows = out;
    *n_rows = n;
    return QWREN_OK;
}
