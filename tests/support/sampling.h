/* Short ways to make samplers and to look at what they would draw from. Header only: each test program is one file. */
#ifndef QW_TESTS_SAMPLING_H
#define QW_TESTS_SAMPLING_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <float.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/sampler.h"

#define MAX_IDS 300
#define COUNT(a) (sizeof(a) / sizeof *(a))

static inline qw_sampler *make(const qw_sampler_options *opt)
{
    qw_sampler *s = NULL;
    qwren_error err = { 0 };
    if (qw_sampler_create(&s, opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return s;
}

static inline qw_sampler_options plain(size_t n)
{
    return (qw_sampler_options){ .sampling = qw_sampling_unsaid(), .seed = 7, .n_vocab = n, .n_tokens = n };
}

static inline qw_sampler_options greedy(size_t n)
{
    qw_sampler_options opt = plain(n);
    opt.sampling.temperature = 0;
    return opt;
}

static inline int32_t pick(qw_sampler *s, const float *logits)
{
    int32_t id = -2;
    qwren_error err = { 0 };
    if (qw_sampler_pick(s, logits, NULL, &id, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return id;
}

/* The largest of each block of logits, as the head of a model gives them. */
static inline const float *maxima_of(const float *logits, size_t n_vocab)
{
    static float maxima[MAX_IDS / QW_SAMPLER_BLOCK + 1];
    for (size_t i = 0; i < n_vocab; i++) {
        float *most = &maxima[i / QW_SAMPLER_BLOCK];
        if (i % QW_SAMPLER_BLOCK == 0 || logits[i] > *most || isnan(logits[i]))
            *most = logits[i];
    }
    return maxima;
}

/* What may be drawn by way of the maxima is what may be drawn without them. */
static inline void same_by_blocks(qw_sampler *s, const float *logits, size_t n_vocab, const double *by_id, size_t n)
{
    static int32_t ids[MAX_IDS];
    static double p[MAX_IDS];
    size_t n_here = 0;
    assert_int_equal(qw_sampler_distribution(s, logits, maxima_of(logits, n_vocab), ids, p, &n_here, NULL), QWREN_OK);
    assert_int_equal(n_here, n);
    for (size_t i = 0; i < n; i++)
        assert_true(fabs(p[i] - by_id[ids[i]]) <= 1e-12);
}

/* Probabilities by id, 0 for what may not be drawn; returns how many may. */
static inline size_t spread(qw_sampler *s, const float *logits, size_t n_vocab, double *by_id)
{
    static int32_t ids[MAX_IDS];
    static double p[MAX_IDS];
    size_t n = 0;
    assert_true(n_vocab <= MAX_IDS);
    assert_int_equal(qw_sampler_distribution(s, logits, NULL, ids, p, &n, NULL), QWREN_OK);
    memset(by_id, 0, n_vocab * sizeof *by_id);
    for (size_t i = 0; i < n; i++) {
        assert_in_range(ids[i], 0, n_vocab - 1);
        assert_true(by_id[ids[i]] == 0);
        by_id[ids[i]] = p[i];
    }
    same_by_blocks(s, logits, n_vocab, by_id, n);
    return n;
}

/* The same for options used once, without history. */
static inline size_t spread_of(const qw_sampler_options *opt, const float *logits, double *by_id)
{
    qw_sampler *s = make(opt);
    size_t n = spread(s, logits, opt->n_vocab, by_id);
    qw_sampler_free(s);
    return n;
}

static inline void near(double a, double b)
{
    if (!(fabs(a - b) <= 1e-9))
        fail_msg("%.12g is not %.12g", a, b);
}

#endif
