/* The memory of a session, known before it exists. */
#ifndef QW_RUNTIME_MEMPLAN_H
#define QW_RUNTIME_MEMPLAN_H

#include "model/config.h"

typedef struct qw_memplan {
    size_t kv_bytes;      /* grows with n_ctx */
    size_t state_bytes;   /* DeltaNet states and their saved copy */
    size_t scratch_bytes; /* buffers of one pass, logits, the list of tokens */
    size_t total_bytes;   /* what is taken in one piece */
} qw_memplan;

/* E_LIMIT when a size overflows or n_ctx is 0 or more than the model's positions. */
qwren_status qw_memplan_make(qw_memplan *out, const qw_config *c, size_t n_ctx, qwren_error *err);

#endif
