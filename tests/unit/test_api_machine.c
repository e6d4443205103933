/* The machine in the public API: the level that is used is one of those there are, QWREN_CPU is obeyed or refused, and what is measured is there. */
#include "support/nano.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

static void a_level_is_chosen(void **state)
{
    (void)state;
    qwren_cpu_info info;
    qwren_error err;
    unsetenv("QWREN_CPU");
    assert_int_equal(qwren_get_cpu_info(&info, &err), QWREN_OK);
    const size_t n = strlen(info.levels), k = strlen(info.level);
    assert_true(strncmp(info.levels, "portable", 8) == 0);
    assert_true(n >= k && strcmp(info.levels + n - k, info.level) == 0); /* the last is the best */
    assert_true(info.n_cores >= 1 && info.n_logical >= info.n_cores);
}

static void the_environment_chooses(void **state)
{
    (void)state;
    qwren_cpu_info info;
    qwren_machine_speed speed;
    qwren_error err;
    setenv("QWREN_CPU", "portable", 1);
    assert_int_equal(qwren_get_cpu_info(&info, &err), QWREN_OK);
    assert_string_equal(info.level, "portable");
    setenv("QWREN_CPU", "abacus", 1);
    assert_int_equal(qwren_get_cpu_info(&info, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "abacus"));
    assert_string_equal(info.level, "");
    assert_int_equal(qwren_measure_machine(1, 1, &speed, &err), QWREN_E_ARGUMENT);
    unsetenv("QWREN_CPU");
}

static void it_is_measured(void **state)
{
    (void)state;
    qwren_machine_speed s;
    qwren_error err;
    assert_int_equal(qwren_measure_machine(-1, 1, &s, &err), QWREN_E_ARGUMENT);
    if (qwren_measure_machine(2, 1, &s, &err))
        fail_msg("%s", err.text);
    assert_int_equal(s.n_threads, 2);
    const double figures[] = { s.read_bytes_per_s, s.dot_ops_per_s, s.float_ops_per_s };
    for (size_t i = 0; i < 3; i++)
        assert_true(isfinite(figures[i]) && figures[i] > 1e6);
    assert_true(*s.dot_name && *s.float_name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_level_is_chosen),
        cmocka_unit_test(the_environment_chooses),
        cmocka_unit_test(it_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
