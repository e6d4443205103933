/* What this machine has, and lets this process use, of memory. */
#ifndef QW_BASE_MACHINE_H
#define QW_BASE_MACHINE_H

#include <stdint.h>

typedef struct qw_machine_memory {
    uint64_t total;     /* bytes that this process may use at most; 0: not known */
    uint64_t available; /* of these not in use by anyone now, or held by files that can be read again; 0: not known */
} qw_machine_memory;
qw_machine_memory qw_machine_get_memory(void);

/* The same of a made-up Linux machine: `root` holds its proc/ and sys/. For tests. */
qw_machine_memory qw_machine_memory_of(const char *root);

#endif
