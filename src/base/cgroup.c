/* The walk over a process's control groups, versions 1 and 2, upwards (cgroup.h). cores.c and machine.c ask it. Tested by
 * tests/unit/test_base_cores.c and tests/unit/test_base_machine.c on made-up machines. */
#include "base/cgroup.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

const char *qw_system_text(char *buf, size_t n, const char *root, const char *path)
{
    char full[1200];
    size_t len = 0;
    snprintf(full, sizeof full, "%s/%s", root, path);
    const int fd = open(full, O_RDONLY | O_CLOEXEC);
    for (ssize_t got; fd >= 0 && len + 1 < n && (got = read(fd, buf + len, n - 1 - len)) > 0;)
        len += (size_t)got;
    if (fd >= 0)
        close(fd);
    buf[len] = '\0';
    return buf;
}

long long qw_system_number(const char *root, const char *folder, const char *file, long long fallback)
{
    char path[1024], text[64], *end;
    snprintf(path, sizeof path, "%s/%s", folder, file);
    const long long value = strtoll(qw_system_text(text, sizeof text, root, path), &end, 10);
    return end == text ? fallback : value;
}

/* `mount` and each beginning of `group` that ends before a slash, the longest first. */
static void upwards(const char *root, const char *mount, char *group, int version, qw_cgroup_fn fn, void *ctx)
{
    for (;;) {
        char folder[1024];
        snprintf(folder, sizeof folder, "%s%s", mount, group);
        fn(ctx, root, folder, version);
        char *slash = strrchr(group, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* Lines of /proc/self/cgroup: "0::/path" (version 2), "4:cpu,cpuacct:/path" (version 1). Inside a container the path may be the host's and
 * lead nowhere; the walk upwards then ends at the mount, which is the container's own group. */
void qw_cgroup_each(const char *root, const char *controller, qw_cgroup_fn fn, void *ctx)
{
    char text[QW_SYSTEM_TEXT_BYTES], *rest = NULL;
    qw_system_text(text, sizeof text, root, "proc/self/cgroup");
    for (char *line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        char *controllers = strchr(line, ':'), *group = controllers ? strchr(controllers + 1, ':') : NULL;
        char list[256], wanted[32], mount[64];
        if (!group)
            continue;
        *group++ = '\0';
        snprintf(list, sizeof list, ",%s,", controllers + 1);
        snprintf(wanted, sizeof wanted, ",%s,", controller);
        snprintf(mount, sizeof mount, "sys/fs/cgroup/%s", controller);
        if (controllers[1] == '\0')
            upwards(root, "sys/fs/cgroup", group, 2, fn, ctx);
        else if (strstr(list, wanted))
            upwards(root, mount, group, 1, fn, ctx);
    }
}
