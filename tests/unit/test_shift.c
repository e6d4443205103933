/* Positions of a cache move down: afterwards it is as if the tokens had come at their new places at once. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "compute/ops.h"
#include "kernels/kernels.h"

enum { HD = 64, HALF = 16, KV = 2, CACHES = 3, N = 1100, PAGES = (N + QW_KV_PAGE - 1) / QW_KV_PAGE, GAP = 128 };

static qw_rng rng;

typedef struct cache {
    qw_kv_type type;
    void *pages[PAGES];
    size_t offsets[CACHES];
} cache;

/* Rows [CACHES * KV][N][HD], before rotation. */
static float *keys, *values;

static cache make_cache(qw_kv_type type)
{
    cache c = { .type = type };
    const size_t layer = GAP + KV * qw_kv_bytes(type, HD, QW_KV_PAGE);
    for (size_t i = 0; i < CACHES; i++)
        c.offsets[i] = GAP + i * layer;
    for (size_t i = 0; i < PAGES; i++) {
        assert_non_null(c.pages[i] = qw_alloc_aligned(CACHES * layer + GAP));
        memset(c.pages[i], 0x5A, CACHES * layer + GAP);
    }
    return c;
}

static void drop_cache(cache *c)
{
    for (size_t i = 0; i < PAGES; i++)
        qw_free_aligned(c->pages[i]);
}

static qw_kv head_of(const cache *c, size_t i)
{
    return (qw_kv){
        .type = c->type, .head_dim = HD, .pages = c->pages, .offset = c->offsets[i / KV] + i % KV * qw_kv_bytes(c->type, HD, QW_KV_PAGE)
    };
}

static void angles(float *cos_row, float *sin_row, double pos)
{
    for (size_t i = 0; i < HALF; i++) {
        const double angle = pos * pow(10000, -(double)i / HALF);
        cos_row[i] = (float)cos(angle);
        sin_row[i] = (float)sin(angle);
    }
}

/* Row `row` of all heads becomes position `pos` of the cache. */
static void put(const qw_kernels *k, const cache *c, size_t row, size_t pos)
{
    float cos_row[HALF], sin_row[HALF], key[HD];
    angles(cos_row, sin_row, (double)pos);
    for (size_t i = 0; i < CACHES * KV; i++) {
        const qw_kv kv = head_of(c, i);
        memcpy(key, keys + (i * N + row) * HD, sizeof key);
        k->rope(key, cos_row, sin_row, HALF);
        k->kv_append[c->type](&(qw_kv_append_args){ .kv = &kv, .pos = pos, .n = 1, .k = key, .v = values + (i * N + row) * HD });
    }
}

static void shift(qw_ops *ops, const cache *c, size_t from, size_t n, size_t by)
{
    float cos_row[HALF], sin_row[HALF];
    angles(cos_row, sin_row, -(double)by);
    qw_op_shift(ops, &(qw_shift_args){ .pages = c->pages,
                                       .offsets = c->offsets,
                                       .n_caches = CACHES,
                                       .type = c->type,
                                       .n_kv_heads = KV,
                                       .head_dim = HD,
                                       .half = HALF,
                                       .from = from,
                                       .n = n,
                                       .by = by,
                                       .cos = cos_row,
                                       .sin = sin_row });
}

/* The largest distance of two rows, in units of the largest of the second. */
static double distance(const float *x, const float *y)
{
    double worst = 0, most = 0;
    for (size_t d = 0; d < HD; d++) {
        worst = fmax(worst, fabs((double)x[d] - (double)y[d]));
        most = fmax(most, fabs((double)y[d]));
    }
    return worst / most;
}

/* A rounding is e of the largest of its row. Fresh keys have one; those that moved have theirs, and the one of before, which the rotation may make larger by the
 * square root of two, as may be the row that it was of. In floats: the angle's own rounding, and one multiplication more. */
static double error_of(qw_kv_type t)
{
    static const double error[] = {
        [QW_KV_F32] = 1e-6, [QW_KV_F16] = 4 * 0x1p-11, [QW_KV_BF16] = 4 * 0x1p-8, [QW_KV_Q8] = 4 * 0.5 / 127, [QW_KV_Q4] = 4 * 0.2
    };
    return error[t];
}

static void attend(const qw_kernels *k, const qw_kv *kv, size_t n, float *out)
{
    void *scratch = qw_alloc_aligned(qw_attend_scratch(HD));
    k->attend[kv->type](&(qw_attend_args){ .kv = kv,
                                           .q = keys,
                                           .out = out,
                                           .q_token_stride = HD,
                                           .out_token_stride = HD,
                                           .n_tokens = 1,
                                           .n_heads = 1,
                                           .n_keys = n,
                                           .scale = 0.125F,
                                           .scratch = scratch });
    qw_free_aligned(scratch);
}

/* Positions before stay to the bit, those that moved are as fresh ones, and attention sees no difference. */
static void expect_fresh(const qw_kernels *k, const cache *moved, const cache *fresh, size_t stay, size_t n)
{
    float a[2 * HD], b[2 * HD];
    for (size_t i = 0; i < CACHES * KV; i++) {
        const qw_kv x = head_of(moved, i), y = head_of(fresh, i);
        for (size_t pos = 0; pos < n; pos++) {
            qw_kv_get(&x, pos, a, a + HD);
            qw_kv_get(&y, pos, b, b + HD);
            assert_memory_equal(a + HD, b + HD, HD * sizeof *a);
            if (pos < stay)
                assert_memory_equal(a, b, HD * sizeof *a);
            assert_true(distance(a, b) <= error_of(moved->type));
        }
        attend(k, &x, n, a);
        attend(k, &y, n, b);
        assert_true(distance(a, b) <= 2 * error_of(moved->type));
    }
}

/* Within a page, over its border, by whole pages, and with a last block that is not full. */
static void moved_positions_are_as_fresh_ones(void **state)
{
    (void)state;
    static const struct {
        size_t from, n, by;
    } cases[] = { { 16, 17, 16 }, { 64, 500, 32 }, { 560, 1100, 48 }, { 1024, 1100, 1024 }, { 528, 1099, 512 }, { 96, 96, 96 } };
    const qw_kernels k = qw_kernels_get();
    qw_ops *ops;
    assert_int_equal(qw_ops_create(&ops, &(qw_ops_options){ .n_threads = 3 }, NULL), QWREN_OK);
    assert_int_equal(qw_ops_reserve(ops, &(qw_ops_needs){ .cols = HD, .head_dim = HD, .heads_per_kv = 1 }, NULL), QWREN_OK);
    for (qw_kv_type type = 0; type < QW_KV_PAIRS; type++)
        for (size_t c = 0; c < sizeof cases / sizeof *cases; c++) {
            const size_t from = cases[c].from, n = cases[c].n, by = cases[c].by;
            cache moved = make_cache(type), fresh = make_cache(type);
            for (size_t row = 0; row < n; row++)
                put(&k, &moved, row, row);
            shift(ops, &moved, from, n, by);
            for (size_t pos = 0; pos < n - by; pos++)
                put(&k, &fresh, pos < from - by ? pos : pos + by, pos);
            if (n > by)
                expect_fresh(&k, &moved, &fresh, from - by, n - by);
            drop_cache(&moved), drop_cache(&fresh);
        }
    qw_ops_free(ops);
}

static int make_rows(void **state)
{
    (void)state;
    const size_t n = (size_t)CACHES * KV * N * HD;
    keys = malloc(n * sizeof *keys), values = malloc(n * sizeof *values);
    qw_rng_seed(&rng, 7);
    for (size_t i = 0; keys && values && i < n; i++) {
        keys[i] = (float)(2 * qw_rng_double(&rng) - 1);
        values[i] = (float)(2 * qw_rng_double(&rng) - 1);
    }
    return keys && values ? 0 : -1;
}

static int drop_rows(void **state)
{
    (void)state;
    free(keys), free(values);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(moved_positions_are_as_fresh_ones) };
    return cmocka_run_group_tests(tests, make_rows, drop_rows);
}
