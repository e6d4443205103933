/* Kullback-Leibler divergence of streamed logits (divergence.h). Tested by tests/unit/test_recipe.c. */
#include "convert/divergence.h"

#include <math.h>

#define LEAST (-1 + 0x1p-24) /* E[exp(-d)] - 1 is summed up in floats: below that it would be -1, whose logarithm is not finite */

static void raise_top(qw_divergence *v, double top)
{
    const double shrink = v->mass > 0 ? exp(v->top - top) : 0;
    v->top = top;
    v->mass *= shrink;
    v->mean *= shrink;
    v->excess *= shrink;
}

void qw_divergence_add(qw_divergence *v, const float *a, const float *b, size_t n)
{
    float top = -INFINITY;
    for (size_t i = 0; i < n; i++)
        top = a[i] > top ? a[i] : top;
    if ((double)top > v->top)
        raise_top(v, (double)top);
    for (size_t i = 0; i < n; i++) {
        const double p = (double)expf((float)((double)a[i] - v->top));
        const float d = a[i] - b[i];
        v->mass += p;
        v->mean += p * (double)d;
        v->excess += p * (double)expm1f(-d);
    }
}

double qw_divergence_value(const qw_divergence *v)
{
    if (v->mass == 0)
        return 0; /* nothing was added */
    const double rest = v->excess / v->mass, kl = v->mean / v->mass + log1p(rest < LEAST ? LEAST : rest);
    return kl < 0 ? 0 : kl; /* NaN stays NaN */
}
