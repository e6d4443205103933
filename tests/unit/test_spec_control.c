/* The controller in simulated worlds of costs and acceptances, by a clock that the test turns: it is never much slower than plain steps, and near the best
 * where guessing pays. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "runtime/spec_control.h"

#define SPIKES 0.002 /* a second: another program took the processor, */
#define SPIKE 8.0    /* for so long */

/* Seconds are plain steps. */
typedef struct world {
    double row;      /* that each further row of a pass costs */
    double draft;    /* that a draft of MTP costs */
    double accepted; /* share of MTP's drafts; 0 when it is unsure of them: half as many */
    double quoting;  /* share of the text that stands in the prompt, in stretches */
    double noise;    /* of all times, as a part of them; and now and then a time is many times as long */
    size_t change;   /* tokens after which `accepted` becomes 1 - accepted, again and again; 0 = never */
} world;

typedef struct run {
    const world *w;
    qw_spec_control c;
    qw_rng rng;
    double seconds;
    size_t tokens, quoted; /* tokens of a stretch that go on */
} run;

static double chance(run *r) { return qw_rng_double(&r->rng); }

static double took(run *r, double seconds)
{
    double t = seconds * (1 + r->w->noise * (2 * chance(r) - 1));
    if (r->w->noise > 0 && chance(r) < SPIKES * seconds)
        t += SPIKE;
    r->seconds += t;
    return t;
}

static double acceptance_now(const run *r)
{
    const world *w = r->w;
    return w->change && r->tokens / w->change % 2 ? 1 - w->accepted : w->accepted;
}

/* What lookup finds at this token: within a stretch a long match that goes on, elsewhere now and then a short one that does not. */
static bool find(run *r, qw_lookup_match *m)
{
    if (!r->quoted && chance(r) < r->w->quoting / 30)
        r->quoted = 30;
    *m = (qw_lookup_match){ .n = 40, .seen = 1, .agreeing = 1 };
    if (r->quoted)
        m->length = 33 - r->quoted;
    else if (chance(r) < 0.3)
        m->length = 1 + qw_rng_u32(&r->rng) % 2;
    return m->length > 0;
}

static void guess(run *r, const qw_spec_plan *plan, const qw_lookup_match *m, qw_spec_round *round, uint8_t *classes)
{
    const double p = acceptance_now(r);
    size_t right = 0, n = 0;
    bool all = true;
    while (plan->kind && n < plan->most && (plan->kind == QW_DRAFT_LOOKUP || !n || qw_spec_go_on(&r->c, plan, classes, n))) {
        const bool sure = chance(r) < 0.5;
        const bool yes = plan->kind == QW_DRAFT_LOOKUP ? n < r->quoted : chance(r) < p * (sure || p == 1 ? 1 : 0.5);
        classes[n] = plan->kind == QW_DRAFT_LOOKUP ? qw_spec_lookup_class(m, n) : qw_spec_margin_class(sure ? 5 : 0.7F);
        *(n ? &round->next_s : &round->first_s) += plan->kind == QW_DRAFT_LOOKUP ? 0 : took(r, r->w->draft);
        all = all && yes;
        right += all;
        n++;
    }
    round->n_made = n;
    round->n_drafts = qw_spec_trim(&r->c, plan, classes, n);
    round->n_accepted = right < round->n_drafts ? right : round->n_drafts;
    round->rejected = round->n_accepted < round->n_drafts;
}

static void one_round(run *r)
{
    qw_lookup_match m;
    uint8_t classes[QW_SPEC_DRAFTS];
    const bool found = find(r, &m);
    const qw_spec_plan plan = qw_spec_choose(&r->c, found ? &m : NULL, r->tokens, QW_SPEC_DRAFTS);
    qw_spec_round round = { .kind = plan.kind, .classes = classes, .length = r->tokens };
    guess(r, &plan, &m, &round, classes);
    round.pass_s = took(r, 1 + r->w->row * (double)round.n_drafts);
    qw_spec_learn(&r->c, &round);
    for (size_t i = 0; i <= round.n_accepted; i++) { /* what lookup would have foreseen is known for every token */
        if (found && m.length)
            qw_spec_saw(&r->c, qw_spec_lookup_class(&m, i), r->quoted > 0);
        r->quoted -= r->quoted > 0;
    }
    r->tokens += 1 + round.n_accepted;
}

static double tokens_per_second(const world *w, size_t tokens, const qw_spec_options *opt, uint64_t seed)
{
    static run r;
    r = (run){ .w = w };
    qw_spec_init(&r.c, opt);
    qw_rng_seed(&r.rng, seed);
    while (r.tokens < tokens)
        one_round(&r);
    return (double)r.tokens / r.seconds;
}

#define TOKENS 4000
static const qw_spec_options all = { .use = { [QW_DRAFT_MTP] = true, [QW_DRAFT_LOOKUP] = true } };

/* Of several runs, so that spikes come to all alike. */
static double mean_rate(const world *w, const qw_spec_options *opt)
{
    double seconds = 0;
    const uint64_t runs = w->noise > 0 ? 5 : 1;
    for (uint64_t seed = 0; seed < runs; seed++)
        seconds += 1 / tokens_per_second(w, TOKENS, opt, seed);
    return (double)runs / seconds;
}

/* The best of the fixed numbers of drafts, and of none. */
static double best_fixed(const world *w)
{
    double best = 1;
    for (size_t k = 1; k <= 4; k++) {
        const qw_spec_options fixed = { .use = { [QW_DRAFT_MTP] = true }, .always = true, .exactly = k };
        const double rate = mean_rate(w, &fixed);
        best = rate > best ? rate : best;
    }
    return best;
}

static void check_world(const world *w)
{
    const double best = best_fixed(w), rate = mean_rate(w, &all), plain = 1 / (1 + (w->noise > 0 ? SPIKES * SPIKE : 0));
    if (rate < plain / 1.02 || (best > 1.1 && rate < best * (w->change ? 0.85 : 0.93)))
        fail_msg("row %g draft %g accepted %g quoting %g noise %g change %zu: %.3f tokens a second, fixed numbers %.3f", w->row, w->draft,
                 w->accepted, w->quoting, w->noise, w->change, rate, best);
    if (getenv("QW_SHOW"))
        printf("row %4g draft %4g accepted %4g quoting %4g noise %4g change %4zu: %.3f, fixed numbers %.3f\n", w->row, w->draft,
               w->accepted, w->quoting, w->noise, w->change, rate, best);
}

static void it_is_never_slower_and_near_the_best(void **state)
{
    (void)state;
    const double rows[] = { 0.02, 0.1, 0.3, 1 }, drafts[] = { 0.03, 0.1, 0.4 }, accepted[] = { 0, 0.3, 0.6, 0.8, 0.97 };
    const double quoting[] = { 0, 0.5 }, noises[] = { 0, 0.1 };
    const size_t changes[] = { 0, 500 };
    for (size_t i = 0; i < 4 * 3 * 5 * 2 * 2 * 2; i++)
        check_world(&(world){ .row = rows[i % 4],
                              .draft = drafts[i / 4 % 3],
                              .accepted = accepted[i / 12 % 5],
                              .quoting = quoting[i / 60 % 2],
                              .noise = noises[i / 120 % 2],
                              .change = changes[i / 240] });
}

/* Short answers are many, and each session learns anew: what is lost at the beginning is little. */
static void little_is_lost_before_anything_is_known(void **state)
{
    (void)state;
    const world hopeless = { .row = 1, .draft = 0.2, .accepted = 0.1 }, usual = { .row = 0.1, .draft = 0.1, .accepted = 0.9 };
    double seconds = 0;
    for (uint64_t seed = 0; seed < 50; seed++) {
        const double rate = tokens_per_second(&hopeless, 150, &all, seed);
        if (rate < 1 / 1.02)
            fail_msg("seed %d: %.3f tokens a second", (int)seed, rate);
        seconds += 1 / tokens_per_second(&usual, 150, &all, seed);
    }
    if (50 / seconds < 1.35)
        fail_msg("only %.3f tokens a second where guessing pays", 50 / seconds);
}

static void long_matches_are_used_whole(void **state)
{
    (void)state;
    const world quoting = { .row = 0.05, .draft = 0.2, .accepted = 0.1, .quoting = 1 };
    const double rate = tokens_per_second(&quoting, TOKENS, &all, 1);
    if (rate < 1.8)
        fail_msg("%.3f tokens a second", rate);
}

static void the_same_measurements_give_the_same_choices(void **state)
{
    (void)state;
    const world w = { .row = 0.2, .draft = 0.1, .accepted = 0.6, .quoting = 0.3, .noise = 0.2 };
    assert_true(tokens_per_second(&w, TOKENS, &all, 9) == tokens_per_second(&w, TOKENS, &all, 9));
}

/* What is told as the speed-up is true where guessing is forced, too. */
static void what_was_saved_is_known_when_drafts_are_forced(void **state)
{
    (void)state;
    const qw_spec_options forced = { .use = { [QW_DRAFT_MTP] = true }, .always = true };
    for (int i = 0; i < 3; i++) {
        const world w = { .row = 0.3, .draft = 0.1, .accepted = (const double[]){ 0, 0.5, 1 }[i] };
        run r = { .w = &w };
        qw_spec_init(&r.c, &forced);
        qw_rng_seed(&r.rng, 5);
        while (r.tokens < 400)
            one_round(&r);
        const double told = (r.seconds + r.c.counts.saved_s) / r.seconds,
                     real = (double)r.tokens / r.seconds; /* a plain step is a second */
        if (told < 0.97 * real || told > 1.03 * real)
            fail_msg("accepted %g: told to be %.3f x as fast, it is %.3f x", w.accepted, told, real);
        assert_true(r.c.counts.rounds[QW_DRAFT_NONE] < 30);
    }
}

/* ---- parts */

static void a_cost_is_the_median_and_others_follow_from_it(void **state)
{
    (void)state;
    qw_spec_control c;
    qw_spec_init(&c, &all);
    assert_true(qw_spec_pass_s(&c, 3) == 0);
    for (int i = 0; i < 9; i++)
        qw_spec_learn(&c, &(qw_spec_round){ .pass_s = i == 4 ? 100 : 1 + i % 2 });
    assert_true(qw_spec_pass_s(&c, 1) == 1 || qw_spec_pass_s(&c, 1) == 2);
    qw_spec_init(&c, &all);
    qw_spec_learn(&c, &(qw_spec_round){ .pass_s = 1 });
    assert_true(qw_spec_pass_s(&c, 2) > 1 && qw_spec_pass_s(&c, 2) < 1.5);
    uint8_t classes[4] = { 0 };
    qw_spec_learn(&c, &(qw_spec_round){ .kind = QW_DRAFT_MTP, .n_drafts = 4, .n_made = 4, .classes = classes, .pass_s = 3 });
    assert_true(qw_spec_pass_s(&c, 3) == 2);
    assert_true(qw_spec_pass_s(&c, 7) == 4);
    assert_true(qw_spec_pass_s(&c, 5) == 3);
}

static void acceptance_is_learned_by_place(void **state)
{
    (void)state;
    qw_spec_control c;
    uint8_t classes[2] = { 1, 2 };
    qw_spec_init(&c, &all);
    assert_true(qw_spec_acceptance(&c, QW_DRAFT_MTP, 0) > qw_spec_acceptance(&c, QW_DRAFT_MTP, 3));
    for (int i = 0; i < 200; i++)
        qw_spec_learn(
            &c, &(qw_spec_round){
                    .kind = QW_DRAFT_MTP, .n_drafts = 2, .n_made = 2, .n_accepted = 1, .rejected = true, .classes = classes, .pass_s = 1 });
    assert_true(qw_spec_acceptance(&c, QW_DRAFT_MTP, 0) > 0.95);
    assert_true(qw_spec_acceptance(&c, QW_DRAFT_MTP, 1) < 0.1);
    assert_int_equal(c.counts.checked[QW_DRAFT_MTP][1], 200);
    assert_int_equal(c.counts.accepted[QW_DRAFT_MTP][0], 200);
    assert_int_equal(c.counts.accepted[QW_DRAFT_MTP][1], 0);
    assert_int_equal(c.counts.tokens, 400);
    qw_spec_forget_counts(&c);
    assert_int_equal(c.counts.tokens, 0);
}

static void classes_rise_with_sureness(void **state)
{
    (void)state;
    const qw_lookup_match one = { .length = 1, .seen = 1, .agreeing = 1 }, mixed = { .length = 32, .seen = 3, .agreeing = 2 };
    uint8_t last = qw_spec_lookup_class(&one, 0);
    for (size_t i = 1; i < 40; i++) {
        assert_true(qw_spec_lookup_class(&one, i) >= last);
        last = qw_spec_lookup_class(&one, i);
    }
    assert_true(last < QW_SPEC_CLASSES);
    assert_true(qw_spec_lookup_class(&mixed, 0) < qw_spec_lookup_class(&mixed, 1));
    assert_true(qw_spec_margin_class(0) == 0 && qw_spec_margin_class(100) > qw_spec_margin_class(1));
}

static void forced_numbers_are_kept(void **state)
{
    (void)state;
    qw_spec_control c;
    const qw_spec_options three = { .use = { [QW_DRAFT_MTP] = true }, .always = true, .exactly = 3 };
    const uint8_t classes[4] = { 0 };
    qw_spec_init(&c, &three);
    for (int i = 0; i < 30; i++) {
        const qw_spec_plan plan = qw_spec_choose(&c, NULL, 10, i % 2 ? 15 : 2);
        assert_int_equal(plan.kind, QW_DRAFT_MTP);
        assert_int_equal(plan.most, i % 2 ? 3 : 2);
        assert_true(qw_spec_go_on(&c, &plan, classes, plan.most - 1));
        assert_false(qw_spec_go_on(&c, &plan, classes, plan.most));
        assert_int_equal(qw_spec_trim(&c, &plan, classes, plan.most), plan.most);
        qw_spec_learn(
            &c, &(qw_spec_round){
                    .kind = QW_DRAFT_MTP, .n_drafts = plan.most, .n_made = plan.most, .rejected = true, .classes = classes, .pass_s = 9 });
    }
    assert_int_equal(qw_spec_choose(&c, NULL, 10, 0).kind, QW_DRAFT_NONE);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_is_never_slower_and_near_the_best),
        cmocka_unit_test(little_is_lost_before_anything_is_known),
        cmocka_unit_test(long_matches_are_used_whole),
        cmocka_unit_test(the_same_measurements_give_the_same_choices),
        cmocka_unit_test(what_was_saved_is_known_when_drafts_are_forced),
        cmocka_unit_test(a_cost_is_the_median_and_others_follow_from_it),
        cmocka_unit_test(acceptance_is_learned_by_place),
        cmocka_unit_test(classes_rise_with_sureness),
        cmocka_unit_test(forced_numbers_are_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
