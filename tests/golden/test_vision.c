/* The image tower, stage by stage and whole, against tests/oracle/make_vision.py: a small tower as published ones are built, and one whose sizes are
 * multiples of nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "model/vision.h"
#include "model/vision_pos.h"
#include "support/fault.h"
#include "support/golden.h"

#define MAX_ERROR 1e-4
#define MAX_FAST_ERROR 0.005

/* ---- a tower without its decoder */

typedef struct tower {
    qw_config config;
    qw_weights *weights;
    qw_arena arena;
    qw_ops *ops;
    qw_vision_model model;
    qw_patch_config patches;
} tower;

static qwren_status tower_open(tower *t, const char *name, int n_threads, qwren_arithmetic arithmetic, qwren_error *err)
{
    char dir[1024];
    memset(t, 0, sizeof *t);
    qw_arena_init(&t->arena, 4096);
    snprintf(dir, sizeof dir, "%s/vision/%s", QW_TEST_DATA, name);
    QW_TRY(qw_config_read(&t->config, dir, err));
    QW_TRY(qw_weights_open(&t->weights, dir, err));
    QW_TRY(qw_vision_bind(&t->model, &t->config.vision, &(qw_binder){ .weights = t->weights, .arena = &t->arena }, err));
    const qw_vision_config *v = &t->config.vision;
    qw_ops_needs needs = { .heads_per_kv = 1 };
    qw_vision_needs(v, &needs);
    QW_TRY(qw_ops_create(&t->ops, &(qw_ops_options){ .n_threads = n_threads, .arithmetic = arithmetic }, err));
    QW_TRY(qw_ops_reserve(t->ops, &needs, err));
    const qw_processor_config *p = &t->config.processor;
    t->patches = (qw_patch_config){ v->patch_size, v->merge_size, v->temporal_patch_size, v->in_channels, p->min_pixels, p->max_pixels,
                                    { 0 },         { 0 } };
    memcpy(t->patches.mean, p->mean, sizeof p->mean);
    memcpy(t->patches.std, p->std, sizeof p->std);
    return QWREN_OK;
}

static void tower_close(tower *t)
{
    qw_ops_free(t->ops);
    qw_weights_close(t->weights);
    qw_arena_deinit(&t->arena);
}

static void must(qwren_status st, const qwren_error *err)
{
    if (st != QWREN_OK)
        fail_msg("%s", err->text);
}

static void tower_must_open_as(tower *t, const char *name, int n_threads, qwren_arithmetic arithmetic)
{
    qwren_error err = { QWREN_OK, "" };
    must(tower_open(t, name, n_threads, arithmetic, &err), &err);
}

static void tower_must_open(tower *t, const char *name, int n_threads) { tower_must_open_as(t, name, n_threads, QWREN_ARITHMETIC_EXACT); }

/* A picture of the folder images/ as the tower wants it. False when this build cannot read its format. */
static bool load(qw_pixels *out, qw_grid *grid, const tower *t, const char *file)
{
    char path[1024], *bytes = NULL;
    size_t n;
    qw_pixels decoded = { 0 };
    qwren_error err = { QWREN_OK, "" };
    const qwren_image_limits limits = { sizeof limits, (uint64_t)1 << 26, 100000000 };
    snprintf(path, sizeof path, "%s/vision/images/%s", QW_TEST_DATA, file);
    must(qw_file_read(path, (size_t)1 << 26, &bytes, &n, &err), &err);
    qwren_status st = qw_image_decode(&decoded, bytes, n, &limits, &err);
    qw_free(bytes);
    if (st == QWREN_E_UNSUPPORTED) {
        print_message("%s is left out: %s\n", file, err.text);
        return false;
    }
    must(st, &err);
    must(qw_patch_grid(grid, decoded.width, decoded.height, &t->patches, &err), &err);
    must(qw_image_resize(out, &decoded, grid->w * t->patches.patch_size, grid->h * t->patches.patch_size, &err), &err);
    qw_pixels_free(&decoded);
    return true;
}

/* ---- stage by stage */

typedef struct stages {
    qw_golden *ref;
    int depth, seen;
    size_t D;
} stages;

static bool check_stage(void *ctx, int step, const float *x, size_t n)
{
    stages *s = ctx;
    char name[32];
    assert_int_equal(step, s->seen++);
    if (step == 0)
        snprintf(name, sizeof name, "patch_embed");
    else if (step == 1)
        snprintf(name, sizeof name, "embed_plus_pos");
    else if (step < 2 + s->depth)
        snprintf(name, sizeof name, "block%d", step - 2);
    else
        snprintf(name, sizeof name, "merger_norm");
    size_t n_want;
    const float *want = golden_f32(s->ref, name, &n_want);
    assert_int_equal(n * s->D, n_want);
    golden_compare(name, x, want, n_want, MAX_ERROR);
    return true;
}

static void check_merged(qw_golden *ref, const char *what, const float *rows, size_t n_rows, size_t width)
{
    size_t n_want;
    const float *want = golden_f32(ref, "merged", &n_want);
    assert_int_equal(n_rows * width, n_want);
    golden_compare(what, rows, want, n_want, MAX_ERROR);
}

static void check_stages(const tower *t, const qw_pixels *pixels, qw_grid grid, qw_golden *ref)
{
    stages s = { ref, t->config.vision.depth, 0, (size_t)t->config.vision.hidden_size };
    float *rows;
    size_t n_rows;
    qwren_error err = { QWREN_OK, "" };
    must(qw_vision_forward(t->ops, &t->model, &t->patches, pixels, grid, &(qw_vision_trace){ .fn = check_stage, .ctx = &s }, &rows, &n_rows,
                           &err),
         &err);
    assert_int_equal(s.seen, s.depth + 3);
    check_merged(ref, "merged", rows, n_rows, (size_t)t->config.vision.out_hidden_size);
    qw_free(rows);
}

static void every_stage_of_one_picture(void **state)
{
    (void)state;
    tower t;
    qw_pixels pixels;
    qw_grid grid;
    tower_must_open(&t, "checkpoint", 2);
    qw_golden *ref = golden_open("vision/tower/grey_32x32.safetensors");
    if (load(&pixels, &grid, &t, "grey_32x32.png")) {
        check_stages(&t, &pixels, grid, ref);
        qw_pixels_free(&pixels);
    }
    golden_close(ref);
    tower_close(&t);
}

/* The picture that belongs to the odd tower. */
static qw_pixels odd_pixels(qw_golden *ref)
{
    size_t n;
    qwren_error err = { QWREN_OK, "" };
    qw_pixels p;
    const int32_t *values = golden_i32(ref, "pixels", &n);
    must(qw_pixels_alloc(&p, (int)golden_dim(ref, "pixels", 1), (int)golden_dim(ref, "pixels", 0), &err), &err);
    for (size_t i = 0; i < n; i++)
        p.rgb[i] = (uint8_t)values[i];
    return p;
}

/* Heads of 72, an MLP of 269, patches of 8, 3 x 3 positions, mean and std that differ by channel, weights in f16. */
static void a_tower_of_odd_sizes(void **state)
{
    (void)state;
    tower t;
    tower_must_open(&t, "odd", 2);
    assert_int_equal(t.config.vision.hidden_size / t.config.vision.n_heads, 72);
    assert_int_equal(t.config.vision.intermediate_size, 269);
    qw_golden *ref = golden_open("vision/odd/ref.safetensors");
    qw_pixels pixels = odd_pixels(ref);
    check_stages(&t, &pixels, (qw_grid){ 1, pixels.height / 8, pixels.width / 8 }, ref);
    qw_pixels_free(&pixels);
    golden_close(ref);
    tower_close(&t);
}

/* ---- whole pictures: more than one block of patches, high, wide, all formats */

static void check_picture(const tower *t, const char *file)
{
    char name[64];
    qw_pixels pixels;
    qw_grid grid;
    qwren_error err = { QWREN_OK, "" };
    if (!load(&pixels, &grid, t, file))
        return;
    float *rows;
    size_t n_rows;
    must(qw_vision_forward(t->ops, &t->model, &t->patches, &pixels, grid, NULL, &rows, &n_rows, &err), &err);
    snprintf(name, sizeof name, "vision/tower/%.*s.safetensors", (int)strcspn(file, "."), file);
    qw_golden *ref = golden_open(name);
    check_merged(ref, file, rows, n_rows, (size_t)t->config.vision.out_hidden_size);
    golden_close(ref);
    qw_free(rows);
    qw_pixels_free(&pixels);
}

static void all_pictures(void **state)
{
    (void)state;
    static const char *const files[] = { "rgb_333x517.png", "rgba_640x480.png",  "palette_200x150.png",
                                         "grey_32x32.png",  "exif6_427x320.jpg", "tall_28x900.webp" };
    tower t;
    tower_must_open(&t, "checkpoint", 2);
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        check_picture(&t, files[i]);
    tower_close(&t);
}

/* Root of the mean square of what default arithmetic changes, to that of the rows themselves. */
static double relative_error(const float *rows, const float *want, size_t n)
{
    double error = 0, size = 0;
    for (size_t i = 0; i < n; i++) {
        error += ((double)rows[i] - want[i]) * ((double)rows[i] - want[i]);
        size += (double)want[i] * want[i];
    }
    return sqrt(error / size);
}

/* Default: inputs and attention in bf16 where the processor multiplies that. */
static void fast_arithmetic_is_near(void **state)
{
    (void)state;
    for (qwren_arithmetic a = QWREN_ARITHMETIC_DEFAULT; a <= QWREN_ARITHMETIC_DETERMINISTIC; a++) {
        tower t;
        qw_pixels pixels;
        qw_grid grid;
        qwren_error err = { QWREN_OK, "" };
        float *rows;
        size_t n_rows, n_want;
        tower_must_open_as(&t, "checkpoint", 2, a);
        qw_golden *ref = golden_open("vision/tower/rgb_333x517.safetensors");
        const float *want = golden_f32(ref, "merged", &n_want);
        if (load(&pixels, &grid, &t, "rgb_333x517.png")) {
            must(qw_vision_forward(t.ops, &t.model, &t.patches, &pixels, grid, NULL, &rows, &n_rows, &err), &err);
            const double error = relative_error(rows, want, n_want);
            print_message("arithmetic %d: %.5f of the rows' size\n", (int)a, error);
            assert_true(error < (a == QWREN_ARITHMETIC_DEFAULT ? MAX_FAST_ERROR : MAX_ERROR));
            qw_free(rows);
            qw_pixels_free(&pixels);
        }
        golden_close(ref);
        tower_close(&t);
    }
}

static void the_same_to_the_bit_for_any_number_of_threads(void **state)
{
    (void)state;
    qw_golden *ref = golden_open("vision/odd/ref.safetensors");
    qw_pixels pixels = odd_pixels(ref);
    qw_grid grid = { 1, pixels.height / 8, pixels.width / 8 };
    float *rows[3];
    size_t n_rows = 0;
    for (qwren_arithmetic a = QWREN_ARITHMETIC_DEFAULT; a <= QWREN_ARITHMETIC_EXACT; a++) {
        for (int i = 0; i < 3; i++) {
            tower t;
            qwren_error err = { QWREN_OK, "" };
            tower_must_open_as(&t, "odd", i + 1, a);
            must(qw_vision_forward(t.ops, &t.model, &t.patches, &pixels, grid, NULL, &rows[i], &n_rows, &err), &err);
            assert_memory_equal(rows[0], rows[i], n_rows * (size_t)t.config.vision.out_hidden_size * sizeof(float));
            tower_close(&t);
        }
        for (int i = 0; i < 3; i++)
            qw_free(rows[i]);
    }
    qw_pixels_free(&pixels);
    golden_close(ref);
}

/* ---- positions by themselves */

static void rotary_table(void **state)
{
    (void)state;
    enum { N = 256, QUARTER = 4, HEAD = 16 }; /* 16 x 16 patches */
    static qw_vision_place places[N];
    static float cos_table[16 * QUARTER], sin_table[16 * QUARTER], cosines[N * HEAD / 2], sines[N * HEAD / 2], want_cos[N * HEAD / 2],
        want_sin[N * HEAD / 2];
    qw_golden *ref = golden_open("vision/tower/grey_32x32.safetensors");
    const float *ref_cos = golden_f32(ref, "rope_cos", NULL), *ref_sin = golden_f32(ref, "rope_sin", NULL);
    for (size_t i = 0; i < N; i++) { /* the reference writes every angle twice */
        memcpy(want_cos + i * HEAD / 2, ref_cos + i * HEAD, HEAD / 2 * sizeof(float));
        memcpy(want_sin + i * HEAD / 2, ref_sin + i * HEAD, HEAD / 2 * sizeof(float));
    }
    qw_vision_places(places, (qw_grid){ 1, 16, 16 }, 2, 0, N);
    qw_vision_angles(cos_table, sin_table, 16, QUARTER, 10000);
    qw_vision_rope(cosines, cos_table, places, N, QUARTER);
    qw_vision_rope(sines, sin_table, places, N, QUARTER);
    golden_compare("rope_cos", cosines, want_cos, N * HEAD / 2, 1e-6);
    golden_compare("rope_sin", sines, want_sin, N * HEAD / 2, 1e-6);
    golden_close(ref);
}

/* Blocks of four, left to right, then down; any part of the sequence can be asked for. */
static void patches_stand_in_merge_order(void **state)
{
    (void)state;
    qw_vision_place all[24], some[7];
    qw_vision_places(all, (qw_grid){ 1, 4, 6 }, 2, 0, 24);
    static const int rows[] = { 0, 0, 1, 1, 0, 0, 1, 1, 0, 0, 1, 1, 2, 2, 3, 3 },
                     cols[] = { 0, 1, 0, 1, 2, 3, 2, 3, 4, 5, 4, 5, 0, 1, 0, 1 };
    for (size_t i = 0; i < 16; i++)
        assert_true(all[i].row == rows[i] && all[i].col == cols[i]);
    qw_vision_places(some, (qw_grid){ 1, 4, 6 }, 2, 9, 7);
    assert_memory_equal(some, all + 9, sizeof some);
}

/* Corners of the picture are corners of the table, whatever the sizes; a single row or column reads the first; weights add up to 1. */
static void taps_of_the_learned_positions(void **state)
{
    (void)state;
    static const qw_grid grids[] = { { 1, 2, 2 }, { 1, 4, 6 }, { 1, 90, 4 }, { 1, 1, 1 }, { 1, 256, 256 } };
    static const int sides[] = { 1, 2, 3, 48 };
    for (size_t g = 0; g < 5; g++)
        for (size_t s = 0; s < 4; s++) {
            int S = sides[s], h = grids[g].h, w = grids[g].w, at[4][4];
            float weight[4][4];
            const qw_vision_place corners[4] = { { 0, 0 }, { 0, w - 1 }, { h - 1, 0 }, { h - 1, w - 1 } };
            qw_vision_taps(at, weight, corners, 4, grids[g], S);
            for (int i = 0; i < 4; i++) {
                int row = corners[i].row ? S - 1 : 0, col = corners[i].col ? S - 1 : 0;
                float here = 0;
                for (int k = 0; k < 4; k++) {
                    assert_in_range(at[i][k], 0, S * S - 1);
                    here += at[i][k] == row * S + col ? weight[i][k] : 0;
                }
                assert_true(here == 1);
            }
        }
    int at[1][4];
    float weight[1][4];
    qw_vision_taps(at, weight, &(qw_vision_place){ 1, 3 }, 1, (qw_grid){ 1, 5, 9 }, 3); /* u = 0.5, v = 0.75 */
    assert_memory_equal(at[0], ((int[]){ 0, 1, 3, 4 }), sizeof at);
    assert_memory_equal(weight[0], ((float[]){ 0.125f, 0.375f, 0.125f, 0.375f }), sizeof weight);
}

/* ---- what goes wrong */

static void assert_refused(const tower *t, const qw_patch_config *patches, int width, int height, qw_grid grid, const char *part)
{
    float *rows = (float *)&rows;
    size_t n_rows = 77;
    qw_pixels pixels;
    qwren_error err = { QWREN_OK, "" };
    must(qw_pixels_alloc(&pixels, width, height, &err), &err);
    memset(pixels.rgb, 0, (size_t)width * (size_t)height * 3);
    assert_int_equal(qw_vision_forward(t->ops, &t->model, patches, &pixels, grid, NULL, &rows, &n_rows, &err), QWREN_E_ARGUMENT);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
    assert_null(rows);
    assert_int_equal(n_rows, 0);
    qw_pixels_free(&pixels);
}

static void pictures_that_do_not_fit_their_grid(void **state)
{
    (void)state;
    tower t;
    tower_must_open(&t, "odd", 1);
    assert_refused(&t, &t.patches, 32, 32, (qw_grid){ 2, 4, 4 }, "no picture");
    assert_refused(&t, &t.patches, 32, 32, (qw_grid){ 1, 0, 4 }, "no picture");
    assert_refused(&t, &t.patches, 32, 24, (qw_grid){ 1, 3, 4 }, "multiples of 2");
    assert_refused(&t, &t.patches, 32, 32, (qw_grid){ 1, 4, 6 }, "does not fill 6 x 4 patches of 8 pixels");
    assert_refused(&t, &t.patches, 33, 32, (qw_grid){ 1, 4, 4 }, "does not fill");
    qw_patch_config other = t.patches;
    other.temporal_patch_size = 1;
    assert_refused(&t, &other, 32, 32, (qw_grid){ 1, 4, 4 }, "takes patches of 384 values");
    tower_close(&t);
}

static bool stop_after(void *ctx, int step, const float *x, size_t n)
{
    (void)x, (void)n;
    return step < *(int *)ctx;
}

static void work_can_be_stopped(void **state)
{
    (void)state;
    tower t;
    tower_must_open(&t, "odd", 1);
    qw_golden *ref = golden_open("vision/odd/ref.safetensors");
    qw_pixels pixels = odd_pixels(ref);
    for (int step = 0; step < 4; step++) {
        float *rows;
        size_t n_rows;
        qwren_error err = { QWREN_OK, "" };
        qwren_status st = qw_vision_forward(t.ops, &t.model, &t.patches, &pixels, (qw_grid){ 1, 6, 10 },
                                            &(qw_vision_trace){ .fn = stop_after, .ctx = &step }, &rows, &n_rows, &err);
        assert_int_equal(st, QWREN_E_CANCELLED);
        assert_null(rows);
    }
    qw_pixels_free(&pixels);
    golden_close(ref);
    tower_close(&t);
}

static void a_damaged_tower_is_refused(void **state)
{
    (void)state;
    tower t;
    qw_vision_model m;
    qwren_error err = { QWREN_OK, "" };
    tower_must_open(&t, "odd", 1);
    qw_binder b = { .weights = t.weights, .arena = &t.arena };
    qw_vision_config c = t.config.vision;
    c.depth = 2;
    assert_int_equal(qw_vision_bind(&m, &c, &b, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "blocks.1.norm1.weight"));
    c = t.config.vision;
    c.intermediate_size = 270;
    assert_int_equal(qw_vision_bind(&m, &c, &b, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "269"));
    assert_non_null(strstr(err.text, "270"));
    c = t.config.vision;
    c.patch_size = 16;
    assert_int_equal(qw_vision_bind(&m, &c, &b, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "patch_embed.proj.weight"));
    tower_close(&t);
}

static qwren_status forward_once(void *ctx, qwren_error *err)
{
    const qw_pixels *pixels = ctx;
    tower t;
    float *rows = NULL;
    size_t n_rows;
    qwren_status st = tower_open(&t, "odd", 2, QWREN_ARITHMETIC_EXACT, err);
    if (st == QWREN_OK)
        st = qw_vision_forward(t.ops, &t.model, &t.patches, pixels, (qw_grid){ 1, 6, 10 }, NULL, &rows, &n_rows, err);
    qw_free(rows);
    tower_close(&t);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    qw_golden *ref = golden_open("vision/odd/ref.safetensors");
    qw_pixels pixels = odd_pixels(ref);
    qw_pixels copy = { test_malloc((size_t)pixels.width * (size_t)pixels.height * 3), pixels.width, pixels.height };
    memcpy(copy.rgb, pixels.rgb, (size_t)pixels.width * (size_t)pixels.height * 3);
    qw_pixels_free(&pixels);
    golden_close(ref);
    fault_install();
    assert_true(fault_try_all(forward_once, &copy, 1) > 4);
    fault_remove();
    test_free(copy.rgb);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patches_stand_in_merge_order),
        cmocka_unit_test(taps_of_the_learned_positions),
        cmocka_unit_test(rotary_table),
        cmocka_unit_test(every_stage_of_one_picture),
        cmocka_unit_test(a_tower_of_odd_sizes),
        cmocka_unit_test(all_pictures),
        cmocka_unit_test(fast_arithmetic_is_near),
        cmocka_unit_test(the_same_to_the_bit_for_any_number_of_threads),
        cmocka_unit_test(pictures_that_do_not_fit_their_grid),
        cmocka_unit_test(work_can_be_stopped),
        cmocka_unit_test(a_damaged_tower_is_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
