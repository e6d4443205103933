/* The memory of a session: how much, known before it exists, and where in its one block each part lies. */
#ifndef QW_RUNTIME_MEMPLAN_H
#define QW_RUNTIME_MEMPLAN_H

#include "model/text.h"

typedef struct qw_memplan {
    size_t kv_bytes;      /* grows with n_ctx */
    size_t state_bytes;   /* DeltaNet states and their saved copy */
    size_t scratch_bytes; /* buffers of one pass, logits, the list of tokens */
    size_t total_bytes;
    size_t batch; /* tokens of one pass */
    qw_kv_type cache_type;
} qw_memplan;

/* E_LIMIT when a size overflows, or n_ctx is 0 or more than the model's positions. */
qwren_status qw_memplan_make(qw_memplan *out, const qw_text_config *c, size_t n_ctx, qw_kv_type cache_type, qwren_error *err);

typedef struct qw_extent {
    void *p;
    size_t size;
} qw_extent;

typedef struct qw_session_memory {
    qw_layer_state *layers;  /* [n_layers] the present states; their pointers are set */
    qw_layer_state *marked;  /* [n_layers] the saved states of DeltaNet layers */
    uint64_t *keys;          /* [n_ctx] */
    const float **rows;      /* [batch] */
    float *logits;           /* [V] */
    float *maxima;           /* [qw_logit_blocks(V)] the largest of each block of logits */
    qw_extent scratch;       /* qw_text_scratch_bytes(batch, n_ctx) */
    qw_extent states, saved; /* where those of `layers` and `marked` lie */
    qw_extent caches;
} qw_session_memory;

/* Lays the parts out in `block` of plan->total_bytes, aligned to QW_ALIGN. The contents are not set, but for the layers' pointers. */
void qw_memplan_place(qw_session_memory *out, const qw_memplan *plan, const qw_text_config *c, size_t n_ctx, void *block);

#endif
