/* Gated DeltaNet between its projections. One item of work is a key head of one timeline with all value heads that read it: a block of
 * tokens goes through convolution, delta rule and gated norm while it is in the cache, then the next block. Tested by
 * tests/unit/test_ops.c, test_trial.c and tests/golden/test_ops.c.
 *
 * A head's columns of tail and trial and its states are its own, so each head goes its whole way alone: the kept rows of the trial before
 * into the state, the new rows without changing it when they are on trial, else in place, in blocks that end where a copy is to be saved.
 * Memory sees a state once on the way in and, if it changes, once on the way out. */
#include "compute/cpu/cpu.h"

#include <string.h>

#define BLOCK QW_DELTA_BLOCK /* tokens */
#define GATES 4096           /* of one piece of work */
#define AHEAD 4              /* rows of z that are asked for before they are read: they are far apart */
#define LINE 16              /* floats of a cache line */
_Static_assert(QW_MAX_TRIAL <= BLOCK, "rows on trial are one block");

static size_t mixed_width(size_t key_dim, size_t value_dim, size_t share) { return 2 * key_dim + share * value_dim; }

/* mixed [BLOCK, 2 dk + share * dv] | out [BLOCK, dv] | the kernel's own | tail */
size_t qw_delta_floats(const qw_ops_needs *n)
{
    return BLOCK * (mixed_width(n->key_dim, n->value_dim, n->values_per_key) + n->value_dim) + qw_delta_scratch(n->key_dim, n->value_dim) +
           n->tail;
}

size_t qw_op_delta_state(size_t value_heads, size_t key_dim, size_t value_dim)
{
    return value_heads * qw_delta_state_floats(key_dim, value_dim);
}

size_t qw_op_delta_trial(size_t room, size_t value_heads, size_t channels) { return 2 * QW_MAX_TRIAL * value_heads + room * channels; }

/* ---- one key head of one segment */

typedef struct head {
    const qw_ops *ops;
    const qw_delta_op_args *a;
    const qw_delta_segment *segment;
    size_t index, share, width, channels;  /* which; value heads of a key head; floats of a row of mixed, of a row of qkv */
    float *mixed, *out, *own, *trial_tail; /* the thread's scratch */
} head;

/* Rows that go through the head together, at most BLOCK: [first, first + n) of the pass, or kept ones, whose outputs nobody wants. */
typedef struct block {
    size_t first, n;
    const float *qkv, *log_decay, *beta; /* of all heads */
    float *tail;
    bool kept, on_trial;
} block;

/* The i-th value head. */
static size_t value_head(const head *h, size_t i) { return h->a->tiled ? i * h->a->key_heads + h->index : h->index * h->share + i; }

/* What the head reads of a row: its query, its key, the values of its value heads. */
typedef struct part {
    size_t channel, column, n; /* where it begins in a row of qkv and of mixed */
} part;
static size_t n_parts(const head *h) { return 2 + h->share; }
static part part_of(const head *h, size_t i)
{
    const size_t dk = h->a->key_dim, dv = h->a->value_dim, keys = h->a->key_heads * dk;
    if (i < 2)
        return (part){ i * keys + h->index * dk, i * dk, dk };
    return (part){ 2 * keys + value_head(h, i - 2) * dv, 2 * dk + (i - 2) * dv, dv };
}

/* The head's channels of n_rows rows. */
static void copy_channels(const head *h, float *to, const float *from, size_t n_rows)
{
    for (size_t t = 0; t < n_rows; t++)
        for (size_t i = 0; i < n_parts(h); i++) {
            const part p = part_of(h, i);
            memcpy(to + t * h->channels + p.channel, from + t * h->channels + p.channel, p.n * sizeof *to);
        }
}

static size_t state_floats(const head *h) { return qw_delta_state_floats(h->a->key_dim, h->a->value_dim); }

static void convolve(const head *h, const block *b, size_t i)
{
    const part p = part_of(h, i);
    h->ops->kernels.conv_silu(h->mixed + p.column, h->width, b->qkv + p.channel, b->tail + p.channel, h->a->conv + p.channel, h->channels,
                              p.n, b->n, h->a->taps);
}

/* The delta rule of the i-th value head, from mixed to out. */
static void recur(const head *h, const block *b, size_t i)
{
    const qw_delta_op_args *a = h->a;
    const size_t dk = a->key_dim, dv = a->value_dim, value = value_head(h, i);
    h->ops->kernels.delta(&(qw_delta_args){ .out = h->out,
                                            .state = h->segment->state + value * state_floats(h),
                                            .q = h->mixed,
                                            .k = h->mixed + dk,
                                            .v = h->mixed + 2 * dk + i * dv,
                                            .log_decay = b->log_decay + value,
                                            .beta = b->beta + value,
                                            .out_stride = dv,
                                            .in_stride = h->width,
                                            .gate_stride = a->value_heads,
                                            .n_tokens = b->n,
                                            .key_dim = dk,
                                            .value_dim = dv,
                                            .on_trial = b->on_trial,
                                            .scratch = h->own });
}

/* out, normalised and gated, becomes columns of the operation's output. */
static void put_out(const head *h, const block *b, size_t i)
{
    const qw_delta_op_args *a = h->a;
    const size_t dv = a->value_dim, row = a->value_heads * dv, column = value_head(h, i) * dv;
    for (size_t t = 0; t < b->n; t++) {
        const float *z = a->z + (b->first + t) * row + column;
        for (size_t c = 0; c < dv; c += LINE)
            __builtin_prefetch(z + AHEAD * row + c, 0, 3);
        h->ops->kernels.gated_rmsnorm(h->out + t * dv, h->out + t * dv, a->norm, z, dv, a->eps);
    }
    qw_input_write(h->ops, a->out, b->first, b->n, column, dv, h->out, dv);
}

static void go_through(const head *h, const block *b)
{
    convolve(h, b, 0);
    convolve(h, b, 1);
    for (size_t i = 0; i < h->share; i++) {
        convolve(h, b, 2 + i);
        recur(h, b, i);
        if (!b->kept)
            put_out(h, b, i);
    }
}

/* ---- kept rows, rows on trial, rows that stay */

static block rows_of_pass(const head *h, size_t at, size_t n)
{
    const size_t first = h->segment->first + at, gates = first * h->a->value_heads;
    return (block){ .first = first,
                    .n = n,
                    .qkv = h->a->qkv + first * h->channels,
                    .log_decay = h->a->a + gates,
                    .beta = h->a->b + gates,
                    .tail = h->segment->tail };
}

typedef struct trial {
    float *log_decay, *beta, *qkv; /* [QW_MAX_TRIAL, Hv], likewise, [rows, channels] */
} trial;

static trial trial_of(const head *h)
{
    const size_t gates = QW_MAX_TRIAL * h->a->value_heads;
    return (trial){ h->segment->trial, h->segment->trial + gates, h->segment->trial + 2 * gates };
}

static void take_kept(const head *h)
{
    const trial t = trial_of(h);
    go_through(
        h, &(block){
               .n = h->segment->n_kept, .qkv = t.qkv, .log_decay = t.log_decay, .beta = t.beta, .tail = h->segment->tail, .kept = true });
}

/* What the rows put in, for the next call. */
static void remember(const head *h, const block *b)
{
    const trial t = trial_of(h);
    copy_channels(h, t.qkv, b->qkv, b->n);
    for (size_t r = 0; r < b->n; r++)
        for (size_t i = 0; i < h->share; i++) {
            const size_t at = r * h->a->value_heads + value_head(h, i);
            t.log_decay[at] = b->log_decay[at];
            t.beta[at] = b->beta[at];
        }
}

static void try_rows(const head *h)
{
    block b = rows_of_pass(h, 0, h->segment->n);
    copy_channels(h, h->trial_tail, h->segment->tail, h->a->taps - 1);
    b.tail = h->trial_tail;
    b.on_trial = true;
    go_through(h, &b);
    remember(h, &b);
}

static void save(const head *h, const qw_delta_save *to)
{
    copy_channels(h, to->tail, h->segment->tail, h->a->taps - 1);
    for (size_t i = 0; i < h->share; i++) {
        const size_t at = value_head(h, i) * state_floats(h);
        memcpy(to->state + at, h->segment->state + at, state_floats(h) * sizeof *to->state);
    }
}

static void take_rows(const head *h)
{
    const qw_delta_segment *s = h->segment;
    const qw_delta_save *next = s->saves, *end = next + s->n_saves;
    for (size_t at = 0, n; at < s->n; at += n) {
        n = s->n - at < BLOCK ? s->n - at : BLOCK;
        if (next < end && next->at - at < n)
            n = next->at - at;
        const block b = rows_of_pass(h, at, n);
        go_through(h, &b);
        for (; next < end && next->at == at + n; next++)
            save(h, next);
    }
}

/* ---- all of them */

typedef struct delta_job {
    const qw_ops *ops;
    const qw_delta_op_args *a;
} delta_job;

static head make_head(const delta_job *j, int worker)
{
    const qw_delta_op_args *a = j->a;
    const size_t share = a->value_heads / a->key_heads, width = mixed_width(a->key_dim, a->value_dim, share);
    head h = { .ops = j->ops,
               .a = a,
               .share = share,
               .width = width,
               .channels = 2 * a->key_heads * a->key_dim + a->value_heads * a->value_dim,
               .mixed = j->ops->workers[worker].delta };
    h.out = h.mixed + BLOCK * width;
    h.own = h.out + BLOCK * a->value_dim;
    h.trial_tail = h.own + qw_delta_scratch(a->key_dim, a->value_dim);
    return h;
}

static void key_heads(void *ctx, size_t begin, size_t end, int worker)
{
    const delta_job *j = ctx;
    head h = make_head(j, worker);
    for (size_t item = begin; item < end; item++) {
        h.segment = &j->a->segments[item / j->a->key_heads];
        h.index = item % j->a->key_heads;
        if (h.segment->n_kept)
            take_kept(&h);
        if (h.segment->on_trial)
            try_rows(&h);
        else
            take_rows(&h);
    }
}

/* Rows of a and b become log decays and betas. */
static void gate_rows(void *ctx, size_t begin, size_t end, int worker)
{
    const delta_job *j = ctx;
    const qw_delta_op_args *a = j->a;
    float *log_decay = a->a + begin * a->value_heads, *beta = a->b + begin * a->value_heads;
    j->ops->kernels.delta_gates(log_decay, beta, log_decay, beta, a->neg_exp_a, a->dt_bias, end - begin, a->value_heads);
    (void)worker;
}

void qw_op_delta(qw_ops *ops, const qw_delta_op_args *a)
{
    QW_TIMED(ops, QW_OP_DELTA);
    delta_job job = { ops, a };
    size_t n = 0;
    for (size_t i = 0; i < a->n_segments; i++)
        n += a->segments[i].n;
    qw_parallel_for(ops->pool, n, qw_grain(a->value_heads, GATES), gate_rows, &job);
    qw_input_begin(a->out, a->value_heads * a->value_dim, QW_ROLE_MIXED, a->forms, a->value_dim);
    qw_parallel_for(ops->pool, a->n_segments * a->key_heads, 1, key_heads, &job);
    qw_input_end(ops, a->out, n, QW_ROLE_MIXED, a->forms);
}

void qw_op_delta_settle(qw_ops *ops, const qw_delta_op_args *a)
{
    QW_TIMED(ops, QW_OP_DELTA);
    delta_job job = { ops, a };
    qw_parallel_for(ops->pool, a->n_segments * a->key_heads, 1, key_heads, &job);
}
