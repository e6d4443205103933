/* base/processor.c on machines made of files: names as different systems write them, caches of all kinds, and nothing at all. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/processor.h"
#include "support/machine.h"

static void put_cache(int index, const char *level, const char *type, const char *size)
{
    char path[96];
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu0/cache/index%d/level", index);
    put(path, level);
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu0/cache/index%d/type", index);
    put(path, type);
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu0/cache/index%d/size", index);
    put(path, size);
}

static void a_server(void **state)
{
    (void)state;
    put("proc/cpuinfo",
        "processor\t: 0\nmodel\t\t: 17\nmodel name\t: AMD EPYC 9B14 96-Core Processor\nflags\t\t: fpu\n\nmodel name\t: other\n");
    put_cache(0, "1\n", "Data\n", "32K\n");
    put_cache(1, "1\n", "Instruction\n", "64K\n");
    put_cache(2, "2\n", "Unified\n", "1024K\n");
    put_cache(3, "3\n", "Unified\n", "1M\n");
    put_cache(4, "4\n", "Unified\n", "64M\n"); /* there is no place for it */
    const qw_processor p = qw_processor_of(root);
    assert_string_equal(p.name, "AMD EPYC 9B14 96-Core Processor");
    assert_int_equal(p.cache_bytes[0], 32 << 10);
    assert_int_equal(p.cache_bytes[1], 1 << 20);
    assert_int_equal(p.cache_bytes[2], 1 << 20);
}

static void a_board(void **state)
{
    (void)state;
    put("proc/cpuinfo", "processor\t: 0\nBogoMIPS\t: 108.00\n\nModel\t\t: Raspberry Pi 5 Model B Rev 1.0\n");
    assert_string_equal(qw_processor_of(root).name, "Raspberry Pi 5 Model B Rev 1.0");
}

static void nothing_is_known(void **state)
{
    (void)state;
    const qw_processor p = qw_processor_of(root);
    assert_string_equal(p.name, "");
    for (int i = 0; i < 3; i++)
        assert_int_equal(p.cache_bytes[i], 0);
    assert_true(qw_processor_get().n_logical >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_server, make_machine, remove_machine),
        cmocka_unit_test_setup_teardown(a_board, make_machine, remove_machine),
        cmocka_unit_test_setup_teardown(nothing_is_known, make_machine, remove_machine),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
