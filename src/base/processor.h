/* What the processor is called, and how large its caches are. */
#ifndef QW_BASE_PROCESSOR_H
#define QW_BASE_PROCESSOR_H

#include <stddef.h>

typedef struct qw_processor {
    char name[64];         /* "" when nothing says it */
    int n_logical;         /* processors that the system runs, whether this process may use them or not */
    size_t cache_bytes[3]; /* data caches of levels 1 to 3 as the first core sees them, shared or not; 0 = none, or not known */
} qw_processor;
qw_processor qw_processor_get(void);

/* The same of a made-up Linux machine: `root` holds its proc/ and sys/. For tests. */
qw_processor qw_processor_of(const char *root);

#endif
