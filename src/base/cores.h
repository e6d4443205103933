/* How many cores this process may really use. Private to base; thread.h's qw_cpu_count() is the face. */
#ifndef QW_BASE_CORES_H
#define QW_BASE_CORES_H

/* CPUs that the control group's quota allows, rounded down but at least 1; 0 = no limit. `root` is "" on a real machine, or a folder that
 * holds proc/ and sys/ of a made-up one. */
int qw_cores_quota(const char *root);

/* Physical cores behind the CPUs 0..n_cpus-1 that are marked usable; CPUs whose topology is not told count as cores of their own. */
int qw_cores_physical(const char *root, const unsigned char *usable, int n_cpus);

/* Clears the marks of efficiency cores, where there are two kinds and some of the fast one are usable: not in the list of Intel's
 * performance cores, or with less than 3/5 of the capacity of the best (Arm). They would make every step wait, or use a battery for
 * little. */
void qw_cores_keep_fast(const char *root, unsigned char *usable, int n_cpus);

#endif
