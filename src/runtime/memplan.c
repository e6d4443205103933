/* One walk over the parts of a session both measures them and places them, so that the two cannot differ.
 *
 *   | layer tables | page tables | token keys and positions | rows | logits | scratch | states of each DeltaNet layer | rows on trial of each |
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

/* The states of all DeltaNet layers. */
static qw_extent take_states(cursor *at, qw_layer_state *states, const qw_text_config *c)
{
    const size_t begin = at->used;
    for (int i = 0; i < c->n_layers; i++) {
        if (c->layer_kinds[i] != QW_LAYER_DELTA)
            continue;
        float *conv = take(at, qw_conv_floats(c), sizeof(float)), *recurrent = take(at, qw_recurrent_floats(c), sizeof(float));
        if (at->block) {
            states[i].conv = conv;
            states[i].recurrent = recurrent;
        }
    }
    return (qw_extent){ at->block ? at->block + begin : NULL, at->used - begin };
}

static void take_trials(cursor *at, qw_layer_state *states, const qw_text_config *c, size_t n_trial)
{
    for (int i = 0; n_trial && i < c->n_layers; i++) {
        if (c->layer_kinds[i] != QW_LAYER_DELTA)
            continue;
        float *trial = take(at, qw_trial_floats(c, n_trial), sizeof(float));
        if (at->block)
            states[i].trial = trial;
    }
}

/* Attention layers read pages, each at its own place of them. */
static void set_caches(qw_session_memory *m, const qw_memplan *plan, const qw_text_config *c)
{
    size_t cache = 0;
    for (int i = 0; i < c->n_layers; i++)
        if (c->layer_kinds[i] == QW_LAYER_ATTENTION)
            m->layers[i] = (qw_layer_state){ .pages = m->page_data,
                                             .offset = qw_page_offset(&plan->pages, cache++),
                                             .cache_type = plan->pages.type,
                                             .capacity = plan->n_ctx };
}

static void walk(cursor *at, qw_session_memory *m, qw_memplan *plan, const qw_text_config *c)
{
    const size_t layers = (size_t)c->n_layers, V = (size_t)c->vocab_size, n_rows = plan->n_trial ? plan->n_trial : 1;
    m->layers = take(at, layers, sizeof *m->layers);
    for (size_t i = 0; at->block && i < layers; i++)
        m->layers[i] = (qw_layer_state){ 0 };
    m->pages = take(at, qw_page_count(plan->n_ctx), sizeof(qw_page *));
    m->found = take(at, qw_page_count(plan->n_ctx), sizeof(qw_page *));
    m->page_data = take(at, qw_page_count(plan->n_ctx), sizeof(void *));
    m->keys = take(at, plan->n_ctx, sizeof *m->keys);
    m->starts = take(at, plan->n_ctx, sizeof *m->starts);
    m->rows = take(at, plan->batch, sizeof *m->rows);
    m->logits = take(at, n_rows * V, sizeof *m->logits);
    m->maxima = take(at, n_rows * qw_logit_blocks(V), sizeof *m->maxima);
    m->scratch.size = qw_text_scratch_bytes(c, plan->batch, plan->n_ctx);
    m->scratch.p = take(at, m->scratch.size, 1);
    plan->scratch_bytes = at->used;
    m->states = take_states(at, m->layers, c);
    take_trials(at, m->layers, c, plan->n_trial);
    plan->state_bytes = at->used - plan->scratch_bytes;
    plan->block_bytes = at->used;
    if (at->block)
        set_caches(m, plan, c);
}

qwren_status qw_memplan_make(qw_memplan *out, const qw_text_config *c, size_t n_ctx, qw_kv_type cache_type, size_t n_trial,
                             qwren_error *err)
{
    *out = (qw_memplan){ .n_ctx = n_ctx, .n_trial = n_trial, .batch = n_ctx < QW_MAX_BATCH ? n_ctx : QW_MAX_BATCH };
    if (n_ctx == 0 || n_ctx > (size_t)c->max_positions)
        return qw_fail(err, QWREN_E_LIMIT, "a session of %zu tokens: this model takes 1 to %d", n_ctx, c->max_positions);
    QW_TRY(qw_page_shape_make(&out->pages, c, cache_type, err));
    cursor at = { 0 };
    qw_session_memory none;
    walk(&at, &none, out, c);
    if (at.overflow || !qw_mul_size((size_t)c->n_attention_layers, qw_cache_bytes(c, cache_type, n_ctx), &out->kv_bytes) ||
        !qw_add_size(out->block_bytes, out->kv_bytes, &out->total_bytes))
        return qw_fail(err, QWREN_E_LIMIT, "a session of %zu tokens needs more memory than this machine can address", n_ctx);
    return QWREN_OK;
}

void qw_memplan_place(qw_session_memory *out, const qw_memplan *plan, const qw_text_config *c, void *block)
{
    cursor at = { .block = block };
    qw_memplan again = *plan;
    walk(&at, out, &again, c);
}
