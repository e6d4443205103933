/* The operations of the model on a device: whole tensors, split over the pool's threads. What the model calls; compute/cpu implements it
 * over kernels/. Buffers are float, dense and row-major, owned by the caller. Operations take turns on the pool, so several sessions may
 * compute on one device. Results do not depend on the number of threads, nor on the rows that are computed beside a row. */
#ifndef QW_COMPUTE_OPS_H
#define QW_COMPUTE_OPS_H

#include "kernels/cpu.h"
#include "kernels/kv.h"
#include "kernels/q8.h"
#include "quant/matrix.h"

typedef struct qw_ops qw_ops;

/* ---- the device */

typedef struct qw_ops_options {
    int n_threads; /* counts the caller; 0 = qw_cpu_count() */
    qwren_arithmetic arithmetic;
    const qw_cpu_level *level; /* NULL: qw_cpu_choose() */
} qw_ops_options;

/* opt NULL: all zeros. */
qwren_status qw_ops_create(qw_ops **out, const qw_ops_options *opt, qwren_error *err);
void qw_ops_free(qw_ops *ops); /* NULL is allowed */

/* What the threads' scratch must hold. */
typedef struct qw_ops_needs {
    size_t cols;                               /* of the widest matrix */
    size_t key_dim, value_dim, values_per_key; /* of the delta rule: sizes of heads, value heads for each key head */
    size_t tail;                               /* floats of qw_delta_segment.tail; 0: no rows are on trial */
    size_t head_dim, heads_per_kv;             /* of attention */
} qw_ops_needs;
/* Once, before the first operation on a qw_input. */
qwren_status qw_ops_reserve(qw_ops *ops, const qw_ops_needs *needs, qwren_error *err);

/* From now on every product tells what it is about to multiply: x [n, w->cols]. For calibration, which knows tensors by the address of
 * their qw_matrix. One thread at a time; NULL ends it. */
typedef void (*qw_linear_observer)(void *ctx, const qw_matrix *w, const float *x, size_t n);
void qw_ops_observe(qw_ops *ops, qw_linear_observer fn, void *ctx);

/* ---- where the time goes */

typedef enum qw_op_kind {
    QW_OP_EMBED,
    QW_OP_NORM,     /* norms, and making inputs of rows */
    QW_OP_LINEARS,  /* products: into a layer's inner rows, */
    QW_OP_RESIDUAL, /* and back, onto the residual stream */
    QW_OP_GATE_UP,
    QW_OP_HEAD,
    QW_OP_DELTA,     /* with convolution, gates and norm */
    QW_OP_ATTENTION, /* with rotation and gates */
    QW_OP_FLOATS,    /* qw_op_linear */
    QW_OP_VALUES,    /* norms of heads; the tower's norms and activations */
    QW_OP_KINDS
} qw_op_kind;
const char *qw_op_kind_name(qw_op_kind kind);

typedef struct qw_profile {
    double seconds[QW_OP_KINDS];
    uint64_t calls[QW_OP_KINDS];
} qw_profile;
/* From now on every operation adds the time that its caller waits for it. For one thread at a time; NULL, the default, ends it. */
void qw_ops_profile(qw_ops *ops, qw_profile *p);

/* ---- what it can do at most */

typedef struct qw_read_speed {
    double bytes_per_s; /* by all threads */
    bool busy;          /* other programs took a part of the processors meanwhile: without them it is faster */
} qw_read_speed;
/* The fastest reading of a buffer, over and over for a while that is in proportion to patience_s. buffer_bytes 0 = 128 MB, which caches
 * hold a part of at most; 1 GB is the most, and a quarter of what the machine has left. E_MEMORY is the only failure. */
qwren_status qw_ops_measure_read(qw_read_speed *out, qw_ops *ops, size_t buffer_bytes, double patience_s, qwren_error *err);

/* ---- rows of activations as matrix products read them */

/* How many quads of a group of 64 keep 15 bits (kernels/q8.h) depends on what the rows are: one behind a norm, where outliers are rare;
 * four of what a mixer gives and before `down`, where two activations are multiplied and outliers are common; and four before the head.
 * compute/cpu/input.c has the numbers. */
typedef enum qw_role { QW_ROLE_NORMED, QW_ROLE_MIXED, QW_ROLE_DOWN, QW_ROLE_HEAD, QW_ROLE_COUNT } qw_role;

typedef enum qw_form { QW_FORM_F32 = 1, QW_FORM_Q8 = 2, QW_FORM_BF16 = 4 } qw_form;

/* Rows [n, cols] in the forms that their readers multiply with. The memory belongs to the caller. */
typedef struct qw_input {
    uint64_t version; /* of what stands there: another number after every change, and no other input has it */
    size_t cols;
    unsigned forms; /* those that are filled */
    float *f32;
    qw_q8 q8;
    uint16_t *bf16;
} qw_input;

/* Room for n rows of at most `cols` values, in all forms. */
size_t qw_input_bytes(size_t n, size_t cols);
void qw_input_init(qw_input *in, void *block, size_t n, size_t cols); /* block: aligned to 64 */
/* Row `from` becomes row `to`. */
void qw_input_move(qw_input *in, size_t to, size_t from);

/* The forms that these matrices (up to a NULL) read on this device. */
unsigned qw_op_forms(const qw_ops *ops, const qw_matrix *w, ...);
/* in = rows x [n, cols]; x may be in->f32 */
void qw_op_input(qw_ops *ops, qw_input *in, const float *x, size_t n, size_t cols, qw_role role, unsigned forms);
/* in = rmsnorm(x) * w */
void qw_op_norm(qw_ops *ops, qw_input *in, const float *x, const float *w, size_t n, size_t cols, float eps, qw_role role, unsigned forms);

/* ---- matrices */

typedef struct qw_linear {
    float *y; /* [n, w->rows] */
    const qw_matrix *w;
    const float *bias; /* [w->rows] or NULL */
    bool add;          /* y += the product, otherwise y = */
} qw_linear;
/* Several matrices that read the same rows. */
void qw_op_linears(qw_ops *ops, const qw_linear *l, size_t n_linears, const qw_input *in, size_t n);
/* out = silu(gate in) * (up in) */
void qw_op_gate_up(qw_ops *ops, qw_input *out, const qw_matrix *gate, const qw_matrix *up, const qw_input *in, size_t n, unsigned forms);
/* logits[i] [w->rows] = w in[first + i]; and maxima[i][b], the largest of logits [b * QW_LOGIT_BLOCK, ...), NaN if one of them is. maxima
 * may be NULL. */
#define QW_LOGIT_BLOCK 256
void qw_op_head(qw_ops *ops, float *const *logits, float *const *maxima, const qw_matrix *w, const qw_input *in, size_t first, size_t n);
static inline size_t qw_logit_blocks(size_t n_vocab) { return (n_vocab + QW_LOGIT_BLOCK - 1) / QW_LOGIT_BLOCK; }

/* y[i] = row ids[i] of w */
void qw_op_embed(qw_ops *ops, float *y, const qw_matrix *w, const int32_t *ids, size_t n);

/* ---- mixing tokens. Rows of a pass belong to one timeline or several; each goes on from its own state. */

/* Floats of a layer's state: those of its heads one after the other, each [dk, dv] and what belongs to it (kernels.h). */
size_t qw_op_delta_state(size_t value_heads, size_t key_dim, size_t value_dim);

/* Copies of tail and state as they are behind the first `at` rows of a segment. */
typedef struct qw_delta_save {
    size_t at; /* 1..n */
    float *tail, *state;
} qw_delta_save;

/* Rows may be on trial: their outputs are computed, but tail and state stay as they were before them. What each row put in is kept in
 * `trial`, and the next call takes the first n_kept of those rows into tail and state before anything else, to the same bits as if they
 * had never been on trial. */
typedef struct qw_delta_segment {
    size_t first, n;            /* rows; the first segment's begin at 0, the next one's behind them */
    float *tail;                /* [taps - 1, channels]: what the convolution read before, oldest first; moves on */
    float *state;               /* [qw_op_delta_state(Hv, dk, dv)], zeros before the first token; moves on */
    const qw_delta_save *saves; /* [n_saves], `at` ascending; none on trial */
    size_t n_saves;
    float *trial;  /* [qw_op_delta_trial(room, Hv, channels)]: rows of the trial before, then of this one; may be NULL without either */
    size_t n_kept; /* <= rows of the trial before */
    bool on_trial; /* n <= QW_MAX_TRIAL then */
} qw_delta_segment;

#define QW_MAX_TRIAL 16 /* rows of a segment that can be on trial */
/* Floats for what `room` rows put in, room <= QW_MAX_TRIAL: log decays and betas [QW_MAX_TRIAL, Hv] each, then qkv [room, channels] before
 * the convolution. */
size_t qw_op_delta_trial(size_t room, size_t value_heads, size_t channels);

/* Gated DeltaNet between its projections (docs/model.md, section 4): convolution, gates, the delta rule, the gated norm. Value head j
 * reads key head j / (Hv / Hk), or, when they are tiled as in GGUF files, key head j % Hk. */
typedef struct qw_delta_op_args {
    qw_input *out;               /* [n, Hv * dv] */
    unsigned forms;              /* of out */
    const float *qkv;            /* [n, channels = 2 Hk dk + Hv dv]: all query heads, all key heads, all value heads */
    const float *z;              /* [n, Hv * dv] */
    float *a, *b;                /* [n, Hv], used up */
    const float *conv;           /* [taps, channels] */
    const float *neg_exp_a;      /* [Hv] = -exp(A_log) */
    const float *dt_bias, *norm; /* [Hv], [dv] */
    size_t taps, key_heads, value_heads, key_dim, value_dim;
    bool tiled;
    float eps;
    const qw_delta_segment *segments;
    size_t n_segments;
} qw_delta_op_args;
void qw_op_delta(qw_ops *ops, const qw_delta_op_args *a);
/* Only the kept rows of each segment: its n is 0, no rows of a pass are read and nothing is put out. */
void qw_op_delta_settle(qw_ops *ops, const qw_delta_op_args *a);

/* Rows [first, first + n) of k and v are a timeline's positions from `start` on; rows [first_query, first_query + n_queries) of q are its
 * last ones. */
typedef struct qw_attention_segment {
    size_t first, n, start;
    size_t first_query, n_queries;
    /* Heads of the cache one after the other: in one piece, qw_kv_bytes(type, head_dim, capacity) each; or, when `pages` is not NULL, from
     * `offset` of each page (kernels/kv.h) on, qw_kv_bytes(type, head_dim, QW_KV_PAGE) each. */
    void *cache;
    void *const *pages;
    size_t offset;
    qw_kv_type type;
    size_t capacity;
} qw_attention_segment;

/* Gated attention between its projections (docs/model.md, section 2), for n_heads / n_kv_heads query heads for each key head. */
typedef struct qw_attention_op_args {
    float *k;                     /* [n, n_kv_heads * head_dim], used up */
    const float *v;               /* likewise, stays */
    const float *q;               /* [n, n_heads, 2, head_dim]: per head its query, then its gate */
    const float *q_norm, *k_norm; /* [head_dim] */
    const float *cos, *sin;       /* [n, half]: pairs (i, i + half) of each head are rotated */
    qw_input *out;                /* [n, n_heads * head_dim] */
    unsigned forms;               /* of out */
    size_t n_heads, n_kv_heads, head_dim, half;
    float eps;
    float *parts; /* [n_parts] room for results of splits: with less than qw_attention_parts() long contexts decode on fewer threads */
    size_t n_parts;
    const qw_attention_segment *segments;
    size_t n_segments;
} qw_attention_op_args;
/* Keys and values of all rows, normalised and rotated, into their caches. */
void qw_op_remember(qw_ops *ops, const qw_attention_op_args *a);
/* Each query over the positions up to its own, which its cache holds by then. */
void qw_op_attend(qw_ops *ops, const qw_attention_op_args *a);
/* floats for one query over n_keys positions */
size_t qw_attention_parts(size_t n_heads, size_t head_dim, size_t n_keys);

/* Positions [from, n) of a timeline become [from - by, n - by): values and their scales as they are, keys rotated by one row of angles
 * more (those of a position that is as far below zero as the keys go down) and rounded again as their type is. from and by are multiples
 * of QW_KV_BLOCK, by <= from. */
typedef struct qw_shift_args {
    void *const *pages;    /* up to the one with position n - 1; those from position from - by on are written */
    const size_t *offsets; /* [n_caches]: where the heads of each layer begin in a page */
    size_t n_caches;
    qw_kv_type type;
    size_t n_kv_heads, head_dim, half;
    size_t from, n, by;
    const float *cos, *sin; /* [half]: pairs (i, i + half) */
} qw_shift_args;
void qw_op_shift(qw_ops *ops, const qw_shift_args *a);

/* ---- the image tower: rows are patches of one picture */

/* in = layernorm(x) * w + b */
void qw_op_layernorm_input(qw_ops *ops, qw_input *in, const float *x, const float *w, const float *b, size_t n, size_t cols, float eps,
                           unsigned forms);
typedef enum qw_gelu { QW_GELU_TANH, QW_GELU_ERF } qw_gelu;
/* out = gelu(w in + bias) */
void qw_op_linear_gelu(qw_ops *ops, qw_input *out, const qw_matrix *w, const float *bias, qw_gelu gelu, const qw_input *in, size_t n,
                       unsigned forms);

/* Attention of every patch to all n of them, for n_heads heads. */
typedef struct qw_tower_attention {
    void *cache; /* [n_heads] of qw_op_tower_cache() bytes, aligned to 64 */
    size_t n, n_heads, head_dim;
    const float *cos, *sin; /* [rows, head_dim / 2]: how the rows of the call are rotated */
} qw_tower_attention;
size_t qw_op_tower_cache(const qw_ops *ops, size_t head_dim, size_t n);
/* Keys and values [rows, 2, n_heads, head_dim] of the patches from `first` on; used up. */
void qw_op_tower_remember(qw_ops *ops, const qw_tower_attention *a, float *kv, size_t first, size_t rows);
/* out = what the queries [rows, n_heads, head_dim] find, once all patches are remembered; q is used up. */
void qw_op_tower_attend(qw_ops *ops, const qw_tower_attention *a, qw_input *out, float *q, size_t rows, unsigned forms);

/* ---- in float whatever the device's arithmetic is: for the tower, and for calibration */

/* y [n, w->rows] = x [n, w->cols] w^T; then + bias [rows] when it is not NULL */
void qw_op_linear(qw_ops *ops, float *y, const qw_matrix *w, const float *bias, const float *x, size_t n);
/* Rows of `width`: y[i] = norm(x[i]); y may be x. */
void qw_op_rmsnorm(qw_ops *ops, float *y, const float *x, const float *w, size_t n_rows, size_t width, float eps);
void qw_op_layernorm(qw_ops *ops, float *y, const float *x, const float *w, const float *b, size_t n_rows, size_t width, float eps);

#endif
