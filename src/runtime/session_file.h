/* A session and files: the whole timeline in one (saved.h), and what the prefix cache keeps between runs (prefix_disk.h). */
#ifndef QW_RUNTIME_SESSION_FILE_H
#define QW_RUNTIME_SESSION_FILE_H

#include "runtime/saved.h"
#include "runtime/session.h"

/* Makes the file hold the session's timeline, its state, and the checkpoints between turns and around pictures that the prefix cache has
 * of it, or the file had already: the longest ones, as many as are no larger than the keys and values, but at least a few. A file that
 * holds a beginning of it already is appended to. head tells the model. On failure the file holds what it held. */
qwren_status qw_session_save(qw_session *s, const char *path, const qw_store_head *head, uint64_t *written, qwren_error *err);
/* The session's timeline becomes the file's, with all of its tokens; the checkpoints go into the prefix cache, and so does the end of the
 * timeline that is left. The logits are NULL until a token
 * is computed. On failure the session is as it was: E_LIMIT when the file holds more tokens than the session has room for. */
qwren_status qw_session_load(qw_session *s, const char *path, const qw_store_head *head, qwren_error *err);
/* Keeps the end of the timeline, and writes what the prefix cache has and its folder lacks. Does nothing when there is no folder. */
qwren_status qw_session_flush(qw_session *s, qwren_error *err);

#endif
