/* Attention for one type of cache, included once for each: ATTN_NAME, ATTN_VALUE (what is stored), ATTN_LOAD (sixteen of them as floats), ATTN_SCALED (rows have
 * scales). A type that is otherwise (ATTN_OWN) brings its own pack_NAME, score_NAME and mix_NAME; one whose values are pairs (ATTN_PAIRS) weights_NAME too, which makes
 * pairs of weights. Tested by tests/unit/test_kernels_attn.c. */

#define ATTN(name) ATTN_CONCAT(name, ATTN_NAME)

#ifndef ATTN_OWN

/* s[i][16 b + lane] of n queries and n_blocks blocks of keys, numbers that the compiler knows: one vector of keys for each dimension and block, one broadcast for
 * each dimension and query, n * n_blocks sums. */
ATTN_INLINE void ATTN(score)(const attn_tile *t, const float *q, float (*s)[ATTN_TILE], size_t b0, size_t n, size_t n_blocks)
{
    const char *at = t->at + b0 * t->layout->bytes;
    const ATTN_VALUE *keys[ATTN_VECTORS];
    v16 sum[ATTN_QUERIES][ATTN_VECTORS];
    ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++)
    {
        keys[b] = (const ATTN_VALUE *)(const void *)(at + b * t->layout->bytes);
        ATTN_UNROLL for (size_t i = 0; i < n; i++) sum[i][b] = v16_zero();
    }
    for (size_t d = 0; d < t->head_dim; d++, q += ATTN_QUERIES) {
        v16 key[ATTN_VECTORS];
        ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++)
        {
            key[b] = ATTN_LOAD(keys[b] + d * ATTN_BLOCK);
            ATTN_FETCH((const char *)(keys[b] + d * ATTN_BLOCK) + t->layout->values);
            ATTN_FETCH((const char *)(keys[b] + d * ATTN_BLOCK) + t->ahead);
        }
        ATTN_UNROLL for (size_t i = 0; i < n; i++)
        {
            const v16 value = v16_set(q[i]);
            ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++) sum[i][b] = v16_fma(key[b], value, sum[i][b]);
        }
    }
    ATTN_UNROLL for (size_t b = 0; b < n_blocks; b++)
    {
        ATTN_UNROLL for (size_t i = 0; i < n; i++)
        {
#  ifdef ATTN_SCALED
            const float *scales = (const float *)(const void *)(at + b * t->layout->bytes + t->layout->key_scales);
            sum[i][b] = v16_mul(sum[i][b], v16_load(scales));
            ATTN_FETCH(at + b * t->layout->bytes + t->layout->value_scales);
#  endif
            v16_store(s[i] + (b0 + b) * ATTN_BLOCK, sum[i][b]);
        }
    }
}

/* o[i] = o[i] * keep[i] + sum of p[i][j] * value j over keys [begin, end), for n queries and n_vectors * 16 dimensions from d0 on. */
ATTN_INLINE void ATTN(mix)(const attn_tile *t, float *o, size_t o_stride, const float (*p)[ATTN_TILE], const float *keep, size_t begin,
                           size_t end, size_t d0, size_t n, size_t n_vectors)
{
    v16 sum[ATTN_QUERIES][ATTN_VECTORS];
    ATTN_UNROLL for (size_t i = 0; i < n; i++)
    {
        ATTN_UNROLL for (size_t c = 0; c < n_vectors; c++) sum[i][c] = v16_mul(v16_load(o + i * o_stride + d0 + 16 * c), v16_set(keep[i]));
    }
    for (size_t j = begin; j < end;) {
        const char *at = t->at + j / ATTN_BLOCK * t->layout->bytes + t->layout->values;
        const ATTN_VALUE *row = (const ATTN_VALUE *)(const void *)at + j % ATTN_BLOCK * t->layout->padded + d0;
        const size_t stop = attn_least(end, (j / ATTN_BLOCK + 1) * ATTN_BLOCK), share = 16 * n_vectors * sizeof *row;
        const char *keys = attn_share(t, j, d0 * sizeof *row, share);
#  ifdef ATTN_SCALED
        ATTN_FETCH(t->at + t->ahead + j / ATTN_BLOCK * t->layout->bytes + t->layout->key_scales);
#  endif
        for (; j < stop; j++, row += t->layout->padded, keys += share) {
            v16 value[ATTN_VECTORS];
            ATTN_UNROLL for (size_t c = 0; c < n_vectors; c++) value[c] = ATTN_LOAD(row + 16 * c);
            ATTN_UNROLL for (size_t i = 0; i < share; i += 64)
            {
                ATTN_FETCH(keys + i);
                ATTN_FETCH((const char *)row + i + t->ahead);
            }
            ATTN_UNROLL for (size_t i = 0; i < n; i++)
            {
                const v16 weight = v16_set(p[i][j]);
                ATTN_UNROLL for (size_t c = 0; c < n_vectors; c++) sum[i][c] = v16_fma(value[c], weight, sum[i][c]);
            }
        }
    }
    ATTN_UNROLL for (size_t i = 0; i < n; i++)
    {
        ATTN_UNROLL for (size_t c = 0; c < n_vectors; c++) v16_store(o + i * o_stride + d0 + 16 * c, sum[i][c]);
    }
}

#endif

/* All blocks, all dimensions: as many together as there are registers, then one by one. */
ATTN_INLINE void ATTN(score_all)(const attn_tile *t, const float *q, float (*s)[ATTN_TILE], size_t n_blocks, size_t n)
{
    size_t b = 0;
    for (; b + ATTN_VECTORS <= n_blocks; b += ATTN_VECTORS)
        ATTN(score)(t, q, s, b, n, ATTN_VECTORS);
    for (; b < n_blocks; b++)
        ATTN(score)(t, q, s, b, n, 1);
}

ATTN_INLINE void ATTN(mix_all)(const attn_tile *t, float *o, size_t o_stride, const float (*p)[ATTN_TILE], const float *keep, size_t begin,
                               size_t end, size_t n)
{
    size_t d = 0;
    for (; d + 16 * ATTN_VECTORS <= t->layout->padded; d += 16 * ATTN_VECTORS)
        ATTN(mix)(t, o, o_stride, p, keep, begin, end, d, n, ATTN_VECTORS);
    for (; d < t->layout->padded; d += 16)
        ATTN(mix)(t, o, o_stride, p, keep, begin, end, d, n, 1);
}

/* Fewer queries than fit are taken one by one: that happens once in a call. */
static void ATTN(score_group)(const attn_tile *t, const attn_group *g, float (*s)[ATTN_TILE], size_t n_blocks)
{
    if (g->n == ATTN_QUERIES)
        ATTN(score_all)(t, g->q, s, n_blocks, ATTN_QUERIES);
    else
        for (size_t i = 0; i < g->n; i++)
            ATTN(score_all)(t, g->q + i, s + i, n_blocks, 1);
}

/* Keys that all see are taken together, those that only some see for each alone. */
static void ATTN(mix_group)(const attn_tile *t, const attn_group *g, const float (*p)[ATTN_TILE], float *keep, const size_t *n_keys)
{
    const size_t o_stride = t->layout->padded + 16;
    size_t common = 0;
    if (g->n == ATTN_QUERIES) {
        common = n_keys[0];
        for (size_t i = 1; i < g->n; i++)
            common = attn_least(common, n_keys[i]);
#ifdef ATTN_PAIRS
        common -= common % 2;
#endif
    }
    if (common) {
        ATTN(mix_all)(t, g->parts, o_stride, p, keep, 0, common, ATTN_QUERIES);
        for (size_t i = 0; i < g->n; i++)
            keep[i] = 1;
    }
    for (size_t i = 0; i < g->n; i++)
        if (n_keys[i] > common)
            ATTN(mix_all)(t, g->parts + i * o_stride, o_stride, p + i, keep + i, common, n_keys[i], 1);
}

#ifdef ATTN_SCALED
/* The weights of values take their scales; positions that nobody sees have none. */
static void ATTN(weights)(const attn_tile *t, float (*p)[ATTN_TILE], size_t n, const size_t *n_keys)
{
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n_keys[i]; j += ATTN_BLOCK) {
            const float *scales = (const float *)(const void *)(t->at + j / ATTN_BLOCK * t->layout->bytes + t->layout->value_scales);
            v16_store(p[i] + j, v16_mul(v16_load(p[i] + j), v16_load(scales)));
        }
}
#endif

static void ATTN(take_tile)(const attn_tile *t, const attn_group *g, size_t pos)
{
    float s[ATTN_QUERIES][ATTN_TILE], keep[ATTN_QUERIES];
    size_t n_keys[ATTN_QUERIES], most = 0;
    for (size_t i = 0; i < g->n; i++) {
        n_keys[i] = g->limit[i] > pos ? attn_least(ATTN_TILE, g->limit[i] - pos) : 0;
        most = n_keys[i] > most ? n_keys[i] : most;
    }
    if (!most)
        return;
    const size_t n_blocks = (most + ATTN_BLOCK - 1) / ATTN_BLOCK;
    ATTN(score_group)(t, g, s, n_blocks);
    attn_soften(g, n_keys, n_blocks, t->layout->padded, s, keep);
#if defined(ATTN_SCALED) || defined(ATTN_PAIRS)
    ATTN(weights)(t, s, g->n, n_keys);
#endif
    ATTN(mix_group)(t, g, (const float(*)[ATTN_TILE])s, keep, n_keys);
}

static void ATTN(take_split)(const qw_attend_args *a, size_t split, size_t first, size_t n, const float *packed, float *parts)
{
    const qw_kv_layout layout = qw_kv_layout_of(a->kv->type, a->kv->head_dim);
    const size_t hd = a->kv->head_dim, floats = layout.padded + 16, begin = split * QW_ATTEND_SPLIT;
    const size_t last = a->n_keys + (first + n - 1) / a->n_heads * a->key_step, end = attn_least(begin + QW_ATTEND_SPLIT, last);
    attn_empty(parts, n, layout.padded);
    for (size_t pos = begin; pos < end; pos += ATTN_TILE) {
        const attn_tile t = attn_tile_at(a->kv, &layout, pos, last);
        for (size_t i = 0; i < n; i += ATTN_QUERIES) {
            attn_group g = { parts + i * floats, packed + i * hd, attn_least(ATTN_QUERIES, n - i), { 0 } };
            for (size_t j = 0; j < g.n; j++)
                g.limit[j] = a->n_keys + (first + i + j) / a->n_heads * a->key_step;
            ATTN(take_tile)(&t, &g, pos);
        }
    }
}

#ifdef ATTN_OWN
#  define ATTN_PACK ATTN(pack)
#else
#  define ATTN_PACK attn_pack
#endif

static void ATTN(attend)(const qw_attend_args *a) { attn_all_splits(a, ATTN_PACK, ATTN(take_split)); }

static void ATTN(attend_splits)(const qw_attend_args *a, size_t first, size_t n, float *parts, size_t split_stride)
{
    attn_some_splits(a, first, n, parts, split_stride, ATTN_PACK, ATTN(take_split));
}

#undef ATTN
#undef ATTN_PACK
#undef ATTN_NAME
#undef ATTN_VALUE
#undef ATTN_LOAD
#undef ATTN_SCALED
#undef ATTN_OWN
#undef ATTN_PAIRS
