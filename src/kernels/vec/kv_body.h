/* Rows into the cache (kernels/kv.h) on levels with vectors: 16 values are rounded at once; a key's go to 16 places, a value's to one. The same bytes as plain C
 * writes. Tested by tests/unit/test_kernels_attn.c. */
#ifndef QW_KERNELS_KV_BODY_H
#define QW_KERNELS_KV_BODY_H

#include "kernels/kernels.h"
#include "kernels/vec/v16.h"

#include <math.h>
#include <string.h>

/* Columns [d, d + 16) of a row, zeros behind its end. */
static inline v16 kv_load(const float *x, size_t d, size_t n) { return d + 16 <= n ? v16_load(x + d) : v16_load_n(x + d, n - d); }

static void kv_row_f32(char *key, char *value, size_t head_dim, size_t padded, const float *k, const float *v)
{
    float *to = (float *)(void *)key, *row = (float *)(void *)value;
    for (size_t d = 0; d < head_dim; d++)
        to[d * QW_KV_BLOCK] = k[d];
    for (size_t d = 0; d < padded; d += 16)
        v16_store(row + d, kv_load(v, d, head_dim));
}

/* Sixteen values in 16 bits each. */
typedef void kv_store_fn(uint16_t *p, v16 x);

static inline void kv_row_16(char *key, char *value, size_t head_dim, size_t padded, const float *k, const float *v, kv_store_fn *store)
{
    uint16_t *to = (uint16_t *)(void *)key, *row = (uint16_t *)(void *)value, half[16];
    for (size_t d = 0; d < padded; d += 16) {
        store(row + d, kv_load(v, d, head_dim));
        store(half, kv_load(k, d, head_dim));
        for (size_t i = 0; i < 16 && d + i < head_dim; i++)
            to[(d + i) * QW_KV_BLOCK] = half[i];
    }
}

static float kv_scale(const float *x, size_t n)
{
    v16 most = v16_zero(), odd = v16_zero();
    for (size_t d = 0; d < n; d += 16) {
        const v16 y = kv_load(x, d, n);
        most = v16_max(v16_abs(y), most);
        odd = v16_fma(y, v16_zero(), odd); /* NaN for infinities too */
    }
    const float scale = v16_largest(most) * (1 / 127.0F);
    return v16_sum(odd) != 0 ? NAN : scale < 1e-30F ? 0 : scale;
}

static void kv_codes(int8_t *to, size_t stride, float scale, const float *x, size_t n, size_t room)
{
    float code[16] = { 0 };
    for (size_t d = 0; d < room; d += 16) {
        if (scale > 0)
            v16_store(code, v16_round(v16_mul(kv_load(x, d, n), v16_set(1 / scale))));
        for (size_t i = 0; i < 16 && d + i < room; i++)
            to[(d + i) * stride] = (int8_t)code[i];
    }
}

static void kv_append_f32(const qw_kv_append_args *a)
{
    const qw_kv_layout l = qw_kv_layout_of(QW_KV_F32, a->kv->head_dim);
    for (size_t t = 0; t < a->n; t++) {
        const size_t lane = (a->pos + t) % QW_KV_BLOCK;
        char *block = qw_kv_block_at(a->kv, l.bytes, a->pos + t);
        kv_row_f32(block + 4 * lane, block + l.values + 4 * lane * l.padded, a->kv->head_dim, l.padded, a->k + t * a->k_stride,
                   a->v + t * a->v_stride);
    }
}

static inline void kv_append_16(const qw_kv_append_args *a, kv_store_fn *store)
{
    const qw_kv_layout l = qw_kv_layout_of(QW_KV_F16, a->kv->head_dim);
    for (size_t t = 0; t < a->n; t++) {
        const size_t lane = (a->pos + t) % QW_KV_BLOCK;
        char *block = qw_kv_block_at(a->kv, l.bytes, a->pos + t);
        kv_row_16(block + 2 * lane, block + l.values + 2 * lane * l.padded, a->kv->head_dim, l.padded, a->k + t * a->k_stride,
                  a->v + t * a->v_stride, store);
    }
}

static void kv_append_f16(const qw_kv_append_args *a) { kv_append_16(a, v16_store_f16); }
static void kv_append_bf16(const qw_kv_append_args *a) { kv_append_16(a, v16_store_bf16); }

static void kv_append_q8(const qw_kv_append_args *a)
{
    const size_t hd = a->kv->head_dim;
    const qw_kv_layout l = qw_kv_layout_of(QW_KV_Q8, hd);
    for (size_t t = 0; t < a->n; t++) {
        const size_t lane = (a->pos + t) % QW_KV_BLOCK;
        char *block = qw_kv_block_at(a->kv, l.bytes, a->pos + t);
        const float *k = a->k + t * a->k_stride, *v = a->v + t * a->v_stride;
        float *k_scale = (float *)(void *)(block + l.key_scales) + lane, *v_scale = (float *)(void *)(block + l.value_scales) + lane;
        *k_scale = kv_scale(k, hd);
        *v_scale = kv_scale(v, hd);
        kv_codes((int8_t *)block + lane, QW_KV_BLOCK, *k_scale, k, hd, hd);
        kv_codes((int8_t *)block + l.values + lane * l.padded, 1, *v_scale, v, hd, l.padded);
    }
}

#endif
