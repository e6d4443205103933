/* runtime/sampler.c as a whole: all stages against a slow and plain reference, the frequency of draws, seeds.
 * Each stage alone: test_runtime_sampler.c. */
#include "support/sampling.h"

#include "base/rng.h"

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
            assert_int_equal(qw_sampler_distribution(s, logits, NULL, ids, p, &n, NULL), QWREN_OK);
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

/* A row of many blocks, with ids that were seen among its best, and with equal logits at the edge of the k best. */
static void blocks_are_searched_as_rows_are(void **state)
{
    (void)state;
    enum { N = 40 * QW_SAMPLER_BLOCK + 17, K = 20 };
    static float logits[N], maxima[N / QW_SAMPLER_BLOCK + 1];
    qw_rng r;
    qw_rng_seed(&r, 9);
    qw_sampler_options opt = plain(N);
    opt.n_tokens = N - 30;
    opt.sampling.top_k = K;
    opt.sampling.presence_penalty = 3;
    opt.sampling.repetition_penalty = 0.8; /* lifts what is positive */
    for (int round = 0; round < 60; round++) {
        qw_sampler *s = make(&opt);
        int32_t ids[2][K];
        double p[2][K];
        size_t n[2];
        for (size_t i = 0; i < N; i++) {
            logits[i] = (float)(int)(40 * qw_rng_double(&r) * qw_rng_double(&r)); /* whole numbers: many are equal */
            if (i % QW_SAMPLER_BLOCK == 0 || logits[i] > maxima[i / QW_SAMPLER_BLOCK])
                maxima[i / QW_SAMPLER_BLOCK] = logits[i];
        }
        for (int i = 0; i < 50; i++)
            qw_sampler_accept(s, (int32_t)(qw_rng_double(&r) * N));
        assert_int_equal(qw_sampler_distribution(s, logits, NULL, ids[0], p[0], &n[0], NULL), QWREN_OK);
        assert_int_equal(qw_sampler_distribution(s, logits, maxima, ids[1], p[1], &n[1], NULL), QWREN_OK);
        assert_int_equal(n[0], n[1]);
        for (size_t i = 0; i < n[0]; i++) {
            size_t k = 0;
            while (k < n[1] && ids[1][k] != ids[0][i])
                k++;
            assert_true(k < n[1] && fabs(p[0][i] - p[1][k]) < 1e-12);
        }
        qw_sampler_free(s);
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_stages_do_what_a_plain_reference_does), cmocka_unit_test(a_long_row_keeps_the_same_ids),
        cmocka_unit_test(blocks_are_searched_as_rows_are),           cmocka_unit_test(a_top_p_just_below_one_ends),
        cmocka_unit_test(ids_are_drawn_as_often_as_they_should),     cmocka_unit_test(the_same_seed_gives_the_same_ids_here_and_elsewhere),
        cmocka_unit_test(a_reset_forgets_prompt_and_output),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
