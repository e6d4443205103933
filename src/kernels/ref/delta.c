/* The gated delta rule for one value head, in plain C, as it is written in docs/model.md, section 4: token by token. The state's scale is
 * 1 behind it. Tested by tests/unit/test_kernels_delta.c and tests/golden/test_ops.c. */
#include "kernels/ref/ref.h"

#include <math.h>
#include <string.h>

/* A slice of the state, and of a block of tokens v in whole vectors, decays, betas, q and k; here a state that is on trial, q, k, delta. */
size_t qw_delta_scratch(size_t key_dim, size_t value_dim)
{
    const size_t padded = (value_dim + 15) / 16 * 16;
    const size_t slices = key_dim * QW_DELTA_SLICE + QW_DELTA_BLOCK * (padded + 2 + 2 * key_dim) + padded;
    const size_t whole = qw_delta_state_floats(key_dim, value_dim) + 2 * key_dim + value_dim;
    return slices > whole ? slices : whole;
}

static float state_scale(const float *state, size_t key_dim, size_t value_dim)
{
    const float scale = state[key_dim * value_dim];
    return scale == 0 ? 1 : scale;
}

void qw_delta_state_get(const float *state, size_t key_dim, size_t value_dim, float *out)
{
    const float scale = state_scale(state, key_dim, value_dim);
    for (size_t i = 0; i < key_dim * value_dim; i++)
        out[i] = scale * state[i];
}

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

void qw_delta_ref(const qw_delta_args *a)
{
    float *q = a->scratch, *k = q + a->key_dim, *delta = k + a->key_dim, *state = a->state;
    if (a->on_trial)
        state = memcpy(delta + a->value_dim, state, qw_delta_state_floats(a->key_dim, a->value_dim) * sizeof *state);
    if (state_scale(state, a->key_dim, a->value_dim) != 1)
        qw_delta_state_get(state, a->key_dim, a->value_dim, state);
    state[a->key_dim * a->value_dim] = 1;
    for (size_t t = 0; t < a->n_tokens; t++) {
        const float *v = a->v + t * a->in_stride;
        float decay = expf(a->log_decay[t * a->gate_stride]), beta = a->beta[t * a->gate_stride];
        normalise(q, a->q + t * a->in_stride, a->key_dim, 1.0F / sqrtf((float)a->key_dim));
        normalise(k, a->k + t * a->in_stride, a->key_dim, 1.0F);
        for (size_t i = 0; i < a->key_dim * a->value_dim; i++)
            state[i] *= decay;
        vector_times_matrix(delta, k, state, a->key_dim, a->value_dim); /* what the decayed state answers to k */
        for (size_t j = 0; j < a->value_dim; j++)
            delta[j] = beta * (v[j] - delta[j]);
        for (size_t i = 0; i < a->key_dim; i++)
            add_scaled(state + i * a->value_dim, k[i], delta, a->value_dim);
        vector_times_matrix(a->out + t * a->out_stride, q, state, a->key_dim, a->value_dim);
    }
}
