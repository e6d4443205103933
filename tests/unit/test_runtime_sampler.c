/* runtime/sampler.c and runtime/sampling.c: values, options, every stage alone, and what must be refused.
 * All stages together: test_runtime_draws.c. */
#include "support/sampling.h"

#include "support/fault.h"

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
    assert_int_equal(ctx.n_calls, 2); /* spread() asks twice */
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
            assert_int_equal(qw_sampler_pick(s, logits, NULL, &id, &err), QWREN_E_FORMAT);
            assert_int_equal(id, -1);
            assert_non_null(strstr(err.text, k ? "infinite" : "NaN"));
            assert_int_equal(qw_sampler_pick(s, logits, NULL, &id, NULL), QWREN_E_FORMAT);
            assert_int_equal(qw_sampler_pick(s, logits, maxima_of(logits, 40), &id, &err), QWREN_E_FORMAT);
            assert_non_null(strstr(err.text, k ? "infinite" : "NaN"));
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
        assert_int_equal(qw_sampler_pick(s, dead, NULL, &id, &err), QWREN_E_ARGUMENT);
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
        assert_int_equal(qw_sampler_pick(s, logits, NULL, &id, &err), QWREN_E_ARGUMENT);
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
        st = qw_sampler_pick(s, logits, NULL, &id, err);
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
