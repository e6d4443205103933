/* The calibration samples on their way through the layers (calibrate.h): one layer for all samples, then the next, so that a layer's
 * weights are read once and let go. Tested by tests/unit/test_calibrate.c. */
#include "convert/calibrate.h"

#include "base/alloc.h"

#include <string.h>

size_t qw_layer_slots(qw_layer *l, qw_slot slots[QW_LAYER_SLOTS])
{
    size_t n = 0;
    if (l->kind == QW_LAYER_DELTA) {
        qw_delta_layer *d = &l->mixer.delta;
        slots[n++] = (qw_slot){ &d->qkv, "linear_attn.in_proj_qkv.weight", 0 };
        slots[n++] = (qw_slot){ &d->z, "linear_attn.in_proj_z.weight", 0 };
        slots[n++] = (qw_slot){ &d->a, "linear_attn.in_proj_a.weight", 0 };
        slots[n++] = (qw_slot){ &d->b, "linear_attn.in_proj_b.weight", 0 };
        slots[n++] = (qw_slot){ &d->out, "linear_attn.out_proj.weight", 1 };
    } else {
        qw_attention_layer *a = &l->mixer.attention;
        slots[n++] = (qw_slot){ &a->q, "self_attn.q_proj.weight", 0 };
        slots[n++] = (qw_slot){ &a->k, "self_attn.k_proj.weight", 0 };
        slots[n++] = (qw_slot){ &a->v, "self_attn.v_proj.weight", 0 };
        slots[n++] = (qw_slot){ &a->o, "self_attn.o_proj.weight", 1 };
    }
    slots[n++] = (qw_slot){ &l->mlp.gate, "mlp.gate_proj.weight", 2 };
    slots[n++] = (qw_slot){ &l->mlp.up, "mlp.up_proj.weight", 2 };
    slots[n++] = (qw_slot){ &l->mlp.down, "mlp.down_proj.weight", 3 };
    return n;
}

/* ---- memory */

static size_t max(size_t a, size_t b) { return a > b ? a : b; }
static size_t batch_of(const qw_streams *s) { return s->longest < QW_MAX_BATCH ? s->longest : QW_MAX_BATCH; }

/* One layer's state serves every layer and every sample in turn: a cache, or a convolution's tail and a recurrence. */
static size_t state_bytes(const qw_text_config *c, size_t longest)
{
    return max(qw_cache_bytes(c, QW_KV_F32, longest), (qw_conv_floats(c) + qw_recurrent_floats(c)) * sizeof(float));
}

static void place_state(qw_streams *s)
{
    s->state = (qw_layer_state){
        .cache = s->state_block,
        .cache_type = QW_KV_F32,
        .capacity = s->longest,
        .conv = s->state_block,
        .recurrent = s->state_block + qw_conv_floats(s->model->text.config),
    };
}

static float *take(size_t a, size_t b, qwren_error *err, qwren_status *st)
{
    float *p = qw_alloc_array(a, b * sizeof *p);
    if (!p)
        *st = qw_fail_memory(err, a * b * sizeof *p, "calibration");
    return p;
}

static void *take_aligned(size_t bytes, qwren_error *err, qwren_status *st)
{
    void *p = qw_alloc_aligned(bytes);
    if (!p)
        *st = qw_fail_memory(err, bytes, "calibration");
    return p;
}

qwren_status qw_streams_init(qw_streams *s, const qw_model *m, const qw_timeline *samples, size_t n_samples, qwren_error *err)
{
    const qw_text_config *c = m->text.config;
    qwren_status st = QWREN_OK;
    *s = (qw_streams){ .model = m, .samples = samples, .n_samples = n_samples };
    for (size_t i = 0; i < n_samples; i++) {
        s->n_tokens += samples[i].n;
        s->longest = max(s->longest, samples[i].n);
    }
    s->x = take(s->n_tokens, (size_t)c->hidden_size, err, &st);
    s->scratch_block = take_aligned(qw_text_scratch_bytes(c, batch_of(s), s->longest), err, &st);
    s->state_block = take_aligned(state_bytes(c, s->longest), err, &st);
    if (st != QWREN_OK) {
        qw_streams_deinit(s);
        return st;
    }
    qw_text_scratch_init(&s->scratch, s->scratch_block, c, batch_of(s), s->longest);
    place_state(s);
    return QWREN_OK;
}

void qw_streams_deinit(qw_streams *s)
{
    qw_free(s->x);
    qw_free_aligned(s->scratch_block);
    qw_free_aligned(s->state_block);
    *s = (qw_streams){ 0 };
}

/* ---- passes */

void qw_streams_embed(qw_streams *s, const qw_matrix *embed, float *x)
{
    const size_t H = embed->cols;
    for (size_t i = 0; i < s->n_samples; i++) {
        const qw_timeline *t = &s->samples[i];
        qw_op_embed(s->model->ops, x, embed, t->ids, t->n);
        for (size_t k = 0; k < t->n_spans; k++)
            memcpy(x + t->spans[k].begin * H, t->spans[k].rows, t->spans[k].n * H * sizeof *x);
        x += t->n * H;
    }
}

/* The layer has seen nothing yet. */
static void reset_state(qw_streams *s, qw_layer_kind kind)
{
    const qw_text_config *c = s->model->text.config;
    if (kind == QW_LAYER_DELTA)
        memset(s->state_block, 0, (qw_conv_floats(c) + qw_recurrent_floats(c)) * sizeof(float));
}

static void run_sample(qw_streams *s, const qw_layer *l, const qw_timeline *t, const float *from, float *to)
{
    const qw_model *m = s->model;
    const size_t H = (size_t)m->text.config->hidden_size;
    reset_state(s, l->kind);
    for (size_t at = 0, n; at < t->n; at += n) {
        n = t->n - at < batch_of(s) ? t->n - at : batch_of(s);
        memcpy(s->scratch.x, from + at * H, n * H * sizeof *from);
        qw_rope_table(&m->text, s->scratch.cos, s->scratch.sin, (const int32_t(*)[3])t->pos + at, n);
        s->scratch.n = n;
        const qw_segment segment = { .states = &s->state, .n = n, .start = at };
        qw_layer_forward(&(qw_pass){ m->ops, m->text.config, &s->scratch, &segment, 1 }, l, 0, QW_ALL_ROWS);
        if (to)
            memcpy(to + at * H, s->scratch.x, n * H * sizeof *to);
    }
}

bool qw_streams_run(qw_streams *s, const qw_layer *l, qw_sample_range range, const float *from, float *to, qw_keep_on_fn keep_on, void *ctx)
{
    const size_t H = (size_t)s->model->text.config->hidden_size;
    size_t at = 0;
    for (size_t i = 0; i < range.first + range.n; at += s->samples[i++].n) {
        if (i < range.first)
            continue;
        if (keep_on && !keep_on(ctx))
            return false;
        run_sample(s, l, &s->samples[i], from + at * H, to ? to + at * H : NULL);
    }
    return true;
}

bool qw_streams_layer(qw_streams *s, const qw_layer *l, const float *from, float *to, qw_keep_on_fn keep_on, void *ctx)
{
    return qw_streams_run(s, l, (qw_sample_range){ 0, s->n_samples }, from, to, keep_on, ctx);
}

void qw_streams_norm(qw_streams *s, const float *w, const float *x, size_t n, float *out)
{
    const qw_text_config *c = s->model->text.config;
    qw_op_rmsnorm(s->model->ops, out, x, w, n, (size_t)c->hidden_size, (float)c->rms_eps);
}

/* ---- moments */

size_t qw_moments_block(size_t cols) { return cols <= 1024 ? cols : 512; }

typedef struct observation {
    qw_layer_moments *moments;
    qw_pool *pool;
    const qw_matrix *first[QW_LAYER_INPUTS]; /* the first matrix that reads each input */
} observation;

static void observe(void *ctx, const qw_matrix *w, const float *x, size_t n)
{
    const observation *o = ctx;
    for (int i = 0; i < QW_LAYER_INPUTS; i++)
        if (o->first[i] == w)
            qw_moments_add(o->moments->of[i], o->pool, x, n);
}

void qw_layer_moments_free(qw_layer_moments *m)
{
    for (int i = 0; i < QW_LAYER_INPUTS; i++)
        qw_moments_free(m->of[i]);
    *m = (qw_layer_moments){ 0 };
}

static qwren_status create_moments(observation *o, qw_layer *l, qwren_error *err)
{
    qw_slot slots[QW_LAYER_SLOTS];
    const size_t n = qw_layer_slots(l, slots);
    for (size_t i = 0; i < n; i++) {
        const int input = slots[i].input;
        if (o->first[input])
            continue;
        o->first[input] = slots[i].matrix;
        QW_TRY(qw_moments_create(&o->moments->of[input], slots[i].matrix->cols, qw_moments_block(slots[i].matrix->cols), err));
    }
    return QWREN_OK;
}

static qwren_status run_observed(qw_streams *s, qw_layer *l, const float *from, float *to, observation *o, qw_keep_on_fn keep_on, void *ctx,
                                 qwren_error *err)
{
    QW_TRY(create_moments(o, l, err));
    qw_ops_observe(s->model->ops, observe, o);
    const bool all = qw_streams_layer(s, l, from, to, keep_on, ctx);
    qw_ops_observe(s->model->ops, NULL, NULL);
    if (!all)
        return qw_fail(err, QWREN_E_CANCELLED, "cancelled while the calibration samples were computed");
    for (int i = 0; i < QW_LAYER_INPUTS; i++)
        QW_TRY(qw_moments_finish(o->moments->of[i], o->pool, err));
    return QWREN_OK;
}

qwren_status qw_streams_observe(qw_streams *s, qw_layer *l, const float *from, float *to, qw_pool *pool, qw_layer_moments *out,
                                qw_keep_on_fn keep_on, void *ctx, qwren_error *err)
{
    observation o = { .moments = out, .pool = pool };
    *out = (qw_layer_moments){ 0 };
    qwren_status st = run_observed(s, l, from, to, &o, keep_on, ctx, err);
    if (st != QWREN_OK)
        qw_layer_moments_free(out);
    return st;
}
