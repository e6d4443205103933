/* runtime/divergence.c against values of scipy and numpy (tests/oracle/make_divergence.py), and what must not be averaged away. */
#include "support/jsonl.h"

#include <math.h>

#include "runtime/divergence.h"
#include "support/fault.h"

#define LONGEST 300

static void near(const char *what, double got, double want)
{
    if (!(fabs(got - want) <= 1e-12 + 1e-10 * fabs(want)))
        fail_msg("%s: %.17g, expected %.17g", what, got, want);
}

static size_t read_row(const qw_json *list, float *row)
{
    size_t n = qw_json_size(list);
    assert_true(n <= LONGEST);
    for (size_t i = 0; i < n; i++)
        row[i] = (float)qw_json_number(qw_json_at(list, i), -INFINITY);
    return n;
}

static double number(const qw_json *o, const char *key) { return qw_json_number(qw_json_get(o, key), NAN); }

static void one_point(const qw_json *row, size_t i, qw_point *p)
{
    float base[LONGEST], other[LONGEST];
    const qw_json *want = qw_json_at(qw_json_get(row, "points"), i);
    size_t n = read_row(qw_json_at(qw_json_get(row, "base"), i), base);
    read_row(qw_json_at(qw_json_get(row, "other"), i), other);
    assert_true(qw_point_measure(p, base, other, n));
    near("kld", p->kld, number(want, "kld"));
    near("top_dp", p->top_dp, number(want, "top_dp"));
    assert_int_equal(p->top1, qw_json_bool(qw_json_get(want, "top1"), false));
    assert_int_equal(p->top5, qw_json_int(qw_json_get(want, "top5"), -1));
    p->sample = (uint32_t)qw_json_int(qw_json_at(qw_json_get(row, "samples"), i), -1);
    p->kinds = (uint8_t)(i % 2 ? 1 : 2);
}

static void one_case(const qw_json *row, void *ctx)
{
    (void)ctx;
    qw_point points[64];
    qwren_divergence d;
    const qw_json *want = qw_json_get(row, "together");
    size_t n = qw_json_size(qw_json_get(row, "points"));
    for (size_t i = 0; i < n; i++)
        one_point(row, i, &points[i]);
    assert_int_equal(qw_points_summarize(points, n, 3, &d, NULL), QWREN_OK);
    assert_int_equal(d.n_tokens, n);
    near("mean", d.mean, number(want, "mean"));
    near("median", d.median, number(want, "median"));
    near("p90", d.p90, number(want, "p90"));
    near("p99", d.p99, number(want, "p99"));
    near("max", d.max, number(want, "max"));
    near("top1", d.top1, number(want, "top1"));
    near("top5", d.top5, number(want, "top5"));
    near("top_dp", d.top_dp, number(want, "top_dp"));
    if (isnan(number(want, "mean_error")))
        assert_true(isnan(d.mean_error));
    else
        near("mean_error", d.mean_error, number(want, "mean_error"));
}

static void as_scipy_and_numpy(void **state)
{
    (void)state;
    each_case("runtime/divergence.jsonl", 5, one_case, NULL);
}

static void kinds_are_told_apart(void **state)
{
    (void)state;
    qw_point p[] = { { .kld = 1, .kinds = 1 }, { .kld = 5, .kinds = 2 }, { .kld = 3, .kinds = 1 | 4, .sample = 1 } };
    qwren_divergence d;
    assert_int_equal(qw_points_summarize(p, 3, 1, &d, NULL), QWREN_OK);
    assert_int_equal(d.n_tokens, 2);
    near("mean of a kind", d.mean, 2);
    assert_int_equal(qw_points_summarize(p, 3, 8, &d, NULL), QWREN_OK);
    assert_int_equal(d.n_tokens, 0);
    assert_true(isnan(d.mean) && isnan(d.mean_error) && isnan(d.median) && isnan(d.p90) && isnan(d.p99) && isnan(d.max));
    assert_true(isnan(d.top1) && isnan(d.top5) && isnan(d.top_dp));
    assert_int_equal(qw_points_summarize(NULL, 0, 1, &d, NULL), QWREN_OK);
    assert_int_equal(d.n_tokens, 0);
}

static void what_is_no_distribution_is_told(void **state)
{
    (void)state;
    qw_point p;
    float good[3] = { 1, 2, 3 }, nan[3] = { 1, NAN, 3 }, infinite[3] = { 1, INFINITY, 3 }, none[3] = { -INFINITY, -INFINITY, -INFINITY };
    float never[3] = { 1, 2, -INFINITY };
    assert_false(qw_point_measure(&p, nan, good, 3));
    assert_false(qw_point_measure(&p, good, nan, 3));
    assert_false(qw_point_measure(&p, good, infinite, 3));
    assert_false(qw_point_measure(&p, none, good, 3));
    assert_true(qw_point_measure(&p, good, never, 3));
    assert_true(isinf(p.kld));
    assert_true(qw_point_measure(&p, never, good, 3));
    assert_true(isfinite(p.kld) && p.kld > 0);
    assert_true(isnan(qw_surprise(nan, 3, 0)));
    near("surprise", qw_surprise(good, 3, 2), log(exp(-2) + exp(-1) + 1));
}

static void large_logits_do_not_overflow(void **state)
{
    (void)state;
    qw_point p;
    float a[2] = { 3e38f, 2e38f }, b[2] = { 3e38f, 3e38f };
    assert_true(qw_point_measure(&p, a, b, 2));
    near("kld", p.kld, log(2));
    assert_true(qw_point_measure(&p, a, a, 2));
    near("of equal ones", p.kld, 0);
}

static qwren_status summarize(void *ctx, qwren_error *err)
{
    qw_point p[3] = { { .kld = 1, .kinds = 1 }, { .kld = 2, .kinds = 1 }, { .kld = 3, .kinds = 1 } };
    (void)ctx;
    qwren_divergence d;
    return qw_points_summarize(p, 3, 1, &d, err);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fault_install();
    assert_int_equal(fault_try_all(summarize, NULL, 1), 3);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(as_scipy_and_numpy),
        cmocka_unit_test(kinds_are_told_apart),
        cmocka_unit_test(what_is_no_distribution_is_told),
        cmocka_unit_test(large_logits_do_not_overflow),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
