/* model/groups.c: which matrices of codes are taken, and what is said about the others. model/logical.c: codes, scales and biases counted as one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "model/groups.h"

/* A matrix of 4 rows; the numbers of words and scales in a row vary. */
typedef struct parts {
    qw_tensor weight, scales, biases;
} parts;

static qw_tensor tensor(const char *name, qw_type type, size_t rows, size_t cols)
{
    return (qw_tensor){ .name = name,
                        .file_name = name,
                        .file = "m.safetensors",
                        .dtype = qw_type_name(type),
                        .type = type,
                        .n_dims = 2,
                        .shape = { rows, cols } };
}

static parts make(qw_type scale_type, size_t words, size_t groups)
{
    return (parts){ tensor("x.weight", QW_TYPE_U32, 4, words), tensor("x.scales", scale_type, 4, groups),
                    tensor("x.biases", scale_type, 4, groups) };
}

static qwren_status take(qw_matrix *m, const parts *p, bool biases, size_t cols, const qw_quant_setting *said, qwren_error *err)
{
    const qw_group_parts g = { &p->weight, &p->scales, biases ? &p->biases : NULL };
    const qw_quant_setting nothing = { 0 };
    return qw_group_matrix(m, &g, 4, cols, said ? said : &nothing, err);
}

/* Every width in every group, scales of every type: found from shapes alone. */
static void test_affine(void **state)
{
    (void)state;
    static const size_t bits[] = { 2, 3, 4, 5, 6, 8 }, groups[] = { 32, 64, 128 };
    static const qw_type types[] = { QW_TYPE_F32, QW_TYPE_F16, QW_TYPE_BF16 };
    for (size_t i = 0; i < 6 * 3 * 3; i++) {
        const size_t b = bits[i % 6], g = groups[i / 6 % 3], cols = 384;
        const qw_type type = types[i / 18];
        const parts p = make(type, cols * b / 32, cols / g);
        qw_matrix m;
        qwren_error err = { 0 };
        if (take(&m, &p, true, cols, NULL, &err))
            fail_msg("%s", err.text);
        assert_int_equal(qw_type_bits(m.type), b);
        assert_true(qw_type_is_affine(m.type));
        assert_int_equal(m.group, g);
        assert_int_equal(m.scale_type, type);
        assert_int_equal(m.rows, 4);
        assert_int_equal(m.cols, cols);
    }
}

static void test_float_modes(void **state)
{
    (void)state;
    static const struct {
        size_t bits, group;
        qw_type type;
    } rows[] = { { 4, 32, QW_TYPE_MXFP4 }, { 4, 16, QW_TYPE_NVFP4 }, { 8, 32, QW_TYPE_MXFP8 } };
    for (size_t i = 0; i < 3; i++) {
        const parts p = make(QW_TYPE_U8, 256 * rows[i].bits / 32, 256 / rows[i].group);
        qw_matrix m;
        qwren_error err = { 0 };
        assert_int_equal(take(&m, &p, false, 256, NULL, &err), QWREN_OK);
        assert_int_equal(m.type, rows[i].type);
        assert_int_equal(m.group, rows[i].group);
        assert_null(m.biases);
    }
}

static void expect_refusal(const parts *p, bool biases, size_t cols, const qw_quant_setting *said, qwren_status want, const char *says)
{
    qw_matrix m;
    qwren_error err = { 0 };
    qwren_status st = take(&m, p, biases, cols, said, &err);
    if (st != want || !strstr(err.text, says) || !strstr(err.text, "m.safetensors: tensor x."))
        fail_msg("%s \"%s\", wanted %s \"%s\"", qwren_status_name(st), err.text, qwren_status_name(want), says);
}

/* 256 columns of 6 bits in groups of 64: 48 words, 4 scales. One thing is wrong each time. */
static void test_wrong_parts(void **state)
{
    (void)state;
    const parts good = make(QW_TYPE_BF16, 48, 4);
    parts p = good;
    p.weight.type = QW_TYPE_BF16, p.weight.dtype = "BF16";
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "x.weight is BF16 [4, 48]; codes with scales are U32 words in 4 rows");
    p = good, p.weight.shape[0] = 5;
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "x.weight is U32 [5, 48]");
    p = good, p.weight.shape[1] = 0;
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "x.weight is U32 [4, 0]");
    p = good, p.weight.n_dims = 1;
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "x.weight is U32 [4]");
    p = good, p.scales.shape[0] = 3;
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "x.scales is BF16 [3, 4]; scales are F32, F16, BF16 or U8 in 4 rows");
    p = good, p.scales.shape[1] = 0;
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "x.scales is BF16 [4, 0]");
    p = good, p.scales.n_dims = 0;
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "x.scales is BF16 []");
    p = good, p.scales.type = QW_TYPE_I64, p.scales.dtype = "I64";
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "x.scales is I64");
    p = good, p.biases.shape[1] = 2;
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "x.biases is BF16 [4, 2]; biases have the type and the shape of the scales");
    p = good, p.biases.type = QW_TYPE_F32, p.biases.dtype = "F32";
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "x.biases is F32");
    expect_refusal(&good, false, 256, NULL, QWREN_E_FORMAT, "affine codes have biases beside their scales, and these have none");
    p = make(QW_TYPE_U8, 32, 8);
    expect_refusal(&p, true, 256, NULL, QWREN_E_FORMAT, "codes with scales of one byte have no biases");
}

static void test_widths_that_do_not_exist(void **state)
{
    (void)state;
    static const struct {
        size_t words, groups, cols;
        qw_type type;
        qwren_status status;
        const char *says;
    } rows[] = {
        { 56, 4, 256, QW_TYPE_BF16, QWREN_E_UNSUPPORTED,
          "has 7 bits in groups of 64, with scales of type BF16; supported are 2, 3, 4, 5, 6 and 8" },
        { 8, 4, 256, QW_TYPE_BF16, QWREN_E_UNSUPPORTED, "has 1 bits" },
        { 256, 4, 256, QW_TYPE_BF16, QWREN_E_UNSUPPORTED, "has 32 bits" },
        { 36, 4, 192, QW_TYPE_BF16, QWREN_E_UNSUPPORTED, "has 6 bits in groups of 48" },
        { 48, 1, 256, QW_TYPE_BF16, QWREN_E_UNSUPPORTED, "in groups of 256" },
        { 48, 3, 256, QW_TYPE_BF16, QWREN_E_FORMAT, "has 48 words and 3 scales in a row: no width of codes makes 256 columns" },
        { 47, 4, 256, QW_TYPE_BF16, QWREN_E_FORMAT, "has 47 words" },
        { 1000000, 4, 256, QW_TYPE_BF16, QWREN_E_FORMAT, "has 1000000 words" },
        { 1, 4, 256, QW_TYPE_BF16, QWREN_E_FORMAT, "has 1 words" },
        { (size_t)1 << 60, 4, (size_t)1 << 60, QW_TYPE_BF16, QWREN_E_FORMAT, "words" },
        { 48, 8, 256, QW_TYPE_U8, QWREN_E_UNSUPPORTED, "has 6 bits in groups of 32, with scales of type U8" },
        { 32, 4, 256, QW_TYPE_U8, QWREN_E_UNSUPPORTED, "has 4 bits in groups of 64, with scales of type U8" },
        { 64, 16, 256, QW_TYPE_U8, QWREN_E_UNSUPPORTED, "has 8 bits in groups of 16" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const parts p = make(rows[i].type, rows[i].words, rows[i].groups);
        expect_refusal(&p, rows[i].type != QW_TYPE_U8, rows[i].cols, NULL, rows[i].status, rows[i].says);
    }
}

/* What config.json says must be so, as far as it says something. */
static void test_against_config(void **state)
{
    (void)state;
    const qw_type affine = QW_TYPE_OTHER;
    const qw_quant_setting good[] = {
        { true, false, 6, 64, affine }, { true, false, 6, 0, affine }, { true, false, 0, 64, affine }, { true, false, 0, 0, affine }
    };
    const struct {
        qw_quant_setting said;
        const char *says;
    } bad[] = {
        { { true, false, 8, 64, affine }, "has 6 bits in groups of 64 by its shape, but config.json says 8 bits in groups of 64" },
        { { true, false, 6, 32, affine }, "says 6 bits in groups of 32" },
        { { true, false, 4, 32, QW_TYPE_MXFP4 }, "says mxfp4" },
        { { true, true, 0, 0, affine }, "says no codes" },
    };
    const parts p = make(QW_TYPE_BF16, 48, 4), f = make(QW_TYPE_U8, 32, 16);
    qw_matrix m;
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        assert_int_equal(take(&m, &p, true, 256, &good[i], NULL), QWREN_OK);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        expect_refusal(&p, true, 256, &bad[i].said, QWREN_E_FORMAT, bad[i].says);
    assert_int_equal(take(&m, &f, false, 256, &(qw_quant_setting){ true, false, 4, 16, QW_TYPE_NVFP4 }, NULL), QWREN_OK);
    expect_refusal(&f, false, 256, &(qw_quant_setting){ true, false, 4, 64, affine }, QWREN_E_FORMAT,
                   "has nvfp4 by its shape, but config.json says 4 bits");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_affine),         cmocka_unit_test(test_float_modes),
        cmocka_unit_test(test_wrong_parts),    cmocka_unit_test(test_widths_that_do_not_exist),
        cmocka_unit_test(test_against_config),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
