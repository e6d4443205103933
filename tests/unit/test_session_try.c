/* Tokens on trial: logits behind each are those of single steps, and so is everything that follows, however many of them stay. */
#include "base/rng.h"
#include "support/tiny.h"

#define N_TRIAL 8

static qw_session *new_session(void) { return session_with(&(qw_session_options){ .n_ctx = 700, .n_trial = N_TRIAL }); }

static void same_row(const float *got, const float *want)
{
    for (int i = 0; i < model.config.text.vocab_size; i++)
        if (got[i] != want[i])
            fail_msg("logit %d: %g, wanted %g", i, (double)got[i], (double)want[i]);
}

/* The plain session goes step by step; the other tries n tokens of which the first `keep` are the right ones. */
static void trials_are_as_steps(void **state)
{
    (void)state;
    qw_session *plain = new_session(), *s = new_session();
    qw_timeline t = timeline(40, 40, 0);
    qwren_error err = { 0 };
    qw_rng rng;
    qw_rng_seed(&rng, 11);
    eval(plain, &t, 0, 40);
    eval(s, &t, 0, 40);
    for (int round = 0; round < 60; round++) {
        int32_t ids[N_TRIAL];
        const size_t n = 1 + (size_t)(qw_rng_u32(&rng) % N_TRIAL), keep = (size_t)(qw_rng_u32(&rng) % (n + 1));
        for (size_t i = 0; i < n; i++)
            ids[i] = (int32_t)(qw_rng_u32(&rng) % 500);
        ok(qw_session_try(s, ids, n, &err), &err);
        assert_int_equal(qw_session_length(s), qw_session_length(plain));
        assert_null(qw_session_logits(s));
        for (size_t i = 0; i < keep; i++) {
            ok(qw_session_step(plain, ids[i], &err), &err);
            same_row(qw_session_try_logits(s, i), qw_session_logits(plain));
            assert_memory_equal(qw_session_try_maxima(s, i), qw_session_maxima(plain),
                                qw_logit_blocks((size_t)model.config.text.vocab_size) * sizeof(float));
        }
        qw_session_keep(s, keep);
        assert_int_equal(qw_session_length(s), qw_session_length(plain));
        assert_int_equal(qw_session_next_pos(s), qw_session_next_pos(plain));
        if (keep)
            same_logits(s, qw_session_logits(plain));
        if (round % 4 == 3) { /* a plain step in between */
            ok(qw_session_step(plain, round, &err), &err);
            ok(qw_session_step(s, round, &err), &err);
            same_logits(s, qw_session_logits(plain));
        }
    }
    for (int i = 0; i < model.config.text.n_layers; i++) {
        const qw_layer_state *a = qw_session_layer(s, i), *b = qw_session_layer(plain, i);
        if (model.config.text.layer_kinds[i] == QW_LAYER_DELTA) {
            assert_memory_equal(a->conv, b->conv, qw_conv_floats(&model.config.text) * sizeof(float));
            assert_memory_equal(a->recurrent, b->recurrent, qw_recurrent_floats(&model.config.text) * sizeof(float));
        }
    }
    qw_session_free(plain), qw_session_free(s);
    qw_timeline_deinit(&t);
}

/* Kept rows that are not in the states yet belong to the timeline for a long prompt, a fork and a checkpoint, too. */
static void what_stays_is_there_for_everything_else(void **state)
{
    (void)state;
    qw_session *s = new_session(), *f = NULL;
    qw_timeline t = timeline(600, 600, 0);
    qwren_error err = { 0 };
    eval(s, &t, 0, 30);
    ok(qw_session_try(s, t.ids + 30, 6, &err), &err);
    qw_session_keep(s, 4);
    ok(qw_session_fork(&f, s, &err), &err);
    eval(s, &t, 34, 600);
    is_as_fresh(s, &t, 600);
    ok(qw_session_step(f, t.ids[34], &err), &err);
    is_as_fresh(f, &t, 35);
    ok(qw_session_try(f, t.ids + 35, 3, &err), &err); /* nobody decides on these */
    ok(qw_session_step(f, t.ids[35], &err), &err);
    is_as_fresh(f, &t, 36);
    qw_session_free(s), qw_session_free(f);
    qw_timeline_deinit(&t);
}

static void wrong_trials_are_refused(void **state)
{
    (void)state;
    qw_session *s = session_with(&(qw_session_options){ .n_ctx = 20, .n_trial = 4 });
    qw_timeline t = timeline(20, 20, 0);
    qwren_error err = { 0 };
    const int32_t ids[] = { 1, 2, 3, 4, 5 }, wrong[] = { 1, -1 };
    eval(s, &t, 0, 18);
    assert_int_equal(qw_session_try(s, ids, 0, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_session_try(s, ids, 5, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_session_try(s, wrong, 2, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_session_try(s, ids, 3, &err), QWREN_E_LIMIT);
    ok(qw_session_try(s, t.ids + 18, 2, &err), &err);
    qw_session_keep(s, 2);
    is_as_fresh(s, &t, 20);
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(trials_are_as_steps),
        cmocka_unit_test(what_stays_is_there_for_everything_else),
        cmocka_unit_test(wrong_trials_are_refused),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
