/* A timeline in a session file: its tokens, keys and values, and checkpoints. The file is an append log (store.h): saving it again after
 * another turn writes what is new, and a writer
 * that dies leaves what the last complete saving left. */
#ifndef QW_RUNTIME_SAVED_H
#define QW_RUNTIME_SAVED_H

#include "runtime/kvcache.h"
#include "runtime/saved_blocks.h"

#define QW_SAVED_SESSION QW_STORE_TAG('S', 'E', 'S', 'S') /* the kind of such a file */

/* Pages and checkpoints are held. */
typedef struct qw_saved {
    size_t n;
    uint64_t *keys;  /* [n] what each token is */
    int32_t *starts; /* [n] rotary positions (of time) */
    qw_page **pages; /* [qw_page_count(n)] */
    qw_checkpoint **checkpoints;
    size_t n_checkpoints; /* by length; the last one has length n, unless n is 0 and there is none */
} qw_saved;

/* Makes the file at `path` hold this timeline, which is the caller's: appends what it does not hold, or writes it anew beside itself when
 * it would become more than twice as large as that (and 1 MB). What it held of a beginning that both share stays, with its checkpoints, but
 * for the former ends. Of the checkpoints the longest are kept, as many as qw_saved_most_states() says. On failure it holds what it held;
 * E_IO also while another process saves to it. head->kind is QW_SAVED_SESSION. *written (may be NULL) is how many bytes it took. */
qwren_status qw_saved_write(const char *path, const qw_store_head *head, const qw_saved_format *f, const qw_saved *t, uint64_t *written,
                            qwren_error *err);
/* Who reads one. */
typedef struct qw_saved_reader {
    size_t most;        /* tokens that it has room for */
    qw_prefix *prefix;  /* gives memory back when there is none for a page; or NULL */
    const void *writer; /* of its last page */
} qw_saved_reader;
/* What the last complete saving left, or of a damaged file the one before. Free with
 * qw_saved_deinit(). E_ARGUMENT: it belongs to another model. E_LIMIT: it holds more tokens than wanted, which is told before memory is taken for them. E_MEMORY: the machine has none for a
 * page, or for the state of the end; other checkpoints are left out then. */
qwren_status qw_saved_read(qw_saved *out, const char *path, const qw_store_head *head, const qw_saved_format *f, const qw_saved_reader *r,
                           qwren_error *err);
void qw_saved_deinit(qw_saved *t, const void *writer); /* safe on zeros */

/* What is in a file, without its model. */
typedef struct qw_saved_info {
    char about[QW_STORE_ABOUT];
    size_t n;
    uint64_t *keys; /* [n] */
    qw_store_block *states;
    size_t n_states;                 /* of checkpoints: info is length, next_pos, kind */
    uint64_t file_bytes, live_bytes; /* of which so many are of use */
} qw_saved_info;
qwren_status qw_saved_inspect(qw_saved_info *out, const char *path, qwren_error *err);
void qw_saved_info_deinit(qw_saved_info *info); /* safe on zeros */

#endif
