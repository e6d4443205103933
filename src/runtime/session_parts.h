/* What the files of a session share. Private to runtime/session*.c. */
#ifndef QW_RUNTIME_SESSION_PARTS_H
#define QW_RUNTIME_SESSION_PARTS_H

#include "runtime/kvcache.h"
#include "runtime/session.h"

struct qw_session {
    const qw_model *model;
    qw_prefix *prefix;    /* or NULL */
    qw_prefix_disk *disk; /* or NULL */
    qw_memplan plan;
    size_t n;          /* present length in tokens */
    int32_t next_pos;  /* rotary position of the next token */
    size_t n_tried;    /* rows of the trial that nobody has decided on */
    size_t n_kept;     /* rows of the newest trial that belong to the timeline, but are not in the states yet */
    size_t n_logits;   /* length of the timeline that the present logits stand behind; 0 = none */
    size_t logits_row; /* of memory.logits: the present ones */
    size_t n_parked;   /* length at which the newest checkpoint of this timeline was made that is not one of an interval */
    bool huge_scratch;
    qwren_kv_type kv_type; /* as it was asked for */
    int32_t tried[QW_MAX_TRIAL];
    qw_kvcache cache;
    qw_session_memory memory;
    qw_text_scratch scratch;
    const qw_trace *trace;
};

/* The rows of the newest trial that were kept go into the states; needed before these are read by anything but a pass. */
void qw_session_settle(qw_session *s);
/* One token of text more, as it was computed. */
void qw_session_push(qw_session *s, int32_t id);
/* Copies the DeltaNet states of all layers; from NULL: zeroes them. */
void qw_states_copy(const qw_text_config *c, qw_layer_state *to, const qw_layer_state *from);

/* ---- checkpoints of a pass (session_saves.c) */

#define QW_PASS_SAVES 24
/* The checkpoints that one pass makes. */
typedef struct qw_pass_saves {
    qw_state_save at[QW_PASS_SAVES];
    qw_checkpoint *made[QW_PASS_SAVES];
    size_t n;
} qw_pass_saves;
/* Makes room for those wanted in (s->n, s->n + n], where tokens [first, first + n) of t go, of an eval that ends behind `end` of them. */
void qw_saves_plan(qw_pass_saves *p, qw_session *s, const qw_timeline *t, size_t first, size_t n, size_t end, const qw_eval_options *opt);
/* As many as a pass may have of so many bytes each: all are there before the first goes into the cache, so they fit into its budget and into half of what the machine has left. */
size_t qw_saves_most(size_t budget, uint64_t available, size_t bytes);
/* After the pass: they go into the prefix cache. */
void qw_saves_keep(qw_pass_saves *p, qw_session *s);
/* After a step: where one is due. */
void qw_session_keep_due(qw_session *s, size_t before);
/* The present end goes into the prefix cache, unless it is there, or no request could find it. */
void qw_session_park(qw_session *s);

#endif
