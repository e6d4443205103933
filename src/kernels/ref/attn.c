/* Attention over the cache (kernels/kv.h) in plain C: a tile of keys and values is widened to floats, then every query takes it. Keys stand in lanes here too, so
 * that a compiler can use its vectors. Tested by tests/unit/test_kernels_attn.c. */
#include "kernels/ref/ref.h"

#include <math.h>
#include <string.h>

#define BLOCK QW_KV_BLOCK
#define TILE QW_ATTEND_TILE

static size_t padded(size_t head_dim) { return (head_dim + 15) / 16 * 16; }
size_t qw_attend_part_floats(size_t head_dim) { return padded(head_dim) + 16; }

/* Queries as the kernels of a level like them, running and new parts, a tile of weights; here a tile of keys and of values, then parts. */
size_t qw_attend_scratch(size_t head_dim)
{
    const size_t queries = QW_ATTEND_QUERIES * (padded(head_dim) + 2 * qw_attend_part_floats(head_dim));
    return (queries + 2 * TILE * padded(head_dim) + 16 * TILE) * sizeof(float);
}

static size_t least(size_t a, size_t b) { return a < b ? a : b; }

/* Scores of n <= TILE keys, and their maximum. keys [blocks][head_dim][16] */
static float score_tile(float *score, const float *q, float scale, const float *keys, size_t n, size_t head_dim)
{
    float top = -INFINITY;
    for (size_t at = 0; at < n; at += BLOCK, keys += head_dim * BLOCK) {
        float s[BLOCK] = { 0 };
        for (size_t d = 0; d < head_dim; d++)
            for (size_t j = 0; j < BLOCK; j++)
                s[j] += q[d] * scale * keys[d * BLOCK + j];
        memcpy(score + at, s, sizeof s);
    }
    for (size_t j = 0; j < n; j++)
        top = score[j] > top ? score[j] : top;
    return top;
}

/* One query takes n keys: part = o [width], max, sum. */
static void take_tile(float *part, const float *q, float scale, const float *keys, const float *values, size_t n, size_t head_dim)
{
    const size_t width = padded(head_dim);
    float score[TILE], *o = part, *max = part + width, *sum = max + 1;
    const float tile_max = score_tile(score, q, scale, keys, n, head_dim), top = tile_max > *max ? tile_max : *max;
    const float keep = expf(*max - top); /* 0 in the first tile */
    *max = top;
    *sum *= keep;
    for (size_t d = 0; d < width; d++)
        o[d] *= keep;
    for (size_t j = 0; j < n; j++) {
        const float p = expf(score[j] - top);
        *sum += p;
        for (size_t d = 0; d < width; d++)
            o[d] += p * values[j * width + d];
    }
}

/* Queries [first, first + n) of a split. */
static void take_split(const qw_attend_args *a, size_t split, size_t first, size_t n, float *parts)
{
    const size_t hd = a->kv->head_dim, floats = qw_attend_part_floats(hd), begin = split * QW_ATTEND_SPLIT, end = begin + QW_ATTEND_SPLIT;
    float *keys = a->scratch, *values = keys + TILE * padded(hd);
    const size_t last = a->n_keys + (first + n - 1) / a->n_heads * a->key_step; /* positions that any of them sees */
    for (size_t i = 0; i < n; i++) {
        memset(parts + i * floats, 0, floats * sizeof *parts);
        parts[i * floats + padded(hd)] = -INFINITY;
    }
    for (size_t at = begin; at < least(end, last); at += TILE) {
        const size_t rows = least(TILE, last - at);
        for (size_t j = 0; j < rows; j += BLOCK)
            qw_kv_widen_keys(a->kv, (at + j) / BLOCK, keys + j * hd);
        qw_kv_widen_values(a->kv, at, rows, values);
        for (size_t i = 0; i < n; i++) {
            const size_t t = (first + i) / a->n_heads, h = (first + i) % a->n_heads, limit = a->n_keys + t * a->key_step;
            if (limit > at)
                take_tile(parts + i * floats, a->q + t * a->q_token_stride + h * a->q_head_stride, a->scale, keys, values,
                          least(TILE, limit - at), hd);
        }
    }
}

void qw_attend_splits_ref(const qw_attend_args *a, size_t first, size_t n, float *parts, size_t split_stride)
{
    for (size_t s = 0; s < n; s++)
        take_split(a, first + s, 0, a->n_tokens * a->n_heads, parts + s * split_stride);
}

/* into = into + part; parts without keys change nothing */
static void merge(float *into, const float *part, size_t width)
{
    const float m = part[width], top = m > into[width] ? m : into[width];
    if (part[width + 1] == 0)
        return;
    const float keep = expf(into[width] - top), weight = expf(m - top);
    for (size_t d = 0; d < width; d++)
        into[d] = into[d] * keep + part[d] * weight;
    into[width] = top;
    into[width + 1] = into[width + 1] * keep + part[width + 1] * weight;
}

static void divide(float *out, const float *part, size_t head_dim)
{
    const float inverse = 1 / part[padded(head_dim) + 1];
    for (size_t d = 0; d < head_dim; d++)
        out[d] = part[d] * inverse;
}

/* Head dimensions of any size: in pieces that fit the stack. */
#define PIECE 256
void qw_attend_merge_ref(float *out, size_t head_dim, const float *parts, size_t part_stride, size_t n_parts)
{
    const size_t width = padded(head_dim);
    for (size_t d = 0; d < head_dim; d += PIECE) {
        const size_t n = least(PIECE, width - d);
        float into[PIECE + 2] = { 0 }, part[PIECE + 2];
        into[n] = -INFINITY;
        for (size_t s = 0; s < n_parts; s++) {
            memcpy(part, parts + s * part_stride + d, n * sizeof *part);
            memcpy(part + n, parts + s * part_stride + width, 2 * sizeof *part);
            merge(into, part, n);
        }
        for (size_t i = 0; i < least(n, head_dim - d); i++)
            out[d + i] = into[i] * (1 / into[n + 1]);
    }
}

/* Queries [first, first + n) over all their splits. */
static void take_queries(const qw_attend_args *a, size_t first, size_t n)
{
    const size_t hd = a->kv->head_dim, width = padded(hd), floats = qw_attend_part_floats(hd);
    float *parts = (float *)a->scratch + 2 * TILE * width, *into = parts + n * floats;
    for (size_t i = 0; i < n; i++) {
        memset(into + i * floats, 0, floats * sizeof *into);
        into[i * floats + width] = -INFINITY;
    }
    const size_t last = a->n_keys + (first + n - 1) / a->n_heads * a->key_step;
    for (size_t s = 0; s < qw_attend_splits(last); s++) {
        take_split(a, s, first, n, parts);
        for (size_t i = 0; i < n; i++)
            merge(into + i * floats, parts + i * floats, width);
    }
    for (size_t i = 0; i < n; i++) {
        const size_t t = (first + i) / a->n_heads, h = (first + i) % a->n_heads;
        divide(a->out + t * a->out_token_stride + h * a->out_head_stride, into + i * floats, hd);
    }
}

void qw_attend_ref(const qw_attend_args *a)
{
    const size_t n = a->n_tokens * a->n_heads;
    for (size_t first = 0; first < n; first += QW_ATTEND_QUERIES)
        take_queries(a, first, least(QW_ATTEND_QUERIES, n - first));
}
