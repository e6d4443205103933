/* base/machine.c on made-up machines: folders with the files of /proc and /sys that matter; and on this one. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/machine.h"
#include "support/machine.h"

#define MEMINFO "MemTotal:       16000 kB\nMemFree:          100 kB\nMemAvailable:    9000 kB\n"

static void memory_is(uint64_t total, uint64_t available)
{
    const qw_machine_memory m = qw_machine_memory_of(root);
    assert_int_equal(m.total, total);
    assert_int_equal(m.available, available);
}

static void what_is_not_told_is_not_known(void **state)
{
    (void)state;
    memory_is(QW_NOT_KNOWN, QW_NOT_KNOWN);
    put("proc/meminfo", "nonsense");
    memory_is(QW_NOT_KNOWN, QW_NOT_KNOWN);
}

static void the_machine_tells_its_own(void **state)
{
    (void)state;
    put("proc/meminfo", MEMINFO);
    memory_is(16000 * 1024, 9000 * 1024);
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/memory.max", "max\n");
    memory_is(16000 * 1024, 9000 * 1024);
}

/* A group's limit, or that of one above it; what the group holds already is not available. */
static void groups_of_version_2_limit(void **state)
{
    (void)state;
    put("proc/meminfo", MEMINFO);
    put("proc/self/cgroup", "0::/service/one\n");
    put("sys/fs/cgroup/service/memory.max", "8192000\n");
    put("sys/fs/cgroup/service/memory.current", "1000000\n");
    memory_is(8192000, 7192000);
    put("sys/fs/cgroup/service/one/memory.max", "4096000\n");
    put("sys/fs/cgroup/service/one/memory.current", "96000\n");
    memory_is(4096000, 4000000);
    put("sys/fs/cgroup/service/memory.current", "8191000\n");
    memory_is(4096000, 1000);
    put("sys/fs/cgroup/service/memory.max", "2000000\n");
    memory_is(2000000, 0);
}

static void groups_of_version_1_limit(void **state)
{
    (void)state;
    put("proc/meminfo", MEMINFO);
    put("proc/self/cgroup", "5:cpu,cpuacct:/x\n3:memory:/x\n");
    put("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"); /* how this version writes "none" */
    memory_is(16000 * 1024, 9000 * 1024);
    put("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1000000\n");
    put("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "250000\n");
    memory_is(1000000, 750000);
}

/* Nothing is left in the inner group: what the outer one still has is of no use. */
static void a_full_group_stays_full(void **state)
{
    (void)state;
    put("proc/meminfo", MEMINFO);
    put("proc/self/cgroup", "0::/service/one\n");
    put("sys/fs/cgroup/service/one/memory.max", "4096000\n");
    put("sys/fs/cgroup/service/one/memory.current", "4096000\n");
    put("sys/fs/cgroup/service/memory.max", "8192000\n");
    put("sys/fs/cgroup/service/memory.current", "4096000\n");
    memory_is(4096000, 0);
}

/* Pages of files count as used, but can be given away. */
static void files_of_a_group_are_available(void **state)
{
    (void)state;
    put("proc/meminfo", MEMINFO);
    put("proc/self/cgroup", "0::/one\n");
    put("sys/fs/cgroup/one/memory.max", "4096000\n");
    put("sys/fs/cgroup/one/memory.current", "4000000\n");
    put("sys/fs/cgroup/one/memory.stat", "anon 1000000\nactive_file 500000\ninactive_file 2500000\n");
    memory_is(4096000, 3096000);
    put("sys/fs/cgroup/one/memory.stat", "inactive_file 9000000\n"); /* the two files are read one after the other */
    memory_is(4096000, 4096000);
    put("proc/self/cgroup", "3:memory:/x\n");
    put("sys/fs/cgroup/memory/x/memory.limit_in_bytes", "1000000\n");
    put("sys/fs/cgroup/memory/x/memory.usage_in_bytes", "900000\n");
    put("sys/fs/cgroup/memory/x/memory.stat", "inactive_file 1\ntotal_inactive_file 700000\ntotal_active_file 50000\n");
    memory_is(1000000, 850000);
}

static void this_machine_has_memory(void **state)
{
    (void)state;
    const qw_machine_memory m = qw_machine_get_memory();
    assert_true(m.total > 1 << 20);
    assert_true(m.available == QW_NOT_KNOWN || m.available <= m.total);
}

static void this_process_holds_something(void **state)
{
    (void)state;
    const qw_process_memory before = qw_process_get_memory();
    assert_true(before.peak != QW_NOT_KNOWN && before.peak > 100000);
    assert_true(before.resident == QW_NOT_KNOWN || before.resident <= before.peak);
    qw_process_forget_peak();
    const qw_process_memory after = qw_process_get_memory();
    assert_true(after.peak != QW_NOT_KNOWN && after.peak > 100000);
}

int main(void)
{
#define MACHINE(test) cmocka_unit_test_setup_teardown(test, make_machine, remove_machine)
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(this_process_holds_something),
        MACHINE(what_is_not_told_is_not_known),
        MACHINE(the_machine_tells_its_own),
        MACHINE(groups_of_version_2_limit),
        MACHINE(groups_of_version_1_limit),
        MACHINE(a_full_group_stays_full),
        MACHINE(files_of_a_group_are_available),
        cmocka_unit_test(this_machine_has_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
