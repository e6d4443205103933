/* Attention over a cache of bf16 pairs with the bf16 dot product, level avx512bf16: for the image tower, where thousands of patches look at thousands. Queries and
 * weights are rounded to bf16 too. Against float 0.2 % of a value's size is lost; twice as fast. Tested by tests/unit/test_kernels_attn.c. */
#include "kernels/levels.h"
#include "kernels/vec/math.h"

/* e^x for x <= 0 within 1.1e-4 of it, which is a twentieth of what rounding to bf16 takes; exactly 1 for 0 and 0 for -infinity. */
static inline v16 exp_short(v16 x)
{
    const v16 y = v16_max(v16_set(-200.0F), v16_mul(x, v16_set(0x1.715476p+0F))), n = v16_round(y), r = v16_sub(y, n);
    v16 p = v16_fma(v16_set(0x1.C2A0E2p-5F), r, v16_set(0x1.F00BB4p-3F));
    p = v16_fma(p, r, v16_set(0x1.62F5F8p-1F));
    return _mm512_scalef_ps(v16_fma(p, r, v16_set(1.0F)), n);
}

#define ATTN_QUERIES 4
#define ATTN_VECTORS 4
#define ATTN_EXP exp_short
#include "kernels/vec/attn_body.h"

static inline __m512bh pair_of(uint32_t x) { return (__m512bh)_mm512_set1_epi32((int)x); }
static inline __m512bh pairs_at(const void *p) { return (__m512bh)_mm512_loadu_si512(p); }
static inline uint16_t bf16_of(float x) { return (uint16_t)_mm_cvtsi128_si32((__m128i)_mm_cvtneps_pbh(_mm_set_ss(x))); }

/* groups [(head_dim + 1) / 2][ATTN_QUERIES] of pairs of dimensions, as far apart as those of floats */
static void pack_pairs(const qw_attend_args *a, size_t first, size_t n, float *out)
{
    const size_t hd = a->kv->head_dim;
    for (size_t i = 0; i < n; i++) {
        const float *q = a->q + (first + i) / a->n_heads * a->q_token_stride + (first + i) % a->n_heads * a->q_head_stride;
        uint32_t *to = (uint32_t *)(void *)(out + i / ATTN_QUERIES * ATTN_QUERIES * hd) + i % ATTN_QUERIES;
        for (size_t d = 0; d < hd; d += 2, to += ATTN_QUERIES)
            *to = bf16_of(q[d] * a->scale) | (d + 1 < hd ? (uint32_t)bf16_of(q[d + 1] * a->scale) << 16 : 0);
    }
}

ATTN_INLINE void score_pairs(const attn_tile *t, const float *packed, float (*s)[ATTN_TILE], size_t b0, size_t n, size_t n_blocks)
{
    const char *at = t->at + b0 * t->layout->bytes;
    const uint32_t *q = (const uint32_t *)(const void *)packed;
    __m512 sum[ATTN_QUERIES][ATTN_VECTORS];
    ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++) { ATTN_UNROLL for (size_t i = 0; i < n; i++) sum[i][b] = v16_zero(); }
    for (size_t d = 0; d < t->head_dim; d += 2, q += ATTN_QUERIES) {
        __m512bh key[ATTN_VECTORS];
        ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++)
        {
            key[b] = pairs_at(at + b * t->layout->bytes + d * 2 * ATTN_BLOCK);
            ATTN_FETCH(at + b * t->layout->bytes + d * 2 * ATTN_BLOCK + t->ahead);
        }
        ATTN_UNROLL for (size_t i = 0; i < n; i++)
        {
            const __m512bh value = pair_of(q[i]);
            ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++) sum[i][b] = _mm512_dpbf16_ps(sum[i][b], key[b], value);
        }
    }
    ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++)
    {
        ATTN_UNROLL for (size_t i = 0; i < n; i++) v16_store(s[i] + (b0 + b) * ATTN_BLOCK, sum[i][b]);
    }
}

/* The weights of a query become pairs in the same place. */
static void weights_pairs(const attn_tile *t, float (*p)[ATTN_TILE], size_t n, const size_t *n_keys)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n_keys[i]; j += ATTN_BLOCK)
            _mm256_storeu_si256((__m256i *)(void *)((uint16_t *)(void *)p[i] + j), (__m256i)_mm512_cvtneps_pbh(v16_load(p[i] + j)));
    (void)t;
}

/* begin is even; of the last pair, when end is odd, the second value may be anything, and is made 0. */
ATTN_INLINE void mix_pairs(const attn_tile *t, float *o, size_t o_stride, const float (*p)[ATTN_TILE], const float *keep, size_t begin,
                           size_t end, size_t d0, size_t n, size_t n_vectors)
{
    __m512 sum[ATTN_QUERIES][ATTN_VECTORS];
    ATTN_UNROLL for (size_t i = 0; i < n; i++)
    {
        ATTN_UNROLL for (size_t c = 0; c < n_vectors; c++) sum[i][c] = v16_mul(v16_load(o + i * o_stride + d0 + 16 * c), v16_set(keep[i]));
    }
    for (size_t j = begin; j < end; j += 2) {
        const char *row = t->at + j / ATTN_BLOCK * t->layout->bytes + t->layout->values + (j % ATTN_BLOCK * t->layout->padded + 2 * d0) * 2;
        const __m512i seen = _mm512_set1_epi32(j + 1 < end ? -1 : 0xFFFF);
        __m512bh value[ATTN_VECTORS];
        ATTN_UNROLL for (size_t c = 0; c < n_vectors; c++)
        {
            value[c] = (__m512bh)_mm512_and_si512(seen, _mm512_loadu_si512(row + 64 * c));
            ATTN_FETCH(row + 64 * c + t->ahead);
        }
        ATTN_UNROLL for (size_t i = 0; i < n; i++)
        {
            const __m512bh weight = pair_of(((const uint32_t *)(const void *)p[i])[j / 2]);
            ATTN_UNROLL for (size_t c = 0; c < n_vectors; c++) sum[i][c] = _mm512_dpbf16_ps(sum[i][c], value[c], weight);
        }
    }
    ATTN_UNROLL for (size_t i = 0; i < n; i++)
    {
        ATTN_UNROLL for (size_t c = 0; c < n_vectors; c++) v16_store(o + i * o_stride + d0 + 16 * c, sum[i][c]);
    }
}

#define ATTN_NAME pairs
#define ATTN_OWN
#define ATTN_PAIRS
#include "kernels/vec/attn_type_body.h"

/* ---- rows into the cache */

static inline __m256i bf16_row(const float *x, size_t d, size_t n)
{
    return (__m256i)_mm512_cvtneps_pbh(d + 16 <= n ? v16_load(x + d) : v16_load_n(x + d, n - d));
}

static void put_key(char *block, size_t lane, size_t head_dim, const float *k)
{
    uint32_t *to = (uint32_t *)(void *)block + lane, pair[8];
    for (size_t d = 0; d < head_dim; d += 16) {
        _mm256_storeu_si256((__m256i *)(void *)pair, bf16_row(k, d, head_dim));
        for (size_t i = 0; i < 8 && d + 2 * i < head_dim; i++)
            to[(d / 2 + i) * ATTN_BLOCK] = pair[i];
    }
}

/* One of a pair, beside what the other is. */
static void put_value(char *row, size_t odd, size_t head_dim, const float *v)
{
    for (size_t d = 0; d < head_dim; d += 16, row += 64) {
        const __m512i x = _mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16_row(v, d, head_dim)), odd ? 16 : 0);
        _mm512_storeu_si512(
            row, _mm512_or_si512(x, _mm512_and_si512(_mm512_loadu_si512(row), _mm512_set1_epi32(odd ? 0xFFFF : (int)0xFFFF0000))));
    }
}

static void put_values(char *row, size_t head_dim, const float *v, const float *next)
{
    for (size_t d = 0; d < head_dim; d += 16, row += 64) {
        const __m512i low = _mm512_cvtepu16_epi32(bf16_row(v, d, head_dim)), high = _mm512_cvtepu16_epi32(bf16_row(next, d, head_dim));
        _mm512_storeu_si512(row, _mm512_or_si512(low, _mm512_slli_epi32(high, 16)));
    }
}

static void append_pairs(const qw_kv_append_args *a)
{
    const size_t hd = a->kv->head_dim;
    const qw_kv_layout l = qw_kv_layout_of(QW_KV_PAIRS, hd);
    for (size_t t = 0; t < a->n; t++) {
        const size_t lane = (a->pos + t) % ATTN_BLOCK;
        char *block = qw_kv_block_at(a->kv, l.bytes, a->pos + t), *row = block + l.values + lane / 2 * l.padded * 4;
        const float *k = a->k + t * a->k_stride, *v = a->v + t * a->v_stride;
        put_key(block, lane, hd, k);
        if (lane % 2 == 0 && t + 1 < a->n) {
            put_key(block, lane + 1, hd, k + a->k_stride);
            put_values(row, hd, v, v + a->v_stride);
            t++;
        } else {
            put_value(row, lane % 2, hd, v);
        }
    }
}

void qw_attn_avx512bf16(qw_kernels *k)
{
    k->kv_append[QW_KV_PAIRS] = append_pairs;
    k->attend[QW_KV_PAIRS] = attend_pairs;
    k->attend_splits[QW_KV_PAIRS] = attend_splits_pairs;
}
