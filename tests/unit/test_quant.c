/* quant/: sizes of the formats, and every 16-bit float widened exactly. The wanted values are computed from the definition of the formats. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "quant/half.h"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_types),       cmocka_unit_test(test_unknown_types),   cmocka_unit_test(test_all_halves),
        cmocka_unit_test(test_nan_payload), cmocka_unit_test(test_widen_unaligned), cmocka_unit_test(test_widen_f32_and_nothing),
        cmocka_unit_test(test_narrow),      cmocka_unit_test(test_shapes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
