/* Prompts with pictures, the whole way: file -> pixels -> tower -> timeline -> session -> logits and a greedy continuation, against
 * tests/oracle/make_vision.py. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "runtime/session.h"
#include "support/golden.h"

#define MAX_PICTURES 4

static qw_model model;

static void must(qwren_status st, const qwren_error *err)
{
    if (st != QWREN_OK)
        fail_msg("%s", err->text);
}

static void open_path(const char *path)
{
    qwren_error err = { QWREN_OK, "" };
    must(qw_model_init(&model, path, &(qw_model_params){ .n_threads = 2, .arithmetic = QWREN_ARITHMETIC_EXACT }, &err), &err);
    assert_true(model.has_vision);
}

static int open_checkpoint(void **state)
{
    (void)state;
    open_path(QW_TEST_DATA "/vision/checkpoint");
    return 0;
}

/* The same model as llama.cpp converts it: in three parts, and the tower in a file of its own (tests/oracle/make_gguf.py). */
static int open_gguf(void **state)
{
    (void)state;
    open_path(QW_TEST_DATA "/gguf/vision");
    assert_int_equal(qw_weights_layout(model.weights), QW_LAYOUT_GGUF);
    return 0;
}

static int close_model(void **state)
{
    (void)state;
    qw_model_deinit(&model);
    return 0;
}

/* ---- pictures and timelines */

static qw_pixels decode(const char *file)
{
    char path[1024], *bytes = NULL;
    size_t n;
    qw_pixels decoded;
    qwren_error err = { QWREN_OK, "" };
    const qwren_image_limits limits = { sizeof limits, (uint64_t)1 << 26, 100000000 };
    snprintf(path, sizeof path, "%s/vision/images/%s", QW_TEST_DATA, file);
    must(qw_file_read(path, (size_t)1 << 26, &bytes, &n, &err), &err);
    qwren_status st = qw_image_decode(&decoded, bytes, n, &limits, &err);
    qw_free(bytes);
    if (st == QWREN_E_UNSUPPORTED) {
        print_message("%s\n", err.text);
        skip();
    }
    must(st, &err);
    return decoded;
}

/* The rows of one picture; give back with qw_free(). */
static float *rows_of(const char *file, size_t *n_rows)
{
    qwren_error err = { QWREN_OK, "" };
    qw_pixels decoded = decode(file), resized;
    qw_patch_config c = qw_model_patch_config(&model);
    qw_grid grid;
    float *rows;
    must(qw_patch_grid(&grid, decoded.width, decoded.height, &c, &err), &err);
    must(qw_image_resize(&resized, &decoded, grid.w * c.patch_size, grid.h * c.patch_size, &err), &err);
    must(qw_vision_forward(model.ops, &model.vision, &c, &resized, grid, NULL, &rows, n_rows, &err), &err);
    qw_pixels_free(&decoded);
    qw_pixels_free(&resized);
    return rows;
}

static void assert_positions(const qw_timeline *t, qw_golden *ref)
{
    size_t n;
    const int32_t *want = golden_i32(ref, "position_ids", &n); /* [3, L] */
    assert_int_equal(n, 3 * t->n);
    for (size_t i = 0; i < t->n; i++)
        for (size_t axis = 0; axis < 3; axis++)
            if (t->pos[i][axis] != want[axis * t->n + i])
                fail_msg("axis %zu of token %zu is %d, not %d", axis, i, t->pos[i][axis], want[axis * t->n + i]);
    assert_int_equal(t->next_pos, golden_i32(ref, "next_pos", NULL)[0]);
}

/* The timeline of a stored prompt, its positions checked. */
static qw_timeline timeline_of(qw_golden *ref)
{
    static const uint64_t hashes[MAX_PICTURES] = { 11, 22, 33, 44 };
    size_t n_ids, n_pictures = golden_dim(ref, "grids", 0);
    const int32_t *ids = golden_i32(ref, "ids", &n_ids), *sides = golden_i32(ref, "grids", NULL);
    qw_grid grids[MAX_PICTURES];
    qw_timeline t;
    qwren_error err = { QWREN_OK, "" };
    assert_true(n_pictures <= MAX_PICTURES);
    for (size_t i = 0; i < n_pictures; i++)
        grids[i] = (qw_grid){ sides[3 * i], sides[3 * i + 1], sides[3 * i + 2] };
    must(qw_timeline_build(&t, &model.config, ids, n_ids, grids, hashes, n_pictures, 0, &err), &err);
    assert_positions(&t, ref);
    return t;
}

/* ---- logits */

static void check_logits(const char *name, const float *got, qw_golden *ref)
{
    size_t n;
    const float *want = golden_f32(ref, "logits", &n);
    double squares = 0, low = want[0], high = want[0];
    double largest = golden_compare(name, got, want, n, 3e-2);
    for (size_t i = 0; i < n; i++) {
        double d = (double)got[i] - (double)want[i];
        squares += d * d;
        low = fmin(low, want[i]);
        high = fmax(high, want[i]);
    }
    print_message("%s: the largest difference is %.2g of the range\n", name, largest / (high - low));
    assert_true(sqrt(squares / (double)n) <= 1e-3);
    assert_true(largest <= 1e-3 * (high - low));
}

static int32_t best(const float *logits)
{
    int32_t b = 0;
    for (int32_t i = 1; i < model.config.text.vocab_size; i++)
        b = logits[i] > logits[b] ? i : b;
    return b;
}

static void check_greedy(qw_session *s, qw_golden *ref)
{
    size_t n;
    qwren_error err = { QWREN_OK, "" };
    const int32_t *want = golden_i32(ref, "greedy_ids", &n);
    for (size_t i = 0; i < n; i++) {
        int32_t id = best(qw_session_logits(s));
        if (id != want[i])
            fail_msg("greedy id %zu is %d, not %d (the reference's margin there is %g)", i, id, want[i],
                     golden_f32(ref, "greedy_margin", NULL)[i]);
        must(qw_session_step(s, id, &err), &err);
    }
}

static qw_session *new_session(void)
{
    qw_session *s;
    qwren_error err = { QWREN_OK, "" };
    must(qw_session_create(&s, &model, &(qw_session_options){ .n_ctx = 512 }, &err), &err);
    return s;
}

/* All logits in one go, then the continuation; the same once more with a cut behind the first picture. */
static void check_answers(const char *name, const qw_timeline *t, qw_golden *ref)
{
    size_t V = (size_t)model.config.text.vocab_size, cut = t->n_spans ? t->spans[0].begin + t->spans[0].n : t->n / 2;
    float *logits = qw_alloc_array(t->n * V, sizeof *logits);
    qw_session *s = new_session();
    qwren_error err = { QWREN_OK, "" };
    assert_non_null(logits);
    must(qw_session_eval(s, t, 0, t->n, &(qw_eval_options){ .all_logits = logits }, &err), &err);
    check_logits(name, logits, ref);
    assert_int_equal(qw_session_next_pos(s), t->next_pos);
    check_greedy(s, ref);
    qw_session_reset(s);
    must(qw_session_eval(s, t, 0, cut, NULL, &err), &err);
    must(qw_session_eval(s, t, cut, t->n, NULL, &err), &err);
    golden_compare("cut in two", qw_session_logits(s), golden_f32(ref, "logits", NULL) + (t->n - 1) * V, V, 3e-2);
    check_greedy(s, ref);
    qw_session_free(s);
    qw_free(logits);
}

static void check_prompt(const char *name, const char *const *files, size_t n_files)
{
    char path[128];
    float *rows[MAX_PICTURES];
    size_t n_rows;
    snprintf(path, sizeof path, "vision/prompts/%s.safetensors", name);
    qw_golden *ref = golden_open(path);
    qw_timeline t = timeline_of(ref);
    assert_int_equal(t.n_spans, n_files);
    for (size_t i = 0; i < n_files; i++) {
        t.spans[i].rows = rows[i] = rows_of(files[i], &n_rows);
        assert_int_equal(t.spans[i].n, n_rows);
    }
    check_answers(name, &t, ref);
    for (size_t i = 0; i < n_files; i++)
        qw_free(rows[i]);
    qw_timeline_deinit(&t);
    golden_close(ref);
}

static void text_only(void **state)
{
    (void)state;
    check_prompt("text_only", NULL, 0);
}

static void one_picture(void **state)
{
    (void)state;
    check_prompt("one_image", (const char *const[]){ "palette_200x150.png" }, 1);
}

static void two_pictures(void **state)
{
    (void)state;
    check_prompt("two_images", (const char *const[]){ "grey_32x32.png", "tall_28x900.webp" }, 2);
}

/* Three pairs of frames with time stamps between, bare and inside the template's own start and end. */
static void positions_of_a_video(void **state)
{
    (void)state;
    static const char *const names[] = { "vision/prompts/video_plain.safetensors", "vision/prompts/video_outer.safetensors" };
    for (size_t i = 0; i < 2; i++) {
        qw_golden *ref = golden_open(names[i]);
        qw_timeline t = timeline_of(ref);
        assert_int_equal(t.n_spans, 3);
        qw_timeline_deinit(&t);
        golden_close(ref);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_only),
        cmocka_unit_test(one_picture),
        cmocka_unit_test(two_pictures),
        cmocka_unit_test(positions_of_a_video),
    };
    return cmocka_run_group_tests_name("checkpoint", tests, open_checkpoint, close_model) +
           cmocka_run_group_tests_name("GGUF", tests, open_gguf, close_model);
}
