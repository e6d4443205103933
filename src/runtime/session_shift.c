/* A full window goes on: the oldest tokens behind a beginning that stays are dropped from attention, and the rest moves up. A key's rotation is a sum of angles, so that one more
 * rotation, the same for all keys, brings them to their new positions; text, pictures' rows and columns move by the same amount. The DeltaNet states have no positions: they keep what they
 * have seen. Tested by tests/unit/test_session_shift.c. */
#include "runtime/session_parts.h"

#include "base/alloc.h"

#include <string.h>

/* A key that no other timeline has: of the token and what it was moved over. */
static uint64_t moved_key(uint64_t key, uint64_t salt)
{
    uint64_t x = key + salt * 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return ((x ^ x >> 31) & ~QW_PICTURE_KEY) | (key & QW_PICTURE_KEY) | QW_NO_ID;
}

static uint64_t salt_of(const uint64_t *keys, size_t n)
{
    uint64_t salt = n;
    for (size_t i = 0; i < n; i++)
        salt = moved_key(keys[i], salt);
    return salt;
}

/* Keys and values of positions [from, n) move down by `by`, and their keys' rotation by `angle` positions. */
static qwren_status move_cache(qw_session *s, size_t from, size_t by, int32_t angle, qwren_error *err)
{
    const qw_text_config *c = &s->model->config.text;
    const size_t half = (size_t)c->rotary_dim / 2;
    float *table = qw_alloc_array(2 * half, sizeof *table);
    size_t *offsets = qw_alloc_array(s->plan.pages.n_caches, sizeof *offsets);
    qwren_status st =
        table && offsets ? qw_kvcache_own(&s->cache, from - by, s->n, err) : qw_fail_memory(err, half * 2 * sizeof *table, "a rotation");
    if (st == QWREN_OK) {
        for (size_t i = 0; i < s->plan.pages.n_caches; i++)
            offsets[i] = qw_page_offset(&s->plan.pages, i);
        qw_rope_turn(&s->model->text, table, table + half, -angle);
        qw_op_shift(s->model->ops, &(qw_shift_args){ .pages = (void *const *)s->cache.data,
                                                     .offsets = offsets,
                                                     .n_caches = s->plan.pages.n_caches,
                                                     .type = s->plan.pages.type,
                                                     .n_kv_heads = s->plan.pages.n_kv_heads,
                                                     .head_dim = s->plan.pages.head_dim,
                                                     .half = half,
                                                     .from = from,
                                                     .n = s->n,
                                                     .by = by,
                                                     .cos = table,
                                                     .sin = table + half });
    }
    qw_free(table);
    qw_free(offsets);
    return st;
}

qwren_status qw_session_shift(qw_session *s, size_t keep, size_t by, qwren_error *err)
{
    const size_t from = keep + by;
    if (keep % QW_KV_BLOCK || by % QW_KV_BLOCK || by == 0 || from >= s->n)
        return qw_fail(err, QWREN_E_ARGUMENT,
                       "a window of %zu tokens cannot drop %zu behind %zu: both are multiples of %d, and some are left", s->n, by, keep,
                       QW_KV_BLOCK);
    qw_session_park(s); /* as it was, for those who come back to it */
    const int32_t angle = s->memory.starts[from] - s->memory.starts[keep];
    const uint64_t salt = salt_of(s->memory.keys + keep, by);
    QW_TRY(move_cache(s, from, by, angle, err));
    for (size_t i = keep; i + by < s->n; i++) {
        s->memory.keys[i] = moved_key(s->memory.keys[i + by], salt);
        s->memory.starts[i] = s->memory.starts[i + by] - angle;
    }
    s->n_logits = s->n_logits == s->n ? s->n - by : 0;
    s->n -= by;
    s->next_pos -= angle;
    s->n_tried = s->n_parked = 0;
    qw_kvcache_truncate(&s->cache, s->n);
    return QWREN_OK;
}
