/* The prefix cache between runs: checkpoints with what leads to them, in a folder. A file holds one piece: what a timeline goes on with
 * behind another piece, or behind nothing, up to a checkpoint. So an answer writes its own tokens alone, and conversations that begin
 * alike share files. docs/session-file.md gives every byte.
 *
 * Any number of processes and models share a folder. A file is whole or not there; what is damaged or has gone is as if it had never been.
 * What was not used for the longest time goes first. All functions may be called from several threads at once. */
#ifndef QW_RUNTIME_PREFIX_DISK_H
#define QW_RUNTIME_PREFIX_DISK_H

#include "runtime/prefix.h"
#include "runtime/saved_blocks.h"

#define QW_PREFIX_DISK_BYTES ((uint64_t)4 << 30) /* of a folder, unless another number is wanted */

typedef struct qw_prefix_disk qw_prefix_disk;

/* Makes the folder if it is not there (the one above it must be). head tells the model; its kind is not looked at. f->config outlives it.
 * On failure *out is NULL. */
qwren_status qw_prefix_disk_open(qw_prefix_disk **out, const char *dir, const qw_store_head *head, const qw_saved_format *f,
                                 uint64_t budget_bytes, qwren_error *err);
void qw_prefix_disk_close(qw_prefix_disk *d); /* NULL is allowed */

/* As qw_prefix_find(), and when a file goes on behind what p knows, and behind the `had` tokens that the caller has anyhow, it is read into p first. Trouble with files is not an error: what
 * cannot be read is not there. *loaded (may be NULL) is how many tokens came from the disk. */
qw_prefix_match qw_prefix_disk_find(qw_prefix_disk *d, qw_prefix *p, const uint64_t *keys, size_t n, size_t had, size_t most,
                                    qw_page **pages, size_t *loaded);

/* Writes what p has and the folder lacks, but for checkpoints that stand at no boundary (QW_CHECKPOINT_INTERVAL), and removes old files
 * that are beyond the budget. After a failure the rest is written by the next call. *written (may be NULL) is how many bytes it took. */
qwren_status qw_prefix_disk_save(qw_prefix_disk *d, qw_prefix *p, uint64_t *written, qwren_error *err);

typedef struct qw_prefix_disk_stats {
    size_t n_files;        /* of this model */
    uint64_t bytes;        /* of all files in the folder */
    uint64_t loads, saves; /* files, since it was opened */
} qw_prefix_disk_stats;
qw_prefix_disk_stats qw_prefix_disk_statistics(qw_prefix_disk *d);

#endif
