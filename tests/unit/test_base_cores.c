/* base/cores.c on made-up machines: folders with the files of /proc and /sys that matter. */
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

#include "base/cores.h"
#include "support/machine.h"

static void topology(int cpu, const char *package, const char *core)
{
    char path[128];
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
    put(path, package);
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%d/topology/core_id", cpu);
    put(path, core);
}

static void without_control_groups_there_is_no_limit(void **state)
{
    (void)state;
    assert_int_equal(qw_cores_quota(root), 0);
    put("proc/self/cgroup", "0::/\n");
    assert_int_equal(qw_cores_quota(root), 0);
}

static void version_2_limits_by_cpu_max(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/\n");
    put("sys/fs/cgroup/cpu.max", "400000 100000\n");
    assert_int_equal(qw_cores_quota(root), 4);
    put("sys/fs/cgroup/cpu.max", "250000 100000\n");
    assert_int_equal(qw_cores_quota(root), 2);
    put("sys/fs/cgroup/cpu.max", "50000 100000\n");
    assert_int_equal(qw_cores_quota(root), 1);
    put("sys/fs/cgroup/cpu.max", "max 100000\n");
    assert_int_equal(qw_cores_quota(root), 0);
    put("sys/fs/cgroup/cpu.max", "nonsense");
    assert_int_equal(qw_cores_quota(root), 0);
}

static void the_smallest_quota_on_the_way_up_counts(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/a/b/c\n");
    put("sys/fs/cgroup/a/b/c/cpu.max", "800000 100000\n");
    put("sys/fs/cgroup/a/b/cpu.max", "300000 100000\n");
    put("sys/fs/cgroup/a/cpu.max", "max 100000\n");
    assert_int_equal(qw_cores_quota(root), 3);
}

static void a_hosts_path_inside_a_container_falls_back_to_the_mount(void **state)
{
    (void)state;
    put("proc/self/cgroup", "0::/docker/0123\n");
    put("sys/fs/cgroup/cpu.max", "200000 100000\n");
    assert_int_equal(qw_cores_quota(root), 2);
}

static void version_1_limits_by_quota_and_period(void **state)
{
    (void)state;
    put("proc/self/cgroup", "11:cpuset:/x\n4:cpu,cpuacct:/job\n1:name=systemd:/\n");
    put("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "600000\n");
    put("sys/fs/cgroup/cpu/job/cpu.cfs_period_us", "100000\n");
    assert_int_equal(qw_cores_quota(root), 6);
    put("sys/fs/cgroup/cpu/job/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(qw_cores_quota(root), 0);
}

static void hyper_threads_share_a_core(void **state)
{
    (void)state;
    static const unsigned char all[8] = { 1, 1, 1, 1, 1, 1, 1, 1 }, half[8] = { 1, 1, 0, 0, 0, 0, 0, 0 },
                               pair[8] = { 1, 0, 0, 0, 1, 0, 0, 0 };
    for (int cpu = 0; cpu < 8; cpu++)
        topology(cpu, "0\n", cpu % 4 == 0 ? "0\n" : cpu % 4 == 1 ? "1\n" : cpu % 4 == 2 ? "2\n" : "3\n");
    assert_int_equal(qw_cores_physical(root, all, 8), 4);
    assert_int_equal(qw_cores_physical(root, half, 8), 2);
    assert_int_equal(qw_cores_physical(root, pair, 8), 1); /* siblings */
}

static void cores_of_two_sockets_are_told_apart(void **state)
{
    (void)state;
    static const unsigned char all[2] = { 1, 1 };
    topology(0, "0\n", "0\n");
    topology(1, "1\n", "0\n");
    assert_int_equal(qw_cores_physical(root, all, 2), 2);
}

static void cpus_of_unknown_topology_count_one_each(void **state)
{
    (void)state;
    static const unsigned char some[4] = { 1, 1, 0, 1 };
    assert_int_equal(qw_cores_physical(root, some, 4), 3);
}

static void capacity(int cpu, const char *value)
{
    char path[96];
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%d/cpu_capacity", cpu);
    put(path, value);
}

static void efficiency_cores_do_not_count(void **state)
{
    (void)state;
    unsigned char phone[6] = { 1, 1, 1, 1, 1, 1 }, littles[6] = { 1, 1, 0, 0, 0, 0 }, same[6] = { 1, 1, 1, 1, 1, 0 };
    static const char *capacities[] = { "325\n", "325\n", "870\n", "870\n", "870\n", "1024\n" };
    qw_cores_keep_fast(root, same, 6); /* nothing is told: all stay */
    assert_memory_equal(same, ((unsigned char[6]){ 1, 1, 1, 1, 1, 0 }), 6);
    for (int cpu = 0; cpu < 6; cpu++)
        capacity(cpu, capacities[cpu]);
    qw_cores_keep_fast(root, phone, 6);
    assert_memory_equal(phone, ((unsigned char[6]){ 0, 0, 1, 1, 1, 1 }), 6);
    qw_cores_keep_fast(root, littles, 6); /* bound to the small ones: they are what there is */
    assert_memory_equal(littles, ((unsigned char[6]){ 1, 1, 0, 0, 0, 0 }), 6);
}

static void intels_list_of_performance_cores_counts(void **state)
{
    (void)state;
    unsigned char all[8] = { 1, 1, 1, 1, 1, 1, 1, 1 }, small[8] = { 0, 0, 0, 0, 0, 0, 1, 1 };
    put("sys/devices/cpu_core/cpus", "0-2,4,900-\n");
    qw_cores_keep_fast(root, all, 8);
    assert_memory_equal(all, ((unsigned char[8]){ 1, 1, 1, 0, 1, 0, 0, 0 }), 8);
    qw_cores_keep_fast(root, small, 8);
    assert_memory_equal(small, ((unsigned char[8]){ 0, 0, 0, 0, 0, 0, 1, 1 }), 8);
}

#define ON_A_MACHINE(f) cmocka_unit_test_setup_teardown(f, make_machine, remove_machine)

int main(void)
{
    const struct CMUnitTest tests[] = {
        ON_A_MACHINE(without_control_groups_there_is_no_limit),
        ON_A_MACHINE(version_2_limits_by_cpu_max),
        ON_A_MACHINE(the_smallest_quota_on_the_way_up_counts),
        ON_A_MACHINE(a_hosts_path_inside_a_container_falls_back_to_the_mount),
        ON_A_MACHINE(version_1_limits_by_quota_and_period),
        ON_A_MACHINE(hyper_threads_share_a_core),
        ON_A_MACHINE(cores_of_two_sockets_are_told_apart),
        ON_A_MACHINE(cpus_of_unknown_topology_count_one_each),
        ON_A_MACHINE(efficiency_cores_do_not_count),
        ON_A_MACHINE(intels_list_of_performance_cores_counts),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
