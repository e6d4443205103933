/* How far one distribution over the vocabulary is from another, when their logits come in pieces. */
#ifndef QW_CONVERT_DIVERGENCE_H
#define QW_CONVERT_DIVERGENCE_H

#include <stddef.h>

/* KL(p || q) of p = softmax(a), q = softmax(b) is E_p[d] + log E_p[exp(-d)] with d = a - b: no difference of large numbers, exact for near
 * equals. Begin with QW_DIVERGENCE_INIT. */
typedef struct qw_divergence {
    double top;    /* largest a so far: the sums are of exp(a - top) */
    double mass;   /* sum of exp(a) */
    double mean;   /* sum of exp(a) d */
    double excess; /* sum of exp(a) (exp(-d) - 1) */
} qw_divergence;
#define QW_DIVERGENCE_INIT ((qw_divergence){ -1e300, 0, 0, 0 })

void qw_divergence_add(qw_divergence *v, const float *a, const float *b, size_t n);
double qw_divergence_value(const qw_divergence *v); /* in nats; never negative; NAN when a logit was not finite */

#endif
