/* A timeline that is stretched for measuring: as long as was asked for, it computes on, and nobody finds it. */
#include <math.h>

#include "support/tiny.h"

static void a_stretched_timeline_goes_on(void **state)
{
    (void)state;
    qw_session *s = session_with(&(qw_session_options){ .n_ctx = 3000 });
    qw_timeline t = timeline(1024, 1024, 0);
    qwren_error err = { 0 };
    const size_t before = qw_page_live_bytes();
    eval(s, &t, 0, 1024);
    const size_t page = (qw_page_live_bytes() - before) / 2;
    assert_int_equal(qw_session_stretch(s, 3001, &err), QWREN_E_LIMIT);
    ok(qw_session_stretch(s, 2600, &err), &err);
    assert_int_equal(qw_session_length(s), 2600);
    assert_int_equal(qw_session_next_pos(s), 2600);
    assert_null(qw_session_logits(s));
    assert_int_equal(qw_page_live_bytes() - before, 6 * page);
    for (int i = 0; i < 20; i++)
        ok(qw_session_step(s, i, &err), &err);
    assert_int_equal(qw_session_length(s), 2620);
    assert_true(isfinite(qw_session_logits(s)[0]));
    assert_int_equal(qw_session_stretch(s, 100, &err), QWREN_E_ARGUMENT);
    qw_session_reset(s);
    assert_int_equal(qw_session_stretch(s, 1000, &err), QWREN_E_ARGUMENT);
    eval(s, &t, 0, 600);
    assert_int_equal(qw_session_stretch(s, 1000, &err), QWREN_E_ARGUMENT);
    is_as_fresh(s, &t, 600);
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

/* What was tried behind the end is not what is repeated. */
static void rows_on_trial_are_not_repeated(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    qw_timeline t = timeline(512, 512, 0);
    qw_session *s[2];
    for (int i = 0; i < 2; i++) {
        s[i] = session_with(&(qw_session_options){ .n_ctx = 3000, .n_trial = 16 });
        eval(s[i], &t, 0, 512);
        if (i)
            ok(qw_session_try(s[i], (int32_t[16]){ 1, 2, 3, 4, 5, 6, 7, 8 }, 16, &err), &err);
        ok(qw_session_stretch(s[i], 1024, &err), &err);
        ok(qw_session_step(s[i], 5, &err), &err);
    }
    assert_memory_equal(qw_session_logits(s[0]), qw_session_logits(s[1]), 16 * sizeof(float));
    for (int i = 0; i < 2; i++)
        qw_session_free(s[i]);
    qw_timeline_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stretched_timeline_goes_on),
        cmocka_unit_test(rows_on_trial_are_not_repeated),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
