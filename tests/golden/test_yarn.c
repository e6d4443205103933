/* YaRN against transformers: frequencies and tables of the real models under several settings, and the logits of two tiny checkpoints, within and far beyond the
 * positions of the training (tests/oracle/make_yarn.py). */
#include "support/golden.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/arena.h"
#include "runtime/session.h"

#define FILE_NAME "text/yarn.safetensors"
#define LOGIT_LIMIT 1e-3 /* of docs/model.md: fp32 arithmetic on exact weights */

/* A row of "settings", as a config would hold it: the defaults are in it. */
static qw_yarn setting(const double *s)
{
    return (qw_yarn){ .factor = s[0],
                      .original = s[1],
                      .beta_fast = s[2] > 0 ? s[2] : 32,
                      .beta_slow = s[3] > 0 ? s[3] : 1,
                      .attention = s[4],
                      .mscale = s[5],
                      .mscale_all_dim = s[6],
                      .fractions = s[7] == 0 };
}

static void frequencies_are_the_reference(void **state)
{
    (void)state;
    qw_golden *g = golden_open(FILE_NAME);
    const size_t n = golden_dim(g, "settings", 0), half = golden_dim(g, "inv_freq", 1);
    const double *settings = golden_f64(g, "settings", NULL), *scale = golden_f64(g, "scale", NULL);
    const float *want = golden_f32(g, "inv_freq", NULL);
    assert_true(n >= 8 && half == 32);
    for (size_t i = 0; i < n; i++) {
        qw_text_config c = { .head_dim = 256, .rotary_dim = 64, .rope_theta = 1e7, .mrope_section = { 11, 11, 10 } };
        qw_text_model m = { .config = &c };
        qw_arena arena;
        qwren_error err = { 0 };
        c.yarn = setting(settings + 8 * i);
        qw_arena_init(&arena, 4096);
        assert_int_equal(qw_rope_bind(&m, &arena, &err), QWREN_OK);
        if (fabs(m.rope_scale - scale[i]) > 1e-12)
            fail_msg("setting %zu: the factor of cos and sin is %.17g, the reference has %.17g", i, m.rope_scale, scale[i]);
        for (size_t k = 0; k < half; k++) /* the reference computes them in float */
            if (fabs(m.rope_freq[k] / want[i * half + k] - 1) > 2e-6)
                fail_msg("setting %zu: frequency %zu is %.9g, the reference has %.9g", i, k, m.rope_freq[k], (double)want[i * half + k]);
        qw_arena_deinit(&arena);
    }
    golden_close(g);
}

/* Frequencies differ by the rounding of floats, so angles at a million by a few thousandths. */
static void tables_are_the_reference(void **state)
{
    (void)state;
    qw_golden *g = golden_open(FILE_NAME);
    const size_t T = golden_dim(g, "pos", 1), half = 32;
    const int32_t *axes = golden_i32(g, "pos", NULL);
    qw_text_config c = { .head_dim = 256, .rotary_dim = 64, .rope_theta = 1e7, .mrope_section = { 11, 11, 10 }, .max_positions = 262144 };
    qw_text_model m = { .config = &c };
    qw_arena arena;
    qwren_error err = { 0 };
    int32_t pos[64][3];
    float cosines[64 * 32], sines[64 * 32], want[64 * 32];
    assert_true(T <= 64);
    for (size_t i = 0; i < 3 * T; i++)
        pos[i % T][i / T] = axes[i];
    qw_arena_init(&arena, 4096);
    assert_int_equal(qw_text_config_stretch(&c, 4, &err), QWREN_OK);
    assert_int_equal(c.max_positions, 1048576);
    assert_int_equal(qw_rope_bind(&m, &arena, &err), QWREN_OK);
    qw_rope_table(&m, cosines, sines, (const int32_t(*)[3])pos, T);
    for (int which = 0; which < 2; which++) {
        const double *exact = golden_f64(g, which ? "sin_f64" : "cos_f64", NULL);
        for (size_t i = 0; i < T * half; i++)
            want[i] = (float)exact[i];
        golden_compare(which ? "sin" : "cos", which ? sines : cosines, want, 3 * half, 1e-5); /* the first three positions */
        golden_compare(which ? "sin" : "cos", which ? sines : cosines, want, T * half, 0.03);
    }
    qw_arena_deinit(&arena);
    golden_close(g);
}

/* A key at position 700,000 turned back by 512 is the key at 699,488: YaRN's scale is not applied again. */
static void turned_back(void **state)
{
    (void)state;
    qw_text_config c = { .head_dim = 256, .rotary_dim = 64, .rope_theta = 1e7, .mrope_section = { 11, 11, 10 }, .max_positions = 262144 };
    qw_text_model m = { .config = &c };
    qw_arena arena;
    qwren_error err = { 0 };
    const int32_t pos[2][3] = { { 700000, 700000, 700000 }, { 699488, 699488, 699488 } };
    float cosines[64], sines[64], cos_by[32], sin_by[32], got[64];
    qw_arena_init(&arena, 4096);
    assert_int_equal(qw_text_config_stretch(&c, 4, &err), QWREN_OK);
    assert_int_equal(qw_rope_bind(&m, &arena, &err), QWREN_OK);
    qw_rope_table(&m, cosines, sines, pos, 2);
    qw_rope_turn(&m, cos_by, sin_by, -512);
    for (size_t i = 0; i < 32; i++) { /* the unit key (1, 0) of each pair */
        got[i] = cosines[i] * cos_by[i] - sines[i] * sin_by[i];
        got[32 + i] = sines[i] * cos_by[i] + cosines[i] * sin_by[i];
    }
    golden_compare("cos", got, cosines + 32, 32, 1e-6);
    golden_compare("sin", got + 32, sines + 32, 32, 1e-6);
    qw_arena_deinit(&arena);
}

/* ---- whole models */

static void compare_last_rows(qw_session *s, qw_golden *g, const char *name, const qw_timeline *t, size_t V)
{
    const size_t rows = golden_dim(g, name, 0);
    float *logits = calloc(t->n * V, sizeof *logits);
    const qw_eval_options opt = { .all_logits = logits };
    qwren_error err = { 0 };
    assert_non_null(logits);
    if (qw_session_eval(s, t, 0, t->n, &opt, &err))
        fail_msg("%s", err.text);
    golden_compare(name, logits + (t->n - rows) * V, golden_f32(g, name, NULL), rows * V, LOGIT_LIMIT);
    free(logits);
}

/* tiny-c as if its training had ended at 32 positions. */
static void beyond_a_short_training(void **state)
{
    (void)state;
    qw_golden *g = golden_open(FILE_NAME), *prompt = golden_open("text/tiny-c/ref.safetensors");
    qw_config config;
    qw_model model;
    qw_session *s;
    qw_timeline t;
    size_t n;
    qwren_error err = { 0 };
    assert_int_equal(qw_config_read(&config, QW_TEST_DATA "/text/tiny-c/hf", &err), QWREN_OK);
    config.text.yarn = (qw_yarn){ .factor = 4, .original = 32, .beta_fast = 32, .beta_slow = 1 };
    qw_model_params p = { .n_threads = 2, .arithmetic = QWREN_ARITHMETIC_EXACT, .made_config = &config };
    assert_int_equal(qw_weights_open(&p.made_weights, QW_TEST_DATA "/text/tiny-c/hf", &err), QWREN_OK);
    if (qw_model_init(&model, "tiny-c", &p, &err) || qw_session_create(&s, &model, &(qw_session_options){ .n_ctx = 512 }, &err))
        fail_msg("%s", err.text);
    const int32_t *ids = golden_i32(prompt, "input_ids", &n);
    assert_int_equal(qw_timeline_build(&t, &model.config, ids, n, NULL, NULL, 0, 0, &err), QWREN_OK);
    compare_last_rows(s, g, "short.logits", &t, (size_t)config.text.vocab_size);
    qw_timeline_deinit(&t);
    qw_session_free(s);
    qw_model_deinit(&model);
    golden_close(prompt);
    golden_close(g);
}

/* The rows of pictures and films over their pads. */
static void place_rows(qw_timeline *t, qw_golden *prompt, size_t hidden)
{
    const float *rows = golden_f32(prompt, "mm.features", NULL);
    const int32_t *kind = golden_i32(prompt, "mm.kind", NULL);
    size_t used = 0;
    for (size_t i = 0; i < t->n; i++) {
        qw_image_span *last = t->n_spans ? &t->spans[t->n_spans - 1] : NULL;
        if (kind[i] && last && last->begin + last->n == i)
            last->n++;
        else if (kind[i])
            t->spans[t->n_spans++] = (qw_image_span){ .begin = i, .n = 1, .rows = rows + used * hidden };
        used += kind[i] != 0;
    }
    assert_int_equal(used, golden_dim(prompt, "mm.features", 0));
}

/* tiny-a with its pictures, opened with the option; the second half of the prompt `shift` positions further on. */
static void pictures_with_a_gap(const char *name, int32_t shift)
{
    qw_golden *g = golden_open(FILE_NAME), *prompt = golden_open("text/tiny-a/ref.safetensors");
    qw_model model;
    qw_session *s;
    size_t n;
    qwren_error err = { 0 };
    const qw_model_params p = { .n_threads = 2, .arithmetic = QWREN_ARITHMETIC_EXACT, .yarn_factor = 4 };
    if (qw_model_init(&model, QW_TEST_DATA "/text/tiny-a/hf", &p, &err) ||
        qw_session_create(&s, &model, &(qw_session_options){ .n_ctx = 512 }, &err))
        fail_msg("%s", err.text);
    qw_timeline t = { .ids = (int32_t *)(uintptr_t)golden_i32(prompt, "mm.input_ids", &n) };
    const int32_t *pos = golden_i32(prompt, "mm.position_ids", NULL);
    t.n = n;
    t.pos = calloc(n, sizeof *t.pos);
    t.keys = calloc(n, sizeof *t.keys);
    t.spans = calloc(n, sizeof *t.spans);
    for (size_t i = 0; i < 3 * n; i++)
        t.pos[i % n][i / n] = pos[i] + (i % n >= n / 2 ? shift : 0);
    t.next_pos = (int32_t)n + golden_i32(prompt, "mm.rope_delta", NULL)[0] + shift;
    place_rows(&t, prompt, (size_t)model.config.text.hidden_size);
    assert_int_equal(model.config.text.max_positions, 1048576);
    compare_last_rows(s, g, name, &t, (size_t)model.config.text.vocab_size);
    free(t.pos), free(t.keys), free(t.spans);
    qw_session_free(s);
    qw_model_deinit(&model);
    golden_close(prompt);
    golden_close(g);
}

static void pictures_near(void **state)
{
    (void)state;
    pictures_with_a_gap("near.logits", 0);
}

static void pictures_far_beyond_the_training(void **state)
{
    (void)state;
    qw_golden *g = golden_open(FILE_NAME);
    pictures_with_a_gap("far.logits", golden_i32(g, "far.shift", NULL)[0]);
    golden_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frequencies_are_the_reference),
        cmocka_unit_test(tables_are_the_reference),
        cmocka_unit_test(turned_back),
        cmocka_unit_test(beyond_a_short_training),
        cmocka_unit_test(pictures_near),
        cmocka_unit_test(pictures_far_beyond_the_training),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
