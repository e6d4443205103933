/* A rendered prompt -> token ids, answers that are known as they were sampled, and where in them the turns begin. Private to src/api. */
#ifndef QW_API_PROMPT_IDS_H
#define QW_API_PROMPT_IDS_H

#include "api/replay.h"
#include "model/merge.h"
#include "text/template.h"

/* Places are counts of ids, one pad for each picture, until qw_prompt_ids_expand(). */
typedef struct qw_prompt_ids {
    qw_ids ids;
    size_t *starts; /* [n_turns + 1] where each turn of the prompt begins, and the end */
    size_t *bodies; /* [n_turns] behind each turn's "<|im_start|>ROLE\n": roles are foreseeable, what follows is where timelines part */
    bool *replayed; /* [n_turns] an answer that is written as it was sampled */
    size_t n_turns;
    size_t think;     /* before the <think> of the generation prompt: where a later request that drops this answer's thought leaves */
    uint64_t context; /* hash of the ids before that place: where the answer will stand */
} qw_prompt_ids;

/* `messages` are those that were rendered; replay NULL: no answer is known. Without an answer to replay the ids are those of the whole text
 * at once: it is only cut where an added token of the template's begins. qw_prompt_ids_deinit() may be called after a failure, and on a
 * zeroed struct. */
qwren_status qw_prompt_ids_encode(qw_prompt_ids *out, const qw_tokenizer *t, const qw_prompt *p, const qw_json *messages, qw_replay *replay,
                                  qwren_error *err);
void qw_prompt_ids_deinit(qw_prompt_ids *p);

/* Turns places into those of the timeline that was built of the ids, where pictures are as long as they are. */
void qw_prompt_ids_expand(qw_prompt_ids *p, const qw_timeline *t);
/* The lengths at which later requests may leave this timeline: the bodies of all turns but the first, ascending (the last one is `think`).
 * Returns how many there are in out [n_turns]. */
size_t qw_prompt_ids_boundaries(const qw_prompt_ids *p, size_t *out);

#endif
