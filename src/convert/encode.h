/* Floats -> codes of MLX's affine formats. Pure arithmetic on rows: knows neither tensors nor files. Rows are independent of each other, so
 * the caller may give different rows to different threads; the result does not depend on how rows are grouped into calls. */
#ifndef QW_CONVERT_ENCODE_H
#define QW_CONVERT_ENCODE_H

#include "base/status.h"
#include "base/thread.h"
#include "quant/matrix.h"

/* Raise it with every change after which the same source and options give other codes: of encoding, moments, calibration, recipes, or of
 * what a layer computes. Work that was begun with another one is not gone on with: a model would hold codes of both. */
#define QW_CODES_VERSION 1

typedef enum qw_encode_method {
    QW_ENCODE_PLAIN,   /* as mlx.quantize does, to the bit */
    QW_ENCODE_SEARCH,  /* scale and bias of each group chosen for the smallest weighted error */
    QW_ENCODE_FEEDBACK /* SEARCH, and each column's error is made up for by the columns after it (GPTQ) */
} qw_encode_method;

/* What calibration knows about the inputs of a matrix: sums of x x^T, in blocks of `block` columns along the diagonal (block >= cols: the
 * whole matrix; 0: the diagonal alone, enough for SEARCH). Error feedback works inside a block. Matrices with the same input share one. */
typedef struct qw_moments qw_moments;
qwren_status qw_moments_create(qw_moments **out, size_t cols, size_t block, qwren_error *err);
/* Rows of x [n, cols]. Rows with a value that is not finite, or beyond 1e12, are left out, which finish tells. pool (NULL: this thread
 * alone) changes the speed, never the sums. */
void qw_moments_add(qw_moments *m, qw_pool *pool, const float *x, size_t n);
/* The same where the layers before are coded already: x as they give it now, source [n, cols] the same rows as they were. Error feedback
 * then codes weights that first make up, as far as the inputs tell, for what the layers before did wrong. */
qwren_status qw_moments_add_pair(qw_moments *m, qw_pool *pool, const float *x, const float *source, size_t n, qwren_error *err);
/* As if each column also came alone, with `share` of the columns' mean strength. For an embedding that is the head too: as the head its
 * rows meet the inputs that were added, as the embedding any error of a row goes on as it is; .5 served best. Before finish. */
void qw_moments_spread(qw_moments *m, double share);
/* After the last add, once: damps and factors. E_FORMAT when rows were added and none could be used. Only then encode and qw_moments_error
 * may use it, from any number of threads. */
qwren_status qw_moments_finish(qw_moments *m, qw_pool *pool, qwren_error *err);
/* Mean of (d . x)^2 over the inputs x seen, d [cols]: what a row's error d does to its output. Blocks are taken as independent. */
double qw_moments_error(const qw_moments *m, const float *d);
size_t qw_moments_bytes(size_t cols, size_t block); /* memory of one, for planning, pairs included; SIZE_MAX on overflow */
void qw_moments_free(qw_moments *m);                /* NULL is allowed */

/* Rows [first, first + n) of out <- w [n, out->cols]. out describes the result (affine type, group, scale_type) and its data, scales,
 * biases point to writable memory of the whole matrix (const in qw_matrix, written here). `moments` (finished) may be NULL except for
 * FEEDBACK, which needs a block. Fails with E_MEMORY, or with E_FORMAT when a weight is not finite or too large for scale_type ("row 3,
 * column 17 is not a finite number": the caller knows the tensor); the rows are then undefined. */
qwren_status qw_encode_rows(const qw_matrix *out, size_t first, size_t n, const float *w, qw_encode_method method,
                            const qw_moments *moments, qwren_error *err);

#endif
