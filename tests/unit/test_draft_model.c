/* A draft model guesses what it would say itself: greedy steps of a plain session with the same tokens, whatever was drafted and refused before, and after pauses. */
#include "base/rng.h"
#include "runtime/draft_model.h"
#include "support/fault.h"
#include "support/tiny.h"

#define N_CTX 900
#define MOST 6

static qw_draft_model *new_drafter(size_t n_ctx)
{
    qw_draft_model *d = NULL;
    qwren_error err = { 0 };
    ok(qw_draft_model_create(&d, &model, n_ctx, QWREN_KV_DEFAULT, NULL, &err), &err);
    return d;
}

static int32_t best_of(const float *logits)
{
    int32_t best = 0;
    for (int32_t i = 1; i < model.config.text.vocab_size; i++)
        best = logits[i] > logits[best] ? i : best;
    return best;
}

/* The n greedy tokens behind ids [n_ids], from nothing. */
static void greedy(const int32_t *ids, size_t n_ids, int32_t *out, size_t n)
{
    qw_session *s = session_with(&(qw_session_options){ .n_ctx = N_CTX });
    qw_timeline t;
    qwren_error err = { 0 };
    ok(qw_timeline_build(&t, &model.config, ids, n_ids, NULL, NULL, 0, 0, &err), &err);
    eval(s, &t, 0, n_ids);
    for (size_t i = 0; i < n; i++) {
        out[i] = best_of(qw_session_logits(s));
        ok(qw_session_step(s, out[i], &err), &err);
    }
    qw_session_free(s);
    qw_timeline_deinit(&t);
}

static void same_guesses(const qw_drafter *d, const int32_t *ids, size_t n_ids, size_t n)
{
    int32_t want[MOST];
    qw_guess g;
    greedy(ids, n_ids, want, n);
    for (size_t i = 0; i < n; i++) {
        assert_true(i ? d->next(d->ctx, &g) : d->first(d->ctx, ids, n_ids, &g));
        if (g.id != want[i])
            fail_msg("guess %zu behind %zu tokens is %d, wanted %d", i, n_ids, g.id, want[i]);
        assert_true(g.margin >= 0);
    }
}

static void it_says_what_it_would_say_itself(void **state)
{
    (void)state;
    static int32_t ids[N_CTX];
    qw_draft_model *m = new_drafter(N_CTX);
    const qw_drafter d = qw_draft_model_drafter(m);
    qw_timeline t = timeline(600, 600, 0);
    qw_rng rng;
    size_t n = 40;
    qw_rng_seed(&rng, 3);
    memcpy(ids, t.ids, 600 * sizeof *ids);
    while (n < 500) {
        const size_t n_guesses = 1 + qw_rng_u32(&rng) % MOST, right = qw_rng_u32(&rng) % (n_guesses + 1);
        int32_t said[MOST];
        same_guesses(&d, ids, n, n_guesses);
        greedy(ids, n, said, right);
        memcpy(ids + n, said,
               right * sizeof *ids); /* so many are accepted, then another token is picked; now and then nobody asks for a while */
        n += right;
        ids[n] = (ids[n] + 1) % 500;
        n += 1 + (qw_rng_u32(&rng) % 4 ? 0 : qw_rng_u32(&rng) % 60);
    }
    qw_draft_model_free(m);
    qw_timeline_deinit(&t);
}

static void it_follows_jumps(void **state)
{
    (void)state;
    qw_draft_model *m = new_drafter(N_CTX);
    const qw_drafter d = qw_draft_model_drafter(m);
    qw_timeline a = timeline(100, 100, 0), b = timeline(100, 50, 1);
    same_guesses(&d, a.ids, 100, 3);
    same_guesses(&d, b.ids, 100, 3); /* the same for half of it */
    same_guesses(&d, b.ids, 30, 3);  /* back */
    same_guesses(&d, b.ids, 30, 3);  /* the same again */
    qw_draft_model_free(m);
    qw_timeline_deinit(&a);
    qw_timeline_deinit(&b);
}

/* Tokens that were tried and came need no catching up, which would allocate, whether or not the newest of them was tried too. */
static void what_was_tried_is_not_computed_again(void **state)
{
    (void)state;
    int32_t ids[120], said[8];
    qw_guess g;
    qw_timeline t = timeline(100, 100, 0);
    memcpy(ids, t.ids, 100 * sizeof *ids);
    greedy(ids, 100, said, 8);
    memcpy(ids + 100, said, sizeof said);
    fault_install();
    qw_draft_model *m = new_drafter(N_CTX);
    const qw_drafter d = qw_draft_model_drafter(m);
    for (size_t n = 100, came = 0; came <= 3; n += ++came) { /* of three guesses, the fourth token is not among what was tried */
        const size_t calls = fault_calls();
        assert_true(d.first(d.ctx, ids, n, &g));
        assert_int_equal(g.id, ids[n]);
        if (n > 100)
            assert_int_equal(fault_calls(), calls);
        for (int i = 0; i < 2; i++)
            assert_true(d.next(d.ctx, &g));
    }
    qw_draft_model_free(m);
    fault_remove();
    qw_timeline_deinit(&t);
}

static void it_is_silent_when_it_cannot_compute(void **state)
{
    (void)state;
    qw_draft_model *m = new_drafter(20);
    const qw_drafter d = qw_draft_model_drafter(m);
    qw_timeline t = timeline(100, 100, 0);
    qw_guess g;
    assert_false(d.next(d.ctx, &g)); /* nothing was asked */
    assert_false(d.first(d.ctx, t.ids, 0, &g));
    assert_true(d.first(d.ctx, t.ids, 19, &g));
    assert_true(d.next(d.ctx, &g));
    assert_false(d.next(d.ctx, &g)); /* full */
    assert_false(d.first(d.ctx, t.ids, 50, &g));
    same_guesses(&d, t.ids, 10, 3);
    const int32_t pads[] = { 1, model.config.image_token, 2 };
    assert_false(d.first(d.ctx, pads, 3, &g));
    qw_draft_model_free(m);
    qw_draft_model_free(NULL);
    qw_timeline_deinit(&t);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_says_what_it_would_say_itself),
        cmocka_unit_test(it_follows_jumps),
        cmocka_unit_test(what_was_tried_is_not_computed_again),
        cmocka_unit_test(it_is_silent_when_it_cannot_compute),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
