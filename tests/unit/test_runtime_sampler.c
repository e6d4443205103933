/* runtime/sampler.c and runtime/sampling.c: every stage alone, all of them together against a slow and plain reference, the frequency of draws,
 * and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "runtime/sampler.h"
#include "support/fault.h"

#define MAX_IDS 300
#define COUNT(a) (sizeof(a) / sizeof *(a))

static qw_sampler *make(const qw_sampler_options *opt)
{
    qw_sampler *s = NULL;
    qwren_error err = { 0 };
    if (qw_sampler_create(&s, opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return s;
}

static qw_sampler_options plain(size_t n)
{
    return (qw_sampler_options){ .sampling = qw_sampling_unsaid(), .seed = 7, .n_vocab = n, .n_tokens = n };
}

static qw_sampler_options greedy(size_t n)
{
    qw_sampler_options opt = plain(n);
    opt.sampling.temperature = 0;
    return opt;
}

static int32_t pick(qw_sampler *s, const float *logits)
{
    int32_t id = -2;
    qwren_error err = { 0 };
    if (qw_sampler_pick(s, logits, &id, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return id;
}

/* Probabilities by id, 0 for what may not be drawn; returns how many may. */
static size_t spread(qw_sampler *s, const float *logits, size_t n_vocab, double *by_id)
{
    static int32_t ids[MAX_IDS];
    static double p[MAX_IDS];
    size_t n = 0;
    assert_true(n_vocab <= MAX_IDS);
    assert_int_equal(qw_sampler_distribution(s, logits, ids, p, &n, NULL), QWREN_OK);
    memset(by_id, 0, n_vocab * sizeof *by_id);
    for (size_t i = 0; i < n; i++) {
        assert_in_range(ids[i], 0, n_vocab - 1);
        assert_true(by_id[ids[i]] == 0);
        by_id[ids[i]] = p[i];
    }
    return n;
}

/* The same for options used once, without history. */
static size_t spread_of(const qw_sampler_options *opt, const float *logits, double *by_id)
{
    qw_sampler *s = make(opt);
    size_t n = spread(s, logits, opt->n_vocab, by_id);
    qw_sampler_free(s);
    return n;
}

static void near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-9))
        fail_msg("%.12g is not %.12g", a, b);
}

/* ---- values */

static void what_is_unsaid_is_taken_from_the_next(void **state)
{
    (void)state;
    qw_sampling s = qw_sampling_unsaid(), next = { .temperature = 0.5,
                                                   .top_p = 0.6,
                                                   .min_p = 0.1,
                                                   .presence_penalty = -1,
                                                   .frequency_penalty = 0.2,
                                                   .repetition_penalty = 1.1,
                                                   .top_k = 3 };
    assert_true(isnan(s.temperature) && isnan(s.top_p) && isnan(s.min_p) && isnan(s.presence_penalty) && isnan(s.frequency_penalty) &&
                isnan(s.repetition_penalty) && s.top_k == -1);
    qw_sampling_fill(&s, &next);
    assert_true(s.temperature == 0.5 && s.top_p == 0.6 && s.min_p == 0.1 && s.presence_penalty == -1 && s.frequency_penalty == 0.2 &&
                s.repetition_penalty == 1.1 && s.top_k == 3);
    qw_sampling said = { 0 }; /* zeros are said */
    qw_sampling_fill(&said, &next);
    assert_true(said.temperature == 0 && said.top_p == 0 && said.presence_penalty == 0 && said.repetition_penalty == 0 && said.top_k == 0);
    qw_sampling nothing = qw_sampling_unsaid();
    qw_sampling_fill(&s, &nothing);
    assert_true(s.temperature == 0.5 && s.top_k == 3);
}

static void the_cards_values(void **state)
{
    (void)state;
    static const struct {
        bool thinks_by_default, thinking, images;
        double temperature, top_p, presence;
    } rows[] = {
        { false, false, false, 1.0, 1.0, 2.0 }, { false, false, true, 0.7, 0.8, 1.5 }, { false, true, false, 1.0, 0.95, 1.5 },
        { false, true, true, 0.6, 0.95, 0.0 },  { true, true, false, 1.0, 0.95, 1.5 }, { true, true, true, 1.0, 0.95, 1.5 },
        { true, false, false, 0.7, 0.8, 1.5 },  { true, false, true, 0.7, 0.8, 1.5 },
    };
    for (size_t i = 0; i < COUNT(rows); i++) {
        qw_sampling s = qw_sampling_card(rows[i].thinks_by_default, rows[i].thinking, rows[i].images);
        assert_true(s.temperature == rows[i].temperature && s.top_p == rows[i].top_p && s.presence_penalty == rows[i].presence);
        assert_true(s.top_k == 20 && s.min_p == 0 && s.frequency_penalty == 0 && s.repetition_penalty == 1);
    }
}

/* ---- options */

static void values_out_of_range_are_named(void **state)
{
    (void)state;
    static const struct {
        const char *name;
        size_t offset;
        double bad[4];
    } rows[] = {
        { "temperature", offsetof(qw_sampling, temperature), { -0.1, INFINITY, -INFINITY, -1 } },
        { "top_p", offsetof(qw_sampling, top_p), { -1e-9, 1.0001, INFINITY, -1 } },
        { "min_p", offsetof(qw_sampling, min_p), { -0.5, 1.5, INFINITY, -1 } },
        { "presence_penalty", offsetof(qw_sampling, presence_penalty), { -101, 101, INFINITY, -INFINITY } },
        { "frequency_penalty", offsetof(qw_sampling, frequency_penalty), { -101, 101, INFINITY, -INFINITY } },
        { "repetition_penalty", offsetof(qw_sampling, repetition_penalty), { 0, -1, 101, INFINITY } },
    };
    for (size_t i = 0; i < COUNT(rows); i++)
        for (size_t k = 0; k < 4; k++) {
            qw_sampler_options opt = plain(4);
            memcpy((char *)&opt.sampling + rows[i].offset, &rows[i].bad[k], sizeof(double));
            qw_sampler *s = (qw_sampler *)&opt;
            qwren_error err = { 0 };
            assert_int_equal(qw_sampler_create(&s, &opt, &err), QWREN_E_ARGUMENT);
            assert_null(s);
            assert_non_null(strstr(err.text, rows[i].name));
            assert_non_null(strstr(err.text, "from"));
        }
    qw_sampler_options opt = plain(4);
    qw_sampler *s;
    qwren_error err = { 0 };
    opt.sampling.top_k = -2;
    assert_int_equal(qw_sampler_create(&s, &opt, &err), QWREN_E_ARGUMENT);
    assert_string_equal(err.text, "top_k is -2, it must be from 0 to 2147483647");
    assert_int_equal(qw_sampler_create(&s, &opt, NULL), QWREN_E_ARGUMENT);
}

static void sizes_and_biases_are_checked(void **state)
{
    (void)state;
    static const size_t bad[][2] = { { 0, 0 }, { 4, 0 }, { 4, 5 }, { (size_t)INT32_MAX + 1, 4 }, { SIZE_MAX, SIZE_MAX } };
    static const qw_logit_bias biases[] = { { -1, 0 }, { 4, 0 }, { INT32_MAX, 0 }, { INT32_MIN, 0 }, { 0, NAN }, { 0, INFINITY } };
    qw_sampler *s;
    qwren_error err = { 0 };
    for (size_t i = 0; i < COUNT(bad); i++) {
        qw_sampler_options opt = plain(bad[i][0]);
        opt.n_tokens = bad[i][1];
        assert_int_equal(qw_sampler_create(&s, &opt, &err), QWREN_E_ARGUMENT);
    }
    for (size_t i = 0; i < COUNT(biases); i++) {
        qw_sampler_options opt = plain(4);
        opt.bias = &biases[i];
        opt.n_bias = 1;
        err.text[0] = '\0';
        assert_int_equal(qw_sampler_create(&s, &opt, &err), QWREN_E_ARGUMENT);
        assert_null(s);
        assert_non_null(strstr(err.text, "logit_bias"));
    }
    qw_sampler_free(NULL);
}

/* ---- each stage alone */

static void greedy_takes_the_best_and_of_equals_the_first(void **state)
{
    (void)state;
    static const float rows[][5] = { { 1, 5, 2, 5, 5 },
                                     { -3, -2, -1, -4, -1 },
                                     { 0, 0, 0, 0, 0 },
                                     { -INFINITY, -INFINITY, -INFINITY, -INFINITY, -9 },
                                     { -0.0f, 0.0f, 0.0f, -1, -1 } };
    static const int32_t want[] = { 1, 2, 0, 4, 0 };
    for (size_t i = 0; i < COUNT(rows); i++) {
        qw_sampler_options opt = greedy(5);
        opt.sampling.top_p = 0.5, opt.sampling.min_p = 0.5, opt.sampling.top_k = 3; /* change nothing */
        qw_sampler *s = make(&opt);
        for (int k = 0; k < 3; k++)
            assert_int_equal(pick(s, rows[i]), want[i]);
        qw_sampler_free(s);
    }
}

static void padding_is_never_picked(void **state)
{
    (void)state;
    float logits[6] = { 0, 1, 2, 3, 90, 91 };
    double p[6];
    qw_sampler_options opt = greedy(6);
    opt.n_tokens = 3;
    qw_sampler *s = make(&opt);
    assert_int_equal(pick(s, logits), 2);
    qw_sampler_free(s);
    opt = plain(6);
    opt.n_tokens = 3;
    assert_int_equal(spread_of(&opt, logits, p), 3);
    near(p[2], exp(2) / (1 + exp(1) + exp(2)));
}

static void temperature_divides(void **state)
{
    (void)state;
    static const float logits[3] = { 1, 2, 4 };
    static const double temperatures[] = { 0.25, 0.7, 1, 1.5, 30 };
    double p[3];
    for (size_t i = 0; i < COUNT(temperatures); i++) {
        double t = temperatures[i], sum = exp(1 / t) + exp(2 / t) + exp(4 / t);
        qw_sampler_options opt = plain(3);
        opt.sampling.temperature = t;
        assert_int_equal(spread_of(&opt, logits, p), 3);
        for (size_t k = 0; k < 3; k++)
            near(p[k], exp(logits[k] / t) / sum);
    }
}

static void top_k_keeps_exactly_k(void **state)
{
    (void)state;
    static const float logits[8] = { 1, 3, 3, 0, 3, 2, 3, -1 };
    static const int order[8] = { 1, 2, 4, 6, 5, 0, 3, 7 };
    double p[8];
    for (int k = 1; k <= 12; k++) {
        qw_sampler_options opt = plain(8);
        opt.sampling.top_k = k == 12 ? INT32_MAX : k;
        size_t n = spread_of(&opt, logits, p), want = k < 8 ? (size_t)k : 8;
        assert_int_equal(n, want);
        for (size_t i = 0; i < want; i++)
            assert_true(p[order[i]] > 0);
    }
    qw_sampler_options opt = plain(8);
    opt.sampling.top_k = 0;
    assert_int_equal(spread_of(&opt, logits, p), 8);
}

/* log of 0.5, 0.25, 0.125, 0.125 in a mixed order: 1 is the best, then 3, then 0 and 2, which are equal */
static void log_row(float *logits)
{
    static const double p[4] = { 0.125, 0.5, 0.125, 0.25 };
    for (size_t i = 0; i < 4; i++)
        logits[i] = (float)log(p[i]);
}

static void top_p_keeps_the_fewest_that_reach_it(void **state)
{
    (void)state;
    static const struct {
        double top_p;
        size_t n;
    } rows[] = { { 0, 1 },    { 1e-9, 1 }, { 0.49, 1 }, { 0.51, 2 },     { 0.74, 2 },
                 { 0.76, 3 }, { 0.87, 3 }, { 0.88, 4 }, { 0.999999, 4 }, { 1, 4 } };
    static const int order[4] = { 1, 3, 0, 2 };
    float logits[4];
    double p[4];
    log_row(logits);
    for (size_t i = 0; i < COUNT(rows); i++) {
        qw_sampler_options opt = plain(4);
        opt.sampling.top_p = rows[i].top_p;
        assert_int_equal(spread_of(&opt, logits, p), rows[i].n);
        for (size_t k = 0; k < rows[i].n; k++)
            assert_true(p[order[k]] > 0);
    }
}

static void min_p_is_a_share_of_the_best(void **state)
{
    (void)state;
    static const struct {
        double min_p;
        size_t n;
    } rows[] = { { 0, 4 }, { 0.2, 4 }, { 0.26, 2 }, { 0.49, 2 }, { 0.51, 1 }, { 1, 1 } };
    float logits[4], equal[4] = { 2, 2, 1, 2 };
    double p[4];
    log_row(logits);
    for (size_t i = 0; i < COUNT(rows); i++) {
        qw_sampler_options opt = plain(4);
        opt.sampling.min_p = rows[i].min_p;
        assert_int_equal(spread_of(&opt, logits, p), rows[i].n);
        assert_true(p[1] > 0);
    }
    qw_sampler_options opt = plain(4);
    opt.sampling.min_p = 1;
    assert_int_equal(spread_of(&opt, equal, p), 3);
    assert_true(p[2] == 0);
}

/* What the logits became, up to a constant: logarithms of the probabilities. */
static void expect_row(qw_sampler *s, const float *logits, const double *want, size_t n)
{
    double p[MAX_IDS];
    assert_int_equal(spread(s, logits, n, p), n);
    for (size_t i = 1; i < n; i++)
        if (!(fabs(log(p[i] / p[0]) - (want[i] - want[0])) < 1e-6))
            fail_msg("logit %zu became %g, not %g", i, log(p[i] / p[0]) + want[0], want[i]);
}

static void presence_counts_once_and_frequency_each_time_in_the_output_alone(void **state)
{
    (void)state;
    static const float logits[4] = { 1, 1, -1, 0.5f };
    qw_sampler_options opt = plain(4);
    opt.sampling.presence_penalty = 0.5;
    qw_sampler *s = make(&opt);
    qw_sampler_note_prompt(s, (int32_t[]){ 0, 0, 3 }, 3);
    expect_row(s, logits, (double[]){ 1, 1, -1, 0.5 }, 4);
    for (int i = 0; i < 3; i++)
        qw_sampler_accept(s, 1);
    qw_sampler_accept(s, 2);
    qw_sampler_accept(s, 3);
    expect_row(s, logits, (double[]){ 1, 0.5, -1.5, 0 }, 4);
    qw_sampler_free(s);

    opt = plain(4);
    opt.sampling.frequency_penalty = 0.25;
    s = make(&opt);
    qw_sampler_note_prompt(s, (int32_t[]){ 0, 1 }, 2);
    for (int i = 0; i < 3; i++)
        qw_sampler_accept(s, 1);
    qw_sampler_accept(s, 2);
    expect_row(s, logits, (double[]){ 1, 0.25, -1.25, 0.5 }, 4);
    qw_sampler_free(s);

    opt.sampling.presence_penalty = -1; /* rewards */
    s = make(&opt);
    qw_sampler_accept(s, 0);
    qw_sampler_accept(s, 0);
    expect_row(s, logits, (double[]){ 1.5, 1, -1, 0.5 }, 4);
    qw_sampler_free(s);
}

static void repetition_divides_what_is_positive_in_prompt_or_output(void **state)
{
    (void)state;
    static const float logits[5] = { 3, -1, 0, 2, -2 };
    qw_sampler_options opt = plain(5);
    opt.sampling.repetition_penalty = 2;
    qw_sampler *s = make(&opt);
    qw_sampler_note_prompt(s, (int32_t[]){ 0, 1, 1, 2 }, 4);
    qw_sampler_accept(s, 0);
    qw_sampler_accept(s, 4);
    qw_sampler_accept(s, 4);
    expect_row(s, logits, (double[]){ 1.5, -2, 0, 2, -4 }, 5);
    qw_sampler_free(s);
}

static void ids_outside_the_vocabulary_are_no_history(void **state)
{
    (void)state;
    static const float logits[3] = { 1, 1, 1 };
    double p[3];
    qw_sampler_options opt = plain(3);
    opt.sampling.presence_penalty = 2, opt.sampling.repetition_penalty = 2;
    opt.n_tokens = 2;
    qw_sampler *s = make(&opt);
    static const int32_t strange[] = { -1, 3, 2, INT32_MAX, INT32_MIN };
    qw_sampler_note_prompt(s, strange, COUNT(strange));
    for (size_t i = 0; i < COUNT(strange); i++)
        qw_sampler_accept(s, strange[i]);
    assert_int_equal(spread(s, logits, 3, p), 2);
    near(p[0], 0.5);
    qw_sampler_note_prompt(s, NULL, 0);
    qw_sampler_free(s);
}

static void biases_add_up_and_forbid(void **state)
{
    (void)state;
    static const qw_logit_bias bias[] = { { 0, 1 }, { 1, 2.5f }, { 0, 0.5f }, { 3, 100 } },
                               ban[] = { { 1, -INFINITY }, { 1, 100 }, { 2, -100 } };
    static const float logits[4] = { 1, 1, 1, 1 };
    double p[4];
    qw_sampler_options opt = plain(4);
    opt.n_tokens = 3; /* the last is padding: a bias does not wake it */
    opt.bias = bias, opt.n_bias = COUNT(bias);
    qw_sampler *s = make(&opt);
    assert_int_equal(spread(s, logits, 4, p), 3);
    near(log(p[0] / p[2]), 1.5);
    near(log(p[1] / p[2]), 2.5);
    qw_sampler_free(s);
    opt.bias = ban, opt.n_bias = COUNT(ban);
    assert_int_equal(spread_of(&opt, logits, p), 2);
    assert_true(p[1] == 0 && p[2] < 1e-40);
}

typedef struct mask_ctx {
    size_t n_calls, n, forbid;
    float seen[MAX_IDS], write;
} mask_ctx;

static void mask_one(void *ctx, float *logits, size_t n)
{
    mask_ctx *m = ctx;
    m->n_calls++;
    m->n = n;
    memcpy(m->seen, logits, n * sizeof *logits);
    logits[m->forbid] = m->write;
}

static void a_mask_sees_penalised_logits_before_the_temperature(void **state)
{
    (void)state;
    static const float logits[5] = { 1, 2, 3, 4, 5 };
    static const qw_logit_bias bias = { 0, 0.5f };
    mask_ctx ctx = { .forbid = 3, .write = -INFINITY };
    double p[5];
    qw_sampler_options opt = plain(5);
    opt.n_tokens = 4;
    opt.sampling.temperature = 0.5, opt.sampling.presence_penalty = 0.25, opt.sampling.repetition_penalty = 2;
    opt.bias = &bias, opt.n_bias = 1;
    opt.mask = mask_one, opt.mask_ctx = &ctx;
    qw_sampler *s = make(&opt);
    qw_sampler_accept(s, 0);
    assert_int_equal(spread(s, logits, 5, p), 3);
    assert_int_equal(ctx.n_calls, 1);
    assert_int_equal(ctx.n, 4);
    assert_memory_equal(ctx.seen, ((float[]){ 0.5f, 2, 3, 4 }), 4 * sizeof(float)); /* (1 + 0.5) / 2 - 0.25 */
    assert_true(p[3] == 0);
    near(log(p[2] / p[1]), 2);
    near(log(p[1] / p[0]), 3);
    qw_sampler_free(s);
}

static void greedy_comes_after_bias_penalties_and_mask(void **state)
{
    (void)state;
    static const float logits[5] = { 5, 4, 3, 2, 1 };
    static const qw_logit_bias bias = { 4, 5 };
    mask_ctx ctx = { .forbid = 0, .write = -INFINITY };
    qw_sampler_options opt = greedy(5);
    opt.sampling.presence_penalty = 2;
    opt.bias = &bias, opt.n_bias = 1;
    opt.mask = mask_one, opt.mask_ctx = &ctx;
    qw_sampler *s = make(&opt);
    static const int32_t want[] = { 4, 1, 4, 4 }; /* 6, then 4 and 4: the lower id; then 2 and 3 and 4; then it stays */
    for (size_t i = 0; i < COUNT(want); i++) {
        int32_t id = pick(s, logits);
        assert_int_equal(id, want[i]);
        qw_sampler_accept(s, id);
    }
    qw_sampler_free(s);
}

/* ---- all stages against a plain reference */

typedef struct problem {
    size_t n, n_tokens, n_bias, n_prompt, n_output;
    qw_sampling set;
    float logits[MAX_IDS];
    qw_logit_bias bias[8];
    int32_t prompt[64], output[64];
    size_t forbid;
} problem;

typedef struct rated {
    int32_t id;
    float logit;
    long double weight;
} rated;

static int by_logit_then_id(const void *a, const void *b)
{
    const rated *x = a, *y = b;
    if (x->logit != y->logit)
        return x->logit > y->logit ? -1 : 1;
    return x->id < y->id ? -1 : 1;
}

static bool holds(const int32_t *ids, size_t n, int32_t id, size_t *count)
{
    *count = 0;
    for (size_t i = 0; i < n; i++)
        *count += ids[i] == id;
    return *count > 0;
}

static float reference_logit(const problem *q, int32_t id)
{
    size_t in_prompt, in_output;
    double x = q->logits[id];
    for (size_t i = 0; i < q->n_bias; i++)
        if (q->bias[i].id == id)
            x = (float)(x + q->bias[i].bias);
    holds(q->prompt, q->n_prompt, id, &in_prompt);
    holds(q->output, q->n_output, id, &in_output);
    if (in_prompt + in_output)
        x = x < 0 ? x * q->set.repetition_penalty : x / q->set.repetition_penalty;
    if (in_output)
        x -= q->set.presence_penalty + q->set.frequency_penalty * (double)in_output;
    return (size_t)id == q->forbid ? -INFINITY : (float)x;
}

/* Probabilities by id. False when a threshold is so near to an id that rounding decides. */
static bool reference(const problem *q, double *by_id, size_t *n_kept)
{
    rated r[MAX_IDS];
    size_t n = 0;
    bool clear = true;
    for (size_t i = 0; i < q->n_tokens; i++) {
        float x = reference_logit(q, (int32_t)i);
        if (x != -INFINITY)
            r[n++] = (rated){ (int32_t)i, x, 0 };
    }
    qsort(r, n, sizeof *r, by_logit_then_id);
    if (q->set.temperature == 0)
        n = 1;
    if (q->set.top_k && n > (size_t)q->set.top_k)
        n = (size_t)q->set.top_k;
    long double total = 0, sum = 0;
    for (size_t i = 0; i < n; i++) {
        r[i].weight = q->set.temperature == 0 ? 1 : expl(((long double)r[i].logit - r[0].logit) / q->set.temperature);
        total += r[i].weight;
    }
    size_t kept = 0;
    for (; kept < n && (kept == 0 || q->set.top_p == 1 || sum < q->set.top_p * total); kept++) {
        sum += r[kept].weight;
        clear = clear && (q->set.top_p == 1 || fabsl(sum / total - q->set.top_p) > 1e-12L);
    }
    for (size_t i = 0; i < kept; i++)
        clear = clear && (q->set.min_p == 0 || r[i].weight == 1 || fabsl(r[i].weight / q->set.min_p - 1) > 1e-12L);
    while (kept > 1 && r[kept - 1].weight < q->set.min_p)
        sum -= r[--kept].weight;
    total = 0;
    for (size_t i = 0; i < kept; i++)
        total += r[i].weight;
    for (size_t i = 0; i < q->n; i++)
        by_id[i] = 0;
    for (size_t i = 0; i < kept; i++)
        by_id[r[i].id] = (double)(r[i].weight / total);
    *n_kept = kept;
    return clear;
}

static double choose(qw_rng *r, const double *values, size_t n) { return values[qw_rng_u32(r) % n]; }
#define CHOOSE(...) choose(r, (const double[]){ __VA_ARGS__ }, COUNT(((double[]){ __VA_ARGS__ })))

static void random_problem(qw_rng *r, problem *q)
{
    *q = (problem){ .n = (size_t)CHOOSE(1, 2, 3, 7, 30, MAX_IDS) };
    q->n_tokens = qw_rng_u32(r) % 4 ? q->n : 1 + qw_rng_u32(r) % q->n;
    double scale = CHOOSE(0.01, 1, 5, 1000), step = CHOOSE(0, 0, 0.25, 1); /* with a step many logits are equal */
    for (size_t i = 0; i < q->n; i++) {
        double x = (qw_rng_double(r) - 0.5) * scale;
        q->logits[i] = qw_rng_u32(r) % 20 == 0 && i ? -INFINITY : (float)(step > 0 ? floor(x / step) * step : x);
    }
    q->set = (qw_sampling){ .temperature = CHOOSE(0, 1, 1, 0.1, 0.7, 3, 1e-10, 1e10),
                            .top_p = CHOOSE(1, 1, 0, 1e-9, 0.1, 0.8, 0.95, 0.999, 1 - 1e-15),
                            .min_p = CHOOSE(0, 0, 0, 0.01, 0.3, 1),
                            .presence_penalty = CHOOSE(0, 0, 1.5, -2),
                            .frequency_penalty = CHOOSE(0, 0, 0.25, -0.5),
                            .repetition_penalty = CHOOSE(1, 1, 1.3, 0.5),
                            .top_k = (int)CHOOSE(0, 0, 1, 2, 5, 20, 1000) };
    q->n_bias = qw_rng_u32(r) % 9;
    for (size_t i = 0; i < q->n_bias; i++)
        q->bias[i] = (qw_logit_bias){ (int32_t)(qw_rng_u32(r) % q->n), (float)CHOOSE(-1, 2.5, -100, 0.125) };
    q->n_prompt = qw_rng_u32(r) % 64, q->n_output = qw_rng_u32(r) % 64;
    for (size_t i = 0; i < 64; i++) {
        q->prompt[i] = (int32_t)(qw_rng_u32(r) % q->n);
        q->output[i] = (int32_t)(qw_rng_u32(r) % (q->n / 2 + 1));
    }
    q->forbid = 1 + qw_rng_u32(r) % q->n; /* never the first: something remains */
}

static void forbid(void *ctx, float *logits, size_t n)
{
    const problem *q = ctx;
    if (q->forbid < n)
        logits[q->forbid] = -INFINITY;
}

static qw_sampler *sampler_for(problem *q)
{
    qw_sampler *s = make(&(qw_sampler_options){ .sampling = q->set,
                                                .n_vocab = q->n,
                                                .n_tokens = q->n_tokens,
                                                .bias = q->bias,
                                                .n_bias = q->n_bias,
                                                .mask = forbid,
                                                .mask_ctx = q });
    qw_sampler_note_prompt(s, q->prompt, q->n_prompt);
    for (size_t i = 0; i < q->n_output; i++)
        qw_sampler_accept(s, q->output[i]);
    return s;
}

static void all_stages_do_what_a_plain_reference_does(void **state)
{
    (void)state;
    static problem q;
    double want[MAX_IDS], got[MAX_IDS];
    size_t compared = 0, n_want;
    qw_rng r;
    qw_rng_seed(&r, 99);
    for (int i = 0; i < 6000; i++) {
        random_problem(&r, &q);
        if (!reference(&q, want, &n_want))
            continue;
        qw_sampler *s = sampler_for(&q);
        size_t n = spread(s, q.logits, q.n, got);
        if (n != n_want)
            fail_msg("problem %d: %zu ids remain, not %zu", i, n, n_want);
        for (size_t k = 0; k < q.n; k++)
            if (!(fabs(got[k] - want[k]) <= 1e-12))
                fail_msg("problem %d: id %zu has probability %.15g, not %.15g", i, k, got[k], want[k]);
        for (int k = 0; k < 3; k++)
            assert_true(want[pick(s, q.logits)] > 0);
        qw_sampler_free(s);
        compared++;
    }
    assert_true(compared > 5000);
}

/* A row as long as the model's: what is left out early must not have mattered. */
static void a_long_row_keeps_the_same_ids(void **state)
{
    (void)state;
    enum { N = 248320 };
    static float logits[N];
    static rated sorted[N];
    static int32_t ids[N];
    static double p[N];
    static const double spreads[] = { 0.5, 3, 12 }, top_ps[] = { 0.3, 0.95, 0.9999 };
    qw_rng r;
    qw_rng_seed(&r, 5);
    for (size_t i = 0; i < COUNT(spreads); i++) {
        long double total = 0;
        for (size_t k = 0; k < N; k++) {
            logits[k] = (float)((qw_rng_double(&r) + qw_rng_double(&r) + qw_rng_double(&r)) * spreads[i]);
            sorted[k] = (rated){ (int32_t)k, logits[k], expl((long double)logits[k]) };
            total += sorted[k].weight;
        }
        qsort(sorted, N, sizeof *sorted, by_logit_then_id);
        for (size_t t = 0; t < COUNT(top_ps); t++) {
            qw_sampler_options opt = plain(N);
            opt.sampling.top_p = top_ps[t];
            qw_sampler *s = make(&opt);
            size_t n = 0, want = 0;
            assert_int_equal(qw_sampler_distribution(s, logits, ids, p, &n, NULL), QWREN_OK);
            for (long double sum = 0; sum < top_ps[t] * total; want++)
                sum += sorted[want].weight;
            assert_int_equal(n, want);
            int32_t last = sorted[want - 1].id;
            for (size_t k = 0; k < n; k++)
                assert_true(logits[ids[k]] > logits[last] || (logits[ids[k]] == logits[last] && ids[k] <= last));
            qw_sampler_free(s);
        }
    }
}

/* The weights are added in two orders: rounding may keep the second sum below the threshold for ever. */
static void a_top_p_just_below_one_ends(void **state)
{
    (void)state;
    static float logits[MAX_IDS];
    double p[MAX_IDS];
    qw_rng r;
    qw_rng_seed(&r, 8);
    qw_sampler_options opt = plain(MAX_IDS);
    opt.sampling.top_p = 1 - DBL_EPSILON / 2;
    for (int i = 0; i < 200; i++) {
        for (size_t k = 0; k < MAX_IDS; k++)
            logits[k] = (float)qw_rng_double(&r);
        assert_in_range(spread_of(&opt, logits, p), MAX_IDS - 1, MAX_IDS);
    }
}

/* ---- draws */

/* Chi-square of draws against the probabilities; each id of `p` must be expected often enough. */
static double chi_square(qw_sampler *s, const float *logits, size_t n, const double *p, size_t n_draws)
{
    size_t hits[MAX_IDS] = { 0 };
    double sum = 0;
    for (size_t i = 0; i < n_draws; i++)
        hits[pick(s, logits)]++;
    for (size_t i = 0; i < n; i++) {
        double expected = p[i] * (double)n_draws, d = (double)hits[i] - expected;
        if (p[i] == 0)
            assert_int_equal(hits[i], 0);
        else
            sum += d * d / expected;
    }
    return sum;
}

/* 99.99 % of fair draws stay below the limit; the seed is fixed, so this passes always or never. */
static void ids_are_drawn_as_often_as_they_should(void **state)
{
    (void)state;
    static const float logits[10] = { 0, 1, 2, 3, 2.5f, -1, 0.5f, 1.5f, 3, -INFINITY };
    static const struct {
        qw_sampling set;
        double limit; /* of chi-square for n - 1 degrees of freedom */
        size_t n;
    } rows[] = {
        { { .temperature = 1, .top_p = 1, .repetition_penalty = 1 }, 31.83, 9 },
        { { .temperature = 2, .top_p = 1, .repetition_penalty = 1 }, 31.83, 9 },
        { { .temperature = 1, .top_p = 1, .repetition_penalty = 1, .top_k = 4 }, 21.11, 4 },
        { { .temperature = 1, .top_p = 0.9, .repetition_penalty = 1 }, 23.51, 5 },
        { { .temperature = 1.5, .top_p = 0.9, .repetition_penalty = 1, .top_k = 8, .min_p = 0.3 }, 23.51, 5 },
    };
    double p[10];
    for (size_t i = 0; i < COUNT(rows); i++) {
        qw_sampler_options opt = { .sampling = rows[i].set, .seed = 3, .n_vocab = 10, .n_tokens = 10 };
        qw_sampler *s = make(&opt);
        assert_int_equal(spread(s, logits, 10, p), rows[i].n);
        double chi = chi_square(s, logits, 10, p, 100000);
        if (!(chi < rows[i].limit))
            fail_msg("row %zu: chi-square is %g", i, chi);
        qw_sampler_free(s);
    }
}

static void run(qw_sampler *s, const float *logits, int32_t *ids, size_t n)
{
    for (size_t i = 0; i < n; i++)
        qw_sampler_accept(s, ids[i] = pick(s, logits));
}

static void the_same_seed_gives_the_same_ids_here_and_elsewhere(void **state)
{
    (void)state;
    static const float logits[8] = { 0, 0.5f, 1, 1.5f, 1, 0.5f, 0, -0.5f };
    int32_t a[200], b[200];
    qw_sampler_options opt = plain(8);
    opt.sampling.frequency_penalty = 0.01;
    opt.seed = 42;
    qw_sampler *s = make(&opt), *t = make(&opt);
    run(s, logits, a, 200);
    run(t, logits, b, 200);
    assert_memory_equal(a, b, sizeof a);
    static const int32_t want[12] = { 4, 4, 4, 4, 6, 2, 6, 2, 4, 5, 3, 2 };
    assert_memory_equal(a, want, sizeof want);
    qw_sampler_reset(s);
    run(s, logits, b, 200);
    assert_memory_equal(a, b, sizeof a);
    qw_sampler_free(s);
    qw_sampler_free(t);
    opt.seed = 43;
    s = make(&opt);
    run(s, logits, b, 200);
    assert_memory_not_equal(a, b, sizeof a);
    qw_sampler_free(s);
}

static void a_reset_forgets_prompt_and_output(void **state)
{
    (void)state;
    static const float logits[4] = { 1, 1, 1, 1 };
    double p[4];
    qw_sampler_options opt = plain(4);
    opt.sampling.repetition_penalty = 3, opt.sampling.presence_penalty = 1, opt.sampling.frequency_penalty = 1;
    qw_sampler *s = make(&opt);
    qw_sampler_note_prompt(s, (int32_t[]){ 0, 1 }, 2);
    qw_sampler_accept(s, 2);
    qw_sampler_reset(s);
    spread(s, logits, 4, p);
    for (size_t i = 0; i < 4; i++)
        near(p[i], 0.25);
    qw_sampler_free(s);
}

/* ---- what is refused, and extremes */

static void a_damaged_row_is_refused_and_the_generator_waits(void **state)
{
    (void)state;
    static const float bad[] = { NAN, INFINITY };
    float logits[40], kept[40];
    qw_sampler_options opt = plain(40);
    opt.n_tokens = 38;
    qw_sampler *s = make(&opt), *untouched = make(&opt);
    for (size_t i = 0; i < 40; i++)
        logits[i] = (float)(i % 7);
    for (size_t i = 0; i < 40; i++)
        for (size_t k = 0; k < COUNT(bad); k++) {
            float good = logits[i];
            int32_t id = 5;
            qwren_error err = { 0 };
            logits[i] = bad[k];
            assert_int_equal(qw_sampler_pick(s, logits, &id, &err), QWREN_E_FORMAT);
            assert_int_equal(id, -1);
            assert_non_null(strstr(err.text, k ? "infinite" : "NaN"));
            assert_int_equal(qw_sampler_pick(s, logits, &id, NULL), QWREN_E_FORMAT);
            logits[i] = good;
        }
    memcpy(kept, logits, sizeof kept);
    for (int i = 0; i < 50; i++)
        assert_int_equal(pick(s, logits), pick(untouched, logits));
    assert_memory_equal(kept, logits, sizeof kept);
    qw_sampler_free(s);
    qw_sampler_free(untouched);
}

static void a_row_in_which_nothing_may_follow_is_refused(void **state)
{
    (void)state;
    static const float dead[3] = { -INFINITY, -INFINITY, 9 }, logits[3] = { 1, 2, 3 };
    for (int temperature = 0; temperature < 2; temperature++) {
        qw_sampler_options opt = plain(3);
        opt.n_tokens = 2, opt.sampling.temperature = temperature;
        qw_sampler *s = make(&opt), *untouched = make(&opt);
        int32_t id;
        qwren_error err = { 0 };
        assert_int_equal(qw_sampler_pick(s, dead, &id, &err), QWREN_E_ARGUMENT);
        assert_int_equal(id, -1);
        assert_true(err.text[0] != '\0');
        for (int i = 0; i < 50; i++)
            assert_int_equal(pick(s, logits), pick(untouched, logits));
        qw_sampler_free(s);
        qw_sampler_free(untouched);
    }
}

static void a_mask_that_writes_nonsense_is_refused(void **state)
{
    (void)state;
    static const float logits[3] = { 1, 2, 3 }, nonsense[] = { NAN, INFINITY };
    for (size_t i = 0; i < COUNT(nonsense); i++) {
        mask_ctx ctx = { .forbid = 1, .write = nonsense[i] };
        qw_sampler_options opt = plain(3);
        opt.mask = mask_one, opt.mask_ctx = &ctx;
        qw_sampler *s = make(&opt);
        int32_t id;
        qwren_error err = { 0 };
        assert_int_equal(qw_sampler_pick(s, logits, &id, &err), QWREN_E_ARGUMENT);
        assert_non_null(strstr(err.text, "mask"));
        qw_sampler_free(s);
    }
}

static void one_id_that_is_left_is_always_picked(void **state)
{
    (void)state;
    float logits[100];
    static const double temperatures[] = { 0, 5e-324, 1e-10, 1, 1e10, 1e100 };
    for (size_t i = 0; i < 100; i++)
        logits[i] = -INFINITY;
    logits[63] = -FLT_MAX;
    for (size_t i = 0; i < COUNT(temperatures); i++)
        for (int k = 0; k < 4; k++) {
            qw_sampler_options opt = plain(100);
            opt.sampling.temperature = temperatures[i];
            opt.sampling.top_k = k & 1 ? 5 : 0, opt.sampling.top_p = k & 2 ? 0.5 : 1;
            opt.sampling.repetition_penalty = 100; /* -FLT_MAX times 100 is not minus infinity */
            qw_sampler *s = make(&opt);
            for (int j = 0; j < 5; j++) {
                assert_int_equal(pick(s, logits), 63);
                qw_sampler_accept(s, 63);
            }
            qw_sampler_free(s);
        }
}

static void extreme_values_stay_distributions(void **state)
{
    (void)state;
    static const float logits[6] = { 3, 3.0000002f, -FLT_MAX, FLT_MAX, 1e-45f, -0.0f };
    static const float mild[3] = { 1, 1.001f, 0.999f };
    double p[6];
    for (double t = 1e-300; t <= 1e100; t *= 1e10) {
        qw_sampler_options opt = plain(6);
        opt.sampling.temperature = t;
        assert_int_equal(spread_of(&opt, logits, p), 6);
        near(p[0] + p[1] + p[2] + p[3] + p[4] + p[5], 1);
    }
    qw_sampler_options opt = plain(3);
    opt.sampling.temperature = 1e-10;
    spread_of(&opt, mild, p);
    near(p[1], 1);
    opt.sampling.temperature = 1e10;
    spread_of(&opt, mild, p);
    for (size_t i = 0; i < 3; i++)
        near(p[i], 1.0 / 3);
    opt.sampling.top_p = 0, opt.sampling.min_p = 1, opt.sampling.top_k = INT32_MAX;
    assert_int_equal(spread_of(&opt, mild, p), 1);
    near(p[1], 1);
}

static void penalties_of_huge_logits_stay_finite(void **state)
{
    (void)state;
    static const float logits[3] = { FLT_MAX, -FLT_MAX, 0 };
    static const qw_logit_bias bias[] = { { 0, FLT_MAX }, { 1, -FLT_MAX } };
    double p[3];
    qw_sampler_options opt = plain(3);
    opt.sampling.repetition_penalty = 0.01, opt.sampling.presence_penalty = -100;
    opt.bias = bias, opt.n_bias = 2;
    qw_sampler *s = make(&opt);
    for (int32_t i = 0; i < 3; i++)
        qw_sampler_accept(s, i);
    assert_int_equal(spread(s, logits, 3, p), 3);
    near(p[0], 1);
    qw_sampler_free(s);
}

/* ---- memory */

static qwren_status create_and_pick(void *ctx, qwren_error *err)
{
    const qw_sampler_options *opt = ctx;
    qw_sampler *s = NULL;
    float logits[16] = { 0 };
    int32_t id;
    qwren_status st = qw_sampler_create(&s, opt, err);
    if (st == QWREN_OK)
        st = qw_sampler_pick(s, logits, &id, err);
    else
        assert_null(s);
    qw_sampler_free(s);
    return st;
}

static void every_failed_allocation_is_told(void **state)
{
    (void)state;
    static const qw_logit_bias bias = { 1, 1 };
    qw_sampler_options opt = plain(16);
    opt.bias = &bias, opt.n_bias = 1;
    fault_install();
    assert_int_equal(fault_try_all(create_and_pick, &opt, 1), 6);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_unsaid_is_taken_from_the_next),
        cmocka_unit_test(the_cards_values),
        cmocka_unit_test(values_out_of_range_are_named),
        cmocka_unit_test(sizes_and_biases_are_checked),
        cmocka_unit_test(greedy_takes_the_best_and_of_equals_the_first),
        cmocka_unit_test(greedy_comes_after_bias_penalties_and_mask),
        cmocka_unit_test(padding_is_never_picked),
        cmocka_unit_test(temperature_divides),
        cmocka_unit_test(top_k_keeps_exactly_k),
        cmocka_unit_test(top_p_keeps_the_fewest_that_reach_it),
        cmocka_unit_test(min_p_is_a_share_of_the_best),
        cmocka_unit_test(presence_counts_once_and_frequency_each_time_in_the_output_alone),
        cmocka_unit_test(repetition_divides_what_is_positive_in_prompt_or_output),
        cmocka_unit_test(ids_outside_the_vocabulary_are_no_history),
        cmocka_unit_test(biases_add_up_and_forbid),
        cmocka_unit_test(a_mask_sees_penalised_logits_before_the_temperature),
        cmocka_unit_test(all_stages_do_what_a_plain_reference_does),
        cmocka_unit_test(a_long_row_keeps_the_same_ids),
        cmocka_unit_test(a_top_p_just_below_one_ends),
        cmocka_unit_test(ids_are_drawn_as_often_as_they_should),
        cmocka_unit_test(the_same_seed_gives_the_same_ids_here_and_elsewhere),
        cmocka_unit_test(a_reset_forgets_prompt_and_output),
        cmocka_unit_test(a_damaged_row_is_refused_and_the_generator_waits),
        cmocka_unit_test(a_row_in_which_nothing_may_follow_is_refused),
        cmocka_unit_test(a_mask_that_writes_nonsense_is_refused),
        cmocka_unit_test(one_id_that_is_left_is_always_picked),
        cmocka_unit_test(extreme_values_stay_distributions),
        cmocka_unit_test(penalties_of_huge_logits_stay_finite),
        cmocka_unit_test(every_failed_allocation_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
