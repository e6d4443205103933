/* Bytes and operations of a token, counted from the shapes (traffic.h). Tested by tests/unit/test_traffic.c. */
#include "runtime/traffic.h"

#include "runtime/memplan.h"
#include "runtime/speed.h"

typedef struct sums {
    uint64_t ops, float_ops, bytes;
} sums;

static void add(sums *s, const qw_matrix *w)
{
    const uint64_t ops = 2 * (uint64_t)w->rows * w->cols;
    s->ops += ops;
    s->float_ops += qw_type_is_float(w->type) ? ops : 0;
    s->bytes += qw_matrix_bytes(w);
}

/* Floats of a layer that are no matrices: they are widened when the model is opened. */
static uint64_t vector_bytes(const qw_text_config *c, qw_layer_kind kind)
{
    const uint64_t norms = 2 * (uint64_t)c->hidden_size;
    const uint64_t own = kind == QW_LAYER_ATTENTION ? 2 * (uint64_t)c->head_dim
                                                    : (uint64_t)c->conv_kernel * qw_delta_channels(c) +
                                                          2 * (uint64_t)c->linear_value_heads + (uint64_t)c->linear_value_dim;
    return (norms + own) * sizeof(float);
}

static sums add_layers(const qw_model *m, uint64_t *vectors)
{
    sums s = { 0 };
    *vectors = (uint64_t)m->config.text.hidden_size * sizeof(float); /* the last norm */
    for (int i = 0; i < m->config.text.n_layers; i++) {
        const qw_matrix *list[QW_LAYER_MATRICES];
        const size_t n = qw_layer_matrices(&m->text.layers[i], list);
        for (size_t k = 0; k < n; k++)
            add(&s, list[k]);
        *vectors += vector_bytes(&m->config.text, m->text.layers[i].kind);
    }
    return s;
}

/* Of the last layer all but what leaves keys, values or a state behind (model/text.c). */
static sums add_last_only(const qw_model *m)
{
    const qw_layer *l = &m->text.layers[m->config.text.n_layers - 1];
    sums s = { 0 };
    add(&s, &l->mlp.gate);
    add(&s, &l->mlp.up);
    add(&s, &l->mlp.down);
    if (l->kind == QW_LAYER_ATTENTION) {
        add(&s, &l->mixer.attention.q);
        add(&s, &l->mixer.attention.o);
    } else {
        add(&s, &l->mixer.delta.out);
    }
    return s;
}

/* The plan knows what a token takes in the cache, whatever its format; its blocks are whole, so that many are asked for. */
static qwren_status cache_bytes(uint64_t *out, const qw_text_config *c, size_t depth, qw_kv_type type, qwren_error *err)
{
    const size_t most = (size_t)c->max_positions, n = most < 4096 ? most : 4096;
    qw_memplan plan;
    if (depth >= most)
        return qw_fail(err, QWREN_E_LIMIT, "a token behind %zu others: this model takes %zu", depth, most);
    QW_TRY(qw_memplan_make(&plan, c, n, type, 0, err));
    *out = (uint64_t)((double)plan.kv_bytes / (double)n * (double)(depth + 1));
    return QWREN_OK;
}

qwren_status qw_traffic_of(qw_traffic *out, const qw_model *m, size_t depth, qw_kv_type cache_type, qwren_error *err)
{
    const qw_text_config *c = &m->config.text;
    const qw_matrix one_row = qw_matrix_rows(&m->text.embed, 0, 1);
    uint64_t vectors;
    sums head = { 0 };
    *out = (qw_traffic){ 0 };
    QW_TRY(cache_bytes(&out->cache_bytes, c, depth, cache_type, err));
    const sums layers = add_layers(m, &vectors);
    add(&head, &m->text.head);
    out->weight_bytes = layers.bytes + head.bytes + vectors + qw_matrix_bytes(&one_row);
    out->state_bytes = 2 * (uint64_t)c->n_delta_layers * (qw_recurrent_floats(c) + qw_conv_floats(c)) * sizeof(float);
    out->layer_ops = layers.ops;
    out->last_ops = add_last_only(m).ops;
    out->head_ops = head.ops;
    out->is_float = 2 * layers.float_ops > layers.ops;
    return QWREN_OK;
}

uint64_t qw_traffic_image_ops(const qw_model *m, size_t n_patches)
{
    sums block = { 0 }, merger = { 0 }, patch = { 0 };
    const qw_vision_config *v = &m->config.vision;
    if (!m->has_vision)
        return 0;
    const qw_matrix *const of_block[] = { &m->vision.blocks[0].qkv, &m->vision.blocks[0].proj, &m->vision.blocks[0].fc1,
                                          &m->vision.blocks[0].fc2 };
    for (size_t i = 0; i < sizeof of_block / sizeof *of_block; i++)
        add(&block, of_block[i]);
    add(&patch, &m->vision.patch);
    add(&merger, &m->vision.fc1);
    add(&merger, &m->vision.fc2);
    const uint64_t n = n_patches, attention = 4 * n * n * (uint64_t)v->hidden_size;
    return (uint64_t)v->depth * (block.ops * n + attention) + patch.ops * n + merger.ops * (n / (uint64_t)(v->merge_size * v->merge_size));
}
