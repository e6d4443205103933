/* Checkpoints (checkpoint.h): one block for the states of all DeltaNet layers. Filled by a pass (model/delta.c) or by the session, kept by the prefix cache. Tested by
 * tests/unit/test_pages.c.
 *
 *   | qw_checkpoint | layers [n_layers] | layer 0: conv, recurrent | layer 1: ... |     each part begins on a multiple of QW_ALIGN bytes */
#include "runtime/checkpoint.h"

#include "base/alloc.h"

#include <stdatomic.h>
#include <string.h>

#define FLOATS (QW_ALIGN / sizeof(float))

static size_t rounded(size_t n, size_t to) { return (n + to - 1) / to * to; }

/* Where the parts begin; bytes is SIZE_MAX when they are too large. */
typedef struct layout {
    size_t layers, floats, bytes;
    size_t conv, recurrent; /* floats of one layer, without what fills them up */
} layout;

static layout layout_of(const qw_text_config *c)
{
    layout l = { .layers = rounded(sizeof(qw_checkpoint), QW_ALIGN), .conv = qw_conv_floats(c), .recurrent = qw_recurrent_floats(c) };
    size_t n, states;
    l.floats = l.layers + rounded((size_t)c->n_layers * sizeof(qw_layer_state), QW_ALIGN);
    const bool fits = l.conv < SIZE_MAX / 8 && l.recurrent < SIZE_MAX / 8 &&
                      qw_mul_size(rounded(l.conv, FLOATS) + rounded(l.recurrent, FLOATS), (size_t)c->n_delta_layers, &n) &&
                      qw_mul_size(n, sizeof(float), &states) && qw_add_size(l.floats, states, &l.bytes);
    if (!fits)
        l.bytes = SIZE_MAX;
    return l;
}

size_t qw_checkpoint_bytes(const qw_text_config *c) { return layout_of(c).bytes; }

/* The next n floats, and zeros up to the next multiple of QW_ALIGN bytes. */
static float *take(float **at, size_t n)
{
    float *part = *at;
    *at += rounded(n, FLOATS);
    for (float *p = part + n; p < *at; p++)
        *p = 0;
    return part;
}

static void place(qw_checkpoint *cp, const qw_text_config *c, const layout *l)
{
    float *at = cp->floats;
    memset(cp->layers, 0, cp->n_layers * sizeof *cp->layers);
    for (size_t i = 0; i < cp->n_layers; i++) {
        if (c->layer_kinds[i] != QW_LAYER_DELTA)
            continue;
        cp->layers[i].conv = take(&at, l->conv);
        cp->layers[i].recurrent = take(&at, l->recurrent);
    }
    cp->n_floats = (size_t)(at - cp->floats);
}

qwren_status qw_checkpoint_create(qw_checkpoint **out, const qw_text_config *c, qwren_error *err)
{
    const layout l = layout_of(c);
    char *block = qw_alloc_aligned(l.bytes);
    qw_checkpoint *cp = *out = (qw_checkpoint *)(void *)block;
    if (!block)
        return qw_fail_memory(err, l.bytes, "a checkpoint of the states");
    *cp = (qw_checkpoint){ .bytes = l.bytes,
                           .n_layers = (size_t)c->n_layers,
                           .layers = (qw_layer_state *)(void *)(block + l.layers),
                           .floats = (float *)(void *)(block + l.floats) };
    atomic_init(&cp->refs, 1);
    place(cp, c, &l);
    return QWREN_OK;
}

void qw_checkpoint_hold(qw_checkpoint *cp) { atomic_fetch_add_explicit(&cp->refs, 1, memory_order_relaxed); }

/* Release, then acquire: the last one sees all that the others did before it gives the memory back. */
void qw_checkpoint_drop(qw_checkpoint *cp)
{
    if (cp && atomic_fetch_sub_explicit(&cp->refs, 1, memory_order_acq_rel) == 1)
        qw_free_aligned(cp);
}
