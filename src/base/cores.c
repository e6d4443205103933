/* Cores this process may use: the affinity mask, folded to physical cores (two hyper-threads share one set of multipliers and gain a matrix
 * product nothing), then limited by the control group's CPU quota, versions 1 and 2. On other systems: what they call physical cores.
 * Tested by tests/unit/test_base_cores.c on made-up machines. */
#include "base/cores.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"
#include "base/thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if defined(__linux__)
#  include <sched.h>
#elif defined(__APPLE__)
#  include <sys/sysctl.h>
#else
#  include <unistd.h>
#endif

#define MAX_FILE_BYTES 65536

/* The text of root/path, NULL when it cannot be read. */
static char *read_text(const char *root, const char *path)
{
    qw_buf name = QW_BUF_INIT;
    char *text = NULL, *full = NULL;
    size_t len;
    qw_buf_printf(&name, "%s/%s", root, path);
    if (qw_buf_take(&name, &full, NULL, NULL) == QWREN_OK)
        (void)qw_file_read(full, MAX_FILE_BYTES, &text, &len, NULL);
    qw_free(full);
    return text;
}

static long read_number(const char *root, const char *path, long fallback)
{
    char *text = read_text(root, path);
    long value = text && text[0] ? strtol(text, NULL, 10) : fallback;
    qw_free(text);
    return value;
}

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
    char path[1024];
    long long quota, period;
    snprintf(path, sizeof path, "sys/fs/cgroup%s/cpu.max", folder);
    char *text = read_text(root, path);
    int cpus = text && sscanf(text, "%lld %lld", &quota, &period) == 2 ? whole_cpus(quota, period) : 0;
    qw_free(text);
    return cpus;
}

static int quota_v1(const char *root, const char *folder)
{
    char path[1024];
    snprintf(path, sizeof path, "sys/fs/cgroup/cpu%s/cpu.cfs_quota_us", folder);
    long quota = read_number(root, path, 0);
    snprintf(path, sizeof path, "sys/fs/cgroup/cpu%s/cpu.cfs_period_us", folder);
    return whole_cpus(quota, read_number(root, path, 0));
}

static int smaller_limit(int a, int b) { return a == 0 ? b : b == 0 || a < b ? a : b; }

/* A group is bound by its own quota and by those of all groups above it. */
static int smallest_upwards(const char *root, char *folder, int (*quota)(const char *root, const char *folder))
{
    int limit = 0;
    for (;;) {
        limit = smaller_limit(limit, quota(root, folder));
        char *slash = strrchr(folder, '/');
        if (!slash)
            return limit;
        *slash = '\0';
    }
}

/* Lines of /proc/self/cgroup: "0::/path" (version 2), "4:cpu,cpuacct:/path" (version 1). Inside a container the path may be the host's and
 * lead nowhere; the walk upwards then ends at the mount, which is the container's own group. */
int qw_cores_quota(const char *root)
{
    char *text = read_text(root, "proc/self/cgroup"), *rest = NULL;
    int limit = 0;
    for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
        char *controllers = strchr(line, ':'), *folder = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!folder)
            continue;
        *folder++ = '\0';
        char list[256];
        snprintf(list, sizeof list, ",%s,", controllers + 1);
        if (controllers[1] == '\0')
            limit = smaller_limit(limit, smallest_upwards(root, folder, quota_v2));
        else if (strstr(list, ",cpu,"))
            limit = smaller_limit(limit, smallest_upwards(root, folder, quota_v1));
    }
    qw_free(text);
    return limit;
}

int qw_cores_physical(const char *root, const unsigned char *usable, int n_cpus)
{
    int n = 0, n_seen = 0;
    struct core {
        long package, id;
    } *seen = qw_alloc_array((size_t)n_cpus, sizeof *seen);
    for (int cpu = 0; seen && cpu < n_cpus; cpu++) {
        if (!usable[cpu])
            continue;
        char path[128];
        struct core c;
        snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%d/topology/physical_package_id", cpu);
        c.package = read_number(root, path, -1);
        snprintf(path, sizeof path, "sys/devices/system/cpu/cpu%d/topology/core_id", cpu);
        c.id = read_number(root, path, -1);
        int i = 0;
        while (i < n_seen && (seen[i].package != c.package || seen[i].id != c.id))
            i++;
        n += i == n_seen || c.id < 0;
        if (i == n_seen)
            seen[n_seen++] = c;
    }
    qw_free(seen);
    return n;
}

#if defined(__linux__)
static int system_cores(void)
{
    unsigned char usable[CPU_SETSIZE];
    cpu_set_t mask;
    if (sched_getaffinity(0, sizeof mask, &mask) != 0)
        return 1;
    for (int cpu = 0; cpu < CPU_SETSIZE; cpu++)
        usable[cpu] = CPU_ISSET((size_t)cpu, &mask) != 0;
    return qw_cores_physical("", usable, CPU_SETSIZE);
}
#elif defined(__APPLE__)
static int system_cores(void)
{
    int n = 0; /* the performance cores where there are two kinds */
    size_t size = sizeof n;
    if (sysctlbyname("hw.perflevel0.physicalcpu", &n, &size, NULL, 0) != 0)
        sysctlbyname("hw.physicalcpu", &n, &size, NULL, 0);
    return n;
}
#else
static int system_cores(void) { return (int)sysconf(_SC_NPROCESSORS_ONLN); }
#endif

int qw_cpu_count(void)
{
    int cores = system_cores(), quota = qw_cores_quota("");
    if (quota > 0 && quota < cores)
        cores = quota;
    return cores > 0 ? cores : 1;
}
