/* runtime/speed.c: every matrix of the text model is counted once, the sums are those of the parts, and short memory leaves nothing behind. How long something
 * takes is not tested. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/speed.h"
#include "support/fault.h"

static const qw_speed_params hasty = { .n_threads = 2, .patience_s = 1e-6, .buffer_bytes = 1 << 20 };

static void open_headers(qw_model *m, const char *name)
{
    char path[512];
    qwren_error err = { 0 };
    snprintf(path, sizeof path, "%s/%s", QW_TEST_DATA, name);
    if (qw_model_init(m, path, &(qw_model_params){ .config_only = true }, &err))
        fail_msg("%s", err.text);
}

/* Weights of the tensors whose names end with one of these, or are the head's. */
static size_t weights_met(const qw_model *m, const char *head)
{
    size_t n = 0;
    for (size_t i = 0; i < qw_weights_count(m->weights); i++) {
        const qw_tensor *t = qw_weights_at(m->weights, i);
        if (strcmp(t->name, head) == 0 || (strncmp(t->name, "layers.", 7) == 0 && strstr(t->name, "proj.weight")))
            n += qw_tensor_elements(t);
        else if (strncmp(t->name, "layers.", 7) == 0 && (strstr(t->name, "in_proj_a") || strstr(t->name, "in_proj_b") ||
                                                         strstr(t->name, "in_proj_qkv") || strstr(t->name, "in_proj_z")))
            n += qw_tensor_elements(t);
    }
    return n;
}

static void parts_make_the_whole(void **state)
{
    (void)state;
    static const char *const models[][2] = { { "text/tiny-a/hf", "embed_tokens.weight" }, { "text/tiny-c/hf", "lm_head.weight" } };
    for (size_t i = 0; i < 2; i++) {
        qw_model m;
        qw_speed s;
        qwren_error err = { 0 };
        open_headers(&m, models[i][0]);
        assert_int_equal(qw_speed_estimate(&s, &m, &hasty, &err), QWREN_OK);
        assert_int_equal(s.n_threads, 2);
        assert_true(isfinite(s.read_bytes_per_s) && s.read_bytes_per_s > 0);
        size_t weights = 0, bytes = 0;
        double decode = s.mixing_decode_s, prefill = s.mixing_prefill_s;
        for (size_t f = 0; f < s.n_formats; f++) {
            weights += s.formats[f].n_weights;
            bytes += s.formats[f].n_bytes;
            decode += s.formats[f].decode_s;
            prefill += s.formats[f].prefill_s;
            assert_true(s.formats[f].decode_s >= (double)s.formats[f].n_bytes / s.read_bytes_per_s * 0.999);
        }
        assert_int_equal(s.n_formats, 1);
        assert_int_equal(weights, weights_met(&m, models[i][1]));
        assert_int_equal(bytes, weights * qw_type_block_bytes(s.formats[0].type));
        assert_true(decode > 0 && fabs(s.decode_tokens_per_s * decode - 1) < 1e-9);
        assert_true(prefill > 0 && fabs(s.prefill_tokens_per_s * prefill - 1) < 1e-9);
        qw_model_deinit(&m);
    }
}

static void formats_are_told_apart(void **state)
{
    (void)state;
    qw_model m;
    qw_speed s;
    open_headers(&m, "mlx/tiny-b-mixed");
    assert_int_equal(qw_speed_estimate(&s, &m, &hasty, NULL), QWREN_OK);
    assert_true(s.n_formats > 4);
    for (size_t i = 0; i < s.n_formats; i++)
        for (size_t k = 0; k < i; k++)
            assert_true(s.formats[i].type != s.formats[k].type || s.formats[i].group != s.formats[k].group);
    qw_model_deinit(&m);
}

static qwren_status estimate(void *ctx, qwren_error *err)
{
    qw_speed s;
    return qw_speed_estimate(&s, ctx, &hasty, err);
}

static void memory_may_be_short(void **state)
{
    (void)state;
    qw_model m;
    fault_install();
    open_headers(&m, "text/tiny-c/hf");
    assert_true(fault_try_all(estimate, &m, 1) > 5);
    qw_model_deinit(&m);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parts_make_the_whole),
        cmocka_unit_test(formats_are_told_apart),
        cmocka_unit_test(memory_may_be_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
