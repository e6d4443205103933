/* What is sampled with drafts has the distribution of the model: counts over many seeds against exact probabilities (chi-square), with a drafter that always says the likeliest
 * token and one that always says an unlikely one. On a tiny checkpoint. */
#include <math.h>

#include "runtime/sampler.h"
#include "runtime/speculate.h"
#include "support/rounds.h"
#include "support/tiny.h"

#define SEEDS QW_ROUNDS(4000)
#define TOP 5    /* ids that may follow */
#define LENGTH 3 /* tokens of a sample: TOP to the LENGTH kinds of samples */
#define KINDS (TOP * TOP * TOP)

static qw_session *base; /* holds the prompt but for its last token */
static int32_t ids[64];
static size_t n_prompt;

static qw_sampler *new_sampler(uint64_t seed)
{
    const size_t V = (size_t)model.config.text.vocab_size;
    const qw_sampler_options opt = {
        .sampling = { .temperature = 1.5, .top_p = 1, .top_k = TOP, .repetition_penalty = 1 }, .seed = seed, .n_vocab = V, .n_tokens = V
    };
    qw_sampler *s = NULL;
    qwren_error err = { 0 };
    ok(qw_sampler_create(&s, &opt, &err), &err);
    return s;
}

static qw_session *after_prompt(void)
{
    qw_session *s = NULL;
    qwren_error err = { 0 };
    ok(qw_session_fork(&s, base, &err), &err);
    ok(qw_session_step(s, ids[n_prompt - 1], &err), &err);
    return s;
}

/* A sample as it may come: its ids and their probability. */
typedef struct kind {
    int32_t ids[LENGTH];
    double p;
    size_t count;
} kind;
static kind kinds[KINDS];
static size_t n_kinds;

/* All that may follow `s`, which holds the first n of `so_far`. */
static void list_kinds(qw_session *s, const kind *so_far, size_t n)
{
    if (n == LENGTH) {
        kinds[n_kinds++] = *so_far;
        return;
    }
    const size_t V = (size_t)model.config.text.vocab_size;
    int32_t *next = malloc(V * sizeof *next);
    double *p = malloc(V * sizeof *p);
    size_t found = 0;
    qwren_error err = { 0 };
    qw_sampler *sampler = new_sampler(1);
    ok(qw_sampler_distribution(sampler, qw_session_logits(s), qw_session_maxima(s), next, p, &found, &err), &err);
    assert_int_equal(found, TOP);
    for (size_t i = 0; i < found; i++) {
        kind k = *so_far;
        qw_session *f = NULL;
        k.ids[n] = next[i];
        k.p *= p[i];
        ok(qw_session_fork(&f, s, &err), &err);
        ok(qw_session_step(f, next[i], &err), &err);
        list_kinds(f, &k, n + 1);
        qw_session_free(f);
    }
    qw_sampler_free(sampler);
    free(next), free(p);
}

/* ---- drafters: what is likeliest, or least likely of what may follow, by the list */

static bool unlikely;
static int32_t told[LENGTH];
static size_t n_told;

static bool say(void *ctx, qw_guess *out)
{
    double best = -1;
    (void)ctx;
    *out = (qw_guess){ .id = 1, .margin = 1 };
    for (size_t i = 0; i < n_kinds && n_told < LENGTH; i++) {
        const double p = unlikely ? 1 - kinds[i].p : kinds[i].p;
        if (memcmp(kinds[i].ids, told, n_told * sizeof *told) == 0 && p > best) {
            best = p;
            out->id = kinds[i].ids[n_told];
        }
    }
    if (n_told < LENGTH)
        told[n_told++] = out->id;
    return true;
}

static bool say_first(void *ctx, const int32_t *all, size_t n, qw_guess *out)
{
    n_told = n - n_prompt;
    memcpy(told, all + n_prompt, (n_told < LENGTH ? n_told : LENGTH) * sizeof *told);
    return say(ctx, out);
}

/* ---- sampling */

static void sample(qw_speculate *p, qw_session *s, uint64_t seed, int32_t out[LENGTH])
{
    qw_sampler *sampler = new_sampler(seed);
    qwren_error err = { 0 };
    for (size_t i = 0; i < LENGTH; i++) {
        const float *logits = p ? qw_speculate_logits(p) : qw_session_logits(s),
                    *maxima = p ? qw_speculate_maxima(p) : qw_session_maxima(s);
        ok(qw_sampler_pick(sampler, logits, maxima, &out[i], &err), &err);
        ok(p ? qw_speculate_step(p, out[i], LENGTH - 1 - i, &err) : qw_session_step(s, out[i], &err), &err);
    }
    qw_sampler_free(sampler);
}

static qw_spec_counts count_samples(void)
{
    const qw_speculate_options opt = { .control = { .use = { [QW_DRAFT_MODEL] = true }, .always = true, .exactly = LENGTH - 1 },
                                       .drafter = { .ctx = ids, .first = say_first, .next = say } };
    qw_spec_counts sum = { 0 };
    for (size_t i = 0; i < n_kinds; i++)
        kinds[i].count = 0;
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        qw_session *s = after_prompt();
        qw_speculate *p = NULL;
        qwren_error err = { 0 };
        int32_t got[LENGTH];
        ok(qw_speculate_create(&p, &model, s, &opt, &err), &err);
        qw_speculate_begin(p, ids, n_prompt, NULL, 0);
        sample(p, s, seed, got);
        qw_speculate_end(p);
        sum.accepted[QW_DRAFT_MODEL][0] += qw_speculate_control(p)->counts.accepted[QW_DRAFT_MODEL][0];
        sum.checked[QW_DRAFT_MODEL][0] += qw_speculate_control(p)->counts.checked[QW_DRAFT_MODEL][0];
        size_t k = 0;
        while (k < n_kinds && memcmp(kinds[k].ids, got, sizeof got) != 0)
            k++;
        assert_true(k < n_kinds);
        kinds[k].count++;
        qw_speculate_free(p);
        qw_session_free(s);
    }
    return sum;
}

/* Kinds that are expected less than five times are taken together. Bound: five standard deviations of a chi-square above its mean. */
static void fits(void)
{
    double x = 0, rare = 0, rare_count = 0;
    size_t freedom = 0;
    for (size_t i = 0; i < n_kinds; i++) {
        const double want = kinds[i].p * SEEDS, got = (double)kinds[i].count;
        if (want < 5) {
            rare += want;
            rare_count += got;
            continue;
        }
        x += (got - want) * (got - want) / want;
        freedom++;
    }
    if (rare >= 5)
        x += (rare_count - rare) * (rare_count - rare) / rare;
    else
        freedom--;
    const double mean = (double)freedom, bound = mean + 5 * sqrt(2 * mean);
    assert_true(freedom > 20);
    if (x > bound)
        fail_msg("chi-square %.1f with %zu degrees of freedom, more than %.1f", x, freedom, bound);
}

static void with_likely_drafts(void **state)
{
    (void)state;
    unlikely = false;
    const qw_spec_counts c = count_samples();
    assert_true(c.accepted[QW_DRAFT_MODEL][0] * 4 > c.checked[QW_DRAFT_MODEL][0]);
    fits();
}

static void with_unlikely_drafts(void **state)
{
    (void)state;
    unlikely = true;
    const qw_spec_counts c = count_samples();
    assert_true(c.accepted[QW_DRAFT_MODEL][0] * 4 < c.checked[QW_DRAFT_MODEL][0]);
    assert_true(c.accepted[QW_DRAFT_MODEL][0] > 0);
    fits();
}

/* The test can fail: counts that accept every draft do not fit. */
static void a_drafter_that_is_believed_does_not_fit(void **state)
{
    (void)state;
    double x = 0;
    const kind *likeliest = kinds;
    for (size_t i = 1; i < n_kinds; i++)
        likeliest = kinds[i].p > likeliest->p ? &kinds[i] : likeliest;
    for (size_t i = 0; i < n_kinds; i++) {
        const double want = kinds[i].p * SEEDS, got = &kinds[i] == likeliest ? SEEDS : 0;
        x += (got - want) * (got - want) / want;
    }
    assert_true(x > 1000);
}

static int open_all(void **state)
{
    if (open_model(state))
        return -1;
    qw_timeline t = timeline(40, 40, 0);
    n_prompt = t.n;
    memcpy(ids, t.ids, t.n * sizeof *ids);
    base = session_with(&(qw_session_options){ .n_ctx = 64, .n_trial = QW_SPEC_ROWS });
    eval(base, &t, 0, t.n - 1);
    qw_timeline_deinit(&t);
    qw_session *s = after_prompt();
    list_kinds(s, &(kind){ .p = 1 }, 0);
    qw_session_free(s);
    return n_kinds == KINDS ? 0 : -1;
}

static int close_all(void **state)
{
    qw_session_free(base);
    return close_model(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(with_likely_drafts),
        cmocka_unit_test(with_unlikely_drafts),
        cmocka_unit_test(a_drafter_that_is_believed_does_not_fit),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
