/* Sessions on a tiny checkpoint: memory as planned, cuts that change nothing, errors that leave the session as it was. Going back is in test_session_keep.c. */
#include "support/fault.h"
#include "support/tiny.h"

#define N_CTX 700

static qw_session *new_session(size_t n_ctx) { return session_with(&(qw_session_options){ .n_ctx = n_ctx }); }

static float *logits_of(const qw_session *s)
{
    size_t bytes = (size_t)model.config.text.vocab_size * sizeof(float);
    float *copy = malloc(bytes);
    assert_non_null(copy);
    assert_non_null(qw_session_logits(s));
    memcpy(copy, qw_session_logits(s), bytes);
    return copy;
}

static void memory_is_what_was_planned(void **state)
{
    (void)state;
    const qw_text_config *c = &model.config.text;
    qwren_error err = { 0 };
    fault_install();
    for (size_t n_ctx = 1; n_ctx < 3000; n_ctx = n_ctx * 3 + 1) {
        qw_memplan plan;
        ok(qw_memplan_make(&plan, c, n_ctx, QW_KV_F16, 0, &err), &err);
        assert_int_equal(plan.total_bytes, plan.kv_bytes + plan.state_bytes + plan.scratch_bytes);
        assert_int_equal(plan.block_bytes, plan.state_bytes + plan.scratch_bytes);
        assert_int_equal(plan.kv_bytes, (size_t)c->n_attention_layers * qw_cache_bytes(c, QW_KV_F16, n_ctx));
        size_t before = fault_live_bytes();
        qw_session *s = new_session(n_ctx);
        assert_int_equal(fault_live(), 1);
        size_t taken = fault_live_bytes() - before;
        assert_true(taken >= plan.block_bytes && taken < plan.block_bytes + 1024); /* the session itself */
        qw_session_free(s);
    }
    fault_remove();
}

static void a_wrong_length_is_refused(void **state)
{
    (void)state;
    qw_session *s = (qw_session *)&model;
    qwren_error err = { 0 };
    assert_int_equal(qw_session_create(&s, &model, &(qw_session_options){ .n_ctx = (size_t)model.config.text.max_positions + 1 }, &err),
                     QWREN_E_LIMIT);
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

/* A long timeline takes page after page, and gives them back. */
static void pages_come_with_the_tokens(void **state)
{
    (void)state;
    const size_t before = qw_page_live_bytes();
    qw_timeline t = timeline(600, 600, 0);
    qw_session *s = new_session(2000);
    assert_int_equal(qw_page_live_bytes(), before);
    eval(s, &t, 0, 512);
    const size_t page = qw_page_live_bytes() - before;
    assert_true(page >= (size_t)model.config.text.n_attention_layers * qw_cache_bytes(&model.config.text, QW_KV_F16, QW_KV_PAGE));
    eval(s, &t, 512, 600);
    assert_int_equal(qw_page_live_bytes() - before, 2 * page);
    qw_session_reset(s);
    assert_int_equal(qw_session_length(s), 0);
    assert_null(qw_session_logits(s));
    assert_int_equal(qw_page_live_bytes(), before);
    eval(s, &t, 0, 50);
    float *want = fresh_logits(&t, 50);
    same_logits(s, want);
    free(want);
    qw_session_free(s);
    assert_int_equal(qw_page_live_bytes(), before);
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

static void a_cancelled_prompt_keeps_what_is_computed(void **state)
{
    (void)state;
    size_t calls = 1;
    qw_timeline t = timeline(600, 600, 0);
    qw_session *s = new_session(N_CTX);
    qwren_error err = { 0 };
    qw_eval_options opt = { .progress = stop_at_second, .progress_ctx = &calls };
    assert_int_equal(qw_session_eval(s, &t, 0, 600, &opt, &err), QWREN_E_CANCELLED);
    assert_int_equal(calls, 2);
    assert_int_equal(qw_session_length(s), 512);
    assert_int_equal(qw_session_next_pos(s), 512);
    assert_null(qw_session_logits(s));
    eval(s, &t, 512, 600);
    float *want = fresh_logits(&t, 600);
    same_logits(s, want);
    free(want);
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

/* ---- memory */

static qwren_status create_and_free(void *ctx, qwren_error *err)
{
    qw_session *s = NULL;
    (void)ctx;
    qwren_status st = qw_session_create(&s, &model, &(qw_session_options){ .n_ctx = 64 }, err);
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

/* A page that cannot be taken is an error, and what was computed stays. */
static void a_page_may_be_short(void **state)
{
    (void)state;
    qw_timeline t = timeline(600, 600, 0);
    qwren_error err = { 0 };
    fault_install();
    qw_session *s = new_session(N_CTX);
    fault_fail_at(1); /* the first page */
    assert_int_equal(qw_session_eval(s, &t, 0, 600, NULL, &err), QWREN_E_MEMORY);
    assert_int_equal(qw_session_length(s), 0);
    fault_fail_at(0);
    eval(s, &t, 0, 512);
    fault_fail_at(1); /* the second */
    assert_int_equal(qw_session_step(s, 5, &err), QWREN_E_MEMORY);
    assert_int_equal(qw_session_length(s), 512);
    assert_non_null(qw_session_logits(s));
    fault_fail_at(0);
    eval(s, &t, 512, 600);
    float *want = fresh_logits(&t, 600);
    same_logits(s, want);
    free(want);
    qw_session_free(s);
    fault_remove();
    qw_timeline_deinit(&t);
}

static void computing_takes_memory_for_pages_alone(void **state)
{
    (void)state;
    qw_timeline t = timeline(300, 300, 0);
    fault_install();
    qw_session *s = new_session(N_CTX);
    size_t live = fault_live();
    qwren_error err = { 0 };
    eval(s, &t, 0, 290);
    const size_t calls = fault_calls();
    assert_true(fault_live() > live);
    for (int i = 0; i < 20; i++)
        ok(qw_session_step(s, i, &err), &err);
    assert_int_equal(fault_calls(), calls);
    qw_session_free(s);
    fault_remove();
    qw_timeline_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(memory_is_what_was_planned),
        cmocka_unit_test(a_wrong_length_is_refused),
        cmocka_unit_test(a_prompt_may_be_cut_anywhere),
        cmocka_unit_test(all_rows_and_the_last_row_agree),
        cmocka_unit_test(sessions_step_together),
        cmocka_unit_test(pages_come_with_the_tokens),
        cmocka_unit_test(too_much_leaves_the_session_as_it_was),
        cmocka_unit_test(ids_outside_the_vocabulary_are_refused),
        cmocka_unit_test(a_cancelled_prompt_keeps_what_is_computed),
        cmocka_unit_test(memory_may_be_short),
        cmocka_unit_test(a_page_may_be_short),
        cmocka_unit_test(computing_takes_memory_for_pages_alone),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
