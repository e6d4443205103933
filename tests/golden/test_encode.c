/* The plain codes against mlx.quantize, to the bit: words, scales and biases of F32, BF16 and F16 sources, all widths and groups (tests/oracle/make_encode.py). */
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "convert/encode.h"
#include "quant/half.h"
#include "support/golden.h"

#define N_ROWS 12
#define COLS 128

typedef struct source {
    const char *name;
    qw_type type;
    const float *w; /* [N_ROWS, COLS] */
} source;

/* got is stored as s->type, want holds the same values as floats. */
static void expect_sides(const char *what, const source *s, const void *got, const float *want, size_t n)
{
    float values[N_ROWS * COLS / 32];
    qw_widen(s->type, got, n, values);
    for (size_t i = 0; i < n; i++)
        if (memcmp(&values[i], &want[i], sizeof want[i]) != 0)
            fail_msg("%s, value %zu: %.9g, mlx has %.9g", what, i, (double)values[i], (double)want[i]);
}

static void expect_as_mlx(qw_golden *golden, const source *s, int bits, int group)
{
    uint8_t data[N_ROWS * COLS], scales[N_ROWS * COLS / 32 * 4], biases[N_ROWS * COLS / 32 * 4];
    const qw_matrix m = { qw_type_affine(bits), N_ROWS, COLS, data, scales, biases, s->type, group };
    qwren_error err = { 0 };
    if (qw_encode_rows(&m, 0, N_ROWS, s->w, QW_ENCODE_PLAIN, NULL, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    char name[64];
    size_t n;
    snprintf(name, sizeof name, "%s.%d.%d.codes", s->name, bits, group);
    const int32_t *codes = golden_i32(golden, name, &n);
    assert_int_equal(n * 4, N_ROWS * qw_matrix_row_bytes(&m));
    for (size_t i = 0; i < n; i++)
        if (memcmp(data + 4 * i, &codes[i], 4) != 0)
            fail_msg("%s: word %zu of row %zu differs", name, i % (n / N_ROWS), i / (n / N_ROWS));
    snprintf(name, sizeof name, "%s.%d.%d.scales", s->name, bits, group);
    expect_sides(name, s, scales, golden_f32(golden, name, NULL), (size_t)(N_ROWS * COLS / group));
    snprintf(name, sizeof name, "%s.%d.%d.biases", s->name, bits, group);
    expect_sides(name, s, biases, golden_f32(golden, name, NULL), (size_t)(N_ROWS * COLS / group));
}

static void test_plain_is_mlx(void **state)
{
    (void)state;
    static const int widths[] = { 2, 3, 4, 5, 6, 8 };
    source sources[] = { { .name = "f32", .type = QW_TYPE_F32 },
                         { .name = "bf16", .type = QW_TYPE_BF16 },
                         { .name = "f16", .type = QW_TYPE_F16 } };
    qw_golden *golden = golden_open("convert/encode.safetensors");
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        char name[16];
        snprintf(name, sizeof name, "%s.w", sources[i].name);
        sources[i].w = golden_f32(golden, name, NULL);
        for (size_t b = 0; b < sizeof widths / sizeof widths[0]; b++)
            for (int group = 32; group <= 128; group *= 2)
                expect_as_mlx(golden, &sources[i], widths[b], group);
    }
    golden_close(golden);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(test_plain_is_mlx) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
