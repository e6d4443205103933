/* A checkpoint: the states of all DeltaNet layers behind the first tokens of a timeline, from which it can go on at that length (with the keys and values of the
 * pages before it). One aligned block, reference-counted; after it is filled nobody changes it, so any number of sessions read it at once. */
#ifndef QW_RUNTIME_CHECKPOINT_H
#define QW_RUNTIME_CHECKPOINT_H

#include "model/text.h"

/* Why it was made; those of the first kind are the first to go when room is short (prefix.h). */
typedef enum qw_checkpoint_kind {
    QW_CHECKPOINT_INTERVAL, /* every so many tokens */
    QW_CHECKPOINT_END,      /* where a session left its timeline */
    QW_CHECKPOINT_TURN,     /* between messages, and before a thought */
    QW_CHECKPOINT_IMAGE,    /* before or behind a picture */
    QW_CHECKPOINT_KINDS
} qw_checkpoint_kind;

typedef struct qw_checkpoint {
    /* by the maker, before anybody else sees it */
    size_t length;    /* tokens before it, at least 1 */
    int32_t next_pos; /* rotary position of the next token */
    qw_checkpoint_kind kind;
    /* set by qw_checkpoint_create() */
    size_t bytes, n_layers;
    qw_layer_state *
        layers; /* [n_layers] conv and recurrent of DeltaNet layers point into `floats`, each aligned to 64 bytes; all else is 0. Fit to be qw_state_save.to */
    float *
        floats; /* [n_floats] all states in one piece, layer after layer: conv, then recurrent; for files. What fills up to the next 64 bytes is 0 */
    size_t n_floats;
    _Atomic(size_t) refs;         /* private */
    struct qw_prefix_node *place; /* where the one prefix cache that keeps it has it; under that one's lock */
} qw_checkpoint;

/* What one takes, all in all; SIZE_MAX when there cannot be so much. */
size_t qw_checkpoint_bytes(const qw_text_config *c);
/* Held by the caller. The states are not set; length and next_pos are 0, kind is INTERVAL. On failure *out is NULL. */
qwren_status qw_checkpoint_create(qw_checkpoint **out, const qw_text_config *c, qwren_error *err);
void qw_checkpoint_hold(qw_checkpoint *cp);
void qw_checkpoint_drop(qw_checkpoint *cp); /* NULL is allowed */

#endif
