/* What the values of a matrix look like, whatever its format: for those who look for damage. */
#ifndef QW_QUANT_STATS_H
#define QW_QUANT_STATS_H

#include "base/thread.h"
#include "quant/matrix.h"

typedef struct qw_stats {
    size_t n, n_nan, n_inf;  /* values; those that are no numbers, and those that are no finite ones */
    size_t bad_row, bad_col; /* where the first of these stands; SIZE_MAX when there is none */
    float largest;           /* magnitude, of the finite values; 0: nothing but zeros */
    double squares;          /* sum over the finite values; the same for any number of threads */
} qw_stats;

/* Decodes every value once. pool may be NULL: this thread alone. */
qw_stats qw_matrix_stats(const qw_matrix *w, qw_pool *pool);
/* Root of the mean square of the finite values; 0 of nothing. */
double qw_stats_rms(const qw_stats *s);

#endif
