/* Counting over the decoded values of a matrix (stats.h). Tested by tests/unit/test_quant_stats.c. */
#include "quant/stats.h"

#include <math.h>

#define COLUMNS 256 /* decoded at a time; a multiple of the block of every type */
#define SLICES 128  /* of the rows: each has sums of its own, added up in order */

typedef struct stats_job {
    const qw_matrix *w;
    size_t n_slices;
    qw_stats slices[SLICES];
} stats_job;

static const qw_stats nothing = { .bad_row = SIZE_MAX, .bad_col = SIZE_MAX };

static void count_bad(qw_stats *s, float x, size_t row, size_t col)
{
    if (isnan(x))
        s->n_nan++;
    else
        s->n_inf++;
    if (s->bad_row == SIZE_MAX) {
        s->bad_row = row;
        s->bad_col = col;
    }
}

static void count_row(qw_stats *s, const qw_matrix *w, size_t row)
{
    float values[COLUMNS];
    for (size_t at = 0; at < w->cols; at += COLUMNS) {
        const size_t n = w->cols - at < COLUMNS ? w->cols - at : COLUMNS;
        qw_matrix_decode(w, row, at, n, values);
        for (size_t i = 0; i < n; i++) {
            if (!isfinite(values[i])) {
                count_bad(s, values[i], row, at + i);
                continue;
            }
            s->largest = fabsf(values[i]) > s->largest ? fabsf(values[i]) : s->largest;
            s->squares += (double)values[i] * values[i];
        }
    }
    s->n += w->cols;
}

static void count_slices(void *ctx, size_t begin, size_t end, int worker)
{
    stats_job *j = ctx;
    for (size_t i = begin; i < end; i++) {
        qw_stats *s = &j->slices[i];
        *s = nothing;
        for (size_t row = j->w->rows * i / j->n_slices; row < j->w->rows * (i + 1) / j->n_slices; row++)
            count_row(s, j->w, row);
    }
    (void)worker;
}

static void add(qw_stats *to, const qw_stats *s)
{
    to->n += s->n;
    to->n_nan += s->n_nan;
    to->n_inf += s->n_inf;
    if (to->bad_row == SIZE_MAX) {
        to->bad_row = s->bad_row;
        to->bad_col = s->bad_col;
    }
    to->largest = s->largest > to->largest ? s->largest : to->largest;
    to->squares += s->squares;
}

qw_stats qw_matrix_stats(const qw_matrix *w, qw_pool *pool)
{
    stats_job j = { .w = w, .n_slices = w->rows < SLICES ? w->rows : SLICES };
    qw_stats all = nothing;
    if (pool)
        qw_parallel_for(pool, j.n_slices, 1, count_slices, &j);
    else
        count_slices(&j, 0, j.n_slices, 0);
    for (size_t i = 0; i < j.n_slices; i++)
        add(&all, &j.slices[i]);
    return all;
}

double qw_stats_rms(const qw_stats *s)
{
    const size_t finite = s->n - s->n_nan - s->n_inf;
    return finite ? sqrt(s->squares / (double)finite) : 0;
}
