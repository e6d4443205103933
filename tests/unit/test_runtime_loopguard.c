/* runtime/loopguard.c against its rule: for some period p <= 170 the last max(256, 3 p) tokens repeat with period p. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>

#include <cmocka.h>

#include "base/rng.h"
#include "runtime/loopguard.h"

#define MAX_TOKENS 4000

/* The rule as it is written in the header; the shortest period, or 0. */
static size_t reference(const int32_t *ids, size_t n)
{
    for (size_t p = 1; p <= 170; p++) {
        size_t last = 3 * p > 256 ? 3 * p : 256, i = n - last + p;
        if (n < last)
            continue;
        while (i < n && ids[i] == ids[i - p])
            i++;
        if (i == n)
            return p;
    }
    return 0;
}

/* Pushes all; each answer must be the reference's. Returns the number of tokens when the first loop is complete, 0 when there is none. */
static size_t check(const int32_t *ids, size_t n, size_t *period)
{
    static qw_loopguard g;
    size_t first = 0;
    qw_loopguard_init(&g);
    *period = 0;
    for (size_t i = 0; i < n; i++) {
        size_t got = qw_loopguard_push(&g, ids[i]), want = reference(ids, i + 1);
        if (got != want)
            fail_msg("after %zu tokens: period %zu, not %zu", i + 1, got, want);
        if (got && !first)
            first = i + 1, *period = got;
    }
    return first;
}

static void each_period_is_found_at_the_exact_token(void **state)
{
    (void)state;
    static int32_t ids[700];
    for (size_t p = 1; p <= 170; p++) {
        size_t period, want = 3 * p > 256 ? 3 * p : 256;
        for (size_t i = 0; i < 700; i++)
            ids[i] = (int32_t)(i % p);
        assert_int_equal(check(ids, want - 1, &period), 0);
        assert_int_equal(check(ids, 560, &period), want);
        assert_int_equal(period, p);
    }
}

static void a_period_of_171_is_none(void **state)
{
    (void)state;
    static int32_t ids[3000];
    size_t period;
    for (size_t p = 171; p <= 256; p += 17) {
        for (size_t i = 0; i < 3000; i++)
            ids[i] = (int32_t)(i % p);
        assert_int_equal(check(ids, 3000, &period), 0);
    }
}

static void a_run_of_255_passes_and_of_256_does_not(void **state)
{
    (void)state;
    int32_t ids[400];
    size_t period;
    for (size_t i = 0; i < 400; i++)
        ids[i] = i < 20 ? (int32_t)i + 100 : i < 275 ? 0 : (int32_t)i + 1000;
    assert_int_equal(check(ids, 400, &period), 0);
    ids[275] = 0;
    assert_int_equal(check(ids, 400, &period), 276);
    assert_int_equal(period, 1);
}

/* The first p tokens of a loop are compared with nothing: what came before does not delay it. */
static void what_precedes_a_loop_does_not_matter(void **state)
{
    (void)state;
    static int32_t ids[1200];
    size_t period;
    for (size_t i = 0; i < 1200; i++)
        ids[i] = i < 333 ? (int32_t)i + 5000 : (int32_t)((i - 333) % 100);
    assert_int_equal(check(ids, 1200, &period), 333 + 300);
    assert_int_equal(period, 100);
}

/* Rows of 20 tokens of which one counts. */
static void a_list_that_counts_is_no_loop(void **state)
{
    (void)state;
    static int32_t ids[MAX_TOKENS];
    size_t period;
    for (size_t i = 0; i < MAX_TOKENS; i++)
        ids[i] = i % 20 == 3 ? (int32_t)(100 + i / 20) : (int32_t)(i % 20);
    assert_int_equal(check(ids, MAX_TOKENS, &period), 0);
    for (size_t i = 0; i < MAX_TOKENS; i++) /* two digits that count: 1 to 9 and around */
        ids[i] = i % 20 == 3 ? (int32_t)(100 + i / 20 % 10) : (int32_t)(i % 20);
    assert_int_equal(check(ids, MAX_TOKENS, &period), 0); /* period 200 */
}

static void equal_rows_pass_until_256_tokens(void **state)
{
    (void)state;
    int32_t ids[300];
    size_t period;
    for (size_t i = 0; i < 300; i++)
        ids[i] = i < 255 ? (int32_t)(i % 12) : 77;
    assert_int_equal(check(ids, 300, &period), 0);
}

static void one_wrong_token_starts_anew(void **state)
{
    (void)state;
    static int32_t ids[900];
    size_t period;
    for (size_t i = 0; i < 900; i++)
        ids[i] = (int32_t)(i % 50);
    ids[255] = 99;
    assert_int_equal(check(ids, 900, &period), 256 + 256); /* the odd token itself is outside */
    assert_int_equal(period, 50);
}

static void a_loop_that_goes_on_stays_one(void **state)
{
    (void)state;
    qw_loopguard g;
    qw_loopguard_init(&g);
    for (size_t i = 0; i < 200000; i++) { /* past the counters' end */
        size_t period = qw_loopguard_push(&g, (int32_t)(i % 3) - 1);
        assert_int_equal(period, i < 255 ? 0 : 3);
    }
    assert_int_equal(qw_loopguard_push(&g, 12345), 0);
}

static void init_forgets(void **state)
{
    (void)state;
    qw_loopguard g;
    qw_loopguard_init(&g);
    for (size_t i = 0; i < 255; i++)
        assert_int_equal(qw_loopguard_push(&g, 0), 0);
    qw_loopguard_init(&g);
    for (size_t i = 0; i < 255; i++)
        assert_int_equal(qw_loopguard_push(&g, 0), 0);
    assert_int_equal(qw_loopguard_push(&g, 0), 1);
}

/* Pieces that repeat for a random while, with errors, after each other. */
static void random_streams(void **state)
{
    (void)state;
    static int32_t ids[1500];
    qw_rng r;
    size_t found = 0, period;
    qw_rng_seed(&r, 11);
    for (int round = 0; round < 60; round++) {
        size_t n = 0, p;
        int32_t alphabet = 1 + (int32_t)(qw_rng_u32(&r) % 3);
        while (n < 1500) {
            p = 1 + qw_rng_u32(&r) % 180;
            size_t end = n + 1 + qw_rng_u32(&r) % 700, start = n;
            for (; n < end && n < 1500; n++)
                ids[n] = n - start < p ? (int32_t)(qw_rng_u32(&r) % (uint32_t)alphabet) : ids[n - p];
            if (n < 1500 && qw_rng_u32(&r) % 2)
                ids[n++] = 7;
        }
        found += check(ids, 1500, &period) > 0;
    }
    assert_in_range(found, 20, 60);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_period_is_found_at_the_exact_token),
        cmocka_unit_test(a_period_of_171_is_none),
        cmocka_unit_test(a_run_of_255_passes_and_of_256_does_not),
        cmocka_unit_test(what_precedes_a_loop_does_not_matter),
        cmocka_unit_test(a_list_that_counts_is_no_loop),
        cmocka_unit_test(equal_rows_pass_until_256_tokens),
        cmocka_unit_test(one_wrong_token_starts_anew),
        cmocka_unit_test(a_loop_that_goes_on_stays_one),
        cmocka_unit_test(init_forgets),
        cmocka_unit_test(random_streams),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
