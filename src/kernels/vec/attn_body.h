/* Attention over the cache (kernels/kv.h) for one level: what the types of cache share; attn_type_body.h follows once for each. The file that includes it defines
 *   ATTN_QUERIES          queries in registers          ATTN_VECTORS   vectors of keys, or of values, beside them
 *   ATTN_EXP              e^x for x <= 0
 * ATTN_QUERIES * ATTN_VECTORS sums, the vectors and one broadcast must fit the registers. Queries are packed in groups of ATTN_QUERIES, dimension by dimension, so
 * that one address serves all broadcasts. Tested by tests/unit/test_kernels_attn.c. */
#ifndef QW_KERNELS_ATTN_BODY_H
#define QW_KERNELS_ATTN_BODY_H

#include "kernels/kernels.h"
#include "kernels/vec/math.h"

#include <math.h>
#include <string.h>

#define ATTN_BLOCK QW_KV_BLOCK
#define ATTN_TILE QW_ATTEND_TILE
#define ATTN_INLINE static inline __attribute__((always_inline))
#define ATTN_FETCH(p) __builtin_prefetch(p, 0, 2)
#define ATTN_UNROLL _Pragma("GCC unroll 16")

/* ATTN_QUERIES queries or fewer that stand beside each other, over one split. */
typedef struct attn_group {
    float *parts;               /* [n][part_floats] */
    const float *q;             /* packed */
    size_t n;                   /* queries */
    size_t limit[ATTN_QUERIES]; /* positions that each sees */
} attn_group;

/* A tile: where its first block begins, and how the blocks lie. The processor does not foresee the order in which they are read, so each line is asked for, into
 * the second-level cache: while keys are read those of the next tile, `ahead` bytes on, and this one's values; while values are read those of the next tile, and its
 * keys. So all of it is asked for twice, a tile and half a tile before it is read, for memory that has too much to do forgets what it is asked. Without, a decode over
 * 131,072 positions takes 1.8 times as long; asked once, 1.1 times. `ahead` is negative when the next tile begins a page that lies before this one; 0 in the last tile. */
typedef struct attn_tile {
    const char *at;
    const qw_kv_layout *layout;
    size_t head_dim;
    ptrdiff_t ahead;
} attn_tile;

static inline size_t attn_least(size_t a, size_t b) { return a < b ? a : b; }

/* The tile at `pos` of a cache that is read up to position `last`. */
static inline attn_tile attn_tile_at(const qw_kv *kv, const qw_kv_layout *layout, size_t pos, size_t last)
{
    attn_tile t = { .at = qw_kv_block_at(kv, layout->bytes, pos), .layout = layout, .head_dim = kv->head_dim };
    if (pos + ATTN_TILE < last)
        t.ahead = (ptrdiff_t)((uintptr_t)qw_kv_block_at(kv, layout->bytes, pos + ATTN_TILE) - (uintptr_t)t.at);
    return t;
}

/* What is fetched of the next tile's keys while position j's values are read: of a block [bytes of 16 positions] the part for the dimensions that are mixed, and
 * of it the j % 16th share; `first` is where those dimensions begin in a row, in bytes. */
static inline const char *attn_share(const attn_tile *t, size_t j, size_t first, size_t share)
{
    return t->at + t->ahead + j / ATTN_BLOCK * t->layout->bytes + first * ATTN_BLOCK + j % ATTN_BLOCK * share;
}

/* Scores of a tile become weights p in place: n_keys[i] of them, the rest 0. Updates max and sum of each part; keep[i] is what multiplies its o. */
static void attn_soften(const attn_group *g, const size_t *n_keys, size_t n_blocks, size_t padded, float s[][ATTN_TILE], float *keep)
{
    static const float lanes[16] = { 0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15 };
    const size_t floats = padded + 16;
    const v16 lane = v16_load(lanes), least = v16_set(-INFINITY);
    float fall[16] = { 0 };
    for (size_t i = 0; i < g->n; i++) {
        float *max = g->parts + i * floats + padded;
        v16 top = least;
        if (!n_keys[i])
            continue;
        for (size_t b = 0; b < n_blocks; b++) {
            v16 x = v16_load(s[i] + b * ATTN_BLOCK);
            if (n_keys[i] < (b + 1) * ATTN_BLOCK) {
                x = v16_select_lt(lane, v16_set((float)n_keys[i] - (float)(b * ATTN_BLOCK)), x, least);
                v16_store(s[i] + b * ATTN_BLOCK, x);
            }
            top = v16_max(x, top);
        }
        const float now = fmaxf(v16_largest(top), *max);
        fall[i] = *max - now;
        *max = now;
    }
    v16_store(fall, v16_exp(v16_load(fall)));
    for (size_t i = 0; i < g->n; i++) {
        float *max = g->parts + i * floats + padded;
        const v16 top = v16_set(*max);
        v16 sum = v16_zero();
        keep[i] = fall[i];
        if (!n_keys[i])
            continue;
        for (size_t b = 0; b < n_blocks; b++) {
            const v16 p = ATTN_EXP(v16_sub(v16_load(s[i] + b * ATTN_BLOCK), top));
            v16_store(s[i] + b * ATTN_BLOCK, p);
            sum = v16_add(sum, p);
        }
        max[1] = fmaf(max[1], fall[i], v16_sum(sum));
    }
}

/* n queries of the call from number `first` on, scaled: groups [head_dim][ATTN_QUERIES]. Those that are missing in the last group are left as they are. */
static inline void attn_pack(const qw_attend_args *a, size_t first, size_t n, float *out)
{
    const size_t hd = a->kv->head_dim;
    for (size_t i = 0; i < n; i++) {
        const float *q = a->q + (first + i) / a->n_heads * a->q_token_stride + (first + i) % a->n_heads * a->q_head_stride;
        float *to = out + i / ATTN_QUERIES * ATTN_QUERIES * hd + i % ATTN_QUERIES;
        for (size_t d = 0; d < hd; d++)
            to[d * ATTN_QUERIES] = q[d] * a->scale;
    }
}

static void attn_empty(float *parts, size_t n, size_t padded)
{
    memset(parts, 0, n * (padded + 16) * sizeof *parts);
    for (size_t i = 0; i < n; i++)
        parts[i * (padded + 16) + padded] = -INFINITY;
}

/* into = into + part; a part without keys changes nothing */
static void attn_merge(float *into, const float *part, size_t padded)
{
    const float *from = part + padded;
    float *max = into + padded, fall[16] = { 0 };
    if (from[1] == 0)
        return;
    const float top = fmaxf(*from, *max);
    fall[0] = *max - top;
    fall[1] = *from - top;
    v16_store(fall, v16_exp(v16_load(fall)));
    const v16 keep = v16_set(fall[0]), weight = v16_set(fall[1]);
    for (size_t d = 0; d < padded; d += 16)
        v16_store(into + d, v16_fma(v16_load(part + d), weight, v16_mul(v16_load(into + d), keep)));
    max[0] = top;
    max[1] = fmaf(from[1], fall[1], max[1] * fall[0]);
}

static void attn_divide(float *out, const float *part, size_t head_dim, size_t padded)
{
    const v16 inverse = v16_set(1 / part[padded + 1]);
    size_t d = 0;
    for (; d + 16 <= head_dim; d += 16)
        v16_store(out + d, v16_mul(v16_load(part + d), inverse));
    if (d < head_dim)
        v16_store_n(out + d, v16_mul(v16_load(part + d), inverse), head_dim - d);
}

/* Queries [first, first + n): packed, and one split of them. */
typedef void attn_pack_fn(const qw_attend_args *a, size_t first, size_t n, float *out);
typedef void attn_split_fn(const qw_attend_args *a, size_t split, size_t first, size_t n, const float *packed, float *parts);

static void attn_all_splits(const qw_attend_args *a, attn_pack_fn *pack, attn_split_fn *take)
{
    const size_t hd = a->kv->head_dim, padded = (hd + 15) / 16 * 16, floats = padded + 16, all = a->n_tokens * a->n_heads;
    float *packed = a->scratch, *into = packed + QW_ATTEND_QUERIES * padded, *parts = into + QW_ATTEND_QUERIES * floats;
    for (size_t first = 0, n; first < all; first += n) {
        n = attn_least(QW_ATTEND_QUERIES, all - first);
        pack(a, first, n, packed);
        attn_empty(into, n, padded);
        const size_t last = a->n_keys + (first + n - 1) / a->n_heads * a->key_step;
        for (size_t s = 0; s < qw_attend_splits(last); s++) {
            take(a, s, first, n, packed, parts);
            for (size_t i = 0; i < n; i++)
                attn_merge(into + i * floats, parts + i * floats, padded);
        }
        for (size_t i = 0; i < n; i++)
            attn_divide(a->out + (first + i) / a->n_heads * a->out_token_stride + (first + i) % a->n_heads * a->out_head_stride,
                        into + i * floats, hd, padded);
    }
}

static void attn_some_splits(const qw_attend_args *a, size_t split, size_t n_splits, float *parts, size_t split_stride, attn_pack_fn *pack,
                             attn_split_fn *take)
{
    const size_t hd = a->kv->head_dim, floats = (hd + 15) / 16 * 16 + 16, all = a->n_tokens * a->n_heads;
    for (size_t first = 0, n; first < all; first += n) {
        n = attn_least(QW_ATTEND_QUERIES, all - first);
        pack(a, first, n, a->scratch);
        for (size_t s = 0; s < n_splits; s++)
            take(a, split + s, first, n, a->scratch, parts + s * split_stride + first * floats);
    }
}

/* 64 dimensions at a time, so that the running sums stay in registers. */
static inline void attn_merge_parts(float *out, size_t head_dim, const float *parts, size_t part_stride, size_t n_parts)
{
    enum { PIECE = 64 };
    const size_t padded = (head_dim + 15) / 16 * 16;
    for (size_t d = 0; d < head_dim; d += PIECE) {
        const size_t n = attn_least(PIECE, padded - d);
        float into[PIECE + 16] = { 0 }, part[PIECE + 16];
        into[n] = -INFINITY;
        for (size_t s = 0; s < n_parts; s++) {
            memcpy(part, parts + s * part_stride + d, n * sizeof *part);
            memcpy(part + n, parts + s * part_stride + padded, 2 * sizeof *part);
            attn_merge(into, part, n);
        }
        attn_divide(out + d, into, attn_least(n, head_dim - d), n);
    }
}

#define ATTN_CONCAT_(a, b) a##_##b
#define ATTN_CONCAT(a, b) ATTN_CONCAT_(a, b)

#endif
