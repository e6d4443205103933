/* The CPU device: what it computes does not depend on the number of threads, nor on what is computed beside a row, to the bit, in float and in eight bits. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "compute/cpu/cpu.h"
#include "quant/half.h"
#include "support/fault.h"

#define N 37 /* tokens */
#define HEADS 6
#define KV 2
#define HD 24
#define HALF 5
#define COLS 192
#define ROWS 300 /* no multiple of anything */
#define INNER 320
#define TAPS 4
#define DK 12
#define DV 64
#define STATE (DK * DV + 16)
#define CHANNELS (2 * KV * DK + HEADS * DV)
#define MIXED (HEADS * DV)
#define BLOCKS 2 /* of logits */

/* Everything that the operations read and write, filled alike for every device. */
typedef struct world {
    float w[ROWS * COLS], gate[INNER * COLS], up[INNER * COLS], down[COLS * INNER], o[COLS * MIXED], norm[COLS], bias[ROWS];
    float x[N * COLS], y[N * ROWS], logits[N * ROWS], maxima[N * BLOCKS], plain[N * ROWS], normed[N * COLS], layer[N * COLS];
    float conv[TAPS * CHANNELS], tail[(TAPS - 1) * CHANNELS], qkv[N * CHANNELS], z[N * MIXED], a[N * HEADS], b[N * HEADS], rate[HEADS],
        state[HEADS * STATE];
} world;

static void fill(world *w)
{
    qw_rng rng;
    qw_rng_seed(&rng, 7);
    for (size_t i = 0; i < sizeof *w / sizeof(float); i++)
        ((float *)w)[i] = (float)(2 * qw_rng_double(&rng) - 1);
    for (size_t i = 0; i < HEADS; i++)
        w->rate[i] = -0.5F;
}

/* ---- devices and matrices */

static const qw_ops_needs needs = {
    .cols = MIXED, .key_dim = DK, .value_dim = DV, .values_per_key = HEADS / KV, .head_dim = HD, .heads_per_kv = HEADS / KV
};

static qw_ops *device(int threads, qwren_arithmetic arithmetic)
{
    qw_ops *ops = NULL;
    const qw_ops_options opt = { .n_threads = threads, .arithmetic = arithmetic };
    assert_int_equal(qw_ops_create(&ops, &opt, NULL), QWREN_OK);
    assert_int_equal(qw_ops_reserve(ops, &needs, NULL), QWREN_OK);
    return ops;
}

/* The weights in three kinds: codes (Q8_0), BF16, floats. */
enum { CODES, HALVES, FLOATS, KINDS };

typedef struct coded {
    qw_matrix matrix;
    void *data;
} coded;

static coded encode(const float *w, size_t rows, size_t cols, int kind)
{
    coded c = { { .type = kind == CODES ? QW_TYPE_Q8_0 : kind == HALVES ? QW_TYPE_BF16 : QW_TYPE_F32, .rows = rows, .cols = cols }, NULL };
    uint8_t *b = c.data = malloc(rows * cols * sizeof *w);
    assert_non_null(b);
    if (kind == CODES)
        for (size_t i = 0; i < rows * cols; i++) {
            const uint16_t scale = qw_f32_to_f16(1.0F / 128);
            if (i % 32 == 0)
                memcpy(b, &scale, 2), b += 2;
            *b++ = (uint8_t)(int8_t)lrintf(w[i] * 127);
        }
    else if (kind == HALVES)
        for (size_t i = 0; i < rows * cols; i++)
            ((uint16_t *)c.data)[i] = qw_f32_to_bf16(w[i]);
    else
        memcpy(c.data, w, rows * cols * sizeof *w);
    c.matrix.data = c.data;
    return c;
}

typedef struct weights {
    coded w, gate, up, down, o;
} weights;

static weights encode_all(const world *w, int kind)
{
    return (weights){ encode(w->w, ROWS, COLS, kind), encode(w->gate, INNER, COLS, kind), encode(w->up, INNER, COLS, kind),
                      encode(w->down, COLS, INNER, kind), encode(w->o, COLS, MIXED, kind) };
}

static void forget(weights *m) { free(m->w.data), free(m->gate.data), free(m->up.data), free(m->down.data), free(m->o.data); }

typedef struct inputs {
    void *memory;
    qw_input in, inner;
} inputs;

static inputs make_inputs(size_t n)
{
    inputs s = { .memory = qw_alloc_aligned(2 * qw_input_bytes(n, MIXED)) };
    assert_non_null(s.memory);
    qw_input_init(&s.in, s.memory, n, MIXED);
    qw_input_init(&s.inner, (char *)s.memory + qw_input_bytes(n, MIXED), n, MIXED);
    return s;
}

/* ---- a layer's way, tokens [first, first + n) */

static void delta(qw_ops *ops, world *w, const weights *m, inputs *s, size_t first, size_t n)
{
    const qw_delta_segment segment = { .n = n, .tail = w->tail, .state = w->state };
    qw_op_delta(ops, &(qw_delta_op_args){ .out = &s->inner,
                                          .forms = qw_op_forms(ops, &m->o.matrix, NULL),
                                          .qkv = w->qkv + first * CHANNELS,
                                          .z = w->z + first * MIXED,
                                          .a = w->a + first * HEADS,
                                          .b = w->b + first * HEADS,
                                          .conv = w->conv,
                                          .neg_exp_a = w->rate,
                                          .dt_bias = w->rate,
                                          .norm = w->norm,
                                          .taps = TAPS,
                                          .key_heads = KV,
                                          .value_heads = HEADS,
                                          .key_dim = DK,
                                          .value_dim = DV,
                                          .eps = 1e-6F,
                                          .segments = &segment,
                                          .n_segments = 1 });
    qw_op_linears(ops, &(qw_linear){ .y = w->x + first * COLS, .w = &m->o.matrix, .add = true }, 1, &s->inner, n);
}

static void layer(qw_ops *ops, world *w, const weights *m, size_t first, size_t n)
{
    inputs s = make_inputs(n);
    float *x = w->x + first * COLS, *logits[N], *maxima[N];
    delta(ops, w, m, &s, first, n);
    qw_op_norm(ops, &s.in, x, w->norm, n, COLS, 1e-6F, QW_ROLE_NORMED,
               qw_op_forms(ops, &m->w.matrix, &m->gate.matrix, &m->up.matrix, NULL));
    qw_op_linears(ops, &(qw_linear){ w->y + first * ROWS, &m->w.matrix, .bias = w->bias }, 1, &s.in, n);
    qw_op_gate_up(ops, &s.inner, &m->gate.matrix, &m->up.matrix, &s.in, n, qw_op_forms(ops, &m->down.matrix, NULL));
    qw_op_linears(ops, &(qw_linear){ x, &m->down.matrix, .add = true }, 1, &s.inner, n);
    qw_op_input(ops, &s.in, x, n, COLS, QW_ROLE_HEAD, qw_op_forms(ops, &m->w.matrix, NULL));
    for (size_t i = 0; i < n; i++) {
        logits[i] = w->logits + (first + i) * ROWS;
        maxima[i] = w->maxima + (first + i) * BLOCKS;
    }
    qw_op_head(ops, logits, maxima, &m->w.matrix, &s.in, 0, n);
    qw_free_aligned(s.memory);
}

/* What is computed in float whatever the arithmetic. */
static void floats(qw_ops *ops, world *w)
{
    const qw_matrix m = { .type = QW_TYPE_F32, .rows = ROWS, .cols = COLS, .data = w->w };
    qw_op_linear(ops, w->plain, &m, w->bias, w->x, N);
    qw_op_rmsnorm(ops, w->normed, w->x, w->norm, N, COLS, 1e-6F);
    qw_op_layernorm(ops, w->layer, w->x, w->norm, w->norm, N, COLS, 1e-6F);
}

static void compute(world *w, const weights *m, qwren_arithmetic arithmetic, int threads, size_t piece)
{
    qw_ops *ops = device(threads, arithmetic);
    for (size_t at = 0; at < N; at += piece)
        layer(ops, w, m, at, N - at < piece ? N - at : piece);
    floats(ops, w);
    qw_ops_free(ops);
}

static void results_depend_on_nothing_else(qwren_arithmetic arithmetic, int kind)
{
    world *one = malloc(sizeof *one), *many = malloc(sizeof *many);
    assert_true(one && many);
    fill(one);
    weights m = encode_all(one, kind);
    compute(one, &m, arithmetic, 1, N);
    for (int threads = 1; threads <= 5; threads++)
        for (size_t piece = 1; piece <= N; piece += 12) {
            fill(many);
            compute(many, &m, arithmetic, threads, piece);
            assert_memory_equal(one, many, sizeof *one);
        }
    for (size_t i = 0; i < N * ROWS; i++)
        assert_true(isfinite(one->logits[i]) && one->maxima[i / ROWS * BLOCKS + i % ROWS / QW_LOGIT_BLOCK] >= one->logits[i]);
    forget(&m);
    free(one), free(many);
}

/* clang-format off */
static void codes_in_eight_bits(void **state) { (void)state; results_depend_on_nothing_else(QWREN_ARITHMETIC_DEFAULT, CODES); }
static void codes_in_float(void **state) { (void)state; results_depend_on_nothing_else(QWREN_ARITHMETIC_EXACT, CODES); }
static void halves(void **state) { (void)state; results_depend_on_nothing_else(QWREN_ARITHMETIC_DEFAULT, HALVES); }
static void halves_in_float(void **state) { (void)state; results_depend_on_nothing_else(QWREN_ARITHMETIC_DETERMINISTIC, HALVES); }
static void plain_floats(void **state) { (void)state; results_depend_on_nothing_else(QWREN_ARITHMETIC_DEFAULT, FLOATS); }
/* clang-format on */

/* Eight bits are near to float, and are not float: the residual stream and the logits, root mean square over root mean square. */
static void eight_bits_are_near_to_float(void **state)
{
    (void)state;
    world *exact = malloc(sizeof *exact), *fast = malloc(sizeof *fast);
    assert_true(exact && fast);
    fill(exact), fill(fast);
    weights m = encode_all(exact, CODES);
    compute(exact, &m, QWREN_ARITHMETIC_EXACT, 2, N);
    compute(fast, &m, QWREN_ARITHMETIC_DEFAULT, 2, N);
    double squares = 0, size = 0;
    for (size_t i = 0; i < N * ROWS; i++) {
        squares += pow((double)exact->logits[i] - (double)fast->logits[i], 2);
        size += pow((double)exact->logits[i], 2);
    }
    assert_true(squares > 0);
    if (sqrt(squares / size) > 2e-2)
        fail_msg("eight bits are off by %g of the logits", sqrt(squares / size));
    forget(&m);
    free(exact), free(fast);
}

/* Timelines in one pass: each as if it were alone. */
static void segments_do_not_see_each_other(void **state)
{
    (void)state;
    world *w = malloc(sizeof *w);
    float *tails = calloc(2 * (TAPS - 1) * CHANNELS, sizeof *tails), *states = calloc(2 * HEADS * STATE, sizeof *states);
    assert_true(w && tails && states);
    fill(w);
    qw_ops *ops = device(2, QWREN_ARITHMETIC_DEFAULT);
    inputs both = make_inputs(N), one = make_inputs(N);
    const qw_delta_segment segments[] = {
        { .n = 30, .tail = tails, .state = states },
        { .first = 30, .n = N - 30, .tail = tails + (TAPS - 1) * CHANNELS, .state = states + HEADS * STATE },
    };
    qw_delta_op_args a = { .out = &both.in,
                           .forms = QW_FORM_F32 | QW_FORM_Q8 | QW_FORM_BF16,
                           .qkv = w->qkv,
                           .z = w->z,
                           .a = w->a,
                           .b = w->b,
                           .conv = w->conv,
                           .neg_exp_a = w->rate,
                           .dt_bias = w->rate,
                           .norm = w->norm,
                           .taps = TAPS,
                           .key_heads = KV,
                           .value_heads = HEADS,
                           .key_dim = DK,
                           .value_dim = DV,
                           .tiled = true,
                           .eps = 1e-6F,
                           .segments = segments,
                           .n_segments = 2 };
    if (!ops->kernels.to_bf16)
        a.forms &= ~(unsigned)QW_FORM_BF16;
    qw_op_delta(ops, &a);
    memset(tails, 0, 2 * (TAPS - 1) * CHANNELS * sizeof *tails);
    memset(states, 0, 2 * HEADS * STATE * sizeof *states);
    fill(w); /* gates are used up */
    a.out = &one.in;
    a.n_segments = 1;
    qw_op_delta(ops, &a);
    assert_memory_equal(both.in.f32, one.in.f32, 30 * MIXED * sizeof(float));
    assert_memory_equal(both.in.q8.low, one.in.q8.low, 30 * MIXED);
    const qw_delta_segment second = { .n = N - 30, .tail = segments[1].tail, .state = segments[1].state };
    a.segments = &second;
    a.qkv += 30 * CHANNELS, a.z += 30 * MIXED, a.a += 30 * HEADS, a.b += 30 * HEADS;
    qw_op_delta(ops, &a);
    assert_memory_equal(both.in.f32 + 30 * MIXED, one.in.f32, (N - 30) * MIXED * sizeof(float));
    assert_memory_equal(both.in.q8.low + 30 * MIXED, one.in.q8.low, (N - 30) * MIXED);
    qw_input_move(&both.in, 0, N - 1);
    assert_memory_equal(both.in.f32, one.in.f32 + (N - 31) * MIXED, MIXED * sizeof(float));
    assert_memory_equal(both.in.q8.low, one.in.q8.low + (N - 31) * MIXED, MIXED);
    qw_free_aligned(both.memory), qw_free_aligned(one.memory);
    qw_ops_free(ops);
    free(w), free(tails), free(states);
}

/* ---- the decoder's attention */

#define LONG 1100 /* positions: three splits */

typedef struct timeline {
    float *k, *v, *q, *cos, *sin, *parts, norm[HD];
    void *cache, *pages[(LONG + QW_KV_PAGE - 1) / QW_KV_PAGE]; /* one of the two */
    size_t n_parts;
} timeline;

#define PAGE_OFFSET 192 /* where the layer's caches begin in a page */

static float *random_floats(qw_rng *rng, size_t n)
{
    float *p = malloc(n * sizeof *p);
    assert_non_null(p);
    for (size_t i = 0; i < n; i++)
        p[i] = (float)(2 * qw_rng_double(rng) - 1);
    return p;
}

static timeline make_timeline(qw_kv_type type, bool in_pages)
{
    qw_rng rng;
    qw_rng_seed(&rng, 11);
    timeline t = { .k = random_floats(&rng, LONG * KV * HD),
                   .v = random_floats(&rng, LONG * KV * HD),
                   .q = random_floats(&rng, LONG * HEADS * 2 * HD),
                   .cos = random_floats(&rng, LONG * HALF),
                   .sin = random_floats(&rng, LONG * HALF),
                   .n_parts = 2 * qw_attention_parts(HEADS, HD, LONG) };
    t.parts = qw_alloc_aligned(t.n_parts * sizeof *t.parts);
    if (!in_pages)
        t.cache = qw_alloc_aligned(KV * qw_kv_bytes(type, HD, LONG));
    for (size_t i = 0; in_pages && i < sizeof t.pages / sizeof *t.pages; i++)
        assert_non_null(t.pages[i] = qw_alloc_aligned(PAGE_OFFSET + KV * qw_kv_bytes(type, HD, QW_KV_PAGE)));
    assert_true(t.parts && (t.cache || in_pages));
    for (size_t i = 0; i < HD; i++)
        t.norm[i] = 1 + (float)i / HD;
    return t;
}

static void drop_timeline(timeline *t)
{
    free(t->k), free(t->v), free(t->q), free(t->cos), free(t->sin);
    qw_free_aligned(t->parts), qw_free_aligned(t->cache);
    for (size_t i = 0; i < sizeof t->pages / sizeof *t->pages; i++)
        qw_free_aligned(t->pages[i]);
}

/* Tokens [first, first + n); the last n_queries of them ask. */
static void attend(qw_ops *ops, timeline *t, qw_kv_type type, qw_input *out, size_t first, size_t n, size_t n_queries, size_t n_parts)
{
    qw_attention_segment segment = {
        .n = n, .start = first, .first_query = n - n_queries, .n_queries = n_queries, .cache = t->cache, .type = type, .capacity = LONG
    };
    if (!t->cache)
        segment.pages = t->pages, segment.offset = PAGE_OFFSET;
    qw_attention_op_args a = { .k = t->k + first * KV * HD,
                               .v = t->v + first * KV * HD,
                               .q = t->q + first * HEADS * 2 * HD,
                               .q_norm = t->norm,
                               .k_norm = t->norm,
                               .cos = t->cos + first * HALF,
                               .sin = t->sin + first * HALF,
                               .out = out,
                               .forms = QW_FORM_F32,
                               .n_heads = HEADS,
                               .n_kv_heads = KV,
                               .head_dim = HD,
                               .half = HALF,
                               .eps = 1e-6F,
                               .parts = t->parts,
                               .n_parts = n_parts,
                               .segments = &segment,
                               .n_segments = 1 };
    qw_op_remember(ops, &a);
    qw_op_attend(ops, &a);
}

/* Whatever asks beside a query, whether its keys are split over threads or not, and whether they lie in pages. */
static void a_query_has_one_answer(void **state)
{
    (void)state;
    for (qw_kv_type type = 0; type < QW_KV_PAIRS; type++) {
        inputs whole = make_inputs(LONG), piece = make_inputs(LONG);
        qw_ops *one = device(1, QWREN_ARITHMETIC_DEFAULT), *many = device(3, QWREN_ARITHMETIC_DEFAULT);
        timeline t = make_timeline(type, false);
        attend(one, &t, type, &whole.in, 0, LONG, LONG, 0);
        drop_timeline(&t);
        t = make_timeline(type, true);
        for (size_t at = 0, n; at < LONG; at += n) { /* in pieces of all sizes; single tokens behind many are split */
            n = at < 1000 ? 1 + at / 2 : 1;
            n = n < LONG - at ? n : LONG - at;
            attend(many, &t, type, &piece.in, at, n, n, at % 3 ? t.n_parts : 0);
            assert_memory_equal(piece.in.f32, whole.in.f32 + at * HEADS * HD, n * HEADS * HD * sizeof(float));
        }
        drop_timeline(&t);
        t = make_timeline(type, true);
        attend(many, &t, type, &piece.in, 0, LONG, 1, t.n_parts); /* the last alone, at once */
        assert_memory_equal(piece.in.f32 + (LONG - 1) * HEADS * HD, whole.in.f32 + (LONG - 1) * HEADS * HD, HEADS * HD * sizeof(float));
        drop_timeline(&t);
        qw_ops_free(one), qw_ops_free(many);
        qw_free_aligned(whole.memory), qw_free_aligned(piece.memory);
    }
}

/* The largest of a block, which a NaN is. */
static void maxima_tell_of_numbers_that_are_none(void **state)
{
    (void)state;
    float column[ROWS], logits[ROWS], maxima[BLOCKS], one = 1, *to = logits, *most = maxima;
    const qw_matrix m = { .type = QW_TYPE_F32, .rows = ROWS, .cols = 1, .data = column };
    const qw_input in = { .cols = 1, .forms = QW_FORM_F32, .f32 = &one };
    qw_ops *ops = device(2, QWREN_ARITHMETIC_DEFAULT);
    for (size_t i = 0; i < ROWS; i++)
        column[i] = -(float)i;
    qw_op_head(ops, &to, &most, &m, &in, 0, 1);
    assert_true(maxima[0] == 0 && maxima[1] == -(float)QW_LOGIT_BLOCK);
    column[3] = NAN, column[ROWS - 1] = INFINITY;
    qw_op_head(ops, &to, &most, &m, &in, 0, 1);
    assert_true(isnan(maxima[0]) && maxima[1] == INFINITY);
    qw_ops_free(ops);
}

/* Products that are added by way of a tile, over hardly any columns: then a piece has as many rows as one ever has. */
static void narrow_matrices_keep_to_their_tile(void **state)
{
    (void)state;
    enum { R = 1024, T = 512, MOST = 8 };
    uint16_t *w = malloc(R * MOST * sizeof *w);
    float *x = malloc(T * MOST * sizeof *x), *y = malloc((size_t)R * T * sizeof *y);
    assert_true(w && x && y);
    qw_ops *ops = device(1, QWREN_ARITHMETIC_DETERMINISTIC);
    for (size_t cols = 1; cols <= MOST; cols++) {
        const qw_matrix m = { .type = QW_TYPE_BF16, .rows = R, .cols = cols, .data = w };
        qw_input in = { .version = cols, .cols = cols, .forms = QW_FORM_F32, .f32 = x };
        for (size_t i = 0; i < R * cols; i++)
            w[i] = qw_f32_to_bf16((float)(i % 7));
        for (size_t i = 0; i < T * cols; i++)
            x[i] = (float)(i % 5);
        for (size_t i = 0; i < (size_t)R * T; i++)
            y[i] = 1;
        qw_op_linears(ops, &(qw_linear){ .y = y, .w = &m, .add = true }, 1, &in, T);
        for (size_t t = 0; t < T; t += 73)
            for (size_t r = 0; r < R; r += 31) {
                float sum = 1;
                for (size_t c = 0; c < cols; c++)
                    sum += (float)((r * cols + c) % 7 * ((t * cols + c) % 5));
                assert_true(y[t * R + r] == sum);
            }
    }
    qw_ops_free(ops);
    free(w), free(x), free(y);
}

static qwren_status create(void *ctx, qwren_error *err)
{
    qw_ops *ops = NULL;
    (void)ctx;
    qwren_status st = qw_ops_create(&ops, &(qw_ops_options){ .n_threads = 2 }, err);
    if (st == QWREN_OK)
        st = qw_ops_reserve(ops, &needs, err);
    qw_ops_free(ops);
    return st;
}

static void memory_may_be_short(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(create, NULL, 1) >= 3);
    fault_remove();
}

/* What is wrong, where it was said, and what to do. */
static void an_unknown_level_is_refused(void **state)
{
    (void)state;
    qw_ops *ops = NULL;
    qwren_error err;
    setenv("QWREN_CPU", "abacus", 1);
    const qwren_status st = qw_ops_create(&ops, &(qw_ops_options){ .n_threads = 2 }, &err);
    unsetenv("QWREN_CPU");
    assert_int_equal(st, QWREN_E_ARGUMENT);
    assert_null(ops);
    static const char *const said[] = { "environment variable QWREN_CPU", "\"abacus\"", "this machine can run: portable", "unset it" };
    for (size_t i = 0; i < sizeof said / sizeof *said; i++)
        if (!strstr(err.text, said[i]))
            fail_msg("\"%s\" does not say: %s", err.text, said[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(codes_in_eight_bits),
        cmocka_unit_test(codes_in_float),
        cmocka_unit_test(halves),
        cmocka_unit_test(halves_in_float),
        cmocka_unit_test(plain_floats),
        cmocka_unit_test(eight_bits_are_near_to_float),
        cmocka_unit_test(segments_do_not_see_each_other),
        cmocka_unit_test(a_query_has_one_answer),
        cmocka_unit_test(maxima_tell_of_numbers_that_are_none),
        cmocka_unit_test(narrow_matrices_keep_to_their_tile),
        cmocka_unit_test(memory_may_be_short),
        cmocka_unit_test(an_unknown_level_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
