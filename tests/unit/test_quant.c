/* quant/: sizes of the formats, every 8-bit and 16-bit float widened exactly, matrices and their rows. The wanted values are computed from the definition of the
 * formats; tests/golden/test_formats.c has those of other programs. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "quant/half.h"
#include "quant/matrix.h"
#include "quant/tensor.h"

static void test_types(void **state)
{
    (void)state;
    static const struct {
        const char *tag;
        qw_type type;
        size_t bytes;
        bool is_float;
    } rows[] = {
        { "F32", QW_TYPE_F32, 4, true },  { "F16", QW_TYPE_F16, 2, true },  { "BF16", QW_TYPE_BF16, 2, true },
        { "F64", QW_TYPE_F64, 8, false }, { "U8", QW_TYPE_U8, 1, false },   { "U32", QW_TYPE_U32, 4, false },
        { "I32", QW_TYPE_I32, 4, false }, { "I64", QW_TYPE_I64, 8, false },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qw_type t = QW_TYPE_OTHER;
        assert_true(qw_type_from_tag(rows[i].tag, &t));
        assert_int_equal(t, rows[i].type);
        assert_string_equal(qw_type_name(t), rows[i].tag);
        assert_int_equal(qw_type_block(t), 1);
        assert_int_equal(qw_type_block_bytes(t), rows[i].bytes);
        assert_int_equal(qw_type_is_float(t), rows[i].is_float);
    }
}

/* Every quantised type: weights and bytes of a block, kind, bits of a code. */
static void test_quantised_types(void **state)
{
    (void)state;
    static const struct {
        qw_type type;
        const char *name;
        size_t block, bytes;
        qw_kind kind;
        int bits;
    } rows[] = {
        { QW_TYPE_Q8_0, "Q8_0", 32, 34, QW_KIND_BLOCK, 0 },       { QW_TYPE_Q4_0, "Q4_0", 32, 18, QW_KIND_BLOCK, 0 },
        { QW_TYPE_Q4_1, "Q4_1", 32, 20, QW_KIND_BLOCK, 0 },       { QW_TYPE_Q5_0, "Q5_0", 32, 22, QW_KIND_BLOCK, 0 },
        { QW_TYPE_Q5_1, "Q5_1", 32, 24, QW_KIND_BLOCK, 0 },       { QW_TYPE_IQ4_NL, "IQ4_NL", 32, 18, QW_KIND_BLOCK, 0 },
        { QW_TYPE_IQ4_XS, "IQ4_XS", 256, 136, QW_KIND_BLOCK, 0 }, { QW_TYPE_Q2_K, "Q2_K", 256, 84, QW_KIND_BLOCK, 0 },
        { QW_TYPE_Q3_K, "Q3_K", 256, 110, QW_KIND_BLOCK, 0 },     { QW_TYPE_Q4_K, "Q4_K", 256, 144, QW_KIND_BLOCK, 0 },
        { QW_TYPE_Q5_K, "Q5_K", 256, 176, QW_KIND_BLOCK, 0 },     { QW_TYPE_Q6_K, "Q6_K", 256, 210, QW_KIND_BLOCK, 0 },
        { QW_TYPE_AFFINE2, "AFFINE2", 32, 8, QW_KIND_GROUP, 2 },  { QW_TYPE_AFFINE3, "AFFINE3", 32, 12, QW_KIND_GROUP, 3 },
        { QW_TYPE_AFFINE4, "AFFINE4", 32, 16, QW_KIND_GROUP, 4 }, { QW_TYPE_AFFINE5, "AFFINE5", 32, 20, QW_KIND_GROUP, 5 },
        { QW_TYPE_AFFINE6, "AFFINE6", 32, 24, QW_KIND_GROUP, 6 }, { QW_TYPE_AFFINE8, "AFFINE8", 32, 32, QW_KIND_GROUP, 8 },
        { QW_TYPE_MXFP4, "MXFP4", 32, 16, QW_KIND_GROUP, 4 },     { QW_TYPE_NVFP4, "NVFP4", 16, 8, QW_KIND_GROUP, 4 },
        { QW_TYPE_MXFP8, "MXFP8", 32, 32, QW_KIND_GROUP, 8 },
    };
    size_t quantised = 0;
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++)
        quantised += qw_type_is_weight(t) && !qw_type_is_float(t);
    assert_int_equal(quantised, sizeof rows / sizeof rows[0]);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const qw_type t = rows[i].type;
        assert_string_equal(qw_type_name(t), rows[i].name);
        assert_int_equal(qw_type_block(t), rows[i].block);
        assert_int_equal(qw_type_block_bytes(t), rows[i].bytes);
        assert_int_equal(qw_type_kind(t), rows[i].kind);
        assert_int_equal(qw_type_bits(t), rows[i].bits);
        assert_true(qw_type_is_weight(t) && !qw_type_is_float(t));
    }
}

/* Widths and their types, both ways; other widths have none. */
static void test_affine_widths(void **state)
{
    (void)state;
    int found = 0;
    for (int bits = -1; bits < 40; bits++) {
        const qw_type t = qw_type_affine(bits);
        const bool known = (bits >= 2 && bits <= 6) || bits == 8;
        assert_int_equal(t != QW_TYPE_OTHER, known);
        if (known) {
            found++;
            assert_int_equal(qw_type_bits(t), bits);
            assert_true(qw_type_is_affine(t));
        }
    }
    assert_int_equal(found, 6);
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++)
        assert_int_equal(qw_type_is_affine(t), t >= QW_TYPE_AFFINE2 && t <= QW_TYPE_AFFINE8);
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++)
        assert_true(qw_type_kind(t) == QW_KIND_GROUP || qw_type_bits(t) == 0);
}

static void test_unknown_types(void **state)
{
    (void)state;
    static const char *const tags[] = { "", "f32", "F3", "F322", "F8_E4M3", "BOOL", "other" };
    for (size_t i = 0; i < sizeof tags / sizeof tags[0]; i++) {
        qw_type t = QW_TYPE_I64;
        assert_false(qw_type_from_tag(tags[i], &t));
        assert_int_equal(t, QW_TYPE_I64);
    }
    assert_string_equal(qw_type_name(QW_TYPE_OTHER), "other");
    assert_false(qw_type_is_float(QW_TYPE_OTHER));
}

/* A float with `exponent_bits` and `fraction_bits` by its definition. */
static double value_of(uint32_t bits, int exponent_bits, int fraction_bits)
{
    int bias = (1 << (exponent_bits - 1)) - 1, all_ones = (1 << exponent_bits) - 1;
    int exponent = (int)(bits >> fraction_bits) & all_ones;
    double fraction = ldexp((double)(bits & ((1u << fraction_bits) - 1)), -fraction_bits), x;
    if (exponent == all_ones)
        x = fraction > 0 ? (double)NAN : (double)INFINITY;
    else
        x = exponent ? ldexp(1 + fraction, exponent - bias) : ldexp(fraction, 1 - bias);
    return bits >> (exponent_bits + fraction_bits) ? -x : x;
}

static void expect_exact(uint32_t bits, float got, double want)
{
    if (isnan(want) ? !isnan(got) : (double)got != want)
        fail_msg("0x%04x gives %.9g, wanted %.9g", bits, (double)got, want);
    assert_int_equal(signbit(got) != 0, bits >> 15);
}

static void test_all_halves(void **state)
{
    (void)state;
    for (uint32_t bits = 0; bits < 65536; bits++) {
        expect_exact(bits, qw_f16_to_f32((uint16_t)bits), value_of(bits, 5, 10));
        expect_exact(bits, qw_bf16_to_f32((uint16_t)bits), value_of(bits, 8, 7));
    }
}

/* NaN keeps its payload: a file's bits can be told apart later. */
static void test_nan_payload(void **state)
{
    (void)state;
    float x = qw_f16_to_f32(0xFE01);
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    assert_int_equal(bits, 0xFFC02000u);
    x = qw_bf16_to_f32(0x7FC1);
    memcpy(&bits, &x, sizeof bits);
    assert_int_equal(bits, 0x7FC10000u);
}

/* Every pattern, from even and odd addresses, in one tensor. */
static void test_widen_unaligned(void **state)
{
    (void)state;
    static unsigned char bytes[2 * 65536 + 1];
    static float out[65536];
    for (size_t shift = 0; shift < 2; shift++) {
        for (uint32_t i = 0; i < 65536; i++)
            memcpy(bytes + shift + 2 * i, &(uint16_t){ (uint16_t)i }, 2);
        qw_tensor t = { .type = QW_TYPE_F16, .n_dims = 2, .shape = { 256, 256 }, .data = bytes + shift, .n_bytes = 2 * 65536 };
        qw_tensor_to_f32(&t, out);
        for (uint32_t i = 0; i < 65536; i++)
            expect_exact(i, out[i], value_of(i, 5, 10));
        t.type = QW_TYPE_BF16;
        qw_tensor_to_f32(&t, out);
        for (uint32_t i = 0; i < 65536; i++)
            expect_exact(i, out[i], value_of(i, 8, 7));
    }
}

static uint16_t narrow(qw_type type, float x)
{
    unsigned char bytes[3] = { 0 };
    uint16_t out;
    qw_narrow(type, &x, 1, bytes + 1);
    memcpy(&out, bytes + 1, sizeof out);
    return out;
}

/* Every value comes back; between two neighbours the middle goes to the even one, and a hair beside it to the nearer. */
static void test_narrow(void **state)
{
    (void)state;
    static const struct {
        qw_type type;
        uint16_t largest, sign;
    } rows[] = { { QW_TYPE_F16, 0x7BFF, 0x8000 }, { QW_TYPE_BF16, 0x7F7F, 0x8000 } };
    for (size_t k = 0; k < 2; k++)
        for (uint32_t h = 0; h <= rows[k].largest; h++) {
            qw_type t = rows[k].type;
            uint16_t low = (uint16_t)h, high = (uint16_t)(h + 1), even = (uint16_t)(h + (h & 1));
            float x, y, middle;
            qw_widen(t, &low, 1, &x);
            qw_widen(t, &high, 1, &y);
            if (h == rows[k].largest)
                y = t == QW_TYPE_F16 ? 65536.0f : INFINITY;
            middle = x + (y - x) / 2;
            assert_int_equal(narrow(t, x), low);
            assert_int_equal(narrow(t, -x), low | rows[k].sign);
            if (isinf(middle))
                continue;
            assert_int_equal(narrow(t, middle), even);
            assert_int_equal(narrow(t, nextafterf(middle, 0)), low);
            assert_int_equal(narrow(t, -nextafterf(middle, INFINITY)), high | rows[k].sign);
        }
    assert_int_equal(narrow(QW_TYPE_F16, INFINITY), 0x7C00);
    assert_int_equal(narrow(QW_TYPE_F16, -1e30f), 0xFC00);
    assert_int_equal(narrow(QW_TYPE_BF16, -INFINITY), 0xFF80);
    assert_int_equal(narrow(QW_TYPE_BF16, 3.4e38f), 0x7F80);
    float back;
    uint16_t nan = narrow(QW_TYPE_F16, NAN);
    qw_widen(QW_TYPE_F16, &nan, 1, &back);
    assert_true(isnan(back));
    nan = narrow(QW_TYPE_BF16, -NAN);
    qw_widen(QW_TYPE_BF16, &nan, 1, &back);
    assert_true(isnan(back));
    float f32 = 0;
    const float exact = 0.1f;
    qw_narrow(QW_TYPE_F32, &exact, 1, &f32);
    assert_true(f32 == exact);
    qw_narrow(QW_TYPE_BF16, NULL, 0, NULL);
}

static void test_widen_f32_and_nothing(void **state)
{
    (void)state;
    static const float values[3] = { -0.0f, 1e-42f, 3.5f };
    unsigned char bytes[sizeof values + 3];
    float out[4] = { 9, 9, 9, 9 };
    memcpy(bytes + 3, values, sizeof values);
    qw_widen(QW_TYPE_F32, bytes + 3, 3, out);
    assert_memory_equal(out, values, sizeof values);
    assert_true(out[3] == 9);
    qw_widen(QW_TYPE_F32, NULL, 0, out);
    qw_widen(QW_TYPE_BF16, NULL, 0, out);
    assert_memory_equal(out, values, sizeof values);
}

static void test_shapes(void **state)
{
    (void)state;
    char text[QW_SHAPE_TEXT_BYTES], small[8];
    const size_t largest[] = { SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX, SIZE_MAX };
    qw_tensor t = { .n_dims = 0 };
    assert_int_equal(qw_tensor_elements(&t), 1);
    assert_string_equal(qw_shape_text(text, sizeof text, 0, t.shape), "[]");
    t = (qw_tensor){ .n_dims = 3, .shape = { 2, 1, 300 } };
    assert_int_equal(qw_tensor_elements(&t), 600);
    assert_string_equal(qw_shape_text(text, sizeof text, 3, t.shape), "[2, 1, 300]");
    assert_string_equal(qw_shape_text(small, sizeof small, 3, t.shape), "[2, 1, ");
    t.shape[1] = 0;
    assert_int_equal(qw_tensor_elements(&t), 0);
    qw_shape_text(text, sizeof text, QW_MAX_DIMS, largest);
    assert_int_equal(text[strlen(text) - 1], ']');
}

/* ---- matrices */

/* 1 sign, 4 exponent (bias 7), 3 fraction bits; the last code of each sign is NaN. */
static double e4m3(unsigned code)
{
    const int exponent = (int)(code >> 3 & 15);
    const double fraction = (code & 7) / 8.0, x = exponent ? ldexp(1 + fraction, exponent - 7) : ldexp(fraction, -6);
    if ((code & 127) == 127)
        return (double)NAN;
    return code & 128 ? -x : x;
}

static void expect_number(const char *what, unsigned code, float got, double want)
{
    if (isnan(want) ? !isnan(got) : (double)got != want || !signbit(got) != !signbit(want))
        fail_msg("%s 0x%02x gives %.9g, wanted %.9g", what, code, (double)got, want);
}

/* Every code of MXFP8 under a scale of 1, every scale of MXFP8 and NVFP4 over a code of 1. */
static void test_all_small_floats(void **state)
{
    (void)state;
    static uint8_t codes[256], scales[256], ones[256 * 32];
    float out[256];
    for (unsigned i = 0; i < 256; i++)
        codes[i] = scales[i] = (uint8_t)i;
    memset(ones, 127, 8);
    const qw_matrix all_codes = {
        .type = QW_TYPE_MXFP8, .rows = 1, .cols = 256, .data = codes, .scales = ones, .scale_type = QW_TYPE_U8, .group = 32
    };
    qw_matrix_decode(&all_codes, 0, 0, 256, out);
    for (unsigned i = 0; i < 256; i++)
        expect_number("code", i, out[i], e4m3(i));
    memset(ones, 0x38, sizeof ones); /* 1 in E4M3 */
    qw_matrix all_scales = {
        .type = QW_TYPE_MXFP8, .rows = 256, .cols = 32, .data = ones, .scales = scales, .scale_type = QW_TYPE_U8, .group = 32
    };
    for (unsigned i = 0; i < 256; i++) {
        qw_matrix_decode(&all_scales, i, 0, 32, out);
        expect_number("power of two", i, out[31], i == 255 ? (double)NAN : ldexp(1, (int)i - 127));
    }
    memset(ones, 0x22, sizeof ones); /* 1 in E2M1 */
    all_scales = (qw_matrix){
        .type = QW_TYPE_NVFP4, .rows = 256, .cols = 16, .data = ones, .scales = scales, .scale_type = QW_TYPE_U8, .group = 16
    };
    for (unsigned i = 0; i < 256; i++) {
        qw_matrix_decode(&all_scales, i, 0, 16, out);
        expect_number("scale", i, out[15], e4m3(i));
    }
}

/* Bytes of a matrix by kind: codes, and for MLX's groups the scales and biases. */
static void test_matrix_bytes(void **state)
{
    (void)state;
    static const char b[1];
    const qw_matrix bf16 = { .type = QW_TYPE_BF16, .rows = 3, .cols = 7 };
    const qw_matrix q6_k = { .type = QW_TYPE_Q6_K, .rows = 3, .cols = 512 };
    qw_matrix affine6 = {
        .type = QW_TYPE_AFFINE6, .rows = 3, .cols = 512, .scales = b, .biases = b, .scale_type = QW_TYPE_BF16, .group = 64
    };
    const qw_matrix nvfp4 = { .type = QW_TYPE_NVFP4, .rows = 3, .cols = 512, .scales = b, .scale_type = QW_TYPE_U8, .group = 16 };
    assert_int_equal(qw_matrix_bytes(&bf16), 3 * 14);
    assert_int_equal(qw_matrix_bytes(&q6_k), 3 * 420);
    assert_int_equal(qw_matrix_bytes(&affine6), 3 * (512 * 6 / 8 + 8 * 4));
    affine6.scale_type = QW_TYPE_F32;
    affine6.group = 128;
    assert_int_equal(qw_matrix_bytes(&affine6), 3 * (512 * 6 / 8 + 4 * 8));
    assert_int_equal(qw_matrix_bytes(&nvfp4), 3 * (256 + 32));
}

/* Rows cut out of a matrix decode to the same values, and their bytes are that part of the whole. */
static void test_matrix_rows(void **state)
{
    (void)state;
    enum { ROWS = 5, COLS = 256 };
    uint8_t data[ROWS * COLS * 4], scales[ROWS * COLS / 16 * 4], biases[ROWS * COLS / 16 * 4];
    uint32_t seed = 1;
    for (size_t i = 0; i < sizeof data; i++)
        data[i] = (uint8_t)((seed = seed * 1664525 + 1013904223) >> 24);
    for (size_t i = 0; i < sizeof scales; i++) {
        scales[i] = (uint8_t)(1 + i % 100);
        biases[i] = (uint8_t)(2 + i % 100);
    }
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++) {
        if (!qw_type_is_weight(t))
            continue;
        qw_matrix w = { .type = t, .rows = ROWS, .cols = COLS, .data = data };
        if (qw_type_kind(t) == QW_KIND_GROUP) {
            w.group = t == QW_TYPE_NVFP4 ? 16 : 32;
            w.scales = scales;
            w.biases = qw_type_is_affine(t) ? biases : NULL;
            w.scale_type = qw_type_is_affine(t) ? QW_TYPE_BF16 : QW_TYPE_U8;
        }
        const qw_matrix part = qw_matrix_rows(&w, 2, 3);
        assert_int_equal(part.rows, 3);
        assert_int_equal(qw_matrix_bytes(&part) * ROWS, qw_matrix_bytes(&w) * 3);
        for (size_t r = 0; r < 3; r++) {
            float got[COLS], want[COLS];
            qw_matrix_decode(&part, r, 0, COLS, got);
            qw_matrix_decode(&w, 2 + r, 0, COLS, want);
            assert_memory_equal(got, want, sizeof got);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),         cmocka_unit_test(test_unknown_types),    cmocka_unit_test(test_all_halves),
        cmocka_unit_test(test_nan_payload),   cmocka_unit_test(test_widen_unaligned),  cmocka_unit_test(test_widen_f32_and_nothing),
        cmocka_unit_test(test_narrow),        cmocka_unit_test(test_shapes),           cmocka_unit_test(test_quantised_types),
        cmocka_unit_test(test_affine_widths), cmocka_unit_test(test_all_small_floats), cmocka_unit_test(test_matrix_bytes),
        cmocka_unit_test(test_matrix_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
