/* base/rng.c against the sequence that the authors of PCG publish, and base/clock.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/clock.h"
#include "base/rng.h"

/* pcg32-demo of pcg-c-basic 0.9, seeded with (42, 54). */
static void the_sequence_is_the_published_one(void **state)
{
    (void)state;
    static const uint32_t want[] = { 0xa15c02b7, 0x7b47f409, 0xba1d3330, 0x83d2f293, 0xbfa4784b, 0xcbed606e };
    qw_rng r;
    qw_rng_seed(&r, 42);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++)
        assert_int_equal(qw_rng_u32(&r), want[i]);
}

static void the_same_seed_gives_the_same_numbers_and_another_does_not(void **state)
{
    (void)state;
    qw_rng a, b, c;
    qw_rng_seed(&a, UINT64_MAX);
    qw_rng_seed(&b, UINT64_MAX);
    qw_rng_seed(&c, 0);
    int same = 0;
    for (int i = 0; i < 1000; i++) {
        uint32_t x = qw_rng_u32(&a);
        assert_int_equal(x, qw_rng_u32(&b));
        same += x == qw_rng_u32(&c);
    }
    assert_true(same < 3);
}

/* Mean of 1e5 uniform numbers: 0.5 with a deviation of 0.0009; six of them are allowed. Each of 10 bins: 1e4 with a deviation of 95. */
static void doubles_are_uniform_below_one(void **state)
{
    (void)state;
    qw_rng r;
    qw_rng_seed(&r, 1);
    double sum = 0;
    int bins[10] = { 0 };
    for (int i = 0; i < 100000; i++) {
        double x = qw_rng_double(&r);
        assert_true(x >= 0 && x < 1);
        sum += x;
        bins[(int)(x * 10)]++;
    }
    assert_true(sum / 100000 > 0.4945 && sum / 100000 < 0.5055);
    for (int i = 0; i < 10; i++)
        assert_in_range(bins[i], 9430, 10570);
}

static void a_seed_from_the_system_is_another_each_time(void **state)
{
    (void)state;
    assert_true(qw_random_seed() != qw_random_seed());
}

static void the_clock_never_goes_back(void **state)
{
    (void)state;
    double last = qw_now_s();
    for (int i = 0; i < 10000; i++) {
        double now = qw_now_s();
        assert_true(now >= last);
        last = now;
    }
}

/* One thread uses no more time than passes (but for the clocks' own steps), and some when it computes. */
static void time_is_used_by_computing(void **state)
{
    (void)state;
    const double begun_s = qw_now_s(), begun_cpu_s = qw_cpu_s();
    double used_s = 0;
    while (used_s < 0.01)
        used_s = qw_cpu_s() - begun_cpu_s;
    assert_true(used_s <= qw_now_s() - begun_s + 0.01);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_sequence_is_the_published_one), cmocka_unit_test(the_same_seed_gives_the_same_numbers_and_another_does_not),
        cmocka_unit_test(doubles_are_uniform_below_one),     cmocka_unit_test(a_seed_from_the_system_is_another_each_time),
        cmocka_unit_test(the_clock_never_goes_back),         cmocka_unit_test(time_is_used_by_computing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
