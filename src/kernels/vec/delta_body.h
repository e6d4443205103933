/* The gated delta rule for one value head over v16, in place of ref/delta.c. Included by x86/delta_*.c and arm/delta_neon.c; tested by
 * tests/unit/test_kernels_delta.c.
 *
 * Columns of the state do not know of each other, so a slice of them goes through all tokens of a block and stays in the first-level cache meanwhile: 128 x 32
 * floats are 16 KB. Decays stay outside: what stands in memory is S / G, where G is the product of the decays, and a token is one pass
 *   r = (S / G)^T k, made in the pass of the token before;  G <- g G;  delta = beta (v - G r);  S / G += k (delta / G);  o = G ((S / G)^T q)
 * with one load, one store and three operations of the multiplier per 16 values. When G falls below 2^-40 the pass multiplies it in and begins anew with 1;
 * that depends on G alone, which is part of the state. Sums go over the rows in order. So neither the width of a slice nor the cut of the tokens can be seen in a
 * result. */
#include "kernels/kernels.h"
#include "kernels/vec/math.h"

#include <math.h>
#include <stdbool.h>

#define DELTA_FOLD 0x1p-40F

#define ALWAYS_INLINE static inline __attribute__((always_inline))

/* Tokens made ready: rows of q and k normalised, v padded with zeros to whole vectors. All in the caller's scratch. */
typedef struct block {
    size_t n;
    float *decay, *beta; /* [n]; decay: G behind the token, before it is multiplied in */
    float *q, *k;        /* [n, dk] */
    float *v;            /* [n, v_stride] */
    size_t v_stride;
    float *slice;  /* [dk, QW_DELTA_SLICE] */
    float *sums;   /* [dv]: S^T k of the first token */
    bool on_trial; /* the state is read alone */
} block;

/* y = x / sqrt(sum x^2 + 1e-6) * scale */
static void normalise(float *y, const float *x, size_t n, float scale)
{
    v16 sum = v16_zero();
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        v16 part = v16_load(x + i);
        sum = v16_fma(part, part, sum);
    }
    if (i < n) {
        v16 part = v16_load_n(x + i, n - i);
        sum = v16_fma(part, part, sum);
    }
    const v16 factor = v16_set(scale / sqrtf(v16_sum(sum) + 1e-6F));
    for (i = 0; i + 16 <= n; i += 16)
        v16_store(y + i, v16_mul(v16_load(x + i), factor));
    if (i < n)
        v16_store_n(y + i, v16_mul(v16_load_n(x + i, n - i), factor), n - i);
}

static void copy_padded(float *y, const float *x, size_t n)
{
    size_t i = 0;
    for (; i + 16 <= n; i += 16)
        v16_store(y + i, v16_load(x + i));
    if (i < n)
        v16_store(y + i, v16_load_n(x + i, n - i));
}

/* Decays become G behind each token; the state's own moves on. */
static void follow_scale(block *b, float *scale)
{
    float G = *scale == 0 ? 1.0F : *scale; /* a state of zeros */
    for (size_t i = 0; i < b->n; i++) {
        b->decay[i] *= G;
        G = b->decay[i] < DELTA_FOLD ? 1.0F : b->decay[i];
    }
    *scale = G;
}

static block make_block(const qw_delta_args *a, size_t first)
{
    const size_t left = a->n_tokens - first, dk = a->key_dim;
    block b = { .n = left < QW_DELTA_BLOCK ? left : QW_DELTA_BLOCK, .v_stride = (a->value_dim + 15) / 16 * 16, .on_trial = a->on_trial };
    b.slice = a->scratch; /* first, where an aligned scratch keeps it aligned */
    b.v = b.slice + dk * QW_DELTA_SLICE;
    b.decay = b.v + QW_DELTA_BLOCK * b.v_stride;
    b.beta = b.decay + QW_DELTA_BLOCK;
    b.q = b.beta + QW_DELTA_BLOCK;
    b.k = b.q + QW_DELTA_BLOCK * dk;
    b.sums = b.k + QW_DELTA_BLOCK * dk;
    const float scale = 1.0F / sqrtf((float)dk);
    for (size_t i = 0; i < b.n; i++) {
        const size_t t = first + i;
        b.decay[i] = a->log_decay[t * a->gate_stride];
        b.beta[i] = a->beta[t * a->gate_stride];
        normalise(b.q + i * dk, a->q + t * a->in_stride, dk, scale);
        normalise(b.k + i * dk, a->k + t * a->in_stride, dk, 1.0F);
        copy_padded(b.v + i * b.v_stride, a->v + t * a->in_stride, a->value_dim);
    }
    for (size_t i = 0; i < b.n; i += 16)
        if (b.n - i >= 16)
            v16_store(b.decay + i, v16_exp(v16_load(b.decay + i)));
        else
            v16_store_n(b.decay + i, v16_exp(v16_load_n(b.decay + i, b.n - i)), b.n - i);
    float scale_of_trial = a->state[dk * a->value_dim];
    follow_scale(&b, a->on_trial ? &scale_of_trial : a->state + dk * a->value_dim);
    return b;
}

/* W vectors of columns of a state or a copy of it */
typedef struct columns {
    float *p;
    size_t stride;
} columns;

/* r [16 W] = S^T k */
ALWAYS_INLINE void read_state(v16 *r, columns S, size_t dk, const float *k, const int W)
{
    for (int w = 0; w < W; w++)
        r[w] = v16_zero();
    for (size_t i = 0; i < dk; i++) {
        const v16 ki = v16_set(k[i]);
#pragma GCC unroll 8
        for (int w = 0; w < W; w++)
            r[w] = v16_fma(v16_load(S.p + i * S.stride + 16 * w), ki, r[w]);
    }
}

ALWAYS_INLINE void store_sums(float *sums, columns S, size_t dk, const float *k, const int W)
{
    v16 r[8];
    read_state(r, S, dk, k, W);
    for (int w = 0; w < W; w++)
        v16_store(sums + 16 * w, r[w]);
}

/* The whole state once, row after row, as memory likes it: its slices, small parts of each row, are then found in the second-level cache. */
static void read_rows(const block *b, float *state, size_t dk, size_t dv)
{
    size_t c = 0;
    for (; c + 16 * DELTA_WIDE <= dv; c += 16 * DELTA_WIDE)
        store_sums(b->sums + c, (columns){ state + c, dv }, dk, b->k, DELTA_WIDE);
    for (; c + 16 <= dv; c += 16)
        store_sums(b->sums + c, (columns){ state + c, dv }, dk, b->k, 1);
}

/* One token: to = fold S + k d^T and o = to^T q; unless it is the last one, also r = to^T next. fold: NULL for 1. */
ALWAYS_INLINE void pass(v16 *o, v16 *r, columns S, columns to, size_t dk, const float *fold, const v16 *d, const float *k, const float *q,
                        const float *next, const int W)
{
    const v16 g = v16_set(fold ? *fold : 1.0F);
    for (int w = 0; w < W; w++)
        o[w] = r[w] = v16_zero();
    for (size_t i = 0; i < dk; i++) {
        const v16 ki = v16_set(k[i]), qi = v16_set(q[i]), ni = next ? v16_set(next[i]) : v16_zero();
#pragma GCC unroll 8
        for (int w = 0; w < W; w++) {
            v16 s = v16_load(S.p + i * S.stride + 16 * w);
            s = v16_fma(ki, d[w], fold ? v16_mul(g, s) : s);
            v16_store(to.p + i * to.stride + 16 * w, s);
            o[w] = v16_fma(s, qi, o[w]);
            if (next)
                r[w] = v16_fma(s, ni, r[w]);
        }
    }
}

/* One token of the block, after r = S^T k. */
ALWAYS_INLINE void token(const block *b, size_t i, v16 *o, v16 *r, columns S, columns to, size_t dk, const float *v, bool last, const int W)
{
    const float *k = b->k + i * dk, *q = b->q + i * dk, G = b->decay[i];
    const bool fold = G < DELTA_FOLD;
    const v16 decay = v16_set(G), beta = v16_set(b->beta[i]), scale = v16_set(fold ? 1.0F : G), up = v16_set(fold ? 1.0F : 1.0F / G);
    v16 d[8];
    for (int w = 0; w < W; w++) /* delta / G */
        d[w] = v16_mul(up, v16_mul(beta, v16_fnma(decay, r[w], v16_load(v + 16 * w))));
    if (fold)
        pass(o, r, S, to, dk, &G, d, k, q, last ? NULL : k + dk, W);
    else
        pass(o, r, S, to, dk, NULL, d, k, q, last ? NULL : k + dk, W);
    for (int w = 0; w < W; w++)
        o[w] = v16_mul(scale, o[w]);
}

ALWAYS_INLINE void put(float *out, const v16 *o, size_t n, const int W)
{
    for (int w = 0; w < W; w++)
        if (n >= 16 * (size_t)w + 16)
            v16_store(out + 16 * w, o[w]);
        else if (n > 16 * (size_t)w)
            v16_store_n(out + 16 * w, o[w], n - 16 * (size_t)w);
}

/* The only token of a block through the columns S [dk, 16 W]. */
ALWAYS_INLINE void one_token(const block *b, columns S, size_t dk, const float *v, float *out, const int W)
{
    v16 r[8], o[8];
    read_state(r, S, dk, b->k, W);
    token(b, 0, o, r, S, S, dk, v, true, W);
    put(out, o, 16 * (size_t)W, W);
}

/* All tokens of a block through the columns S [dk, 16 W], of which n are written to `out`. On trial they end in the slice. */
ALWAYS_INLINE void tokens(const block *b, columns S, const float *sums, size_t dk, const float *v, float *out, size_t out_stride, size_t n,
                          const int W)
{
    v16 r[8], o[8];
    const columns kept = { b->slice, QW_DELTA_SLICE };
    columns from = S;
    for (int w = 0; w < W; w++)
        r[w] = v16_load(sums + 16 * w);
    for (size_t i = 0; i + 1 < b->n; i++, from = kept, v += b->v_stride, out += out_stride) {
        token(b, i, o, r, from, kept, dk, v, false, W);
        put(out, o, n, W);
    }
    token(b, b->n - 1, o, r, from, b->on_trial ? kept : S, dk, v, true, W);
    put(out, o, n, W);
}

/* Fewer than 16 columns: through a padded copy. */
static void narrow_tokens(const block *b, columns S, size_t dk, const float *v, float *out, size_t out_stride, size_t n)
{
    const columns padded = { b->slice + 16, QW_DELTA_SLICE }; /* the right half: the left one holds the block's copy */
    for (size_t i = 0; i < dk; i++)
        v16_store(padded.p + i * padded.stride, v16_load_n(S.p + i * S.stride, n));
    float sums[16];
    store_sums(sums, padded, dk, b->k, 1);
    tokens(b, padded, sums, dk, v, out, out_stride, n, 1);
    for (size_t i = 0; i < dk && !b->on_trial; i++)
        v16_store_n(S.p + i * S.stride, v16_load(padded.p + i * padded.stride), n);
}

static void delta_block(const block *b, const qw_delta_args *a, size_t first)
{
    float *out = a->out + first * a->out_stride;
    const size_t dk = a->key_dim, dv = a->value_dim;
    size_t c = 0;
    for (; b->n == 1 && !b->on_trial && c + 16 * DELTA_WIDE <= dv; c += 16 * DELTA_WIDE)
        one_token(b, (columns){ a->state + c, dv }, dk, b->v + c, out + c, DELTA_WIDE);
    if (c < dv)
        read_rows(b, a->state, dk, dv);
    for (; c + 32 <= dv; c += 32)
        tokens(b, (columns){ a->state + c, dv }, b->sums + c, dk, b->v + c, out + c, a->out_stride, 32, 2);
    for (; c + 16 <= dv; c += 16)
        tokens(b, (columns){ a->state + c, dv }, b->sums + c, dk, b->v + c, out + c, a->out_stride, 16, 1);
    if (c < dv)
        narrow_tokens(b, (columns){ a->state + c, dv }, dk, b->v + c, out + c, a->out_stride, dv - c);
}

static void delta_v16(const qw_delta_args *a)
{
    for (size_t first = 0; first < a->n_tokens; first += QW_DELTA_BLOCK) {
        const block b = make_block(a, first);
        delta_block(&b, a, first);
    }
}
