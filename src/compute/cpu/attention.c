/* Attention of the decoder between its projections. First the keys and values of all rows go into their timelines' caches; then one item of work is a tile of queries
 * that read one K/V head: their norm and rotation, the attention itself, the gate, and the input of `o` that comes out. Few queries over many keys are cut by
 * the keys' splits instead, and a second loop merges; kernels/kv.h promises the same bits. Tested by tests/unit/test_ops.c and tests/golden/test_ops.c. */
#include "compute/cpu/cpu.h"

#include <math.h>

#define PIECE 64 /* positions of one piece of work; whole blocks of the cache, for two threads must not write one */

typedef struct attention_job {
    const qw_ops *ops;
    const qw_attention_op_args *a;
    size_t group;      /* query heads of a K/V head */
    size_t tile;       /* tokens of a tile of queries */
    size_t max_splits; /* of any segment */
} attention_job;

static attention_job job_of(const qw_ops *ops, const qw_attention_op_args *a)
{
    attention_job j = { .ops = ops, .a = a, .group = a->n_heads / a->n_kv_heads };
    j.tile = j.group < QW_ATTEND_QUERIES ? QW_ATTEND_QUERIES / j.group : 1;
    for (size_t i = 0; i < a->n_segments; i++) {
        const size_t splits = qw_attend_splits(a->segments[i].start + a->segments[i].n);
        j.max_splits = splits > j.max_splits ? splits : j.max_splits;
    }
    return j;
}

static qw_kv cache_of(const qw_attention_op_args *a, const qw_attention_segment *s, size_t kv_head)
{
    const size_t before = kv_head * qw_kv_bytes(s->type, a->head_dim, s->pages ? QW_KV_PAGE : s->capacity);
    if (s->pages)
        return (qw_kv){ .type = s->type, .head_dim = a->head_dim, .pages = s->pages, .offset = s->offset + before };
    return (qw_kv){ .type = s->type, .head_dim = a->head_dim, .data = (char *)s->cache + before };
}

/* floats of qw_worker.queries: a tile of them */
size_t qw_query_floats(const qw_ops_needs *needs)
{
    const size_t group = needs->heads_per_kv > QW_ATTEND_QUERIES ? needs->heads_per_kv : QW_ATTEND_QUERIES;
    return group * needs->head_dim;
}

/* ---- keys and values */

static size_t pieces_of(const qw_attention_segment *s) { return (s->start + s->n - 1) / PIECE - s->start / PIECE + 1; }

/* Positions of piece `i` of a segment: norm and rotation in place, then into the cache. */
static void remember(const attention_job *j, const qw_attention_segment *s, size_t i, size_t kv_head)
{
    const qw_attention_op_args *a = j->a;
    const qw_kernels *k = &j->ops->kernels;
    const size_t row = a->n_kv_heads * a->head_dim, from = (s->start / PIECE + i) * PIECE, begin = from > s->start ? from : s->start,
                 end = from + PIECE < s->start + s->n ? from + PIECE : s->start + s->n, first = s->first + begin - s->start;
    const qw_kv cache = cache_of(a, s, kv_head);
    for (size_t t = first; t < first + end - begin; t++) {
        float *key = a->k + t * row + kv_head * a->head_dim;
        k->rmsnorm(key, key, a->k_norm, a->head_dim, a->eps);
        k->rope(key, a->cos + t * a->half, a->sin + t * a->half, a->half);
    }
    k->kv_append[s->type](&(qw_kv_append_args){ .kv = &cache,
                                                .pos = begin,
                                                .n = end - begin,
                                                .k = a->k + first * row + kv_head * a->head_dim,
                                                .v = a->v + first * row + kv_head * a->head_dim,
                                                .k_stride = row,
                                                .v_stride = row });
}

static void remember_items(void *ctx, size_t begin, size_t end, int worker)
{
    const attention_job *j = ctx;
    for (size_t item = begin; item < end; item++) {
        const qw_attention_segment *s = j->a->segments;
        size_t i = item / j->a->n_kv_heads;
        for (; i >= pieces_of(s); s++)
            i -= pieces_of(s);
        remember(j, s, i, item % j->a->n_kv_heads);
    }
    (void)worker;
}

void qw_op_remember(qw_ops *ops, const qw_attention_op_args *a)
{
    QW_TIMED(ops, QW_OP_ATTENTION);
    attention_job job = job_of(ops, a);
    size_t pieces = 0, rows = 0;
    for (size_t i = 0; i < a->n_segments; i++) {
        pieces += pieces_of(&a->segments[i]);
        rows += a->segments[i].n;
    }
    const size_t items = pieces * a->n_kv_heads;
    qw_parallel_for(ops->pool, items, rows <= QW_KV_BLOCK ? items : 1, remember_items,
                    &job); /* a few rows are not worth waking anybody for */
}

/* ---- queries */

/* Queries of tokens [t, t + n) of a segment that read a K/V head -> [n, group, head_dim] of the thread's own. */
static void prepare(const attention_job *j, float *out, const qw_attention_segment *s, size_t t, size_t n, size_t kv_head)
{
    const qw_attention_op_args *a = j->a;
    const qw_kernels *k = &j->ops->kernels;
    for (size_t i = 0; i < n * j->group; i++, out += a->head_dim) {
        const size_t row = s->first_query + t + i / j->group, head = kv_head * j->group + i % j->group;
        k->rmsnorm(out, a->q + (row * a->n_heads + head) * 2 * a->head_dim, a->q_norm, a->head_dim, a->eps);
        k->rope(out, a->cos + row * a->half, a->sin + row * a->half, a->half);
    }
}

/* The gate of a head of a row, and where its result goes. */
static void deliver(const attention_job *j, float *result, size_t row, size_t head)
{
    const qw_attention_op_args *a = j->a;
    j->ops->kernels.sigmoid_mul(result, a->q + (row * a->n_heads + head) * 2 * a->head_dim + a->head_dim, a->head_dim);
    qw_input_write(j->ops, a->out, row, 1, head * a->head_dim, a->head_dim, result, a->head_dim);
}

/* Tokens [t, t + n) of a segment over its cache, results in place of the queries. */
static qw_attend_args attend_args(const attention_job *j, const qw_worker *own, const qw_kv *cache, const qw_attention_segment *s, size_t t,
                                  size_t n)
{
    const size_t hd = j->a->head_dim;
    return (qw_attend_args){ .kv = cache,
                             .q = own->queries,
                             .out = own->queries,
                             .q_token_stride = j->group * hd,
                             .q_head_stride = hd,
                             .out_token_stride = j->group * hd,
                             .out_head_stride = hd,
                             .n_tokens = n,
                             .n_heads = j->group,
                             .n_keys = s->start + s->n - s->n_queries + t + 1,
                             .key_step = 1,
                             .scale = 1.0F / sqrtf((float)hd),
                             .scratch = own->attend };
}

/* ---- tiles of queries */

static size_t tiles_of(const attention_job *j, const qw_attention_segment *s) { return (s->n_queries + j->tile - 1) / j->tile; }

static void attend_tile(const attention_job *j, const qw_worker *own, const qw_attention_segment *s, size_t tile, size_t kv_head)
{
    const size_t t = tile * j->tile, left = s->n_queries - t, n = left < j->tile ? left : j->tile;
    const qw_kv cache = cache_of(j->a, s, kv_head);
    const qw_attend_args args = attend_args(j, own, &cache, s, t, n);
    prepare(j, own->queries, s, t, n, kv_head);
    j->ops->kernels.attend[s->type](&args);
    for (size_t i = 0; i < n * j->group; i++)
        deliver(j, own->queries + i * j->a->head_dim, s->first_query + t + i / j->group, kv_head * j->group + i % j->group);
}

/* The last tiles see most keys: they come first, so that threads finish together. */
static void attend_tiles(void *ctx, size_t begin, size_t end, int worker)
{
    const attention_job *j = ctx;
    for (size_t item = begin; item < end; item++) {
        const qw_attention_segment *s = j->a->segments;
        size_t i = item / j->a->n_kv_heads;
        for (; i >= tiles_of(j, s); s++)
            i -= tiles_of(j, s);
        attend_tile(j, j->ops->workers + worker, s, tiles_of(j, s) - 1 - i, item % j->a->n_kv_heads);
    }
}

/* ---- splits of keys, one token for each segment: parts [segment][K/V head][split][query head of it] */

#define TURNS 16     /* of a thread: the one that comes last keeps the others waiting for no longer than one */
#define FEW_SPLITS 8 /* fewer are merged in the time that waking somebody takes */

static float *part_of(const attention_job *j, size_t segment, size_t kv_head, size_t split)
{
    return j->a->parts +
           (((segment * j->a->n_kv_heads + kv_head) * j->max_splits + split) * j->group) * qw_attend_part_floats(j->a->head_dim);
}

/* Splits [split, split + n) of a head. */
static void attend_run(const attention_job *j, const qw_worker *own, size_t segment, size_t kv_head, size_t split, size_t n)
{
    const qw_attention_segment *s = &j->a->segments[segment];
    const size_t all = qw_attend_splits(s->start + s->n);
    if (split >= all)
        return;
    const qw_kv cache = cache_of(j->a, s, kv_head);
    const qw_attend_args args = attend_args(j, own, &cache, s, 0, 1);
    prepare(j, own->queries, s, 0, 1, kv_head);
    j->ops->kernels.attend_splits[s->type](&args, split, split + n < all ? n : all - split, part_of(j, segment, kv_head, split),
                                           j->group * qw_attend_part_floats(j->a->head_dim));
}

/* Those of a head follow each other, so that what a kernel fetches ahead is mostly its thread's own. */
static void attend_splits(void *ctx, size_t begin, size_t end, int worker)
{
    const attention_job *j = ctx;
    for (size_t item = begin, n; item < end; item += n) {
        const size_t head = item / j->max_splits, split = item % j->max_splits;
        n = end - item < j->max_splits - split ? end - item : j->max_splits - split;
        attend_run(j, j->ops->workers + worker, head / j->a->n_kv_heads, head % j->a->n_kv_heads, split, n);
    }
}

static void merge_heads(void *ctx, size_t begin, size_t end, int worker)
{
    const attention_job *j = ctx;
    const size_t floats = qw_attend_part_floats(j->a->head_dim);
    float *result = j->ops->workers[worker].queries;
    for (size_t item = begin; item < end; item++) {
        const size_t segment = item / j->a->n_heads, head = item % j->a->n_heads;
        const qw_attention_segment *s = &j->a->segments[segment];
        j->ops->kernels.attend_merge(result, j->a->head_dim, part_of(j, segment, head / j->group, 0) + head % j->group * floats,
                                     j->group * floats, qw_attend_splits(s->start + s->n));
        deliver(j, result, s->first_query, head);
    }
}

size_t qw_attention_parts(size_t n_heads, size_t head_dim, size_t n_keys)
{
    const size_t splits = qw_attend_splits(n_keys);
    return splits > 1 ? n_heads * splits * qw_attend_part_floats(head_dim) : 0;
}

/* Whether splits keep the threads busier than tiles would. */
static bool worth_splitting(const qw_ops *ops, const attention_job *j)
{
    const qw_attention_op_args *a = j->a;
    for (size_t i = 0; i < a->n_segments; i++)
        if (a->segments[i].n_queries != 1)
            return false;
    return qw_pool_size(ops->pool) > 1 && j->max_splits > 1 &&
           a->n_segments * a->n_heads * j->max_splits * qw_attend_part_floats(a->head_dim) <= a->n_parts;
}

void qw_op_attend(qw_ops *ops, const qw_attention_op_args *a)
{
    QW_TIMED(ops, QW_OP_ATTENTION);
    attention_job job = job_of(ops, a);
    size_t tiles = 0, rows = 0;
    for (size_t i = 0; i < a->n_segments; i++) {
        tiles += tiles_of(&job, &a->segments[i]);
        rows += a->segments[i].n_queries;
    }
    qw_input_begin(a->out, a->n_heads * a->head_dim, QW_ROLE_MIXED, a->forms, a->head_dim);
    if (worth_splitting(ops, &job)) {
        const size_t items = a->n_segments * job.max_splits * a->n_kv_heads;
        qw_parallel_for(ops->pool, items, 1 + items / ((size_t)qw_pool_size(ops->pool) * TURNS), attend_splits, &job);
        qw_parallel_for(ops->pool, a->n_segments * a->n_heads, job.max_splits < FEW_SPLITS ? a->n_heads : 1, merge_heads, &job);
    } else {
        qw_parallel_for(ops->pool, tiles * a->n_kv_heads, 1, attend_tiles, &job);
    }
    qw_input_end(ops, a->out, rows, QW_ROLE_MIXED, a->forms);
}
