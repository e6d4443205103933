/* Which blocks of a session file count (saved.h). Private to saved*.c and their tests. */
#ifndef QW_RUNTIME_SAVED_LOG_H
#define QW_RUNTIME_SAVED_LOG_H

#include "runtime/saved_blocks.h"

typedef struct qw_saved_log {
    qw_store_block *blocks;
    bool *live; /* [n] it is part of what the file holds */
    size_t n;   /* up to the last mark, which says that what is before it is complete; 0: there is none */
    size_t tokens;
} qw_saved_log;

/* Reads the heads of all blocks. */
qwren_status qw_saved_log_read(qw_saved_log *out, qw_store *s, const qw_saved_format *f, qwren_error *err);
/* Block `at` turned out to be damaged: what the file holds is what it held before it. */
void qw_saved_log_cut(qw_saved_log *log, size_t at, const qw_saved_format *f);
/* The live checkpoint of this length; SIZE_MAX: there is none. */
size_t qw_saved_log_state(const qw_saved_log *log, uint64_t length);
/* The live checkpoint `at` is not among the `most` that are worth most: of former ends all others come first, and otherwise the longer one. */
bool qw_saved_log_is_surplus(const qw_saved_log *log, size_t at, size_t most);
/* Bytes of the live blocks, and the file's head. */
uint64_t qw_saved_log_live_bytes(const qw_saved_log *log);
/* Live blocks may reach beyond the end, where others were voided: as many tokens as any of them speaks of. */
size_t qw_saved_log_room(const qw_saved_log *log);
/* The keys of the timeline, in room for so many, from all blocks that say some; the later ones prevail. *bad is the block that turned out to be
 * damaged. qw_free(keys), also after a failure. */
qwren_status qw_saved_log_keys(const qw_saved_log *log, const qw_store *s, uint64_t **keys, size_t *bad, qwren_error *err);
void qw_saved_log_deinit(qw_saved_log *log); /* safe on zeros */

#endif
