/* Timelines of made-up ids on the tiny checkpoint tiny-b, for tests of sessions. The including file defines `static qw_model model`. */
#ifndef QW_TESTS_TINY_H
#define QW_TESTS_TINY_H

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/session.h"

#define CHECKPOINT QW_TEST_DATA "/text/tiny-b/hf"
#define MAX_TOKENS 4096

static qw_model model;

static void ok(qwren_status st, const qwren_error *err)
{
    if (st != QWREN_OK)
        fail_msg("%s", err->text);
}

/* n ids that depend on `seed` from position `from` on, and are the same for all before. */
static inline qw_timeline timeline(size_t n, size_t from, int seed)
{
    static int32_t ids[MAX_TOKENS];
    qw_timeline t;
    qwren_error err = { 0 };
    assert_true(n <= MAX_TOKENS);
    for (size_t i = 0; i < n; i++)
        ids[i] = (int32_t)((i * 37 + i / 500 + (i >= from ? (size_t)seed * 101 : 0)) % 500); /* below the pads of tiny-b */
    ok(qw_timeline_build(&t, &model.config, ids, n, NULL, NULL, 0, 0, &err), &err);
    return t;
}

static inline qw_session *session_with(const qw_session_options *opt)
{
    qw_session *s = NULL;
    qwren_error err = { 0 };
    ok(qw_session_create(&s, &model, opt, &err), &err);
    return s;
}

static inline void eval(qw_session *s, const qw_timeline *t, size_t first, size_t end)
{
    qwren_error err = { 0 };
    ok(qw_session_eval(s, t, first, end, NULL, &err), &err);
}

static inline void same_logits(const qw_session *s, const float *want)
{
    assert_non_null(qw_session_logits(s));
    for (int i = 0; i < model.config.text.vocab_size; i++)
        if (qw_session_logits(s)[i] != want[i])
            fail_msg("logit %d: %g, wanted %g", i, (double)qw_session_logits(s)[i], (double)want[i]);
}

/* The logits behind the first n tokens of t, from nothing. */
static inline float *fresh_logits(const qw_timeline *t, size_t n)
{
    const size_t bytes = (size_t)model.config.text.vocab_size * sizeof(float);
    qw_session *s = session_with(&(qw_session_options){ .n_ctx = n });
    float *copy = malloc(bytes);
    assert_non_null(copy);
    eval(s, t, 0, n);
    memcpy(copy, qw_session_logits(s), bytes);
    qw_session_free(s);
    return copy;
}

static inline void is_as_fresh(const qw_session *s, const qw_timeline *t, size_t n)
{
    float *want = fresh_logits(t, n);
    assert_int_equal(qw_session_length(s), n);
    same_logits(s, want);
    free(want);
}

static int open_model(void **state)
{
    qwren_error err = { 0 };
    const qw_model_params p = { .n_threads = 2 };
    (void)state;
    if (qw_model_init(&model, CHECKPOINT, &p, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return -1;
    }
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    qw_model_deinit(&model);
    return 0;
}

#endif
