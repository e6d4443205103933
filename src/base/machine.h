/* What this machine has, and lets this process use, of memory; and what this process uses. */
#ifndef QW_BASE_MACHINE_H
#define QW_BASE_MACHINE_H

#include <stdint.h>

#define QW_NOT_KNOWN UINT64_MAX

/* Bytes, or QW_NOT_KNOWN. */
typedef struct qw_machine_memory {
    uint64_t total;     /* that this process may use at most */
    uint64_t available; /* of these not in use by anyone now, or held by files that can be read again: weights that are mapped among them */
} qw_machine_memory;
qw_machine_memory qw_machine_get_memory(void);

/* The same of a made-up Linux machine: `root` holds its proc/ and sys/. For tests. */
qw_machine_memory qw_machine_memory_of(const char *root);

/* What this process has in memory now, and had at most, files that it mapped included. Bytes, or QW_NOT_KNOWN. */
typedef struct qw_process_memory {
    uint64_t resident, peak;
} qw_process_memory;
qw_process_memory qw_process_get_memory(void);
/* The peak begins anew here, where the system can do that. */
void qw_process_forget_peak(void);

#endif
