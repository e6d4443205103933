/* Eight-bit activations on every level that this machine can run: making them, and weights times them, equal to the portable ones to the bit over random and
 * edge shapes. Arrays end where they must (the address sanitizer sees a byte too far; behind the scratch is a page that nobody may touch), weights stand
 * unaligned, and what lies between rows of y stays. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/rng.h"
#include "kernels/ref/ref.h"
#include "quant/half.h"

#define ROUNDS 40 /* shapes for each type and level */
#define UNTOUCHED 7e33F

static qw_rng rng;
static qw_kernels kernels;
static const char *level;

static size_t below(size_t n) { return qw_rng_u32(&rng) % n; }
static size_t between(size_t low, size_t high) { return low + below(high - low + 1); }
static float normal(void) { return (float)(sqrt(-2 * log(1 - qw_rng_double(&rng))) * cos(6.283185307179586 * qw_rng_double(&rng))); }

static void *need(size_t bytes)
{
    void *p = NULL;
    if (posix_memalign(&p, 64, bytes ? bytes : 1))
        fail_msg("no memory");
    return p;
}

/* ---- what is multiplied */

static qw_q8 q8_new(size_t tokens, size_t cols, int n_fix)
{
    const size_t groups = tokens * (cols / QW_Q8_GROUP);
    qw_q8 q = { .cols = cols, .n_fix = n_fix };
    q.low = need(tokens * cols);
    q.groups = need(groups * sizeof *q.groups);
    q.fixes = need(groups * (size_t)n_fix * sizeof *q.fixes);
    return q;
}

static void q8_free(qw_q8 *q)
{
    free(q->low);
    free(q->groups);
    free(q->fixes);
}

/* Values of one group: outliers, ties, zeros, extremes, and now and then what is no number. */
static void fill_group(float *x)
{
    static const float odd[] = { 0, -0.0F, 1e-38F, 1e-44F, 3e38F, -3e38F, 1e-30F, 127e-30F };
    static const float wrong[] = { NAN, INFINITY, -INFINITY };
    const size_t kind = below(20);
    for (size_t i = 0; i < QW_Q8_GROUP; i++)
        switch (kind) {
        case 0: x[i] = 0; break;
        case 1: x[i] = (float)below(3) - 1; break; /* ties */
        case 2: x[i] = odd[below(8)]; break;
        case 3: x[i] = normal() * 1e-31F; break; /* about the smallest scale */
        case 4: x[i] = (float)below(255) - 127; break;
        default: x[i] = normal() * (below(24) == 0 ? 60.0F : 1.0F);
        }
    if (kind == 5)
        x[below(QW_Q8_GROUP)] = wrong[below(3)];
    if (kind == 6)
        x[below(QW_Q8_GROUP)] = 1e6F;
}

static void fill_tokens(const qw_q8 *q, size_t tokens)
{
    const size_t groups = q->cols / QW_Q8_GROUP;
    float x[QW_Q8_GROUP];
    for (size_t i = 0; i < tokens * groups; i++) {
        fill_group(x);
        qw_quantize_ref(&(qw_q8_quantize){ .out = q, .token = i / groups, .n_tokens = 1, .group = i % groups, .n_groups = 1, .x = x });
    }
}

/* The halves of a block that are its scales, so that random bytes are finite weights most of the time. */
static void fill_halves(qw_type t, uint8_t *block)
{
    const bool two = t == QW_TYPE_Q4_1 || t == QW_TYPE_Q5_1 || t == QW_TYPE_Q4_K || t == QW_TYPE_Q5_K;
    const size_t at = t == QW_TYPE_Q6_K ? 208 : 0;
    for (size_t i = 0; i <= (two ? 1 : 0); i++) {
        const uint16_t h = below(200) == 0 ? (uint16_t)qw_rng_u32(&rng) : qw_f32_to_f16(normal() * 0.01F);
        memcpy(block + at + 2 * i, &h, 2);
    }
}

typedef struct weights {
    qw_matrix m;
    uint8_t *data, *scales, *biases; /* as allocated: the arrays stand `off` bytes behind and reach to the end */
} weights;

static uint8_t *random_bytes(size_t n, size_t off)
{
    uint8_t *p = malloc(n + off + (n + off == 0));
    if (!p)
        fail_msg("no memory");
    for (size_t i = 0; i < n + off; i++)
        p[i] = (uint8_t)qw_rng_u32(&rng);
    return p;
}

/* group: columns that share a scale, of an affine type; 0: any */
static weights weights_new(qw_type t, int group, size_t rows, size_t cols)
{
    static const qw_type scale_types[] = { QW_TYPE_BF16, QW_TYPE_F16, QW_TYPE_F32 };
    const size_t off = below(4);
    weights w = { .m = { .type = t, .rows = rows, .cols = cols } };
    const size_t n = rows * qw_matrix_row_bytes(&w.m), block = qw_type_block_bytes(t);
    w.data = random_bytes(n, off);
    w.m.data = w.data + off;
    if (!qw_type_is_affine(t)) {
        for (size_t i = 0; i < n; i += block)
            fill_halves(t, w.data + off + i);
        return w;
    }
    do
        w.m.group = group ? group : 32 << below(3);
    while (cols % (size_t)w.m.group);
    w.m.scale_type = scale_types[below(3)];
    const size_t size = qw_type_block_bytes(w.m.scale_type), n_scales = rows * cols / (size_t)w.m.group;
    w.scales = random_bytes(n_scales * size, off);
    w.biases = random_bytes(n_scales * size, 1);
    w.m.scales = w.scales + off;
    w.m.biases = w.biases + 1;
    for (size_t i = 0; i < n_scales; i++) {
        const float s = normal() * 0.01F, b = below(100) == 0 ? 0 : normal() * 0.1F;
        qw_narrow(w.m.scale_type, &s, 1, w.scales + off + i * size);
        qw_narrow(w.m.scale_type, &b, 1, w.biases + 1 + i * size);
    }
    return w;
}

static void weights_free(weights *w)
{
    free(w->data);
    free(w->scales);
    free(w->biases);
}

/* ---- products */

static bool same(float a, float b) { return memcmp(&a, &b, sizeof a) == 0 || (isnan(a) && isnan(b)); }

static void expect_same_y(const float *got, const float *want, size_t n, const qw_q8_matmul *a)
{
    for (size_t i = 0; i < n; i++)
        if (!same(got[i], want[i]))
            fail_msg("%s, %s, group %d, scales %s: %zu columns, rows %zu + %zu, tokens %zu + %zu, n_fix %d: row %zu of token %zu is %.9g, "
                     "wanted %.9g",
                     level, qw_type_name(a->w->type), a->w->group, qw_type_name(a->w->scale_type), a->w->cols, a->first, a->n_rows,
                     a->first_token, a->n_tokens, a->x->n_fix, i % a->y_stride, i / a->y_stride, (double)got[i], (double)want[i]);
}

/* Bytes that end where a page begins that nobody may touch. */
typedef struct fenced {
    char *pages;
    size_t bytes, page; /* before the page */
    void *at;
} fenced;

static fenced fenced_new(size_t bytes)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE), room = (bytes + page - 1) / page * page;
    fenced f = { mmap(NULL, room + page, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0), room, page, NULL };
    if (f.pages == MAP_FAILED || mprotect(f.pages + room, page, PROT_NONE))
        fail_msg("no memory");
    f.at = f.pages + room - bytes;
    assert_int_equal((uintptr_t)f.at % 64, 0);
    return f;
}

static void fenced_free(fenced *f) { munmap(f->pages, f->bytes + f->page); }

/* Rows [first, first + n_rows) of w times the tokens of `a`, which has x and scratch. */
static void compare_weights(qw_q8_matmul a, const qw_matrix *w, size_t first, size_t n_rows)
{
    const size_t stride = n_rows + below(4), n = (a.n_tokens - 1) * stride + n_rows;
    float *got = need((n + 1) * sizeof *got), *want = need((n + 1) * sizeof *want);
    a.w = w;
    a.first = first;
    a.n_rows = n_rows;
    a.y_stride = stride;
    a.add = below(2);
    for (size_t i = 0; i <= n; i++)
        got[i] = want[i] = a.add ? normal() : UNTOUCHED;
    a.y = want + 1;
    qw_matmul_q8_ref(&a);
    a.y = got + 1;
    kernels.matmul_q8[w->type](&a);
    expect_same_y(got + 1, want + 1, n, &a);
    assert_true(same(got[0], want[0]));
    free(got);
    free(want);
}

static bool fits(qw_type t, size_t cols) { return qw_q8_has(t) && cols % qw_type_block(t) == 0; }

/* The same activations times weights that are cut into other units, of whatever type: what stands ready in the scratch is not of the weights before. */
static void compare_other_weights(qw_q8_matmul a, const qw_matrix *before)
{
    const size_t first = below(4), n_rows = between(1, 40);
    weights w;
    for (bool found = false; !found;) {
        const qw_type t = (qw_type)below(QW_TYPE_COUNT);
        if (!fits(t, before->cols))
            continue;
        w = weights_new(t, 0, first + n_rows, before->cols);
        found = qw_q8_unit(&w.m) != qw_q8_unit(before);
        if (!found)
            weights_free(&w);
    }
    a.ready = true;
    compare_weights(a, &w.m, first, n_rows);
    weights_free(&w);
}

static void compare_product(qw_type t, int group, size_t cols, size_t n_rows, size_t n_tokens, int n_fix)
{
    const size_t first = below(4), rows = first + n_rows + (below(2) ? 0 : below(20)), first_token = below(3);
    weights w = weights_new(t, group, rows, cols);
    qw_q8 x = q8_new(first_token + n_tokens, cols, n_fix);
    fill_tokens(&x, first_token + n_tokens);
    fenced scratch = fenced_new(qw_q8_scratch(cols));
    const qw_q8_matmul a = { .x = &x, .first_token = first_token, .n_tokens = n_tokens, .scratch = scratch.at };
    compare_weights(a, &w.m, first, n_rows);
    if (n_tokens <= 2)
        compare_other_weights(a, &w.m);
    fenced_free(&scratch);
    q8_free(&x);
    weights_free(&w);
}

static size_t step_of(qw_type t) { return qw_type_block(t) > QW_Q8_GROUP ? qw_type_block(t) : QW_Q8_GROUP; }
static size_t random_cols(qw_type t) { return step_of(t) * between(1, 2304 / step_of(t)); }

/* One token over more columns than have their scales fetched at once (1,024 on avx512), and a few beyond. */
static void compare_long_rows(qw_type t)
{
    static const int n_fixes[] = { 0, 1, 4 };
    for (size_t i = 0; i < 3; i++) {
        compare_product(t, 0, 3584, 17, 1, n_fixes[i]);
        compare_product(t, 0, 1024 + step_of(t), 17, 1, n_fixes[i]);
    }
}

/* So many rows and tokens that panels are unpacked together (four of 16 rows on avx512), and a panel and a row more; in units of 64, 32 and 16 columns. */
static void compare_panels(qw_type t)
{
    for (size_t tokens = 13; tokens <= 25; tokens += 12)
        for (int group = 64; group >= (qw_type_is_affine(t) ? 32 : 64); group -= 32)
            compare_product(t, group, 1280, 64 + 17, tokens, tokens == 13);
}

static void compare_products(qw_type t)
{
    static const int n_fixes[] = { 0, 1, 2, 4, 16 };
    for (size_t round = 0; round < ROUNDS; round++) {
        const int n_fix = below(4) ? n_fixes[below(5)] : (int)below(17);
        const size_t n_tokens = round % 4 == 0 ? 1 : round % 4 == 1 ? between(2, 8) : between(1, 40);
        compare_product(t, 0, random_cols(t), between(1, 40), n_tokens, n_fix);
    }
    compare_product(t, 0, 3584, 17, 2, 4);
    compare_product(t, 0, 3584, 33, 16, 1);
    compare_long_rows(t);
    compare_panels(t);
}

/* ---- quantisation */

/* The values that low and the fixes mean; and that the fixed quads are different ones. */
static void values_of(const qw_q8 *q, size_t group, int *v, unsigned *quads)
{
    *quads = 0;
    for (size_t i = 0; i < QW_Q8_GROUP; i++)
        v[i] = q->low[group * QW_Q8_GROUP + i];
    for (size_t f = group * (size_t)q->n_fix; f < (group + 1) * (size_t)q->n_fix; f++) {
        assert_true(q->fixes[f].quad < QW_Q8_QUADS && !(*quads >> q->fixes[f].quad & 1));
        *quads |= 1U << q->fixes[f].quad;
        for (size_t i = 0; i < 4; i++)
            v[4 * q->fixes[f].quad + i] += 128 * q->fixes[f].high[i];
    }
}

static void expect_same_group(const qw_q8 *got, const qw_q8 *want, size_t group)
{
    int v[QW_Q8_GROUP], wanted[QW_Q8_GROUP];
    unsigned quads, wanted_quads;
    values_of(got, group, v, &quads);
    values_of(want, group, wanted, &wanted_quads);
    const qw_q8_group *g = &got->groups[group], *h = &want->groups[group];
    if (!same(g->scale, h->scale))
        fail_msg("%s, n_fix %d: scale %.9g, wanted %.9g", level, got->n_fix, (double)g->scale, (double)h->scale);
    for (size_t i = 0; i < QW_Q8_GROUP; i++)
        if (v[i] != wanted[i])
            fail_msg("%s, n_fix %d: value %zu is %d, wanted %d", level, got->n_fix, i, v[i], wanted[i]);
    if (!isnan(h->scale))
        assert_int_equal(quads, wanted_quads);
    assert_memory_equal(got->low + group * QW_Q8_GROUP, want->low + group * QW_Q8_GROUP, QW_Q8_GROUP);
    const float sums[] = { g->sum64, g->sum32[0], g->sum32[1], g->sum16[0], g->sum16[1], g->sum16[2], g->sum16[3] };
    const float wanted_sums[] = { h->sum64, h->sum32[0], h->sum32[1], h->sum16[0], h->sum16[1], h->sum16[2], h->sum16[3] };
    for (size_t i = 0; i < 7; i++)
        assert_true(same(sums[i], wanted_sums[i]));
}

static void compare_quantize(int n_fix)
{
    const size_t groups = between(1, 6), tokens = between(1, 6), token = below(tokens), n_tokens = between(1, tokens - token),
                 first = below(groups), n = between(1, groups - first), stride = n * QW_Q8_GROUP + below(3);
    qw_q8 got = q8_new(tokens, groups * QW_Q8_GROUP, n_fix), want = q8_new(tokens, groups * QW_Q8_GROUP, n_fix);
    float *room = malloc((n_tokens * stride + 1) * sizeof *room), *x = room + 1;
    if (!room)
        fail_msg("no memory");
    memset(got.low, 77, tokens * groups * QW_Q8_GROUP);
    for (size_t g = 0; g < n_tokens * n; g++)
        fill_group(x + g / n * stride + g % n * QW_Q8_GROUP);
    qw_q8_quantize a = { .token = token, .n_tokens = n_tokens, .group = first, .n_groups = n, .x = x, .x_stride = stride };
    a.out = &want;
    qw_quantize_ref(&a);
    a.out = &got;
    kernels.quantize(&a);
    for (size_t i = 0; i < tokens * groups; i++)
        if (i / groups >= token && i / groups < token + n_tokens && i % groups >= first && i % groups < first + n)
            expect_same_group(&got, &want, i);
        else
            for (size_t c = 0; c < QW_Q8_GROUP; c++)
                assert_int_equal(got.low[i * QW_Q8_GROUP + c], 77);
    free(room);
    q8_free(&got);
    q8_free(&want);
}

/* ---- every level */

static void on_every_level(void (*compare)(void))
{
    for (qw_cpu_level l = QW_CPU_PORTABLE + 1; l < QW_CPU_LEVELS; l++) {
        if (!qw_cpu_can(l))
            continue;
        kernels = qw_kernels_of(l);
        level = qw_cpu_level_name(l);
        compare();
    }
}

static void all_products(void)
{
    for (qw_type t = 0; t < QW_TYPE_COUNT; t++)
        if (qw_q8_has(t) && kernels.matmul_q8[t] != qw_matmul_q8_ref)
            compare_products(t);
}

static void all_quantize(void)
{
    for (int round = 0; round < 40 * (QW_Q8_QUADS + 1); round++)
        compare_quantize(round % (QW_Q8_QUADS + 1));
}

static void products_are_those_of_plain_c(void **state)
{
    (void)state;
    on_every_level(all_products);
}

static void values_are_those_of_plain_c(void **state)
{
    (void)state;
    on_every_level(all_quantize);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(values_are_those_of_plain_c), cmocka_unit_test(products_are_those_of_plain_c) };
    qw_rng_seed(&rng, 17);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
