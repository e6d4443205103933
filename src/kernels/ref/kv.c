/* The cache of keys and values (kernels/kv.h) in plain C: its layout, rows in, rows out; what Q4 is, is in kv_q4.c. Tested by tests/unit/test_kernels_attn.c. */
#include "kernels/ref/ref.h"
#include "quant/half.h"

#include <math.h>

#define BLOCK QW_KV_BLOCK
#define SMALLEST 1e-30F /* its reciprocal is finite */

static size_t round_up(size_t n, size_t to) { return (n + to - 1) / to * to; }

static size_t value_bytes(qw_kv_type t) { return t == QW_KV_F32 ? 4 : t == QW_KV_Q8 ? 1 : 2; }

static qw_kv_layout layout_of_q4(size_t head_dim)
{
    const size_t groups = (head_dim + QW_KV_GROUP - 1) / QW_KV_GROUP, scales = round_up(groups * BLOCK * sizeof(uint16_t), 64);
    qw_kv_layout l = { .padded = round_up(head_dim, 16) };
    l.key_scales = round_up((head_dim + 1) / 2 * BLOCK, 64);
    l.values = l.key_scales + scales;
    l.value_scales = l.values + BLOCK * groups * QW_KV_GROUP / 2;
    l.bytes = l.value_scales + scales;
    return l;
}

qw_kv_layout qw_kv_layout_of(qw_kv_type type, size_t head_dim)
{
    if (type == QW_KV_Q4)
        return layout_of_q4(head_dim);
    const size_t size = value_bytes(type), scales = type == QW_KV_Q8 ? BLOCK * sizeof(float) : 0;
    qw_kv_layout l = { .padded = round_up(head_dim, 16) };
    l.key_scales = round_up(round_up(head_dim, type == QW_KV_PAIRS ? 2 : 1) * BLOCK * size, 64);
    l.values = l.key_scales + scales;
    l.value_scales = l.values + BLOCK * l.padded * size;
    l.bytes = l.value_scales + scales;
    return l;
}

size_t qw_kv_block_bytes(qw_kv_type type, size_t head_dim) { return qw_kv_layout_of(type, head_dim).bytes; }

size_t qw_kv_bytes(qw_kv_type type, size_t head_dim, size_t capacity)
{
    return (capacity + BLOCK - 1) / BLOCK * qw_kv_block_bytes(type, head_dim);
}

/* ---- one value: number i of an array of the cache's type */

static float value_at(qw_kv_type type, const void *array, size_t i)
{
    switch (type) {
    case QW_KV_F32: return ((const float *)array)[i];
    case QW_KV_F16: return qw_f16_to_f32(((const uint16_t *)array)[i]);
    case QW_KV_BF16:
    case QW_KV_PAIRS: return qw_bf16_to_f32(((const uint16_t *)array)[i]);
    default: return ((const int8_t *)array)[i];
    }
}

static void put_value(qw_kv_type type, void *array, size_t i, float x, float inverse)
{
    switch (type) {
    case QW_KV_F32: ((float *)array)[i] = x; break;
    case QW_KV_F16: ((uint16_t *)array)[i] = qw_f32_to_f16(x); break;
    case QW_KV_BF16:
    case QW_KV_PAIRS: ((uint16_t *)array)[i] = qw_f32_to_bf16(x); break;
    default: ((int8_t *)array)[i] = (int8_t)rintf(x * inverse); break;
    }
}

static size_t key_index(qw_kv_type type, size_t d, size_t lane)
{
    return type == QW_KV_PAIRS ? (d / 2 * BLOCK + lane) * 2 + d % 2 : d * BLOCK + lane;
}

static size_t value_index(qw_kv_type type, size_t padded, size_t lane, size_t d)
{
    return type == QW_KV_PAIRS ? (lane / 2 * padded + d) * 2 + lane % 2 : lane * padded + d;
}

/* ---- rows in */

static float row_scale(const float *x, size_t n)
{
    float most = 0;
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(x[i]))
            return NAN;
        most = fabsf(x[i]) > most ? fabsf(x[i]) : most;
    }
    const float scale = most * (1 / 127.0F);
    return scale < SMALLEST ? 0 : scale;
}

/* What multiplies the row's values; 0 makes all codes 0. */
static float inverse_of(float scale) { return scale > 0 ? 1 / scale : 0; }

static float code_of(float x, float inverse) { return inverse > 0 ? x : 0; }

static void append_row(const qw_kv *kv, const qw_kv_layout *l, size_t pos, const float *k, const float *v)
{
    const size_t lane = pos % BLOCK, hd = kv->head_dim;
    char *block = qw_kv_block_at(kv, l->bytes, pos);
    if (kv->type == QW_KV_Q4) {
        qw_kv_q4_put(block, l, hd, lane, k, v);
        return;
    }
    const bool scaled = kv->type == QW_KV_Q8;
    const float k_scale = scaled ? row_scale(k, hd) : 1, v_scale = scaled ? row_scale(v, hd) : 1;
    const float k_inverse = inverse_of(k_scale), v_inverse = inverse_of(v_scale);
    for (size_t d = 0; d < hd; d++)
        put_value(kv->type, block, key_index(kv->type, d, lane), code_of(k[d], k_inverse), k_inverse);
    if (kv->type == QW_KV_PAIRS && hd % 2)
        put_value(kv->type, block, key_index(kv->type, hd, lane), 0, 1);
    for (size_t d = 0; d < l->padded; d++)
        put_value(kv->type, block + l->values, value_index(kv->type, l->padded, lane, d), d < hd ? code_of(v[d], v_inverse) : 0, v_inverse);
    if (scaled) {
        ((float *)(void *)(block + l->key_scales))[lane] = k_scale;
        ((float *)(void *)(block + l->value_scales))[lane] = v_scale;
    }
}

void qw_kv_put(const qw_kv *kv, size_t pos, const float *k, const float *v)
{
    const qw_kv_layout l = qw_kv_layout_of(kv->type, kv->head_dim);
    append_row(kv, &l, pos, k, v);
}

void qw_kv_append_ref(const qw_kv_append_args *a)
{
    const qw_kv_layout l = qw_kv_layout_of(a->kv->type, a->kv->head_dim);
    for (size_t t = 0; t < a->n; t++)
        append_row(a->kv, &l, a->pos + t, a->k + t * a->k_stride, a->v + t * a->v_stride);
}

/* ---- rows out */

static float scale_at(const qw_kv *kv, const char *scales, size_t lane)
{
    return kv->type == QW_KV_Q8 ? ((const float *)(const void *)scales)[lane] : 1;
}

/* Of Q4 as it is kept: turned. */
static float key_at(const qw_kv *kv, const qw_kv_layout *l, const char *block, size_t lane, size_t d)
{
    if (kv->type == QW_KV_Q4)
        return qw_kv_q4_key(block, l, lane, d);
    return scale_at(kv, block + l->key_scales, lane) * value_at(kv->type, block, key_index(kv->type, d, lane));
}

static float row_at(const qw_kv *kv, const qw_kv_layout *l, const char *block, size_t lane, size_t d)
{
    if (kv->type == QW_KV_Q4)
        return qw_kv_q4_value(block, l, lane, d);
    return scale_at(kv, block + l->value_scales, lane) * value_at(kv->type, block + l->values, value_index(kv->type, l->padded, lane, d));
}

void qw_kv_get(const qw_kv *kv, size_t pos, float *k, float *v)
{
    const qw_kv_layout l = qw_kv_layout_of(kv->type, kv->head_dim);
    const char *block = qw_kv_block_at(kv, l.bytes, pos);
    const size_t lane = pos % BLOCK;
    for (size_t d = 0; k && d < kv->head_dim; d++)
        k[d] = key_at(kv, &l, block, lane, d);
    if (k && kv->type == QW_KV_Q4)
        qw_kv_rotate(k, kv->head_dim, 1);
    for (size_t d = 0; v && d < kv->head_dim; d++)
        v[d] = row_at(kv, &l, block, lane, d);
}

void qw_kv_widen_keys(const qw_kv *kv, size_t block, float *out)
{
    const qw_kv_layout l = qw_kv_layout_of(kv->type, kv->head_dim);
    const char *at = qw_kv_block_at(kv, l.bytes, block * BLOCK);
    for (size_t i = 0; i < kv->head_dim * BLOCK; i++)
        out[i] = key_at(kv, &l, at, i % BLOCK, i / BLOCK);
    if (kv->type == QW_KV_Q4)
        qw_kv_rotate(out, kv->head_dim, BLOCK);
}

void qw_kv_widen_values(const qw_kv *kv, size_t pos, size_t n, float *out)
{
    const qw_kv_layout l = qw_kv_layout_of(kv->type, kv->head_dim);
    for (size_t j = 0; j < n; j++) {
        const char *block = qw_kv_block_at(kv, l.bytes, pos + j);
        for (size_t d = 0; d < l.padded; d++)
            out[j * l.padded + d] = row_at(kv, &l, block, (pos + j) % BLOCK, d);
    }
}
