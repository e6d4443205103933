/* Drafts of the prediction head against the head over whole timelines, on qwren-nano: however tokens arrive, past the end of its window, over a part of the vocabulary. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "runtime/draft_mtp.h"
#include "runtime/session.h"
#include "support/fault.h"

#define T 1500

static qw_model model;
static size_t H, V;
static int32_t ids[T], pos[T][3];
static float *hidden; /* [T, H] */

static void ok(qwren_status st, const qwren_error *err)
{
    if (st != QWREN_OK)
        fail_msg("%s", err->text);
}

static qw_draft_mtp *new_drafter(size_t shortlist)
{
    qw_draft_mtp *d = NULL;
    qwren_error err = { 0 };
    ok(qw_draft_mtp_create(&d, &model, shortlist, &err), &err);
    return d;
}

/* ---- the reference: one pass over [first, end), then guess after guess, with all rows of the output head */

typedef struct reference {
    qw_text_scratch scratch;
    void *block, *cache;
    qw_layer_state state;
    size_t n;
    float *logits;
} reference;

static void reference_open(reference *r)
{
    const qw_text_config *c = &model.config.text;
    const qw_kv_type type = qw_cache_type(&model, QWREN_KV_DEFAULT);
    *r = (reference){ .block = qw_alloc_aligned(qw_text_scratch_bytes(c, T, T + 16)),
                      .cache = qw_alloc_aligned(qw_cache_bytes(c, type, T + 16)),
                      .logits = malloc(V * sizeof(float)) };
    qw_text_scratch_init(&r->scratch, r->block, c, T, T + 16);
    r->state = (qw_layer_state){ .cache = r->cache, .cache_type = type, .capacity = T + 16 };
}

static void reference_close(reference *r)
{
    qw_free_aligned(r->block);
    qw_free_aligned(r->cache);
    free(r->logits);
}

static qw_guess reference_pass(reference *r, const int32_t *next, const int32_t (*at)[3], const float *h, size_t n)
{
    const qw_segment segment = { .states = &r->state, .n = n, .start = r->n };
    const qw_batch batch = { .ids = next, .pos = at, .n = n, .segments = &segment, .n_segments = 1, .n_last = 1 };
    qw_mtp_forward(model.ops, &model.text, &model.mtp, &r->scratch, &batch, h);
    r->n += n;
    qw_text_logits(model.ops, &model.text, r->logits, &r->scratch.in, 1);
    qw_guess best = { 0 };
    float second = r->logits[1];
    for (size_t i = 1; i < V; i++) {
        const float x = r->logits[i], top = r->logits[best.id];
        second = x > top ? top : x > second ? x : second;
        best.id = x > top ? (int32_t)i : best.id;
    }
    best.margin = r->logits[best.id] - second;
    return best;
}

static void same_guess(qw_guess got, qw_guess want)
{
    if (got.id != want.id || got.margin != want.margin)
        fail_msg("%d by %g, wanted %d by %g", got.id, (double)got.margin, want.id, (double)want.margin);
}

/* The drafts behind token end - 1 of a head that knows the tokens from `first` on; ids[end] is the token that was picked. */
static void same_drafts(qw_draft_mtp *d, size_t first, size_t end, int n_guesses)
{
    reference r;
    float h[4096];
    reference_open(&r);
    qw_guess want = reference_pass(&r, ids + first + 1, (const int32_t(*)[3])(pos + first), hidden + first * H, end - first);
    same_guess(qw_draft_mtp_first(d, ids[end]), want);
    for (int i = 1; i < n_guesses; i++) {
        const int32_t at = pos[end - 1][0] + i, next[1][3] = { { at, at, at } };
        memcpy(h, r.scratch.in.f32, H * sizeof *h);
        want = reference_pass(&r, &want.id, next, h, 1);
        same_guess(qw_draft_mtp_next(d), want);
    }
    reference_close(&r);
}

static void note(qw_draft_mtp *d, size_t first, size_t end)
{
    qw_draft_mtp_note(d, first, ids + first, (const int32_t(*)[3])(pos + first), hidden + first * H, end - first);
}

/* ---- tests */

static void drafts_are_those_of_the_whole_timeline(void **state)
{
    (void)state;
    qw_draft_mtp *d = new_drafter(0);
    note(d, 0, 50);
    assert_int_equal(qw_draft_mtp_waiting(d), 50);
    same_drafts(d, 0, 50, 4);
    assert_int_equal(qw_draft_mtp_waiting(d), 0);
    note(d, 50, 100);
    same_drafts(d, 0, 100, 1);
    note(d, 100, 101); /* guesses leave nothing behind */
    same_drafts(d, 0, 101, 1);
    note(d, 101, 106);
    same_drafts(d, 0, 106, 5);
    for (size_t i = 106; i < 106 + QW_MTP_WAITING; i++)
        note(d, i, i + 1);
    same_drafts(d, 0, 106 + QW_MTP_WAITING, 2);
    qw_draft_mtp_free(d);
}

static void what_waits_too_long_is_given_up(void **state)
{
    (void)state;
    qw_draft_mtp *d = new_drafter(0);
    note(d, 0, 300); /* at once */
    assert_int_equal(qw_draft_mtp_waiting(d), QW_MTP_WAITING);
    same_drafts(d, 300 - QW_MTP_WAITING, 300, 2);
    for (size_t i = 300; i < 300 + QW_MTP_WAITING; i++)
        note(d, i, i + 1);
    same_drafts(d, 300 - QW_MTP_WAITING, 300 + QW_MTP_WAITING, 1); /* just not too long */
    for (size_t i = 300 + QW_MTP_WAITING; i < 600; i++)
        note(d, i, i + 1);
    same_drafts(d, 600 - QW_MTP_WAITING, 600, 2);
    qw_draft_mtp_free(d);
}

static void a_jump_begins_anew(void **state)
{
    (void)state;
    qw_draft_mtp *d = new_drafter(0);
    note(d, 0, 50);
    same_drafts(d, 0, 50, 1);
    note(d, 40, 60); /* back */
    same_drafts(d, 40, 60, 2);
    note(d, 70, 75); /* on, over a gap */
    same_drafts(d, 70, 75, 2);
    qw_draft_mtp_forget(d);
    assert_int_equal(qw_draft_mtp_waiting(d), 0);
    note(d, 75, 80);
    same_drafts(d, 75, 80, 1);
    qw_draft_mtp_free(d);
}

/* Rows 0 to 999, then a few more. */
static void fill(qw_draft_mtp *d, size_t end)
{
    qw_draft_mtp_forget(d);
    for (size_t i = 0; i < 1000; i += 40) {
        note(d, i, i + 40);
        qw_draft_mtp_first(d, ids[i + 40]);
    }
    note(d, 1000, end);
}

/* 1,024 places; behind them the older half goes. */
static void the_window_moves(void **state)
{
    (void)state;
    qw_draft_mtp *d = new_drafter(0);
    for (size_t i = 0; i < 1460; i += 20) {
        note(d, i, i + 20);
        qw_draft_mtp_first(d, ids[i + 20]);
    }
    same_drafts(d, 512, 1460, 3);
    fill(d, 1024 - QW_MTP_GUESSES); /* as full as it gets */
    same_drafts(d, 0, 1024 - QW_MTP_GUESSES, QW_MTP_GUESSES);
    for (size_t end = 1024 - QW_MTP_GUESSES + 1; end < 1024; end += 7) { /* there is no room for all guesses */
        fill(d, end);
        same_drafts(d, 512, end, QW_MTP_GUESSES);
    }
    qw_draft_mtp_free(d);
}

/* With a part of the rows the guess is the best of them; with the right id seen before, the best of all. */
static void seen_ids_are_looked_at(void **state)
{
    (void)state;
    qw_draft_mtp *whole = new_drafter(0), *part = new_drafter(512);
    size_t outside = 0;
    for (size_t end = 20; end < 400; end += 5) {
        note(whole, end - 5, end);
        note(part, end - 5, end);
        const qw_guess want = qw_draft_mtp_first(whole, ids[end]);
        if (want.id < 512)
            same_guess((qw_guess){ qw_draft_mtp_first(part, ids[end]).id, 0 }, (qw_guess){ want.id, 0 });
        else {
            outside++;
            qw_draft_mtp_saw(part, &want.id, 1);
            assert_int_equal(qw_draft_mtp_first(part, ids[end]).id, want.id);
        }
    }
    assert_true(outside > 3);
    for (int32_t id = 0; id < (int32_t)V; id++) /* more blocks than there is room for */
        qw_draft_mtp_saw(part, &id, 1);
    const int32_t bad[] = { -1, INT32_MAX, (int32_t)V };
    qw_draft_mtp_saw(part, bad, 3);
    assert_true(qw_draft_mtp_first(part, 7).id >= 0);
    qw_draft_mtp_free(whole);
    qw_draft_mtp_free(part);
}

static qwren_status make_one(void *ctx, qwren_error *err)
{
    qw_draft_mtp *d = NULL;
    (void)ctx;
    qwren_status st = qw_draft_mtp_create(&d, &model, 0, err);
    qw_draft_mtp_free(d);
    return st;
}

static void memory_is_what_was_said_and_may_be_short(void **state)
{
    (void)state;
    fault_install();
    assert_int_equal(fault_try_all(make_one, NULL, 1), 2);
    const size_t before = fault_live_bytes();
    qw_draft_mtp *d = new_drafter(1000);
    assert_in_range(fault_live_bytes() - before, qw_draft_mtp_bytes(&model, 1000), qw_draft_mtp_bytes(&model, 1000) + 256);
    const size_t calls = fault_calls();
    note(d, 0, 100);
    qw_draft_mtp_saw(d, ids, 100);
    qw_draft_mtp_first(d, 1);
    qw_draft_mtp_next(d);
    assert_int_equal(fault_calls(), calls);
    qw_draft_mtp_free(d);
    qw_draft_mtp_free(NULL);
    fault_remove();
}

static void a_model_without_the_head_is_refused(void **state)
{
    (void)state;
    qw_model none;
    qw_draft_mtp *d = NULL;
    qwren_error err = { 0 };
    ok(qw_model_init(&none, QW_TEST_DATA "/text/tiny-b/hf", &(qw_model_params){ 0 }, &err), &err);
    assert_int_equal(qw_draft_mtp_create(&d, &none, 0, &err), QWREN_E_UNSUPPORTED);
    assert_null(d);
    assert_non_null(strstr(err.text, "head"));
    qw_model_deinit(&none);
}

static int open_model(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    qw_timeline t;
    qw_session *s = NULL;
    ok(qw_model_init(&model, QW_MODELS "/qwren-nano", &(qw_model_params){ 0 }, &err), &err);
    H = (size_t)model.config.text.hidden_size;
    V = (size_t)model.config.text.vocab_size;
    hidden = malloc(T * H * sizeof *hidden);
    for (size_t i = 0; i < T; i++)
        ids[i] = (int32_t)(i * i * 31 % 2003 + i % 7);
    ok(qw_timeline_build(&t, &model.config, ids, T, NULL, NULL, 0, 0, &err), &err);
    memcpy(pos, t.pos, sizeof pos);
    ok(qw_session_create(&s, &model, &(qw_session_options){ .n_ctx = T }, &err), &err);
    for (size_t at = 0; at < T; at += 100) {
        ok(qw_session_eval(s, &t, at, at + 100, &(qw_eval_options){ .n_hidden = QW_ALL_ROWS }, &err), &err);
        memcpy(hidden + at * H, qw_session_hidden(s), 100 * H * sizeof *hidden);
    }
    qw_session_free(s);
    qw_timeline_deinit(&t);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    free(hidden);
    qw_model_deinit(&model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(drafts_are_those_of_the_whole_timeline),
        cmocka_unit_test(what_waits_too_long_is_given_up),
        cmocka_unit_test(a_jump_begins_anew),
        cmocka_unit_test(the_window_moves),
        cmocka_unit_test(seen_ids_are_looked_at),
        cmocka_unit_test(memory_is_what_was_said_and_may_be_short),
        cmocka_unit_test(a_model_without_the_head_is_refused),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
