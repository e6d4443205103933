/* Arithmetic on raw pointers: one thread, no allocation, no model. A table of functions; kernels/ref fills every slot with the plain C meaning, faster
 * levels overwrite what they do better. Unless said otherwise arrays are dense, row-major float and must not overlap. Weight rows may be unaligned. */
#ifndef QW_KERNELS_H
#define QW_KERNELS_H

#include "kernels/cpu.h"
#include "kernels/kv.h"
#include "kernels/q8.h"

/* The gated delta rule for one value head over n tokens (docs/model.md, section 4). Token i's rows stand i * its stride behind the first. */
typedef struct qw_delta_args {
    float *out;             /* [value_dim], stride out_stride */
    float *state;           /* [qw_delta_state_floats(key_dim, value_dim)], read and, unless on trial, written */
    const float *q, *k, *v; /* as the convolution leaves them: not normalised; stride in_stride */
    const float *log_decay; /* g <= 0, one per token, stride gate_stride */
    const float *beta;      /* likewise */
    size_t out_stride, in_stride, gate_stride;
    size_t n_tokens, key_dim, value_dim;
    bool on_trial;  /* the state stays as it is; n_tokens <= QW_DELTA_BLOCK then */
    float *scratch; /* [qw_delta_scratch(key_dim, value_dim)] */
} qw_delta_args;

/* A head's state: [key_dim, value_dim], and behind it the number that all of it is to be multiplied with (0 counts as 1: a state of zeros is empty). Filled up to
 * whole cache lines. */
static inline size_t qw_delta_state_floats(size_t key_dim, size_t value_dim) { return (key_dim * value_dim + 16) / 16 * 16; }
/* out [key_dim, value_dim] = the state itself. For tests and state files. */
void qw_delta_state_get(const float *state, size_t key_dim, size_t value_dim, float *out);

#define QW_DELTA_BLOCK 64 /* tokens whose q, k and v are made ready at once */
#define QW_DELTA_SLICE 32 /* columns of the state that go through a block's tokens at once */
/* floats of scratch that the slot delta needs, for any number of tokens */
size_t qw_delta_scratch(size_t key_dim, size_t value_dim);

/* What a level's own instruction can do at most, in registers: `run` does so many rounds of it and returns the operations (a multiply-add is two). What
 * comes out is added to *sink, so that it is computed. */
typedef struct qw_peak {
    const char *name; /* of the instruction */
    uint64_t (*run)(uint64_t rounds, float *sink);
} qw_peak;

typedef struct qw_kernels {
    /* y[t][r] = w[first + r] . x[t] for r < n_rows and tokens t; NULL for types that are no weights. The order of the sum depends on w->cols
     * alone, so a token's result is the same whatever is computed beside it. */
    void (*matmul[QW_TYPE_COUNT])(float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t n_rows, const float *x,
                                  size_t x_stride, size_t n_tokens);
    /* The same with activations in eight bits (q8.h); NULL for types that are multiplied in float alone. */
    void (*matmul_q8[QW_TYPE_COUNT])(const qw_q8_matmul *a);
    void (*quantize)(const qw_q8_quantize *a);
    /* BF16 weights with activations in bf16 (as matmul otherwise), and the rounding to it, nearest even; NULL where the processor has no such product. */
    void (*matmul_bf16)(float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t n_rows, const uint16_t *x, size_t x_stride,
                        size_t n_tokens);
    void (*to_bf16)(uint16_t *y, const float *x, size_t n);
    /* one row of weights as floats [w->cols] */
    void (*decode[QW_TYPE_COUNT])(float *out, const qw_matrix *w, size_t row);
    void (*rmsnorm)(float *y, const float *x, const float *w, size_t n, float eps);                   /* y = x / rms(x) * w; y may be x */
    void (*layernorm)(float *y, const float *x, const float *w, const float *b, size_t n, float eps); /* y may be x */
    void (*gated_rmsnorm)(float *y, const float *x, const float *w, const float *z, size_t n,
                          float eps);                                         /* x / rms(x) * w * silu(z); y may be x */
    void (*add)(float *y, const float *x, size_t n);                          /* y += x */
    void (*silu_mul)(float *y, const float *gate, const float *up, size_t n); /* silu(gate) * up; y may be either */
    void (*sigmoid_mul)(float *y, const float *gate, size_t n);               /* y *= sigmoid(gate) */
    void (*gelu_tanh)(float *x, size_t n);                                    /* in place, the tanh form */
    void (*gelu_erf)(float *x, size_t n);                                     /* in place, exact */
    void (*rope)(float *x, const float *cos, const float *sin, size_t half);  /* pairs (i, i + half), in place */
    float (*max)(const float *x, size_t n);                                   /* the largest; -infinity for none, NaN is passed over */
    /* log_decay = neg_exp_a * ln(1 + e^(a + dt_bias)), beta = sigmoid(b): [n, heads], neg_exp_a and dt_bias [heads]; log_decay may be a, beta may be b */
    void (*delta_gates)(float *log_decay, float *beta, const float *a, const float *b, const float *neg_exp_a, const float *dt_bias,
                        size_t n, size_t heads);
    /* Keys and values (kv.h); NULL for PAIRS where the processor has no such product. */
    void (*kv_append[QW_KV_TYPES])(const qw_kv_append_args *a);
    void (*attend[QW_KV_TYPES])(const qw_attend_args *a);
    /* Parts [n_tokens * n_heads, qw_attend_part_floats(head_dim)] of splits [first, first + n), split_stride floats apart. */
    void (*attend_splits[QW_KV_TYPES])(const qw_attend_args *a, size_t first, size_t n, float *parts, size_t split_stride);
    /* One query's result from its parts, which lie part_stride floats apart. */
    void (*attend_merge)(float *out, size_t head_dim, const float *parts, size_t part_stride, size_t n_parts);
    /* Depthwise causal convolution and silu over channels [0, n) of rows that are `stride` apart (those of y `y_stride`): y[t] = silu(sum_j w[j] * x[t - taps + 1 + j]). `tail` [taps - 1,
     * stride] holds the inputs before the first, oldest first, and receives the last ones. w is [taps, stride]. */
    void (*conv_silu)(float *y, size_t y_stride, const float *x, float *tail, const float *w, size_t stride, size_t n, size_t n_tokens,
                      size_t taps);
    /* Tokens in order: the same bits however they are cut into calls. */
    void (*delta)(const qw_delta_args *a);
    /* For measuring the machine: products of bytes, and of floats or bf16, whichever is faster; reading n bytes once, a multiple of 256: the sum of their words. */
    qw_peak dot_peak, float_peak;
    uint64_t (*read)(const void *p, size_t n);
} qw_kernels;

/* The table of a level that this machine can run (cpu.h). Slots that a level does not fill are those of the level before it. */
qw_kernels qw_kernels_of(qw_cpu_level level);
/* The best one. */
qw_kernels qw_kernels_get(void);

#endif
