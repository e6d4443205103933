/* weights/weights.c with files for MLX: whose form the tensors are in, and the draft head that stands in a folder of its own. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/fault.h"
#include "weights/weights.h"

static char folder[] = "/tmp/qwren-mlx-XXXXXX";

static int make_folder(void **state)
{
    (void)state;
    char path[64];
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/mtp", folder);
    return mkdir(path, 0700);
}

static int remove_folder(void **state)
{
    (void)state;
    static const char *const names[] = { "model.safetensors", "mtp/model.safetensors", "mtp" };
    char path[64];
    for (size_t i = 0; i < 3; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, names[i]);
        remove(path);
    }
    return rmdir(folder);
}

/* A file of tensors of one byte each: "name shape" words, the shape a list of ones such as 1,1,1 except where it says otherwise. */
typedef struct entry {
    const char *name, *shape;
    size_t n_bytes;
} entry;

static void put(const char *file, const entry *entries, size_t n)
{
    char header[2048] = "{", path[64];
    size_t len = 1, at = 0;
    for (size_t i = 0; i < n; i++) {
        len += (size_t)snprintf(header + len, sizeof header - len, "%s\"%s\":{\"dtype\":\"U8\",\"shape\":[%s],\"data_offsets\":[%zu,%zu]}",
                                i ? "," : "", entries[i].name, entries[i].shape, at, at + entries[i].n_bytes);
        at += entries[i].n_bytes;
    }
    header[len++] = '}';
    snprintf(path, sizeof path, "%s/%s", folder, file);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++)
        fputc((int)(len >> 8 * i & 255), f);
    fwrite(header, 1, len, f);
    for (size_t i = 0; i < at; i++)
        fputc((int)i, f);
    assert_int_equal(fclose(f), 0);
}

#define CONV(shape) "language_model.model.layers.0.linear_attn.conv1d.weight", shape, 8
static const entry mlx[] = { { CONV("2,4,1") },
                             { "language_model.lm_head.scales", "1", 1 },
                             { "vision_tower.blocks.0.attn.qkv.weight", "1", 1 } };
static const entry draft[] = { { "fc.weight", "1", 1 }, { "layers.0.mlp.up_proj.scales", "1", 1 }, { "norm.weight", "1", 1 } };

static qw_weights *open_good(void)
{
    qw_weights *w = NULL;
    qwren_error err;
    if (qw_weights_open(&w, folder, &err))
        fail_msg("%s", err.text);
    return w;
}

static void expect_refusal(const char *says)
{
    qw_weights *w;
    qwren_error err = { QWREN_OK, "" };
    if (qw_weights_open(&w, folder, &err) == QWREN_OK || !strstr(err.text, says))
        fail_msg("\"%s\", wanted \"%s\"", err.text, says);
    assert_null(w);
}

/* The convolution decides; where there is none, the names. */
static void test_layouts(void **state)
{
    (void)state;
    static const struct {
        entry e;
        qw_layout layout;
    } rows[] = {
        { { CONV("2,4,1") }, QW_LAYOUT_MLX },
        { { CONV("2,1,4") }, QW_LAYOUT_HF },
        { { "model.layers.0.linear_attn.conv1d.weight", "2,4,1", 8 }, QW_LAYOUT_MLX },
        { { "model.language_model.layers.0.linear_attn.conv1d.weight", "2,1,4", 8 }, QW_LAYOUT_HF },
        { { "language_model.model.norm.weight", "1", 1 }, QW_LAYOUT_MLX },
        { { "vision_tower.pos_embed.weight", "1", 1 }, QW_LAYOUT_MLX },
        { { "model.norm.weight", "1", 1 }, QW_LAYOUT_HF },
        { { "model.other.conv1d.weights", "2,4,1", 8 }, QW_LAYOUT_HF },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        put("model.safetensors", &rows[i].e, 1);
        qw_weights *w = open_good();
        assert_int_equal(qw_weights_layout(w), rows[i].layout);
        qw_weights_close(w);
    }
}

static void test_mixed_files(void **state)
{
    (void)state;
    const entry both[] = { { CONV("2,4,1") }, { "model.layers.1.linear_attn.conv1d.weight", "2,1,4", 8 } };
    put("model.safetensors", both, 2);
    expect_refusal("files of two checkpoints are mixed");
}

static void test_draft_head(void **state)
{
    (void)state;
    put("model.safetensors", mlx, 3);
    put("mtp/model.safetensors", draft, 3);
    qw_weights *w = open_good();
    assert_int_equal(qw_weights_count(w), 6);
    const qw_tensor *fc = qw_weights_find(w, "mtp.fc.weight"), *up = qw_weights_find(w, "mtp.layers.0.mlp.up_proj.scales");
    assert_non_null(fc);
    assert_non_null(up);
    assert_string_equal(fc->file_name, "fc.weight");
    assert_string_equal(fc->file, "mtp/model.safetensors");
    assert_int_equal(*(const uint8_t *)up->data, 1);
    assert_non_null(qw_weights_find(w, "mtp.norm.weight"));
    assert_null(qw_weights_find(w, "norm.weight"));
    assert_non_null(qw_weights_find(w, "visual.blocks.0.attn.qkv.weight"));
    assert_non_null(qw_weights_find(w, "lm_head.scales"));
    qw_weights_close(w);
}

/* Beside the files of Hugging Face, whose mtp.* stands among the others, the folder means nothing. */
static void test_draft_head_elsewhere(void **state)
{
    (void)state;
    const entry hf = { CONV("2,1,4") };
    put("model.safetensors", &hf, 1);
    put("mtp/model.safetensors", draft, 3);
    qw_weights *w = open_good();
    assert_int_equal(qw_weights_count(w), 1);
    qw_weights_close(w);
}

static void test_bad_draft_heads(void **state)
{
    (void)state;
    const entry prefixed = { "mtp.fc.weight", "1", 1 }, twice[] = { { CONV("2,4,1") }, { "mtp.fc.weight", "1", 1 } };
    put("model.safetensors", mlx, 3);
    put("mtp/model.safetensors", &prefixed, 1);
    expect_refusal("mtp/model.safetensors: tensor mtp.fc.weight: a draft head for MLX has names without \"mtp.\"");
    put("mtp/model.safetensors", draft, 3);
    put("model.safetensors", twice, 2);
    expect_refusal("mtp.fc.weight of model.safetensors and fc.weight of mtp/model.safetensors are the same tensor");
}

static qwren_status open_and_close(void *ctx, qwren_error *err)
{
    (void)ctx;
    qw_weights *w;
    qwren_status st = qw_weights_open(&w, folder, err);
    qw_weights_close(w);
    return st;
}

static void test_failing_memory(void **state)
{
    (void)state;
    put("model.safetensors", mlx, 3);
    put("mtp/model.safetensors", draft, 3);
    fault_install();
    assert_true(fault_try_all(open_and_close, NULL, 1) > 20);
    fault_remove();
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(test_layouts),         TEST(test_mixed_files),    TEST(test_draft_head), TEST(test_draft_head_elsewhere),
        TEST(test_bad_draft_heads), TEST(test_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
