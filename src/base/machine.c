/* The machine's memory, limited by the control groups that this process is in (machine.h). Tested by tests/unit/test_base_machine.c on made-up machines. */
#include "base/machine.h"

#include "base/cgroup.h"

#include <stdlib.h>
#include <string.h>

#if defined(__APPLE__)
#  include <sys/sysctl.h>
#elif !defined(__linux__)
#  include <unistd.h>
#endif

/* "MemTotal:       16384 kB" -> bytes; 0 when there is no such line. */
static uint64_t meminfo_bytes(const char *text, const char *key)
{
    const char *at = strstr(text, key);
    return at ? strtoull(at + strlen(key), NULL, 10) * 1024 : 0;
}

static void limit(uint64_t *bytes, uint64_t most)
{
    if (*bytes == 0 || most < *bytes)
        *bytes = most;
}

#define NO_LIMIT (1LL << 60) /* version 1 writes a number beyond it for "none", version 2 a word */

static void limit_by_group(void *ctx, const char *root, const char *folder, int version)
{
    qw_machine_memory *m = ctx;
    const long long most = qw_system_number(root, folder, version == 2 ? "memory.max" : "memory.limit_in_bytes", -1);
    const long long used = qw_system_number(root, folder, version == 2 ? "memory.current" : "memory.usage_in_bytes", 0);
    if (most < 0 || most >= NO_LIMIT)
        return;
    limit(&m->total, (uint64_t)most);
    limit(&m->available, used < most ? (uint64_t)(most - used) : 0);
}

qw_machine_memory qw_machine_memory_of(const char *root)
{
    char text[QW_SYSTEM_TEXT_BYTES];
    qw_system_text(text, sizeof text, root, "proc/meminfo");
    qw_machine_memory m = { meminfo_bytes(text, "MemTotal:"), meminfo_bytes(text, "MemAvailable:") };
    qw_cgroup_each(root, "memory", limit_by_group, &m);
    return m;
}

#if defined(__linux__)
qw_machine_memory qw_machine_get_memory(void) { return qw_machine_memory_of(""); }
#elif defined(__APPLE__)
qw_machine_memory qw_machine_get_memory(void)
{
    uint64_t total = 0;
    size_t size = sizeof total;
    sysctlbyname("hw.memsize", &total, &size, NULL, 0);
    return (qw_machine_memory){ total, 0 };
}
#else
qw_machine_memory qw_machine_get_memory(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return (qw_machine_memory){ pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : 0, 0 };
}
#endif
