/* qwren_session: ids and images in, logits out; and qwren_image_preprocess. On the bundled model. */
#include "support/nano.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "support/fault.h"

static qwren_model *model;

static int open_model(void **state)
{
    (void)state;
    model = nano_open(1);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    qwren_model_close(model);
    return 0;
}

static int32_t *ids_of(const qwren_model *m, const char *text, size_t *n)
{
    int32_t *ids = NULL;
    assert_int_equal(qwren_tokenize(qwren_model_tokenizer(m), text, SIZE_MAX, QWREN_SPECIAL_ALL, &ids, n, NULL), QWREN_OK);
    return ids;
}

static double largest_difference(const float *a, const float *b, size_t n)
{
    double most = 0;
    for (size_t i = 0; i < n; i++)
        most = fmax(most, fabs((double)a[i] - (double)b[i]));
    return most;
}

static size_t vocab(void) { return (size_t)qwren_model_get_info(model)->vocab_size; }

/* ------------------------------------------------------------------------------------------------------ text alone */

static void all_rows_and_the_last_agree(void **state)
{
    (void)state;
    qwren_session *s = nano_session(model, 0);
    size_t n = 0, n_rows = 0;
    float *all = NULL;
    int32_t *ids = ids_of(model, "What is 17 + 25? The answer is", &n);
    assert_null(qwren_session_logits(s));
    assert_int_equal(qwren_session_eval(s, ids, n, NULL, 0, &all, &n_rows, NULL), QWREN_OK);
    assert_int_equal(n_rows, n);
    assert_int_equal(qwren_session_length(s), n);
    assert_memory_equal(all + (n - 1) * vocab(), qwren_session_logits(s), vocab() * sizeof(float));
    qwren_session_reset(s);
    assert_int_equal(qwren_session_length(s), 0);
    assert_null(qwren_session_logits(s));

    /* one by one, it is the same text */
    double most = 0;
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(qwren_session_eval(s, ids + i, 1, NULL, 0, NULL, NULL, NULL), QWREN_OK);
        most = fmax(most, largest_difference(qwren_session_logits(s), all + i * vocab(), vocab()));
    }
    print_message("one by one against all at once: %g\n", most);
    assert_true(most < 1e-3);
    qwren_free(all);
    qwren_free(ids);
    qwren_session_free(s);
}

static void expect_failure(qwren_session *s, const int32_t *ids, size_t n, const qwren_image *const *images, size_t n_images,
                           qwren_status status, const char *word)
{
    qwren_error err = { 0 };
    float *all = (float *)1;
    size_t n_rows = 1;
    int32_t hello[] = { 1, 2, 3 };
    assert_int_equal(qwren_session_eval(s, hello, 3, NULL, 0, NULL, NULL, NULL), QWREN_OK);
    assert_int_equal(qwren_session_eval(s, ids, n, images, n_images, &all, &n_rows, &err), status);
    assert_null(all);
    assert_int_equal(n_rows, 0);
    assert_int_equal(err.code, status);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" does not speak of %s", err.text, word);
    assert_int_equal(qwren_session_length(s), 3); /* as qwren.h says: what it held before */
    qwren_session_reset(s);
}

static void wrong_input_changes_nothing(void **state)
{
    (void)state;
    qwren_session *s = nano_session(model, 16);
    qwren_image *img = NULL;
    int32_t many[17] = { 0 }, outside[] = { 1, (int32_t)vocab() }, negative[] = { -1 };
    int32_t pad = qwren_token_id(qwren_model_tokenizer(model), "<|image_pad|>");
    assert_int_equal(qwren_image_open(&img, PICTURE, NULL, NULL), QWREN_OK);
    const qwren_image *two[] = { img, img };
    expect_failure(s, NULL, 0, NULL, 0, QWREN_E_ARGUMENT, "no tokens");
    expect_failure(s, many, 17, NULL, 0, QWREN_E_LIMIT, "context");
    expect_failure(s, many, 14, NULL, 0, QWREN_E_LIMIT, "13 are left");
    expect_failure(s, outside, 2, NULL, 0, QWREN_E_ARGUMENT, "the model knows");
    expect_failure(s, negative, 1, NULL, 0, QWREN_E_ARGUMENT, "the model knows");
    expect_failure(s, &pad, 1, NULL, 0, QWREN_E_ARGUMENT, "");
    expect_failure(s, &pad, 1, two, 2, QWREN_E_ARGUMENT, "");
    expect_failure(s, many, 1, two, 1, QWREN_E_ARGUMENT, "");
    qwren_image_free(img);
    qwren_session_free(s);
}

static void sessions_need_room_and_weights(void **state)
{
    (void)state;
    qwren_session *s = (qwren_session *)1;
    qwren_error err = { 0 };
    qwren_session_options opt = qwren_session_options_default();
    opt.n_ctx = (size_t)qwren_model_get_info(model)->max_positions + 1;
    assert_int_equal(qwren_session_create(&s, model, &opt, &err), QWREN_E_LIMIT);
    assert_null(s);
    opt.n_ctx = SIZE_MAX;
    assert_int_equal(qwren_session_create(&s, model, &opt, &err), QWREN_E_LIMIT);
    qwren_model_options config_only = qwren_model_options_default();
    config_only.config_only = true;
    qwren_model *m = NULL;
    assert_int_equal(qwren_model_open(&m, NANO, &config_only, NULL), QWREN_OK);
    assert_int_equal(qwren_session_create(&s, m, NULL, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "config_only"));
    qwren_model_close(m);
    qwren_session_free(NULL);
}

/* ------------------------------------------------------------------------------------------------------- pictures */

static void a_pad_becomes_a_picture(void **state)
{
    (void)state;
    qwren_session *s = nano_session(model, 0);
    qwren_image *img = NULL;
    size_t n = 0, n_rows = 0, n_patches = 0, row_len = 0;
    float *all = NULL, *patches = NULL;
    int grid[3];
    assert_int_equal(qwren_image_open(&img, PICTURE, NULL, NULL), QWREN_OK);
    const qwren_image *two[] = { img, img };
    assert_int_equal(qwren_image_preprocess(model, img, &patches, &n_patches, &row_len, grid, NULL), QWREN_OK);
    const qwren_model_info *info = qwren_model_get_info(model);
    assert_int_equal(n_patches, (size_t)grid[0] * (size_t)grid[1] * (size_t)grid[2]);
    assert_int_equal(row_len, 3 * info->temporal_patch_size * info->patch_size * info->patch_size);
    for (size_t i = 0; i < n_patches * row_len; i++)
        assert_true(patches[i] >= -1 && patches[i] <= 1);
    qwren_free(patches);

    size_t per_picture = n_patches / (size_t)(info->merge_size * info->merge_size);
    int32_t *ids = ids_of(model, "<|vision_start|><|image_pad|><|vision_end|>One<|vision_start|><|image_pad|><|vision_end|>Two", &n);
    assert_int_equal(qwren_session_eval(s, ids, n, two, 2, &all, &n_rows, NULL), QWREN_OK);
    assert_int_equal(n_rows, n - 2 + 2 * per_picture);
    assert_int_equal(qwren_session_length(s), n_rows);

    /* in two calls: the second begins at the rotary position that the first picture left */
    qwren_session *other = nano_session(model, 0);
    size_t cut = 4; /* behind the first "One" or in it */
    assert_int_equal(qwren_session_eval(other, ids, cut, two, 1, NULL, NULL, NULL), QWREN_OK);
    assert_int_equal(qwren_session_eval(other, ids + cut, n - cut, two, 1, NULL, NULL, NULL), QWREN_OK);
    double difference = largest_difference(qwren_session_logits(other), qwren_session_logits(s), vocab());
    print_message("in two calls against one: %g\n", difference);
    assert_true(difference < 1e-3);
    qwren_session_free(other);
    qwren_free(all);
    qwren_free(ids);
    qwren_image_free(img);
    qwren_session_free(s);
}

/* --------------------------------------------------------------------------------------------------------- memory */

typedef struct attempt {
    qwren_session *session;
    const qwren_model *model;
    int32_t *ids;
    size_t n;
    qwren_image *image;
} attempt;

static qwren_status try_eval(void *ctx, qwren_error *err)
{
    attempt *a = ctx;
    const qwren_image *images[] = { a->image };
    float *all = NULL;
    size_t n_rows = 0;
    qwren_status st = qwren_session_eval(a->session, a->ids, a->n, images, 1, &all, &n_rows, err);
    assert_true((st == QWREN_OK) == (all != NULL));
    assert_true((st == QWREN_OK) == (qwren_session_length(a->session) > 0));
    qwren_session_reset(a->session); /* a timeline holds pages */
    qwren_free(all);
    return st;
}

static qwren_status try_preprocess(void *ctx, qwren_error *err)
{
    attempt *a = ctx;
    float *patches = NULL;
    size_t n_rows, row_len;
    int grid[3];
    qwren_status st = qwren_image_preprocess(a->model, a->image, &patches, &n_rows, &row_len, grid, err);
    qwren_free(patches);
    return st;
}

static qwren_status try_create(void *ctx, qwren_error *err)
{
    attempt *a = ctx;
    qwren_session *s = NULL;
    qwren_status st = qwren_session_create(&s, a->model, NULL, err);
    qwren_session_free(s);
    return st;
}

static void memory_may_run_short(void **state)
{
    (void)state;
    fault_install();
    qwren_model *own = nano_open(1);
    attempt a = { .model = own, .session = nano_session(own, 512) };
    a.ids = ids_of(own, "<|vision_start|><|image_pad|><|vision_end|>One", &a.n);
    assert_int_equal(qwren_image_open(&a.image, PICTURE, NULL, NULL), QWREN_OK);
    assert_true(fault_try_all(try_eval, &a, 1) > 5);
    assert_true(fault_try_all(try_preprocess, &a, 1) >= 2);
    assert_true(fault_try_all(try_create, &a, 1) >= 2);
    qwren_image_free(a.image);
    qwren_free(a.ids);
    qwren_session_free(a.session);
    qwren_model_close(own);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_rows_and_the_last_agree),
        cmocka_unit_test(wrong_input_changes_nothing),
        cmocka_unit_test(sessions_need_room_and_weights),
        cmocka_unit_test(a_pad_becomes_a_picture),
    };
    const struct CMUnitTest memory[] = { cmocka_unit_test(memory_may_run_short) };
    return cmocka_run_group_tests_name("sessions", tests, open_model, close_model) +
           cmocka_run_group_tests_name("memory", memory, NULL, NULL);
}
