/* Eight-bit activations in plain C: how near they come to what was put in, what they do with outliers and odd values, and that the integer product is that of the
 * decoded weights. tests/kernels compares the other levels with these, to the bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/ref/ref.h"

#define COLS 512
#define GROUPS (COLS / QW_Q8_GROUP)

static qw_rng rng;
static int8_t low[COLS];
static qw_q8_group groups[GROUPS];
static qw_q8_fix fixes[COLS / 4];
static float x[COLS];

static float normal(void) { return (float)(sqrt(-2 * log(1 - qw_rng_double(&rng))) * cos(6.283185307179586 * qw_rng_double(&rng))); }

static qw_q8 quantize(int n_fix)
{
    qw_q8 q = { .cols = COLS, .n_fix = n_fix, .low = low, .groups = groups, .fixes = fixes };
    memset(low, 77, sizeof low);
    qw_quantize_ref(&(qw_q8_quantize){ .out = &q, .n_tokens = 1, .n_groups = GROUPS, .x = x });
    return q;
}

static double value(const qw_q8 *q, size_t i)
{
    int v = q->low[i];
    for (int f = 0; f < q->n_fix; f++) {
        const qw_q8_fix *fix = q->fixes + i / 64 * (size_t)q->n_fix + f;
        if (fix->quad == i % 64 / 4)
            v += 128 * fix->high[i % 4];
    }
    return (double)q->groups[i / 64].scale * v;
}

static void every_value_is_near(void **state)
{
    (void)state;
    static const int n_fixes[] = { 0, 1, 2, 4, 16 };
    for (size_t c = 0; c < 5; c++) {
        double sums[GROUPS] = { 0 };
        for (size_t i = 0; i < COLS; i++)
            x[i] = normal() * (i % 97 == 0 ? 40.0F : 1.0F);
        qw_q8 q = quantize(n_fixes[c]);
        for (size_t i = 0; i < COLS; i++) {
            assert_true(fabs(value(&q, i) - (double)x[i]) <= 0.5001 * (double)groups[i / 64].scale);
            sums[i / 64] += value(&q, i);
        }
        for (size_t g = 0; g < GROUPS; g++) {
            const qw_q8_group *p = &groups[g];
            assert_true(fabs(sums[g] - (double)p->sum64) <= 1e-5 * (fabs(sums[g]) + 1));
            assert_true(fabsf(p->sum32[0] + p->sum32[1] - p->sum64) <= 1e-4F);
            assert_true(fabsf(p->sum16[0] + p->sum16[1] + p->sum16[2] + p->sum16[3] - p->sum64) <= 1e-4F);
        }
    }
}

/* A fixed quad spares its neighbours: the scale is theirs. */
static void an_outlier_costs_its_neighbours_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < COLS; i++)
        x[i] = (float)(i % 5) * 0.1F;
    x[70] = 30;
    assert_true(quantize(0).groups[1].scale > 0.2F);
    qw_q8 q = quantize(1);
    assert_true(groups[1].scale < 0.0032F);
    assert_int_equal(fixes[1].quad, 1);
    assert_true(fabs(value(&q, 70) - 30) < 0.0032);
    x[70] = 1e6F; /* too large for what is left: 15 bits must do */
    q = quantize(1);
    assert_true(fabs(value(&q, 70) - 1e6) <= 1e6 / 16256);
}

static void odd_values(void **state)
{
    (void)state;
    static const float odd[] = { NAN, INFINITY, -INFINITY };
    for (size_t c = 0; c < 3; c++) {
        memset(x, 0, sizeof x);
        x[5] = odd[c];
        quantize(2);
        assert_true(isnan(groups[0].scale) && isnan(groups[0].sum64) && isnan(groups[0].sum16[3]));
        assert_true(groups[1].scale == 0 && groups[1].sum64 == 0);
    }
    memset(x, 0, sizeof x);
    x[64] = 1e-38F;
    x[128] = 3e38F;
    quantize(1);
    assert_true(groups[1].scale == 0 && low[64] == 0);
    assert_true(isfinite(groups[2].scale) && isfinite(groups[2].sum64));
}

/* The product with the integers is that of the decoded row with the values, up to the rounding of floats. */
static void the_product_is_that_of_the_decoded_weights(void **state)
{
    (void)state;
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++) {
        if (!qw_q8_has(t))
            continue;
        const bool affine = qw_type_block(t) == 32 && t >= QW_TYPE_AFFINE2;
        static uint8_t data[COLS * 4];
        static float scales[2 * COLS / 32], row[COLS], y[1];
        for (size_t i = 0; i < sizeof data; i++)
            data[i] = (uint8_t)(qw_rng_u32(&rng) & (affine || i % 2 == 0 ? 255U : 0x3FU)); /* halves stay finite */
        for (size_t i = 0; i < 2 * COLS / 32; i++)
            scales[i] = normal();
        for (int group = 32; group <= (affine ? 128 : 32); group *= 2) {
            qw_matrix w = { .type = t, .rows = 1, .cols = COLS, .data = data };
            if (affine) {
                w.scales = scales;
                w.biases = scales + COLS / 32;
                w.scale_type = QW_TYPE_F32;
                w.group = group;
            }
            for (size_t i = 0; i < COLS; i++)
                x[i] = normal();
            qw_q8 q = quantize(2);
            qw_matmul_q8_ref(&(qw_q8_matmul){ .y = y, .y_stride = 1, .w = &w, .n_rows = 1, .x = &q, .n_tokens = 1 });
            qw_matrix_decode(&w, 0, 0, COLS, row);
            double want = 0, bound = 0;
            for (size_t i = 0; i < COLS; i++) {
                want += value(&q, i) * (double)row[i];
                bound += fabs(value(&q, i) * (double)row[i]);
            }
            if (!(fabs(want - (double)*y) <= 2e-5 * bound + 1e-12))
                fail_msg("%s, group %d: %g, wanted %g", qw_type_name(t), group, (double)*y, want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_value_is_near), cmocka_unit_test(an_outlier_costs_its_neighbours_nothing),
                                        cmocka_unit_test(odd_values), cmocka_unit_test(the_product_is_that_of_the_decoded_weights) };
    qw_rng_seed(&rng, 5);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
