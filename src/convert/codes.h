/* A block of a float matrix -> codes, by all threads, and how far they are from it. */
#ifndef QW_CONVERT_CODES_H
#define QW_CONVERT_CODES_H

#include "base/thread.h"
#include "convert/encode.h"

/* Memory for the codes, scales and biases that *m describes (type, rows, cols, group, scale_type); m->data, scales, biases are set. On
 * failure they are NULL. Free with qw_codes_free(). */
qwren_status qw_codes_alloc(qw_matrix *m, qwren_error *err);
void qw_codes_free(qw_matrix *m); /* safe on zeros */

/* Of each row: the sum of its squares, and of the squares of what the codes miss. */
typedef struct qw_code_sums {
    double squares, errors;
} qw_code_sums;

/* All rows of `source` (a float type) -> out, which has as many. sums [rows]. `name` is the tensor's, `first` the number of its first row,
 * for messages. */
qwren_status qw_codes_make(qw_pool *pool, const qw_matrix *out, const qw_matrix *source, qw_encode_method method, const qw_moments *moments,
                           qw_code_sums *sums, const char *name, size_t first, qwren_error *err);

#endif
