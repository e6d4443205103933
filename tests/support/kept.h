/* Timelines without a model, for tests of what is kept in files: keys, values and states follow from the tokens, so what belongs to
 * another timeline is noticed. Header only: each test
 * program is one file. */
#ifndef QW_TESTS_KEPT_H
#define QW_TESTS_KEPT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "runtime/saved_blocks.h"

#define KEPT_DIM 16
#define KEPT_MOST 1600 /* tokens */

static const qw_text_config kept_config = { .n_layers = 4,
                                            .n_kv_heads = 2,
                                            .head_dim = KEPT_DIM,
                                            .linear_key_heads = 1,
                                            .linear_value_heads = 1,
                                            .linear_key_dim = 8,
                                            .linear_value_dim = 10,
                                            .conv_kernel = 4,
                                            .layer_kinds = { QW_LAYER_DELTA, QW_LAYER_ATTENTION, QW_LAYER_DELTA, QW_LAYER_ATTENTION },
                                            .n_attention_layers = 2,
                                            .n_delta_layers = 2 };

static inline qw_saved_format kept_format(qw_kv_type type)
{
    qw_saved_format f = { .config = &kept_config };
    assert_int_equal(qw_page_shape_make(&f.pages, &kept_config, type, NULL), QWREN_OK);
    return f;
}

/* Behind the first n tokens. */
static inline uint64_t kept_hash(const uint64_t *keys, size_t n)
{
    uint64_t hash = 7;
    for (size_t i = 0; i < n; i++)
        hash = (hash + keys[i] + 1) * 0xd1342543de82ef95U ^ hash >> 31;
    return hash;
}

static inline void kept_row(float row[KEPT_DIM], uint64_t hash, size_t part)
{
    for (size_t d = 0; d < KEPT_DIM; d++)
        row[d] = (float)((hash >> (part * 5 + d) & 15) + 1);
}

static inline qw_kv kept_head(const qw_saved_format *f, qw_page *const *page, size_t head)
{
    return (qw_kv){ .type = f->pages.type, .head_dim = KEPT_DIM, .data = (char *)qw_page_data(*page) + head * f->pages.head_bytes };
}

/* Keys and values of positions [from, n) into pages that are there or made now; the writer is `keys`. */
static inline void kept_fill(const qw_saved_format *f, qw_page **pages, const uint64_t *keys, size_t from, size_t n)
{
    for (size_t i = from; i < n; i++) {
        qw_page **page = &pages[i / QW_KV_PAGE];
        if (i % QW_KV_PAGE == 0)
            assert_int_equal(qw_page_take(page, &f->pages, keys, NULL), QWREN_OK);
        const uint64_t hash = kept_hash(keys, i + 1);
        for (size_t h = 0; h < f->pages.n_caches * f->pages.n_kv_heads; h++) {
            float k[KEPT_DIM], v[KEPT_DIM];
            const qw_kv kv = kept_head(f, page, h);
            kept_row(k, hash, 2 * h);
            kept_row(v, hash, 2 * h + 1);
            qw_kv_put(&kv, i % QW_KV_PAGE, k, v);
        }
    }
}

/* All of them, near enough for any type. */
static inline void kept_check(const qw_saved_format *f, qw_page *const *pages, const uint64_t *keys, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const uint64_t hash = kept_hash(keys, i + 1);
        for (size_t h = 0; h < f->pages.n_caches * f->pages.n_kv_heads; h++) {
            float k[KEPT_DIM], v[KEPT_DIM], wanted[2][KEPT_DIM];
            const qw_kv kv = kept_head(f, &pages[i / QW_KV_PAGE], h);
            qw_kv_get(&kv, i % QW_KV_PAGE, k, v);
            kept_row(wanted[0], hash, 2 * h);
            kept_row(wanted[1], hash, 2 * h + 1);
            for (size_t d = 0; d < KEPT_DIM; d++)
                if (!(k[d] > wanted[0][d] - 0.1F && k[d] < wanted[0][d] + 0.1F && v[d] > wanted[1][d] - 0.1F && v[d] < wanted[1][d] + 0.1F))
                    fail_msg("position %zu of %zu, head %zu holds something else", i, n, h);
        }
    }
}

static inline void kept_drop(qw_page **pages, size_t n, const void *writer)
{
    for (size_t i = 0; i < qw_page_count(n); i++)
        qw_page_drop(pages[i], writer);
}

static inline float kept_state(uint64_t hash, size_t i) { return (float)((hash + i * 13) % 1000); }

static inline qw_checkpoint *kept_checkpoint_of(const qw_text_config *c, const uint64_t *keys, size_t n, qw_checkpoint_kind kind)
{
    qw_checkpoint *cp;
    assert_int_equal(qw_checkpoint_create(&cp, c, NULL), QWREN_OK);
    cp->length = n;
    cp->next_pos = (int32_t)n;
    cp->kind = kind;
    const uint64_t hash = kept_hash(keys, n);
    for (size_t i = 0; i < cp->n_floats; i++)
        cp->floats[i] = kept_state(hash, i);
    return cp;
}

static inline qw_checkpoint *kept_checkpoint(const uint64_t *keys, size_t n, qw_checkpoint_kind kind)
{
    return kept_checkpoint_of(&kept_config, keys, n, kind);
}

static inline void kept_check_state(const qw_checkpoint *cp, const uint64_t *keys)
{
    const uint64_t hash = kept_hash(keys, cp->length);
    assert_int_equal(cp->next_pos, cp->length);
    for (size_t i = 0; i < cp->n_floats; i++)
        if (cp->floats[i] != kept_state(hash, i))
            fail_msg("the checkpoint of %zu tokens holds something else at %zu", cp->length, i);
}

#endif
