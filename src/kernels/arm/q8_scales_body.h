/* Scales and biases of eight-bit products (kernels/q8.h) for NEON: those of four rows become floats, the rows side by side, so that a kernel loads what belongs to
 * four sums at once. Included by q8_neon.c and q8_i8mm.c. Tested by tests/kernels/check_q8.c. */
#ifndef QW_KERNELS_ARM_Q8_SCALES_BODY_H
#define QW_KERNELS_ARM_Q8_SCALES_BODY_H

#include "kernels/arm/q8_codes_body.h"

/* Where they go: unit u of the i-th row at scales[u * stride + i]. */
typedef struct scales_out {
    float *scales, *biases;
    size_t stride;
} scales_out;

ALWAYS float half_at(const void *p)
{
    __fp16 h;
    memcpy(&h, p, sizeof h);
    return (float)h;
}

/* Four units of four rows, each row in a register. 8 instructions to turn, 4 to store. */
ALWAYS void store_units(float *to, size_t stride, const float32x4_t *row)
{
    const float64x2_t ab = vreinterpretq_f64_f32(vtrn1q_f32(row[0], row[1])), ab_odd = vreinterpretq_f64_f32(vtrn2q_f32(row[0], row[1])),
                      cd = vreinterpretq_f64_f32(vtrn1q_f32(row[2], row[3])), cd_odd = vreinterpretq_f64_f32(vtrn2q_f32(row[2], row[3]));
    vst1q_f32(to, vreinterpretq_f32_f64(vtrn1q_f64(ab, cd)));
    vst1q_f32(to + stride, vreinterpretq_f32_f64(vtrn1q_f64(ab_odd, cd_odd)));
    vst1q_f32(to + 2 * stride, vreinterpretq_f32_f64(vtrn2q_f64(ab, cd)));
    vst1q_f32(to + 3 * stride, vreinterpretq_f32_f64(vtrn2q_f64(ab_odd, cd_odd)));
}

/* ---- affine: tensors of their own, [rows, groups] of bf16, f16 or f32 */

ALWAYS float32x4_t four_floats(qw_type type, const uint8_t *p)
{
    if (type == QW_TYPE_F32)
        return vreinterpretq_f32_u8(vld1q_u8(p));
    const uint16x4_t h = vreinterpret_u16_u8(vld1_u8(p));
    return type == QW_TYPE_F16 ? vcvt_f32_f16(vreinterpret_f16_u16(h)) : vreinterpretq_f32_u32(vshll_n_u16(h, 16));
}

/* Groups [0, n) of four rows, n of them at most 4; `each` units share a group. */
ALWAYS void affine_piece(qw_type type, const uint8_t *const *row, size_t n, size_t each, float *to, size_t stride)
{
    const size_t size = type == QW_TYPE_F32 ? 4 : 2;
    float32x4_t v[4];
    for (size_t i = 0; i < 4; i++) {
        uint8_t last[16] = { 0 }; /* a file may end behind the groups */
        if (n < 4)
            memcpy(last, row[i], n * size);
        v[i] = four_floats(type, n < 4 ? last : row[i]);
    }
    float turned[16];
    if (n == 4 && each == 1) {
        store_units(to, stride, v);
        return;
    }
    store_units(turned, 4, v);
    for (size_t u = 0; u < n * each; u++, to += stride)
        vst1q_f32(to, vld1q_f32(turned + 4 * (u / each)));
}

ALWAYS void affine_tensor(qw_type type, const qw_matrix *w, const void *tensor, const size_t *rows, float *to, size_t stride)
{
    const size_t group = (size_t)w->group, n = w->cols / group, each = group > QW_Q8_GROUP ? group / QW_Q8_GROUP : 1,
                 size = type == QW_TYPE_F32 ? 4 : 2;
    for (size_t g = 0; g < n; g += 4) {
        const uint8_t *row[4];
        for (size_t i = 0; i < 4; i++)
            row[i] = (const uint8_t *)tensor + (rows[i] * n + g) * size;
        if (g + 4 <= n)
            affine_piece(type, row, 4, each, to + g * each * stride, stride);
        else
            affine_piece(type, row, n - g, each, to + g * each * stride, stride);
    }
}

static void affine_scales(const qw_matrix *w, const size_t *rows, const scales_out *o)
{
    const void *tensors[] = { w->scales, w->biases };
    float *to[] = { o->scales, o->biases };
    for (size_t i = 0; i < 2; i++)
        switch (w->scale_type) {
        case QW_TYPE_F32: affine_tensor(QW_TYPE_F32, w, tensors[i], rows, to[i], o->stride); break;
        case QW_TYPE_F16: affine_tensor(QW_TYPE_F16, w, tensors[i], rows, to[i], o->stride); break;
        default: affine_tensor(QW_TYPE_BF16, w, tensors[i], rows, to[i], o->stride);
        }
}

/* ---- GGUF: in the block */

static void block32_scales(const qw_matrix *w, const size_t *rows, const scales_out *o)
{
    const bool with_m = w->type == QW_TYPE_Q4_1 || w->type == QW_TYPE_Q5_1;
    const float offset = w->type == QW_TYPE_Q8_0 ? -128 : w->type == QW_TYPE_Q5_0 ? -16 : -8;
    const size_t n = w->cols / 32, size = block_bytes_of(w->type);
    for (size_t i = 0; i < 4; i++) {
        const uint8_t *p = (const uint8_t *)w->data + rows[i] * n * size;
        for (size_t u = 0; u < n; u++, p += size) {
            const float d = half_at(p);
            o->scales[u * o->stride + i] = d;
            o->biases[u * o->stride + i] = with_m ? half_at(p + 2) : offset * d;
        }
    }
}

/* Eight bytes times a float. */
ALWAYS void scaled(uint8x8_t bytes, float d, float32x4_t *low, float32x4_t *high)
{
    const uint16x8_t wide = vmovl_u8(bytes);
    *low = vmulq_n_f32(vcvtq_f32_u32(vmovl_u16(vget_low_u16(wide))), d);
    *high = vmulq_n_f32(vcvtq_f32_u32(vmovl_u16(vget_high_u16(wide))), d);
}

/* Eight scales and eight minima of 6 bits: of the first four of each the six low bits of a byte; of the others nibbles, and two bits above the former. */
static void k45_scales(const qw_matrix *w, const size_t *rows, const scales_out *o)
{
    const size_t n = w->cols / 256, size = block_bytes_of(w->type);
    for (size_t block = 0; block < n; block++) {
        float32x4_t s[2][4], b[2][4];
        for (size_t i = 0; i < 4; i++) {
            const uint8_t *p = (const uint8_t *)w->data + (rows[i] * n + block) * size;
            uint32_t word[3];
            memcpy(word, p + 4, sizeof word);
            const uint32_t sc = word[0] & 0x3F3F3F3FU, mn = word[1] & 0x3F3F3F3FU,
                           sc_more = (word[2] & 0x0F0F0F0FU) | (word[0] >> 2 & 0x30303030U),
                           mn_more = (word[2] >> 4 & 0x0F0F0F0FU) | (word[1] >> 2 & 0x30303030U);
            scaled(vcreate_u8(sc | (uint64_t)sc_more << 32), half_at(p), &s[0][i], &s[1][i]);
            scaled(vcreate_u8(mn | (uint64_t)mn_more << 32), half_at(p + 2), &b[0][i], &b[1][i]);
            b[0][i] = vnegq_f32(b[0][i]);
            b[1][i] = vnegq_f32(b[1][i]);
        }
        for (size_t j = 0; j < 2; j++) {
            store_units(o->scales + (8 * block + 4 * j) * o->stride, o->stride, s[j]);
            store_units(o->biases + (8 * block + 4 * j) * o->stride, o->stride, b[j]);
        }
    }
}

static void q6_k_scales(const qw_matrix *w, const size_t *rows, const scales_out *o)
{
    const size_t n = w->cols / 256, size = block_bytes_of(QW_TYPE_Q6_K);
    for (size_t block = 0; block < n; block++) {
        float32x4_t s[4][4];
        for (size_t i = 0; i < 4; i++) {
            const uint8_t *p = (const uint8_t *)w->data + (rows[i] * n + block) * size;
            const int8x16_t e = vreinterpretq_s8_u8(vld1q_u8(p + 192));
            const int16x8_t low = vmovl_s8(vget_low_s8(e)), high = vmovl_s8(vget_high_s8(e));
            const float d = half_at(p + 208);
            s[0][i] = vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(low))), d);
            s[1][i] = vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(low))), d);
            s[2][i] = vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_low_s16(high))), d);
            s[3][i] = vmulq_n_f32(vcvtq_f32_s32(vmovl_s16(vget_high_s16(high))), d);
        }
        for (size_t j = 0; j < 4; j++) {
            store_units(o->scales + (16 * block + 4 * j) * o->stride, o->stride, s[j]);
            for (size_t i = 0; i < 4; i++)
                s[j][i] = vmulq_n_f32(s[j][i], -32);
            store_units(o->biases + (16 * block + 4 * j) * o->stride, o->stride, s[j]);
        }
    }
}

/* Of rows rows[0..3] of the matrix. */
static void scales_of(const qw_matrix *w, const size_t *rows, float *scales, float *biases, size_t stride)
{
    const scales_out o = { scales, biases, stride };
    if (w->type == QW_TYPE_Q6_K)
        q6_k_scales(w, rows, &o);
    else if (w->type == QW_TYPE_Q4_K || w->type == QW_TYPE_Q5_K)
        k45_scales(w, rows, &o);
    else if (w->group)
        affine_scales(w, rows, &o);
    else
        block32_scales(w, rows, &o);
}

#endif
