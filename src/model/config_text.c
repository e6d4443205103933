/* The text model's part of config.json: sizes and kinds of layers; config_rope.c reads its rotary positions. What the engine computes in
 * one way only is refused when a file wants it otherwise. The keys are described in docs/model.md, section 9. Tested by
 * tests/unit/test_config.c. */
#include "model/config_parts.h"

#include <stddef.h>
#include <string.h>

#define RULE(key, field, min, max)                 \
  {                                                \
    key, offsetof(qw_text_config, field), min, max \
  }

static const qw_int_rule sizes[] = {
    RULE("hidden_size", hidden_size, 1, QW_MOST_HIDDEN),
    RULE("intermediate_size", intermediate_size, 1, QW_MOST_INTERMEDIATE),
    RULE("num_hidden_layers", n_layers, 1, QW_MAX_LAYERS),
    RULE("vocab_size", vocab_size, 1, QW_MOST_VOCABULARY),
    RULE("max_position_embeddings", max_positions, 1, QW_MOST_POSITIONS),
    RULE("num_attention_heads", n_heads, 1, QW_MOST_HEADS),
    RULE("num_key_value_heads", n_kv_heads, 1, QW_MOST_HEADS),
    RULE("head_dim", head_dim, 2, QW_MOST_HEAD_DIM),
    RULE("linear_num_key_heads", linear_key_heads, 1, QW_MOST_HEADS),
    RULE("linear_num_value_heads", linear_value_heads, 1, QW_MOST_HEADS),
    RULE("linear_key_head_dim", linear_key_dim, 1, QW_MOST_HEAD_DIM),
    RULE("linear_value_head_dim", linear_value_dim, 1, QW_MOST_HEAD_DIM),
    RULE("linear_conv_kernel_dim", conv_kernel, 2, QW_MOST_TAPS),
};

/* Switches that published models never turn. */
static qwren_status refuse_variants(const qw_fields *f)
{
    static const char *const experts[] = { "num_experts", "num_local_experts", "n_routed_experts" };
    QW_TRY(qw_field_must_be_text(f, "model_type", "qwen3_5_text", "qwen3_5"));
    QW_TRY(qw_field_must_be_text(f, "hidden_act", "silu", NULL));
    QW_TRY(qw_field_must_be_text(f, "mamba_ssm_dtype", "float32", NULL));
    QW_TRY(qw_field_must_be_bool(f, "attention_bias", false));
    QW_TRY(qw_field_must_be_bool(f, "attn_output_gate", true));
    QW_TRY(qw_field_must_be_bool(f, "mtp_use_dedicated_embeddings", false));
    for (size_t i = 0; i < sizeof experts / sizeof experts[0]; i++)
        QW_TRY(qw_field_must_be_int(f, experts[i], 0));
    return QWREN_OK;
}

static qwren_status check_heads(const qw_fields *f, const qw_text_config *t)
{
    if (t->n_heads % t->n_kv_heads)
        return qw_field_fail(f, QWREN_E_FORMAT, "num_key_value_heads", "it must divide num_attention_heads, which is %d", t->n_heads);
    if (t->linear_value_heads % t->linear_key_heads)
        return qw_field_fail(f, QWREN_E_FORMAT, "linear_num_key_heads", "it must divide linear_num_value_heads, which is %d",
                             t->linear_value_heads);
    return QWREN_OK;
}

/* ---- kinds of layers */

static void kinds_by_interval(qw_text_config *t, int interval)
{
    for (int i = 0; i < t->n_layers; i++)
        t->layer_kinds[i] = (i + 1) % interval ? QW_LAYER_DELTA : QW_LAYER_ATTENTION;
}

static qwren_status kinds_by_list(const qw_fields *f, qw_text_config *t, const qw_json *list)
{
    bool good = qw_json_is(list, QW_JSON_ARRAY) && qw_json_size(list) == (size_t)t->n_layers;
    for (int i = 0; good && i < t->n_layers; i++) {
        const char *kind = qw_json_string(qw_json_at(list, (size_t)i), NULL);
        bool is_attention = kind && strcmp(kind, "full_attention") == 0;
        good = is_attention || (kind && strcmp(kind, "linear_attention") == 0);
        t->layer_kinds[i] = is_attention ? QW_LAYER_ATTENTION : QW_LAYER_DELTA;
    }
    return good ? QWREN_OK
                : qw_field_fail(f, QWREN_E_FORMAT, "layer_types",
                                "a list of \"linear_attention\" and \"full_attention\" for %d layers is needed", t->n_layers);
}

/* The list wins over the interval. */
static qwren_status read_layer_kinds(const qw_fields *f, qw_text_config *t)
{
    const qw_json *list = qw_field(f, "layer_types");
    int interval = 4;
    QW_TRY(qw_field_int_maybe(f, "full_attention_interval", 1, QW_MAX_LAYERS, &interval));
    if (list)
        QW_TRY(kinds_by_list(f, t, list));
    else
        kinds_by_interval(t, interval);
    for (int i = 0; i < t->n_layers; i++)
        t->n_attention_layers += t->layer_kinds[i] == QW_LAYER_ATTENTION;
    t->n_delta_layers = t->n_layers - t->n_attention_layers;
    return QWREN_OK;
}

/* ---- the head: the key stands on top, inside, or in both places */

static qwren_status read_tied(const qw_fields *top, const qw_fields *f, qw_text_config *t)
{
    static const char key[] = "tie_word_embeddings";
    QW_TRY(qw_field_bool_maybe(top, key, &t->tied_embeddings));
    bool inside = t->tied_embeddings;
    QW_TRY(qw_field_bool_maybe(f, key, &inside));
    if (qw_field(top, key) && inside != t->tied_embeddings)
        return qw_field_fail(f, QWREN_E_FORMAT, key, "on top it is %s, and the two must agree", t->tied_embeddings ? "true" : "false");
    t->tied_embeddings = inside;
    return QWREN_OK;
}

qwren_status qw_text_config_read(qw_text_config *out, const qw_fields *top, const qw_fields *text)
{
    *out = (qw_text_config){ .rms_eps = 1e-6 };
    QW_TRY(refuse_variants(text));
    QW_TRY(qw_field_ints(text, sizes, sizeof sizes / sizeof sizes[0], out));
    QW_TRY(check_heads(text, out));
    QW_TRY(qw_field_number_maybe(text, "rms_norm_eps", 1e-12, 0.1, &out->rms_eps));
    QW_TRY(qw_field_int_maybe(text, "mtp_num_hidden_layers", 0, 1, &out->mtp_layers));
    QW_TRY(read_layer_kinds(text, out));
    QW_TRY(qw_rope_config_read(out, text));
    return read_tied(top, text, out);
}
