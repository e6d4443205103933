/* The identity of a model (identity.h): four 64-bit checksums, begun with different numbers, of a list of all that matters. Tested by
 * tests/unit/test_identity.c. */
#include "model/identity.h"

#include "base/hash.h"
#include "model/config_parts.h"

#include <string.h>

#define LANES (QW_IDENTITY_BYTES / 8)
/* Grows when the same model's numbers become others: a kernel that sums in another order, a layout of the cache or of states that
 * changed. */
#define ARITHMETIC_VERSION 2
/* Of a tensor's bytes: all of a small one, and of others pieces at the begin, in the middle and at the end. A matrix that was trained on
 * differs in all of them. */
#define WHOLE_BYTES 4096
#define PIECE_BYTES 512

typedef struct list {
    qw_hash lanes[LANES];
} list;

static void add(list *l, const void *p, size_t n)
{
    for (int i = 0; i < LANES; i++)
        qw_hash_add(&l->lanes[i], p, n);
}

static void add_number(list *l, uint64_t x) { add(l, &x, sizeof x); }
static void add_real(list *l, double x) { add(l, &x, sizeof x); }
static void add_text(list *l, const char *s) { add(l, s, strlen(s) + 1); }

static void begin(list *l)
{
    for (int i = 0; i < LANES; i++) {
        const uint64_t lane = (uint64_t)i;
        qw_hash_init(&l->lanes[i]);
        qw_hash_add(&l->lanes[i], &lane, sizeof lane);
    }
}

/* ---- what is computed */

static void add_text_config(list *l, const qw_text_config *c)
{
    const int numbers[] = { c->hidden_size,    c->intermediate_size, c->n_layers,    c->vocab_size,       c->n_heads,
                            c->n_kv_heads,     c->head_dim,          c->rotary_dim,  c->linear_key_heads, c->linear_value_heads,
                            c->linear_key_dim, c->linear_value_dim,  c->conv_kernel, c->tied_embeddings,  c->tiled_value_heads };
    add(l, numbers, sizeof numbers);
    add_real(l, c->rms_eps);
    for (int i = 0; i < c->n_layers; i++)
        add_number(l, c->layer_kinds[i]);
}

/* The rotation as it is applied, whatever settings it came from. */
static void add_rotation(list *l, const qw_text_model *m)
{
    static const int32_t pos[][3] = { { 1, 2, 3 }, { 200003, 30011, 7001 } };
    float cos[QW_MOST_HEAD_DIM / 2], sin[QW_MOST_HEAD_DIM / 2];
    const size_t n = (size_t)m->config->rotary_dim / 2;
    for (size_t i = 0; i < sizeof pos / sizeof *pos; i++) {
        qw_rope_table(m, cos, sin, &pos[i], 1);
        add(l, cos, n * sizeof *cos);
        add(l, sin, n * sizeof *sin);
    }
}

/* Pictures become rows of the timeline. Their keys tell what they show and how large they are, and not how they were cut. */
static void add_vision_config(list *l, const qw_config *c)
{
    const qw_vision_config *v = &c->vision;
    const int numbers[] = { v->present,           v->depth,      v->hidden_size,         v->n_heads,
                            v->intermediate_size, v->patch_size, v->temporal_patch_size, v->merge_size,
                            v->in_channels,       v->n_positions };
    add(l, numbers, sizeof numbers);
    add_real(l, v->rope_theta);
    add_real(l, v->layer_norm_eps);
    for (int i = 0; i < 3; i++) {
        add_real(l, c->processor.mean[i]);
        add_real(l, c->processor.std[i]);
    }
}

static void add_bytes(list *l, const qw_tensor *t)
{
    const char *p = t->data;
    if (t->n_bytes <= WHOLE_BYTES) {
        add(l, p, t->n_bytes);
        return;
    }
    add(l, p, PIECE_BYTES);
    add(l, p + t->n_bytes / 2, PIECE_BYTES);
    add(l, p + t->n_bytes - PIECE_BYTES, PIECE_BYTES);
}

static void add_tensor(list *l, const qw_tensor *t)
{
    add_text(l, t->name);
    add_text(l, t->dtype);
    add_number(l, (uint64_t)t->n_dims);
    for (int i = 0; i < t->n_dims; i++)
        add_number(l, t->shape[i]);
    add_number(l, t->n_bytes);
    add_bytes(l, t);
}

/* ---- how */

/* By name: their numbers change when a type is added. */
static const char *const cache_names[QW_KV_TYPES] = {
    [QW_KV_F32] = "f32", [QW_KV_F16] = "f16", [QW_KV_BF16] = "bf16", [QW_KV_Q8] = "q8", [QW_KV_Q4] = "q4", [QW_KV_PAIRS] = "pairs"
};

/* Levels whose kernels give the same bits. Plain C is for itself; of the others only the products in bf16 differ, and deterministic and
 * exact arithmetic have none. */
static int rounding_of(qw_cpu_level level, qwren_arithmetic arithmetic)
{
    if (level == QW_CPU_PORTABLE)
        return 0;
    return level == QW_CPU_AVX512BF16 && arithmetic == QWREN_ARITHMETIC_DEFAULT ? 2 : 1;
}

qwren_status qw_identity_of(qw_identity *out, const qw_model *m, qw_kv_type cache_type, qwren_error *err)
{
    list l;
    qw_cpu_level level;
    QW_TRY(qw_cpu_choose(&level, err));
    begin(&l);
    add_number(&l, ARITHMETIC_VERSION);
    add_text(&l, cache_names[cache_type]);
    add_number(&l, m->arithmetic);
    add_number(&l, (uint64_t)rounding_of(level, m->arithmetic));
    add_text_config(&l, &m->config.text);
    add_rotation(&l, &m->text);
    add_vision_config(&l, &m->config);
    add_number(&l, qw_weights_layout(m->weights));
    for (size_t i = 0; i < qw_weights_count(m->weights); i++)
        add_tensor(&l, qw_weights_at(m->weights, i));
    for (int i = 0; i < LANES; i++) {
        const uint64_t value = qw_hash_value(&l.lanes[i]);
        memcpy(out->bytes + (size_t)i * sizeof value, &value, sizeof value);
    }
    return QWREN_OK;
}
