/* Sessions without a model, for tests of pages and of the prefix cache: what they write at a position is a hash of all keys up to it, so a page or a checkpoint of another
 * timeline is noticed. Header only: each test program is one file. */
#ifndef QW_TESTS_TIMELINES_H
#define QW_TESTS_TIMELINES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/rng.h"
#include "runtime/prefix.h"

#define MAX_KEYS (3 * QW_KV_PAGE + 100)
#define MAX_PAGES 4

static inline qw_text_config small_config(void)
{
    return (qw_text_config){ .n_layers = 3,
                             .n_kv_heads = 2,
                             .head_dim = 16,
                             .linear_key_heads = 1,
                             .linear_value_heads = 1,
                             .linear_key_dim = 16,
                             .linear_value_dim = 16,
                             .conv_kernel = 4,
                             .layer_kinds = { QW_LAYER_DELTA, QW_LAYER_ATTENTION, QW_LAYER_DELTA },
                             .n_attention_layers = 1,
                             .n_delta_layers = 2 };
}

static inline qw_page_shape small_shape(void)
{
    const qw_text_config c = small_config();
    qw_page_shape s;
    assert_int_equal(qw_page_shape_make(&s, &c, QW_KV_Q8, NULL), QWREN_OK);
    return s;
}

static inline uint64_t hash_on(uint64_t hash, uint64_t key) { return (hash + key + 1) * 0xd1342543de82ef95U ^ (hash >> 31); }

static inline uint64_t hash_of_keys(const uint64_t *keys, size_t n)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < n; i++)
        hash = hash_on(hash, keys[i]);
    return hash;
}

/* ---- a session: some pages, and how much of them it has written */

typedef struct fake {
    qw_page_shape shape;
    uint64_t keys[MAX_KEYS];
    size_t n;
    qw_page *pages[MAX_PAGES];
    qw_text_config config;
    bool claimed; /* the page of the next position may be written */
} fake;

static inline fake *fake_new(void)
{
    fake *s = calloc(1, sizeof *s);
    assert_non_null(s);
    s->shape = small_shape();
    s->config = small_config();
    return s;
}

static inline void fake_drop(fake *s)
{
    for (size_t i = 0; i < qw_page_count(s->n); i++)
        qw_page_drop(s->pages[i], s);
    s->n = 0;
    s->claimed = false;
}

static inline void fake_free(fake *s)
{
    fake_drop(s);
    free(s);
}

/* Where position `at` of a page writes its hash: in its block, which copies keep together. */
static inline uint64_t *place_in_page(const qw_page_shape *s, qw_page *page, size_t at)
{
    char *block = (char *)qw_page_data(page) + at / QW_KV_BLOCK * qw_kv_block_bytes(s->type, s->head_dim);
    return (uint64_t *)(void *)block + at % QW_KV_BLOCK;
}

/* Positions from `at` on are about to be written in the page of `at`. */
static inline void fake_claim(fake *s, size_t at)
{
    qw_page **page = &s->pages[at / QW_KV_PAGE];
    if (at % QW_KV_PAGE == 0) {
        assert_int_equal(qw_page_take(page, &s->shape, s, NULL), QWREN_OK);
    } else if (!s->claimed && !qw_page_claim(*page, s, at % QW_KV_PAGE)) {
        qw_page *copy;
        assert_int_equal(qw_page_copy(&copy, *page, at % QW_KV_PAGE, s, NULL), QWREN_OK);
        qw_page_drop(*page, s);
        *page = copy;
    }
    s->claimed = true;
}

/* Goes on with keys [s->n, n) of a timeline that begins with its own. */
static inline void fake_eval(fake *s, const uint64_t *keys, size_t n)
{
    uint64_t hash = hash_of_keys(s->keys, s->n);
    for (; s->n < n; s->n++) {
        fake_claim(s, s->n);
        s->keys[s->n] = keys[s->n];
        hash = hash_on(hash, keys[s->n]);
        *place_in_page(&s->shape, s->pages[s->n / QW_KV_PAGE], s->n % QW_KV_PAGE) = hash;
    }
}

/* Stays with the first n of its tokens. */
static inline void fake_rewind(fake *s, size_t n)
{
    for (size_t i = qw_page_count(n); i < qw_page_count(s->n); i++)
        qw_page_drop(s->pages[i], s);
    s->n = n;
    s->claimed = false;
}

static inline void check_pages(const qw_page_shape *shape, const uint64_t *keys, size_t n, qw_page *const *pages)
{
    uint64_t hash = 0;
    for (size_t i = 0; i < n; i++) {
        hash = hash_on(hash, keys[i]);
        if (*place_in_page(shape, pages[i / QW_KV_PAGE], i % QW_KV_PAGE) != hash)
            fail_msg("position %zu of %zu holds something else", i, n);
    }
}

static inline float state_of(const uint64_t *keys, size_t n) { return (float)(hash_of_keys(keys, n) >> 40); }

static inline qw_checkpoint *fake_checkpoint(const uint64_t *keys, size_t n, qw_checkpoint_kind kind)
{
    const qw_text_config c = small_config();
    qw_checkpoint *cp;
    assert_int_equal(qw_checkpoint_create(&cp, &c, NULL), QWREN_OK);
    cp->length = n;
    cp->next_pos = (int32_t)n;
    cp->kind = kind;
    cp->floats[0] = cp->floats[cp->n_floats - 1] = state_of(keys, n);
    return cp;
}

static inline void check_checkpoint(const qw_checkpoint *cp, const uint64_t *keys, size_t n)
{
    assert_int_equal(cp->length, n);
    assert_int_equal(cp->next_pos, n);
    assert_true(cp->floats[0] == state_of(keys, n) && cp->floats[cp->n_floats - 1] == cp->floats[0]);
}

/* The session's first n tokens become known. */
static inline qwren_status fake_insert(fake *s, qw_prefix *p, size_t n, qw_checkpoint_kind kind, qwren_error *err)
{
    qw_checkpoint *cp = fake_checkpoint(s->keys, n, kind);
    const qwren_status st = qw_prefix_insert(p, s->keys, s->pages, cp, err);
    qw_checkpoint_drop(cp);
    s->claimed = false;
    return st;
}

/* Leaves its timeline for what is known of another one, and checks what it got. */
static inline qw_prefix_match fake_find(fake *s, qw_prefix *p, const uint64_t *keys, size_t n, size_t most)
{
    fake_drop(s);
    const qw_prefix_match m = qw_prefix_find(p, keys, n, most, s->pages);
    assert_true(m.length <= most && m.length <= m.n_common && m.n_common <= n);
    assert_int_equal(m.checkpoint != NULL, m.length != 0);
    if (m.checkpoint)
        check_checkpoint(m.checkpoint, keys, m.length);
    check_pages(&s->shape, keys, m.length, s->pages);
    memcpy(s->keys, keys, m.length * sizeof *keys);
    s->n = m.length;
    qw_checkpoint_drop(m.checkpoint);
    return m;
}

/* ---- timelines */

/* Goes on from `from` with random keys of a small alphabet to a length. */
static inline void random_keys(qw_rng *r, uint64_t *keys, size_t from, size_t n, uint32_t alphabet)
{
    for (size_t i = from; i < n; i++)
        keys[i] = qw_rng_u32(r) % alphabet;
}

static inline size_t common_keys(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
    size_t n = 0;
    while (n < n_a && n < n_b && a[n] == b[n])
        n++;
    return n;
}

/* ---- a cache */

/* What a page takes, with what the pages keep about it. */
static inline size_t page_cost(void)
{
    const qw_page_shape s = small_shape();
    const size_t before = qw_page_live_bytes();
    qw_page *p;
    assert_int_equal(qw_page_take(&p, &s, NULL, NULL), QWREN_OK);
    const size_t bytes = qw_page_live_bytes() - before;
    qw_page_drop(p, NULL);
    return bytes;
}

static inline qw_prefix *new_prefix(size_t budget)
{
    const qw_page_shape shape = small_shape();
    qw_prefix *p;
    assert_int_equal(qw_prefix_create(&p, &shape, &(qw_prefix_options){ budget }, NULL), QWREN_OK);
    return p;
}

/* Timeline s: its keys are i before `from`, and 10000 s + i behind. */
static inline const uint64_t *line(size_t from, uint64_t s)
{
    static uint64_t keys[MAX_KEYS];
    for (size_t i = 0; i < MAX_KEYS; i++)
        keys[i] = i + (i >= from ? 10000 * s : 0);
    return keys;
}

/* A session that came from nothing makes the first n tokens known. */
static inline void learn(qw_prefix *p, const uint64_t *keys, size_t n, qw_checkpoint_kind kind)
{
    fake *s = fake_new();
    fake_eval(s, keys, n);
    assert_int_equal(fake_insert(s, p, n, kind, NULL), QWREN_OK);
    fake_free(s);
    qw_prefix_trim(p);
}

static inline void expect(qw_prefix *p, const uint64_t *keys, size_t n, size_t most, size_t n_common, size_t length, qw_prefix_miss why)
{
    fake *s = fake_new();
    const qw_prefix_match m = fake_find(s, p, keys, n, most);
    if (m.n_common != n_common || m.length != length || m.why != why)
        fail_msg("%zu common, length %zu, reason %d instead of %zu, %zu, %d", m.n_common, m.length, m.why, n_common, length, why);
    fake_free(s);
    qw_prefix_trim(p);
}

/* What a budget needs for one checkpoint, with its keys and pages. */
static inline size_t cost(size_t n)
{
    const qw_text_config c = small_config();
    return qw_page_count(n) * small_shape().bytes + qw_checkpoint_bytes(&c) + n * sizeof(uint64_t);
}

static inline size_t cost_of_checkpoint(void)
{
    const qw_text_config c = small_config();
    return qw_checkpoint_bytes(&c);
}

#endif
