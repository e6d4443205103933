/* Going back: what a session, or any other on the same prefix cache, has computed is not computed again, and the numbers are those of a fresh computation, to the bit. */
#include "base/rng.h"
#include "runtime/session_parts.h"
#include "support/fault.h"
#include "support/rounds.h"
#include "support/tiny.h"

#define N_CTX 3000

static qw_prefix *new_prefix(size_t budget)
{
    qw_page_shape shape;
    qw_prefix *p = NULL;
    qwren_error err = { 0 };
    ok(qw_page_shape_make(&shape, &model.config.text, qw_cache_type(&model, QWREN_KV_DEFAULT), &err), &err);
    ok(qw_prefix_create(&p, &shape, &(qw_prefix_options){ .budget_bytes = budget }, &err), &err);
    return p;
}

static qw_session *new_session(qw_prefix *p) { return session_with(&(qw_session_options){ .n_ctx = N_CTX, .n_trial = 8, .prefix = p }); }

/* Goes to the timeline and computes what is missing; returns how much was there. */
static size_t sync_to(qw_session *s, const qw_timeline *t, const size_t *boundaries, size_t n_boundaries)
{
    qwren_error err = { 0 };
    const qw_eval_options opt = { .boundaries = boundaries, .n_boundaries = n_boundaries };
    const qw_reuse r = qw_session_reuse(s, t);
    assert_int_equal(r.length, qw_session_length(s));
    assert_true(r.length < t->n && r.length <= r.n_common);
    ok(qw_session_eval(s, t, r.length, t->n, &opt, &err), &err);
    is_as_fresh(s, t, t->n);
    return r.length;
}

static void what_is_held_is_not_computed_again(void **state)
{
    (void)state;
    const size_t boundary = 80;
    qw_timeline first = timeline(120, 120, 0), longer = timeline(150, 150, 0), other = timeline(150, 90, 1), early = timeline(150, 40, 2);
    qw_prefix *p = new_prefix(SIZE_MAX);
    qw_session *s = new_session(p);
    assert_int_equal(sync_to(s, &first, &boundary, 1), 0);
    assert_int_equal(sync_to(s, &longer, NULL, 0), 120); /* it goes on where it is */
    assert_int_equal(sync_to(s, &longer, NULL, 0), 80);  /* the same again: one token at least is computed */
    assert_int_equal(sync_to(s, &other, NULL, 0), 80);   /* differs behind the boundary */
    assert_int_equal(sync_to(s, &early, NULL, 0), 0);    /* differs before it */
    assert_int_equal(qw_session_reuse(s, &first).length, 80);
    assert_null(qw_session_logits(s)); /* those that are there stand behind another token */
    qw_session_free(s);
    qw_prefix_free(p);
    qw_timeline_deinit(&first), qw_timeline_deinit(&longer), qw_timeline_deinit(&other), qw_timeline_deinit(&early);
}

/* Two conversations in turns on one session, then on another: each is found where it was left. */
static void a_second_conversation_costs_the_first_nothing(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    qw_session *s = new_session(p), *late = new_session(p);
    for (size_t turn = 1; turn <= 4; turn++)
        for (int who = 1; who <= 2; who++) {
            qw_timeline t = timeline(700 * turn, 5, who);
            const size_t had = sync_to(turn == 4 ? late : s, &t, NULL, 0);
            assert_int_equal(had, turn == 1 ? 0 : 700 * (turn - 1));
            if (turn == 3)
                qw_session_reset(s); /* keeps the end */
            qw_timeline_deinit(&t);
        }
    qw_session_free(s), qw_session_free(late);
    qw_prefix_free(p);
    assert_int_equal(qw_page_live_bytes(), 0);
}

/* A session that goes on must not write into what another one still reads. */
static void sessions_that_share_pages_do_not_disturb_each_other(void **state)
{
    (void)state;
    enum { MANY = 4 };
    qw_prefix *p = new_prefix(SIZE_MAX);
    qw_session *s[MANY];
    qw_timeline root = timeline(530, 530, 0), branch[MANY];
    qwren_error err = { 0 };
    const size_t boundary = 520;
    for (int i = 0; i < MANY; i++)
        s[i] = new_session(p);
    sync_to(s[0], &root, &boundary, 1);
    for (int i = 0; i < MANY; i++) {
        branch[i] = timeline(560, 521, i + 1);
        assert_int_equal(sync_to(s[i], &branch[i], NULL, 0), 520);
    }
    for (int i = MANY; i-- > 0;)
        for (int k = 0; k < 30; k++)
            ok(qw_session_step(s[i], (i + 3) * (k + 1), &err), &err);
    for (int i = 0; i < MANY; i++) {
        qw_timeline all = timeline(590, 521, i + 1);
        for (int k = 0; k < 30; k++)
            all.keys[560 + k] = (uint64_t)(all.ids[560 + k] = (i + 3) * (k + 1));
        is_as_fresh(s[i], &all, 590);
        qw_timeline_deinit(&all), qw_timeline_deinit(&branch[i]);
        qw_session_free(s[i]);
    }
    qw_timeline_deinit(&root);
    qw_prefix_free(p);
}

static void a_hundred_times_back_is_as_fresh(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    qw_session *s = new_session(p);
    qw_timeline t = timeline(2200, 2200, 0);
    qwren_error err = { 0 };
    qw_rng rng;
    qw_rng_seed(&rng, 5);
    eval(s, &t, 0, t.n);
    for (int i = 0; i < QW_ROUNDS(100); i++) {
        const size_t n = qw_session_length(s), to = 1 + (size_t)(qw_rng_u32(&rng) % (n - 1));
        ok(qw_session_rewind(s, to, &err), &err);
        assert_int_equal(qw_session_length(s), to);
        assert_int_equal(qw_session_next_pos(s), to);
        ok(qw_session_step(s, t.ids[to], &err), &err);
        if (i % 10 == 0)
            is_as_fresh(s, &t, to + 1);
        eval(s, &t, to + 1, to + 1 + (t.n - to - 1) / 2);
        if (i % 10 == 5)
            is_as_fresh(s, &t, qw_session_length(s));
        if (qw_session_length(s) < 100)
            eval(s, &t, qw_session_length(s), t.n);
    }
    assert_int_equal(qw_session_rewind(s, qw_session_length(s) + 1, &err), QWREN_E_ARGUMENT);
    ok(qw_session_rewind(s, 0, &err), &err);
    assert_int_equal(qw_session_length(s), 0);
    qw_session_free(s);
    qw_prefix_free(p);
    qw_timeline_deinit(&t);
}

/* Long evals leave checkpoints on their way: a change at any place is near behind one, the nearer to the end the nearer. */
static void checkpoints_lie_close_to_the_end(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    qw_session *s = new_session(p);
    qw_timeline t = timeline(2999, 2999, 0);
    eval(s, &t, 0, t.n);
    for (size_t from = 1; from < 2816; from += 97) { /* the last multiple of 256; what is behind is the session's alone */
        qw_timeline changed = timeline(2999, from, 3);
        qw_page *pages[6];
        const qw_prefix_match m = qw_prefix_find(p, changed.keys, changed.n, changed.n, pages);
        assert_int_equal(m.n_common, from);
        assert_true(from - m.length <= 256 || from - m.length <= (t.n - from) + 256);
        for (size_t i = 0; i < qw_page_count(m.length); i++)
            qw_page_drop(pages[i], NULL);
        qw_checkpoint_drop(m.checkpoint);
        qw_timeline_deinit(&changed);
    }
    qw_session_free(s);
    qw_timeline_deinit(&t);
    qw_prefix_free(p);
    assert_int_equal(qw_page_live_bytes(), 0);
}

/* What was computed before a cancel, or before memory ran out, is found later. */
static bool stop_at_once(void *ctx, size_t done, size_t total) { return (void)ctx, done >= total; }

static void a_cancelled_prompt_is_found_again(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    qw_session *s = new_session(p), *other = new_session(p);
    qw_timeline t = timeline(1300, 1300, 0);
    qwren_error err = { 0 };
    const qw_eval_options opt = { .progress = stop_at_once };
    assert_int_equal(qw_session_eval(s, &t, 0, t.n, &opt, &err), QWREN_E_CANCELLED);
    assert_int_equal(qw_session_reuse(s, &t).length, 512); /* where it is */
    qw_session_free(s);
    assert_int_equal(sync_to(other, &t, NULL, 0), 512);
    qw_session_free(other);
    qw_prefix_free(p);
    qw_timeline_deinit(&t);
}

static void a_fork_goes_its_own_way(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    qw_session *s = new_session(p), *f = NULL;
    qw_timeline a = timeline(900, 650, 1), b = timeline(900, 650, 2);
    qwren_error err = { 0 };
    eval(s, &a, 0, 650);
    ok(qw_session_fork(&f, s, &err), &err);
    assert_int_equal(qw_session_length(f), 650);
    is_as_fresh(f, &a, 650); /* its logits too */
    eval(f, &b, 650, 900);
    eval(s, &a, 650, 900);
    is_as_fresh(f, &b, 900);
    is_as_fresh(s, &a, 900);
    qw_session_free(s), qw_session_free(f);
    qw_prefix_free(p);
    qw_timeline_deinit(&a), qw_timeline_deinit(&b);
}

/* A session that finds in the cache what it holds already stays the writer of its pages: nobody else may write behind its positions. */
static void who_looks_again_is_not_overwritten(void **state)
{
    (void)state;
    qw_prefix *p = new_prefix(SIZE_MAX);
    qw_session *s = new_session(p), *b = new_session(p);
    qw_timeline t = timeline(120, 120, 0), longer = timeline(150, 150, 0), other = timeline(160, 80, 4);
    qwren_error err = { 0 };
    const size_t boundary = 80;
    sync_to(s, &t, &boundary, 1);
    assert_int_equal(qw_session_reuse(s, &longer).length, 120);
    assert_int_equal(sync_to(b, &other, NULL, 0), 80);
    eval(s, &longer, 120, 150);
    is_as_fresh(s, &longer, 150);
    for (size_t i = 10; i < 30; i++) /* a picture, as far as the session knows: it cannot go back into it */
        longer.keys[i] |= QW_PICTURE_KEY;
    qw_session_free(s);
    s = new_session(p);
    eval(s, &longer, 0, 150);
    assert_int_equal(qw_session_rewind(s, 40, &err), QWREN_E_ARGUMENT);
    qw_session_free(s), qw_session_free(b);
    qw_prefix_free(p);
    qw_timeline_deinit(&t), qw_timeline_deinit(&longer), qw_timeline_deinit(&other);
}

/* Without room for checkpoints, and without a cache, everything still works, from the beginning. */
static void without_a_cache_everything_is_computed(void **state)
{
    (void)state;
    qw_timeline t = timeline(300, 300, 0), other = timeline(300, 290, 1);
    qwren_error err = { 0 };
    for (int with = 0; with < 2; with++) {
        qw_prefix *p = with ? new_prefix(1) : NULL;
        qw_session *s = new_session(p);
        assert_int_equal(sync_to(s, &t, NULL, 0), 0);
        assert_int_equal(sync_to(s, &other, NULL, 0), 0);
        ok(qw_session_rewind(s, 250, &err), &err);
        assert_int_equal(qw_session_length(s), 250);
        eval(s, &other, 250, 300);
        is_as_fresh(s, &other, 300);
        qw_session_free(s);
        qw_prefix_free(p);
    }
    qw_timeline_deinit(&t), qw_timeline_deinit(&other);
}

/* Memory that is short costs checkpoints, not results. */
static void checkpoints_may_be_short_of_memory(void **state)
{
    (void)state;
    qw_timeline t = timeline(600, 600, 0), other = timeline(600, 560, 1);
    size_t failed = 0;
    fault_install();
    for (size_t n = 1; n < 40; n++) {
        qw_prefix *p = new_prefix(SIZE_MAX);
        qw_session *s = new_session(p);
        qwren_error err = { 0 };
        fault_fail_at(n);
        qwren_status st = qw_session_eval(s, &t, 0, t.n, NULL, &err);
        assert_true(st == QWREN_OK || st == QWREN_E_MEMORY);
        const qw_reuse r = qw_session_reuse(s, &other);
        fault_fail_at(0);
        failed += fault_failed();
        eval(s, &other, r.length, other.n);
        is_as_fresh(s, &other, other.n);
        qw_session_free(s);
        qw_prefix_free(p);
    }
    assert_true(failed > 10);
    fault_remove();
    qw_timeline_deinit(&t), qw_timeline_deinit(&other);
}

/* The states of a pass are all there before the first goes into the cache: no more of them than it has room for, and those are the last ones, turns before intervals. */
static void a_pass_makes_no_more_than_the_cache_has_room_for(void **state)
{
    (void)state;
    enum { ROOM = 3, TURNS = 22 };
    const size_t bytes = qw_checkpoint_bytes(&model.config.text);
    qw_prefix *p = new_prefix((ROOM + 1) * bytes - 1);
    qw_session *s = new_session(p);
    qw_timeline t = timeline(512, 512, 0);
    size_t boundaries[TURNS];
    for (size_t i = 0; i < TURNS; i++)
        boundaries[i] = 40 + 20 * i;
    qw_pass_saves saves;
    qw_saves_plan(&saves, s, &t, 0, t.n, t.n, &(qw_eval_options){ .boundaries = boundaries, .n_boundaries = TURNS });
    assert_int_equal(saves.n, ROOM);
    for (size_t i = 0; i < saves.n; i++) {
        assert_int_equal(saves.made[i]->length, boundaries[TURNS - ROOM + i]);
        assert_int_equal(saves.at[i].at, saves.made[i]->length);
        qw_checkpoint_drop(saves.made[i]);
    }
    qw_session_free(s);
    qw_prefix_free(p);
    qw_timeline_deinit(&t);
}

static void states_of_a_pass_fit_into_what_is_left(void **state)
{
    (void)state;
    assert_int_equal(qw_saves_most(100, UINT64_MAX, 19), 5);
    assert_int_equal(qw_saves_most(SIZE_MAX, 100, 19), 2); /* half of it */
    assert_int_equal(qw_saves_most(SIZE_MAX, 37, 19), 0);
    assert_int_equal(qw_saves_most(18, UINT64_MAX, 19), 0);
    assert_int_equal(qw_saves_most(SIZE_MAX, UINT64_MAX, 19), QW_PASS_SAVES);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_held_is_not_computed_again),
        cmocka_unit_test(a_second_conversation_costs_the_first_nothing),
        cmocka_unit_test(sessions_that_share_pages_do_not_disturb_each_other),
        cmocka_unit_test(a_hundred_times_back_is_as_fresh),
        cmocka_unit_test(checkpoints_lie_close_to_the_end),
        cmocka_unit_test(a_cancelled_prompt_is_found_again),
        cmocka_unit_test(a_fork_goes_its_own_way),
        cmocka_unit_test(who_looks_again_is_not_overwritten),
        cmocka_unit_test(without_a_cache_everything_is_computed),
        cmocka_unit_test(checkpoints_may_be_short_of_memory),
        cmocka_unit_test(a_pass_makes_no_more_than_the_cache_has_room_for),
        cmocka_unit_test(states_of_a_pass_fit_into_what_is_left),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
