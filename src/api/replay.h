/* Answers as they were sampled. A message that comes back in a later request's history becomes the very ids that the model once chose for
 * it, so that what was computed behind them fits; tokenised again it might be cut differently, and a call's arguments are spelt again by
 * every client. Private to src/api.
 *
 * What the model is told stays what the template writes. Of a replayed message may differ, and nothing else:
 *   - white space around the thought, around the content and between calls;
 *   - how a call spells what it says: the order of its parameters, and within a value what JSON or Python leave open (true for True,
 *     blanks, 1.0 for 1);
 *   - the ids: how text is cut into tokens, and that a tag of the model's own (<think>, <tool_call>) is one token where the same letters
 *     from a client are text. */
#ifndef QW_API_REPLAY_H
#define QW_API_REPLAY_H

#include "api/model.h"
#include "tokenizer/tokenizer.h"

/* Shared by all sessions of a model: any number of threads may use one at once. */
typedef struct qw_replay qw_replay;

/* What is kept takes at most so many bytes; the answers that were used longest ago go first. */
#define QW_REPLAY_BYTES ((size_t)16 << 20)
qwren_status qw_replay_create(qw_replay **out, size_t budget_bytes, qwren_error *err);
void qw_replay_free(qw_replay *r); /* NULL is allowed */
size_t qw_replay_count(qw_replay *r);
size_t qw_replay_bytes(qw_replay *r);

/* A message as it is known again. Texts are borrowed and trimmed as the template trims them. */
typedef struct qw_replay_key {
    const char *content, *calls, *thought; /* calls: qw_calls_canonical(); thought NULL: not written, so any will do */
    size_t content_len, calls_len, thought_len;
} qw_replay_key;

/* Its ids: the thought's block from <think> to the blanks behind </think>, n 0 where it cannot be replayed; content and calls. */
typedef struct qw_replay_ids {
    qw_ids thought, content;
} qw_replay_ids;
void qw_replay_ids_free(qw_replay_ids *ids);

/* Keeps an answer (key->thought is not NULL), or remembers that it was met again. `context` is a hash of all ids before it. One that is
 * larger than the budget is not kept. E_MEMORY: nothing has changed. */
qwren_status qw_replay_put(qw_replay *r, const qw_replay_key *key, const qw_replay_ids *ids, uint64_t context, qwren_error *err);
/* Appends the ids of such an answer to *ids and sets *found. Of several: one with this thought before others (whose thought is then not
 * given), one that stood behind this context before others, the newest before others; from then on it counts as having stood here. */
qwren_status qw_replay_find(qw_replay *r, const qw_replay_key *key, uint64_t context, qw_replay_ids *ids, bool *found, qwren_error *err);

/* ---- replay_file.c: between runs */

/* Reads the answers of models with this vocabulary that a file in the folder holds, and adds each new one to it from now on. Called
 * before anybody uses the store. Any number of processes may share the folder. Trouble with the file is not an error: what cannot be
 * read is not known. E_MEMORY. */
qwren_status qw_replay_keep_in(qw_replay *r, const char *dir, const qw_tokenizer *t, qwren_error *err);
/* One answer, appended to the file; replay.c calls it. */
qwren_status qw_replay_write(const char *path, const qw_replay_key *key, const qw_replay_ids *ids, uint64_t context, qwren_error *err);
/* New answers are appended to the file at `path`, which is taken over; NULL: to none. */
void qw_replay_set_path(qw_replay *r, char *path);

/* ---- replay_cut.c: what there is to keep of an answer */

typedef struct qw_sampled {
    const int32_t *ids; /* of the answer, without the one that ended it */
    size_t n;
    bool in_think;          /* the prompt ended inside an open <think> */
    const qw_json *message; /* the parser's object: reasoning_content, content, tool_calls */
} qw_sampled;

/* Cuts the ids into the block of the thought and what stands behind it, so that they say what the template would write of the message,
 * and keeps them. Where a client sees less than was sampled (a stop string, an answer that was cancelled), the ids end there, the rest
 * of the last one tokenised. Nothing is kept when they say something else: special tokens among them, text behind a call, a call that is
 * written in another way than the template's. */
qwren_status qw_replay_note(qw_replay *r, const qwren_model *m, const qw_sampled *answer, uint64_t context, qwren_error *err);

#endif
