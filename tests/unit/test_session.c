/* Sessions on a tiny checkpoint: memory as planned, cuts that change nothing, going back to a mark, errors that leave the session as it was. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/session.h"
#include "support/fault.h"

#define CHECKPOINT QW_TEST_DATA "/text/tiny-b/hf"
#define N_CTX 700

static qw_model model;

static void ok(qwren_status st, const qwren_error *err)
{
    if (st != QWREN_OK)
        fail_msg("%s", err->text);
}

static qw_session *new_session(size_t n_ctx)
{
    qw_session *s = NULL;
    qwren_error err = { 0 };
    ok(qw_session_create(&s, &model, n_ctx, QWREN_KV_DEFAULT, &err), &err);
    return s;
}

/* n ids that depend on `seed` from position `from` on, and are the same for all before. */
static qw_timeline timeline(size_t n, size_t from, int seed)
{
    int32_t ids[1024];
    qw_timeline t;
    qwren_error err = { 0 };
    assert_true(n <= 1024);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)((i * 37 + (i >= from ? (size_t)seed * 101 : 0)) % 500); /* below the pads of tiny-b */
    ok(qw_timeline_build(&t, &model.config, ids, n, NULL, NULL, 0, 0, &err), &err);
    return t;
}

static void eval(qw_session *s, const qw_timeline *t, size_t first, size_t end)
{
    qwren_error err = { 0 };
    ok(qw_session_eval(s, t, first, end, NULL, &err), &err);
}

static float *logits_of(const qw_session *s)
{
    size_t bytes = (size_t)model.config.text.vocab_size * sizeof(float);
    float *copy = malloc(bytes);
    assert_non_null(copy);
    assert_non_null(qw_session_logits(s));
    memcpy(copy, qw_session_logits(s), bytes);
    return copy;
}

static void same_logits(const qw_session *s, const float *want)
{
    for (int i = 0; i < model.config.text.vocab_size; i++)
        if (qw_session_logits(s)[i] != want[i])
            fail_msg("logit %d: %g, wanted %g", i, (double)qw_session_logits(s)[i], (double)want[i]);
}

/* The logits after the first n tokens of t, from nothing. */
static float *fresh_logits(const qw_timeline *t, size_t n)
{
    qw_session *s = new_session(N_CTX);
    eval(s, t, 0, n);
    float *logits = logits_of(s);
    qw_session_free(s);
    return logits;
}

static void memory_is_what_was_planned(void **state)
{
    (void)state;
    const qw_text_config *c = &model.config.text;
    qwren_error err = { 0 };
    fault_install();
    for (size_t n_ctx = 1; n_ctx < 3000; n_ctx = n_ctx * 3 + 1) {
        qw_memplan plan;
        ok(qw_memplan_make(&plan, c, n_ctx, QW_KV_F16, &err), &err);
        assert_int_equal(plan.total_bytes, plan.kv_bytes + plan.state_bytes + plan.scratch_bytes);
        assert_int_equal(plan.kv_bytes, (size_t)c->n_attention_layers * qw_cache_bytes(c, QW_KV_F16, n_ctx));
        size_t before = fault_live_bytes();
        qw_session *s = new_session(n_ctx);
        assert_int_equal(fault_live(), 1);
        size_t taken = fault_live_bytes() - before;
        assert_true(taken >= plan.total_bytes && taken < plan.total_bytes + 1024); /* the session itself */
        qw_session_free(s);
    }
    fault_remove();
}

static void a_wrong_length_is_refused(void **state)
{
    (void)state;
    qw_session *s = (qw_session *)&model;
    qwren_error err = { 0 };
    assert_int_equal(qw_session_create(&s, &model, (size_t)model.config.text.max_positions + 1, QWREN_KV_DEFAULT, &err), QWREN_E_LIMIT);
    assert_null(s);
    assert_non_null(strstr(err.text, "tokens"));
    s = new_session(0);
    assert_int_equal(qw_session_capacity(s), model.config.text.max_positions < 32768 ? model.config.text.max_positions : 32768);
    qw_session_free(s);
    qw_session_free(NULL);
}

/* However a prompt is cut, the logits are the same to the bit. */
static void a_prompt_may_be_cut_anywhere(void **state)
{
    (void)state;
    const size_t T = 600; /* more than one pass */
    qw_timeline t = timeline(T, T, 0);
    float *whole = fresh_logits(&t, T);
    for (size_t cut = 1; cut < T; cut += 57) {
        qw_session *s = new_session(N_CTX);
        eval(s, &t, 0, cut);
        assert_int_equal(qw_session_length(s), cut);
        eval(s, &t, cut, cut);
        eval(s, &t, cut, T);
        same_logits(s, whole);
        assert_int_equal(qw_session_length(s), T);
        assert_int_equal(qw_session_next_pos(s), T);
        qw_session_free(s);
    }
    qw_session *s = new_session(N_CTX);
    eval(s, &t, 0, T);
    same_logits(s, whole);
    qw_session_free(s);
    free(whole);
    qw_timeline_deinit(&t);
}

static void all_rows_and_the_last_row_agree(void **state)
{
    (void)state;
    const size_t T = 600, V = (size_t)model.config.text.vocab_size;
    qw_timeline t = timeline(T, T, 0);
    qw_session *s = new_session(N_CTX);
    float *all = malloc(T * V * sizeof *all);
    qw_eval_options opt = { .all_logits = all };
    qwren_error err = { 0 };
    ok(qw_session_eval(s, &t, 0, T, &opt, &err), &err);
    same_logits(s, all + (T - 1) * V);
    free(all);
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

/* Timelines of different lengths decode together as each does alone, with the largest logit of every block. */
static void sessions_step_together(void **state)
{
    (void)state;
    enum { MANY = 5, STEPS = 6 };
    qw_session *together[MANY], *alone[MANY];
    qw_timeline t = timeline(90, 90, 0);
    qwren_error err = { 0 };
    for (size_t i = 0; i < MANY; i++) {
        together[i] = new_session(i ? N_CTX : 100);
        alone[i] = new_session(N_CTX);
        eval(together[i], &t, 0, 20 * i + 3);
        eval(alone[i], &t, 0, 20 * i + 3);
    }
    for (int step = 0; step < STEPS; step++) {
        int32_t ids[MANY];
        for (int i = 0; i < MANY; i++) {
            ids[i] = 31 * i + step;
            ok(qw_session_step(alone[i], ids[i], &err), &err);
        }
        ok(qw_session_step_many(together, ids, MANY, &err), &err);
        for (size_t i = 0; i < MANY; i++) {
            same_logits(together[i], qw_session_logits(alone[i]));
            assert_memory_equal(qw_session_maxima(together[i]), qw_session_maxima(alone[i]),
                                qw_logit_blocks((size_t)model.config.text.vocab_size) * sizeof(float));
            assert_int_equal(qw_session_length(together[i]), qw_session_length(alone[i]));
        }
    }
    int32_t wrong[MANY] = { 1, 2, 3, 4, -1 };
    assert_int_equal(qw_session_step_many(together, wrong, MANY, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_session_length(together[0]), qw_session_length(alone[0]));
    for (size_t i = 0; i < MANY; i++)
        qw_session_free(together[i]), qw_session_free(alone[i]);
    qw_timeline_deinit(&t);
}

/* ---- going back */

static void what_is_held_is_not_computed_again(void **state)
{
    (void)state;
    qw_timeline first = timeline(120, 120, 0), longer = timeline(150, 150, 0), other = timeline(150, 90, 1), early = timeline(150, 40, 2);
    qw_session *s = new_session(N_CTX);
    assert_int_equal(qw_session_reuse(s, &first), 0);
    eval(s, &first, 0, 80);
    qw_session_mark(s);
    eval(s, &first, 80, 120);

    assert_int_equal(qw_session_reuse(s, &longer), 120); /* it goes on where it is */
    eval(s, &longer, 120, 150);
    float *want = fresh_logits(&longer, 150);
    same_logits(s, want);
    free(want);

    assert_int_equal(qw_session_reuse(s, &longer), 80);
    assert_null(qw_session_logits(s)); /* those that are there stand behind another token */
    eval(s, &longer, 80, 150);
    assert_non_null(qw_session_logits(s));
    assert_int_equal(qw_session_reuse(s, &longer), 80); /* the same again: one token at least must be computed, so back to the mark */
    eval(s, &longer, 80, 150);

    assert_int_equal(qw_session_reuse(s, &other), 80); /* differs behind the mark */
    eval(s, &other, 80, 150);
    want = fresh_logits(&other, 150);
    same_logits(s, want);
    free(want);

    assert_int_equal(qw_session_reuse(s, &early), 0); /* differs before the mark */
    eval(s, &early, 0, 150);
    want = fresh_logits(&early, 150);
    same_logits(s, want);
    free(want);
    qw_session_free(s);
    qw_timeline_deinit(&first), qw_timeline_deinit(&longer), qw_timeline_deinit(&other), qw_timeline_deinit(&early);
}

static void a_beginning_of_what_is_held_goes_back(void **state)
{
    (void)state;
    qw_timeline t = timeline(100, 100, 0), shorter = timeline(60, 60, 0);
    qw_session *s = new_session(N_CTX);
    eval(s, &t, 0, 60);
    qw_session_mark(s);
    eval(s, &t, 60, 100);
    assert_int_equal(qw_session_reuse(s, &shorter), 0); /* up to the mark nothing would be left to compute */
    eval(s, &shorter, 0, 60);
    float *want = fresh_logits(&t, 60);
    same_logits(s, want);
    free(want);
    qw_session_free(s);
    qw_timeline_deinit(&t), qw_timeline_deinit(&shorter);
}

static void reset_forgets_everything(void **state)
{
    (void)state;
    qw_timeline t = timeline(50, 50, 0);
    qw_session *s = new_session(N_CTX);
    eval(s, &t, 0, 50);
    qw_session_mark(s);
    qw_session_reset(s);
    assert_int_equal(qw_session_length(s), 0);
    assert_null(qw_session_logits(s));
    assert_int_equal(qw_session_reuse(s, &t), 0);
    eval(s, &t, 0, 50);
    float *want = fresh_logits(&t, 50);
    same_logits(s, want);
    free(want);
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

/* ---- errors */

static void too_much_leaves_the_session_as_it_was(void **state)
{
    (void)state;
    qw_timeline t = timeline(64, 64, 0);
    qw_session *s = new_session(64);
    qwren_error err = { 0 };
    eval(s, &t, 0, 60);
    float *before = logits_of(s);
    assert_int_equal(qw_session_eval(s, &t, 0, 5, NULL, &err), QWREN_E_LIMIT);
    assert_non_null(strstr(err.text, "context"));
    assert_int_equal(qw_session_length(s), 60);
    same_logits(s, before);
    eval(s, &t, 60, 64); /* full to the last token */
    assert_int_equal(qw_session_step(s, 1, &err), QWREN_E_LIMIT);
    assert_int_equal(qw_session_length(s), 64);
    free(before);
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

static void ids_outside_the_vocabulary_are_refused(void **state)
{
    (void)state;
    qw_session *s = new_session(8);
    qwren_error err = { 0 };
    assert_int_equal(qw_session_step(s, -1, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_session_step(s, model.config.text.vocab_size, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_session_length(s), 0);
    ok(qw_session_step(s, model.config.text.vocab_size - 1, &err), &err);
    qw_session_free(s);
}

static bool stop_at_second(void *ctx, size_t done, size_t total)
{
    size_t *calls = ctx;
    assert_true(done <= total && total == 600);
    return ++*calls < 2;
}

static void a_cancelled_prompt_leaves_nothing(void **state)
{
    (void)state;
    size_t calls = 0;
    qw_timeline t = timeline(600, 600, 0);
    qw_session *s = new_session(N_CTX);
    qwren_error err = { 0 };
    qw_eval_options opt = { .progress = stop_at_second, .progress_ctx = &calls };
    assert_int_equal(qw_session_eval(s, &t, 0, 600, &opt, &err), QWREN_E_CANCELLED);
    assert_int_equal(calls, 2);
    assert_int_equal(qw_session_length(s), 0);
    assert_null(qw_session_logits(s));
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

/* ---- memory */

static qwren_status create_and_free(void *ctx, qwren_error *err)
{
    qw_session *s = NULL;
    (void)ctx;
    qwren_status st = qw_session_create(&s, &model, 64, QWREN_KV_DEFAULT, err);
    assert_true((st == QWREN_OK) == (s != NULL));
    qw_session_free(s);
    return st;
}

static void memory_may_be_short(void **state)
{
    (void)state;
    fault_install();
    assert_int_equal(fault_try_all(create_and_free, NULL, 1), 1);
    fault_remove();
}

static void computing_takes_no_memory(void **state)
{
    (void)state;
    qw_timeline t = timeline(300, 300, 0);
    fault_install();
    qw_session *s = new_session(N_CTX);
    size_t calls = fault_calls();
    qwren_error err = { 0 };
    eval(s, &t, 0, 290);
    qw_session_mark(s);
    for (int i = 0; i < 20; i++)
        ok(qw_session_step(s, i, &err), &err);
    qw_session_reuse(s, &t);
    assert_int_equal(fault_calls(), calls);
    qw_session_free(s);
    fault_remove();
    qw_timeline_deinit(&t);
}

static int open_model(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    qw_model_params p = { .n_threads = 2 };
    if (qw_model_init(&model, CHECKPOINT, &p, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    qw_model_deinit(&model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_what_was_planned),
        cmocka_unit_test(a_wrong_length_is_refused),
        cmocka_unit_test(a_prompt_may_be_cut_anywhere),
        cmocka_unit_test(all_rows_and_the_last_row_agree),
        cmocka_unit_test(sessions_step_together),
        cmocka_unit_test(what_is_held_is_not_computed_again),
        cmocka_unit_test(a_beginning_of_what_is_held_goes_back),
        cmocka_unit_test(reset_forgets_everything),
        cmocka_unit_test(too_much_leaves_the_session_as_it_was),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(a_cancelled_prompt_leaves_nothing),
        cmocka_unit_test(memory_may_be_short),
        cmocka_unit_test(computing_takes_no_memory),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
