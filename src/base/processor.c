/* The processor as /proc/cpuinfo and /sys describe it (processor.h). Tested by tests/unit/test_base_processor.c on made-up machines. */
#include "base/processor.h"

#include "base/cgroup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__APPLE__)
#  include <sys/sysctl.h>
#endif

/* What stands behind the first "KEY : " of the text, up to the end of the line. */
static void copy_field(char *out, size_t n, const char *text, const char *key)
{
    const size_t len = strlen(key);
    for (const char *line = text; line && !*out; line = strchr(line, '\n'), line += line != NULL) {
        const char *rest = line + len;
        if (strncmp(line, key, len) != 0 || rest[strspn(rest, " \t")] != ':')
            continue;
        rest += strspn(rest, " \t") + 1;
        rest += strspn(rest, " \t");
        snprintf(out, n, "%.*s", (int)strcspn(rest, "\n"), rest);
    }
}

/* "32K", "2048K", "1M" */
static size_t bytes_of(const char *text)
{
    char *end;
    const unsigned long long n = strtoull(text, &end, 10);
    return (size_t)(*end == 'K' ? n << 10 : *end == 'M' ? n << 20 : *end == 'G' ? n << 30 : n);
}

static void read_cache(qw_processor *p, const char *root, int index)
{
    char path[96], kind[32], size[32];
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu0/cache/index%d", index);
    const long long level = qw_system_number(root, path, "level", 0);
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu0/cache/index%d/type", index);
    qw_system_text(kind, sizeof kind, root, path);
    snprintf(path, sizeof path, "sys/devices/system/cpu/cpu0/cache/index%d/size", index);
    qw_system_text(size, sizeof size, root, path);
    if (level >= 1 && level <= 3 && strncmp(kind, "Instruction", 11) != 0)
        p->cache_bytes[level - 1] = bytes_of(size);
}

qw_processor qw_processor_of(const char *root)
{
    char text[QW_SYSTEM_TEXT_BYTES];
    qw_processor p = { .name = "" };
    qw_system_text(text, sizeof text, root, "proc/cpuinfo");
    copy_field(p.name, sizeof p.name, text, "model name");
    copy_field(p.name, sizeof p.name, text, "Model"); /* boards with Arm */
    copy_field(p.name, sizeof p.name, text, "Hardware");
    for (int i = 0; i < 8; i++)
        read_cache(&p, root, i);
    return p;
}

static int count_logical(void)
{
    const long n = sysconf(_SC_NPROCESSORS_ONLN);
    return n > 0 ? (int)n : 1;
}

#if defined(__APPLE__)
static size_t number_of(const char *name)
{
    size_t value = 0, size = sizeof value;
    return sysctlbyname(name, &value, &size, NULL, 0) == 0 ? value : 0;
}
qw_processor qw_processor_get(void)
{
    qw_processor p = { .n_logical = count_logical(),
                       .cache_bytes = { number_of("hw.l1dcachesize"), number_of("hw.l2cachesize"), number_of("hw.l3cachesize") } };
    size_t size = sizeof p.name;
    if (sysctlbyname("machdep.cpu.brand_string", p.name, &size, NULL, 0) != 0)
        p.name[0] = '\0';
    return p;
}
#else
qw_processor qw_processor_get(void)
{
    qw_processor p = qw_processor_of("");
    p.n_logical = count_logical();
    return p;
}
#endif
