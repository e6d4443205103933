/* The image tower (vision.h, docs/model.md section 6): pixels of one picture -> rows that stand among the decoder's embeddings. What grows with the
 * picture is x [N, D] and the keys and values of one layer [N, 2D]; everything else is made for a block of patches and used up at once.
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
    size_t n, D, merged;      /* patches; width; patches that become one token */
    size_t block;             /* patches done at a time: a multiple of `merged` */
    size_t head_dim, quarter; /* of a head: frequencies on each axis */
    float *memory;
    float *x;                     /* [n, D] */
    float *kv;                    /* [n, 2D] keys and values of this layer */
    float *narrow, *wide;         /* [block, D] and [block, widest inner row] */
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
    size_t inner = (size_t)t->m->config->intermediate_size, sides = larger((size_t)t->grid.h, (size_t)t->grid.w);
    size_t wide = larger(larger(inner, t->m->patch.cols), 4 * t->D); /* the MLP; a patch's pixels; four rows of the table */
    float *tap = NULL, *weight = NULL, *places = NULL;
    const piece pieces[] = {
        { &t->x, t->n, t->D },
        { &t->kv, t->n, 2 * t->D },
        { &t->narrow, t->block, t->D },
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

/* Patches of the block that begins at `first`; 0 after the last. */
static size_t block_at(const tower *t, size_t first) { return t->n - first < t->block ? t->n - first : t->block; }

static void embed_patches(tower *t)
{
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        qw_patches_rows(t->wide, t->pixels, t->processor, t->grid, first, n);
        qw_op_linear(t->ops, t->x + first * t->D, &t->m->patch, t->m->patch_b, t->wide, n);
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

/* The layer's normalised input of a block, in t->narrow. */
static void norm_block(tower *t, size_t first, size_t n, const float *w, const float *b)
{
    qw_op_layernorm(t->ops, t->narrow, t->x + first * t->D, w, b, n, t->D, (float)t->m->config->layer_norm_eps);
}

/* cos and sin of a block's patches. */
static void turn_to_block(tower *t, size_t first, size_t n)
{
    qw_vision_places(t->places, t->grid, t->m->config->merge_size, first, n);
    qw_vision_rope(t->cos, t->cos_table, t->places, n, t->quarter);
    qw_vision_rope(t->sin, t->sin_table, t->places, n, t->quarter);
}

static void rotate_block(tower *t, float *heads, size_t n, size_t stride)
{
    qw_op_rope(t->ops, heads, n, t->D / t->head_dim, stride, t->head_dim, t->cos, t->sin, t->head_dim / 2);
}

/* Keys and values of all patches, before any of them changes. */
static void make_keys(tower *t, const qw_vision_block *l)
{
    qw_matrix kv = qw_matrix_rows(&l->qkv, t->D, 2 * t->D);
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        float *out = t->kv + first * 2 * t->D;
        norm_block(t, first, n, l->norm1_w, l->norm1_b);
        qw_op_linear(t->ops, out, &kv, l->qkv_b + t->D, t->narrow, n);
        turn_to_block(t, first, n);
        rotate_block(t, out, n, 2 * t->D);
    }
}

/* out [n, D] = attention of n queries [n, D] over all patches. */
static void attend(tower *t, float *out, const float *q, size_t n)
{
    size_t n_heads = t->D / t->head_dim;
    qw_attention_args a = {
        .out = out,
        .q = q,
        .k = t->kv,
        .v = t->kv + t->D,
        .out_stride = t->D,
        .q_token_stride = t->D,
        .q_head_stride = t->head_dim,
        .kv_token_stride = 2 * t->D,
        .kv_head_stride = t->head_dim,
        .n_queries = n,
        .n_keys = t->n,
        .n_heads = n_heads,
        .n_kv_heads = n_heads,
        .head_dim = t->head_dim,
        .causal = false,
        .scale = 1.0f / sqrtf((float)t->head_dim),
    };
    qw_op_attention(t->ops, &a);
}

static void attention(tower *t, const qw_vision_block *l)
{
    qw_matrix q = qw_matrix_rows(&l->qkv, 0, t->D);
    make_keys(t, l);
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        norm_block(t, first, n, l->norm1_w, l->norm1_b);
        qw_op_linear(t->ops, t->wide, &q, l->qkv_b, t->narrow, n);
        turn_to_block(t, first, n);
        rotate_block(t, t->wide, n, t->D);
        attend(t, t->narrow, t->wide, n);
        qw_op_linear(t->ops, t->wide, &l->proj, l->proj_b, t->narrow, n);
        qw_op_add(t->ops, t->x + first * t->D, t->wide, n * t->D);
    }
}

static void mlp(tower *t, const qw_vision_block *l)
{
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        norm_block(t, first, n, l->norm2_w, l->norm2_b);
        qw_op_linear(t->ops, t->wide, &l->fc1, l->fc1_b, t->narrow, n);
        qw_op_gelu_tanh(t->ops, t->wide, n * l->fc1.rows);
        qw_op_linear(t->ops, t->narrow, &l->fc2, l->fc2_b, t->wide, n);
        qw_op_add(t->ops, t->x + first * t->D, t->narrow, n * t->D);
    }
}

/* Neighbours become one row simply by standing side by side: x [n, D] is also [n / merged, merged * D]. */
static void merge(tower *t, float *rows)
{
    const qw_vision_model *m = t->m;
    for (size_t first = 0, n; (n = block_at(t, first)) > 0; first += n) {
        size_t tokens = n / t->merged;
        qw_op_linear(t->ops, t->wide, &m->fc1, m->fc1_b, t->x + first * t->D, tokens);
        qw_op_gelu_erf(t->ops, t->wide, tokens * m->fc1.rows);
        qw_op_linear(t->ops, rows + first / t->merged * m->fc2.rows, &m->fc2, m->fc2_b, t->wide, tokens);
    }
}

/* ---- the whole way */

static qwren_status report(const tower *t, int step, qwren_error *err)
{
    if (!t->trace || t->trace->fn(t->trace->ctx, step, t->x, t->n))
        return QWREN_OK;
    return qw_fail(err, QWREN_E_CANCELLED, "reading a picture was cancelled");
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
    return QWREN_OK;
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
