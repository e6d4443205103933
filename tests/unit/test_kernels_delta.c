/* The gated delta rule on every level that this machine has: against the recurrence of docs/model.md in double, on lengths 1..200 and odd
 * shapes, with decays that keep everything and that forget everything; any cut of the tokens gives the same bits, and so does every level
 * with vectors. The convolution in front of it likewise. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/kernels.h"

#define GUARD 16 /* values on either side of an output that nobody may touch */
static const float guard_value = 12345.0F;

static qw_rng rng;

static float uniform(void) { return (float)(2 * qw_rng_double(&rng) - 1); }
static size_t between(size_t low, size_t high) { return low + qw_rng_u32(&rng) % (high - low + 1); }

static float *guarded(size_t n)
{
    float *p = malloc((n + 2 * GUARD) * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n + 2 * GUARD; i++)
        p[i] = i < GUARD || i >= n + GUARD ? guard_value : uniform();
    return p + GUARD;
}

static void free_guarded(float *p, size_t n)
{
    for (size_t i = 0; i < GUARD; i++)
        if (p[-1 - (ptrdiff_t)i] != guard_value || p[n + i] != guard_value)
            fail_msg("a kernel wrote outside its output of %zu values", n);
    free(p - GUARD);
}

/* One head's tokens as the convolution leaves them, among others' values, and what must come out. */
typedef struct head {
    size_t T, dk, dv, in_stride, out_stride, gate_stride;
    float *in, *gates, *start; /* [T, in_stride]: q k v; [T, gate_stride]: log decay, beta; [dk, dv] */
    double *out, *state;       /* [T, dv], [dk, dv] */
} head;

/* Decays that keep everything, forget a little, forget everything: e^0, e^-0.05, e^-30, e^-200; betas that write all or nothing. */
static void random_gates(head *h)
{
    static const float decays[] = { 0, -0.05F, -0.05F, -0.7F, -30, -200 }, betas[] = { 0, 1 };
    for (size_t t = 0; t < h->T; t++) {
        float *g = h->gates + t * h->gate_stride;
        g[0] = decays[between(0, t % 7 ? 3 : 5)] * (float)qw_rng_double(&rng);
        g[1] = between(0, 5) ? (float)qw_rng_double(&rng) : betas[between(0, 1)];
    }
}

static double norm_of(const float *x, size_t n)
{
    double sum = 1e-6;
    for (size_t i = 0; i < n; i++)
        sum += (double)x[i] * x[i];
    return sqrt(sum);
}

static void recurrence(const head *h)
{
    const float scale = h->start[h->dk * h->dv];
    for (size_t i = 0; i < h->dk * h->dv; i++)
        h->state[i] = (double)h->start[i] * (scale == 0 ? 1 : scale);
    for (size_t t = 0; t < h->T; t++) {
        const float *q = h->in + t * h->in_stride, *key = q + h->dk, *v = key + h->dk, *gate = h->gates + t * h->gate_stride;
        const double qn = norm_of(q, h->dk) * sqrt((double)h->dk), kn = norm_of(key, h->dk), decay = exp(gate[0]);
        for (size_t j = 0; j < h->dv; j++) {
            double read = 0, answer = 0, *S = h->state + j;
            for (size_t i = 0; i < h->dk; i++)
                read += (S[i * h->dv] *= decay) * key[i] / kn;
            const double delta = gate[1] * (v[j] - read);
            for (size_t i = 0; i < h->dk; i++)
                answer += (S[i * h->dv] += key[i] / kn * delta) * q[i] / qn;
            h->out[t * h->dv + j] = answer;
        }
    }
}

static head random_head(size_t T, size_t dk, size_t dv)
{
    static const float scales[] = { 0, 1, 0.3F, 1e-12F };
    head h = { .T = T, .dk = dk, .dv = dv };
    h.in_stride = 2 * dk + dv + between(0, 3);
    h.out_stride = dv + between(0, 3);
    h.gate_stride = between(2, 4);
    h.in = guarded(T * h.in_stride);
    h.gates = guarded(T * h.gate_stride);
    h.start = guarded(qw_delta_state_floats(dk, dv));
    h.start[dk * dv] = scales[between(0, 3)];
    h.out = malloc(T * dv * sizeof *h.out);
    h.state = malloc(dk * dv * sizeof *h.state);
    assert_true(h.out && h.state);
    random_gates(&h);
    for (size_t t = 5; t < T; t += 11) /* nothing to normalise */
        memset(h.in + t * h.in_stride, 0, 2 * dk * sizeof *h.in);
    recurrence(&h);
    return h;
}

static void free_head(head *h)
{
    free_guarded(h->in, h->T * h->in_stride), free_guarded(h->gates, h->T * h->gate_stride),
        free_guarded(h->start, qw_delta_state_floats(h->dk, h->dv));
    free(h->out), free(h->state);
}

/* The same tokens on trial: the same outputs, and a state as before. */
static void same_on_trial(const qw_kernels *k, qw_delta_args a)
{
    const size_t floats = qw_delta_state_floats(a.key_dim, a.value_dim);
    float *before = malloc(floats * sizeof *before), *out = malloc(a.n_tokens * a.value_dim * sizeof *out);
    float *const want = a.out;
    const size_t want_stride = a.out_stride;
    assert_true(before && out);
    memcpy(before, a.state, floats * sizeof *before);
    a.out = out;
    a.out_stride = a.value_dim;
    a.on_trial = true;
    k->delta(&a);
    assert_memory_equal(a.state, before, floats * sizeof *before);
    a.out = want;
    a.out_stride = want_stride;
    a.on_trial = false;
    k->delta(&a);
    for (size_t t = 0; t < a.n_tokens; t++)
        assert_memory_equal(want + t * want_stride, out + t * a.value_dim, a.value_dim * sizeof *out);
    free(before), free(out);
}

/* All tokens in pieces of `piece`, or of random lengths for 0, which are tried first. Values between the rows of `out` are left alone. */
static void run(qw_cpu_level level, const head *h, size_t piece, float *out, float *state)
{
    const qw_kernels k = qw_kernels_of(level);
    const size_t floats = qw_delta_scratch(h->dk, h->dv);
    float *scratch = guarded(floats);
    memcpy(state, h->start, qw_delta_state_floats(h->dk, h->dv) * sizeof *state);
    for (size_t t = 0, n; t < h->T; t += n) {
        n = piece ? piece : between(1, 90);
        n = n < h->T - t ? n : h->T - t;
        const float *in = h->in + t * h->in_stride, *gates = h->gates + t * h->gate_stride;
        const qw_delta_args a = { .out = out + t * h->out_stride,
                                  .state = state,
                                  .q = in,
                                  .k = in + h->dk,
                                  .v = in + 2 * h->dk,
                                  .log_decay = gates,
                                  .beta = gates + 1,
                                  .out_stride = h->out_stride,
                                  .in_stride = h->in_stride,
                                  .gate_stride = h->gate_stride,
                                  .n_tokens = n,
                                  .key_dim = h->dk,
                                  .value_dim = h->dv,
                                  .scratch = scratch };
        if (piece == 0 && n <= QW_DELTA_BLOCK)
            same_on_trial(&k, a);
        else
            k.delta(&a);
    }
    free_guarded(scratch, floats);
}

static void near(const char *what, qw_cpu_level level, const head *h, size_t i, float got, double want)
{
    if (!(fabs((double)got - want) <= 2e-6))
        fail_msg("%s %zu of %zu tokens, %zu x %zu, level %s: %.9g, wanted %.9g", what, i, h->T, h->dk, h->dv, qw_cpu_level_name(level),
                 (double)got, want);
}

static void is_near(qw_cpu_level level, const head *h, const float *out, const float *state)
{
    for (size_t t = 0; t < h->T; t++)
        for (size_t j = 0; j < h->dv; j++)
            near("output", level, h, t * h->dv + j, out[t * h->out_stride + j], h->out[t * h->dv + j]);
    for (size_t i = 0; i < h->dk * h->dv; i++)
        near("state", level, h, i, state[i] * state[h->dk * h->dv], h->state[i]);
}

static bool same_rows(const head *h, const float *a, const float *b)
{
    for (size_t t = 0; t < h->T; t++)
        if (memcmp(a + t * h->out_stride, b + t * h->out_stride, h->dv * sizeof *a) != 0)
            return false;
    return true;
}

/* Every level near the truth, every cut of a level equal to its whole, every level with vectors equal to the first of them. */
static void check(size_t T, size_t dk, size_t dv)
{
    head h = random_head(T, dk, dv);
    const size_t n_out = T * h.out_stride, n_state = qw_delta_state_floats(dk, dv), pieces[] = { 1, 64, 0, 0 };
    float *whole = guarded(n_out), *out = guarded(n_out), *first = guarded(n_out), *state = guarded(n_state), *end = guarded(n_state),
          *first_end = guarded(n_state);
    bool have_first = false;
    for (qw_cpu_level level = 0; level < QW_CPU_LEVELS; level++) {
        if (!qw_cpu_can(level))
            continue;
        run(level, &h, T, whole, end);
        is_near(level, &h, whole, end);
        for (size_t p = 0; p < sizeof pieces / sizeof *pieces; p++) {
            run(level, &h, pieces[p], out, state);
            if (!same_rows(&h, out, whole) || memcmp(state, end, n_state * sizeof *state) != 0)
                fail_msg("%zu tokens of %zu x %zu cut in pieces of %zu differ on level %s", T, dk, dv, pieces[p], qw_cpu_level_name(level));
        }
        if (level == QW_CPU_PORTABLE)
            continue;
        if (have_first && (!same_rows(&h, first, whole) || memcmp(first_end, end, n_state * sizeof *end) != 0))
            fail_msg("%zu tokens of %zu x %zu: level %s has bits of its own", T, dk, dv, qw_cpu_level_name(level));
        have_first = true;
        memcpy(first, whole, n_out * sizeof *first);
        memcpy(first_end, end, n_state * sizeof *end);
    }
    free_guarded(whole, n_out), free_guarded(out, n_out), free_guarded(first, n_out);
    free_guarded(state, n_state), free_guarded(end, n_state), free_guarded(first_end, n_state);
    free_head(&h);
}

static void every_length_and_shape(void **state)
{
    (void)state;
    for (size_t T = 1; T <= 200; T++)
        check(T, between(1, 40), between(1, 70));
}

static void the_shapes_of_the_models(void **state)
{
    (void)state;
    check(1, 128, 128);
    check(130, 128, 128);
    check(65, 16, 32);
    check(3, 256, 48);
}

/* What is not a number stays one, and does not spread to other columns. */
static void odd_values(void **state)
{
    (void)state;
    head h = random_head(70, 16, 40);
    float *out = guarded(h.T * h.out_stride), *S = guarded(qw_delta_state_floats(h.dk, h.dv));
    h.in[66 * h.in_stride + 2 * h.dk + 35] = NAN;
    for (qw_cpu_level level = 0; level < QW_CPU_LEVELS; level++) {
        if (!qw_cpu_can(level))
            continue;
        for (size_t t = 0; t < h.T; t++)
            h.gates[t * h.gate_stride + 1] = 0.5F;
        run(level, &h, h.T, out, S);
        for (size_t j = 0; j < h.dv; j++)
            assert_int_equal(!isfinite(out[69 * h.out_stride + j]), j == 35);
        assert_true(isfinite(out[65 * h.out_stride + 35]) && !isfinite(S[35]) && isfinite(S[34]));
    }
    free_guarded(out, h.T * h.out_stride), free_guarded(S, qw_delta_state_floats(h.dk, h.dv));
    free_head(&h);
}

/* ---- the convolution in front of it */

typedef struct conv {
    size_t T, n, stride, y_stride, taps;
    float *x, *w, *before; /* [T, stride], [taps, stride], [taps - 1, stride] */
} conv;

static void convolve(qw_cpu_level level, const conv *c, size_t piece, float *y, float *tail)
{
    const qw_kernels k = qw_kernels_of(level);
    memcpy(tail, c->before, (c->taps - 1) * c->stride * sizeof *tail);
    for (size_t t = 0, n; t < c->T; t += n) {
        n = piece ? piece : between(1, 9);
        n = n < c->T - t ? n : c->T - t;
        k.conv_silu(y + t * c->y_stride, c->y_stride, c->x + t * c->stride, tail, c->w, c->stride, c->n, n, c->taps);
    }
}

static void is_convolution(qw_cpu_level level, const conv *c, const float *y, const float *tail)
{
    for (size_t i = 0; i < c->n; i++) {
        for (size_t t = 0; t < c->T; t++) {
            double sum = 0;
            for (size_t j = 0; j < c->taps; j++) {
                const size_t row = t + j;
                const float in = row + 1 < c->taps ? c->before[row * c->stride + i] : c->x[(row + 1 - c->taps) * c->stride + i];
                sum += (double)c->w[j * c->stride + i] * in;
            }
            const double want = sum / (1 + exp(-sum));
            if (!(fabs(y[t * c->y_stride + i] - want) <= 5e-7 * (1 + fabs(want))))
                fail_msg("token %zu, channel %zu of %zu, %zu taps, level %s: %.9g, wanted %.9g", t, i, c->n, c->taps,
                         qw_cpu_level_name(level), (double)y[t * c->y_stride + i], want);
        }
        for (size_t j = 0; j + 1 < c->taps; j++) {
            const size_t row = c->T + j;
            const float want = row + 1 < c->taps ? c->before[row * c->stride + i] : c->x[(row + 1 - c->taps) * c->stride + i];
            assert_true(tail[j * c->stride + i] == want);
        }
    }
}

static bool same_values(const conv *c, const float *a, const float *b)
{
    for (size_t t = 0; t < c->T; t++)
        if (memcmp(a + t * c->y_stride, b + t * c->y_stride, c->n * sizeof *a) != 0)
            return false;
    return true;
}

static void check_convolution(size_t taps, size_t n, size_t T)
{
    conv c = { .T = T, .n = n, .taps = taps, .stride = n + between(0, 3), .y_stride = n + between(0, 3) };
    const size_t n_x = T * c.stride, n_w = taps * c.stride, n_tail = (taps - 1) * c.stride, n_y = T * c.y_stride;
    c.x = guarded(n_x), c.w = guarded(n_w), c.before = guarded(n_tail);
    float *whole = guarded(n_y), *y = guarded(n_y), *first = guarded(n_y), *end = guarded(n_tail), *tail = guarded(n_tail);
    bool have_first = false;
    for (qw_cpu_level level = 0; level < QW_CPU_LEVELS; level++) {
        if (!qw_cpu_can(level))
            continue;
        convolve(level, &c, T, whole, end);
        is_convolution(level, &c, whole, end);
        for (size_t piece = 0; piece <= 5; piece++) {
            convolve(level, &c, piece, y, tail);
            assert_true(same_values(&c, y, whole));
            is_convolution(level, &c, whole, tail);
        }
        if (level == QW_CPU_PORTABLE)
            continue;
        if (have_first)
            assert_true(same_values(&c, first, whole));
        have_first = true;
        memcpy(first, whole, n_y * sizeof *first);
    }
    free_guarded(c.x, n_x), free_guarded(c.w, n_w), free_guarded(c.before, n_tail), free_guarded(whole, n_y), free_guarded(y, n_y);
    free_guarded(first, n_y), free_guarded(end, n_tail), free_guarded(tail, n_tail);
}

static void convolution_on_every_level(void **state)
{
    (void)state;
    for (size_t taps = 1; taps <= 6; taps++)
        for (int round = 0; round < 12; round++)
            check_convolution(taps, between(1, 150), between(1, 20));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(every_length_and_shape), cmocka_unit_test(the_shapes_of_the_models),
                                        cmocka_unit_test(convolution_on_every_level), cmocka_unit_test(odd_values) };
    qw_rng_seed(&rng, 20261126);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
