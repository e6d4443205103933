/* The machine's memory, limited by the control groups that this process is in (machine.h), and this process's part of it. Tested by
 * tests/unit/test_base_machine.c on made-up machines. */
#include "base/machine.h"

#include "base/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#if !defined(__linux__)
#  include <sys/resource.h>
#endif
#if defined(__APPLE__)
#  include <sys/sysctl.h>
#elif !defined(__linux__)
#  include <unistd.h>
#endif

/* The number behind `key` where a line of the text begins with it: "MemTotal:       16384 kB". */
static uint64_t number_of_line(const char *text, const char *key, uint64_t fallback)
{
    for (const char *line = text; line; line = strchr(line, '\n'), line += line != NULL)
        if (strncmp(line, key, strlen(key)) == 0)
            return strtoull(line + strlen(key), NULL, 10);
    return fallback;
}

static uint64_t meminfo_bytes(const char *text, const char *key)
{
    const uint64_t kilobytes = number_of_line(text, key, QW_NOT_KNOWN);
    return kilobytes > QW_NOT_KNOWN / 1024 ? QW_NOT_KNOWN : kilobytes * 1024;
}

static uint64_t smaller(uint64_t a, uint64_t b) { return a < b ? a : b; }

/* What a group holds and cannot give away: its files' pages count as used, but can be read again. MemAvailable sees them likewise. */
static uint64_t held_by_group(const char *root, const char *folder, int version)
{
    char path[1100], text[QW_SYSTEM_TEXT_BYTES];
    snprintf(path, sizeof path, "%s/memory.stat", folder);
    qw_system_text(text, sizeof text, root, path);
    const long long used = qw_system_number(root, folder, version == 2 ? "memory.current" : "memory.usage_in_bytes", 0);
    const uint64_t held = used > 0 ? (uint64_t)used : 0;
    const uint64_t files = number_of_line(text, version == 2 ? "active_file " : "total_active_file ", 0) +
                           number_of_line(text, version == 2 ? "inactive_file " : "total_inactive_file ", 0);
    return held - smaller(held, files);
}

#define NO_LIMIT (1LL << 60) /* version 1 writes a number beyond it for "none", version 2 a word */

static void limit_by_group(void *ctx, const char *root, const char *folder, int version)
{
    qw_machine_memory *m = ctx;
    const long long most = qw_system_number(root, folder, version == 2 ? "memory.max" : "memory.limit_in_bytes", -1);
    if (most < 0 || most >= NO_LIMIT)
        return;
    m->total = smaller(m->total, (uint64_t)most);
    m->available = smaller(m->available, (uint64_t)most - smaller((uint64_t)most, held_by_group(root, folder, version)));
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
    if (sysctlbyname("hw.memsize", &total, &size, NULL, 0) != 0)
        total = QW_NOT_KNOWN;
    return (qw_machine_memory){ total, QW_NOT_KNOWN };
}
#else
qw_machine_memory qw_machine_get_memory(void)
{
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    return (qw_machine_memory){ pages > 0 && page > 0 ? (uint64_t)pages * (uint64_t)page : QW_NOT_KNOWN, QW_NOT_KNOWN };
}
#endif

/* ---- this process */

#if defined(__linux__)
qw_process_memory qw_process_get_memory(void)
{
    char text[QW_SYSTEM_TEXT_BYTES];
    qw_system_text(text, sizeof text, "", "proc/self/status");
    return (qw_process_memory){ meminfo_bytes(text, "VmRSS:"), meminfo_bytes(text, "VmHWM:") };
}

void qw_process_forget_peak(void)
{
    FILE *f = fopen("/proc/self/clear_refs", "w");
    if (!f)
        return;
    fputs("5", f);
    fclose(f);
}
#else
qw_process_memory qw_process_get_memory(void)
{
    struct rusage use;
    const uint64_t peak = getrusage(RUSAGE_SELF, &use) == 0 ? (uint64_t)use.ru_maxrss : QW_NOT_KNOWN;
#  if defined(__APPLE__)
    return (qw_process_memory){ QW_NOT_KNOWN, peak };
#  else
    return (qw_process_memory){ QW_NOT_KNOWN, peak > QW_NOT_KNOWN / 1024 ? peak : peak * 1024 };
#  endif
}

void qw_process_forget_peak(void) {}
#endif
