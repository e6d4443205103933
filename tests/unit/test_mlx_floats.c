/* convert/floats.c: norms, convolutions and the patch kernel as MLX's loaders want them. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "convert/floats.h"

static void narrow_norm(const char *name, uint16_t want)
{
    static const uint16_t w[2] = { 0x3B80, 0xBF80 }; /* 2^-8 (a half of bf16's last place at 1), -1 */
    qw_tensor t = { .name = name, .type = QW_TYPE_BF16, .n_dims = 1, .shape = { 2 }, .data = w, .n_bytes = 4 };
    uint16_t out[2];
    float buf[2];
    qw_mlx_floats(&t, QW_TYPE_BF16, 0, 2, buf, out);
    assert_int_equal(out[0], want);
    assert_int_equal(out[1], want == 0x3B80 ? 0xBF80 : 0x0000);
}

static void norms_grow_by_one(void **state)
{
    (void)state;
    static const char *const shifted[] = { "norm.weight",
                                           "layers.0.input_layernorm.weight",
                                           "layers.11.post_attention_layernorm.weight",
                                           "layers.3.self_attn.q_norm.weight",
                                           "layers.3.self_attn.k_norm.weight",
                                           "mtp.norm.weight",
                                           "mtp.pre_fc_norm_embedding.weight",
                                           "mtp.pre_fc_norm_hidden.weight",
                                           "mtp.layers.0.input_layernorm.weight",
                                           "mtp.layers.0.self_attn.k_norm.weight" };
    static const char *const kept[] = { "layers.0.linear_attn.norm.weight", "visual.merger.norm.weight", "visual.blocks.0.norm1.weight",
                                        "layers.0.linear_attn.dt_bias" };
    for (size_t i = 0; i < sizeof shifted / sizeof *shifted; i++)
        narrow_norm(shifted[i], 0x3F80); /* 1 + 2^-8 lies in the middle and goes to the even 1 */
    for (size_t i = 0; i < sizeof kept / sizeof *kept; i++)
        narrow_norm(kept[i], 0x3B80);
}

/* Rounded to the file's type first, then cast. */
static void a_norm_is_cast_after_the_sum(void **state)
{
    (void)state;
    static const uint16_t w[1] = { 0x3B80 };
    static const float f[1] = { 0x1p-8f };
    qw_tensor t = { .name = "norm.weight", .type = QW_TYPE_BF16, .n_dims = 1, .shape = { 1 }, .data = w, .n_bytes = 2 };
    float out, buf;
    uint16_t half;
    qw_mlx_floats(&t, QW_TYPE_F32, 0, 1, &buf, &out);
    assert_true(out == 1.0f);
    t.type = QW_TYPE_F32;
    t.data = f;
    qw_mlx_floats(&t, QW_TYPE_F32, 0, 1, &buf, &out);
    assert_true(out == 1.0f + 0x1p-8f);
    qw_mlx_floats(&t, QW_TYPE_F16, 0, 1, &buf, &half);
    assert_int_equal(half, 0x3C04);
}

static void a_convolution_is_turned(void **state)
{
    (void)state;
    static const float w[8] = { 1, 2, 3, 4, 5, 6, 7, 8 };
    qw_tensor t = {
        .name = "layers.0.linear_attn.conv1d.weight", .type = QW_TYPE_F32, .n_dims = 3, .shape = { 2, 1, 4 }, .data = w, .n_bytes = 32
    };
    size_t shape[QW_MAX_DIMS];
    float out[3], buf[3];
    qw_mlx_shape(&t, shape);
    assert_int_equal(shape[0], 2);
    assert_int_equal(shape[1], 4);
    assert_int_equal(shape[2], 1);
    qw_mlx_floats(&t, QW_TYPE_F32, 3, 3, buf, out);
    for (size_t i = 0; i < 3; i++)
        assert_true(out[i] == w[3 + i]);
}

/* out[d][t][y][x][c] = in[d][c][t][y][x], in pieces of any size. */
static void the_patch_kernel_has_its_colours_last(void **state)
{
    (void)state;
    enum { D = 2, C = 3, T = 2, Y = 2, X = 4, N = D * C * T * Y * X };
    static float w[D][C][T][Y][X], out[D][T][Y][X][C], buf[N];
    for (size_t i = 0; i < N; i++)
        ((float *)w)[i] = (float)i;
    qw_tensor t = { .name = "visual.patch_embed.proj.weight",
                    .type = QW_TYPE_F32,
                    .n_dims = 5,
                    .shape = { D, C, T, Y, X },
                    .data = w,
                    .n_bytes = sizeof w };
    size_t shape[QW_MAX_DIMS], want[QW_MAX_DIMS] = { D, T, Y, X, C };
    qw_mlx_shape(&t, shape);
    assert_memory_equal(shape, want, sizeof want);
    for (size_t piece = 1; piece < 12; piece++) {
        memset(out, 0xFF, sizeof out);
        for (size_t at = 0; at < N; at += piece)
            qw_mlx_floats(&t, QW_TYPE_F32, at, N - at < piece ? N - at : piece, buf, (float *)out + at);
        for (size_t d = 0; d < D; d++)
            for (size_t c = 0; c < C; c++)
                for (size_t k = 0; k < T; k++)
                    for (size_t y = 0; y < Y; y++)
                        for (size_t x = 0; x < X; x++)
                            assert_true(out[d][k][y][x][c] == w[d][c][k][y][x]);
    }
}

static void nothing_is_nothing(void **state)
{
    (void)state;
    qw_tensor t = { .name = "layers.0.linear_attn.A_log", .type = QW_TYPE_F32, .n_dims = 1 };
    qw_mlx_floats(&t, QW_TYPE_BF16, 0, 0, NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(norms_grow_by_one),       cmocka_unit_test(a_norm_is_cast_after_the_sum),
        cmocka_unit_test(a_convolution_is_turned), cmocka_unit_test(the_patch_kernel_has_its_colours_last),
        cmocka_unit_test(nothing_is_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
