/* base/energy.c on machines made of files: counters that run over, batteries, and machines that say nothing. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/energy.h"
#include "support/machine.h"

#define RAPL "sys/class/powercap/intel-rapl:"
#define BATTERY "sys/class/power_supply/BAT0/"

static void put_package(int i, const char *uj)
{
    char path[96];
    snprintf(path, sizeof path, RAPL "%d/name", i);
    put(path, i == 2 ? "dram\n" : "package-0\n");
    snprintf(path, sizeof path, RAPL "%d/energy_uj", i);
    put(path, uj);
    snprintf(path, sizeof path, RAPL "%d/max_energy_range_uj", i);
    put(path, "10000000\n");
}

static void counters_are_added(void **state)
{
    (void)state;
    qw_energy e;
    qw_energy_reading before, after;
    put_package(0, "1000000\n");
    put_package(1, "9000000\n");
    put_package(2, "5\n"); /* part of a package */
    put(BATTERY "status", "Discharging\n");
    put(BATTERY "power_now", "1\n");
    qw_energy_find(&e, root);
    assert_int_equal(e.source, QW_ENERGY_RAPL);
    assert_int_equal(e.n, 2);
    qw_energy_read(&e, &before);
    put_package(0, "3500000\n");
    put_package(1, "500000\n"); /* has begun anew */
    qw_energy_read(&e, &after);
    assert_true(fabs(qw_energy_between(&e, &before, &after) - (2.5 + 1.5)) < 1e-9);
}

static void a_battery_says_its_power(void **state)
{
    (void)state;
    qw_energy e;
    put(BATTERY "status", "Charging\n");
    put(BATTERY "current_now", "500000\n");
    put(BATTERY "voltage_now", "12000000\n");
    qw_energy_find(&e, root);
    assert_int_equal(e.source, QW_ENERGY_NONE); /* it is not what the machine runs on */
    put(BATTERY "status", "Discharging\n");
    qw_energy_find(&e, root);
    assert_int_equal(e.source, QW_ENERGY_BATTERY);
    qw_energy_reading r[2];
    qw_energy_read(&e, &r[0]);
    assert_true(fabs(r[0].values[0] - 6e6) < 1); /* 6 W */
    put(BATTERY "power_now", "8000000\n");
    qw_energy_read(&e, &r[1]);
    r[1].seconds = r[0].seconds + 2;
    assert_true(fabs(qw_energy_between(&e, &r[0], &r[1]) - 14) < 1e-6);
}

static void nothing_is_said(void **state)
{
    (void)state;
    qw_energy e;
    qw_energy_reading r;
    put(RAPL "0/name", "package-0\n"); /* but its counter is for the administrator */
    qw_energy_find(&e, root);
    assert_int_equal(e.source, QW_ENERGY_NONE);
    qw_energy_read(&e, &r);
    assert_true(isnan(qw_energy_between(&e, &r, &r)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(counters_are_added, make_machine, remove_machine),
        cmocka_unit_test_setup_teardown(a_battery_says_its_power, make_machine, remove_machine),
        cmocka_unit_test_setup_teardown(nothing_is_said, make_machine, remove_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
