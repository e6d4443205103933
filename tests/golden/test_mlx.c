/* Directories for MLX against the reference (tests/oracle/make_mlx.py): fp32 arithmetic on exactly dequantised weights. Logits at every position, the draft
 * head from its own folder, a picture through a quantised tower; and the tensors as inspect counts them. */
#include "support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "model/logical.h"
#include "runtime/session.h"
#include "support/fault.h"

#define LOGIT_LIMIT 1e-3 /* of docs/model.md: fp32 arithmetic on exact weights */

typedef struct subject {
    const char *name;
    qw_model model;
    qw_session *session;
    qw_golden *g;
    size_t V, H;
} subject;

static void must(qwren_status st, const qwren_error *err)
{
    if (st != QWREN_OK)
        fail_msg("%s", err->text);
}

static void open_model(qw_model *m, const char *name, qwren_arithmetic arithmetic)
{
    char dir[512];
    qwren_error err = { 0 };
    snprintf(dir, sizeof dir, "%s/mlx/%s", QW_TEST_DATA, name);
    must(qw_model_init(m, dir, &(qw_model_params){ .n_threads = 2, .arithmetic = arithmetic }, &err), &err);
}

static void open_in(subject *s, const char *name, qwren_arithmetic arithmetic)
{
    char file[128];
    qwren_error err = { 0 };
    open_model(&s->model, name, arithmetic);
    must(qw_session_create(&s->session, &s->model, &(qw_session_options){ .n_ctx = 512 }, &err), &err);
    snprintf(file, sizeof file, "mlx/%s/ref.safetensors", name);
    s->g = golden_open(file);
    s->name = name;
    s->V = (size_t)s->model.config.text.vocab_size;
    s->H = (size_t)s->model.config.text.hidden_size;
}

static void open_subject(subject *s, const char *name) { open_in(s, name, QWREN_ARITHMETIC_EXACT); }

static void close_subject(subject *s)
{
    golden_close(s->g);
    qw_session_free(s->session);
    qw_model_deinit(&s->model);
}

static float *floats(size_t n)
{
    float *p = calloc(n, sizeof *p);
    assert_non_null(p);
    return p;
}

static void compare(const subject *s, const char *tensor, const float *got, size_t n)
{
    char what[64];
    snprintf(what, sizeof what, "%s %s", s->name, tensor);
    golden_compare(what, got, golden_f32(s->g, tensor, NULL), n, LOGIT_LIMIT);
}

/* ---- text */

static qw_timeline eval_prompt(subject *s, float *logits)
{
    qw_timeline t;
    size_t n;
    qwren_error err = { 0 };
    const int32_t *ids = golden_i32(s->g, "input_ids", &n);
    must(qw_timeline_build(&t, &s->model.config, ids, n, NULL, NULL, 0, 0, &err), &err);
    must(qw_session_eval(s->session, &t, 0, n, &(qw_eval_options){ .all_logits = logits, .n_hidden = SIZE_MAX }, &err), &err);
    return t;
}

static void prompt(const char *name)
{
    subject s = { 0 };
    open_subject(&s, name);
    const size_t n = golden_dim(s.g, "input_ids", 0) * s.V;
    float *logits = floats(n);
    qw_timeline t = eval_prompt(&s, logits);
    compare(&s, "logits", logits, n);
    free(logits);
    qw_timeline_deinit(&t);
    close_subject(&s);
}

/* As most programs compute: activations in eight bits. Random weights have no redundancy that would hide it. */
static void default_prompt(const char *name, double max_relative)
{
    subject s = { 0 };
    open_in(&s, name, QWREN_ARITHMETIC_DEFAULT);
    const size_t n = golden_dim(s.g, "input_ids", 0) * s.V;
    float *logits = floats(n);
    qw_timeline t = eval_prompt(&s, logits);
    golden_near(name, logits, golden_f32(s.g, "logits", NULL), n, max_relative);
    free(logits);
    qw_timeline_deinit(&t);
    close_subject(&s);
}

/* clang-format off */
static void in_eight_bits(void **state)
{
    (void)state;
    default_prompt("tiny-a-6bit", 0.025); default_prompt("tiny-b-mixed", 0.016); default_prompt("zoo", 0.03); default_prompt("plain", 1e-3);
}
static void six_bits(void **state) { (void)state; prompt("tiny-a-6bit"); }
static void mixed_bits(void **state) { (void)state; prompt("tiny-b-mixed"); }
static void every_format(void **state) { (void)state; prompt("zoo"); }
static void no_codes_at_all(void **state) { (void)state; prompt("plain"); }
/* clang-format on */

/* Over the prompt, each row with the trunk's hidden state and the token that follows. */
static void draft_head(void **state)
{
    (void)state;
    subject s = { 0 };
    open_subject(&s, "tiny-a-6bit");
    const qw_text_config *c = &s.model.config.text;
    assert_true(s.model.has_mtp);
    qw_timeline t = eval_prompt(&s, NULL);
    void *block = qw_alloc_aligned(qw_text_scratch_bytes(c, t.n, t.n));
    float *hidden = floats(t.n * s.H), *logits = floats(t.n * s.V);
    memcpy(hidden, qw_session_hidden(s.session), t.n * s.H * sizeof *hidden);
    qw_layer_state st = { .cache = qw_alloc_aligned(qw_cache_bytes(c, QW_KV_F32, t.n)), .cache_type = QW_KV_F32, .capacity = t.n };
    qw_text_scratch scratch;
    qw_text_scratch_init(&scratch, block, c, t.n, t.n);
    qw_batch b = { .ids = golden_i32(s.g, "mtp.next_ids", NULL),
                   .pos = (const int32_t(*)[3])t.pos,
                   .n = t.n,
                   .segments = &(qw_segment){ .states = &st, .n = t.n },
                   .n_segments = 1,
                   .n_last = QW_ALL_ROWS };
    qw_mtp_forward(s.model.ops, &s.model.text, &s.model.mtp, &scratch, &b, hidden);
    qw_text_logits(s.model.ops, &s.model.text, logits, &scratch.in, t.n);
    compare(&s, "mtp.logits", logits, t.n * s.V);
    qw_free_aligned(block);
    free(hidden), free(logits);
    qw_free_aligned(st.cache);
    qw_timeline_deinit(&t);
    close_subject(&s);
}

/* ---- pictures */

static qw_pixels decode(const char *file)
{
    char path[512], *bytes = NULL;
    size_t n;
    qw_pixels pixels;
    qwren_error err = { 0 };
    snprintf(path, sizeof path, "%s/vision/images/%s", QW_TEST_DATA, file);
    must(qw_file_read(path, (size_t)1 << 24, &bytes, &n, &err), &err);
    qwren_status st = qw_image_decode(&pixels, bytes, n, &(qwren_image_limits){ sizeof(qwren_image_limits), 1 << 24, 1 << 24 }, &err);
    qw_free(bytes);
    if (st == QWREN_E_UNSUPPORTED)
        skip();
    must(st, &err);
    return pixels;
}

static float *rows_of(const qw_model *m, const char *file, qw_grid *grid)
{
    float *rows;
    size_t n;
    qwren_error err = { 0 };
    qw_patch_config c = qw_model_patch_config(m);
    qw_pixels pixels = decode(file), resized;
    must(qw_patch_grid(grid, pixels.width, pixels.height, &c, &err), &err);
    must(qw_image_resize(&resized, &pixels, grid->w * c.patch_size, grid->h * c.patch_size, &err), &err);
    must(qw_vision_forward(m->ops, &m->vision, &c, &resized, *grid, NULL, &rows, &n, &err), &err);
    qw_pixels_free(&pixels);
    qw_pixels_free(&resized);
    return rows;
}

/* The tower's matrices are codes where groups of 32 fit (linear_fc2 has 144 columns and stays), its patch kernel has the colours last. */
static void a_picture(void **state)
{
    (void)state;
    subject s = { 0 };
    qw_timeline t;
    qw_grid grid;
    size_t n;
    const uint64_t hash = 1;
    qwren_error err = { 0 };
    open_subject(&s, "tower");
    assert_int_equal(s.model.vision.blocks[0].qkv.type, QW_TYPE_AFFINE8);
    assert_int_equal(s.model.vision.blocks[0].fc2.type, QW_TYPE_BF16);
    assert_int_equal(s.model.vision.pos.type, QW_TYPE_AFFINE8);
    float *rows = rows_of(&s.model, "palette_200x150.png", &grid);
    const int32_t *ids = golden_i32(s.g, "ids", &n);
    must(qw_timeline_build(&t, &s.model.config, ids, n, &grid, &hash, 1, 0, &err), &err);
    t.spans[0].rows = rows;
    float *logits = floats(t.n * s.V);
    must(qw_session_eval(s.session, &t, 0, t.n, &(qw_eval_options){ .all_logits = logits, .n_hidden = SIZE_MAX }, &err), &err);
    compare(&s, "logits", logits, t.n * s.V);
    free(logits);
    qw_free(rows);
    qw_timeline_deinit(&t);
    close_subject(&s);
}

/* ---- what inspect counts */

static qw_logical logical_named(const qw_model *m, bool bound, const char *name)
{
    for (qw_logical t = { 0 }; qw_logical_next(&t, m->weights, bound ? m->bound : NULL, &m->quant);)
        if (strcmp(t.tensor->name, name) == 0)
            return t;
    fail_msg("no tensor %s", name);
    return (qw_logical){ 0 };
}

static void expect(const qw_logical *t, qw_type type, int group, size_t rows, size_t cols, double bits)
{
    assert_int_equal(t->type, type);
    assert_int_equal(t->group, group);
    assert_int_equal(t->n_dims, 2);
    assert_int_equal(t->shape[0], rows);
    assert_int_equal(t->shape[1], cols);
    assert_int_equal(t->n_weights, rows * cols);
    if (t->bits < bits - 1e-9 || t->bits > bits + 1e-9)
        fail_msg("%s: %g bits per weight, wanted %g", t->tensor->name, t->bits, bits);
}

static void tensors_as_counted(void **state)
{
    (void)state;
    qw_model m;
    open_model(&m, "tiny-b-mixed", QWREN_ARITHMETIC_EXACT);
    for (int bound = 0; bound < 2; bound++) { /* by what config.json says, and by what was bound: the same */
        qw_logical embed = logical_named(&m, bound, "embed_tokens.weight"),
                   down = logical_named(&m, bound, "layers.1.mlp.down_proj.weight"),
                   gate = logical_named(&m, bound, "layers.2.mlp.gate_proj.weight"),
                   a = logical_named(&m, bound, "layers.0.linear_attn.in_proj_a.weight");
        expect(&embed, QW_TYPE_AFFINE8, 64, 512, 256, 8.5);
        expect(&down, QW_TYPE_AFFINE3, 64, 256, 256, 3.5);
        expect(&gate, QW_TYPE_AFFINE2, 32, 256, 256, 3);
        expect(&a, QW_TYPE_BF16, 0, 8, 256, 16);
        assert_string_equal(embed.scales->name, "embed_tokens.scales");
        assert_string_equal(embed.biases->name, "embed_tokens.biases");
        assert_null(a.scales);
        assert_true(bound ? embed.matrix && embed.matrix->rows == 512 && a.matrix : !embed.matrix);
        assert_int_equal(embed.part, QW_PART_TEXT);
    }
    size_t bytes = 0, all = 0;
    for (qw_logical t = { 0 }; qw_logical_next(&t, m.weights, m.bound, &m.quant);)
        bytes += t.n_bytes;
    for (size_t i = 0; i < qw_weights_count(m.weights); i++)
        all += qw_weights_at(m.weights, i)->n_bytes;
    assert_int_equal(bytes, all);
    qw_model_deinit(&m);
}

static void tensors_of_the_draft_head(void **state)
{
    (void)state;
    qw_model m;
    open_model(&m, "tiny-a-6bit", QWREN_ARITHMETIC_EXACT);
    qw_logical fc = logical_named(&m, true, "mtp.fc.weight");
    expect(&fc, QW_TYPE_AFFINE8, 64, 128, 256, 8.5);
    assert_int_equal(fc.part, QW_PART_MTP);
    assert_string_equal(fc.tensor->file, "mtp/model.safetensors");
    assert_string_equal(fc.tensor->file_name, "fc.weight");
    qw_model_deinit(&m);
}

/* ---- opening costs nothing but the list */

static qwren_status open_and_close(void *ctx, qwren_error *err)
{
    qw_model m;
    qwren_status st = qw_model_init(&m, ctx, &(qw_model_params){ .config_only = true }, err);
    if (st == QWREN_OK)
        qw_model_deinit(&m);
    return st;
}

static void memory_may_be_short(void **state)
{
    (void)state;
    char six[512], tower[512];
    snprintf(six, sizeof six, "%s/mlx/tiny-a-6bit", QW_TEST_DATA);
    snprintf(tower, sizeof tower, "%s/mlx/tower", QW_TEST_DATA);
    fault_install();
    assert_true(fault_try_all(open_and_close, six, 1) > 40);
    assert_true(fault_try_all(open_and_close, tower, 1) > 40);
    fault_remove();
}

/* Codes stay in the mapping: what is taken from the heap is less than a quarter of the file. */
static void no_second_copy(void **state)
{
    (void)state;
    char dir[512];
    qw_model m;
    qwren_error err = { 0 };
    snprintf(dir, sizeof dir, "%s/mlx/tiny-b-mixed", QW_TEST_DATA);
    fault_install();
    must(qw_model_init(&m, dir, &(qw_model_params){ .n_threads = 1, .config_only = true }, &err), &err);
    size_t bytes = 0;
    for (size_t i = 0; i < qw_weights_count(m.weights); i++)
        bytes += qw_weights_at(m.weights, i)->n_bytes;
    print_message("%zu bytes of weights, %zu of memory\n", bytes, fault_live_bytes());
    assert_true(fault_live_bytes() < bytes / 4);
    qw_model_deinit(&m);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(six_bits),
        cmocka_unit_test(mixed_bits),
        cmocka_unit_test(every_format),
        cmocka_unit_test(no_codes_at_all),
        cmocka_unit_test(in_eight_bits),
        cmocka_unit_test(draft_head),
        cmocka_unit_test(a_picture),
        cmocka_unit_test(tensors_as_counted),
        cmocka_unit_test(tensors_of_the_draft_head),
        cmocka_unit_test(memory_may_be_short),
        cmocka_unit_test(no_second_copy),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
