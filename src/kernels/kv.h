/* Keys and values of one K/V head, as attention reads them.
 *
 * Positions are cut into blocks of 16, each with its keys and then its values, so the first n positions are the first qw_kv_bytes(type, head_dim, n) bytes:
 *
 *   | block 0: keys [head_dim][16 positions], key scales [16], values [16 positions][padded], value scales [16] | block 1 | ...
 *
 * Keys lie with the positions in the lanes: the scores of 16 keys are one vector, and a query's value is broadcast to all of them. Values are rows, padded with
 * zeros to whole vectors: padded = head_dim rounded up to 16. Each of the four parts begins on a multiple of 64 bytes. Only Q8 and Q4 have scales.
 *
 *   F32    as they come
 *   F16    rounded to the nearest, of two the even
 *   BF16   likewise
 *   Q8     8 bits: scale = largest magnitude of the row / 127 (0 below 1e-30; NaN, with all codes 0, when a value is not finite), code = x * (1 / scale) rounded likewise
 *   Q4     4 bits, and a scale in F16 for each group of QW_KV_GROUP dimensions of a row: scale = the group's value of the largest magnitude (of two the negative one) / -8,
 *          rounded; code = x * (1 / scale) rounded likewise, from -8 to 7, and kept + 8. NaN as in Q8. Keys are turned by qw_kv_rotate() before: a dimension that
 *          is much larger than others, as keys have them, would leave the others of its group no codes.
 *          keys [(head_dim + 1) / 2][16 positions]: an even dimension in the low half of a byte, the next one in the high half; key scales [groups][16];
 *          values [16 positions][groups][16]: dimension i of a group in the low half, i + 16 in the high one; value scales [groups][16].
 *   PAIRS  of BF16: keys as pairs of dimensions [(head_dim + 1) / 2][16][2], values as pairs of positions [8][padded][2]: what a bf16 dot product takes. For the image
 *          tower, where kernels.h has slots for it.
 *
 * The cache of a layer is its heads one after the other. A head lies in one piece, or in pages of QW_KV_PAGE positions each, which need not follow each other; both
 * hold the same bytes. Tested by tests/unit/test_kernels_attn.c. */
#ifndef QW_KERNELS_KV_H
#define QW_KERNELS_KV_H

#include <stddef.h>
#include <stdint.h>

#define QW_KV_BLOCK 16
#define QW_KV_GROUP 32
#define QW_KV_PAGE 512 /* whole blocks, and whole tiles of attention */

typedef enum qw_kv_type { QW_KV_F32, QW_KV_F16, QW_KV_BF16, QW_KV_Q8, QW_KV_Q4, QW_KV_PAIRS, QW_KV_TYPES } qw_kv_type;

typedef struct qw_kv {
    qw_kv_type type;
    size_t head_dim;
    void *data; /* qw_kv_bytes(type, head_dim, capacity), aligned to 64, owned by the caller; need not be cleared */
    /* Or, when it is not NULL: position p is position p % QW_KV_PAGE of what lies at pages[p / QW_KV_PAGE] + offset (bytes, a multiple of 64). Only pages with
     * positions that a call names are looked at. */
    void *const *pages;
    size_t offset;
} qw_kv;

/* The block that holds a position. */
static inline void *qw_kv_block_at(const qw_kv *kv, size_t block_bytes, size_t pos)
{
    if (!kv->pages)
        return (char *)kv->data + pos / QW_KV_BLOCK * block_bytes;
    return (char *)kv->pages[pos / QW_KV_PAGE] + kv->offset + pos % QW_KV_PAGE / QW_KV_BLOCK * block_bytes;
}

/* of 16 positions of one head; a multiple of 64 */
size_t qw_kv_block_bytes(qw_kv_type type, size_t head_dim);
/* of one head with room for `capacity` positions: whole blocks. The caller has made sure that it does not overflow. */
size_t qw_kv_bytes(qw_kv_type type, size_t head_dim, size_t capacity);
/* The key and the value at a position as floats [head_dim]; either may be NULL. For tests and state files. */
void qw_kv_get(const qw_kv *kv, size_t pos, float *k, float *v);
/* The other way, in plain C: one row becomes a position. */
void qw_kv_put(const qw_kv *kv, size_t pos, const float *k, const float *v);

/* Rows of x [head_dim][lanes], one in each lane, times an orthogonal matrix that is its own inverse: of Hadamard's, over pieces of the largest power of two up to 256
 * that divides head_dim. Nothing changes when that is less than QW_KV_GROUP. Scores remain when queries are turned too. */
void qw_kv_rotate(float *x, size_t head_dim, size_t lanes);

/* Where the parts of a block begin, in bytes from its own begin. */
typedef struct qw_kv_layout {
    size_t key_scales, values, value_scales, bytes, padded; /* padded: values of a row */
} qw_kv_layout;
qw_kv_layout qw_kv_layout_of(qw_kv_type type, size_t head_dim);

/* n rows of one head, after norm and rotation, become positions pos .. pos + n - 1. Row t at k + t * k_stride, v + t * v_stride (floats). */
typedef struct qw_kv_append_args {
    const qw_kv *kv;
    size_t pos, n;
    const float *k, *v;
    size_t k_stride, v_stride;
} qw_kv_append_args;

/* Softmax attention of n_tokens * n_heads queries that read one K/V head.
 *
 * A query's result depends on its keys alone, to the bit: not on the queries beside it, nor on how tokens are cut into calls, nor on which thread takes which
 * split. Positions are taken in splits of QW_ATTEND_SPLIT (so a split lies in one page) and those in tiles of QW_ATTEND_TILE, all at fixed places. In a tile
 *   score = sum over the dimensions of (q * scale) * k, in order, times the key's scale
 *   m' = max(m, scores), p = exp(score - m'), keep = exp(m - m'); sum = sum * keep + (p in 16 lanes, block by block, then as v16_sum)
 *   o = o * keep, then o += (p * the value's scale) * v, key by key
 * and splits are merged in order: m' = max(M, m), O = O * exp(M - m') + o * exp(m - m'), likewise the sums; at the end O / sum.
 * Positions behind a query's last are not looked at, whatever they hold. */
#define QW_ATTEND_SPLIT QW_KV_PAGE
#define QW_ATTEND_TILE 64
#define QW_ATTEND_QUERIES \
  64 /* computed together at most, so a call with as many reads keys and values once; 16 tokens with 4 heads are a good piece of work */

typedef struct qw_attend_args {
    const qw_kv *kv;
    const float *q; /* token t, head h: q + t * q_token_stride + h * q_head_stride, [head_dim] */
    float *out;     /* likewise with its own strides; may be q; unused by attend_splits */
    size_t q_token_stride, q_head_stride, out_token_stride, out_head_stride;
    size_t n_tokens, n_heads;
    size_t n_keys;   /* positions 0 .. n_keys - 1 are what token 0 sees; at least 1 */
    size_t key_step; /* token t sees n_keys + t * key_step: 1 in the decoder, 0 when all see all */
    float scale;
    void *scratch; /* qw_attend_scratch(head_dim) bytes, aligned to 64, of this thread alone */
} qw_attend_args;

size_t qw_attend_scratch(size_t head_dim);

/* One split of one query: o [padded], then max and sum, the rest unused. A multiple of 16 floats; aligned to 64 bytes. */
size_t qw_attend_part_floats(size_t head_dim);

/* For long decodes, split over threads: `attend_splits` of all splits s < qw_attend_splits(keys of the last token) writes parts[s][query] (query = t * n_heads + h),
 * then `attend_merge` of each query gives what `attend` would have. */
static inline size_t qw_attend_splits(size_t n_keys) { return (n_keys + QW_ATTEND_SPLIT - 1) / QW_ATTEND_SPLIT; }

#endif
