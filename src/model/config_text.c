/* The text model's part of config.json: sizes, kinds of layers, rotary positions. What the engine computes in one way only is refused when a file wants it
 * otherwise. The keys are described in docs/model.md, section 9. Tested by tests/unit/test_config.c. */
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

/* ---- rotary positions: in rope_parameters, older rope_scaling, or beside them */

/* The block that holds them; without one, the text fields themselves. */
static qwren_status find_rope_block(const qw_fields *f, qw_fields *block)
{
    bool nested = f->section[0] != '\0';
    qw_fields older;
    QW_TRY(qw_field_object(f, "rope_parameters", nested ? "text_config.rope_parameters." : "rope_parameters.", block));
    QW_TRY(qw_field_object(f, "rope_scaling", nested ? "text_config.rope_scaling." : "rope_scaling.", &older));
    if (qw_json_size(older.object)) /* the reference lets it win */
        *block = older;
    if (!block->object)
        *block = *f;
    return QWREN_OK;
}

/* The block's key goes before the one beside it. */
static const qw_fields *where(const qw_fields *block, const qw_fields *f, const char *key)
{
    return qw_field(block, key) || !qw_field(f, key) ? block : f;
}

static qwren_status read_sections(const qw_fields *block, const qw_fields *f, qw_text_config *t)
{
    static const int published[3] = { 11, 11, 10 };
    const qw_fields *at = where(block, f, "mrope_section");
    const qw_json *list = qw_field(at, "mrope_section");
    int pairs = t->rotary_dim / 2, sum = 0;
    bool good = !list || (qw_json_is(list, QW_JSON_ARRAY) && qw_json_size(list) == 3);
    for (int i = 0; good && i < 3; i++) {
        int64_t n = list ? qw_json_int(qw_json_at(list, (size_t)i), -1) : published[i];
        good = n >= 0 && n <= pairs;
        t->mrope_section[i] = good ? (int)n : 0;
        sum += t->mrope_section[i];
    }
    return good && sum == pairs
               ? QWREN_OK
               : qw_field_fail(at, QWREN_E_FORMAT, "mrope_section",
                               "three numbers of pairs are needed whose sum is %d, half of the %d rotated values of a head", pairs,
                               t->rotary_dim);
}

static qwren_status read_rope(const qw_fields *f, qw_text_config *t)
{
    qw_fields block;
    double factor = 0.25;
    QW_TRY(find_rope_block(f, &block));
    QW_TRY(qw_field_must_be_text(&block, "rope_type", "default", "mrope"));
    QW_TRY(qw_field_must_be_text(&block, "type", "default", "mrope"));
    QW_TRY(qw_field_must_be_bool(where(&block, f, "mrope_interleaved"), "mrope_interleaved", true));
    QW_TRY(qw_field_number(where(&block, f, "rope_theta"), "rope_theta", 1, 1e15, &t->rope_theta));
    const qw_fields *at = where(&block, f, "partial_rotary_factor");
    QW_TRY(qw_field_number_maybe(at, "partial_rotary_factor", 0, 1, &factor));
    t->rotary_dim = (int)(t->head_dim * factor);
    if (t->rotary_dim < 2 || t->rotary_dim % 2)
        return qw_field_fail(at, QWREN_E_FORMAT, "partial_rotary_factor", "it must make an even number of the %d values of a head, not %d",
                             t->head_dim, t->rotary_dim);
    return read_sections(&block, f, t);
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
    QW_TRY(read_rope(text, out));
    return read_tied(top, text, out);
}
