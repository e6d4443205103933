/* How far one model's next-token distributions are from another's: a point per position, and what many points say. In double precision. */
#ifndef QW_RUNTIME_DIVERGENCE_H
#define QW_RUNTIME_DIVERGENCE_H

#include "base/status.h"

/* One position. */
typedef struct qw_point {
    double kld;      /* KL divergence base || other, in nats */
    double top_dp;   /* |difference of the probabilities| of base's likeliest token */
    uint32_t sample; /* which text it belongs to; ascending in a list */
    uint8_t kinds;   /* bits, the caller's */
    bool top1;       /* both have the same likeliest token */
    uint8_t top5;    /* how many of base's five likeliest are among the other's five */
} qw_point;

/* From logits over n >= 1 tokens; `sample` and `kinds` are left alone. Of equal logits the lower id counts as likelier. False when a distribution cannot be told: a logit is
 * NaN or +infinity, or all are -infinity. Where the other gives no chance at all to a token that base may choose, kld is infinite. */
bool qw_point_measure(qw_point *out, const float *base, const float *other, size_t n);

/* -log of the probability of `id`, in nats. NAN where there is no distribution. */
double qw_surprise(const float *logits, size_t n, size_t id);

/* Of the points that have any of the bits `kinds`. Percentiles lie between two values as numpy's do. The error of the mean takes the points of one sample for one
 * draw. Fails when there is no memory for a copy of the values. */
qwren_status qw_points_summarize(const qw_point *points, size_t n, unsigned kinds, qwren_divergence *out, qwren_error *err);

/* Half of a 95 % confidence interval of a mean over `n` values in groups, from sum and size of each group; NAN for fewer than two groups. */
double qw_grouped_error(const double *sums, const size_t *sizes, size_t n_groups);

#endif
