/* Floats -> codes of MLX's affine formats. Pure arithmetic on rows: knows neither tensors nor files. Rows are independent of each other, so the caller
 * may give different rows to different threads. */
#ifndef QW_CONVERT_ENCODE_H
#define QW_CONVERT_ENCODE_H

#include "base/status.h"
#include "quant/matrix.h"

typedef enum qw_encode_method {
    QW_ENCODE_PLAIN,   /* as mlx.quantize does, to the bit */
    QW_ENCODE_SEARCH,  /* scale and bias of each group chosen for the smallest weighted error */
    QW_ENCODE_FEEDBACK /* SEARCH, and each column's error is made up for by the columns after it (GPTQ) */
} qw_encode_method;

/* What calibration knows about the inputs of a matrix. */
typedef struct qw_moments qw_moments;
/* Sums of x x^T over rows of x [n, cols], in blocks of `block` columns along the diagonal (block >= cols: the whole matrix; 0: the diagonal alone). Error
 * feedback works inside a block. */
qwren_status qw_moments_create(qw_moments **out, size_t cols, size_t block, qwren_error *err);
void qw_moments_add(qw_moments *m, const float *x, size_t n, int n_threads_hint);
/* After the last add: damps, factors. Only then encode may use it. */
qwren_status qw_moments_finish(qw_moments *m, qwren_error *err);
size_t qw_moments_bytes(size_t cols, size_t block); /* memory of one, for planning */
void qw_moments_free(qw_moments *m);                /* NULL is allowed */

/* Rows [first, first + n) of out <- w [n, out->cols]. out describes the result (affine type, group, scale_type) and its data, scales, biases point to
 * writable memory of the whole matrix. `moments` may be NULL except for FEEDBACK. E_MEMORY is the only failure. */
qwren_status qw_encode_rows(const qw_matrix *out, size_t first, size_t n, const float *w, qw_encode_method method, const qw_moments *moments,
                            qwren_error *err);

#endif
