/* The memory of a session: how much, known before it exists, and where in its one block each part lies. Keys and values are not in the block: they come page by page as
 * the timeline grows (kvcache.h). */
#ifndef QW_RUNTIME_MEMPLAN_H
#define QW_RUNTIME_MEMPLAN_H

#include "model/text.h"
#include "runtime/pages.h"

typedef struct qw_memplan {
    size_t n_ctx;
    size_t n_trial; /* rows that can be computed on trial; 0: none */
    size_t batch;   /* tokens of one pass */
    qw_page_shape pages;
    size_t kv_bytes;      /* keys and values of n_ctx positions */
    size_t state_bytes;   /* DeltaNet states, and rows on trial */
    size_t scratch_bytes; /* buffers of one pass, logits, what each token was */
    size_t block_bytes;   /* states and scratch: taken at once */
    size_t total_bytes;
} qw_memplan;

/* E_LIMIT when a size overflows, or n_ctx is 0 or more than the model's positions. n_trial <= QW_MAX_TRIAL. */
qwren_status qw_memplan_make(qw_memplan *out, const qw_text_config *c, size_t n_ctx, qw_kv_type cache_type, size_t n_trial,
                             qwren_error *err);

typedef struct qw_extent {
    void *p;
    size_t size;
} qw_extent;

typedef struct qw_session_memory {
    qw_layer_state *layers; /* [n_layers] the present states; their pointers are set, but for those to pages */
    qw_page **pages;        /* [pages of n_ctx] the tables of a qw_kvcache */
    void **page_data;
    qw_page **found;    /* likewise, of a timeline that the session goes to */
    uint64_t *keys;     /* [n_ctx] what each token is */
    int32_t *starts;    /* [n_ctx] rotary position of the token, of a picture's tokens the picture's first */
    const float **rows; /* [batch] */
    float *logits;      /* [max(1, n_trial), V] */
    float *maxima;      /* [max(1, n_trial), qw_logit_blocks(V)] the largest of each block of logits */
    qw_extent scratch;  /* qw_text_scratch_bytes(batch, n_ctx) */
    qw_extent states;   /* where those of `layers` lie */
} qw_session_memory;

/* Lays the parts out in `block` of plan->block_bytes, aligned to QW_ALIGN. The contents are not set, but for the layers' pointers. */
void qw_memplan_place(qw_session_memory *out, const qw_memplan *plan, const qw_text_config *c, void *block);

#endif
