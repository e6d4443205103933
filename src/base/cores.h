/* How many cores this process may really use. Private to base; thread.h's qw_cpu_count() is the face. */
#ifndef QW_BASE_CORES_H
#define QW_BASE_CORES_H

/* CPUs that the control group's quota allows, rounded down but at least 1; 0 = no limit. `root` is "" on a real machine, or a folder that holds
 * proc/ and sys/ of a made-up one. */
int qw_cores_quota(const char *root);

/* Physical cores behind the CPUs 0..n_cpus-1 that are marked usable; CPUs whose topology is not told count as cores of their own. */
int qw_cores_physical(const char *root, const unsigned char *usable, int n_cpus);

#endif
