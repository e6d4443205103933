/* Cores this process may use: the affinity mask, folded to physical cores (two hyper-threads share one set of multipliers and gain a matrix
 * product nothing) of the fast kind, then limited by the control group's CPU quota, versions 1 and 2. On other systems: what they call
 * physical cores. Tested by tests/unit/test_base_cores.c on made-up machines. */
#include "base/cores.h"

#include "base/cgroup.h"
#include "base/thread.h"

#include <stdbool.h>
#include <stdio.h>

#if defined(__linux__)
#  include <sched.h>
#else
#  include <unistd.h>
#endif
#if defined(__APPLE__)
#  include <sys/sysctl.h>
#endif

#define MOST_CORES 1024 /* that are told apart: as many as an affinity mask has bits */

/* Whole CPUs in quota / period microseconds; 0 = no limit. */
static int whole_cpus(long long quota, long long period)
{
    if (quota <= 0 || period <= 0 || quota / period > 1 << 20)
        return 0;
    return quota < period ? 1 : (int)(quota / period);
}

/* One folder of the unified hierarchy: "max 100000" or "150000 100000". */
static int quota_v2(const char *root, const char *folder)
{
    char path[1024], text[64];
    long long quota, period;
    snprintf(path, sizeof path, "%s/cpu.max", folder);
    return sscanf(qw_system_text(text, sizeof text, root, path), "%lld %lld", &quota, &period) == 2 ? whole_cpus(quota, period) : 0;
}

static int quota_v1(const char *root, const char *folder)
{
    return whole_cpus(qw_system_number(root, folder, "cpu.cfs_quota_us", 0), qw_system_number(root, folder, "cpu.cfs_period_us", 0));
}

static int smaller_limit(int a, int b) { return a == 0 ? b : b == 0 || a < b ? a : b; }

static void limit_by_group(void *ctx, const char *root, const char *folder, int version)
{
    int *limit = ctx;
    *limit = smaller_limit(*limit, version == 2 ? quota_v2(root, folder) : quota_v1(root, folder));
}

int qw_cores_quota(const char *root)
{
    int limit = 0;
    qw_cgroup_each(root, "cpu", limit_by_group, &limit);
    return limit;
}

int qw_cores_physical(const char *root, const unsigned char *usable, int n_cpus)
{
    int n = 0, n_seen = 0;
    struct core {
        long long package, id;
    } seen[MOST_CORES]; /* no heap memory: the answer is the same when that is short */
    for (int cpu = 0; cpu < n_cpus; cpu++) {
        if (!usable[cpu])
            continue;
        char folder[128];
        snprintf(folder, sizeof folder, "sys/devices/system/cpu/cpu%d/topology", cpu);
        const struct core c = { qw_system_number(root, folder, "physical_package_id", -1), qw_system_number(root, folder, "core_id", -1) };
        int i = 0;
        while (i < n_seen && (seen[i].package != c.package || seen[i].id != c.id))
            i++;
        n += i == n_seen || c.id < 0;
        if (i == n_seen && n_seen < MOST_CORES)
            seen[n_seen++] = c;
    }
    return n;
}

/* "0-7,16,18": marks what is listed. */
static void parse_list(const char *text, unsigned char *marks, int n_cpus)
{
    int first, last, used;
    for (; sscanf(text, "%d%n", &first, &used) == 1; text += *text == ',') {
        text += used;
        last = first;
        if (*text == '-' && sscanf(text + 1, "%d%n", &last, &used) == 1)
            text += 1 + used;
        for (int cpu = first < 0 ? 0 : first; cpu <= last && cpu < n_cpus; cpu++)
            marks[cpu] = 1;
    }
}

/* The list of Intel's hybrid machines; false where there is none. */
static bool listed_as_fast(const char *root, unsigned char *fast, int n_cpus)
{
    char text[4096];
    const char *list = qw_system_text(text, sizeof text, root, "sys/devices/cpu_core/cpus");
    if (!*list)
        return false;
    parse_list(list, fast, n_cpus);
    return true;
}

static void fast_by_capacity(const char *root, const unsigned char *usable, unsigned char *fast, int n_cpus)
{
    long long capacity[MOST_CORES], best = 0;
    for (int cpu = 0; cpu < n_cpus && cpu < MOST_CORES; cpu++) {
        char folder[64];
        snprintf(folder, sizeof folder, "sys/devices/system/cpu/cpu%d", cpu);
        capacity[cpu] = usable[cpu] ? qw_system_number(root, folder, "cpu_capacity", 0) : 0;
        best = capacity[cpu] > best ? capacity[cpu] : best;
    }
    for (int cpu = 0; cpu < n_cpus && cpu < MOST_CORES; cpu++)
        fast[cpu] = 5 * capacity[cpu] >= 3 * best;
}

void qw_cores_keep_fast(const char *root, unsigned char *usable, int n_cpus)
{
    unsigned char fast[MOST_CORES] = { 0 };
    int n = 0;
    if (!listed_as_fast(root, fast, n_cpus < MOST_CORES ? n_cpus : MOST_CORES))
        fast_by_capacity(root, usable, fast, n_cpus);
    for (int cpu = 0; cpu < n_cpus && cpu < MOST_CORES; cpu++)
        n += usable[cpu] && fast[cpu];
    for (int cpu = 0; n && cpu < n_cpus && cpu < MOST_CORES; cpu++)
        usable[cpu] = usable[cpu] && fast[cpu];
}

/* Processors, the threads of a core counted each. */
#if defined(__linux__)
static int system_processors(void)
{
    cpu_set_t mask;
    return sched_getaffinity(0, sizeof mask, &mask) == 0 ? CPU_COUNT(&mask) : 1;
}

static int system_cores(void)
{
    unsigned char usable[CPU_SETSIZE];
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof mask, &mask) != 0)
        return 1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        usable[cpu] = CPU_ISSET((size_t)cpu, &mask) != 0;
    qw_cores_keep_fast("", usable, CPU_SETSIZE);
    return qw_cores_physical("", usable, CPU_SETSIZE);
}
#else
static int system_processors(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }
#  if defined(__APPLE__)
static int system_cores(void)
{
    int n = 0; /* the performance cores where there are two kinds */
    size_t size = sizeof n;
    if (sysctlbyname("hw.perflevel0.physicalcpu", &n, &size, NULL, 0) != 0)
        sysctlbyname("hw.physicalcpu", &n, &size, NULL, 0);
    return n;
}
#  else
static int system_cores(void) { return system_processors(); }
#  endif
#endif

static int within_quota(int n)
{
    const int quota = qw_cores_quota("");
    if (quota > 0 && quota < n)
        n = quota;
    return n > 0 ? n : 1;
}

int qw_cpu_count(void) { return within_quota(system_cores()); }
int qw_processor_count(void) { return within_quota(system_processors()); }
