/* What the files of prefix_disk share. Not to be included elsewhere. */
#ifndef QW_RUNTIME_PREFIX_DISK_PARTS_H
#define QW_RUNTIME_PREFIX_DISK_PARTS_H

#include "runtime/prefix_disk.h"
#include "runtime/prefix_index.h"

#include <pthread.h>

struct qw_prefix_disk {
    pthread_mutex_t lock; /* of the index and the counters; not held while pieces are read or written */
    qw_prefix_index index;
    qw_saved_format format;
    uint64_t budget;
    uint64_t loads, saves, n_temporary;
};

/* Once for each look-up or saving: what cannot be used is forgotten, and another look at the folder brings it back. */
qwren_status qw_prefix_disk_refresh(qw_prefix_disk *d, qwren_error *err);
/* Pieces were used just now. The longest first, so that what leads to others is never older than they are. */
void qw_prefix_disk_renew(const qw_prefix_disk *d, const qw_piece *chain, size_t n);

/* Reads a chain of pieces [n], which goes on from what the cache gave for the first tokens of keys: *m and pages, which become what both
 * know together. After a failure nothing is held, *m is void, and what stood in the way is left out of the index. */
qwren_status qw_prefix_disk_extend(qw_prefix_disk *d, qw_prefix *p, const uint64_t *keys, size_t most, qw_prefix_match *m, qw_page **pages,
                                   const qw_piece *chain, size_t n);

#endif
