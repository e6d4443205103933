/* Prompt lookup against a search of everything: what it finds, and that cutting undoes pushing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "runtime/draft_lookup.h"
#include "support/fault.h"

#define N_CTX 4096
#define PLACES 8 /* that are looked at */

static qw_lookup *new_lookup(size_t n_ctx)
{
    qw_lookup *l = NULL;
    qwren_error err = { 0 };
    if (qw_lookup_create(&l, n_ctx, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return l;
}

static size_t common_end(const int32_t *ids, size_t n, size_t place)
{
    size_t k = 0;
    while (k < QW_LOOKUP_LONGEST && k <= place && ids[place - k] == ids[n - 1 - k])
        k++;
    return k;
}

/* The rule: of the newest eight places where the last three tokens stand, else the last two, else the last, the one with the longest match. */
static qw_lookup_match reference(const int32_t *ids, size_t n)
{
    qw_lookup_match m = { 0 };
    for (size_t order = 3; order > 0 && !m.length; order--) {
        size_t places[PLACES], n_places = 0, best = 0;
        for (size_t i = n - 1; n && i-- > 0 && n_places < PLACES;)
            if (common_end(ids, n, i) >= order)
                places[n_places++] = i;
        for (size_t k = 0; k < n_places; k++)
            if (common_end(ids, n, places[k]) > common_end(ids, n, places[best]))
                best = k;
        if (!n_places)
            continue;
        m.length = common_end(ids, n, places[best]);
        m.next = ids + places[best] + 1;
        m.n = n - 1 - places[best];
        for (size_t k = 0; k < n_places; k++)
            if (common_end(ids, n, places[k]) + 2 >= m.length) {
                m.seen++;
                m.agreeing += ids[places[k] + 1] == m.next[0];
            }
    }
    return m;
}

static void same_match(const qw_lookup *l, const int32_t *ids, size_t n)
{
    const qw_lookup_match want = reference(ids, n);
    qw_lookup_match got;
    assert_int_equal(qw_lookup_length(l), n);
    assert_int_equal(qw_lookup_find(l, &got), want.length > 0);
    if (got.length != want.length || got.n != want.n || got.seen != want.seen || got.agreeing != want.agreeing)
        fail_msg("after %zu tokens: length %zu, n %zu, %zu of %zu; wanted %zu, %zu, %zu of %zu", n, got.length, got.n, got.agreeing,
                 got.seen, want.length, want.n, want.agreeing, want.seen);
    if (want.length)
        assert_memory_equal(got.next, want.next, want.n * sizeof *want.next);
}

/* Few different tokens: matches of all lengths. */
static void draw(int32_t *ids, size_t n, uint32_t different, uint64_t seed)
{
    qw_rng rng;
    qw_rng_seed(&rng, seed);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)(qw_rng_u32(&rng) % different) * 977;
}

static void it_finds_what_a_search_finds(void **state)
{
    (void)state;
    static int32_t ids[600];
    const uint32_t alphabets[] = { 1, 2, 4, 12, 400 };
    for (size_t a = 0; a < sizeof alphabets / sizeof *alphabets; a++) {
        qw_lookup *l = new_lookup(1 << 20); /* a large table: no hash stands for two beginnings here */
        draw(ids, 600, alphabets[a], a);
        same_match(l, ids, 0);
        for (size_t n = 1; n <= 600; n++) {
            qw_lookup_push(l, ids[n - 1]);
            same_match(l, ids, n);
        }
        qw_lookup_free(l);
    }
}

static void a_cut_undoes_what_was_pushed(void **state)
{
    (void)state;
    static int32_t ids[600];
    qw_lookup *l = new_lookup(N_CTX);
    qw_rng rng;
    qw_rng_seed(&rng, 5);
    draw(ids, 600, 3, 1);
    qw_lookup_set(l, ids, 600);
    for (uint64_t round = 0; round < 40; round++) {
        const size_t keep = qw_rng_u32(&rng) % 600;
        draw(ids + keep, 600 - keep, 3, round + 9);
        qw_lookup_cut(l, keep);
        if (round % 2)
            qw_lookup_set(l, ids, 600);
        else
            for (size_t i = keep; i < 600; i++)
                qw_lookup_push(l, ids[i]);
        qw_lookup_match got, want;
        qw_lookup *fresh = new_lookup(N_CTX);
        qw_lookup_set(fresh, ids, 600);
        assert_memory_equal(qw_lookup_ids(l), ids, sizeof ids);
        assert_int_equal(qw_lookup_find(l, &got), qw_lookup_find(fresh, &want));
        assert_int_equal(got.length, want.length);
        assert_int_equal(got.n, want.n);
        assert_int_equal(got.agreeing, want.agreeing);
        qw_lookup_free(fresh);
    }
    qw_lookup_set(l, ids, 0);
    assert_int_equal(qw_lookup_length(l), 0);
    qw_lookup_free(l);
}

static void a_full_one_takes_no_more(void **state)
{
    (void)state;
    qw_lookup *l = new_lookup(3);
    for (int32_t i = 0; i < 5; i++)
        qw_lookup_push(l, i % 2);
    qw_lookup_match m;
    assert_int_equal(qw_lookup_length(l), 3);
    assert_true(qw_lookup_find(l, &m));
    assert_int_equal(m.length, 1);
    assert_int_equal(m.next[0], 1);
    qw_lookup_free(l);
    qwren_error err = { 0 };
    assert_int_equal(qw_lookup_create(&l, UINT32_MAX, &err), QWREN_E_LIMIT);
    assert_null(l);
}

static qwren_status make_one(void *ctx, qwren_error *err)
{
    qw_lookup *l = NULL;
    (void)ctx;
    qwren_status st = qw_lookup_create(&l, 1000, err);
    qw_lookup_free(l);
    return st;
}

static void memory_is_what_was_said_and_may_be_short(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(make_one, NULL, 1) >= 5);
    qw_lookup *l = new_lookup(5000);
    assert_int_equal(fault_live_bytes(), qw_lookup_bytes(5000));
    qw_lookup_free(l);
    qw_lookup_free(NULL);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_finds_what_a_search_finds),
        cmocka_unit_test(a_cut_undoes_what_was_pushed),
        cmocka_unit_test(a_full_one_takes_no_more),
        cmocka_unit_test(memory_is_what_was_said_and_may_be_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
