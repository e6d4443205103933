/* qwren_model_random: every shape and recipe binds and has the bits that quantize would give it, small ones compute, and the same model comes again. */
#include "support/nano.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "api/model.h"
#include "convert/recipe.h"
#include "model/config_published.h"
#include "support/fault.h"

static qwren_model *make(const char *shape, const char *recipe, bool config_only, int n_threads)
{
    qwren_model *m;
    qwren_error err;
    qwren_model_options opt = qwren_model_options_default();
    opt.config_only = config_only;
    opt.n_threads = n_threads;
    if (qwren_model_random(&m, shape, recipe, &opt, &err))
        fail_msg("%s", err.text);
    return m;
}

static void published_shapes_bind(void **state)
{
    (void)state;
    /* parameters of the text model, from the tables of docs/model.md */
    static const struct {
        const char *shape;
        uint64_t n_text;
    } rows[] = { { "0.8B", 752393024 }, { "2B", 1881825088 }, { "4B", 4205751296 }, { "9B", 8953803264 } };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qwren_model *m = make(rows[i].shape, "bf16", true, 1);
        const qwren_model_info *info = qwren_model_get_info(m);
        assert_string_equal(info->size_name, rows[i].shape);
        assert_true(info->has_vision && info->has_mtp);
        assert_int_equal(info->vocab_size, 248320);
        assert_int_equal(info->n_parameters_text, rows[i].n_text);
        assert_int_equal(info->n_bytes, 2 * info->n_parameters);
        assert_null(qwren_model_tokenizer(m));
        qwren_model_close(m);
    }
}

/* What recipe.c says of the tensor, group and scales included. */
static void recipes_decide(void **state)
{
    (void)state;
    const qw_recipe *r;
    for (size_t i = 0; (r = qw_recipe_at(i)); i++) {
        qwren_model *m = make("0.8B", r->name, true, 1);
        qwren_tensor_info t;
        assert_string_equal(qwren_model_get_info(m)->recipe, r->name);
        size_t n_codes = 0;
        for (size_t k = 0; qwren_model_get_tensor(m, k, &t); k++) {
            const qw_choice c = r->choice[qw_class_of(t.name)];
            if (strcmp(t.part, "text") != 0)
                continue;
            assert_int_equal(t.bits, t.n_dims == 2 ? c.bits : 0);
            assert_int_equal(t.group, t.bits ? 64 : 0);
            if (t.bits)
                assert_true(fabs(t.bits_per_weight - (t.bits + 0.5)) < 1e-9);
            n_codes += t.bits > 0;
        }
        assert_true(n_codes >= 24 * 6);
        qwren_model_close(m);
    }
}

static void run(qwren_model *m, float *logits, size_t n)
{
    qwren_session *s = nano_session(m, 64);
    qwren_error err;
    const int32_t ids[] = { 1, 22, 333, 444, 5 };
    if (qwren_session_eval(s, ids, 5, NULL, 0, NULL, NULL, &err))
        fail_msg("%s", err.text);
    memcpy(logits, qwren_session_logits(s), n * sizeof *logits);
    qwren_session_free(s);
}

/* Neither zeros nor anything large comes out: an engine that is measured should meet ordinary numbers. */
static void small_ones_compute(void **state)
{
    (void)state;
    static const char *const recipes[] = { "6bit", "4bit", "5bit", "8bit", "bf16", NULL };
    for (size_t i = 0; i < sizeof recipes / sizeof *recipes; i++) {
        enum { V = 1024 };
        float logits[2][V];
        double squares = 0;
        for (int k = 0; k < 2; k++) {
            qwren_model *m = make("tiny", recipes[i], false, 1 + k);
            run(m, logits[k], V);
            qwren_model_close(m);
        }
        for (int k = 0; k < V; k++)
            squares += (double)logits[0][k] * (double)logits[0][k];
        assert_true(squares / V > 0.1 && squares / V < 10);
        assert_memory_equal(logits[0], logits[1], sizeof logits[0]); /* for any number of threads */
    }
}

static void pictures_are_seen(void **state)
{
    (void)state;
    qwren_model *m = make("tiny", "6bit", false, 1);
    qwren_image *img;
    uint8_t rgb[64 * 64 * 3];
    float *rows;
    size_t n, len;
    for (size_t i = 0; i < sizeof rgb; i++)
        rgb[i] = (uint8_t)(i * 7);
    assert_int_equal(qwren_image_from_rgb(&img, rgb, 64, 64, 0, NULL), QWREN_OK);
    assert_int_equal(qwren_image_encode(m, img, NULL, NULL, &rows, &n, &len, NULL), QWREN_OK);
    assert_int_equal(n, 64); /* at least 65536 pixels: 16 x 16 patches, merged by four */
    assert_int_equal(len, 128);
    for (size_t i = 0; i < n * len; i++)
        assert_true(isfinite(rows[i]) && fabsf(rows[i]) < 100);
    qwren_free(rows);
    qwren_image_free(img);
    qwren_model_close(m);
}

/* Says no at the n-th question. */
static bool until(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    int *left = ctx;
    assert_true(*what && done <= total);
    return --*left > 0;
}

/* At every question; in the end there are no more. */
static void making_and_seeing_can_be_stopped(void **state)
{
    (void)state;
    qwren_model *m = NULL;
    qwren_error err = { 0 };
    int left, asked = 1;
    qwren_model_options opt = qwren_model_options_default();
    opt.progress = until;
    opt.progress_ctx = &left;
    for (left = asked; qwren_model_random(&m, "tiny", NULL, &opt, &err) != QWREN_OK; left = ++asked) {
        assert_int_equal(err.code, QWREN_E_CANCELLED);
        assert_null(m);
    }
    assert_in_range(asked, 3, 100);
    qwren_image *img;
    float *rows = NULL;
    size_t n, len;
    uint8_t *rgb = calloc(640 * 640, 3);
    assert_non_null(rgb);
    assert_int_equal(qwren_image_from_rgb(&img, rgb, 640, 640, 0, NULL), QWREN_OK);
    left = 1000;
    assert_int_equal(qwren_image_encode(m, img, until, &left, &rows, &n, &len, &err), QWREN_OK);
    qwren_free(rows);
    asked = 1000 - left;
    assert_in_range(asked, 20, 999); /* more often than the tower has steps */
    for (int at = 1; at < asked; at += asked / 4) {
        left = at;
        assert_int_equal(qwren_image_encode(m, img, until, &left, &rows, &n, &len, &err), QWREN_E_CANCELLED);
        assert_true(!rows && n == 0);
    }
    free(rgb);
    qwren_image_free(img);
    qwren_model_close(m);
}

static void what_does_not_exist_is_refused(void **state)
{
    (void)state;
    qwren_model *m = (qwren_model *)1;
    qwren_error err;
    assert_int_equal(qwren_model_random(&m, "3B", NULL, NULL, &err), QWREN_E_ARGUMENT);
    assert_null(m);
    assert_non_null(strstr(err.text, "0.8B, 2B, 4B and 9B"));
    assert_int_equal(qwren_model_random(&m, NULL, NULL, NULL, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qwren_model_random(&m, "tiny", "7bit", NULL, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "6bit"));
    assert_non_null(strstr(err.text, "and bf16"));
    assert_int_equal(qwren_model_random(&m, "tiny", "auto", NULL, &err), QWREN_E_ARGUMENT);
    qwren_model_options opt = qwren_model_options_default();
    opt.n_threads = -1;
    assert_int_equal(qwren_model_random(&m, "tiny", NULL, &opt, &err), QWREN_E_ARGUMENT);
    qwren_image *img;
    opt.n_threads = 1;
    opt.config_only = true;
    m = make("tiny", NULL, true, 1);
    float *rows;
    size_t n, len;
    assert_int_equal(qwren_image_from_rgb(&img, (const uint8_t *)"abc", 1, 1, 0, NULL), QWREN_OK);
    assert_int_equal(qwren_image_encode(m, img, NULL, NULL, &rows, &n, &len, &err), QWREN_E_ARGUMENT);
    qwren_image_free(img);
    qwren_model_close(m);
}

static qwren_status make_any(void *ctx, qwren_error *err)
{
    qwren_model *m;
    qwren_model_options opt = qwren_model_options_default();
    (void)ctx;
    opt.n_threads = 1;
    qwren_status st = qwren_model_random(&m, "tiny", "6bit", &opt, err);
    qwren_model_close(m);
    return st;
}

static void memory_may_be_short(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(make_any, NULL, 1) > 10);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_shapes_bind),
        cmocka_unit_test(recipes_decide),
        cmocka_unit_test(small_ones_compute),
        cmocka_unit_test(pictures_are_seen),
        cmocka_unit_test(making_and_seeing_can_be_stopped),
        cmocka_unit_test(what_does_not_exist_is_refused),
        cmocka_unit_test(memory_may_be_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
