/* Gated DeltaNet between its projections. One item of work is a key head of one timeline with all value heads that read it: a block of tokens goes through
 * convolution, delta rule and gated norm while it is in the cache, then the next block. Tested by tests/unit/test_ops.c and tests/golden/test_ops.c. */
#include "compute/cpu/cpu.h"

#define BLOCK QW_DELTA_BLOCK /* tokens */
#define GATES 4096           /* of one piece of work */
#define AHEAD 4              /* rows of z that are asked for before they are read: they are far apart */
#define LINE 16              /* floats of a cache line */

/* mixed [BLOCK, 2 dk + share * dv] | out [BLOCK, dv] | the kernel's own */
size_t qw_delta_floats(const qw_ops_needs *n)
{
    return BLOCK * (2 * n->key_dim + (n->values_per_key + 1) * n->value_dim) + qw_delta_scratch(n->key_dim, n->value_dim);
}

size_t qw_op_delta_state(size_t value_heads, size_t key_dim, size_t value_dim)
{
    return value_heads * qw_delta_state_floats(key_dim, value_dim);
}

typedef struct block {
    const qw_ops *ops;
    const qw_delta_op_args *a;
    const qw_delta_segment *segment;
    size_t first, n;          /* rows of the pass */
    size_t share, width;      /* value heads of a key head; floats of a row of mixed */
    float *mixed, *out, *own; /* the thread's scratch */
} block;

/* Channels [from, from + n) -> columns of mixed. */
static void convolve(const block *b, size_t column, size_t from, size_t n)
{
    const qw_delta_op_args *a = b->a;
    const size_t channels = 2 * a->key_heads * a->key_dim + a->value_heads * a->value_dim;
    b->ops->kernels.conv_silu(b->mixed + column, b->width, a->qkv + b->first * channels + from, b->segment->tail + from, a->conv + from,
                              channels, n, b->n, a->taps);
}

/* Value head `head`, the i-th of its key head. */
static void value_head(const block *b, size_t head, size_t i)
{
    const qw_delta_op_args *a = b->a;
    const size_t dk = a->key_dim, dv = a->value_dim, row = a->value_heads * dv;
    b->ops->kernels.delta(&(qw_delta_args){ .out = b->out,
                                            .state = b->segment->state + head * qw_delta_state_floats(dk, dv),
                                            .q = b->mixed,
                                            .k = b->mixed + dk,
                                            .v = b->mixed + 2 * dk + i * dv,
                                            .log_decay = a->a + b->first * a->value_heads + head,
                                            .beta = a->b + b->first * a->value_heads + head,
                                            .out_stride = dv,
                                            .in_stride = b->width,
                                            .gate_stride = a->value_heads,
                                            .n_tokens = b->n,
                                            .key_dim = dk,
                                            .value_dim = dv,
                                            .scratch = b->own });
    for (size_t t = 0; t < b->n; t++) {
        const float *z = a->z + (b->first + t) * row + head * dv;
        for (size_t c = 0; c < dv; c += LINE)
            __builtin_prefetch(z + AHEAD * row + c, 0, 3);
        b->ops->kernels.gated_rmsnorm(b->out + t * dv, b->out + t * dv, a->norm, z, dv, a->eps);
    }
    qw_input_write(b->ops, a->out, b->first, b->n, head * dv, dv, b->out, dv);
}

static void key_head(block *b, size_t head)
{
    const qw_delta_op_args *a = b->a;
    const size_t dk = a->key_dim, dv = a->value_dim, keys = a->key_heads * dk, end = b->segment->first + b->segment->n;
    for (b->first = b->segment->first; b->first < end; b->first += b->n) {
        b->n = end - b->first < BLOCK ? end - b->first : BLOCK;
        convolve(b, 0, head * dk, dk);
        convolve(b, dk, keys + head * dk, dk);
        for (size_t i = 0; i < b->share; i++) {
            const size_t value = a->tiled ? i * a->key_heads + head : head * b->share + i;
            convolve(b, 2 * dk + i * dv, 2 * keys + value * dv, dv);
            value_head(b, value, i);
        }
    }
}

typedef struct delta_job {
    const qw_ops *ops;
    const qw_delta_op_args *a;
} delta_job;

static void key_heads(void *ctx, size_t begin, size_t end, int worker)
{
    const delta_job *j = ctx;
    const qw_delta_op_args *a = j->a;
    const size_t share = a->value_heads / a->key_heads, width = 2 * a->key_dim + share * a->value_dim;
    float *scratch = j->ops->workers[worker].delta;
    block b = { .ops = j->ops, .a = a, .share = share, .width = width, .mixed = scratch };
    b.out = b.mixed + BLOCK * width;
    b.own = b.out + BLOCK * a->value_dim;
    for (size_t item = begin; item < end; item++) {
        b.segment = &a->segments[item / a->key_heads];
        key_head(&b, item % a->key_heads);
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
