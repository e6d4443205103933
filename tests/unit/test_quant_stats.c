/* quant/stats.c: what is counted, and that threads change nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "quant/stats.h"

enum { ROWS = 301, COLS = 333 };
static float values[ROWS][COLS];

static qw_matrix filled(void)
{
    uint32_t seed = 7;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++) {
            seed = seed * 1664525 + 1013904223;
            values[r][c] = (float)(int32_t)seed * 0x1p-31F;
        }
    return (qw_matrix){ .type = QW_TYPE_F32, .rows = ROWS, .cols = COLS, .data = values };
}

static void healthy_values(void **state)
{
    (void)state;
    const qw_matrix w = filled();
    double squares = 0;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t c = 0; c < COLS; c++)
            squares += (double)values[r][c] * values[r][c];
    values[17][3] = -4;
    const qw_stats s = qw_matrix_stats(&w, NULL);
    assert_int_equal(s.n, ROWS * COLS);
    assert_int_equal(s.n_nan + s.n_inf, 0);
    assert_true(s.bad_row == SIZE_MAX && s.bad_col == SIZE_MAX);
    assert_true(s.largest == 4);
    assert_true(fabs(s.squares - squares - 16) < 1.1);
    assert_true(fabs(qw_stats_rms(&s) - sqrt(s.squares / (ROWS * COLS))) < 1e-12);
}

static void values_that_are_not_finite(void **state)
{
    (void)state;
    const qw_matrix w = filled();
    values[290][5] = NAN;
    values[200][COLS - 1] = -INFINITY;
    values[200][COLS - 2] = INFINITY;
    const qw_stats s = qw_matrix_stats(&w, NULL);
    assert_int_equal(s.n_nan, 1);
    assert_int_equal(s.n_inf, 2);
    assert_int_equal(s.bad_row, 200);
    assert_int_equal(s.bad_col, COLS - 2);
    assert_true(isfinite(s.squares) && s.largest <= 1);
}

static void zeros_and_nothing(void **state)
{
    (void)state;
    qw_matrix w = filled();
    memset(values, 0, sizeof values);
    qw_stats s = qw_matrix_stats(&w, NULL);
    assert_true(s.largest == 0 && s.squares == 0 && qw_stats_rms(&s) == 0);
    assert_int_equal(s.n, ROWS * COLS);
    w.rows = 0;
    s = qw_matrix_stats(&w, NULL);
    assert_int_equal(s.n, 0);
    assert_true(qw_stats_rms(&s) == 0);
    w.rows = 3;
    w.cols = 0;
    assert_int_equal(qw_matrix_stats(&w, NULL).n, 0);
}

static void threads_change_nothing(void **state)
{
    (void)state;
    const qw_matrix w = filled();
    values[100][100] = NAN;
    const qw_stats alone = qw_matrix_stats(&w, NULL);
    for (int n = 1; n < 5; n++) {
        qw_pool *pool;
        assert_int_equal(qw_pool_create(&pool, n, NULL), QWREN_OK);
        const qw_stats s = qw_matrix_stats(&w, pool);
        assert_true(s.squares == alone.squares && s.largest == alone.largest && s.n == alone.n);
        assert_true(s.n_nan == 1 && s.bad_row == 100 && s.bad_col == 100);
        qw_pool_free(pool);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(healthy_values),
        cmocka_unit_test(values_that_are_not_finite),
        cmocka_unit_test(zeros_and_nothing),
        cmocka_unit_test(threads_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
