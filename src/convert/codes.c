/* Rows of weights, shared out over the pool: each piece becomes floats, then codes, then floats again for the error (codes.h). Tested by
 * tests/unit/test_quantize.c. */
#include "convert/codes.h"

#include "base/alloc.h"

#define PIECE_FLOATS 65536 /* of a thread at a time */

/* ---- memory */

qwren_status qw_codes_alloc(qw_matrix *m, qwren_error *err)
{
    const size_t codes = m->rows * qw_matrix_row_bytes(m),
                 scales = m->rows * (m->cols / (size_t)m->group) * qw_type_block_bytes(m->scale_type);
    char *block = qw_malloc(codes + 2 * scales);
    m->data = m->scales = m->biases = NULL;
    if (!block)
        return qw_fail_memory(err, codes + 2 * scales, "codes");
    m->data = block; /* whole words, so that the scales behind them are aligned */
    m->scales = block + codes;
    m->biases = block + codes + scales;
    return QWREN_OK;
}

void qw_codes_free(qw_matrix *m)
{
    union {
        const void *given;
        void *taken;
    } p = { m->data };
    qw_free(p.taken);
    m->data = m->scales = m->biases = NULL;
}

/* ---- work */

typedef struct job {
    const qw_matrix *out, *source;
    qw_encode_method method;
    const qw_moments *moments;
    qw_code_sums *sums;
    size_t piece;        /* rows */
    float *floats;       /* [threads][2][piece, cols] */
    qwren_error *errors; /* [threads] the first failure of each */
    size_t *failed;      /* [threads] its first row + 1; 0 = none */
} job;

static void measure(qw_code_sums *sums, const float *w, const float *q, size_t n)
{
    double squares = 0, errors = 0;
    for (size_t i = 0; i < n; i++) {
        const double d = (double)w[i] - (double)q[i];
        squares += (double)w[i] * (double)w[i];
        errors += d * d;
    }
    *sums = (qw_code_sums){ squares, errors };
}

static void make_rows(void *ctx, size_t begin, size_t end, int worker)
{
    job *j = ctx;
    const size_t cols = j->source->cols, n = end - begin;
    float *w = j->floats + (size_t)worker * 2 * j->piece * cols, *q = w + j->piece * cols;
    if (j->failed[worker])
        return;
    for (size_t i = 0; i < n; i++)
        qw_matrix_decode(j->source, begin + i, 0, cols, w + i * cols);
    if (qw_encode_rows(j->out, begin, n, w, j->method, j->moments, &j->errors[worker]) != QWREN_OK) {
        j->failed[worker] = begin + 1;
        return;
    }
    for (size_t i = 0; i < n; i++) {
        qw_matrix_decode(j->out, begin + i, 0, cols, q);
        measure(&j->sums[begin + i], w + i * cols, q, cols);
    }
}

/* The failure of the first row that has one. */
static qwren_status outcome(const job *j, int threads, const char *name, size_t first, qwren_error *err)
{
    const qwren_error *e = NULL;
    size_t row = 0;
    for (int i = 0; i < threads; i++)
        if (j->failed[i] && (!e || j->failed[i] < row)) {
            e = &j->errors[i];
            row = j->failed[i];
        }
    if (!e)
        return QWREN_OK;
    if (e->code == QWREN_E_MEMORY)
        return qw_fail(err, e->code, "%s", e->text);
    return qw_fail(err, e->code, "tensor %s, rows from %zu: %s", name, first, e->text);
}

/* Pieces small enough that every thread gets some. */
static size_t piece_rows(const qw_matrix *m, int threads)
{
    const size_t by_size = PIECE_FLOATS / m->cols, by_share = m->rows / (4 * (size_t)threads);
    const size_t piece = by_size < by_share ? by_size : by_share;
    return piece ? piece : 1;
}

qwren_status qw_codes_make(qw_pool *pool, const qw_matrix *out, const qw_matrix *source, qw_encode_method method, const qw_moments *moments,
                           qw_code_sums *sums, const char *name, size_t first, qwren_error *err)
{
    const int threads = qw_pool_size(pool);
    job j = { .out = out, .source = source, .method = method, .moments = moments, .sums = sums, .piece = piece_rows(source, threads) };
    j.floats = qw_alloc_array((size_t)threads * 2 * j.piece, source->cols * sizeof *j.floats);
    j.errors = qw_calloc((size_t)threads, sizeof *j.errors);
    j.failed = qw_calloc((size_t)threads, sizeof *j.failed);
    qwren_status st;
    if (j.floats && j.errors && j.failed) {
        qw_parallel_for(pool, source->rows, j.piece, make_rows, &j);
        st = outcome(&j, threads, name, first, err);
    } else {
        st = qw_fail_memory(err, (size_t)threads * 2 * j.piece * source->cols * sizeof *j.floats, "making codes");
    }
    qw_free(j.floats);
    qw_free(j.errors);
    qw_free(j.failed);
    return st;
}
