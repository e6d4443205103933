/* The decoder: token ids and picture rows in, hidden states and logits out. Reads a model, changes a state. */
#ifndef QW_MODEL_TEXT_H
#define QW_MODEL_TEXT_H

#include "model/bind.h"
#include "model/config.h"

#define QW_MAX_BATCH 512   /* tokens of one forward pass; longer inputs are cut */
#define QW_MAX_SEGMENTS 64 /* timelines in one pass */

typedef struct qw_mlp {
    qw_matrix gate, up; /* [I, H] */
    qw_matrix down;     /* [H, I] */
} qw_mlp;

typedef struct qw_attention_layer {
    qw_matrix q;                  /* [n_heads * 2 * head_dim, H]: per head its query, then its gate */
    qw_matrix k, v;               /* [n_kv_heads * head_dim, H] */
    qw_matrix o;                  /* [H, n_heads * head_dim] */
    const float *q_norm, *k_norm; /* [head_dim], 1 + w */
} qw_attention_layer;

typedef struct qw_delta_layer {
    qw_matrix qkv;          /* [2 Hk dk + Hv dv, H] */
    qw_matrix z;            /* [Hv dv, H] */
    qw_matrix a, b;         /* [Hv, H] */
    qw_matrix out;          /* [H, Hv dv] */
    const float *conv;      /* [taps, channels]: transposed when opened */
    const float *neg_exp_a; /* [Hv] = -exp(A_log) */
    const float *dt_bias;   /* [Hv] */
    const float *norm;      /* [dv], plain */
} qw_delta_layer;

typedef struct qw_layer {
    qw_layer_kind kind;
    const float *norm_in, *norm_post; /* [H], 1 + w */
    union {
        qw_attention_layer attention;
        qw_delta_layer delta;
    } mixer;
    qw_mlp mlp;
} qw_layer;

typedef struct qw_text_model {
    const qw_text_config *config;
    qw_matrix embed;          /* [V, H] */
    qw_matrix head;           /* [V, H]; embed itself when tied */
    qw_layer *layers;         /* [n_layers] */
    const float *norm;        /* [H], 1 + w */
    const double *rope_freq;  /* [rotary_dim / 2] */
    const uint8_t *rope_axis; /* [rotary_dim / 2]: 0 t, 1 h, 2 w */
    double rope_scale;        /* of cos and sin; 1 without YaRN */
} qw_text_model;

qwren_status qw_text_bind(qw_text_model *out, const qw_text_config *config, const qw_binder *b, qwren_error *err);
/* One decoder layer under `prefix` ("layers.3", "mtp.layers.0"). */
qwren_status qw_layer_bind(qw_layer *out, qw_layer_kind kind, const qw_text_config *c, const qw_binder *b, const char *prefix,
                           qwren_error *err);

/* What one layer remembers of a timeline. The memory belongs to the runtime. */
typedef struct qw_layer_state {
    /* Attention: [n_kv_heads] heads of keys and values (kernels/kv.h), keys after norm and rotation: in one piece, or from `offset` on in
     * each of `pages`. */
    void *cache;
    void *const *pages;
    size_t offset;
    qw_kv_type cache_type;
    size_t capacity;  /* positions of a cache in one piece */
    float *conv;      /* DeltaNet: [taps - 1, channels], oldest first */
    float *recurrent; /* DeltaNet: [qw_recurrent_floats()] */
    float *trial;     /* DeltaNet: [qw_trial_floats()], or NULL where nothing is ever on trial */
} qw_layer_state;
/* Bytes of an attention layer's cache; SIZE_MAX when there cannot be so many. */
size_t qw_cache_bytes(const qw_text_config *c, qw_kv_type type, size_t capacity);

/* Channels of a DeltaNet layer's convolution: queries, keys, values. Floats of its `conv` and `recurrent`. */
size_t qw_delta_channels(const qw_text_config *c);
size_t qw_conv_floats(const qw_text_config *c);
size_t qw_recurrent_floats(const qw_text_config *c);
/* Floats of its `trial` for segments of up to `room` rows on trial, room <= QW_MAX_TRIAL. */
size_t qw_trial_floats(const qw_text_config *c, size_t room);

/* Buffers of one pass, laid out in one block of qw_text_scratch_bytes(). */
typedef struct qw_text_scratch {
    size_t n;         /* rows at present */
    float *x;         /* [n, H] residual stream */
    qw_input in;      /* [n, H] the normalised stream; after the last layer the final hidden states */
    qw_input inner;   /* what o, out and down read */
    float *wide[2];   /* [n, the widest rows between two steps of a layer] */
    float *gates[2];  /* [n, Hv] */
    float *cos, *sin; /* [n, rotary_dim / 2] */
    float *parts;     /* [n_parts] of attention over many keys */
    size_t n_parts;
} qw_text_scratch;
/* For passes of n_tokens, over caches of up to n_ctx positions. */
size_t qw_text_scratch_bytes(const qw_text_config *c, size_t n_tokens, size_t n_ctx);
void qw_text_scratch_init(qw_text_scratch *s, void *block, const qw_text_config *c, size_t n_tokens,
                          size_t n_ctx); /* block: aligned to 64 */

/* Copies of the states of DeltaNet layers as they are behind the first `at` tokens of a segment. */
#define QW_MAX_SAVES 64 /* of one pass */
typedef struct qw_state_save {
    size_t at;          /* 1..n */
    qw_layer_state *to; /* [n_layers]: conv and recurrent of DeltaNet layers */
} qw_state_save;

/* Consecutive tokens of one timeline: rows [first, first + n) of a pass. On trial, all is computed and attention's caches are filled, but
 * the states of DeltaNet layers stay as they were before: what the tokens put in stands beside them, and the next pass (or qw_text_settle)
 * says how many of them are kept and takes these in first. So `start` of that pass counts the tokens that are kept, and not the others.
 * The same bits as without a trial. */
typedef struct qw_segment {
    qw_layer_state *states; /* of all layers; move on by n tokens */
    size_t first, n;
    size_t start;               /* tokens of the timeline before these */
    const qw_state_save *saves; /* [n_saves], `at` ascending; none on trial */
    size_t n_saves;             /* of all segments <= QW_MAX_SAVES */
    size_t n_kept;              /* of the trial before */
    bool on_trial;              /* n <= QW_MAX_TRIAL then */
} qw_segment;

/* The tokens of one pass: segments one after the other. */
typedef struct qw_batch {
    const int32_t *ids;         /* [n] */
    const float *const *rows;   /* [n] or NULL: where not NULL, this row [H] stands in place of the embedding */
    const int32_t (*pos)[3];    /* [n] rotary positions t, h, w */
    size_t n;                   /* <= the scratch's tokens */
    const qw_segment *segments; /* [n_segments] */
    size_t n_segments;          /* <= QW_MAX_SEGMENTS */
    size_t n_last;              /* >= 1: of so many last tokens of each segment the hidden states are wanted (all of a shorter one) */
} qw_batch;
#define QW_ALL_ROWS SIZE_MAX

/* Called with the residual stream after each step (0: embeddings, i + 1: layer i) by tests that look inside; NULL otherwise. */
typedef void (*qw_trace_fn)(void *ctx, int step, const float *x, size_t n);
typedef struct qw_trace {
    qw_trace_fn fn;
    void *ctx;
} qw_trace;

/* Runs the batch through all layers. Afterwards scratch->in holds the final hidden states (after the norm), which the head and MTP read:
 * those of the tokens that are wanted, segment by segment (scratch->n of them). */
void qw_text_forward(qw_ops *ops, const qw_text_model *m, qw_text_scratch *s, const qw_batch *batch, const qw_trace *trace);
/* The kept tokens of the trials before into the states of these segments (their n is 0), without a pass. */
void qw_text_settle(qw_ops *ops, const qw_text_model *m, qw_text_scratch *s, const qw_segment *segments, size_t n_segments);
/* logits [n, V] of the first n final hidden states. */
void qw_text_logits(qw_ops *ops, const qw_text_model *m, float *logits, const qw_input *hidden, size_t n);
/* What the final hidden states are: rmsnorm(x) * w, for the head. */
void qw_text_hidden(qw_ops *ops, const qw_text_model *m, qw_text_scratch *s, const float *w);

/* ---- the parts of a pass; private to src/model, but for calibration, which goes layer by layer */

typedef struct qw_pass {
    qw_ops *ops;
    const qw_text_config *c;
    qw_text_scratch *s;
    const qw_segment *segments;
    size_t n_segments;
} qw_pass;

/* One layer in place on s->x; s->cos and s->sin are set. Its state is that of `layer` in each segment. The residual streams of each
 * segment's n_last last tokens are all that remain (s->n of them), segment by segment. */
void qw_layer_forward(const qw_pass *p, const qw_layer *l, size_t layer, size_t n_last);
/* s->x += the layer's mixer of s->in */
void qw_attention_forward(const qw_pass *p, const qw_attention_layer *l, size_t layer, size_t n_last);
void qw_delta_forward(const qw_pass *p, const qw_delta_layer *l, size_t layer, size_t n_last);
void qw_delta_settle(const qw_pass *p, const qw_delta_layer *l, size_t layer);
/* s->x += down( silu(gate in) * up in ) */
void qw_mlp_forward(const qw_pass *p, const qw_mlp *l);
/* Of x, of the tables of the rotation and of `in`, only the rows of each segment's n_last last tokens remain, one segment's behind the
 * other's. */
void qw_pass_keep_last(const qw_pass *p, qw_input *in, size_t n_last);
/* How many those are. */
size_t qw_pass_rows(const qw_pass *p, size_t n_last);

/* Frequencies and axes of the rotation; m->config is set. */
qwren_status qw_rope_bind(qw_text_model *m, qw_arena *arena, qwren_error *err);
/* cos and sin [n, rotary_dim / 2] of positions. */
void qw_rope_table(const qw_text_model *m, float *cos, float *sin, const int32_t (*pos)[3], size_t n);
/* cos and sin [rotary_dim / 2] that turn what was rotated already by so many positions of text more: a rotation alone, for YaRN's scale is
 * in there once. */
void qw_rope_turn(const qw_text_model *m, float *cos, float *sin, int32_t by);

#endif
