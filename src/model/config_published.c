/* The published shapes (config_published.h; docs/model.md, section 9), and what a model is called by its shape. Tested by
 * tests/unit/test_model_random.c, which binds every one, and tests/unit/test_config.c. */
#include "model/config_published.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct shape {
    const char *name;
    int layers, hidden, intermediate, heads, kv_heads, value_heads;
    bool tied;
    int tower_depth, tower_hidden, tower_heads, tower_intermediate;
    bool small; /* heads, vocabulary and positions of the tests */
} shape;

static const shape shapes[] = {
    { "0.8B", 24, 1024, 3584, 8, 2, 16, true, 12, 768, 12, 3072, false },
    { "2B", 24, 2048, 6144, 8, 2, 16, true, 24, 1024, 16, 4096, false },
    { "4B", 32, 2560, 9216, 16, 4, 32, true, 24, 1024, 16, 4096, false },
    { "9B", 32, 4096, 12288, 16, 4, 32, false, 27, 1152, 16, 4304, false },
    { "tiny", 4, 128, 256, 4, 2, 4, true, 2, 128, 4, 256, true },
};
#define N_SHAPES (sizeof shapes / sizeof *shapes)

const char *qw_config_size_name(const qw_config *c)
{
    for (size_t i = 0; i < N_SHAPES; i++)
        if (!shapes[i].small && c->text.n_layers == shapes[i].layers && c->text.hidden_size == shapes[i].hidden &&
            c->text.intermediate_size == shapes[i].intermediate)
            return shapes[i].name;
    return "custom";
}

/* ---- configurations */

static void set_text(qw_text_config *t, const shape *s)
{
    *t = (qw_text_config){
        .hidden_size = s->hidden,
        .intermediate_size = s->intermediate,
        .n_layers = s->layers,
        .vocab_size = s->small ? 1024 : 248320,
        .max_positions = s->small ? 4096 : 262144,
        .n_heads = s->heads,
        .n_kv_heads = s->kv_heads,
        .head_dim = s->small ? 64 : 256,
        .rotary_dim = s->small ? 16 : 64,
        .mrope_section = { s->small ? 3 : 11, s->small ? 3 : 11, s->small ? 2 : 10 },
        .rope_theta = 1e7,
        .linear_key_heads = s->small ? 2 : 16,
        .linear_value_heads = s->value_heads,
        .linear_key_dim = s->small ? 64 : 128,
        .linear_value_dim = s->small ? 64 : 128,
        .conv_kernel = 4,
        .rms_eps = 1e-6,
        .tied_embeddings = s->tied,
        .mtp_layers = 1,
    };
    for (int i = 0; i < t->n_layers; i++) {
        t->layer_kinds[i] = (i + 1) % 4 ? QW_LAYER_DELTA : QW_LAYER_ATTENTION;
        t->n_attention_layers += t->layer_kinds[i] == QW_LAYER_ATTENTION;
    }
    t->n_delta_layers = t->n_layers - t->n_attention_layers;
}

static void set_vision(qw_vision_config *v, const shape *s)
{
    *v = (qw_vision_config){
        .present = true,
        .depth = s->tower_depth,
        .hidden_size = s->tower_hidden,
        .n_heads = s->tower_heads,
        .intermediate_size = s->tower_intermediate,
        .out_hidden_size = s->hidden,
        .patch_size = 16,
        .temporal_patch_size = 2,
        .merge_size = 2,
        .in_channels = 3,
        .n_positions = s->small ? 64 : 2304,
        .rope_theta = 10000,
        .layer_norm_eps = 1e-6,
    };
}

static void set_rest(qw_config *c, const shape *s)
{
    const int32_t special = s->small ? 1000 : 248053; /* <|vision_start|> */
    const double none = (double)NAN;
    snprintf(c->architecture, sizeof c->architecture, "Qwen3_5ForConditionalGeneration");
    c->processor =
        (qw_processor_config){ .min_pixels = 65536, .max_pixels = 16777216, .mean = { 0.5, 0.5, 0.5 }, .std = { 0.5, 0.5, 0.5 } };
    c->generation = (qw_generation_config){ none, none, none, none, none, -1, true };
    c->vision_start_token = special;
    c->vision_end_token = special + 1;
    c->image_token = special + 3;
    c->video_token = special + 4;
}

bool qw_config_published(qw_config *out, const char *name)
{
    *out = (qw_config){ 0 };
    for (size_t i = 0; i < N_SHAPES; i++) {
        if (strcmp(shapes[i].name, name) != 0)
            continue;
        set_text(&out->text, &shapes[i]);
        set_vision(&out->vision, &shapes[i]);
        set_rest(out, &shapes[i]);
        return true;
    }
    return false;
}

/* ---- tensors */

typedef struct lister {
    qw_tensor_fn fn;
    void *ctx;
    qwren_error *err;
    char prefix[40];
} lister;

/* PREFIX.TAIL; sizes of 0 end the shape. */
static qwren_status tell(const lister *l, const char *tail, size_t a, size_t b, size_t c)
{
    char name[128];
    const size_t dims[3] = { a, b, c };
    snprintf(name, sizeof name, "%s%s", l->prefix, tail);
    return l->fn(l->ctx, name, c ? 3 : b ? 2 : 1, dims, l->err);
}

static qwren_status tell_linear(const lister *l, const char *part, size_t rows, size_t cols)
{
    char tail[40];
    snprintf(tail, sizeof tail, "%s.weight", part);
    QW_TRY(tell(l, tail, rows, cols, 0));
    snprintf(tail, sizeof tail, "%s.bias", part);
    return tell(l, tail, rows, 0, 0);
}

static qwren_status tell_attention(const lister *l, const qw_text_config *t)
{
    const size_t H = (size_t)t->hidden_size, hd = (size_t)t->head_dim, q = (size_t)t->n_heads * hd, kv = (size_t)t->n_kv_heads * hd;
    QW_TRY(tell(l, "self_attn.q_proj.weight", 2 * q, H, 0));
    QW_TRY(tell(l, "self_attn.k_proj.weight", kv, H, 0));
    QW_TRY(tell(l, "self_attn.v_proj.weight", kv, H, 0));
    QW_TRY(tell(l, "self_attn.o_proj.weight", H, q, 0));
    QW_TRY(tell(l, "self_attn.q_norm.weight", hd, 0, 0));
    return tell(l, "self_attn.k_norm.weight", hd, 0, 0);
}

static qwren_status tell_delta(const lister *l, const qw_text_config *t)
{
    const size_t H = (size_t)t->hidden_size, Hv = (size_t)t->linear_value_heads, dv = (size_t)t->linear_value_dim,
                 channels = 2 * (size_t)t->linear_key_heads * (size_t)t->linear_key_dim + Hv * dv;
    QW_TRY(tell(l, "linear_attn.in_proj_qkv.weight", channels, H, 0));
    QW_TRY(tell(l, "linear_attn.in_proj_z.weight", Hv * dv, H, 0));
    QW_TRY(tell(l, "linear_attn.in_proj_b.weight", Hv, H, 0));
    QW_TRY(tell(l, "linear_attn.in_proj_a.weight", Hv, H, 0));
    QW_TRY(tell(l, "linear_attn.conv1d.weight", channels, (size_t)t->conv_kernel, 1));
    QW_TRY(tell(l, "linear_attn.dt_bias", Hv, 0, 0));
    QW_TRY(tell(l, "linear_attn.A_log", Hv, 0, 0));
    QW_TRY(tell(l, "linear_attn.norm.weight", dv, 0, 0));
    return tell(l, "linear_attn.out_proj.weight", H, Hv * dv, 0);
}

static qwren_status tell_layer(const lister *l, const qw_text_config *t, qw_layer_kind kind)
{
    const size_t H = (size_t)t->hidden_size, I = (size_t)t->intermediate_size;
    QW_TRY(tell(l, "input_layernorm.weight", H, 0, 0));
    QW_TRY(kind == QW_LAYER_ATTENTION ? tell_attention(l, t) : tell_delta(l, t));
    QW_TRY(tell(l, "post_attention_layernorm.weight", H, 0, 0));
    QW_TRY(tell(l, "mlp.gate_proj.weight", I, H, 0));
    QW_TRY(tell(l, "mlp.up_proj.weight", I, H, 0));
    return tell(l, "mlp.down_proj.weight", H, I, 0);
}

static qwren_status tell_text(lister *l, const qw_text_config *t)
{
    const size_t H = (size_t)t->hidden_size, V = (size_t)t->vocab_size;
    QW_TRY(tell(l, "embed_tokens.weight", V, H, 0));
    for (int i = 0; i < t->n_layers; i++) {
        snprintf(l->prefix, sizeof l->prefix, "layers.%d.", i);
        QW_TRY(tell_layer(l, t, t->layer_kinds[i]));
    }
    l->prefix[0] = '\0';
    QW_TRY(tell(l, "norm.weight", H, 0, 0));
    return t->tied_embeddings ? QWREN_OK : tell(l, "lm_head.weight", V, H, 0);
}

static qwren_status tell_mtp(lister *l, const qw_text_config *t)
{
    const size_t H = (size_t)t->hidden_size;
    snprintf(l->prefix, sizeof l->prefix, "mtp.");
    QW_TRY(tell(l, "fc.weight", H, 2 * H, 0));
    QW_TRY(tell(l, "pre_fc_norm_embedding.weight", H, 0, 0));
    QW_TRY(tell(l, "pre_fc_norm_hidden.weight", H, 0, 0));
    QW_TRY(tell(l, "norm.weight", H, 0, 0));
    snprintf(l->prefix, sizeof l->prefix, "mtp.layers.0.");
    return tell_layer(l, t, QW_LAYER_ATTENTION);
}

static qwren_status tell_block(const lister *l, const qw_vision_config *v)
{
    const size_t D = (size_t)v->hidden_size, I = (size_t)v->intermediate_size;
    QW_TRY(tell_linear(l, "norm1", D, 0));
    QW_TRY(tell_linear(l, "attn.qkv", 3 * D, D));
    QW_TRY(tell_linear(l, "attn.proj", D, D));
    QW_TRY(tell_linear(l, "norm2", D, 0));
    QW_TRY(tell_linear(l, "mlp.linear_fc1", I, D));
    return tell_linear(l, "mlp.linear_fc2", D, I);
}

static qwren_status tell_vision(lister *l, const qw_vision_config *v)
{
    const size_t D = (size_t)v->hidden_size, P = (size_t)v->patch_size, merged = (size_t)v->merge_size * (size_t)v->merge_size * D;
    const size_t kernel[5] = { D, (size_t)v->temporal_patch_size, P, P, (size_t)v->in_channels };
    QW_TRY(l->fn(l->ctx, "visual.patch_embed.proj.weight", 5, kernel, l->err));
    snprintf(l->prefix, sizeof l->prefix, "visual.");
    QW_TRY(tell(l, "patch_embed.proj.bias", D, 0, 0));
    QW_TRY(tell(l, "pos_embed.weight", (size_t)v->n_positions, D, 0));
    for (int i = 0; i < v->depth; i++) {
        snprintf(l->prefix, sizeof l->prefix, "visual.blocks.%d.", i);
        QW_TRY(tell_block(l, v));
    }
    snprintf(l->prefix, sizeof l->prefix, "visual.merger.");
    QW_TRY(tell_linear(l, "norm", D, 0));
    QW_TRY(tell_linear(l, "linear_fc1", merged, merged));
    return tell_linear(l, "linear_fc2", (size_t)v->out_hidden_size, merged);
}

qwren_status qw_config_each_tensor(const qw_config *c, qw_tensor_fn fn, void *ctx, qwren_error *err)
{
    lister l = { fn, ctx, err, "" };
    QW_TRY(tell_text(&l, &c->text));
    if (c->text.mtp_layers)
        QW_TRY(tell_mtp(&l, &c->text));
    l.prefix[0] = '\0';
    return c->vision.present ? tell_vision(&l, &c->vision) : QWREN_OK;
}
