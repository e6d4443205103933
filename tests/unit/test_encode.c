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

/* The smallest error that a dense scan of scales and biases finds, each followed by least squares until nothing changes: 2 bits, one group. */
static double brute_force(const float *w, const float *h, size_t n, int top)
{
    double best = INFINITY;
    for (int i = 0; i < 50; i++)
        for (int k = 0; k < 50; k++) {
            double scale = .004 + .002 * i, bias = -.2 + .005 * k, last = INFINITY;
            for (int turn = 0; turn < 30; turn++) {
                double sum = 0, sh = 0, sq = 0, sqq = 0, sw = 0, sqw = 0;
                for (size_t c = 0; c < n; c++) {
                    double q = rint(((double)w[c] - bias) / scale), miss;
                    q = q < 0 ? 0 : q > top ? top : q;
                    miss = (double)w[c] - scale * q - bias;
                    sum += (double)h[c] * miss * miss;
                    sh += (double)h[c];
                    sq += (double)h[c] * q;
                    sqq += (double)h[c] * q * q;
                    sw += (double)(h[c] * w[c]);
                    sqw += (double)(h[c] * w[c]) * q;
                }
                if (!(sum < last) || sh * sqq - sq * sq < 1e-9)
                    break;
                last = sum;
                scale = (sh * sqw - sq * sw) / (sh * sqq - sq * sq);
                bias = (sw - scale * sq) / sh;
            }
            best = last < best ? last : best;
        }
    return best;
}

static void test_search_is_nearly_the_best(void **state)
{
    (void)state;
    const size_t rows = 12, cols = 32;
    float *w = random_weights(5, rows * cols), *x = random_inputs(6, 200, cols);
    qw_moments *m = moments_of(x, 200, cols, 0);
    float alike[32], unit[32] = { 0 }, h[32];
    for (size_t i = 0; i < cols; i++) {
        alike[i] = 1;
        unit[i] = 1;
        h[i] = (float)qw_moments_error(m, unit);
        unit[i] = 0;
    }
    double sum[2] = { 0 }, best[2] = { 0 };
    for (int weighted = 0; weighted < 2; weighted++) {
        target t = make_target(2, 32, rows, cols, QW_TYPE_F32);
        encode(&t, w, QW_ENCODE_SEARCH, weighted ? m : NULL);
        for (size_t r = 0; r < rows; r++)
            best[weighted] += brute_force(w + r * cols, weighted ? h : alike, cols, 3);
        for (size_t r = 0; r < rows; r++)
            sum[weighted] += weighted ? 0 : square_error(&t, w, r, 0, cols);
        sum[weighted] += weighted ? output_error(&t, w, m) : 0;
        free_target(&t);
        if (sum[weighted] > 1.06 * best[weighted])
            fail_msg("%s: search %g, brute force %g", weighted ? "weighted" : "alike", sum[weighted], best[weighted]);
    }
    qw_moments_free(m);
    free(w);
    free(x);
}

/* qw_moments_error is the mean of (d . x)^2, block by block, and does not depend on the pool. */
static void test_moments_are_those_of_the_inputs(void **state)
{
    (void)state;
    const size_t n = 301, cols = 288; /* two chunks and a bit; blocks of 128, 128, 32 */
    float *x = random_inputs(7, n, cols), *d = random_weights(8, cols);
    x[5 * cols + 3] = NAN; /* rows 5 and 9 do not count */
    x[9 * cols] = INFINITY;
    qw_pool *pool = NULL;
    assert_int_equal(qw_pool_create(&pool, 3, NULL), QWREN_OK);
    static const size_t blocks[] = { 0, 100, 128, 288, 1000 };
    for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++) {
        const size_t block = blocks[b] == 0 ? 1 : blocks[b] <= 128 ? 128 : cols;
        double want = 0;
        for (size_t r = 0; r < n; r++)
            for (size_t first = 0; first < cols && r != 5 && r != 9; first += block) {
                double y = 0;
                for (size_t k = first; k < first + block && k < cols; k++)
                    y += (double)x[r * cols + k] * (double)d[k];
                want += y * y / (double)(n - 2);
            }
        qw_moments *alone = moments_of(x, n, cols, blocks[b]), *shared = NULL;
        assert_int_equal(qw_moments_create(&shared, cols, blocks[b], NULL), QWREN_OK);
        qw_moments_add(shared, pool, x, n);
        assert_int_equal(qw_moments_finish(shared, pool, NULL), QWREN_OK);
        const double got = qw_moments_error(alone, d);
        if (!(fabs(got - want) < 1e-5 * want))
            fail_msg("blocks of %zu: %.9g, wanted %.9g", blocks[b], got, want);
        assert_true(got == qw_moments_error(shared, d));
        qw_moments_free(alone);
        qw_moments_free(shared);
    }
    qw_pool_free(pool);
    free(x);
    free(d);
}

/* Rows one by one, in any order, or all at once: the same bytes. 11 rows are no whole number of vectors. */
static void test_rows_are_independent(void **state)
{
    (void)state;
    const size_t rows = 11, cols = 256;
    float *w = random_weights(9, rows * cols), *x = random_inputs(10, 300, cols);
    qw_moments *m = moments_of(x, 300, cols, 128);
    for (qw_encode_method method = QW_ENCODE_PLAIN; method <= QW_ENCODE_FEEDBACK; method++) {
        target all = make_target(5, 64, rows, cols, QW_TYPE_F16), single = make_target(5, 64, rows, cols, QW_TYPE_F16);
        encode(&all, w, method, m);
        for (size_t r = rows; r-- > 0;)
            assert_int_equal(qw_encode_rows(&single.m, r, 1, w + r * cols, method, m, NULL), QWREN_OK);
        assert_memory_equal(all.data, single.data, all.data_bytes);
        assert_memory_equal(all.scales, single.scales, all.side_bytes);
        assert_memory_equal(all.biases, single.biases, all.side_bytes);
        free_target(&all);
        free_target(&single);
    }
    qw_moments_free(m);
    free(w);
    free(x);
}

/* Groups of 32 that are not like weights. Each value must come back within a step of the plain grid; what 16 bits can say exactly must be exact. */
static void fill_odd_rows(float *w)
{
    qw_rng rng;
    qw_rng_seed(&rng, 11);
    for (size_t i = 0; i < 32; i++) {
        w[0 * 32 + i] = 0;
        w[1 * 32 + i] = -.375f;
        w[2 * 32 + i] = i ? 1e-3f * uniform(&rng) : 3000;
        w[3 * 32 + i] = 1e-30f * uniform(&rng);
        w[4 * 32 + i] = i % 2 ? 1.5f : -2;
        w[5 * 32 + i] = 1e4f + uniform(&rng);
        w[6 * 32 + i] = 0x1p-149f * (float)i;
        w[7 * 32 + i] = 1e-7f * uniform(&rng);
    }
}

static void expect_near(const target *t, const float *w, const char *what)
{
    float got[32];
    for (size_t r = 0; r < 8; r++) {
        float low = w[r * 32], high = w[r * 32], largest = 0;
        for (size_t i = 0; i < 32; i++) {
            low = fminf(low, w[r * 32 + i]);
            high = fmaxf(high, w[r * 32 + i]);
            largest = fmaxf(largest, fabsf(w[r * 32 + i]));
        }
        const float step = (high - low) / (float)((1 << qw_type_bits(t->m.type)) - 1);
        qw_matrix_decode(&t->m, r, 0, 32, got);
        for (size_t i = 0; i < 32; i++)
            if (!(fabsf(got[i] - w[r * 32 + i]) <= 4 * step + .01f * largest + 2e-7f) || (r < 2 && got[i] != w[r * 32 + i]))
                fail_msg("%s, %d bits, row %zu: %g became %g", what, qw_type_bits(t->m.type), r, (double)w[r * 32 + i], (double)got[i]);
    }
}

static void test_odd_groups(void **state)
{
    (void)state;
    static const char *const names[] = { "plain", "search", "feedback" };
    static const qw_type types[] = { QW_TYPE_F32, QW_TYPE_BF16, QW_TYPE_F16 };
    float w[8 * 32], *x = random_inputs(12, 100, 32);
    fill_odd_rows(w);
    qw_moments *m = moments_of(x, 100, 32, 32);
    for (size_t b = 0; b < N_BITS; b++)
        for (size_t i = 0; i < 3; i++)
            for (qw_encode_method method = QW_ENCODE_PLAIN; method <= QW_ENCODE_SEARCH; method++) {
                target t = make_target(all_bits[b], 32, 8, 32, types[i]);
                encode(&t, w, method, NULL);
                expect_near(&t, w, names[method]);
                free_target(&t);
            }
    for (size_t b = 0; b < N_BITS; b++) { /* errors are passed on, so only: finite, and no worse for the outputs than plain */
        target plain = make_target(all_bits[b], 32, 8, 32, QW_TYPE_BF16), t = make_target(all_bits[b], 32, 8, 32, QW_TYPE_BF16);
        encode(&plain, w, QW_ENCODE_PLAIN, NULL);
        encode(&t, w, QW_ENCODE_FEEDBACK, m);
        assert_true(output_error(&t, w, m) <= output_error(&plain, w, m));
        free_target(&plain);
        free_target(&t);
    }
    qw_moments_free(m);
    free(x);
}

/* Inputs that calibration must survive: none at all, only zeros, dead columns, all alike, huge ones. */
static void test_odd_inputs(void **state)
{
    (void)state;
    const size_t rows = 9, cols = 128, n = 64;
    float *w = random_weights(13, rows * cols), *x = floats(n * cols);
    for (int kind = 0; kind < 6; kind++) {
        for (size_t i = 0; i < n * cols; i++)
            x[i] = kind < 2    ? 0
                   : kind == 2 ? 1
                   : kind == 3 ? (i % cols % 3 ? 0 : sinf((float)i))
                   : kind == 4 ? 9e11f * cosf((float)(i * i))
                               : 1e-25f;
        qw_moments *m = moments_of(x, kind ? n : 0, cols, cols);
        target t = make_target(4, 64, rows, cols, QW_TYPE_BF16), plain = make_target(4, 64, rows, cols, QW_TYPE_BF16);
        encode(&t, w, QW_ENCODE_FEEDBACK, m);
        encode(&plain, w, QW_ENCODE_PLAIN, NULL);
        double error = 0, power = 0;
        for (size_t r = 0; r < rows; r++)
            for (size_t g = 0; g < cols; g += 64)
                error += square_error(&t, w, r, g, 64);
        for (size_t i = 0; i < rows * cols; i++)
            power += (double)w[i] * (double)w[i];
        if (!(error < .1 * power) || !(output_error(&t, w, m) <= output_error(&plain, w, m)))
            fail_msg("inputs of kind %d: error %g of %g, outputs %g, plain %g", kind, error, power, output_error(&t, w, m),
                     output_error(&plain, w, m));
        free_target(&t);
        free_target(&plain);
        qw_moments_free(m);
    }
    free(w);
    free(x);
}

/* Rows that are not finite are left out; when no other is left, that is no calibration. */
static void test_inputs_that_are_no_numbers(void **state)
{
    (void)state;
    float x[2 * 32];
    for (size_t i = 0; i < 64; i++)
        x[i] = i == 7 ? NAN : 1;
    for (size_t n = 1; n <= 2; n++) {
        qw_moments *m;
        qwren_error err;
        assert_int_equal(qw_moments_create(&m, 32, 32, NULL), QWREN_OK);
        qw_moments_add(m, NULL, x, n);
        assert_int_equal(qw_moments_finish(m, NULL, &err), n == 1 ? QWREN_E_FORMAT : QWREN_OK);
        if (n == 1 && !strstr(err.text, "none of the 1 inputs"))
            fail_msg("%s", err.text);
        qw_moments_free(m);
    }
}

/* Where no input can make up for another, feedback is search. */
static void test_feedback_without_correlation_is_search(void **state)
{
    (void)state;
    float *w = random_weights(14, 8 * 128);
    qw_moments *m = moments_of(w, 0, 128, 128);
    target a = make_target(3, 32, 8, 128, QW_TYPE_BF16), b = make_target(3, 32, 8, 128, QW_TYPE_BF16);
    encode(&a, w, QW_ENCODE_SEARCH, m);
    encode(&b, w, QW_ENCODE_FEEDBACK, m);
    assert_memory_equal(a.data, b.data, a.data_bytes);
    assert_memory_equal(a.scales, b.scales, a.side_bytes);
    free_target(&a);
    free_target(&b);
    qw_moments_free(m);
    free(w);
}

/* spread: the mean of the diagonal times the share, on each column. */
static void test_spread(void **state)
{
    (void)state;
    const size_t cols = 64, n = 50;
    float *x = random_inputs(15, n, cols), *d = random_weights(16, cols);
    for (size_t block = 0; block <= 64; block += 64) {
        qw_moments *plain = moments_of(x, n, cols, block), *spread = NULL;
        assert_int_equal(qw_moments_create(&spread, cols, block, NULL), QWREN_OK);
        qw_moments_add(spread, NULL, x, n);
        qw_moments_spread(spread, .5);
        assert_int_equal(qw_moments_finish(spread, NULL, NULL), QWREN_OK);
        double mean = 0, length = 0;
        for (size_t i = 0; i < n * cols; i++)
            mean += (double)x[i] * (double)x[i] / (double)(n * cols);
        for (size_t k = 0; k < cols; k++)
            length += (double)d[k] * (double)d[k];
        const double want = qw_moments_error(plain, d) + .5 * mean * length, got = qw_moments_error(spread, d);
        if (!(fabs(got - want) < 1e-5 * want))
            fail_msg("block %zu: %.9g, wanted %.9g", block, got, want);
        qw_moments_free(plain);
        qw_moments_free(spread);
    }
    free(x);
    free(d);
}

/* sum over rows and inputs of (w . source - coded . x)^2 */
static double end_error(const target *t, const float *w, const float *x, const float *source, size_t n)
{
    double sum = 0;
    float coded[1024];
    for (size_t r = 0; r < t->m.rows; r++) {
        qw_matrix_decode(&t->m, r, 0, t->m.cols, coded);
        for (size_t i = 0; i < n; i++) {
            double miss = 0;
            for (size_t k = 0; k < t->m.cols; k++)
                miss += (double)w[r * t->m.cols + k] * (double)source[i * t->m.cols + k] - (double)coded[k] * (double)x[i * t->m.cols + k];
            sum += miss * miss;
        }
    }
    return sum;
}

/* Pairs: when the inputs have shrunk and lost some columns that others tell of, the coded weights make up for it. A pair of equals changes nothing. */
static void test_pairs_make_up_for_lost_inputs(void **state)
{
    (void)state;
    const size_t rows = 16, cols = 192, n = 500;
    float *w = random_weights(20, rows * cols), *source = random_inputs(21, n, cols), *x = floats(n * cols);
    for (size_t i = 0; i < n * cols; i++)
        x[i] = i % cols % 5 ? .97f * source[i] : 0;
    for (size_t block = 128; block <= 192; block += 64) {
        qw_moments *alone = moments_of(x, n, cols, block), *paired = NULL, *equal = NULL;
        assert_int_equal(qw_moments_create(&paired, cols, block, NULL), QWREN_OK);
        assert_int_equal(qw_moments_create(&equal, cols, block, NULL), QWREN_OK);
        assert_int_equal(qw_moments_add_pair(paired, NULL, x, source, n, NULL), QWREN_OK);
        assert_int_equal(qw_moments_add_pair(equal, NULL, x, x, n, NULL), QWREN_OK);
        assert_int_equal(qw_moments_finish(paired, NULL, NULL), QWREN_OK);
        assert_int_equal(qw_moments_finish(equal, NULL, NULL), QWREN_OK);
        target a = make_target(6, 64, rows, cols, QW_TYPE_BF16), b = make_target(6, 64, rows, cols, QW_TYPE_BF16);
        encode(&a, w, QW_ENCODE_FEEDBACK, alone);
        encode(&b, w, QW_ENCODE_FEEDBACK, equal);
        assert_memory_equal(a.data, b.data, a.data_bytes);
        encode(&b, w, QW_ENCODE_FEEDBACK, paired);
        const double without = end_error(&a, w, x, source, n), with = end_error(&b, w, x, source, n);
        if (!(with < .3 * without))
            fail_msg("blocks of %zu: %g with pairs, %g without", block, with, without);
        free_target(&a);
        free_target(&b);
        qw_moments_free(alone);
        qw_moments_free(paired);
        qw_moments_free(equal);
    }
    free(w);
    free(x);
    free(source);
}

static void expect_refused(const float *w, qw_type scale_type, qw_encode_method method, const qw_moments *m, const char *words)
{
    qwren_error err = { 0 };
    target t = make_target(6, 64, 3, 128, scale_type);
    assert_int_equal(qw_encode_rows(&t.m, 0, 3, w, method, m, &err), QWREN_E_FORMAT);
    if (!strstr(err.text, words))
        fail_msg("\"%s\" does not say \"%s\"", err.text, words);
    free_target(&t);
}

static void test_refusals(void **state)
{
    (void)state;
    static const float not_finite[] = { NAN, INFINITY, -INFINITY };
    float *w = random_weights(17, 3 * 128);
    qw_moments *m = moments_of(w, 3, 128, 128), *diagonal = moments_of(w, 3, 128, 0), *none = NULL;
    for (qw_encode_method method = QW_ENCODE_PLAIN; method <= QW_ENCODE_FEEDBACK; method++) {
        for (size_t i = 0; i < 3; i++) {
            const float kept = w[2 * 128 + 77];
            w[2 * 128 + 77] = not_finite[i];
            expect_refused(w, QW_TYPE_BF16, method, m, "row 2, column 77 is not a finite number");
            w[2 * 128 + 77] = kept;
        }
        const float kept = w[128 + 100];
        w[128 + 100] = 1e8f;
        expect_refused(w, QW_TYPE_F16, method, m, "row 1, columns 64 to 127: the weights are too large");
        w[128 + 100] = 3.4e38f;
        w[128 + 101] = -3.4e38f;
        expect_refused(w, QW_TYPE_BF16, method, m, "row 1, columns 64 to 127: the weights are too large");
        w[128 + 100] = w[128 + 101] = kept;
    }
    qwren_error err = { 0 };
    target t = make_target(6, 64, 3, 128, QW_TYPE_BF16);
    assert_int_equal(qw_encode_rows(&t.m, 0, 3, w, QW_ENCODE_FEEDBACK, NULL, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_encode_rows(&t.m, 0, 3, w, QW_ENCODE_FEEDBACK, diagonal, &err), QWREN_E_ARGUMENT);
    free_target(&t);
    assert_int_equal(qw_moments_create(&none, 33, 0, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_moments_create(&none, 0, 0, &err), QWREN_E_ARGUMENT);
    assert_int_equal(qw_moments_create(&none, SIZE_MAX / 32 * 32, SIZE_MAX, &err), QWREN_E_MEMORY);
    assert_null(none);
    assert_true(qw_moments_bytes(SIZE_MAX / 32 * 32, SIZE_MAX) == SIZE_MAX);
    qw_moments_free(NULL);
    qw_moments_free(m);
    qw_moments_free(diagonal);
    free(w);
}

static qwren_status whole_way(void *ctx, qwren_error *err)
{
    const float *w = ctx;
    qw_moments *m = NULL;
    uint8_t data[10 * 128], scales[10 * 2 * 2], biases[10 * 2 * 2];
    const qw_matrix out = { QW_TYPE_AFFINE6, 10, 128, data, scales, biases, QW_TYPE_BF16, 64 };
    qwren_status st = qw_moments_create(&m, 128, 128, err);
    if (st != QWREN_OK)
        return st;
    st = qw_moments_add_pair(m, NULL, w, w, 10, err);
    if (st == QWREN_OK)
        st = qw_moments_finish(m, NULL, err);
    for (qw_encode_method method = QW_ENCODE_PLAIN; method <= QW_ENCODE_FEEDBACK && st == QWREN_OK; method++)
        st = qw_encode_rows(&out, 0, 10, w, method, m, err);
    qw_moments_free(m);
    return st;
}

static void test_failing_heap(void **state)
{
    (void)state;
    float *w = random_weights(18, 10 * 128);
    fault_install();
    assert_int_equal(fault_try_all(whole_way, w, 1), 10);
    fault_remove();
    free(w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_search_beats_plain),
        cmocka_unit_test(test_search_is_nearly_the_best),
        cmocka_unit_test(test_feedback_beats_search),
        cmocka_unit_test(test_feedback_without_correlation_is_search),
        cmocka_unit_test(test_moments_are_those_of_the_inputs),
        cmocka_unit_test(test_spread),
        cmocka_unit_test(test_pairs_make_up_for_lost_inputs),
        cmocka_unit_test(test_rows_are_independent),
        cmocka_unit_test(test_odd_groups),
        cmocka_unit_test(test_odd_inputs),
        cmocka_unit_test(test_inputs_that_are_no_numbers),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_failing_heap),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
