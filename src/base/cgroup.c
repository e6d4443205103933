/* The walk over a process's control groups, versions 1 and 2, upwards (cgroup.h). cores.c and machine.c ask it. Tested by tests/unit/test_base_cores.c and
 * tests/unit/test_base_machine.c on made-up machines. */
#include "base/cgroup.h"

#include "base/alloc.h"
#include "base/buf.h"
#include "base/file.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_FILE_BYTES 65536

char *qw_system_text(const char *root, const char *path)
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

long long qw_system_number(const char *root, const char *folder, const char *file, long long fallback)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", folder, file);
    char *text = qw_system_text(root, path), *end = NULL;
    long long value = text ? strtoll(text, &end, 10) : fallback;
    if (end == text)
        value = fallback;
    qw_free(text);
    return value;
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
    char *text = qw_system_text(root, "proc/self/cgroup"), *rest = NULL;
    for (char *line = text ? strtok_r(text, "\n", &rest) : NULL; line; line = strtok_r(NULL, "\n", &rest)) {
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
    qw_free(text);
}
