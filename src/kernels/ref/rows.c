/* One query against its keys, in plain C: softmax in one pass over blocks of keys, so that memory does not grow with the context. Tested by
 * tests/unit/test_kernels.c and tests/golden/test_ops.c. */
#include "kernels/ref/ref.h"

#include <math.h>

#define KEYS 64 /* scored at a time */

/* out = out * keep + sum_j weight[j] * v[j] */
static void accumulate(float *restrict out, float keep, const float *restrict weight, const float *v, size_t stride, size_t n_keys,
                       size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] *= keep;
    for (size_t j = 0; j < n_keys; j++) {
        const float *restrict row = v + j * stride;
        for (size_t i = 0; i < n; i++)
            out[i] += weight[j] * row[i];
    }
}

void qw_attend_rows_ref(const qw_attend_rows_args *a)
{
    float top = -INFINITY, total = 0, score[KEYS];
    for (size_t i = 0; i < a->head_dim; i++)
        a->out[i] = 0;
    for (size_t at = 0; at < a->n_keys; at += KEYS) {
        size_t n = a->n_keys - at < KEYS ? a->n_keys - at : KEYS;
        float new_top = top;
        for (size_t j = 0; j < n; j++) {
            score[j] = a->scale * qw_dot_ref(a->q, a->k + (at + j) * a->kv_stride, a->head_dim);
            new_top = score[j] > new_top ? score[j] : new_top;
        }
        float keep = expf(top - new_top); /* 0 in the first block */
        total *= keep;
        for (size_t j = 0; j < n; j++)
            total += score[j] = expf(score[j] - new_top);
        accumulate(a->out, keep, score, a->v + at * a->kv_stride, a->kv_stride, n, a->head_dim);
        top = new_top;
    }
    for (size_t i = 0; i < a->head_dim; i++)
        a->out[i] /= total;
}
