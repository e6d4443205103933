/* The sampler against transformers' logits processors: for every case of tests/oracle/make_sampler.py the same ids may be drawn, with the same
 * probabilities. */
#include "support/jsonl.h"

#include <math.h>

#include "runtime/sampler.h"

#define N_CASES 500
#define MAX_IDS 128
#define TOLERANCE 1e-9 /* the file has 9 digits */

static double number(const qw_json *row, const char *key) { return qw_json_number(qw_json_get(row, key), NAN); }

static size_t ids_of(const qw_json *list, int32_t *ids)
{
    size_t n = qw_json_size(list);
    assert_true(n <= MAX_IDS);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)qw_json_int(qw_json_at(list, i), -1);
    return n;
}

static qw_sampler *sampler_of(const qw_json *row, size_t n_vocab)
{
    qw_logit_bias bias[MAX_IDS];
    const qw_json *biases = qw_json_get(row, "bias");
    qw_sampler_options opt = {
        .sampling = { .temperature = number(row, "temperature"),
                      .top_p = number(row, "top_p"),
                      .min_p = number(row, "min_p"),
                      .presence_penalty = number(row, "presence_penalty"),
                      .frequency_penalty = number(row, "frequency_penalty"),
                      .repetition_penalty = number(row, "repetition_penalty"),
                      .top_k = (int)number(row, "top_k") },
        .n_vocab = n_vocab,
        .n_tokens = n_vocab,
        .bias = bias,
        .n_bias = qw_json_size(biases),
    };
    for (size_t i = 0; i < opt.n_bias; i++) {
        const qw_json *pair = qw_json_at(biases, i);
        bias[i] = (qw_logit_bias){ (int32_t)qw_json_int(qw_json_at(pair, 0), -1), (float)qw_json_number(qw_json_at(pair, 1), NAN) };
    }
    qw_sampler *s = NULL;
    qwren_error err = { 0 };
    if (qw_sampler_create(&s, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    int32_t ids[MAX_IDS];
    qw_sampler_note_prompt(s, ids, ids_of(qw_json_get(row, "prompt"), ids));
    size_t n = ids_of(qw_json_get(row, "output"), ids);
    for (size_t i = 0; i < n; i++)
        qw_sampler_accept(s, ids[i]);
    return s;
}

typedef struct report {
    size_t n;
    double worst;
} report;

static void check_case(const qw_json *row, void *ctx)
{
    report *r = ctx;
    float logits[MAX_IDS];
    int32_t ids[MAX_IDS], want[MAX_IDS];
    double p[MAX_IDS], by_id[MAX_IDS] = { 0 }, sum = 0;
    const qw_json *values = qw_json_get(row, "logits"), *probabilities = qw_json_get(row, "probabilities");
    size_t n_vocab = qw_json_size(values), n = 0, n_want = ids_of(qw_json_get(row, "ids"), want);
    assert_in_range(n_vocab, 1, MAX_IDS);
    for (size_t i = 0; i < n_vocab; i++)
        logits[i] = (float)qw_json_number(qw_json_at(values, i), NAN);
    qw_sampler *s = sampler_of(row, n_vocab);
    assert_int_equal(qw_sampler_distribution(s, logits, NULL, ids, p, &n, NULL), QWREN_OK);
    qw_sampler_free(s);
    if (n != n_want)
        fail_msg("case %zu: %zu ids may be drawn, not %zu", r->n, n, n_want);
    for (size_t i = 0; i < n; i++)
        by_id[ids[i]] += p[i], sum += p[i];
    for (size_t i = 0; i < n; i++) {
        double difference = fabs(by_id[want[i]] - qw_json_number(qw_json_at(probabilities, i), NAN));
        if (!(difference <= TOLERANCE))
            fail_msg("case %zu: id %d has probability %.9g, %.3g from the right one", r->n, (int)want[i], by_id[want[i]], difference);
        r->worst = fmax(r->worst, difference);
    }
    assert_true(fabs(sum - 1) < 1e-12);
    r->n++;
}

static void the_ids_and_probabilities_of_transformers(void **state)
{
    (void)state;
    report r = { 0 };
    each_case("runtime/sampler.jsonl", N_CASES, check_case, &r);
    print_message("largest difference %.3g in %zu cases\n", r.worst, r.n);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(the_ids_and_probabilities_of_transformers) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
