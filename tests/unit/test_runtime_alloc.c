/* The token loop's small parts allocate nothing: sampler, loop guard and stop strings under a counting allocator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <math.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "runtime/loopguard.h"
#include "runtime/sampler.h"
#include "runtime/stop.h"
#include "support/fault.h"

#define N_VOCAB 5000
#define N_STEPS 400

static void forbid_evens(void *ctx, float *logits, size_t n)
{
    (void)ctx;
    for (size_t i = 0; i < n; i += 2)
        logits[i] = -INFINITY;
}

static void random_row(qw_rng *r, float *logits)
{
    for (size_t i = 0; i < N_VOCAB; i++)
        logits[i] = (float)(qw_rng_double(r) * 8);
}

static qw_sampler *make(const qw_sampling *set, bool masked)
{
    static const qw_logit_bias bias[] = { { 1, 2 }, { 7, -INFINITY } };
    qw_sampler *s = NULL;
    qw_sampler_options opt = {
        .sampling = *set, .n_vocab = N_VOCAB, .n_tokens = N_VOCAB - 20, .bias = bias, .n_bias = 2, .mask = masked ? forbid_evens : NULL
    };
    assert_int_equal(qw_sampler_create(&s, &opt, NULL), QWREN_OK);
    return s;
}

static void check_loop(qw_sampler *s, qw_stop *stop, qw_buf *out)
{
    static float logits[N_VOCAB];
    static qw_loopguard guard;
    int32_t id, prompt[200];
    qw_rng r;
    qw_rng_seed(&r, 2);
    for (int32_t i = 0; i < 200; i++)
        prompt[i] = i * 13;
    size_t calls = fault_calls();
    qw_sampler_note_prompt(s, prompt, 200);
    qw_loopguard_init(&guard);
    for (size_t i = 0; i < N_STEPS; i++) {
        random_row(&r, logits);
        assert_int_equal(qw_sampler_pick(s, logits, &id, NULL), QWREN_OK);
        qw_sampler_accept(s, id);
        qw_loopguard_push(&guard, id);
        qw_stop_push(stop, id % 3 ? "abc" : "abx", 3, out);
    }
    logits[3] = NAN;
    assert_int_equal(qw_sampler_pick(s, logits, &id, &(qwren_error){ 0 }), QWREN_E_FORMAT);
    qw_stop_flush(stop, out);
    qw_stop_reset(stop);
    qw_sampler_reset(s);
    assert_int_equal(fault_calls(), calls);
}

static void picking_watching_and_stopping_allocate_nothing(void **state)
{
    (void)state;
    static const qw_sampling sets[] = {
        { .temperature = 0, .top_p = 1, .repetition_penalty = 1.1 },
        { .temperature = 1, .top_p = 1, .presence_penalty = 2, .repetition_penalty = 1, .top_k = 20 },
        { .temperature = 1, .top_p = 1, .repetition_penalty = 1 },
        { .temperature = 0.6, .top_p = 0.95, .frequency_penalty = 0.5, .repetition_penalty = 1 },
        { .temperature = 2, .top_p = 0.9, .min_p = 0.05, .repetition_penalty = 1, .top_k = 3000 },
    };
    static const char *const strings[] = { "cabab", "x\n" };
    fault_install();
    for (size_t i = 0; i < 2 * sizeof sets / sizeof *sets; i++) {
        qw_sampler *s = make(&sets[i / 2], i % 2);
        qw_stop *stop = NULL;
        qw_buf out = QW_BUF_INIT;
        static const char room[3 * N_STEPS];
        assert_int_equal(qw_stop_create(&stop, strings, 2, NULL), QWREN_OK);
        qw_buf_append(&out, room, sizeof room); /* the text's own growth is not the matcher's */
        qw_buf_clear(&out);
        check_loop(s, stop, &out);
        qw_buf_free(&out);
        qw_stop_free(stop);
        qw_sampler_free(s);
    }
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(picking_watching_and_stopping_allocate_nothing) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
