/* The cache of keys and values and attention over it, on every level that this machine can run: rows come out as they went in, results are those of a softmax
 * in double precision, and they are the same to the bit however tokens, splits and calls are cut, whatever lies behind the last key, and whether the cache lies in one piece or
 * in pages. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "kernels/kernels.h"
#include "quant/half.h"

static qw_rng rng;

static size_t between(size_t low, size_t high) { return low + (size_t)(qw_rng_double(&rng) * (double)(high - low + 1)); }
static float normal(void) { return (float)(sqrt(-2 * log(1 - qw_rng_double(&rng))) * cos(6.283185307179586 * qw_rng_double(&rng))); }

static bool in_pages; /* what enter() makes of the cache */

/* Keys, values and queries of one head, a cache of its own size full of NaN, and room for answers. */
typedef struct room {
    const qw_kernels *k;
    qw_kv kv;
    size_t head_dim, n_heads, n_tokens, n_keys, total; /* keys that the first and the last token see */
    size_t key_step;
    float *keys, *values, *q, *out, scale;
    void *scratch, **pages; /* [n_pages] */
    size_t n_pages;
} room;

static float *floats(size_t n)
{
    float *x = malloc(n * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < n; i++)
        x[i] = normal();
    return x;
}

/* All bits set are NaN in every float format, and -1 among the codes of eight bits, whose scales are NaN. */
static void poison(room *r)
{
    const size_t block = qw_kv_block_bytes(r->kv.type, r->head_dim);
    for (size_t pos = 0; pos < r->total; pos += QW_KV_BLOCK)
        memset(qw_kv_block_at(&r->kv, block, pos), 0xFF, block);
}

/* What the cache holds, in one piece; to be freed. */
static void *bytes_of(const room *r)
{
    const size_t block = qw_kv_block_bytes(r->kv.type, r->head_dim);
    char *all = malloc(qw_kv_bytes(r->kv.type, r->head_dim, r->total));
    assert_non_null(all);
    for (size_t pos = 0; pos < r->total; pos += QW_KV_BLOCK)
        memcpy(all + pos / QW_KV_BLOCK * block, qw_kv_block_at(&r->kv, block, pos), block);
    return all;
}

/* In one piece; or in pages that lie anywhere, the first of them behind the others, each only as long as it must be and with something before it. */
static qw_kv make_cache(room *r, qw_kv_type type)
{
    qw_kv kv = { .type = type, .head_dim = r->head_dim };
    if (!in_pages) {
        kv.data = qw_alloc_aligned(qw_kv_bytes(type, r->head_dim, r->total));
        assert_non_null(kv.data);
        return kv;
    }
    r->n_pages = (r->total + QW_KV_PAGE - 1) / QW_KV_PAGE;
    kv.pages = r->pages = malloc(r->n_pages * sizeof *r->pages);
    assert_non_null(r->pages);
    kv.offset = 64 * between(0, 5);
    for (size_t i = r->n_pages; i-- > 0;) {
        const size_t left = r->total - i * QW_KV_PAGE;
        r->pages[i] = qw_alloc_aligned(kv.offset + qw_kv_bytes(type, r->head_dim, left < QW_KV_PAGE ? left : QW_KV_PAGE));
        assert_non_null(r->pages[i]);
    }
    return kv;
}

static room enter(const qw_kernels *k, qw_kv_type type, size_t head_dim, size_t n_heads, size_t n_tokens, size_t n_keys, size_t key_step)
{
    room r = { .k = k, .head_dim = head_dim, .n_heads = n_heads, .n_tokens = n_tokens, .n_keys = n_keys, .key_step = key_step };
    r.total = n_keys + (n_tokens - 1) * key_step;
    r.scale = 1 / sqrtf((float)head_dim);
    r.keys = floats(r.total * head_dim);
    r.values = floats(r.total * head_dim);
    r.q = floats(n_tokens * n_heads * head_dim);
    r.out = floats(n_tokens * n_heads * head_dim);
    r.scratch = qw_alloc_aligned(qw_attend_scratch(head_dim));
    r.kv = make_cache(&r, type);
    poison(&r);
    return r;
}

static void leave(room *r)
{
    free(r->keys), free(r->values), free(r->q), free(r->out);
    qw_free_aligned(r->scratch);
    qw_free_aligned(r->kv.data);
    for (size_t i = 0; i < r->n_pages; i++)
        qw_free_aligned(r->pages[i]);
    free(r->pages);
}

static void append(room *r, size_t pos, size_t n)
{
    const size_t hd = r->head_dim;
    r->k->kv_append[r->kv.type](&(qw_kv_append_args){
        .kv = &r->kv, .pos = pos, .n = n, .k = r->keys + pos * hd, .v = r->values + pos * hd, .k_stride = hd, .v_stride = hd });
}

static qw_attend_args args_of(const room *r, size_t token, size_t n_tokens, float *out)
{
    const size_t row = r->n_heads * r->head_dim;
    return (qw_attend_args){ .kv = &r->kv,
                             .q = r->q + token * row,
                             .out = out + token * row,
                             .q_token_stride = row,
                             .q_head_stride = r->head_dim,
                             .out_token_stride = row,
                             .out_head_stride = r->head_dim,
                             .n_tokens = n_tokens,
                             .n_heads = r->n_heads,
                             .n_keys = r->n_keys + token * r->key_step,
                             .key_step = r->key_step,
                             .scale = r->scale,
                             .scratch = r->scratch };
}

static void attend(room *r, size_t token, size_t n_tokens, float *out)
{
    const qw_attend_args a = args_of(r, token, n_tokens, out);
    r->k->attend[r->kv.type](&a);
}

/* On every level, for every type, in one piece and in pages. */
static void each(void (*test)(const qw_kernels *k, qw_kv_type type))
{
    for (qw_cpu_level level = 0; level < QW_CPU_LEVELS; level++) {
        if (!qw_cpu_can(level))
            continue;
        const qw_kernels k = qw_kernels_of(level);
        for (qw_kv_type t = 0; t < QW_KV_TYPES; t++)
            for (int paged = 0; k.attend[t] && paged < 2; paged++) {
                in_pages = paged;
                test(&k, t);
            }
    }
}

/* ---- the cache */

/* Relative to the row's largest: F16 half of 2^-10, BF16 of 2^-7 of the value itself, Q8 half of a step of 1/127. Q4 a step of 1/8 where 8 would be the code; keys, which are
 * turned, gather the errors of many values: measured 0.16. */
static double error_of(qw_kv_type t)
{
    static const double error[] = {
        [QW_KV_F32] = 0, [QW_KV_F16] = 0x1p-11, [QW_KV_BF16] = 0x1p-8, [QW_KV_Q8] = 0.5001 / 127, [QW_KV_Q4] = 0.2, [QW_KV_PAIRS] = 0x1p-8
    };
    return error[t];
}

static void rows_are_near(const float *got, const float *want, size_t n, double error)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)want[i]));
    for (size_t i = 0; i < n; i++)
        assert_true(fabs((double)got[i] - (double)want[i]) <= error * most + 6e-8);
}

static void rows_come_back(const qw_kernels *k, qw_kv_type type)
{
    static const size_t dims[] = { 1, 2, 15, 16, 17, 64, 72, 256 };
    for (size_t c = 0; c < sizeof dims / sizeof *dims; c++) {
        const size_t hd = dims[c], n = between(1, 70);
        room r = enter(k, type, hd, 1, 1, n, 0);
        float *row = floats(2 * hd);
        for (size_t at = 0, m; at < n; at += m) {
            m = between(1, n - at);
            append(&r, at, m);
        }
        for (size_t i = 0; i < n; i++) {
            qw_kv_get(&r.kv, i, row, row + hd);
            rows_are_near(row, r.keys + i * hd, hd, error_of(type));
            rows_are_near(row + hd, r.values + i * hd, hd, error_of(type));
        }
        free(row);
        leave(&r);
    }
}

static void what_goes_in_comes_out(void **state)
{
    (void)state;
    each(rows_come_back);
}

/* All levels write the same bytes. */
static void levels_write_the_same(const qw_kernels *k, qw_kv_type type)
{
    const qw_kernels plain = qw_kernels_of(QW_CPU_PORTABLE);
    if (!plain.kv_append[type])
        return;
    for (int round = 0; round < 20; round++) {
        const size_t hd = between(1, 100), n = round % 5 ? between(1, 40) : between(500, 1100), bytes = qw_kv_bytes(type, hd, n);
        room r = enter(k, type, hd, 1, 1, n, 0);
        if (round % 4 == 3)
            r.keys[between(0, n * hd - 1)] = INFINITY, r.values[between(0, n * hd - 1)] = -1e20F;
        if (round % 4 == 2)
            memset(r.keys, 0, n * hd * sizeof *r.keys);
        append(&r, 0, n);
        void *first = bytes_of(&r);
        poison(&r);
        r.k = &plain;
        append(&r, 0, n);
        void *second = bytes_of(&r);
        assert_memory_equal(first, second, bytes);
        free(first), free(second);
        leave(&r);
    }
}

static void caches_are_equal(void **state)
{
    (void)state;
    each(levels_write_the_same);
}

/* What turns keys is its own inverse and keeps their length; rows that are no whole groups stay. */
static void turning_twice_is_nothing(void **state)
{
    (void)state;
    static const size_t dims[] = { 16, 32, 64, 72, 96, 256, 320, 512 };
    for (size_t c = 0; c < sizeof dims / sizeof *dims; c++)
        for (size_t lanes = 1; lanes <= 4; lanes += 3) {
            const size_t n = dims[c] * lanes;
            float *x = floats(n), *y = malloc(n * sizeof *y);
            double before = 0, after = 0;
            memcpy(y, x, n * sizeof *y);
            qw_kv_rotate(y, dims[c], lanes);
            assert_true((memcmp(x, y, n * sizeof *y) == 0) == (dims[c] % QW_KV_GROUP != 0));
            for (size_t i = 0; i < n; i++)
                before += (double)x[i] * (double)x[i], after += (double)y[i] * (double)y[i];
            assert_true(fabs(after - before) <= 1e-5 * before);
            qw_kv_rotate(y, dims[c], lanes);
            rows_are_near(y, x, n, 1e-6);
            free(x), free(y);
        }
}

/* A dimension that is 25 times as large as the others would take all their codes in a group of 32. */
static void a_large_dimension_leaves_the_others_bits(void **state)
{
    (void)state;
    const qw_kernels k = qw_kernels_get();
    in_pages = false;
    room r = enter(&k, QW_KV_Q4, 256, 1, 1, 100, 0);
    double error = 0, size = 0;
    for (size_t i = 0; i < 100; i++)
        r.keys[i * 256 + 37] = 25;
    append(&r, 0, 100);
    for (size_t i = 0; i < 100; i++) {
        float key[256];
        qw_kv_get(&r.kv, i, key, NULL);
        for (size_t d = 0; d < 256; d++)
            if (d != 37) {
                error += pow((double)key[d] - (double)r.keys[i * 256 + d], 2);
                size += pow((double)r.keys[i * 256 + d], 2);
            }
    }
    assert_true(error <= 0.03 * size); /* 1 when all of them become 0 */
    leave(&r);
}

/* ---- attention against double precision */

/* The largest distance of one query's answer from the softmax over n rows. */
static double distance(const room *r, const float *q, const float *out, size_t n, const float *keys, const float *values)
{
    const size_t hd = r->head_dim;
    double *score = malloc(n * sizeof *score), *want = calloc(hd, sizeof *want), top = -INFINITY, total = 0, worst = 0;
    for (size_t j = 0; j < n; j++) {
        score[j] = 0;
        for (size_t d = 0; d < hd; d++)
            score[j] += (double)q[d] * (double)keys[j * hd + d];
        score[j] *= (double)r->scale;
        top = fmax(top, score[j]);
    }
    for (size_t j = 0; j < n; j++)
        total += score[j] = exp(score[j] - top);
    for (size_t j = 0; j < n; j++)
        for (size_t d = 0; d < hd; d++)
            want[d] += score[j] / total * (double)values[j * hd + d];
    for (size_t d = 0; d < hd; d++)
        worst = fmax(worst, fabs(want[d] - (double)out[d])); /* NaN would vanish here */
    for (size_t d = 0; d < hd; d++)
        assert_true(isfinite(out[d]));
    free(score), free(want);
    return worst;
}

/* From the rows that went in, or from those that are cached. */
static double worst_distance(const room *r, bool cached)
{
    double worst = 0;
    const size_t hd = r->head_dim;
    float *keys = floats(r->total * hd), *values = floats(r->total * hd);
    for (size_t j = 0; j < r->total; j++)
        qw_kv_get(&r->kv, j, keys + j * hd, values + j * hd);
    for (size_t i = 0; i < r->n_tokens * r->n_heads; i++)
        worst = fmax(worst, distance(r, r->q + i * hd, r->out + i * hd, r->n_keys + i / r->n_heads * r->key_step, cached ? keys : r->keys,
                                     cached ? values : r->values));
    free(keys), free(values);
    return worst;
}

/* Against the rows that are cached only the arithmetic is left: scores within 1e-6 of sums of 100 terms, weights within 1e-6. PAIRS rounds queries and weights. */
static double arithmetic_error(qw_kv_type t) { return t == QW_KV_PAIRS ? 0.02 : 1e-5; }
/* Against the rows that went in, random ones, so that errors of scores and values add: measured 0.0005, 0.012 and 0.02; Q4 0.21. */
static double total_error(qw_kv_type t)
{
    static const double error[] = {
        [QW_KV_F32] = 1e-5, [QW_KV_F16] = 0.0015, [QW_KV_BF16] = 0.04, [QW_KV_Q8] = 0.03, [QW_KV_Q4] = 0.4, [QW_KV_PAIRS] = 0.04
    };
    return error[t];
}

static void is_softmax(const qw_kernels *k, qw_kv_type type)
{
    static const size_t dims[] = { 1, 8, 16, 31, 64, 72, 80, 128, 256 };
    static const size_t keys[] = { 1, 15, 16, 17, 63, 64, 65, 511, 512, 513, 1024, 1100 };
    for (size_t c = 0; c < sizeof keys / sizeof *keys; c++) {
        room r = enter(k, type, dims[between(0, 8)], between(1, 6), between(1, 9), keys[c], c % 3 ? 1 : 0);
        const float size = c % 4 ? 1 : 20; /* 20: scores of several hundred, a plain exp would overflow */
        for (size_t i = 0; i < r.n_tokens * r.n_heads * r.head_dim; i++)
            r.q[i] *= size;
        append(&r, 0, r.total);
        attend(&r, 0, r.n_tokens, r.out);
        assert_true(worst_distance(&r, true) <= arithmetic_error(type) * (double)size);
        assert_true(worst_distance(&r, false) <= total_error(type) * (double)size);
        leave(&r);
    }
}

static void attention_is_softmax(void **state)
{
    (void)state;
    each(is_softmax);
}

/* ---- the same bits */

static void by_parts(room *r, size_t token, size_t n_tokens, float *out)
{
    const qw_attend_args a = args_of(r, token, n_tokens, out);
    const size_t queries = n_tokens * r->n_heads, splits = qw_attend_splits(a.n_keys + (n_tokens - 1) * r->key_step);
    const size_t row = qw_attend_part_floats(r->head_dim);
    float *parts = qw_alloc_aligned(queries * splits * row * sizeof *parts);
    for (size_t s = splits, n; s > 0; s -= n) { /* runs of any length, the last ones first */
        n = between(1, s);
        r->k->attend_splits[r->kv.type](&a, s - n, n, parts + (s - n) * queries * row, queries * row);
    }
    for (size_t i = 0; i < queries; i++)
        r->k->attend_merge(a.out + i * r->head_dim, r->head_dim, parts + i * row, queries * row, splits);
    qw_free_aligned(parts);
}

/* Token by token while the cache grows, in random cuts, all at once, split by split: one answer. */
static void cuts_do_not_matter(const qw_kernels *k, qw_kv_type type)
{
    static const size_t dims[] = { 8, 64, 72, 256 };
    for (int round = in_pages ? 6 : 0, end = round + 6; round < end; round++) {
        const size_t n_keys = round % 3 == 0 ? between(505, 515) : round % 3 == 1 ? between(1, 70) : between(1000, 1030);
        room r = enter(k, type, dims[round % 4], between(1, 5), between(1, 40), n_keys, round % 4 != 3);
        const size_t n = r.n_tokens * r.n_heads * r.head_dim;
        float *grown = floats(n), *cut = floats(n), *split = floats(n);
        append(&r, 0, n_keys);
        for (size_t t = 0; t < r.n_tokens; t++) {
            if (t && r.key_step)
                append(&r, n_keys + t - 1, 1);
            attend(&r, t, 1, grown);
        }
        attend(&r, 0, r.n_tokens, r.out);
        assert_memory_equal(grown, r.out, n * sizeof *grown);
        for (size_t t = 0, m; t < r.n_tokens; t += m) {
            m = between(1, r.n_tokens - t);
            attend(&r, t, m, cut);
            by_parts(&r, t, m, split);
        }
        assert_memory_equal(cut, r.out, n * sizeof *cut);
        assert_memory_equal(split, r.out, n * sizeof *split);
        free(grown), free(cut), free(split);
        leave(&r);
    }
}

static void one_answer(void **state)
{
    (void)state;
    each(cuts_do_not_matter);
}

/* The same rows in one piece and in pages, which the rows of one call may cross: the same bytes, the same answers. */
static void one_piece_or_pages(const qw_kernels *k, qw_kv_type type)
{
    static const size_t dims[] = { 3, 64, 72, 256 };
    if (in_pages)
        return;
    for (int round = 0; round < 8; round++) {
        room r = enter(k, type, dims[round % 4], between(1, 5), between(1, 20), between(1, 2 * QW_KV_PAGE + 40), round % 2);
        const size_t n = r.n_tokens * r.n_heads * r.head_dim;
        float *split = floats(n), *whole = floats(n);
        append(&r, 0, r.total);
        attend(&r, 0, r.n_tokens, whole);
        void *bytes = bytes_of(&r), *piece = r.kv.data;
        in_pages = true;
        r.kv = make_cache(&r, type);
        poison(&r);
        for (size_t at = 0, m; at < r.total; at += m) {
            m = between(1, r.total - at);
            append(&r, at, m);
        }
        void *paged = bytes_of(&r);
        attend(&r, 0, r.n_tokens, r.out);
        by_parts(&r, 0, r.n_tokens, split);
        assert_memory_equal(bytes, paged, qw_kv_bytes(type, r.head_dim, r.total));
        assert_memory_equal(whole, r.out, n * sizeof *whole);
        assert_memory_equal(whole, split, n * sizeof *whole);
        in_pages = false;
        free(bytes), free(paged), free(split), free(whole);
        qw_free_aligned(piece);
        leave(&r);
    }
}

static void pages_change_nothing(void **state)
{
    (void)state;
    each(one_piece_or_pages);
}

/* ---- levels, and what is not a number */

/* All levels with vectors add in one order. Plain C has another, and PAIRS is one level's alone. */
static void levels_agree(const qw_kernels *k, qw_kv_type type)
{
    static qw_kernels first;
    if (k->attend_merge == qw_kernels_of(QW_CPU_PORTABLE).attend_merge || type == QW_KV_PAIRS)
        return;
    if (!first.attend_merge)
        first = *k;
    for (int round = 0; round < 6; round++) {
        room r = enter(&first, type, between(1, 270), between(1, 6), between(1, 30), between(1, 1100), round % 2);
        const size_t n = r.n_tokens * r.n_heads * r.head_dim;
        float *want = floats(n);
        append(&r, 0, r.total);
        by_parts(&r, 0, r.n_tokens, want);
        r.k = k;
        poison(&r);
        append(&r, 0, r.total);
        attend(&r, 0, r.n_tokens, r.out);
        assert_memory_equal(want, r.out, n * sizeof *want);
        free(want);
        leave(&r);
    }
}

static void levels_are_equal(void **state)
{
    (void)state;
    each(levels_agree);
}

/* A key or a value that is no number is seen by those tokens alone that look at it, and not hidden from them. */
static void what_is_no_number_shows(const qw_kernels *k, qw_kv_type type)
{
    for (int round = 0; round < 4; round++) {
        room r = enter(k, type, 64, 4, 30, round % 2 ? 500 : 3, 1);
        const size_t at = r.n_keys + 11, row = r.n_heads * r.head_dim;
        float *good = floats(r.n_tokens * row);
        append(&r, 0, r.total);
        attend(&r, 0, r.n_tokens, good);
        *(round < 2 ? r.keys + at * 64 : r.values + at * 64) = round % 2 ? NAN : INFINITY;
        append(&r, at, 1);
        attend(&r, 0, r.n_tokens, r.out);
        assert_memory_equal(good, r.out, 12 * row * sizeof *good);
        for (size_t t = 12; t < r.n_tokens; t++)
            for (size_t h = 0; h < r.n_heads; h++)
                if (round >= 2 || round % 2 || type == QW_KV_Q8 ||
                    type == QW_KV_Q4) /* an infinite key may have a score of minus infinity: no weight */
                    assert_false(isfinite(r.out[t * row + h * 64]));
        free(good);
        leave(&r);
    }
}

static void no_number_is_hidden(void **state)
{
    (void)state;
    each(what_is_no_number_shows);
}

int main(void)
{
    qw_rng_seed(&rng, 20261126);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_goes_in_comes_out),   cmocka_unit_test(caches_are_equal),
        cmocka_unit_test(turning_twice_is_nothing), cmocka_unit_test(a_large_dimension_leaves_the_others_bits),
        cmocka_unit_test(attention_is_softmax),     cmocka_unit_test(one_answer),
        cmocka_unit_test(pages_change_nothing),     cmocka_unit_test(levels_are_equal),
        cmocka_unit_test(no_number_is_hidden),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
