/* Levels of the processor: which are offered, how one is chosen, and what a wrong choice says. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/cpu.h"

static void portable_is_everywhere(void **state)
{
    (void)state;
    char text[128];
    assert_true(qw_cpu_can(QW_CPU_PORTABLE));
    assert_int_equal(strncmp(qw_cpu_list(text, sizeof text), "portable", 8), 0);
#if defined(__x86_64__)
    assert_false(qw_cpu_can(QW_CPU_NEON));
#endif
}

static void each_level_can_be_chosen(void **state)
{
    (void)state;
    qw_cpu_level chosen, best;
    unsetenv("QWREN_CPU");
    assert_int_equal(qw_cpu_choose(&best, NULL), QWREN_OK);
    for (qw_cpu_level l = 0; l < QW_CPU_LEVELS; l++) {
        qwren_error err;
        setenv("QWREN_CPU", qw_cpu_level_name(l), 1);
        qwren_status st = qw_cpu_choose(&chosen, &err);
        assert_int_equal(st, qw_cpu_can(l) ? QWREN_OK : QWREN_E_ARGUMENT);
        if (st == QWREN_OK) {
            assert_int_equal(chosen, l);
            assert_true(l <= best);
        } else {
            assert_non_null(strstr(err.text, qw_cpu_level_name(l)));
        }
    }
    setenv("QWREN_CPU", "abacus", 1);
    assert_int_equal(qw_cpu_choose(&chosen, NULL), QWREN_E_ARGUMENT);
    setenv("QWREN_CPU", "", 1);
    assert_int_equal(qw_cpu_choose(&chosen, NULL), QWREN_OK);
    assert_int_equal(chosen, best);
    unsetenv("QWREN_CPU");
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(portable_is_everywhere), cmocka_unit_test(each_level_can_be_chosen) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
