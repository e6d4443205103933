/* Directories quantised for MLX against the reference: logits at every position of the prompt, fp32 arithmetic on exactly dequantised weights. */
#include "support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "runtime/session.h"

#define LOGIT_LIMIT 1e-3 /* of docs/model.md: fp32 arithmetic on exact weights */

static void prompt(const char *name)
{
    char dir[512], file[128], what[64];
    qw_model m;
    qw_session *s;
    qw_timeline t;
    size_t n;
    qwren_error err = { 0 };
    qw_model_params p = { .n_threads = 2 };
    snprintf(dir, sizeof dir, "%s/mlx/%s", QW_TEST_DATA, name);
    snprintf(file, sizeof file, "mlx/%s/ref.safetensors", name);
    snprintf(what, sizeof what, "%s logits", name);
    if (qw_model_init(&m, dir, &p, &err) || qw_session_create(&s, &m, 512, &err))
        fail_msg("%s", err.text);
    qw_golden *g = golden_open(file);
    const int32_t *ids = golden_i32(g, "input_ids", &n);
    const size_t V = (size_t)m.config.text.vocab_size;
    float *logits = calloc(n * V, sizeof *logits);
    qw_eval_options opt = { .all_logits = logits };
    if (qw_timeline_build(&t, &m.config, ids, n, NULL, NULL, 0, 0, &err) || qw_session_eval(s, &t, 0, n, &opt, &err))
        fail_msg("%s", err.text);
    golden_compare(what, logits, golden_f32(g, "logits", NULL), n * V, LOGIT_LIMIT);
    free(logits);
    qw_timeline_deinit(&t);
    golden_close(g);
    qw_session_free(s);
    qw_model_deinit(&m);
}

static void six_bits(void **state)
{
    (void)state;
    prompt("tiny-a-6bit");
}

static void mixed_bits(void **state)
{
    (void)state;
    prompt("tiny-b-mixed");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_bits),
        cmocka_unit_test(mixed_bits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
