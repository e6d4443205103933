/* What the prefix cache drops when room is short, and in which order. */
#include "support/timelines.h"

static void the_one_that_was_not_used_goes(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(3 * cost(100));
    for (uint64_t i = 1; i <= 3; i++)
        learn(p, line(0, i), 100, QW_CHECKPOINT_TURN);
    for (uint64_t i = 4; i <= 9; i++) {
        expect(p, line(0, 1), 100, 100, 100, 100, QW_PREFIX_NONE); /* used again and again */
        learn(p, line(0, i), 100, QW_CHECKPOINT_TURN);
    }
    expect(p, line(0, 1), 100, 100, 100, 100, QW_PREFIX_NONE);
    expect(p, line(0, 9), 100, 100, 100, 100, QW_PREFIX_NONE);
    expect(p, line(0, 4), 150, 149, 0, 0, QW_PREFIX_EVICTED);
    expect(p, line(0, 10), 150, 149, 0, 0, QW_PREFIX_DIFFERS);
    assert_int_equal(qw_prefix_statistics(p).evictions, 6);
    assert_int_equal(qw_prefix_statistics(p).n_checkpoints, 3);
    qw_prefix_free(p);
}

/* Room for so many checkpoints and keys, beside the pages of sessions. */
static qw_prefix *prefix_of(size_t n_checkpoints, size_t n_keys)
{
    return new_prefix(n_checkpoints * cost_of_checkpoint() + n_keys * sizeof(uint64_t));
}

/* A session that has 500 tokens of a timeline and stays, and what it makes known. */
static fake *stay(qw_prefix *p, const uint64_t *keys, const size_t *at, size_t n, qw_checkpoint_kind kind)
{
    fake *s = fake_new();
    fake_eval(s, keys, 500);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(fake_insert(s, p, at[i], kind, NULL), QWREN_OK);
    return s;
}

static void free_all(fake **s, size_t n, qw_prefix *p)
{
    for (size_t i = 0; i < n; i++)
        fake_free(s[i]);
    qw_prefix_free(p);
}

static void what_is_cheap_to_make_again_goes(void **state)
{
    (void)state;
    qw_prefix *p = prefix_of(3, 500); /* 300 is 20 tokens behind 280, which is 200 behind 80, and 500 another 200 */
    fake *s = stay(p, line(0, 0), (const size_t[]){ 300, 80, 500, 280 }, 4, QW_CHECKPOINT_TURN);
    expect(p, line(0, 0), 300, 300, 300, 280, QW_PREFIX_EVICTED);
    expect(p, line(0, 0), 279, 279, 279, 80, QW_PREFIX_NO_CHECKPOINT);
    expect(p, line(0, 0), 500, 500, 500, 500, QW_PREFIX_NONE);
    free_all(&s, 1, p);
}

static void cheap_is_counted_from_the_checkpoint_before(void **state)
{
    (void)state;
    qw_prefix *p = prefix_of(3, 500);
    fake *s[3];
    s[0] = stay(p, line(300, 1), (const size_t[]){ 300, 340 }, 2, QW_CHECKPOINT_TURN);
    s[1] = stay(p, line(300, 2), (const size_t[]){ 350 }, 1, QW_CHECKPOINT_TURN); /* nodes of their own for 340 and 350 */
    s[2] = stay(p, line(0, 5), (const size_t[]){ 100 }, 1, QW_CHECKPOINT_TURN);
    expect(p, line(300, 1), 340, 340, 300, 300, QW_PREFIX_EVICTED);
    expect(p, line(300, 2), 350, 350, 350, 350, QW_PREFIX_NONE);
    expect(p, line(0, 5), 100, 100, 100, 100, QW_PREFIX_NONE);
    free_all(s, 3, p);
}

static bool is_dear(void *ctx, const qw_prefix_item *item)
{
    bool *there = ctx;
    *there = *there || item->checkpoint->length == 500;
    return true;
}

static void what_is_dear_goes_too_when_nobody_uses_it(void **state)
{
    (void)state;
    qw_prefix *p = prefix_of(2, 700);
    fake *s[12];
    s[0] = stay(p, line(0, 0), (const size_t[]){ 500 }, 1, QW_CHECKPOINT_TURN);
    for (uint64_t i = 1; i < 12; i++) {
        s[i] = stay(p, line(0, i), (const size_t[]){ 100 }, 1, QW_CHECKPOINT_TURN);
        bool there = false;
        assert_int_equal(qw_prefix_each(p, false, is_dear, &there, NULL), QWREN_OK);
        assert_true(i > 4 || there);
        assert_true(i < 11 || !there);
    }
    free_all(s, 12, p);
}

static void what_gives_back_more_goes(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(2 * cost_of_checkpoint() + small_shape().bytes + 300 * sizeof(uint64_t));
    fake *s[2];
    s[0] = stay(p, line(0, 0), (const size_t[]){ 100 }, 1, QW_CHECKPOINT_TURN);
    learn(p, line(0, 1), 100, QW_CHECKPOINT_TURN); /* used later, but its page is the cache's alone */
    s[1] = stay(p, line(0, 2), (const size_t[]){ 100 }, 1, QW_CHECKPOINT_TURN);
    expect(p, line(0, 0), 100, 100, 100, 100, QW_PREFIX_NONE);
    expect(p, line(0, 1), 100, 100, 0, 0, QW_PREFIX_EVICTED);
    free_all(s, 2, p);
}

static void intervals_go_before_turns(void **state)
{
    (void)state;
    qw_prefix *p = prefix_of(3, 500);
    fake *s = stay(p, line(0, 0), (const size_t[]){ 400 }, 1, QW_CHECKPOINT_INTERVAL);
    for (size_t i = 0; i < 3; i++) {
        static const size_t at[] = { 10, 20, 500 };
        assert_int_equal(fake_insert(s, p, at[i], i < 2 ? QW_CHECKPOINT_TURN : QW_CHECKPOINT_END, NULL), QWREN_OK);
    }
    expect(p, line(0, 0), 450, 450, 450, 20, QW_PREFIX_EVICTED);
    expect(p, line(0, 0), 15, 15, 15, 10, QW_PREFIX_NO_CHECKPOINT);
    free_all(&s, 1, p);
}

static void a_checkpoint_known_twice_stays_as_the_better_kind(void **state)
{
    (void)state;
    qw_prefix *p = prefix_of(2, 500);
    fake *s = stay(p, line(0, 0), (const size_t[]){ 250 }, 1, QW_CHECKPOINT_INTERVAL);
    assert_int_equal(fake_insert(s, p, 250, QW_CHECKPOINT_IMAGE, NULL), QWREN_OK);
    assert_int_equal(fake_insert(s, p, 250, QW_CHECKPOINT_INTERVAL, NULL), QWREN_OK);
    assert_int_equal(qw_prefix_statistics(p).n_checkpoints, 1);
    assert_int_equal(fake_insert(s, p, 240, QW_CHECKPOINT_INTERVAL, NULL), QWREN_OK);
    assert_int_equal(fake_insert(s, p, 500, QW_CHECKPOINT_INTERVAL, NULL), QWREN_OK);
    expect(p, line(0, 0), 300, 300, 300, 250, QW_PREFIX_NO_CHECKPOINT);
    expect(p, line(0, 0), 249, 249, 249, 0, QW_PREFIX_EVICTED);
    free_all(&s, 1, p);
}

static void a_checkpoint_known_twice_is_the_newest(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(2 * cost(100));
    learn(p, line(0, 1), 100, QW_CHECKPOINT_TURN);
    learn(p, line(0, 2), 100, QW_CHECKPOINT_TURN);
    learn(p, line(0, 1), 100, QW_CHECKPOINT_TURN);
    learn(p, line(0, 3), 100, QW_CHECKPOINT_TURN);
    expect(p, line(0, 1), 100, 100, 100, 100, QW_PREFIX_NONE);
    expect(p, line(0, 2), 100, 100, 0, 0, QW_PREFIX_EVICTED);
    qw_prefix_free(p);
}

static void the_newest_stays_when_its_session_goes(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(cost(100) + cost_of_checkpoint() + 100 * sizeof(uint64_t));
    learn(p, line(0, 1), 100, QW_CHECKPOINT_TURN);
    learn(p, line(0, 2), 100, QW_CHECKPOINT_INTERVAL); /* both fit, until its page is the cache's alone */
    expect(p, line(0, 2), 100, 100, 100, 100, QW_PREFIX_NONE);
    expect(p, line(0, 1), 100, 100, 0, 0, QW_PREFIX_EVICTED);
    qw_prefix_free(p);
}

static void what_does_not_fit_alone_is_not_kept(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(cost(100));
    learn(p, line(0, 1), 100, QW_CHECKPOINT_INTERVAL); /* the newest stays, whatever it is */
    expect(p, line(0, 1), 100, 100, 100, 100, QW_PREFIX_NONE);
    assert_int_equal(qw_prefix_statistics(p).bytes, cost(100));
    learn(p, line(0, 2), 101, QW_CHECKPOINT_TURN);
    expect(p, line(0, 2), 101, 101, 0, 0, QW_PREFIX_EVICTED);
    qw_prefix_free(p);
    p = new_prefix(cost_of_checkpoint());
    learn(p, line(0, 1), 1, QW_CHECKPOINT_TURN);
    expect(p, line(0, 1), 1, 1, 0, 0, QW_PREFIX_EVICTED);
    assert_int_equal(qw_prefix_statistics(p).bytes, 0);
    assert_int_equal(qw_prefix_statistics(p).n_nodes, 0);
    qw_prefix_free(p);
}

static void pages_of_sessions_are_not_counted(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(MAX_KEYS * sizeof(uint64_t) + 2 * cost_of_checkpoint());
    fake *s = fake_new();
    fake_eval(s, line(0, 0), 1500);
    assert_int_equal(fake_insert(s, p, 1200, QW_CHECKPOINT_TURN, NULL), QWREN_OK);
    assert_int_equal(fake_insert(s, p, 1500, QW_CHECKPOINT_TURN, NULL), QWREN_OK); /* far more than the budget, but for the pages */
    assert_int_equal(qw_prefix_statistics(p).bytes, 1500 * sizeof(uint64_t) + 2 * cost_of_checkpoint());
    assert_int_equal(qw_prefix_statistics(p).n_pages, 3);
    assert_int_equal(qw_prefix_statistics(p).n_idle_pages, 0);
    qw_prefix_trim(p);
    assert_int_equal(qw_prefix_statistics(p).n_checkpoints, 2);
    fake_drop(s);
    assert_int_equal(qw_prefix_statistics(p).n_idle_pages, 3);
    qw_prefix_trim(p);
    assert_int_equal(qw_prefix_statistics(p).n_checkpoints, 0);
    fake_free(s);
    qw_prefix_free(p);
}

/* Memory is short: the least worthy goes until enough is free, and what a session holds stays with it. */
static void memory_is_given_back(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    fake *s = stay(p, line(0, 0), (const size_t[]){ 500 }, 1, QW_CHECKPOINT_TURN);
    for (uint64_t i = 1; i <= 4; i++)
        learn(p, line(0, i), 100, QW_CHECKPOINT_TURN);
    expect(p, line(0, 1), 100, 100, 100, 100, QW_PREFIX_NONE); /* as worthy as the others, and used since */
    const size_t each = small_shape().bytes + cost_of_checkpoint(), before = qw_page_live_bytes();
    assert_int_equal(qw_prefix_give_back(p, 1), each);
    assert_int_equal(qw_prefix_give_back(p, each), each);
    assert_int_equal(qw_page_live_bytes(), before - 2 * page_cost());
    expect(p, line(0, 2), 100, 100, 0, 0, QW_PREFIX_EVICTED);
    expect(p, line(0, 3), 100, 100, 0, 0, QW_PREFIX_EVICTED);
    expect(p, line(0, 1), 100, 100, 100, 100, QW_PREFIX_NONE);
    assert_int_equal(qw_prefix_give_back(p, SIZE_MAX), 2 * each + cost_of_checkpoint());
    assert_int_equal(qw_prefix_statistics(p).bytes, 0);
    assert_int_equal(qw_prefix_give_back(p, 1), 0);
    check_pages(&s->shape, line(0, 0), 500, s->pages);
    free_all(&s, 1, p);
}

/* A checkpoint that somebody goes on from is no memory that is free. */
static void what_is_in_use_does_not_count(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    qw_page *pages[MAX_PAGES];
    learn(p, line(0, 1), 100, QW_CHECKPOINT_TURN);
    const qw_prefix_match m = qw_prefix_find(p, line(0, 1), 100, 100, pages);
    assert_int_equal(qw_prefix_give_back(p, 1), 0);
    assert_int_equal(qw_prefix_statistics(p).n_checkpoints, 0);
    check_checkpoint(m.checkpoint, line(0, 1), 100);
    const qw_page_shape shape = small_shape();
    check_pages(&shape, line(0, 1), 100, pages);
    qw_checkpoint_drop(m.checkpoint);
    qw_page_drop(pages[0], NULL);
    qw_prefix_free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_one_that_was_not_used_goes),
        cmocka_unit_test(what_is_cheap_to_make_again_goes),
        cmocka_unit_test(cheap_is_counted_from_the_checkpoint_before),
        cmocka_unit_test(what_is_dear_goes_too_when_nobody_uses_it),
        cmocka_unit_test(what_gives_back_more_goes),
        cmocka_unit_test(intervals_go_before_turns),
        cmocka_unit_test(a_checkpoint_known_twice_stays_as_the_better_kind),
        cmocka_unit_test(a_checkpoint_known_twice_is_the_newest),
        cmocka_unit_test(the_newest_stays_when_its_session_goes),
        cmocka_unit_test(what_does_not_fit_alone_is_not_kept),
        cmocka_unit_test(pages_of_sessions_are_not_counted),
        cmocka_unit_test(memory_is_given_back),
        cmocka_unit_test(what_is_in_use_does_not_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
