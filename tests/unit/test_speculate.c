/* Guessing ahead gives the same tokens as not guessing, whoever guesses and however well: greedy and sampled, with penalties, to the end of the context, ended or failing
 * anywhere. On qwren-nano, whose head drafts, and with drafters that know everything or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "runtime/sampler.h"
#include "runtime/speculate.h"
#include "support/fault.h"

#define N_CTX 400
#define PROMPT 60
#define MOST 120 /* tokens of an answer */

static qw_model model;
static qw_timeline prompt;
static int32_t answers[2][MOST]; /* without drafts: greedy, sampled */

static void ok(qwren_status st, const qwren_error *err)
{
    if (st != QWREN_OK)
        fail_msg("%s", err->text);
}

static qw_session *new_session(size_t n_ctx)
{
    qw_session *s = NULL;
    qwren_error err = { 0 };
    const qw_session_options opt = { .n_ctx = n_ctx, .n_trial = QW_SPEC_ROWS };
    ok(qw_session_create(&s, &model, &opt, &err), &err);
    return s;
}

static qw_sampler *new_sampler(bool sampled)
{
    const qw_sampling warm = { .temperature = 1.3, .top_p = 0.95, .top_k = 50, .repetition_penalty = 1.05, .presence_penalty = 0.3 },
                      greedy = { .top_p = 1, .repetition_penalty = 1 };
    const size_t V = (size_t)model.config.text.vocab_size;
    qw_sampler *s = NULL;
    qwren_error err = { 0 };
    ok(qw_sampler_create(&s, &(qw_sampler_options){ .sampling = sampled ? warm : greedy, .seed = 7, .n_vocab = V, .n_tokens = V - 64 },
                         &err),
       &err);
    qw_sampler_note_prompt(s, prompt.ids, prompt.n);
    return s;
}

/* ---- drafters */

typedef enum skill { GOOD, BAD, HALF } skill;

/* Knows the answer, and says it, something else, or either. */
typedef struct oracle {
    skill skill;
    const int32_t *answer; /* [MOST] */
    size_t at;
    qw_rng rng;
} oracle;

static bool oracle_next(void *ctx, qw_guess *out)
{
    oracle *o = ctx;
    const bool right = o->skill == GOOD || (o->skill == HALF && qw_rng_u32(&o->rng) % 2);
    *out = (qw_guess){ .id = o->at < MOST ? o->answer[o->at] : 0, .margin = 3 };
    if (!right)
        out->id = (out->id + 1) % 100;
    o->at++;
    return true;
}

static bool oracle_first(void *ctx, const int32_t *ids, size_t n, qw_guess *out)
{
    oracle *o = ctx;
    (void)ids;
    o->at = n - prompt.n;
    return oracle_next(ctx, out);
}

/* ---- answering */

typedef struct answering {
    qw_session *session;
    qw_sampler *sampler;
    qw_speculate *p; /* NULL: plain steps */
} answering;

static void start(answering *a, const qw_speculate_options *opt, bool sampled)
{
    qwren_error err = { 0 };
    *a = (answering){ .session = new_session(N_CTX), .sampler = new_sampler(sampled) };
    const qw_eval_options all = { .n_hidden = SIZE_MAX };
    ok(qw_session_eval(a->session, &prompt, 0, prompt.n, &all, &err), &err);
    if (!opt)
        return;
    ok(qw_speculate_create(&a->p, &model, a->session, opt, &err), &err);
    qw_speculate_begin(a->p, prompt.ids, prompt.n, NULL, 0);
    if (qw_speculate_wants(a->p))
        qw_speculate_saw(a->p, 0, prompt.ids, (const int32_t(*)[3])prompt.pos, qw_session_hidden(a->session), prompt.n);
}

static void stop(answering *a)
{
    qw_speculate_free(a->p);
    qw_sampler_free(a->sampler);
    qw_session_free(a->session);
}

static int32_t one_token(answering *a, size_t more)
{
    qwren_error err = { 0 };
    int32_t id = -1;
    const float *logits = a->p ? qw_speculate_logits(a->p) : qw_session_logits(a->session),
                *maxima = a->p ? qw_speculate_maxima(a->p) : qw_session_maxima(a->session);
    ok(qw_sampler_pick(a->sampler, logits, maxima, &id, &err), &err);
    qw_sampler_accept(a->sampler, id);
    ok(a->p ? qw_speculate_step(a->p, id, more, &err) : qw_session_step(a->session, id, &err), &err);
    return id;
}

/* The session holds prompt and the first n tokens of the answer, and goes on as one that was never guessed for. */
static void session_is_as_plain(answering *a, bool sampled, size_t n)
{
    answering plain;
    qwren_error err = { 0 };
    start(&plain, NULL, sampled);
    for (size_t i = 0; i < n; i++)
        ok(qw_session_step(plain.session, answers[sampled][i], &err), &err);
    assert_int_equal(qw_session_length(a->session), prompt.n + n);
    assert_int_equal(qw_session_next_pos(a->session), qw_session_next_pos(plain.session));
    for (int32_t id = 5; id < 8; id++) {
        assert_memory_equal(qw_session_logits(a->session), qw_session_logits(plain.session),
                            (size_t)model.config.text.vocab_size * sizeof(float));
        ok(qw_session_step(a->session, id, &err), &err);
        ok(qw_session_step(plain.session, id, &err), &err);
    }
    stop(&plain);
}

static qw_spec_counts same_answer(const qw_speculate_options *opt, bool sampled, size_t n)
{
    answering a;
    start(&a, opt, sampled);
    for (size_t i = 0; i < n; i++) {
        const int32_t id = one_token(&a, MOST - 1 - i);
        if (id != answers[sampled][i])
            fail_msg("%s token %zu is %d, without drafts it is %d", sampled ? "sampled" : "greedy", i, id, answers[sampled][i]);
    }
    qw_speculate_end(a.p);
    const qw_spec_counts counts = qw_speculate_control(a.p)->counts;
    assert_int_equal(counts.tokens, n);
    session_is_as_plain(&a, sampled, n);
    stop(&a);
    return counts;
}

/* ---- tests */

static void the_heads_drafts_change_nothing(void **state)
{
    (void)state;
    for (int sampled = 0; sampled < 2; sampled++)
        for (size_t k = 1; k <= 8; k++) {
            const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MTP] = true }, .always = true, .exactly = k },
                                               .shortlist = k % 2 ? 0 : 512 };
            const qw_spec_counts c = same_answer(&opt, sampled, MOST);
            assert_true(c.rounds[QW_DRAFT_MTP] > 0 && c.checked[QW_DRAFT_MTP][0] > 0);
            if (k > 1 && !sampled)
                assert_true(c.accepted[QW_DRAFT_MTP][0] > 0);
        }
}

static void lookup_and_the_controllers_choice_change_nothing(void **state)
{
    (void)state;
    for (int sampled = 0; sampled < 2; sampled++) {
        const qw_speculate_options lookup = { .control = { .use = { [QW_DRAFT_LOOKUP] = true }, .always = true } },
                                   both = { .control = { .use = { [QW_DRAFT_MTP] = true, [QW_DRAFT_LOOKUP] = true } } };
        const qw_spec_counts c = same_answer(&lookup, sampled, MOST);
        if (!sampled)
            assert_true(c.rounds[QW_DRAFT_LOOKUP] > 0);
        same_answer(&both, sampled, MOST);
    }
}

static void good_and_bad_drafters_change_nothing(void **state)
{
    (void)state;
    for (int sampled = 0; sampled < 2; sampled++)
        for (size_t k = 1; k <= QW_SPEC_DRAFTS; k += 2)
            for (int s = GOOD; s <= HALF; s++) {
                oracle o = { .skill = (skill)s, .answer = answers[sampled] };
                qw_rng_seed(&o.rng, k);
                const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MODEL] = true }, .always = true, .exactly = k },
                                                   .drafter = { &o, oracle_first, oracle_next } };
                const qw_spec_counts c = same_answer(&opt, sampled, MOST);
                if (s == GOOD) {
                    assert_int_equal(c.passes, (MOST + k) / (k + 1));
                    assert_int_equal(c.accepted[QW_DRAFT_MODEL][0], c.checked[QW_DRAFT_MODEL][0]);
                } else if (s == BAD) {
                    assert_int_equal(c.passes, MOST);
                    assert_int_equal(c.accepted[QW_DRAFT_MODEL][0], 0);
                    assert_int_equal(c.checked[QW_DRAFT_MODEL][0], MOST - 1); /* the last token has none behind it */
                }
            }
}

static bool mute_first(void *ctx, const int32_t *ids, size_t n, qw_guess *out)
{
    (void)ids, (void)n, (void)out;
    ++*(size_t *)ctx;
    return false;
}

/* It does not stand in the way of the others: once an answer is enough. */
static void a_drafter_that_cannot_is_not_asked_again(void **state)
{
    (void)state;
    size_t asked = 0;
    const qw_speculate_options opt = {
        .control = { .use = { [QW_DRAFT_MODEL] = true, [QW_DRAFT_LOOKUP] = true }, .always = true, .exactly = 3 },
        .drafter = { &asked, mute_first, oracle_next }
    };
    int32_t ids[PROMPT + MOST];
    answering a;
    start(&a, &opt, false);
    memcpy(ids, prompt.ids, prompt.n * sizeof *ids);
    for (size_t i = 0; i < MOST; i++)
        ids[prompt.n + i] = one_token(&a, MOST);
    assert_memory_equal(ids + prompt.n, answers[0], sizeof answers[0]);
    assert_int_equal(asked, 1);
    qw_speculate_end(a.p);
    assert_true(qw_speculate_control(a.p)->counts.rounds[QW_DRAFT_LOOKUP] > 0);
    qw_speculate_begin(a.p, ids, prompt.n + MOST, NULL, 0);
    one_token(&a, 10);
    assert_int_equal(asked, 2);
    stop(&a);
}

/* The caller stops after any number of tokens: those are what the session holds. */
static void an_answer_may_end_anywhere(void **state)
{
    (void)state;
    for (size_t n = 0; n < 20; n++) {
        oracle o = { .skill = n % 2 ? GOOD : HALF, .answer = answers[1] };
        const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MODEL] = true }, .always = true, .exactly = 6 },
                                           .drafter = { &o, oracle_first, oracle_next } };
        same_answer(&opt, true, n);
    }
}

/* What the caller gives need not be what a sampler would pick. */
static void ids_may_be_forced(void **state)
{
    (void)state;
    const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MTP] = true, [QW_DRAFT_LOOKUP] = true }, .always = true } };
    qwren_error err = { 0 };
    answering a, plain;
    start(&a, &opt, true);
    start(&plain, NULL, true);
    for (size_t i = 0; i < 60; i++) {
        if (i % 3) {
            ok(qw_speculate_step(a.p, (int32_t)i % 7, 50, &err), &err);
            ok(qw_session_step(plain.session, (int32_t)i % 7, &err), &err);
        } else
            assert_int_equal(one_token(&a, 50), one_token(&plain, 0));
    }
    stop(&a);
    stop(&plain);
}

/* Drafts do not reach beyond the context, nor beyond what will be asked for, and ids that end an answer are not drafted. */
static void drafts_stay_within_bounds(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    oracle o = { .skill = GOOD, .answer = answers[0] };
    const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MODEL] = true }, .always = true, .exactly = 8 },
                                       .drafter = { &o, oracle_first, oracle_next } };
    answering a;
    start(&a, &opt, false);
    one_token(&a, 3);
    qw_speculate_end(a.p);
    assert_int_equal(qw_speculate_control(a.p)->counts.drafted[QW_DRAFT_MODEL], 3);
    stop(&a);

    start(&a, &opt, false);
    qw_speculate_begin(a.p, prompt.ids, prompt.n, &answers[0][3], 1);
    one_token(&a, 30);
    qw_speculate_end(a.p);
    size_t before = 0;
    while (answers[0][1 + before] != answers[0][3])
        before++;
    assert_int_equal(qw_speculate_control(a.p)->counts.drafted[QW_DRAFT_MODEL], before);
    stop(&a);

    qw_session *s = new_session(prompt.n + 5);
    qw_speculate *p = NULL;
    ok(qw_session_eval(s, &prompt, 0, prompt.n, NULL, &err), &err);
    ok(qw_speculate_create(&p, &model, s, &opt, &err), &err);
    qw_speculate_begin(p, prompt.ids, prompt.n, NULL, 0);
    for (size_t i = 0; i < 5; i++)
        ok(qw_speculate_step(p, answers[0][i], 50, &err), &err);
    assert_int_equal(qw_speculate_control(p)->counts.passes, 0); /* the first one is not over: five rows, the last four of them drafts */
    assert_int_equal(qw_speculate_step(p, answers[0][5], 50, &err), QWREN_E_LIMIT);
    qw_speculate_end(p);
    assert_int_equal(qw_session_length(s), prompt.n + 5);
    assert_int_equal(qw_speculate_control(p)->counts.passes, 1);
    qw_speculate_free(p);
    qw_session_free(s);
}

static void a_wrong_id_leaves_everything_as_it_was(void **state)
{
    (void)state;
    const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MTP] = true }, .always = true, .exactly = 3 } };
    qwren_error err = { 0 };
    answering a;
    start(&a, &opt, false);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(one_token(&a, 100), answers[0][i]);
    assert_int_equal(qw_speculate_step(a.p, -5, 100, &err), QWREN_E_ARGUMENT);
    for (size_t i = 10; i < 30; i++)
        assert_int_equal(one_token(&a, 100), answers[0][i]);
    stop(&a);
}

/* A second answer behind the first goes on with what is known; one behind another prompt begins anew. */
static void answers_follow_each_other(void **state)
{
    (void)state;
    const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MTP] = true, [QW_DRAFT_LOOKUP] = true }, .always = true } };
    answering a;
    start(&a, &opt, false);
    int32_t all[PROMPT + 40];
    memcpy(all, prompt.ids, sizeof(int32_t) * prompt.n);
    for (size_t i = 0; i < 40; i++) {
        all[prompt.n + i] = one_token(&a, 39 - i % 20);
        if (i == 19) {
            qw_speculate_end(a.p);
            qw_speculate_begin(a.p, all, prompt.n + 20, NULL, 0);
        }
    }
    assert_memory_equal(all + prompt.n, answers[0], 40 * sizeof(int32_t));
    qw_speculate_end(a.p);
    qwren_error err = { 0 };
    qw_session_reset(a.session);
    ok(qw_session_eval(a.session, &prompt, 0, prompt.n, NULL, &err), &err);
    qw_speculate_begin(a.p, prompt.ids, prompt.n, NULL, 0);
    for (size_t i = 0; i < 40; i++)
        assert_int_equal(one_token(&a, 100), answers[0][i]);
    stop(&a);
}

/* The session forgets tokens 16 to 47, positions move up; the answer goes on as without drafts. */
static void tokens_may_be_forgotten_on_the_way(void **state)
{
    (void)state;
    const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MTP] = true, [QW_DRAFT_LOOKUP] = true }, .always = true } };
    qwren_error err = { 0 };
    answering a, plain;
    start(&a, &opt, false);
    start(&plain, NULL, false);
    for (size_t i = 0; i < 60; i++) {
        if (i == 21) {
            qw_speculate_end(a.p);
            assert_int_equal(qw_speculate_length(a.p), prompt.n + i);
            ok(qw_session_shift(a.session, 16, 32, &err), &err);
            ok(qw_session_shift(plain.session, 16, 32, &err), &err);
            qw_speculate_shift(a.p, 16, 32);
            assert_int_equal(qw_speculate_length(a.p), qw_session_length(a.session));
        }
        assert_int_equal(one_token(&a, 60), one_token(&plain, 0));
    }
    stop(&a);
    stop(&plain);
}

static qwren_status make_one(void *ctx, qwren_error *err)
{
    const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MTP] = true, [QW_DRAFT_LOOKUP] = true } } };
    qw_speculate *p = NULL;
    qwren_status st = qw_speculate_create(&p, &model, ctx, &opt, err);
    qw_speculate_free(p);
    return st;
}

static void memory_may_be_short_and_steps_take_none(void **state)
{
    (void)state;
    const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MTP] = true, [QW_DRAFT_LOOKUP] = true }, .always = true } };
    qw_session *s = new_session(N_CTX);
    fault_install();
    assert_true(fault_try_all(make_one, s, 1) >= 5);
    qw_speculate_free(NULL);
    fault_remove();
    qw_session_free(s);
    fault_install();
    answering a;
    start(&a, &opt, true);
    one_token(&a, 100);
    const size_t calls = fault_calls();
    for (size_t i = 1; i < 100; i++)
        assert_int_equal(one_token(&a, MOST), answers[1][i]);
    assert_int_equal(fault_calls(), calls);
    const size_t bytes = fault_live_bytes();
    qw_speculate_free(a.p);
    a.p = NULL;
    assert_in_range(bytes - fault_live_bytes(), qw_speculate_bytes(&model, N_CTX, &opt), qw_speculate_bytes(&model, N_CTX, &opt) + 1024);
    stop(&a);
    fault_remove();
}

/* A token that still fits into its page, and drafts for which another one is refused. */
static void an_answer_goes_on_without_drafts_where_memory_ends(void **state)
{
    (void)state;
    oracle o = { .skill = GOOD, .answer = answers[0] };
    const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MODEL] = true }, .always = true, .exactly = 3 },
                                       .drafter = { &o, oracle_first, oracle_next } };
    int32_t ids[QW_KV_PAGE - 1];
    qw_timeline t;
    qw_speculate *p = NULL;
    qwren_error err = { 0 };
    for (size_t i = 0; i < QW_KV_PAGE - 1; i++)
        ids[i] = prompt.ids[i % prompt.n];
    ok(qw_timeline_build(&t, &model.config, ids, QW_KV_PAGE - 1, NULL, NULL, 0, 0, &err), &err);
    fault_install();
    qw_session *s = new_session(2 * QW_KV_PAGE);
    ok(qw_session_eval(s, &t, 0, t.n, NULL, &err), &err);
    ok(qw_speculate_create(&p, &model, s, &opt, &err), &err);
    qw_speculate_begin(p, ids, t.n, NULL, 0);
    fault_fail_at(1);
    ok(qw_speculate_step(p, answers[0][0], 100, &err), &err);
    assert_int_equal(fault_failed(), 1); /* of a page for the drafts */
    assert_int_equal(qw_session_length(s), QW_KV_PAGE);
    fault_fail_at(1); /* a whole answer, when there is no page for its next token either */
    assert_int_equal(qw_speculate_step(p, answers[0][1], 0, &err), QWREN_E_MEMORY);
    assert_int_equal(qw_session_length(s), QW_KV_PAGE);
    ok(qw_speculate_step(p, answers[0][1], 100, &err), &err); /* there is some again */
    qw_speculate_end(p);
    assert_true(qw_speculate_control(p)->counts.drafted[QW_DRAFT_MODEL] > 0);
    qw_speculate_free(p);
    qw_session_free(s);
    fault_remove();
    qw_timeline_deinit(&t);
}

static void a_model_without_the_head_is_refused(void **state)
{
    (void)state;
    const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MTP] = true } } };
    qw_model none;
    qw_session *s = NULL;
    qw_speculate *p = NULL;
    qwren_error err = { 0 };
    ok(qw_model_init(&none, QW_TEST_DATA "/text/tiny-b/hf", &(qw_model_params){ 0 }, &err), &err);
    ok(qw_session_create(&s, &none, &(qw_session_options){ .n_ctx = 50, .n_trial = QW_SPEC_ROWS }, &err), &err);
    assert_int_equal(qw_speculate_create(&p, &none, s, &opt, &err), QWREN_E_UNSUPPORTED);
    assert_null(p);
    qw_session_free(s);
    qw_model_deinit(&none);
}

static void answer_plainly(bool sampled)
{
    answering a;
    start(&a, NULL, sampled);
    for (size_t i = 0; i < MOST; i++)
        answers[sampled][i] = one_token(&a, 0);
    stop(&a);
}

static int open_model(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    int32_t ids[PROMPT];
    ok(qw_model_init(&model, QW_MODELS "/qwren-nano", &(qw_model_params){ .n_threads = 2 }, &err), &err);
    for (int i = 0; i < PROMPT; i++)
        ids[i] = i * i * 31 % 1003 + i % 5;
    ok(qw_timeline_build(&prompt, &model.config, ids, PROMPT, NULL, NULL, 0, 0, &err), &err);
    answer_plainly(false);
    answer_plainly(true);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    qw_timeline_deinit(&prompt);
    qw_model_deinit(&model);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_heads_drafts_change_nothing),
        cmocka_unit_test(lookup_and_the_controllers_choice_change_nothing),
        cmocka_unit_test(good_and_bad_drafters_change_nothing),
        cmocka_unit_test(a_drafter_that_cannot_is_not_asked_again),
        cmocka_unit_test(an_answer_may_end_anywhere),
        cmocka_unit_test(ids_may_be_forced),
        cmocka_unit_test(drafts_stay_within_bounds),
        cmocka_unit_test(a_wrong_id_leaves_everything_as_it_was),
        cmocka_unit_test(answers_follow_each_other),
        cmocka_unit_test(tokens_may_be_forgotten_on_the_way),
        cmocka_unit_test(memory_may_be_short_and_steps_take_none),
        cmocka_unit_test(an_answer_goes_on_without_drafts_where_memory_ends),
        cmocka_unit_test(a_model_without_the_head_is_refused),
    };
    return cmocka_run_group_tests(tests, open_model, close_model);
}
