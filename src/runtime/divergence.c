/* Divergence of two distributions, and statistics over many (divergence.h). The measure behind `qwren eval kld`. Tested by tests/unit/test_divergence.c
 * against values that numpy and scipy computed. */
#include "runtime/divergence.h"

#include "base/alloc.h"

#include <math.h>
#include <stdlib.h>

#define TOP 5
#define Z95 1.959963984540054 /* the normal distribution's 97.5 % quantile */

/* ---- one position */

/* Log of the sum of exp(x) is most + log_sum. Kept apart: a large `most` would swallow the rest. */
typedef struct norm {
    double most, log_sum;
} norm;

static bool find_norm(norm *out, const float *x, size_t n)
{
    double most = -INFINITY, sum = 0;
    for (size_t i = 0; i < n; i++) {
        if (isnan(x[i]) || x[i] == INFINITY)
            return false;
        most = fmax(most, (double)x[i]);
    }
    if (most == -INFINITY)
        return false;
    for (size_t i = 0; i < n; i++)
        sum += exp((double)x[i] - most);
    *out = (norm){ most, log(sum) };
    return true;
}

static double log_chance(norm z, float x) { return (double)x - z.most - z.log_sum; }

/* The ids of the largest values, the largest first; fewer when there are fewer. */
static size_t find_top(const float *x, size_t n, size_t top[TOP])
{
    size_t found = 0;
    for (size_t i = 0; i < n; i++) {
        size_t at = found < TOP ? found++ : TOP;
        if (at == TOP) {
            if (x[i] <= x[top[TOP - 1]])
                continue;
            at = TOP - 1;
        }
        for (; at > 0 && x[i] > x[top[at - 1]]; at--)
            top[at] = top[at - 1];
        top[at] = i;
    }
    return found;
}

static uint8_t count_shared(const size_t *a, const size_t *b, size_t n)
{
    uint8_t shared = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < n; k++)
            shared = (uint8_t)(shared + (a[i] == b[k]));
    return shared;
}

static double divergence(const float *base, const float *other, size_t n, norm base_norm, norm other_norm)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++) {
        double log_p = log_chance(base_norm, base[i]), p = exp(log_p);
        if (p > 0)
            sum += p * (log_p - log_chance(other_norm, other[i]));
    }
    return sum > 0 ? sum : 0; /* less is rounding */
}

bool qw_point_measure(qw_point *out, const float *base, const float *other, size_t n)
{
    norm base_norm, other_norm;
    size_t base_top[TOP], other_top[TOP];
    if (!find_norm(&base_norm, base, n) || !find_norm(&other_norm, other, n))
        return false;
    size_t found = find_top(base, n, base_top), best = base_top[0];
    find_top(other, n, other_top);
    out->kld = divergence(base, other, n, base_norm, other_norm);
    out->top_dp = fabs(exp(log_chance(base_norm, base[best])) - exp(log_chance(other_norm, other[best])));
    out->top1 = best == other_top[0];
    out->top5 = count_shared(base_top, other_top, found);
    return true;
}

double qw_surprise(const float *logits, size_t n, size_t id)
{
    norm z;
    return find_norm(&z, logits, n) ? -log_chance(z, logits[id]) : NAN;
}

/* ---- many positions */

double qw_grouped_error(const double *sums, const size_t *sizes, size_t n_groups)
{
    double total = 0, count = 0, squares = 0;
    for (size_t i = 0; i < n_groups; i++) {
        total += sums[i];
        count += (double)sizes[i];
    }
    if (n_groups < 2 || count == 0)
        return NAN;
    for (size_t i = 0; i < n_groups; i++) {
        double rest = sums[i] - total / count * (double)sizes[i];
        squares += rest * rest;
    }
    return Z95 * sqrt(squares * (double)n_groups / (double)(n_groups - 1)) / count;
}

static int compare_doubles(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of ascending values; `part` from 0 to 1. */
static double percentile(const double *values, size_t n, double part)
{
    double place = part * (double)(n - 1);
    size_t below = (size_t)place;
    if (below + 1 >= n)
        return values[n - 1];
    double rest = place - (double)below;
    return rest > 0 ? values[below] + (values[below + 1] - values[below]) * rest : values[below];
}

/* Room for a value, and for a group, of every point. */
typedef struct lists {
    double *values, *sums;
    size_t *sizes;
    size_t n, n_groups;
} lists;

static void lists_free(lists *l)
{
    qw_free(l->values);
    qw_free(l->sums);
    qw_free(l->sizes);
}

static void collect(lists *l, const qw_point *points, size_t n, unsigned kinds, qwren_divergence *out)
{
    size_t same = 0, shared = 0;
    double dp = 0;
    uint32_t sample = 0;
    for (size_t i = 0; i < n; i++) {
        const qw_point *p = &points[i];
        if (!(p->kinds & kinds))
            continue;
        if (!l->n_groups || p->sample != sample) {
            l->sums[l->n_groups] = 0;
            l->sizes[l->n_groups++] = 0;
            sample = p->sample;
        }
        l->sums[l->n_groups - 1] += p->kld;
        l->sizes[l->n_groups - 1]++;
        l->values[l->n++] = p->kld;
        same += p->top1;
        shared += p->top5;
        dp += p->top_dp;
    }
    if (l->n) {
        out->top1 = (double)same / (double)l->n;
        out->top5 = (double)shared / (double)(TOP * l->n);
        out->top_dp = dp / (double)l->n;
    }
}

static void finish(lists *l, qwren_divergence *out)
{
    double sum = 0;
    out->n_tokens = l->n;
    if (!l->n)
        return;
    qsort(l->values, l->n, sizeof *l->values, compare_doubles);
    for (size_t i = 0; i < l->n; i++) /* from small to large: least rounding */
        sum += l->values[i];
    out->mean = sum / (double)l->n;
    out->mean_error = qw_grouped_error(l->sums, l->sizes, l->n_groups);
    out->median = percentile(l->values, l->n, 0.5);
    out->p90 = percentile(l->values, l->n, 0.9);
    out->p99 = percentile(l->values, l->n, 0.99);
    out->max = l->values[l->n - 1];
}

qwren_status qw_points_summarize(const qw_point *points, size_t n, unsigned kinds, qwren_divergence *out, qwren_error *err)
{
    size_t room = n ? n : 1;
    lists l = { qw_alloc_array(room, sizeof(double)), qw_alloc_array(room, sizeof(double)), qw_alloc_array(room, sizeof(size_t)), 0, 0 };
    qwren_status st = QWREN_OK;
    *out = (qwren_divergence){ 0, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN, NAN };
    if (l.values && l.sums && l.sizes) {
        collect(&l, points, n, kinds, out);
        finish(&l, out);
    } else {
        st = qw_fail_memory(err, 3 * room * sizeof(double), "the statistics");
    }
    lists_free(&l);
    return st;
}
