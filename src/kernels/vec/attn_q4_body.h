/* Attention over a cache of Q4 (kernels/kv.h): what attn_type_body.h asks of a type that is not one number after the other. Queries are turned as the keys are; keys
 * become floats with their scales, values without: there the weights take them. Tested by tests/unit/test_kernels_attn.c. */
#ifndef QW_KERNELS_ATTN_Q4_BODY_H
#define QW_KERNELS_ATTN_Q4_BODY_H

#include "kernels/vec/attn_body.h"
#include "kernels/vec/v16_bytes.h"

#define Q4_GROUP QW_KV_GROUP

/* Of sixteen bytes the codes in their low halves (shift 0) or in their high ones (4). */
ATTN_INLINE v16 q4_load(const uint8_t *p, unsigned shift)
{
#if defined(__AVX512F__) /* a table of sixteen floats is one register; it is asked with four bits */
    const __m512 table = _mm512_setr_ps(-8, -7, -6, -5, -4, -3, -2, -1, 0, 1, 2, 3, 4, 5, 6, 7);
    return _mm512_permutexvar_ps(_mm512_srli_epi32(_mm512_cvtepu8_epi32(b16_load(p)), shift), table);
#else
    return v16_from_i8(b16_sub(b16_and(b16_shr(b16_load(p), (int)shift), 15), 8));
#endif
}

static inline void pack_q4(const qw_attend_args *a, size_t first, size_t n, float *out)
{
    const size_t hd = a->kv->head_dim;
    attn_pack(a, first, n, out);
    for (size_t i = 0; i < n; i += ATTN_QUERIES)
        qw_kv_rotate(out + i * hd, hd, ATTN_QUERIES);
}

/* One dimension of n_blocks blocks of keys, for n queries. */
ATTN_INLINE void q4_add(v16 (*sum)[ATTN_VECTORS], const v16 *key, const float *q, size_t n, size_t n_blocks)
{
    ATTN_UNROLL for (size_t i = 0; i < n; i++)
    {
        const v16 value = v16_set(q[i]);
        ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++) sum[i][b] = v16_fma(key[b], value, sum[i][b]);
    }
}

/* As the other types' in attn_type_body.h. */
ATTN_INLINE void score_q4(const attn_tile *t, const float *q, float (*s)[ATTN_TILE], size_t b0, size_t n, size_t n_blocks)
{
    const char *at = t->at + b0 * t->layout->bytes;
    v16 sum[ATTN_QUERIES][ATTN_VECTORS];
    ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++) { ATTN_UNROLL for (size_t i = 0; i < n; i++) sum[i][b] = v16_zero(); }
    for (size_t d = 0; d < t->head_dim;) {
        const size_t end = attn_least(t->head_dim, d + Q4_GROUP);
        v16 scale[ATTN_VECTORS];
        ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++)
        {
            const char *scales = at + b * t->layout->bytes + t->layout->key_scales + d / Q4_GROUP * ATTN_BLOCK * sizeof(uint16_t);
            scale[b] = v16_load_f16((const uint16_t *)(const void *)scales);
            ATTN_FETCH(scales + (t->layout->value_scales - t->layout->key_scales));
        }
        for (; d < end; d += 2, q += 2 * ATTN_QUERIES) {
            v16 low[ATTN_VECTORS], high[ATTN_VECTORS];
            ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++)
            {
                const char *codes = at + b * t->layout->bytes + d / 2 * ATTN_BLOCK;
                low[b] = v16_mul(q4_load((const uint8_t *)codes, 0), scale[b]);
                high[b] = v16_mul(q4_load((const uint8_t *)codes, 4), scale[b]);
                ATTN_FETCH(codes + t->ahead);
                ATTN_FETCH(codes + t->layout->values);
            }
            q4_add(sum, low, q, n, n_blocks);
            if (d + 1 < end)
                q4_add(sum, high, q + ATTN_QUERIES, n, n_blocks);
        }
    }
    ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++)
    {
        ATTN_UNROLL for (size_t i = 0; i < n; i++) v16_store(s[i] + (b0 + b) * ATTN_BLOCK, sum[i][b]);
    }
}

/* The weights of n queries for the values of a group of dimensions: times their scales. */
ATTN_INLINE void q4_weigh(float (*weights)[ATTN_TILE], const attn_tile *t, const float (*p)[ATTN_TILE], size_t begin, size_t end,
                          size_t group, size_t n)
{
    for (size_t j = begin / ATTN_BLOCK * ATTN_BLOCK; j < end; j += ATTN_BLOCK) {
        const char *scales = t->at + j / ATTN_BLOCK * t->layout->bytes + t->layout->value_scales + group * ATTN_BLOCK * sizeof(uint16_t);
        const v16 scale = v16_load_f16((const uint16_t *)(const void *)scales);
        ATTN_FETCH(scales + t->ahead - (t->layout->value_scales - t->layout->key_scales));
        ATTN_UNROLL for (size_t i = 0; i < n; i++) v16_store(weights[i] + j, v16_mul(v16_load(p[i] + j), scale));
    }
}

#define Q4_SPAN ((ATTN_VECTORS + 1) / 2) /* groups of the dimensions that are mixed together */

ATTN_INLINE void mix_q4(const attn_tile *t, float *o, size_t o_stride, const float (*p)[ATTN_TILE], const float *keep, size_t begin,
                        size_t end, size_t d0, size_t n, size_t n_vectors)
{
    const size_t span = n_vectors == 1 ? 1 : 2; /* vectors of a group that are wanted */
    const unsigned shift = d0 / 16 % 2 ? 4 : 0; /* of a single one */
    const size_t row_bytes = (t->head_dim + Q4_GROUP - 1) / Q4_GROUP * Q4_GROUP / 2;
    float weights[Q4_SPAN][ATTN_QUERIES][ATTN_TILE];
    v16 sum[ATTN_QUERIES][ATTN_VECTORS];
    ATTN_UNROLL for (size_t g = 0; 2 * g < n_vectors; g++) q4_weigh(weights[g], t, p, begin, end, d0 / Q4_GROUP + g, n);
    ATTN_UNROLL for (size_t i = 0; i < n; i++)
    {
        ATTN_UNROLL for (size_t c = 0; c < n_vectors; c++) sum[i][c] = v16_mul(v16_load(o + i * o_stride + d0 + 16 * c), v16_set(keep[i]));
    }
    for (size_t j = begin; j < end;) {
        const char *row = t->at + j / ATTN_BLOCK * t->layout->bytes + t->layout->values + j % ATTN_BLOCK * row_bytes + d0 / Q4_GROUP * 16;
        const size_t stop = attn_least(end, (j / ATTN_BLOCK + 1) * ATTN_BLOCK), share = 8 * n_vectors;
        const char *keys = attn_share(t, j, d0 / 2, share);
        for (; j < stop; j++, row += row_bytes, keys += share) {
            ATTN_FETCH(row + t->ahead);
            ATTN_FETCH(keys);
            ATTN_UNROLL for (size_t g = 0; 2 * g < n_vectors; g++)
            {
                const uint8_t *codes = (const uint8_t *)row + 16 * g;
                v16 value[2];
                ATTN_UNROLL for (size_t c = 0; c < span; c++) value[c] = q4_load(codes, span == 2 ? 4 * (unsigned)c : shift);
                ATTN_UNROLL for (size_t i = 0; i < n; i++)
                {
                    const v16 weight = v16_set(weights[g][i][j]);
                    ATTN_UNROLL for (size_t c = 0; c < span; c++) sum[i][2 * g + c] = v16_fma(value[c], weight, sum[i][2 * g + c]);
                }
            }
        }
    }
    ATTN_UNROLL for (size_t i = 0; i < n; i++)
    {
        ATTN_UNROLL for (size_t c = 0; c < n_vectors; c++) v16_store(o + i * o_stride + d0 + 16 * c, sum[i][c]);
    }
}

#endif
