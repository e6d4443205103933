/* The tokens before some others are forgotten: keys and values of those behind move down in the caches, block by block. Tested by tests/unit/test_shift.c. */
#include "compute/cpu/cpu.h"

#include <string.h>

typedef struct shift_job {
    const qw_ops *ops;
    const qw_shift_args *a;
    qw_kv_layout layout;
} shift_job;

/* The keys of positions [pos, pos + n) of one block, rotated, into the block `by` positions before it. Their values stand there afterwards, too, but are rounded: what
 * is given in their place is overwritten. rows: [QW_KV_BLOCK][head_dim] */
static void move_keys(const shift_job *j, const qw_kv *kv, size_t pos, size_t n, float *rows)
{
    const qw_shift_args *a = j->a;
    for (size_t i = 0; i < n; i++) {
        qw_kv_get(kv, pos + i, rows + i * a->head_dim, NULL);
        j->ops->kernels.rope(rows + i * a->head_dim, a->cos, a->sin, a->half);
    }
    j->ops->kernels.kv_append[kv->type](&(qw_kv_append_args){
        .kv = kv, .pos = pos - a->by, .n = n, .k = rows, .v = rows, .k_stride = a->head_dim, .v_stride = a->head_dim });
}

/* Values and their scales as they are: no rounding adds up. */
static void move_values(const shift_job *j, const qw_kv *kv, size_t pos)
{
    const qw_kv_layout *l = &j->layout;
    const char *from = qw_kv_block_at(kv, l->bytes, pos);
    char *to = qw_kv_block_at(kv, l->bytes, pos - j->a->by);
    memcpy(to + l->values, from + l->values, l->bytes - l->values);
}

/* Item: one head of one cache. Blocks ascend, so that none is overwritten before it has moved. */
static void shift_heads(void *ctx, size_t begin, size_t end, int worker)
{
    const shift_job *j = ctx;
    const qw_shift_args *a = j->a;
    for (size_t item = begin; item < end; item++) {
        const size_t head = item % a->n_kv_heads * QW_KV_PAGE / QW_KV_BLOCK * j->layout.bytes;
        const qw_kv kv = { .type = a->type, .head_dim = a->head_dim, .pages = a->pages, .offset = a->offsets[item / a->n_kv_heads] + head };
        for (size_t pos = a->from; pos < a->n; pos += QW_KV_BLOCK) {
            move_keys(j, &kv, pos, a->n - pos < QW_KV_BLOCK ? a->n - pos : QW_KV_BLOCK, j->ops->workers[worker].queries);
            move_values(j, &kv, pos);
        }
    }
}

void qw_op_shift(qw_ops *ops, const qw_shift_args *a)
{
    QW_TIMED(ops, QW_OP_ATTENTION);
    shift_job job = { ops, a, qw_kv_layout_of(a->type, a->head_dim) };
    qw_parallel_for(ops->pool, a->n_caches * a->n_kv_heads, 1, shift_heads, &job);
}
