/* Every quantised format against blocks that MLX and llama.cpp made and the values these stand for (tests/oracle/make_formats.py): equal to the bit, from any
 * place of a row, from any address. */
#include "support/golden.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "quant/matrix.h"

/* A copy of a tensor's bytes that begins one byte off any alignment, in a piece of exactly its size: a sanitizer sees whoever reads beyond it. */
static char *unaligned(qw_golden *g, const char *name, size_t *n)
{
    const unsigned char *bytes = golden_bytes(g, name, n);
    char *copy = malloc(*n + 1);
    assert_non_null(copy);
    memcpy(copy + 1, bytes, *n);
    return copy + 1;
}

static void drop(char *copy)
{
    if (copy)
        free(copy - 1);
}

static void same(const char *what, const qw_matrix *w, size_t row, size_t col, size_t n, const float *want)
{
    float *got = malloc(n * sizeof *got);
    assert_non_null(got);
    qw_matrix_decode(w, row, col, n, got);
    for (size_t i = 0; i < n; i++)
        if (memcmp(got + i, want + i, sizeof *got) != 0)
            fail_msg("%s: row %zu, columns %zu + %zu: value %zu is %.9g, wanted %.9g", what, row, col, n, i, (double)got[i],
                     (double)want[i]);
    free(got);
}

/* Every row from every column to every column, in steps of the block. */
static void everywhere(const char *what, const qw_matrix *w, const float *want)
{
    const size_t block = qw_type_block(w->type);
    for (size_t row = 0; row < w->rows; row++)
        for (size_t col = 0; col < w->cols; col += block)
            for (size_t n = block; col + n <= w->cols; n += block)
                same(what, w, row, col, n, want + row * w->cols + col);
}

/* ---- GGUF */

static void every_block_type(void **state)
{
    (void)state;
    qw_golden *g = golden_open("quant/gguf_blocks.safetensors");
    size_t tried = 0;
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++) {
        char name[64];
        size_t n_bytes, n;
        if (qw_type_kind(t) != QW_KIND_BLOCK)
            continue;
        snprintf(name, sizeof name, "%s.raw", qw_type_name(t));
        char *raw = unaligned(g, name, &n_bytes);
        snprintf(name, sizeof name, "%s.value", qw_type_name(t));
        const float *want = golden_f32(g, name, &n);
        assert_int_equal(n_bytes, n / qw_type_block(t) * qw_type_block_bytes(t));
        qw_matrix w = { .type = t, .rows = 4, .cols = n / 4, .data = raw };
        everywhere(qw_type_name(t), &w, want);
        if (qw_type_block(t) == 32) { /* the same blocks as rows of seven: 224 columns */
            w.cols = 224;
            w.rows = n / w.cols;
            everywhere(qw_type_name(t), &w, want);
        }
        drop(raw);
        tried++;
    }
    assert_int_equal(tried, 12);
    golden_close(g);
}

/* F16 and BF16 stand in the same file: what a GGUF calls by these names is what safetensors call so. */
static void float_types(void **state)
{
    (void)state;
    qw_golden *g = golden_open("quant/gguf_blocks.safetensors");
    size_t n_bytes;
    for (int half = 0; half < 2; half++) {
        char *raw = unaligned(g, half ? "F16.raw" : "BF16.raw", &n_bytes);
        const qw_matrix w = { .type = half ? QW_TYPE_F16 : QW_TYPE_BF16, .rows = 4, .cols = 512, .data = raw };
        const float *want = golden_f32(g, half ? "F16.value" : "BF16.value", NULL);
        for (size_t row = 0; row < 4; row++)
            same(half ? "F16" : "BF16", &w, row, 0, 512, want + row * 512);
        drop(raw);
    }
    golden_close(g);
}

/* ---- MLX */

static const char *part(char *name, size_t size, const char *prefix, const char *suffix)
{
    snprintf(name, size, "%s.%s", prefix, suffix);
    return name;
}

static void one_group_type(qw_golden *g, const char *prefix, qw_type type, int group, bool biases)
{
    char name[64];
    size_t n_codes, n_scales, n_biases = 0;
    char *codes = unaligned(g, part(name, sizeof name, prefix, "weight"), &n_codes);
    char *scales = unaligned(g, part(name, sizeof name, prefix, "scales"), &n_scales);
    char *bias = biases ? unaligned(g, part(name, sizeof name, prefix, "biases"), &n_biases) : NULL;
    const qw_matrix w = { .type = type,
                          .rows = 6,
                          .cols = 256,
                          .data = codes,
                          .scales = scales,
                          .biases = bias,
                          .scale_type = biases ? QW_TYPE_BF16 : QW_TYPE_U8,
                          .group = group };
    assert_int_equal(qw_matrix_bytes(&w), n_codes + n_scales + n_biases);
    everywhere(prefix, &w, golden_f32(g, part(name, sizeof name, prefix, "value"), NULL));
    drop(codes), drop(scales), drop(bias);
}

static void every_affine_width_and_group(void **state)
{
    (void)state;
    qw_golden *g = golden_open("quant/mlx_quant.safetensors");
    for (qw_type t = QW_TYPE_AFFINE2; t <= QW_TYPE_AFFINE8; t++)
        for (int group = 32; group <= 128; group *= 2) {
            char prefix[32];
            snprintf(prefix, sizeof prefix, "affine.b%d.g%d", qw_type_bits(t), group);
            one_group_type(g, prefix, t, group, true);
        }
    golden_close(g);
}

static void every_float_mode(void **state)
{
    (void)state;
    qw_golden *g = golden_open("quant/mlx_quant.safetensors");
    one_group_type(g, "mxfp4", QW_TYPE_MXFP4, 32, false);
    one_group_type(g, "nvfp4", QW_TYPE_NVFP4, 16, false);
    one_group_type(g, "mxfp8", QW_TYPE_MXFP8, 32, false);
    golden_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_type),
        cmocka_unit_test(float_types),
        cmocka_unit_test(every_affine_width_and_group),
        cmocka_unit_test(every_float_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
