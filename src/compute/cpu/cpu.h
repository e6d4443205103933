/* The CPU as a device: a pool of threads over one table of kernels. Private to src/compute/cpu. */
#ifndef QW_COMPUTE_CPU_H
#define QW_COMPUTE_CPU_H

#include "base/thread.h"
#include "compute/ops.h"
#include "kernels/kernels.h"

struct qw_ops {
    qw_pool *pool;
    qw_kernels kernels;
    qw_linear_observer observe; /* or NULL */
    void *observe_ctx;
    float *delta_scratch; /* [threads, delta_floats] */
    size_t delta_floats;
};

/* Items of one piece of work, so that a piece is worth waking a thread for: about `wanted` floats. */
static inline size_t qw_grain(size_t floats_per_item, size_t wanted)
{
    size_t n = floats_per_item ? wanted / floats_per_item : wanted;
    return n ? n : 1;
}

#endif
