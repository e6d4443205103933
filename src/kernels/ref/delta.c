/* The gated delta rule for one value head, in plain C, twice: token by token, and in chunks that are matrix products (docs/model.md, section 4). Both
 * give the same numbers up to rounding. Tested by tests/unit/test_kernels.c (lengths 1..200) and tests/golden/test_ops.c. */
#include "kernels/ref/ref.h"

#include <math.h>
#include <string.h>

#define C QW_DELTA_CHUNK

/* scratch: G [C] | beta [C] | q [C, dk] | k [C, dk] | U [C, dv] | W [C, dk] */
size_t qw_delta_scratch(size_t key_dim, size_t value_dim) { return C * (2 + 3 * key_dim + value_dim); }

/* x / sqrt(sum x^2 + 1e-6) * scale */
static void normalise(float *y, const float *x, size_t n, float scale)
{
    double sum = 0;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    float factor = (float)(scale / sqrt(sum + 1e-6));
    for (size_t i = 0; i < n; i++)
        y[i] = x[i] * factor;
}

/* out [n] += a * x */
static void add_scaled(float *restrict out, float a, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++)
        out[i] += a * x[i];
}

/* out [n_cols] = x^T m for m [n_rows, n_cols] */
static void vector_times_matrix(float *out, const float *x, const float *m, size_t n_rows, size_t n_cols)
{
    memset(out, 0, n_cols * sizeof *out);
    for (size_t r = 0; r < n_rows; r++)
        add_scaled(out, x[r], m + r * n_cols, n_cols);
}

void qw_delta_step_ref(const qw_delta_args *a)
{
    float *q = a->scratch, *k = q + a->key_dim, *delta = k + a->key_dim;
    for (size_t t = 0; t < a->n_tokens; t++) {
        const float *v = a->v + t * a->in_stride;
        float decay = expf(a->log_decay[t * a->gate_stride]), beta = a->beta[t * a->gate_stride];
        normalise(q, a->q + t * a->in_stride, a->key_dim, 1.0F / sqrtf((float)a->key_dim));
        normalise(k, a->k + t * a->in_stride, a->key_dim, 1.0F);
        for (size_t i = 0; i < a->key_dim * a->value_dim; i++)
            a->state[i] *= decay;
        vector_times_matrix(delta, k, a->state, a->key_dim, a->value_dim); /* what the decayed state answers to k */
        for (size_t j = 0; j < a->value_dim; j++)
            delta[j] = beta * (v[j] - delta[j]);
        for (size_t i = 0; i < a->key_dim; i++)
            add_scaled(a->state + i * a->value_dim, k[i], delta, a->value_dim);
        vector_times_matrix(a->out + t * a->out_stride, q, a->state, a->key_dim, a->value_dim);
    }
}

typedef struct chunk {
    size_t n;        /* tokens in it, <= C */
    float *G, *beta; /* [n]: decay summed up from the chunk's start; beta */
    float *q, *k;    /* [n, dk] normalised, q scaled */
    float *U, *W;    /* [n, dv], [n, dk] */
} chunk;

static void chunk_load(chunk *c, const qw_delta_args *a, size_t first)
{
    float *p = a->scratch, sum = 0;
    c->n = a->n_tokens - first < C ? a->n_tokens - first : C;
    c->G = p, p += C;
    c->beta = p, p += C;
    c->q = p, p += C * a->key_dim;
    c->k = p, p += C * a->key_dim;
    c->U = p, p += C * a->value_dim;
    c->W = p;
    for (size_t i = 0; i < c->n; i++) {
        size_t t = first + i;
        c->G[i] = sum += a->log_decay[t * a->gate_stride];
        c->beta[i] = a->beta[t * a->gate_stride];
        normalise(c->q + i * a->key_dim, a->q + t * a->in_stride, a->key_dim, 1.0F / sqrtf((float)a->key_dim));
        normalise(c->k + i * a->key_dim, a->k + t * a->in_stride, a->key_dim, 1.0F);
    }
}

/* Solves (I + A) U = diag(beta) V and (I + A) W = diag(beta e^G) K row by row, A_ij = beta_i (k_i . k_j) e^(G_i - G_j) for j < i. */
static void chunk_solve(chunk *c, const qw_delta_args *a, size_t first)
{
    for (size_t i = 0; i < c->n; i++) {
        const float *k = c->k + i * a->key_dim, *v = a->v + (first + i) * a->in_stride;
        float *u = c->U + i * a->value_dim, *w = c->W + i * a->key_dim;
        for (size_t d = 0; d < a->value_dim; d++)
            u[d] = c->beta[i] * v[d];
        for (size_t d = 0; d < a->key_dim; d++)
            w[d] = c->beta[i] * expf(c->G[i]) * k[d];
        for (size_t j = 0; j < i; j++) {
            float A = c->beta[i] * qw_dot_ref(k, c->k + j * a->key_dim, a->key_dim) * expf(c->G[i] - c->G[j]);
            add_scaled(u, -A, c->U + j * a->value_dim, a->value_dim);
            add_scaled(w, -A, c->W + j * a->key_dim, a->key_dim);
        }
    }
}

/* U becomes U - W S: what each token writes, given the state that enters the chunk. */
static void chunk_correct(chunk *c, const qw_delta_args *a)
{
    for (size_t i = 0; i < c->n; i++)
        for (size_t d = 0; d < a->key_dim; d++)
            add_scaled(c->U + i * a->value_dim, -c->W[i * a->key_dim + d], a->state + d * a->value_dim, a->value_dim);
}

/* O_i = e^G_i (q_i S) + sum_{j <= i} (q_i . k_j) e^(G_i - G_j) U_j */
static void chunk_read(const chunk *c, const qw_delta_args *a, size_t first)
{
    for (size_t i = 0; i < c->n; i++) {
        const float *q = c->q + i * a->key_dim;
        float *out = a->out + (first + i) * a->out_stride, decay = expf(c->G[i]);
        vector_times_matrix(out, q, a->state, a->key_dim, a->value_dim);
        for (size_t d = 0; d < a->value_dim; d++)
            out[d] *= decay;
        for (size_t j = 0; j <= i; j++)
            add_scaled(out, qw_dot_ref(q, c->k + j * a->key_dim, a->key_dim) * expf(c->G[i] - c->G[j]), c->U + j * a->value_dim,
                       a->value_dim);
    }
}

/* S = e^G_n S + sum_j e^(G_n - G_j) k_j U_j^T */
static void chunk_write(const chunk *c, const qw_delta_args *a)
{
    float last = c->G[c->n - 1], decay = expf(last);
    for (size_t i = 0; i < a->key_dim * a->value_dim; i++)
        a->state[i] *= decay;
    for (size_t j = 0; j < c->n; j++) {
        float weight = expf(last - c->G[j]);
        for (size_t d = 0; d < a->key_dim; d++)
            add_scaled(a->state + d * a->value_dim, weight * c->k[j * a->key_dim + d], c->U + j * a->value_dim, a->value_dim);
    }
}

void qw_delta_chunk_ref(const qw_delta_args *a)
{
    for (size_t first = 0; first < a->n_tokens; first += C) {
        chunk c;
        chunk_load(&c, a, first);
        chunk_solve(&c, a, first);
        chunk_correct(&c, a);
        chunk_read(&c, a, first);
        chunk_write(&c, a);
    }
}
