/* The CPU as a device: a pool of threads over one table of kernels. Private to src/compute/cpu. */
#ifndef QW_COMPUTE_CPU_H
#define QW_COMPUTE_CPU_H

#include "base/thread.h"
#include "compute/ops.h"
#include "kernels/kernels.h"

#define QW_PANEL 64        /* rows of two matrices whose products a thread keeps to itself: one group of the input that they become */
#define QW_TILE_TOKENS 512 /* tokens at a time then */
#define QW_TILE_FLOATS ((size_t)2 * QW_PANEL * QW_TILE_TOKENS)

/* Rows [at, at + n) of a version of an input. */
typedef struct qw_rows_id {
    uint64_t version; /* 0: of none */
    size_t at, n;
} qw_rows_id;

/* Scratch of one thread. */
typedef struct qw_worker {
    float *tile;      /* [QW_TILE_FLOATS] products that become something else at once */
    float *row;       /* [needs.cols] */
    float *delta;     /* a block of tokens of one key head (delta.c) */
    float *queries;   /* a tile of them (attention.c) */
    void *attend;     /* qw_attend_scratch(needs.head_dim) bytes */
    void *q8;         /* qw_q8_scratch(needs.cols) bytes */
    qw_rows_id ready; /* what the last product left there */
} qw_worker;

struct qw_ops {
    qw_pool *pool;
    qw_kernels kernels;
    qwren_arithmetic arithmetic;
    qw_linear_observer observe; /* or NULL */
    void *observe_ctx;
    qw_profile *profile; /* or NULL */
    bool timing;         /* an operation that uses others counts alone */
    void *scratch;       /* of all workers, one block */
    qw_worker *workers;  /* [threads]; NULL before qw_ops_reserve */
};

/* Items of one piece of work, so that a piece is worth waking a thread for: about `wanted` floats. */
static inline size_t qw_grain(size_t floats_per_item, size_t wanted)
{
    size_t n = floats_per_item ? wanted / floats_per_item : wanted;
    return n ? n : 1;
}

/* ---- where the time goes (device.c) */

typedef struct qw_timer {
    qw_ops *ops; /* NULL: nobody asks */
    qw_op_kind kind;
    double begun_s;
} qw_timer;
qw_timer qw_timer_begin(qw_ops *ops, qw_op_kind kind);
void qw_timer_end(const qw_timer *t);
/* At the beginning of an operation: its time counts up to the end of the function. */
#define QW_TIMED(ops, kind) __attribute__((cleanup(qw_timer_end))) const qw_timer timer = qw_timer_begin(ops, kind)

/* floats of qw_worker.delta and .queries */
size_t qw_delta_floats(const qw_ops_needs *needs);
size_t qw_query_floats(const qw_ops_needs *needs);

/* y [n, rows] = rows [first, first + rows) of w times rows [at, at + n) of the input; += when `add`, which only eight-bit kernels can. */
void qw_multiply(const qw_ops *ops, qw_worker *own, float *y, size_t y_stride, const qw_matrix *w, size_t first, size_t rows,
                 const qw_input *in, size_t at, size_t n, bool add);

/* ---- inputs (input.c) */

/* The form in which a matrix reads its input. */
qw_form qw_form_of(const qw_ops *ops, const qw_matrix *w);
/* `in` is about to receive rows of `cols` values in these forms. */
void qw_input_shape(qw_input *in, size_t cols, qw_role role, unsigned forms);
/* Columns [col, col + n) of n_rows rows in all of their forms; col and n are multiples of QW_Q8_GROUP when Q8 is one of them. x: rows x_stride apart; may stand in in->f32. */
void qw_input_write(const qw_ops *ops, const qw_input *in, size_t row, size_t n_rows, size_t col, size_t n, const float *x,
                    size_t x_stride);
/* Around an operation that writes `piece` columns at a time, when they may be no whole groups: then it writes floats alone, and the other forms are made of n
 * rows at the end. */
void qw_input_begin(qw_input *in, size_t cols, qw_role role, unsigned forms, size_t piece);
void qw_input_end(qw_ops *ops, qw_input *in, size_t n, qw_role role, unsigned forms);

#endif
