/* Rows on trial, and states saved in the middle of a pass. Several timelines go on together by passes of random lengths, some on trial
 * with wrong tokens at their end, of which only the right ones are kept; logits and states must be those of tokens that came one by one,
 * to the bit, in all arithmetics and on all levels. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/hash.h"
#include "base/rng.h"
#include "model/model.h"
#include "support/rounds.h"

#define T 90       /* tokens of a timeline */
#define LINES 3    /* timelines */
#define LAYERS 16  /* at most */
#define LONGEST 40 /* rows of a segment */
#define SAVES 3    /* of a segment */
#define ROOM (LINES * LONGEST)

/* ---- timelines: states in the test's hands */

typedef struct line {
    qw_layer_state layers[LAYERS];
    void *blocks[4 * LAYERS];
    size_t n_blocks, n, n_kept;
} line;

typedef struct bench {
    qw_model model;
    const qw_text_config *c;
    qw_text_scratch scratch;
    void *block;
    float *logits;                                  /* [ROOM, V] */
    uint64_t states[LINES][T + 1], after[LINES][T]; /* step by step: states behind n tokens, logits behind token i */
    line lines[LINES], saved[LINES][SAVES];
    qw_rng rng;
} bench;

static size_t below(bench *b, size_t n) { return (size_t)(qw_rng_double(&b->rng) * (double)n); }

static void *taken(line *l, size_t bytes)
{
    void *p = l->blocks[l->n_blocks++] = qw_alloc_aligned(bytes);
    assert_non_null(p);
    memset(p, 0, bytes);
    return p;
}

/* With `whole` all that passes need, otherwise what a save is copied to. */
static void make_line(line *l, const qw_text_config *c, bool whole)
{
    *l = (line){ 0 };
    assert_true(c->n_layers <= LAYERS);
    for (int i = 0; i < c->n_layers; i++) {
        qw_layer_state *s = &l->layers[i];
        if (c->layer_kinds[i] == QW_LAYER_DELTA) {
            s->conv = taken(l, qw_conv_floats(c) * sizeof(float));
            s->recurrent = taken(l, qw_recurrent_floats(c) * sizeof(float));
            s->trial = whole ? taken(l, qw_trial_floats(c, QW_MAX_TRIAL) * sizeof(float)) : NULL;
        } else if (whole) {
            s->cache = taken(l, qw_cache_bytes(c, QW_KV_F16, T + QW_MAX_TRIAL));
            s->cache_type = QW_KV_F16;
            s->capacity = T + QW_MAX_TRIAL;
        }
    }
}

static void drop_line(line *l)
{
    while (l->n_blocks)
        qw_free_aligned(l->blocks[--l->n_blocks]);
}

static uint64_t state_of(const line *l, const qw_text_config *c)
{
    qw_hash h;
    qw_hash_init(&h);
    for (int i = 0; i < c->n_layers; i++)
        if (c->layer_kinds[i] == QW_LAYER_DELTA) {
            qw_hash_add(&h, l->layers[i].conv, qw_conv_floats(c) * sizeof(float));
            qw_hash_add(&h, l->layers[i].recurrent, qw_recurrent_floats(c) * sizeof(float));
        }
    return qw_hash_value(&h);
}

static uint64_t logits_of(const bench *b, size_t row)
{
    return qw_hash_bytes(b->logits + row * (size_t)b->c->vocab_size, (size_t)b->c->vocab_size * sizeof(float));
}

/* ---- passes */

static int32_t id_of(const bench *b, size_t which, size_t at, bool wrong)
{
    return (int32_t)((at * 7919 + which * 101 + wrong * 13) % ((size_t)b->c->vocab_size / 2));
}

/* What one timeline does in a pass: n tokens, of which the last n_wrong are wrong. */
typedef struct part {
    size_t which, n, n_wrong;
    bool on_trial;
    qw_state_save saves[SAVES];
    size_t n_saves;
} part;

static void run(bench *b, part *parts, size_t n_parts, size_t n_last)
{
    int32_t ids[ROOM], pos[ROOM][3];
    qw_segment segments[LINES];
    qw_batch batch = { .ids = ids, .pos = (const int32_t(*)[3])pos, .segments = segments, .n_segments = n_parts, .n_last = n_last };
    for (size_t i = 0; i < n_parts; i++) {
        const part *p = &parts[i];
        line *l = &b->lines[p->which];
        segments[i] = (qw_segment){ .states = l->layers,
                                    .first = batch.n,
                                    .n = p->n,
                                    .start = l->n,
                                    .saves = p->saves,
                                    .n_saves = p->n_saves,
                                    .n_kept = l->n_kept,
                                    .on_trial = p->on_trial };
        for (size_t k = 0; k < p->n; k++, batch.n++) {
            ids[batch.n] = id_of(b, p->which, l->n + k, k >= p->n - p->n_wrong);
            pos[batch.n][0] = pos[batch.n][1] = pos[batch.n][2] = (int32_t)(l->n + k);
        }
        l->n_kept = p->on_trial ? p->n - p->n_wrong : 0;
    }
    qw_text_forward(b->model.ops, &b->model.text, &b->scratch, &batch, NULL);
    qw_text_logits(b->model.ops, &b->model.text, b->logits, &b->scratch.in, b->scratch.n);
}

/* All timelines from nothing, token by token. */
static void step_by_step(bench *b)
{
    for (size_t i = 0; i < LINES; i++) {
        make_line(&b->lines[i], b->c, true);
        b->states[i][0] = state_of(&b->lines[i], b->c);
        for (size_t at = 0; at < T; at++) {
            run(b, &(part){ .which = i, .n = 1 }, 1, 1);
            assert_int_equal(b->scratch.n, 1);
            b->lines[i].n++;
            b->states[i][at + 1] = state_of(&b->lines[i], b->c);
            b->after[i][at] = logits_of(b, 0);
        }
        drop_line(&b->lines[i]);
    }
}

/* A random thing for each timeline that is not at its end. */
static size_t choose(bench *b, part *parts)
{
    size_t n = 0;
    for (size_t i = 0; i < LINES; i++) {
        const size_t left = T - b->lines[i].n;
        part *p = &parts[n];
        if (!left || below(b, 5) == 0)
            continue;
        *p = (part){ .which = i, .on_trial = below(b, 2) };
        n++;
        if (p->on_trial) {
            const size_t right = below(b, (left < QW_MAX_TRIAL ? left : QW_MAX_TRIAL) + 1);
            p->n = right + below(b, QW_MAX_TRIAL - right + 1);
            p->n = p->n ? p->n : 1;
            p->n_wrong = p->n - right;
            continue;
        }
        p->n = 1 + below(b, left < LONGEST ? left : LONGEST);
        for (size_t at = 1 + below(b, 9); at <= p->n && p->n_saves < SAVES; at += 1 + below(b, 12))
            p->saves[p->n_saves] = (qw_state_save){ at, b->saved[i][p->n_saves].layers }, p->n_saves++;
    }
    return n;
}

/* The logits that a pass left, rows of the n_last last tokens of each segment; and its states, which on trial are those before it. */
static void check(bench *b, const part *parts, size_t n_parts, size_t n_last)
{
    size_t row = 0;
    for (size_t i = 0; i < n_parts; i++) {
        const part *p = &parts[i];
        line *l = &b->lines[p->which];
        const uint64_t *states = b->states[p->which] + l->n, *after = b->after[p->which] + l->n;
        for (size_t k = p->n > n_last ? p->n - n_last : 0; k < p->n; k++, row++)
            if (k < p->n - p->n_wrong)
                assert_true(logits_of(b, row) == after[k]);
        for (size_t k = 0; k < p->n_saves; k++)
            assert_true(state_of(&b->saved[p->which][k], b->c) == states[p->saves[k].at]);
        assert_true(state_of(l, b->c) == states[p->on_trial ? 0 : p->n]);
        l->n += p->n - p->n_wrong;
    }
    assert_int_equal(b->scratch.n, row);
}

/* Some timelines take what they keep without a pass. */
static void settle_some(bench *b)
{
    qw_segment segments[LINES];
    size_t n = 0;
    for (size_t i = 0; i < LINES; i++)
        if (below(b, 4) == 0) {
            segments[n++] = (qw_segment){ .states = b->lines[i].layers, .n_kept = b->lines[i].n_kept };
            b->lines[i].n_kept = 0;
        }
    qw_text_settle(b->model.ops, &b->model.text, &b->scratch, segments, n);
    for (size_t i = 0; i < LINES; i++)
        assert_true(state_of(&b->lines[i], b->c) == b->states[i][b->lines[i].n - b->lines[i].n_kept]);
}

static void all_together(bench *b)
{
    for (size_t i = 0; i < LINES; i++)
        make_line(&b->lines[i], b->c, true);
    while (b->lines[0].n < T || b->lines[1].n < T || b->lines[2].n < T) {
        part parts[LINES];
        const size_t n = choose(b, parts), n_last = below(b, 3) ? 1 + below(b, 8) : QW_ALL_ROWS;
        if (n) {
            run(b, parts, n, n_last);
            check(b, parts, n, n_last);
        }
        settle_some(b);
    }
    for (size_t i = 0; i < LINES; i++)
        drop_line(&b->lines[i]);
}

/* ---- models */

static void try_model(const char *path, qwren_arithmetic arithmetic, int rounds)
{
    qwren_error err = { 0 };
    bench *b = calloc(1, sizeof *b);
    assert_non_null(b);
    if (qw_model_init(&b->model, path, &(qw_model_params){ .n_threads = 3, .arithmetic = arithmetic }, &err))
        fail_msg("%s", err.text);
    b->c = &b->model.config.text;
    b->block = qw_alloc_aligned(qw_text_scratch_bytes(b->c, ROOM, T + QW_MAX_TRIAL));
    b->logits = malloc(ROOM * (size_t)b->c->vocab_size * sizeof(float));
    assert_true(b->block && b->logits);
    qw_text_scratch_init(&b->scratch, b->block, b->c, ROOM, T + QW_MAX_TRIAL);
    qw_rng_seed(&b->rng, 5);
    for (size_t i = 0; i < LINES * SAVES; i++)
        make_line(&b->saved[i / SAVES][i % SAVES], b->c, false);
    step_by_step(b);
    while (rounds--)
        all_together(b);
    for (size_t i = 0; i < LINES * SAVES; i++)
        drop_line(&b->saved[i / SAVES][i % SAVES]);
    qw_free_aligned(b->block);
    free(b->logits);
    qw_model_deinit(&b->model);
    free(b);
}

/* Value heads that follow their key head and that are tiled; weights in floats, halves and codes. */
static const char *const paths[] = {
    QW_TEST_DATA "/text/tiny-a/hf",  QW_TEST_DATA "/text/tiny-b/hf",
    QW_TEST_DATA "/text/tiny-c/hf",  QW_TEST_DATA "/gguf/tiny-b-mixed.gguf",
    QW_TEST_DATA "/mlx/tiny-a-6bit", QW_TEST_DATA "/gguf/tiny-a-Q8_0.gguf",
    QW_MODELS "/qwren-nano",
};
#define N_PATHS (sizeof paths / sizeof *paths)

static void try_all(qwren_arithmetic arithmetic)
{
    for (size_t i = 0; i < N_PATHS; i++)
        try_model(paths[i], arithmetic, QW_ROUNDS(6));
}

/* clang-format off */
static void in_default_arithmetic(void **state) { (void)state; try_all(QWREN_ARITHMETIC_DEFAULT); }
static void in_deterministic_arithmetic(void **state) { (void)state; try_all(QWREN_ARITHMETIC_DETERMINISTIC); }
static void in_exact_arithmetic(void **state) { (void)state; try_all(QWREN_ARITHMETIC_EXACT); }
/* clang-format on */

static void on_every_level(void **state)
{
    (void)state;
    for (qw_cpu_level l = 0; l < QW_CPU_LEVELS; l++) {
        if (!qw_cpu_can(l))
            continue;
        setenv("QWREN_CPU", qw_cpu_level_name(l), 1);
        try_model(QW_TEST_DATA "/gguf/tiny-a-Q8_0.gguf", QWREN_ARITHMETIC_DEFAULT, 2);
        try_model(QW_TEST_DATA "/text/tiny-b/hf", QWREN_ARITHMETIC_EXACT, 2);
    }
    unsetenv("QWREN_CPU");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(in_default_arithmetic),
        cmocka_unit_test(in_deterministic_arithmetic),
        cmocka_unit_test(in_exact_arithmetic),
        cmocka_unit_test(on_every_level),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
