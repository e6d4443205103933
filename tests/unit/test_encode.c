/* convert/encode.h: the methods against each other and against the definition of the format, on made weights; odd input; a heap that fails. What MLX makes
 * of weights is in tests/golden/test_encode.c. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/rng.h"
#include "convert/encode.h"
#include "support/fault.h"

static const int all_bits[] = { 2, 3, 4, 5, 6, 8 };
#define N_BITS (sizeof all_bits / sizeof all_bits[0])

/* A matrix with memory of its own, and a canary behind each part. */
typedef struct target {
    qw_matrix m;
    uint8_t *data, *scales, *biases;
    size_t data_bytes, side_bytes;
} target;

#define CANARY 16

static uint8_t *guarded(size_t bytes)
{
    uint8_t *p = malloc(bytes + CANARY);
    assert_non_null(p);
    memset(p, 0xA5, bytes + CANARY);
    return p;
}

static target make_target(int bits, int group, size_t rows, size_t cols, qw_type scale_type)
{
    target t = { .m = { .type = qw_type_affine(bits), .rows = rows, .cols = cols, .scale_type = scale_type, .group = group } };
    t.data_bytes = rows * qw_matrix_row_bytes(&t.m);
    t.side_bytes = rows * (cols / (size_t)group) * qw_type_block_bytes(scale_type);
    t.m.data = t.data = guarded(t.data_bytes);
    t.m.scales = t.scales = guarded(t.side_bytes);
    t.m.biases = t.biases = guarded(t.side_bytes);
    return t;
}

static void free_target(target *t)
{
    for (size_t i = 0; i < CANARY; i++) {
        assert_int_equal(t->data[t->data_bytes + i], 0xA5);
        assert_int_equal(t->scales[t->side_bytes + i], 0xA5);
        assert_int_equal(t->biases[t->side_bytes + i], 0xA5);
    }
    free(t->data);
    free(t->scales);
    free(t->biases);
}

static float *floats(size_t n)
{
    float *p = calloc(n ? n : 1, sizeof *p);
    assert_non_null(p);
    return p;
}

static float uniform(qw_rng *rng) { return (float)qw_rng_double(rng) * 2 - 1; }

/* Bell-shaped enough, with tails. */
static float bell(qw_rng *rng)
{
    float sum = 0;
    for (int i = 0; i < 6; i++)
        sum += uniform(rng);
    return sum * .7f;
}

static float *random_weights(uint64_t seed, size_t n)
{
    qw_rng rng;
    qw_rng_seed(&rng, seed);
    float *w = floats(n);
    for (size_t i = 0; i < n; i++)
        w[i] = .05f * bell(&rng);
    return w;
}

/* Inputs that hang together, some of them much stronger than others: what error feedback lives on. */
static float *random_inputs(uint64_t seed, size_t n, size_t cols)
{
    qw_rng rng;
    qw_rng_seed(&rng, seed);
    float *x = floats(n * cols);
    for (size_t i = 0; i < n; i++) {
        float level = 0;
        for (size_t k = 0; k < cols; k++) {
            level = .9f * level + .5f * bell(&rng);
            x[i * cols + k] = level * (k % 7 ? 1 : 4);
        }
    }
    return x;
}

static qw_moments *moments_of(const float *x, size_t n, size_t cols, size_t block)
{
    qwren_error err;
    qw_moments *m = NULL;
    assert_int_equal(qw_moments_create(&m, cols, block, &err), QWREN_OK);
    qw_moments_add(m, NULL, x, n);
    assert_int_equal(qw_moments_finish(m, NULL, &err), QWREN_OK);
    return m;
}

static void encode(target *t, const float *w, qw_encode_method method, const qw_moments *m)
{
    qwren_error err = { 0 };
    if (qw_encode_rows(&t->m, 0, t->m.rows, w, method, m, &err) != QWREN_OK)
        fail_msg("%s", err.text);
}

/* sum over columns [col, col + n) of a row of (w - value)^2 */
static double square_error(const target *t, const float *w, size_t row, size_t col, size_t n)
{
    float got[1024];
    double sum = 0;
    qw_matrix_decode(&t->m, row, col, n, got);
    for (size_t i = 0; i < n; i++) {
        const double d = (double)w[row * t->m.cols + col + i] - (double)got[i];
        sum += d * d;
    }
    return sum;
}

/* What the errors of all rows do to the outputs. */
static double output_error(const target *t, const float *w, const qw_moments *m)
{
    double sum = 0;
    float d[1024];
    for (size_t r = 0; r < t->m.rows; r++) {
        qw_matrix_decode(&t->m, r, 0, t->m.cols, d);
        for (size_t i = 0; i < t->m.cols; i++)
            d[i] -= w[r * t->m.cols + i];
        sum += qw_moments_error(m, d);
    }
    return sum;
}

/* Search begins with the plain grid, so it can only win: in every group, and on the whole by a margin. */
static void test_search_beats_plain(void **state)
{
    (void)state;
    static const int groups[] = { 32, 64, 128 };
    static const double margin[9] = { [2] = .75, [3] = .85, [4] = .85, [5] = .9, [6] = .88, [8] = .7 };
    float *w = random_weights(1, 24 * 256);
    for (size_t b = 0; b < N_BITS; b++)
        for (size_t g = 0; g < 3; g++) {
            target plain = make_target(all_bits[b], groups[g], 24, 256, QW_TYPE_BF16);
            target search = make_target(all_bits[b], groups[g], 24, 256, QW_TYPE_BF16);
            encode(&plain, w, QW_ENCODE_PLAIN, NULL);
            encode(&search, w, QW_ENCODE_SEARCH, NULL);
            double sum_plain = 0, sum_search = 0;
            for (size_t i = 0; i < 24 * 256; i += (size_t)groups[g]) {
                const double p = square_error(&plain, w, i / 256, i % 256, (size_t)groups[g]);
                const double s = square_error(&search, w, i / 256, i % 256, (size_t)groups[g]);
                if (s > p * 1.00001)
                    fail_msg("%d bits, group %zu of %d: search %g, plain %g", all_bits[b], i / (size_t)groups[g], groups[g], s, p);
                sum_plain += p;
                sum_search += s;
            }
            if (sum_search > margin[all_bits[b]] * sum_plain)
                fail_msg("%d bits, groups of %d: search %g, plain %g", all_bits[b], groups[g], sum_search, sum_plain);
            free_target(&plain);
            free_target(&search);
        }
    free(w);
}

/* On inputs that hang together: feedback halves what the outputs suffer under search. */
static void test_feedback_beats_search(void **state)
{
    (void)state;
    const size_t rows = 20, cols = 384, n = 700;
    float *w = random_weights(2, rows * cols), *x = random_inputs(3, n, cols);
    for (size_t block = 128; block <= 384; block += 256) {
        qw_moments *m = moments_of(x, n, cols, block);
        for (size_t b = 0; b < N_BITS; b++) {
            target search = make_target(all_bits[b], 64, rows, cols, QW_TYPE_BF16);
            target feedback = make_target(all_bits[b], 64, rows, cols, QW_TYPE_BF16);
            encode(&search, w, QW_ENCODE_SEARCH, m);
            encode(&feedback, w, QW_ENCODE_FEEDBACK, m);
            const double s = output_error(&search, w, m), f = output_error(&feedback, w, m);
            if (!(f < .5 * s))
                fail_msg("%d bits, blocks of %zu: feedback %g, search %g", all_bits[b], block, f, s);
            free_target(&search);
            free_target(&feedback);
        }
        qw_moments_free(m);
    }
    free(w);
    free(x);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search_beats_plain),
        cmocka_unit_test(test_feedback_beats_search),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
