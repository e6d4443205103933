/* The decoder's tensors -> its layers. Shapes are those of docs/model.md; the config says the numbers. Tested by
 * tests/unit/test_model.c. */
#include "model/text.h"
#include "quant/half.h"

#include <math.h>
#include <stdio.h>

static size_t sz(int n) { return (size_t)n; }

static qwren_status bind_attention(qw_attention_layer *l, const qw_text_config *c, const qw_binder *b, const char *prefix, qwren_error *err)
{
    const size_t H = sz(c->hidden_size), hd = sz(c->head_dim), q = sz(c->n_heads) * hd, kv = sz(c->n_kv_heads) * hd;
    QW_TRY(qw_bind_matrix(b, &l->q, 2 * q, H, err, "%s.self_attn.q_proj.weight", prefix));
    QW_TRY(qw_bind_matrix(b, &l->k, kv, H, err, "%s.self_attn.k_proj.weight", prefix));
    QW_TRY(qw_bind_matrix(b, &l->v, kv, H, err, "%s.self_attn.v_proj.weight", prefix));
    QW_TRY(qw_bind_matrix(b, &l->o, H, q, err, "%s.self_attn.o_proj.weight", prefix));
    QW_TRY(qw_bind_norm(b, &l->q_norm, hd, err, "%s.self_attn.q_norm.weight", prefix));
    return qw_bind_norm(b, &l->k_norm, hd, err, "%s.self_attn.k_norm.weight", prefix);
}

/* The kernel [channels, taps] in the shape each kind of file gives it; the bytes are the same. */
static qwren_status find_conv(qw_matrix *out, size_t channels, size_t taps, const qw_binder *b, const char *prefix, qwren_error *err)
{
    const size_t hf[3] = { channels, 1, taps }, mlx[3] = { channels, taps, 1 }, gguf[2] = { channels, taps };
    switch (qw_weights_layout(b->weights)) {
    case QW_LAYOUT_MLX: return qw_bind_tensor(b, out, 3, mlx, err, "%s.linear_attn.conv1d.weight", prefix);
    case QW_LAYOUT_GGUF: return qw_bind_tensor(b, out, 2, gguf, err, "%s.linear_attn.conv1d.weight", prefix);
    default: return qw_bind_tensor(b, out, 3, hf, err, "%s.linear_attn.conv1d.weight", prefix);
    }
}

/* -> [taps, channels], so that neighbours in memory are neighbours in the loop. */
static qwren_status bind_conv(const float **out, size_t channels, size_t taps, const qw_binder *b, const char *prefix, qwren_error *err)
{
    qw_matrix m;
    *out = NULL;
    QW_TRY(find_conv(&m, channels, taps, b, prefix, err));
    if (!m.data)
        return QWREN_OK;
    float *rows = qw_arena_alloc(b->arena, channels * taps * sizeof *rows),
          *columns = qw_arena_alloc(b->arena, channels * taps * sizeof *columns);
    if (!rows || !columns)
        return qw_fail_memory(err, channels * taps * sizeof *rows, "convolution weights");
    qw_widen(m.type, m.data, channels * taps, rows);
    for (size_t ch = 0; ch < channels; ch++)
        for (size_t j = 0; j < taps; j++)
            columns[j * channels + ch] = rows[ch * taps + j];
    *out = columns;
    return QWREN_OK;
}

/* -exp(x) is below zero: another value is A_log itself, or damaged, and the state would grow without end. */
static qwren_status check_decay(const float *neg, size_t heads, const qw_tensor *t, qwren_error *err)
{
    for (size_t i = 0; i < heads; i++)
        if (!(neg[i] < 0))
            return qw_fail(err, QWREN_E_FORMAT, "%s: tensor %s holds %g for head %zu; -exp(A_log), which is below 0, is needed", t->file,
                           t->file_name, (double)neg[i], i);
    return QWREN_OK;
}

/* A tensor that could not be bound was told of already. */
static qwren_status tell_decay(const float *neg, size_t heads, const qw_binder *b, const char *prefix, qwren_error *err)
{
    char name[64];
    qwren_error why;
    snprintf(name, sizeof name, "%s.linear_attn.A_log", prefix);
    const qw_tensor *t = qw_bind_find(b, name);
    if (!t || t->n_dims != 1 || t->shape[0] != heads || !qw_type_is_float(t->type) || check_decay(neg, heads, t, &why) == QWREN_OK)
        return QWREN_OK;
    if (b->complain)
        b->complain(b->complain_ctx, name, &why);
    else if (err)
        *err = why;
    return b->complain ? QWREN_OK : QWREN_E_FORMAT;
}

/* A_log -> -exp(A_log), which is what GGUF holds. */
static qwren_status bind_decay(const float **out, size_t heads, const qw_binder *b, const char *prefix, qwren_error *err)
{
    const float *log_a = NULL;
    QW_TRY(qw_bind_vector(b, &log_a, heads, err, "%s.linear_attn.A_log", prefix));
    if (!log_a || qw_weights_layout(b->weights) == QW_LAYOUT_GGUF) {
        *out = log_a;
        return tell_decay(log_a, heads, b, prefix, err);
    }
    float *neg = qw_arena_alloc(b->arena, heads * sizeof *neg);
    if (!neg)
        return qw_fail_memory(err, heads * sizeof *neg, "decay rates");
    for (size_t i = 0; i < heads; i++)
        neg[i] = -expf(log_a[i]);
    *out = neg;
    return QWREN_OK;
}

static qwren_status bind_delta(qw_delta_layer *l, const qw_text_config *c, const qw_binder *b, const char *prefix, qwren_error *err)
{
    const size_t H = sz(c->hidden_size), Hv = sz(c->linear_value_heads), dv = sz(c->linear_value_dim);
    const size_t channels = qw_delta_channels(c);
    QW_TRY(qw_bind_matrix(b, &l->qkv, channels, H, err, "%s.linear_attn.in_proj_qkv.weight", prefix));
    QW_TRY(qw_bind_matrix(b, &l->z, Hv * dv, H, err, "%s.linear_attn.in_proj_z.weight", prefix));
    QW_TRY(qw_bind_matrix(b, &l->a, Hv, H, err, "%s.linear_attn.in_proj_a.weight", prefix));
    QW_TRY(qw_bind_matrix(b, &l->b, Hv, H, err, "%s.linear_attn.in_proj_b.weight", prefix));
    QW_TRY(qw_bind_matrix(b, &l->out, H, Hv * dv, err, "%s.linear_attn.out_proj.weight", prefix));
    QW_TRY(bind_conv(&l->conv, channels, sz(c->conv_kernel), b, prefix, err));
    QW_TRY(bind_decay(&l->neg_exp_a, Hv, b, prefix, err));
    QW_TRY(qw_bind_vector(b, &l->dt_bias, Hv, err, "%s.linear_attn.dt_bias", prefix));
    return qw_bind_vector(b, &l->norm, dv, err, "%s.linear_attn.norm.weight", prefix); /* the one norm that is not zero-centred */
}

static qwren_status bind_mlp(qw_mlp *l, const qw_text_config *c, const qw_binder *b, const char *prefix, qwren_error *err)
{
    const size_t H = sz(c->hidden_size), I = sz(c->intermediate_size);
    QW_TRY(qw_bind_matrix(b, &l->gate, I, H, err, "%s.mlp.gate_proj.weight", prefix));
    QW_TRY(qw_bind_matrix(b, &l->up, I, H, err, "%s.mlp.up_proj.weight", prefix));
    return qw_bind_matrix(b, &l->down, H, I, err, "%s.mlp.down_proj.weight", prefix);
}

qwren_status qw_layer_bind(qw_layer *out, qw_layer_kind kind, const qw_text_config *c, const qw_binder *b, const char *prefix,
                           qwren_error *err)
{
    out->kind = kind;
    QW_TRY(qw_bind_norm(b, &out->norm_in, sz(c->hidden_size), err, "%s.input_layernorm.weight", prefix));
    if (kind == QW_LAYER_ATTENTION)
        QW_TRY(bind_attention(&out->mixer.attention, c, b, prefix, err));
    else
        QW_TRY(bind_delta(&out->mixer.delta, c, b, prefix, err));
    QW_TRY(qw_bind_norm(b, &out->norm_post, sz(c->hidden_size), err, "%s.post_attention_layernorm.weight", prefix));
    return bind_mlp(&out->mlp, c, b, prefix, err);
}

static qwren_status bind_layers(qw_text_model *out, const qw_text_config *c, const qw_binder *b, qwren_error *err)
{
    char prefix[32];
    out->layers = qw_arena_alloc(b->arena, sz(c->n_layers) * sizeof *out->layers);
    if (!out->layers)
        return qw_fail_memory(err, sz(c->n_layers) * sizeof *out->layers, "layers");
    for (int i = 0; i < c->n_layers; i++) {
        snprintf(prefix, sizeof prefix, "layers.%d", i);
        QW_TRY(qw_layer_bind(&out->layers[i], c->layer_kinds[i], c, b, prefix, err));
    }
    return QWREN_OK;
}

qwren_status qw_text_bind(qw_text_model *out, const qw_text_config *c, const qw_binder *b, qwren_error *err)
{
    const size_t H = sz(c->hidden_size), V = sz(c->vocab_size);
    out->config = c;
    QW_TRY(qw_bind_matrix(b, &out->embed, V, H, err, "embed_tokens.weight"));
    if (c->tied_embeddings)
        out->head = out->embed;
    else
        QW_TRY(qw_bind_matrix(b, &out->head, V, H, err, "lm_head.weight"));
    QW_TRY(qw_bind_norm(b, &out->norm, H, err, "norm.weight"));
    QW_TRY(qw_rope_bind(out, b->arena, err));
    return bind_layers(out, c, b, err);
}
