/* Second moments of the inputs of a matrix: sums of x x^T as calibration runs, then the factors that error feedback goes by.
 *
 * Let H be the mean of x x^T in a block, damped, and H = R R^T with R upper triangular. The error e of column j is made up for best when
 * each later column k of the block changes by -e T[j][k], T = diag(R) R^-1; what then remains of it weighs R[j][j]^2. R comes from a
 * Cholesky factorisation that begins at the last column, T from back substitution. Cost: block / 2 products per input value seen, 2/3
 * block^2 per column to finish, in double.
 *
 * With pairs, the weights to code are those that give, from the inputs x that there will be, what the source's weights w gave from its
 * inputs: w + w C H^-1 with C the mean of (source - x) x^T. (nano at 4 bits: mean KLD 1.9e-2 -> 1.15e-2.)
 * Tested by tests/unit/test_encode.c. */
#include "convert/encode_parts.h"

#include "base/alloc.h"
#include "base/log.h"

#include <string.h>

#define CHUNK \
  128           /* rows that are packed and summed at a time: their sum is exact enough in float, and a panel of them stays in the cache */
#define PANEL 8 /* columns that lie together in a packed chunk */
#define HALF 4  /* columns of a panel whose sums fit in the registers */
#define LARGEST 1e12f /* input that is believed */
#define TRUST .75     /* of the pairs' correction that is made: calibration has seen a part of what will come */
#define DAMPING 0.01  /* times the mean of the diagonal, added to it: inputs that calibration hardly saw must not make up for others */

/* Floats of `sums`; false on overflow. */
static bool sums_size(size_t cols, size_t block, size_t *out) { return qw_mul_size(cols, block ? block : 1, out) && *out <= SIZE_MAX / 32; }

/* Blocks hold whole groups of every size. */
static size_t usable_block(size_t cols, size_t block)
{
    if (block >= cols)
        return cols;
    block = (block + QW_GROUP_MAX - 1) / QW_GROUP_MAX * QW_GROUP_MAX;
    return block < cols ? block : cols;
}

size_t qw_moments_bytes(size_t cols, size_t block)
{
    size_t sums;
    block = usable_block(cols, block);
    if (!sums_size(cols, block, &sums))
        return SIZE_MAX;
    return sizeof(qw_moments) + (block ? 3 : 1) * sums * sizeof(float) + cols * (2 * CHUNK + 2) * sizeof(float);
}

qwren_status qw_moments_create(qw_moments **out, size_t cols, size_t block, qwren_error *err)
{
    *out = NULL;
    if (cols == 0 || cols % QW_GROUP_MIN)
        return qw_fail(err, QWREN_E_ARGUMENT, "moments of %zu columns: it must be a multiple of %d", cols, QW_GROUP_MIN);
    const size_t bytes = qw_moments_bytes(cols, block);
    qw_moments *m = bytes < SIZE_MAX ? qw_calloc(1, sizeof *m) : NULL;
    if (!m)
        return qw_fail_memory(err, bytes, "moments of the inputs");
    size_t sums = 0;
    m->cols = cols;
    m->block = usable_block(cols, block);
    sums_size(cols, m->block, &sums);
    m->sums = qw_calloc(sums, sizeof(float));
    m->weights = qw_alloc_array(cols, sizeof(float));
    m->remaining = qw_alloc_array(cols, sizeof(float));
    m->panels = qw_alloc_array(cols * CHUNK, sizeof(float));
    if (!m->sums || !m->weights || !m->remaining || !m->panels) {
        qw_moments_free(m);
        return qw_fail_memory(err, bytes, "moments of the inputs");
    }
    *out = m;
    return QWREN_OK;
}

void qw_moments_free(qw_moments *m)
{
    if (!m)
        return;
    qw_free(m->sums);
    qw_free(m->feedback);
    qw_free(m->shift);
    qw_free(m->weights);
    qw_free(m->remaining);
    qw_free(m->panels);
    qw_free(m->lost);
    qw_free(m);
}

/* ---- adding */

typedef struct chunk {
    qw_moments *m;
    const float *rows[CHUNK], *sources[CHUNK]; /* sources: of pairs */
    size_t n;                                  /* rows, each usable */
} chunk;

static void for_all(qw_pool *pool, size_t n, qw_range_fn fn, void *ctx)
{
    if (pool)
        qw_parallel_for(pool, n, 1, fn, ctx);
    else
        fn(ctx, 0, n, 0);
}

static void pack_lost(const chunk *c, size_t panel)
{
    for (size_t i = 0; i < c->n; i++)
        for (size_t k = 0; k < PANEL; k++)
            c->m->lost[(panel * CHUNK + i) * PANEL + k] = c->sources[i][panel * PANEL + k] - c->rows[i][panel * PANEL + k];
}

/* panels [cols / PANEL, CHUNK, PANEL] <- the rows; `lost` the same of what pairs lack */
static void pack_panels(void *ctx, size_t begin, size_t end, int worker)
{
    (void)worker;
    const chunk *c = ctx;
    for (size_t p = begin; p < end; p++) {
        for (size_t i = 0; i < c->n; i++)
            memcpy(c->m->panels + (p * CHUNK + i) * PANEL, c->rows[i] + p * PANEL, PANEL * sizeof(float));
        if (c->sources[0])
            pack_lost(c, p);
    }
}

/* sums [HALF, stride] += a [n, PANEL]^T b [n, PANEL], for HALF columns of a */
static void add_tile(float *sums, size_t stride, const float *restrict a, const float *restrict b, size_t n)
{
    float s[HALF][PANEL] = { { 0 } };
    for (size_t r = 0; r < n; r++, a += PANEL, b += PANEL)
        for (size_t i = 0; i < HALF; i++)
            for (size_t k = 0; k < PANEL; k++)
                s[i][k] += a[i] * b[k];
    for (size_t i = 0; i < HALF; i++)
        for (size_t k = 0; k < PANEL; k++)
            sums[i * stride + k] += s[i][k];
}

/* The rows of `sums` that belong to the panels [begin, end), from the diagonal to the right; and those of `shift`, whole. */
static void add_panels(void *ctx, size_t begin, size_t end, int worker)
{
    (void)worker;
    const chunk *c = ctx;
    const qw_moments *m = c->m;
    for (size_t p = begin; p < end; p++) {
        const size_t first = p * PANEL / m->block * m->block, width = qw_moments_width(m, first), row = p * PANEL - first;
        const size_t at = first * m->block + row * width;
        for (size_t k = 0; k < width; k += PANEL)
            for (size_t half = 0; half < PANEL; half += HALF) {
                const float *b = m->panels + (first + k) * CHUNK;
                if (k >= row)
                    add_tile(m->sums + at + half * width + k, width, m->panels + p * CHUNK * PANEL + half, b, c->n);
                if (c->sources[0])
                    add_tile(m->shift + at + half * width + k, width, m->lost + p * CHUNK * PANEL + half, b, c->n);
            }
    }
}

static void add_squares(const chunk *c)
{
    for (size_t k = 0; k < c->m->cols; k++) {
        float sum = 0;
        for (size_t i = 0; i < c->n; i++)
            sum += c->rows[i][k] * c->rows[i][k];
        c->m->sums[k] += sum;
    }
}

static void add_chunk(chunk *c, qw_pool *pool)
{
    if (c->n == 0)
        return;
    if (c->m->block == 0) {
        add_squares(c);
    } else {
        for_all(pool, c->m->cols / PANEL, pack_panels, c);
        for_all(pool, c->m->cols / PANEL, add_panels, c);
    }
    c->m->count += (double)c->n;
    c->n = 0;
}

/* Whether no value is NaN, infinite, or so large that the sums could become so. */
static bool all_usable(const float *x, size_t n)
{
    bool usable = true;
    for (size_t i = 0; i < n; i++)
        usable &= fabsf(x[i]) <= LARGEST;
    return usable;
}

static void add_rows(qw_moments *m, qw_pool *pool, const float *x, const float *source, size_t n)
{
    chunk c = { .m = m };
    for (size_t i = 0; i < n; i++) {
        const size_t at = i * m->cols;
        if (!all_usable(x + at, m->cols) || (source && !all_usable(source + at, m->cols))) {
            m->left_out++;
            continue;
        }
        c.rows[c.n] = x + at;
        c.sources[c.n++] = source ? source + at : NULL;
        if (c.n == CHUNK)
            add_chunk(&c, pool);
    }
    add_chunk(&c, pool);
}

void qw_moments_add(qw_moments *m, qw_pool *pool, const float *x, size_t n) { add_rows(m, pool, x, NULL, n); }

qwren_status qw_moments_add_pair(qw_moments *m, qw_pool *pool, const float *x, const float *source, size_t n, qwren_error *err)
{
    if (m->block && !m->shift) {
        const size_t sums = m->cols * m->block, chunk_floats = m->cols * CHUNK;
        m->shift = qw_calloc(sums, sizeof(float));
        m->lost = m->shift ? qw_alloc_array(chunk_floats, sizeof(float)) : NULL;
        if (!m->lost) {
            qw_free(m->shift);
            m->shift = NULL;
            return qw_fail_memory(err, (sums + chunk_floats) * sizeof(float), "pairs of inputs");
        }
    }
    add_rows(m, pool, x, m->block ? source : NULL, n);
    return QWREN_OK;
}

void qw_moments_spread(qw_moments *m, double share) { m->spread += share; }

/* ---- finishing */

/* sums -> means; what lies below the diagonal of a block is the mirror of what lies above. */
static void take_means(qw_moments *m)
{
    const float share = m->count > 0 ? (float)(1 / m->count) : 0;
    if (m->block == 0) {
        for (size_t k = 0; k < m->cols; k++)
            m->sums[k] *= share;
        return;
    }
    for (size_t first = 0; first < m->cols; first += m->block) {
        const size_t width = qw_moments_width(m, first);
        float *h = m->sums + first * m->block;
        for (size_t i = 0; i < width; i++)
            for (size_t k = i; k < width; k++)
                h[k * width + i] = h[i * width + k] *= share;
    }
}

static float *diagonal(const qw_moments *m, size_t col)
{
    if (m->block == 0)
        return m->sums + col;
    const size_t first = col / m->block * m->block, width = qw_moments_width(m, first);
    return m->sums + first * m->block + (col - first) * (width + 1);
}

static double mean_of_diagonal(const qw_moments *m)
{
    double mean = 0;
    for (size_t k = 0; k < m->cols; k++)
        mean += (double)*diagonal(m, k) / (double)m->cols;
    return mean;
}

static void add_spread(qw_moments *m)
{
    const float more = (float)(m->spread * mean_of_diagonal(m));
    for (size_t k = 0; k < m->cols; k++)
        *diagonal(m, k) += more;
}

/* Weights for the search: never 0, so that a column without inputs still keeps its values roughly. Without any input all columns count
 * alike. */
static double take_weights(qw_moments *m)
{
    const double mean = mean_of_diagonal(m), damping = mean > 1e-30 ? DAMPING * mean : 1;
    for (size_t k = 0; k < m->cols; k++)
        m->weights[k] = (float)(((double)*diagonal(m, k) + damping) / (damping / DAMPING));
    return damping;
}

static double dot(const double *a, const double *b, size_t n)
{
    double s[PANEL] = { 0 }, rest = 0;
    size_t i = 0;
    for (; i + PANEL <= n; i += PANEL)
        for (size_t k = 0; k < PANEL; k++)
            s[k] += a[i + k] * b[i + k];
    for (; i < n; i++)
        rest += a[i] * b[i];
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7])) + rest;
}

/* r [n, n], whose upper triangle holds H -> R with H = R R^T, in place. false when H is not positive definite. */
static bool factor(double *r, size_t n)
{
    for (size_t j = n; j-- > 0;) {
        double *row = r + j * n;
        const size_t later = n - j - 1;
        const double pivot = row[j] - dot(row + j + 1, row + j + 1, later);
        if (!(pivot > 0) || !isfinite(pivot))
            return false;
        row[j] = sqrt(pivot);
        for (size_t i = 0; i < j; i++)
            r[i * n + j] = (r[i * n + j] - dot(r + i * n + j + 1, row + j + 1, later)) / row[j];
    }
    return true;
}

/* R -> R^-1, in place, from the last row up. line [n] is scratch. */
static void invert(double *r, size_t n, double *line)
{
    for (size_t i = n; i-- > 0;) {
        double *row = r + i * n;
        const double diagonal = 1 / row[i];
        memcpy(line, row, n * sizeof *line);
        memset(row + i, 0, (n - i) * sizeof *row);
        for (size_t j = i + 1; j < n; j++) {
            const double *later = r + j * n, share = line[j] * diagonal;
            for (size_t k = j; k < n; k++)
                row[k] -= share * later[k];
        }
        row[i] = diagonal;
    }
}

typedef struct finish {
    qw_moments *m;
    double damping;
    double *scratch; /* [workers][per_worker] */
    size_t per_worker;
} finish;

static void load_damped(double *r, const float *h, size_t n, double damping)
{
    for (size_t i = 0; i < n * n; i++)
        r[i] = (double)h[i];
    for (size_t i = 0; i < n; i++)
        r[i * n + i] += damping;
}

/* One block of sums (source - x) x^T -> S = -TRUST C H^-1, with H^-1 = v^T v. line, c: scratch, [n] and [n, n] */
static void finish_shift(const finish *f, size_t first, const double *v, double *line, double *c)
{
    const size_t n = qw_moments_width(f->m, first);
    float *s = f->m->shift + first * f->m->block;
    for (size_t i = 0; i < n * n; i++)
        c[i] = (double)s[i] * (-TRUST / f->m->count);
    for (size_t i = 0; i < n; i++) {
        memset(line, 0, n * sizeof *line);
        for (size_t j = 0; j < n; j++) {
            const double *row = v + j * n, share = dot(c + i * n + j, row + j, n - j);
            for (size_t k = j; k < n; k++)
                line[k] += share * row[k];
        }
        for (size_t k = 0; k < n; k++)
            s[i * n + k] = (float)line[k];
    }
}

/* One block: T and what remains. Rounding in the sums can make H slightly indefinite; more damping ends that, for it wins over any H. */
static void finish_block(const finish *f, size_t first, double *r)
{
    qw_moments *m = f->m;
    const size_t n = qw_moments_width(m, first);
    const float *h = m->sums + first * m->block;
    float *t = m->feedback + first * m->block;
    double damping = f->damping;
    for (load_damped(r, h, n, damping); !factor(r, n); load_damped(r, h, n, damping))
        damping *= 10;
    invert(r, n, r + n * n);
    for (size_t j = 0; j < n; j++) {
        const double diagonal = 1 / r[j * n + j];
        m->remaining[first + j] = (float)(diagonal * diagonal / (f->damping / DAMPING));
        for (size_t k = 0; k < n; k++)
            t[j * n + k] = k < j ? 0 : (float)(r[j * n + k] * diagonal);
    }
    if (m->shift)
        finish_shift(f, first, r, r + n * n, r + n * (n + 1));
}

static void finish_blocks(void *ctx, size_t begin, size_t end, int worker)
{
    const finish *f = ctx;
    const size_t block = f->m->block;
    for (size_t b = begin; b < end; b++)
        finish_block(f, b * block, f->scratch + (size_t)worker * f->per_worker);
}

static qwren_status tell_left_out(const qw_moments *m, qwren_error *err)
{
    if (m->left_out && m->count == 0)
        return qw_fail(
            err, QWREN_E_FORMAT,
            "none of the %zu inputs that calibration gave a matrix of %zu columns is finite: the source's weights or its config are broken",
            m->left_out, m->cols);
    if (m->left_out)
        qw_log(QWREN_LOG_WARN, "calibration: %zu of %zu inputs of a matrix of %zu columns are not finite and are left out", m->left_out,
               m->left_out + (size_t)m->count, m->cols);
    return QWREN_OK;
}

qwren_status qw_moments_finish(qw_moments *m, qw_pool *pool, qwren_error *err)
{
    QW_TRY(tell_left_out(m, err));
    qw_free(m->panels);
    qw_free(m->lost);
    m->panels = m->lost = NULL;
    take_means(m);
    add_spread(m);
    finish f = { .m = m, .damping = take_weights(m) };
    if (m->block == 0)
        return QWREN_OK;
    const size_t block = m->block, workers = pool ? (size_t)qw_pool_size(pool) : 1;
    f.per_worker = block * (block + 1) * (m->shift ? 2 : 1);
    const size_t scratch = workers * f.per_worker;
    m->feedback = qw_alloc_array(m->cols * block, sizeof(float));
    f.scratch = qw_alloc_array(scratch, sizeof(double));
    if (!m->feedback || !f.scratch) {
        qw_free(f.scratch);
        return qw_fail_memory(err, m->cols * block * sizeof(float) + scratch * sizeof(double), "factors of the moments");
    }
    for_all(pool, (m->cols + block - 1) / block, finish_blocks, &f);
    qw_free(f.scratch);
    return QWREN_OK;
}

double qw_moments_error(const qw_moments *m, const float *d)
{
    double sum = 0;
    if (m->block == 0) {
        for (size_t k = 0; k < m->cols; k++)
            sum += (double)m->sums[k] * (double)d[k] * (double)d[k];
        return sum;
    }
    for (size_t first = 0; first < m->cols; first += m->block) {
        const size_t width = qw_moments_width(m, first);
        for (size_t i = 0; i < width; i++) {
            const float *h = m->sums + first * m->block + i * width;
            double line = 0;
            for (size_t k = 0; k < width; k++)
                line += (double)h[k] * (double)d[first + k];
            sum += line * (double)d[first + i];
        }
    }
    return sum;
}
