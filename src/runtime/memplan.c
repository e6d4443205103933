/* One walk over the parts of a session both measures them and places them, so that the two cannot differ.
 *
 *   | layer tables | token keys | rows | logits | scratch | states of each DeltaNet layer | saved states, likewise | cache of each attention layer |
 *
 * What is touched together lies together, so that it can lie in huge pages without drawing in what is not touched.
 * Tested by tests/unit/test_session.c. */
#include "runtime/memplan.h"

#include "base/alloc.h"

/* Measuring: block is NULL. */
typedef struct cursor {
    char *block;
    size_t used;
    bool overflow;
} cursor;

/* The next n items, beginning on a cache line; NULL while measuring. */
static void *take(cursor *at, size_t n, size_t size)
{
    size_t bytes = 0, begin = at->used;
    if (!qw_mul_size(n, size, &bytes) || !qw_add_size(bytes, QW_ALIGN - 1, &bytes) ||
        !qw_add_size(at->used, bytes / QW_ALIGN * QW_ALIGN, &at->used))
        at->overflow = true;
    return at->block ? at->block + begin : NULL;
}

static qw_layer_state take_cache(cursor *at, const qw_text_config *c, size_t n_ctx, qw_kv_type type)
{
    return (qw_layer_state){ .cache = take(at, qw_cache_bytes(c, type, n_ctx), 1), .cache_type = type, .capacity = n_ctx };
}

static qw_layer_state take_delta(cursor *at, const qw_text_config *c)
{
    qw_layer_state st = { 0 };
    st.conv = take(at, qw_conv_floats(c), sizeof(float));
    st.recurrent = take(at, qw_recurrent_floats(c), sizeof(float));
    return st;
}

/* The states of all layers of a kind, into `states` [n_layers]. */
static qw_extent take_layers(cursor *at, qw_layer_state *states, const qw_memplan *plan, const qw_text_config *c, size_t n_ctx,
                             qw_layer_kind kind)
{
    const size_t begin = at->used;
    for (int i = 0; i < c->n_layers; i++) {
        if (c->layer_kinds[i] != kind)
            continue;
        const qw_layer_state state = kind == QW_LAYER_ATTENTION ? take_cache(at, c, n_ctx, plan->cache_type) : take_delta(at, c);
        if (at->block)
            states[i] = state;
    }
    return (qw_extent){ at->block ? at->block + begin : NULL, at->used - begin };
}

static void walk(cursor *at, qw_session_memory *m, qw_memplan *plan, const qw_text_config *c, size_t n_ctx)
{
    const size_t layers = (size_t)c->n_layers;
    m->layers = take(at, layers, sizeof *m->layers);
    m->marked = take(at, layers, sizeof *m->marked);
    m->keys = take(at, n_ctx, sizeof *m->keys);
    m->rows = take(at, plan->batch, sizeof *m->rows);
    m->logits = take(at, (size_t)c->vocab_size, sizeof *m->logits);
    m->maxima = take(at, qw_logit_blocks((size_t)c->vocab_size), sizeof *m->maxima);
    m->scratch.size = qw_text_scratch_bytes(c, plan->batch, n_ctx);
    m->scratch.p = take(at, m->scratch.size, 1);
    plan->scratch_bytes = at->used;
    m->states = take_layers(at, m->layers, plan, c, n_ctx, QW_LAYER_DELTA);
    m->saved = take_layers(at, m->marked, plan, c, n_ctx, QW_LAYER_DELTA);
    plan->state_bytes = at->used - plan->scratch_bytes;
    m->caches = take_layers(at, m->layers, plan, c, n_ctx, QW_LAYER_ATTENTION);
    plan->kv_bytes = at->used - plan->scratch_bytes - plan->state_bytes;
    plan->total_bytes = at->used;
}

qwren_status qw_memplan_make(qw_memplan *out, const qw_text_config *c, size_t n_ctx, qw_kv_type cache_type, qwren_error *err)
{
    *out = (qw_memplan){ .cache_type = cache_type, .batch = n_ctx < QW_MAX_BATCH ? n_ctx : QW_MAX_BATCH };
    if (n_ctx == 0 || n_ctx > (size_t)c->max_positions)
        return qw_fail(err, QWREN_E_LIMIT, "a session of %zu tokens: this model takes 1 to %d", n_ctx, c->max_positions);
    cursor at = { 0 };
    qw_session_memory none;
    walk(&at, &none, out, c, n_ctx);
    if (at.overflow)
        return qw_fail(err, QWREN_E_LIMIT, "a session of %zu tokens needs more memory than this machine can address", n_ctx);
    return QWREN_OK;
}

void qw_memplan_place(qw_session_memory *out, const qw_memplan *plan, const qw_text_config *c, size_t n_ctx, void *block)
{
    cursor at = { .block = block };
    qw_memplan again = *plan;
    walk(&at, out, &again, c, n_ctx);
}
