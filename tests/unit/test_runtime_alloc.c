/* The token loop's small parts allocate nothing: sampler, loop guard, detokenizer and stop strings under a counting allocator. (The
 * forward pass: test_session.c.) */
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
#include "tokenizer/tokenizer.h"

#define N_VOCAB 4160 /* qwren-nano */
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

static qw_sampler *make(const qw_sampling *set, size_t n_tokens, bool masked)
{
    static const qw_logit_bias bias[] = { { 1, 2 }, { 7, -INFINITY } };
    qw_sampler *s = NULL;
    qw_sampler_options opt = {
        .sampling = *set, .n_vocab = N_VOCAB, .n_tokens = n_tokens, .bias = bias, .n_bias = 2, .mask = masked ? forbid_evens : NULL
    };
    assert_int_equal(qw_sampler_create(&s, &opt, NULL), QWREN_OK);
    return s;
}

/* One answer: id -> loop guard -> text -> stop strings -> what a reader sees. Returns its bytes. */
static size_t answer(qw_sampler *s, const qw_tokenizer *t, qw_stop *stop, qw_buf *piece, qw_buf *out)
{
    static float logits[N_VOCAB];
    static qw_loopguard guard;
    static qw_detok detok;
    size_t n_bytes = 0;
    int32_t id, prompt[200];
    qw_rng r;
    qw_rng_seed(&r, 2);
    for (int32_t i = 0; i < 200; i++)
        prompt[i] = i * 13;
    qw_sampler_note_prompt(s, prompt, 200);
    qw_loopguard_init(&guard);
    qw_detok_init(&detok, t, true);
    for (size_t i = 0; i < N_STEPS; i++) {
        random_row(&r, logits);
        qw_buf_clear(piece);
        qw_buf_clear(out);
        assert_int_equal(qw_sampler_pick(s, logits, NULL, &id, NULL), QWREN_OK);
        qw_sampler_accept(s, id);
        qw_loopguard_push(&guard, id);
        assert_int_equal(qw_detok_push(&detok, id, piece, NULL), QWREN_OK);
        assert_false(qw_stop_push(stop, qw_buf_text(piece), piece->len, out));
        n_bytes += out->len;
    }
    logits[3] = NAN;
    assert_int_equal(qw_sampler_pick(s, logits, NULL, &id, &(qwren_error){ 0 }), QWREN_E_FORMAT);
    qw_detok_flush(&detok, piece);
    qw_stop_flush(stop, out);
    qw_detok_reset(&detok);
    qw_stop_reset(stop);
    qw_sampler_reset(s);
    return n_bytes;
}

static void check_settings(const qw_sampling *set, bool masked, const qw_tokenizer *t)
{
    static const char room[4096]; /* more than any token: a text's own growth is not what is counted */
    static const char *const strings[] = { "the end of it all", "\n\n\n\n\n\n" };
    qw_sampler *s = make(set, (size_t)qw_tokenizer_count(t), masked);
    qw_stop *stop = NULL;
    qw_buf piece = QW_BUF_INIT, out = QW_BUF_INIT;
    assert_int_equal(qw_stop_create(&stop, strings, 2, NULL), QWREN_OK);
    qw_buf_append(&piece, room, sizeof room);
    qw_buf_append(&out, room, sizeof room);
    size_t calls = fault_calls(), n_bytes = answer(s, t, stop, &piece, &out);
    assert_true(n_bytes > N_STEPS);
    assert_int_equal(fault_calls(), calls);
    qw_buf_free(&piece);
    qw_buf_free(&out);
    qw_stop_free(stop);
    qw_sampler_free(s);
}

static void a_token_costs_no_allocation(void **state)
{
    (void)state;
    static const qw_sampling sets[] = {
        { .temperature = 0, .top_p = 1, .repetition_penalty = 1.1 },
        { .temperature = 1, .top_p = 1, .presence_penalty = 2, .repetition_penalty = 1, .top_k = 20 },
        { .temperature = 1, .top_p = 1, .repetition_penalty = 1 },
        { .temperature = 0.6, .top_p = 0.95, .frequency_penalty = 0.5, .repetition_penalty = 1 },
        { .temperature = 2, .top_p = 0.9, .min_p = 0.05, .repetition_penalty = 1, .top_k = 3000 },
    };
    qw_tokenizer *t = NULL;
    qwren_error err = { 0 };
    fault_install();
    if (qw_tokenizer_open(&t, QW_MODELS "/qwren-nano", &err) != QWREN_OK)
        fail_msg("%s", err.text);
    for (size_t i = 0; i < 2 * sizeof sets / sizeof *sets; i++)
        check_settings(&sets[i / 2], i % 2, t);
    qw_tokenizer_close(t);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(a_token_costs_no_allocation) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
