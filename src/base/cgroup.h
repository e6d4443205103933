/* Control groups of Linux: the limits that a container or a service sets. Private to base. `root` is "" on a real machine, or a folder that
 * holds proc/ and sys/ of a made-up one. */
#ifndef QW_BASE_CGROUP_H
#define QW_BASE_CGROUP_H

#include <stddef.h>

/* Calls fn for this process's group of `controller` ("cpu", "memory") and each group above it, for a group is bound by all of them.
 * `folder` is below root ("sys/fs/cgroup/system.slice"); version is 1 or 2. */
typedef void (*qw_cgroup_fn)(void *ctx, const char *root, const char *folder, int version);
void qw_cgroup_each(const char *root, const char *controller, qw_cgroup_fn fn, void *ctx);

/* The text of root/path, cut where buf ends; "" when it cannot be read. Takes no heap memory. */
#define QW_SYSTEM_TEXT_BYTES 16384 /* enough for all that is asked for */
const char *qw_system_text(char *buf, size_t n, const char *root, const char *path);
/* The whole number that root/folder/file begins with. */
long long qw_system_number(const char *root, const char *folder, const char *file, long long fallback);

#endif
