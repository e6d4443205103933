/* The settings of a GGUF model -> qw_config: the decoder's sizes, its layers and positions, tokens with a meaning, and how to sample. The
 * tower's part is config_gguf_vision.c. Stands between gguf.c and bind.c, beside config.c. Tested by tests/unit/test_config_gguf.c and
 * tests/fuzz/fuzz_gguf.c. */
#include "model/config_gguf.h"

#include "base/log.h"
#include "model/config_gguf_parts.h"
#include "model/config_parts.h"

#include <limits.h>
#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#define RULE(key, field, min, max)                 \
  {                                                \
    key, offsetof(qw_text_config, field), min, max \
  }

static const qw_gguf_int_rule sizes[] = {
    RULE("embedding_length", hidden_size, 1, QW_MOST_HIDDEN),      RULE("feed_forward_length", intermediate_size, 1, QW_MOST_INTERMEDIATE),
    RULE("context_length", max_positions, 1, QW_MOST_POSITIONS),   RULE("attention.head_count", n_heads, 1, QW_MOST_HEADS),
    RULE("attention.head_count_kv", n_kv_heads, 1, QW_MOST_HEADS), RULE("attention.key_length", head_dim, 2, QW_MOST_HEAD_DIM),
    RULE("ssm.group_count", linear_key_heads, 1, QW_MOST_HEADS),   RULE("ssm.time_step_rank", linear_value_heads, 1, QW_MOST_HEADS),
    RULE("ssm.state_size", linear_key_dim, 1, QW_MOST_HEAD_DIM),   RULE("ssm.conv_kernel", conv_kernel, 2, QW_MOST_TAPS),
};

static qwren_status must_be_number(const qw_gguf_fields *f, const char *key, double only)
{
    const qw_gguf_value *v = qw_gguf_field(f, key);
    double x;
    if (!v || (qw_gguf_number(v, &x) && x == only))
        return QWREN_OK;
    return qw_gguf_field_fail(f, QWREN_E_UNSUPPORTED, key, "supported is %g", only);
}

/* Settings that llama.cpp knows of other models: with any of them the answer would be another. 0 stands for none. */
static qwren_status refuse_variants(const qw_gguf_fields *f)
{
    static const char *const ones[] = { "rope.scale_linear", "rope.scaling.attn_factor", "rope.scaling.yarn_ext_factor" },
                             *const zeros[] = { "logit_scale",         "attn_logit_softcapping",   "final_logit_softcapping",
                                                "attention.scale",     "embedding_scale",          "residual_scale",
                                                "attention.clamp_kqv", "attention.max_alibi_bias", "rope.scaling.yarn_log_multiplier" };
    QW_TRY(qw_gguf_field_must_be_int(f, "expert_count", 0));
    QW_TRY(qw_gguf_field_must_be_bool(f, "attention.causal", true));
    for (size_t i = 0; i < sizeof ones / sizeof *ones; i++)
        QW_TRY(must_be_number(f, ones[i], 1));
    for (size_t i = 0; i < sizeof zeros / sizeof *zeros; i++)
        QW_TRY(must_be_number(f, zeros[i], 0));
    return qw_gguf_field_must_be_int(f, "attention.sliding_window", 0);
}

static qwren_status check_heads(const qw_gguf_fields *f, const qw_text_config *t)
{
    if (t->n_heads % t->n_kv_heads)
        return qw_gguf_field_fail(f, QWREN_E_FORMAT, "attention.head_count_kv", "it must divide attention.head_count, which is %d",
                                  t->n_heads);
    if (t->linear_value_heads % t->linear_key_heads)
        return qw_gguf_field_fail(f, QWREN_E_FORMAT, "ssm.group_count", "it must divide ssm.time_step_rank, which is %d",
                                  t->linear_value_heads);
    QW_TRY(qw_gguf_field_must_be_int(f, "attention.value_length", t->head_dim));
    return qw_gguf_field_must_be_int(f, "ssm.inner_size", (int64_t)t->linear_value_heads * t->linear_value_dim);
}

/* The trunk's layers and, counted with them in the file, the MTP head's. */
static qwren_status read_blocks(const qw_gguf_fields *f, qw_text_config *t)
{
    int n_blocks = 0;
    QW_TRY(qw_gguf_field_int_maybe(f, "nextn_predict_layers", 0, 1, &t->mtp_layers));
    QW_TRY(qw_gguf_field_int(f, "block_count", 1 + t->mtp_layers, QW_MAX_LAYERS, &n_blocks));
    t->n_layers = n_blocks - t->mtp_layers;
    return QWREN_OK;
}

/* ---- kinds of layers */

/* One truth for each block, the MTP head's among them: whether it is a DeltaNet layer. */
static qwren_status kinds_by_list(const qw_gguf_fields *f, qw_text_config *t, const qw_gguf_value *list)
{
    bool is_delta = false, good = list->n == (size_t)(t->n_layers + t->mtp_layers);
    for (int i = 0; good && i < t->n_layers; i++) {
        good = qw_gguf_bool_at(list, (size_t)i, &is_delta);
        t->layer_kinds[i] = is_delta ? QW_LAYER_DELTA : QW_LAYER_ATTENTION;
    }
    if (good && t->mtp_layers)
        good = qw_gguf_bool_at(list, (size_t)t->n_layers, &is_delta) && !is_delta;
    return good ? QWREN_OK
                : qw_gguf_field_fail(f, QWREN_E_FORMAT, "attention.recurrent_layers", "a list of %d truths is needed, the MTP head's false",
                                     t->n_layers + t->mtp_layers);
}

static qwren_status read_layer_kinds(const qw_gguf_fields *f, qw_text_config *t)
{
    const qw_gguf_value *list = qw_gguf_field(f, "attention.recurrent_layers");
    int interval = 4;
    QW_TRY(qw_gguf_field_int_maybe(f, "full_attention_interval", 1, QW_MAX_LAYERS, &interval));
    for (int i = 0; i < t->n_layers; i++)
        t->layer_kinds[i] = (i + 1) % interval ? QW_LAYER_DELTA : QW_LAYER_ATTENTION;
    if (list)
        QW_TRY(kinds_by_list(f, t, list));
    for (int i = 0; i < t->n_layers; i++)
        t->n_attention_layers += t->layer_kinds[i] == QW_LAYER_ATTENTION;
    t->n_delta_layers = t->n_layers - t->n_attention_layers;
    return QWREN_OK;
}

/* ---- rotary positions */

/* Pairs of t, y and x; the file has a fourth number, of no use here. */
static qwren_status read_sections(const qw_gguf_fields *f, qw_text_config *t)
{
    const qw_gguf_value *list = qw_gguf_field(f, "rope.dimension_sections");
    const int pairs = t->rotary_dim / 2;
    int64_t n = 0, sum = 0;
    bool good = list && (list->n == 3 || (list->n == 4 && qw_gguf_int_at(list, 3, &n) && n == 0));
    for (int i = 0; good && i < 3; i++) {
        good = qw_gguf_int_at(list, (size_t)i, &n) && n >= 0 && n <= pairs;
        t->mrope_section[i] = good ? (int)n : 0;
        sum += t->mrope_section[i];
    }
    return good && sum == pairs
               ? QWREN_OK
               : qw_gguf_field_fail(f, QWREN_E_FORMAT, "rope.dimension_sections",
                                    "three numbers of pairs, and 0, are needed whose sum is %d, half of the %d rotated values of a head",
                                    pairs, t->rotary_dim);
}

/* The keys that llama.cpp's converter writes; their meaning is transformers'. */
static qwren_status read_yarn(const qw_gguf_fields *f, qw_text_config *t)
{
    qw_yarn *y = &t->yarn;
    *y = (qw_yarn){ .original = t->max_positions, .beta_fast = QW_YARN_FAST, .beta_slow = QW_YARN_SLOW };
    QW_TRY(qw_gguf_field_number(f, "rope.scaling.factor", 1, QW_MOST_YARN, &y->factor));
    QW_TRY(qw_gguf_field_number_maybe(f, "rope.scaling.original_context_length", 1, QW_MOST_POSITIONS, &y->original));
    QW_TRY(qw_gguf_field_number_maybe(f, "rope.scaling.yarn_beta_fast", 1e-6, 1e6, &y->beta_fast));
    QW_TRY(qw_gguf_field_number_maybe(f, "rope.scaling.yarn_beta_slow", 1e-6, 1e6, &y->beta_slow));
    QW_TRY(qw_gguf_field_number_maybe(f, "rope.scaling.yarn_attn_factor", 1e-3, 1e3, &y->attention));
    if (t->rope_theta <= 1)
        return qw_gguf_field_fail(f, QWREN_E_FORMAT, "rope.freq_base", "with yarn it must be more than 1");
    if (y->beta_fast < y->beta_slow)
        return qw_gguf_field_fail(f, QWREN_E_FORMAT, "rope.scaling.yarn_beta_fast", "it must not be less than yarn_beta_slow, which is %g",
                                  y->beta_slow);
    return qw_yarn_positions(t)
               ? QWREN_OK
               : qw_gguf_field_fail(f, QWREN_E_LIMIT, "rope.scaling.factor", "times %.0f positions it is more than %d, which is supported",
                                    y->original, QW_MOST_POSITIONS);
}

static qwren_status read_scaling(const qw_gguf_fields *f, qw_text_config *t)
{
    const qw_gguf_value *type = qw_gguf_field(f, "rope.scaling.type");
    if (type && qw_gguf_is(type, "yarn"))
        return read_yarn(f, t);
    if (type && !qw_gguf_is(type, "none"))
        return qw_gguf_field_fail(f, QWREN_E_UNSUPPORTED, "rope.scaling.type", "supported are none and yarn");
    return must_be_number(f, "rope.scaling.factor", 1);
}

static qwren_status read_rope(const qw_gguf_fields *f, qw_text_config *t)
{
    QW_TRY(qw_gguf_field_number(f, "rope.freq_base", 1, 1e15, &t->rope_theta));
    QW_TRY(qw_gguf_field_int(f, "rope.dimension_count", 2, t->head_dim, &t->rotary_dim));
    if (t->rotary_dim % 2)
        return qw_gguf_field_fail(f, QWREN_E_FORMAT, "rope.dimension_count", "an even number is needed");
    QW_TRY(read_sections(f, t));
    return read_scaling(f, t);
}

/* ---- what the tensors say */

static qwren_status read_vocabulary(const qw_gguf_fields *f, const qw_weights *w, qw_text_config *t)
{
    const qw_tensor *embed = qw_weights_find(w, "embed_tokens.weight");
    if (!embed)
        return qw_fail(f->err, QWREN_E_FORMAT, "%s: has no tensor token_embd.weight", qw_gguf_path(f->file));
    if (embed->n_dims != 2 || embed->shape[0] < 1 || embed->shape[0] > QW_MOST_VOCABULARY)
        return qw_fail(f->err, QWREN_E_FORMAT, "%s: token_embd.weight must be a matrix of up to %d rows", qw_gguf_path(f->file),
                       QW_MOST_VOCABULARY);
    t->vocab_size = (int)embed->shape[0];
    t->tied_embeddings = !qw_weights_find(w, "lm_head.weight");
    return QWREN_OK;
}

/* A head with an embedding of its own would draft from the wrong one. */
static void leave_out_strange_mtp(const qw_weights *w, qw_text_config *t)
{
    static const char *const own[] = { "embed_tokens", "shared_head_head" };
    char name[64];
    for (size_t i = 0; i < sizeof own / sizeof own[0] && t->mtp_layers; i++) {
        snprintf(name, sizeof name, "other.blk.%d.nextn.%s.weight", t->n_layers, own[i]);
        if (qw_weights_find(w, name)) {
            qw_log(QWREN_LOG_INFO, "the MTP head has an embedding of its own, which is not supported: the head is not used");
            t->mtp_layers = 0;
        }
    }
}

static qwren_status read_text(qw_text_config *t, const qw_gguf_fields *f, const qw_weights *w)
{
    *t = (qw_text_config){ .rms_eps = 1e-6, .tiled_value_heads = true };
    QW_TRY(refuse_variants(f));
    QW_TRY(qw_gguf_field_ints(f, sizes, sizeof sizes / sizeof sizes[0], t));
    t->linear_value_dim = t->linear_key_dim; /* one setting for both */
    QW_TRY(check_heads(f, t));
    QW_TRY(qw_gguf_field_number(f, "attention.layer_norm_rms_epsilon", 1e-12, 0.1, &t->rms_eps));
    QW_TRY(read_blocks(f, t));
    QW_TRY(read_layer_kinds(f, t));
    QW_TRY(read_rope(f, t));
    QW_TRY(read_vocabulary(f, w, t));
    leave_out_strange_mtp(w, t);
    return QWREN_OK;
}

/* ---- tokens */

/* Where the tokens of pictures stand in the list of all tokens; -1 when they do not. */
static void find_tokens(qw_config *out, const qw_gguf *g)
{
    const struct {
        const char *text;
        int32_t *id;
    } wanted[] = { { "<|image_pad|>", &out->image_token },
                   { "<|video_pad|>", &out->video_token },
                   { "<|vision_start|>", &out->vision_start_token },
                   { "<|vision_end|>", &out->vision_end_token } };
    qw_gguf_texts it = { 0 };
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
        *wanted[i].id = -1;
    for (const qw_gguf_value *tokens = qw_gguf_find(g, "tokenizer.ggml.tokens"); qw_gguf_next_text(tokens, &it);) {
        if (it.text.len < 13 || it.text.len > 16 || it.text.data[0] != '<' || it.index >= (size_t)out->text.vocab_size)
            continue;
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (strlen(wanted[i].text) == it.text.len && memcmp(wanted[i].text, it.text.data, it.text.len) == 0)
                *wanted[i].id = (int32_t)it.index;
    }
}

static qwren_status read_tokens(qw_config *out, const qw_gguf_fields *f)
{
    static const char *const ends[] = { "eos_token_id", "eot_token_id", "eom_token_id" };
    find_tokens(out, f->file);
    for (size_t i = 0; i < sizeof ends / sizeof ends[0]; i++) {
        int id = -1;
        QW_TRY(qw_gguf_field_int_maybe(f, ends[i], 0, out->text.vocab_size - 1, &id));
        bool known = id < 0;
        for (int k = 0; k < out->n_eos; k++)
            known = known || out->eos[k] == id;
        if (!known)
            out->eos[out->n_eos++] = id;
    }
    return QWREN_OK;
}

/* ---- how to sample */

static qwren_status read_sampling(qw_generation_config *out, const qw_gguf_fields *f)
{
    double none = (double)NAN;
    *out = (qw_generation_config){ none, none, none, none, none, -1, true };
    QW_TRY(qw_gguf_field_number_maybe(f, "temp", 0, 100, &out->temperature));
    QW_TRY(qw_gguf_field_number_maybe(f, "top_p", 0, 1, &out->top_p));
    QW_TRY(qw_gguf_field_number_maybe(f, "min_p", 0, 1, &out->min_p));
    QW_TRY(qw_gguf_field_number_maybe(f, "penalty_repeat", 0.01, 100, &out->repetition_penalty));
    return qw_gguf_field_int_maybe(f, "top_k", 0, INT_MAX, &out->top_k);
}

/* ---- all of it */

qwren_status qw_config_read_gguf(qw_config *out, const qw_weights *weights, qwren_error *err)
{
    const qw_gguf *g = qw_weights_gguf(weights), *tower = qw_weights_mmproj(weights);
    const qw_gguf_fields text = { g, "qwen35.", err }, tokens = { g, "tokenizer.ggml.", err }, sampling = { g, "general.sampling.", err };
    *out = (qw_config){ 0 };
    snprintf(out->architecture, sizeof out->architecture, "qwen35");
    QW_TRY(read_text(&out->text, &text, weights));
    QW_TRY(read_tokens(out, &tokens));
    QW_TRY(read_sampling(&out->generation, &sampling));
    out->vision.present = tower != NULL;
    if (!tower)
        return QWREN_OK;
    const qw_gguf_fields clip = { tower, "clip.", err };
    QW_TRY(qw_gguf_vision_config_read(&out->vision, &out->processor, &clip, weights, &out->text));
    if (out->image_token < 0)
        return qw_fail(err, QWREN_E_FORMAT, "%s: has no token <|image_pad|>, which a model with an image tower needs", qw_gguf_path(g));
    return QWREN_OK;
}
