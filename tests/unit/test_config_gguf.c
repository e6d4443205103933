/* The settings of GGUF files as a configuration: a whole small model is opened, then each setting lies once. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "model/model.h"
#include "support/fault.h"
#include "support/gguf_make.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static char dir[64];

static int make_folder(void **state)
{
    (void)state;
    gguf_folder(dir);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    gguf_folder_remove(dir);
    return 0;
}

/* How a file is spoilt: called once its good settings are there. NULL: it is not. */
typedef void (*spoil_fn)(gguf_maker *m);

static float decay = -1; /* what ssm_a holds */

static void write_model(const char *skip, spoil_fn spoil)
{
    gguf_maker m = gguf_new();
    m.skip = skip;
    m.decay = decay;
    made_settings(&m);
    made_tensors(&m);
    m.skip = NULL;
    if (spoil)
        spoil(&m);
    qw_buf bytes = gguf_bytes(&m);
    gguf_write(dir, "model.gguf", &bytes);
    qw_buf_free(&bytes);
    gguf_free(&m);
}

static void write_tower(const char *skip, spoil_fn spoil)
{
    gguf_maker m = gguf_new();
    m.skip = skip;
    made_tower_settings(&m);
    made_tower_tensors(&m);
    m.skip = NULL;
    if (spoil)
        spoil(&m);
    qw_buf bytes = gguf_bytes(&m);
    gguf_write(dir, "mmproj.gguf", &bytes);
    qw_buf_free(&bytes);
    gguf_free(&m);
}

static qwren_status open_model(qw_model *m, qwren_error *err)
{
    return qw_model_init(m, dir, &(qw_model_params){ .n_threads = 1, .config_only = true }, err);
}

static void open_good(qw_model *m)
{
    qwren_error err = { QWREN_OK, "" };
    if (open_model(m, &err) != QWREN_OK)
        fail_msg("%s", err.text);
}

static void refused(qwren_status status, const char *word)
{
    qw_model m;
    qwren_error err = { QWREN_OK, "" };
    qwren_status st = open_model(&m, &err);
    if (st != status || !strstr(err.text, word))
        fail_msg("%s: \"%s\", expected %s with \"%s\"", qwren_status_name(st), err.text, qwren_status_name(status), word);
    if (st == QWREN_OK)
        qw_model_deinit(&m);
}

/* ---- right ones */

static void a_whole_model(void **state)
{
    (void)state;
    qw_model m;
    write_model(NULL, NULL);
    write_tower(NULL, NULL);
    open_good(&m);
    const qw_text_config *t = &m.config.text;
    assert_string_equal(m.config.architecture, "qwen35");
    assert_true(t->hidden_size == MADE_H && t->intermediate_size == MADE_I && t->n_layers == 2 && t->vocab_size == MADE_V);
    assert_true(t->max_positions == 512 && t->n_heads == 2 && t->n_kv_heads == 1 && t->head_dim == MADE_HD && t->rotary_dim == 8);
    assert_true(t->mrope_section[0] == 2 && t->mrope_section[1] == 1 && t->mrope_section[2] == 1 && t->rope_theta == 1e7);
    assert_true(t->linear_key_heads == 1 && t->linear_value_heads == 2 && t->linear_key_dim == MADE_DK && t->linear_value_dim == MADE_DK);
    assert_true(t->conv_kernel == 4 && (float)t->rms_eps == 1e-6F && t->tied_embeddings && t->tiled_value_heads && t->mtp_layers == 1);
    assert_true(t->layer_kinds[0] == QW_LAYER_DELTA && t->layer_kinds[1] == QW_LAYER_ATTENTION && t->n_attention_layers == 1);
    assert_true(m.has_mtp && m.has_vision);
    const qw_vision_config *v = &m.config.vision;
    assert_true(v->depth == 1 && v->hidden_size == MADE_D && v->n_heads == 1 && v->intermediate_size == 16 && v->out_hidden_size == MADE_H);
    assert_true(v->patch_size == 2 && v->temporal_patch_size == 2 && v->merge_size == 2 && v->in_channels == 3 && v->n_positions == 16);
    assert_true(v->layer_norm_eps == 1e-6 && v->rope_theta == 10000);
    const qw_processor_config *p = &m.config.processor;
    assert_true(p->min_pixels == 65536 && p->max_pixels == 16777216 && p->sizes_assumed && p->mean[2] == 0.5 && p->std[0] == 0.5);
    assert_true(m.config.image_token == 6 && m.config.video_token == 7 && m.config.vision_start_token == 4 &&
                m.config.vision_end_token == 5);
    assert_true(m.config.n_eos == 1 && m.config.eos[0] == 3);
    const qw_generation_config *g = &m.config.generation;
    assert_true(g->temperature == 0.5 && g->top_k == 7 && isnan(g->top_p) && isnan(g->min_p) && g->do_sample);
    qw_model_deinit(&m);
}

static void add_output(gguf_maker *m) { add_floats(m, "output.weight", MADE_V, MADE_H); }
static void add_own_embedding(gguf_maker *m) { add_floats(m, "blk.2.nextn.embed_tokens.weight", MADE_V, MADE_H); }
static void add_ends(gguf_maker *m)
{
    set_u32(m, "tokenizer.ggml.eot_token_id", 3);
    set_u32(m, "tokenizer.ggml.eom_token_id", 5);
}

static void kinds_of_models(void **state)
{
    (void)state;
    qw_model m;
    write_model("qwen35.attention.recurrent_layers", add_output); /* the interval decides */
    write_tower(NULL, NULL);
    open_good(&m);
    assert_true(!m.config.text.tied_embeddings && m.config.text.layer_kinds[1] == QW_LAYER_ATTENTION);
    assert_ptr_not_equal(m.text.head.data, m.text.embed.data);
    qw_model_deinit(&m);
    write_model(NULL, add_own_embedding); /* an MTP head that qwren does not compute is left alone */
    open_good(&m);
    assert_false(m.has_mtp);
    qw_model_deinit(&m);
    write_model("general.sampling.temp", add_ends);
    open_good(&m);
    assert_true(m.config.n_eos == 2 && m.config.eos[1] == 5 && isnan(m.config.generation.temperature));
    qw_model_deinit(&m);
}

static void add_yarn(gguf_maker *m)
{
    set_text(m, "qwen35.rope.scaling.type", "yarn");
    set_f32(m, "qwen35.rope.scaling.factor", 4);
    set_u32(m, "qwen35.rope.scaling.original_context_length", 256);
}
static void add_more_yarn(gguf_maker *m)
{
    set_text(m, "qwen35.rope.scaling.type", "yarn");
    set_f32(m, "qwen35.rope.scaling.factor", 2);
    set_f32(m, "qwen35.rope.scaling.yarn_attn_factor", 1.5F);
    set_f32(m, "qwen35.rope.scaling.yarn_beta_fast", 16);
    set_f32(m, "qwen35.rope.scaling.yarn_beta_slow", 2);
}
static void add_linear(gguf_maker *m) { set_text(m, "qwen35.rope.scaling.type", "linear"); }
static void add_yarn_alone(gguf_maker *m) { set_text(m, "qwen35.rope.scaling.type", "yarn"); }
static void add_wrong_yarn(gguf_maker *m)
{
    add_yarn(m);
    set_f32(m, "qwen35.rope.scaling.yarn_beta_fast", 0.5F);
}

/* As llama.cpp's converter writes it. */
static void positions_are_stretched(void **state)
{
    (void)state;
    qw_model m;
    write_tower(NULL, NULL);
    write_model(NULL, add_yarn);
    open_good(&m);
    const qw_yarn *y = &m.config.text.yarn;
    assert_true(y->factor == 4 && y->original == 256 && y->beta_fast == 32 && y->beta_slow == 1 && y->attention == 0);
    assert_true(m.config.text.max_positions == 1024 && m.text.rope_scale > 1.13 && m.text.rope_scale < 1.14);
    qw_model_deinit(&m);
    write_model(NULL, add_more_yarn);
    open_good(&m);
    assert_true(y->factor == 2 && y->original == 512 && y->beta_fast == 16 && y->beta_slow == 2 && y->attention == 1.5);
    assert_true(m.config.text.max_positions == 1024 && m.text.rope_scale == 1.5);
    qw_model_deinit(&m);
    write_model(NULL, add_linear);
    refused(QWREN_E_UNSUPPORTED, "rope.scaling.type is linear; supported are none and yarn");
    write_model(NULL, add_yarn_alone);
    refused(QWREN_E_FORMAT, "rope.scaling.factor is missing");
    write_model(NULL, add_wrong_yarn);
    refused(QWREN_E_FORMAT, "it must not be less than yarn_beta_slow, which is 1");
    write_model(NULL, NULL);
}

/* A number in each place of the two taps, which are the first tensors of the file: place, and 1000 more in the second. */
static void number_taps(gguf_maker *m)
{
    const size_t n = 2 * 2 * 3 * MADE_D;
    float *p = (float *)(void *)m->data.data;
    for (size_t i = 0; i < n; i++) {
        p[i] = (float)i;
        p[n + i] = 1000.0F + (float)i;
    }
}

/* Frames become neighbours: [D, C, P, P] twice -> [D, C, 2, P, P]. Stills could not tell the frames apart. */
static void taps_are_joined(void **state)
{
    (void)state;
    qw_model m;
    write_model(NULL, NULL);
    write_tower(NULL, number_taps);
    open_good(&m);
    const qw_matrix *k = &m.vision.patch;
    const float *p = k->data;
    assert_true(k->type == QW_TYPE_F32 && k->rows == MADE_D && k->cols == 3 * 2 * 4);
    for (size_t i = 0; i < 3 * MADE_D; i++)
        for (size_t at = 0; at < 4; at++) {
            assert_true(p[(2 * i) * 4 + at] == (float)(i * 4 + at));
            assert_true(p[(2 * i + 1) * 4 + at] == 1000.0F + (float)(i * 4 + at));
        }
    qw_model_deinit(&m);
}

/* ---- wrong ones: each setting is replaced by another value, or is missing */

static const char *spoilt_key;
static uint32_t spoilt_value;
static void set_spoilt(gguf_maker *m) { set_u32(m, spoilt_key, spoilt_value); }

static void refuse_value(bool tower, const char *key, uint32_t value, qwren_status status, const char *word)
{
    spoilt_key = key;
    spoilt_value = value;
    write_model(tower ? NULL : key, tower ? NULL : set_spoilt);
    write_tower(tower ? key : NULL, tower ? set_spoilt : NULL);
    refused(status, word);
}

static void wrong_sizes(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        qwren_status status;
        const char *word;
    } cases[] = {
        { "qwen35.embedding_length", 0, QWREN_E_FORMAT, "qwen35.embedding_length is 0; a whole number from 1 to 65536" },
        { "qwen35.embedding_length", 64, QWREN_E_FORMAT, "projection_dim is 32" },
        { "qwen35.feed_forward_length", 32, QWREN_E_FORMAT, "has the shape [64, 32], the GGUF header makes it [32, 32]" },
        { "qwen35.feed_forward_length", 1U << 31, QWREN_E_FORMAT, "qwen35.feed_forward_length is 2147483648" },
        { "qwen35.context_length", 0, QWREN_E_FORMAT, "qwen35.context_length is 0" },
        { "qwen35.block_count", 1, QWREN_E_FORMAT, "qwen35.block_count is 1; a whole number from 2 to" },
        { "qwen35.block_count", 300, QWREN_E_FORMAT, "qwen35.block_count is 300" },
        { "qwen35.block_count", 2, QWREN_E_FORMAT, "recurrent_layers is a list of 3; a list of 2 truths" },
        { "qwen35.nextn_predict_layers", 2, QWREN_E_FORMAT, "qwen35.nextn_predict_layers is 2" },
        { "qwen35.attention.head_count", 5000, QWREN_E_FORMAT, "qwen35.attention.head_count is 5000" },
        { "qwen35.attention.head_count_kv", 0, QWREN_E_FORMAT, "qwen35.attention.head_count_kv is 0" },
        { "qwen35.attention.head_count_kv", 3, QWREN_E_FORMAT, "head_count_kv is 3; it must divide" },
        { "qwen35.attention.key_length", 1, QWREN_E_FORMAT, "qwen35.attention.key_length is 1" },
        { "qwen35.attention.value_length", 8, QWREN_E_UNSUPPORTED, "qwen35.attention.value_length is 8; supported is 16" },
        { "qwen35.ssm.group_count", 3, QWREN_E_FORMAT, "ssm.group_count is 3; it must divide" },
        { "qwen35.ssm.time_step_rank", 0, QWREN_E_FORMAT, "ssm.time_step_rank is 0" },
        { "qwen35.ssm.state_size", 8, QWREN_E_UNSUPPORTED, "ssm.inner_size is 32; supported is 16" },
        { "qwen35.ssm.inner_size", 64, QWREN_E_UNSUPPORTED, "ssm.inner_size is 64; supported is 32" },
        { "qwen35.ssm.conv_kernel", 1, QWREN_E_FORMAT, "ssm.conv_kernel is 1" },
        { "qwen35.full_attention_interval", 0, QWREN_E_FORMAT, "full_attention_interval is 0" },
        { "qwen35.attention.recurrent_layers", 1, QWREN_E_FORMAT, "recurrent_layers is 1; a list of 3 truths" },
        { "qwen35.rope.dimension_count", 7, QWREN_E_FORMAT, "rope.dimension_count is 7; an even number" },
        { "qwen35.rope.dimension_count", 32, QWREN_E_FORMAT, "rope.dimension_count is 32" },
        { "qwen35.rope.dimension_count", 16, QWREN_E_FORMAT,
          "rope.dimension_sections is a list of 4; three numbers of pairs, and 0, are needed whose sum is 8" },
        { "qwen35.rope.freq_base", 0, QWREN_E_FORMAT, "rope.freq_base is 0" },
        { "qwen35.attention.layer_norm_rms_epsilon", 1, QWREN_E_FORMAT, "layer_norm_rms_epsilon is 1" },
        { "qwen35.rope.scaling.type", 1, QWREN_E_UNSUPPORTED, "rope.scaling.type is 1; supported are none and yarn" },
        { "qwen35.rope.scaling.factor", 4, QWREN_E_UNSUPPORTED, "rope.scaling.factor is 4; supported is 1" },
        { "qwen35.rope.scaling.yarn_ext_factor", 2, QWREN_E_UNSUPPORTED, "yarn_ext_factor is 2; supported is 1" },
        { "qwen35.rope.scaling.yarn_log_multiplier", 1, QWREN_E_UNSUPPORTED, "yarn_log_multiplier is 1; supported is 0" },
        { "qwen35.rope.scale_linear", 4, QWREN_E_UNSUPPORTED, "rope.scale_linear is 4; supported is 1" },
        { "qwen35.logit_scale", 2, QWREN_E_UNSUPPORTED, "logit_scale is 2; supported is 0" },
        { "qwen35.final_logit_softcapping", 30, QWREN_E_UNSUPPORTED, "final_logit_softcapping is 30; supported is 0" },
        { "qwen35.attention.scale", 1, QWREN_E_UNSUPPORTED, "attention.scale is 1; supported is 0" },
        { "qwen35.attention.causal", 0, QWREN_E_UNSUPPORTED, "attention.causal is 0; supported is true" },
        { "qwen35.expert_count", 8, QWREN_E_UNSUPPORTED, "expert_count is 8; supported is 0" },
        { "tokenizer.ggml.eos_token_id", MADE_V, QWREN_E_FORMAT, "tokenizer.ggml.eos_token_id is 24; a whole number from 0 to 23" },
        { "general.sampling.temp", 1000, QWREN_E_FORMAT, "general.sampling.temp is 1000" },
        { "general.architecture", 7, QWREN_E_UNSUPPORTED, "general.architecture is 7; supported is qwen35" },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        refuse_value(false, cases[i].key, cases[i].value, cases[i].status, cases[i].word);
}

static void wrong_towers(void **state)
{
    (void)state;
    static const struct {
        const char *key;
        uint32_t value;
        qwren_status status;
        const char *word;
    } cases[] = {
        { "clip.vision.block_count", 0, QWREN_E_FORMAT, "clip.vision.block_count is 0" },
        { "clip.vision.block_count", 2, QWREN_E_FORMAT, "visual.blocks.1" },
        { "clip.vision.embedding_length", 1, QWREN_E_FORMAT, "clip.vision.embedding_length is 1" },
        { "clip.vision.attention.head_count", 3, QWREN_E_FORMAT, "clip.vision.attention.head_count is 3; heads must share" },
        { "clip.vision.feed_forward_length", 0, QWREN_E_FORMAT, "clip.vision.feed_forward_length is 0" },
        { "clip.vision.projection_dim", 64, QWREN_E_FORMAT,
          "clip.vision.projection_dim is 64; it must be the embedding_length of the model, 32" },
        { "clip.vision.patch_size", 3, QWREN_E_FORMAT, "clip.vision.image_size is 8" },
        { "clip.vision.image_size", 16, QWREN_E_FORMAT, "clip.vision.image_size is 16" },
        { "clip.vision.image_size", 1U << 20, QWREN_E_FORMAT, "clip.vision.image_size is 1048576" },
        { "clip.vision.spatial_merge_size", 1, QWREN_E_FORMAT, "clip.vision.spatial_merge_size is 1" },
        { "clip.vision.image_mean", 1, QWREN_E_FORMAT, "clip.vision.image_mean is 1; three numbers" },
        { "clip.vision.image_std", 1, QWREN_E_FORMAT, "clip.vision.image_std is 1; three numbers" },
        { "clip.vision.is_deepstack_layers", 1, QWREN_E_UNSUPPORTED, "clip.vision.is_deepstack_layers is 1; towers with deepstack" },
        { "clip.vision.image_min_pixels", 1U << 25, QWREN_E_FORMAT, "clip.vision.image_min_pixels is 33554432; it is larger" },
        { "clip.use_gelu", 0, QWREN_E_UNSUPPORTED, "clip.use_gelu is 0; supported is true" },
        { "clip.has_vision_encoder", 0, QWREN_E_UNSUPPORTED, "clip.has_vision_encoder is 0; supported is true" },
        { "clip.projector_type", 1, QWREN_E_UNSUPPORTED, "clip.projector_type is 1; supported is qwen3vl_merger" },
        { "general.architecture", 1, QWREN_E_UNSUPPORTED, "general.architecture is 1; the file of an image tower (mmproj) says clip" },
    };
    for (size_t i = 0; i < COUNT(cases); i++)
        refuse_value(true, cases[i].key, cases[i].value, cases[i].status, cases[i].word);
}

static void missing_settings(void **state)
{
    (void)state;
    static const char *const needed[] = {
        "general.architecture",        "qwen35.block_count",     "qwen35.context_length",       "qwen35.embedding_length",
        "qwen35.feed_forward_length",  "qwen35.ssm.conv_kernel", "qwen35.attention.head_count", "qwen35.attention.head_count_kv",
        "qwen35.attention.key_length", "qwen35.rope.freq_base",  "qwen35.rope.dimension_count", "qwen35.rope.dimension_sections",
        "qwen35.ssm.state_size",       "qwen35.ssm.group_count", "qwen35.ssm.time_step_rank",   "qwen35.attention.layer_norm_rms_epsilon",
    };
    static const char *const needed_tower[] = { "clip.projector_type",        "clip.vision.block_count", "clip.vision.embedding_length",
                                                "clip.vision.projection_dim", "clip.vision.patch_size",  "clip.vision.image_size" };
    char word[96];
    for (size_t i = 0; i < COUNT(needed); i++) {
        write_model(needed[i], NULL);
        write_tower(NULL, NULL);
        snprintf(word, sizeof word, "%s is missing", needed[i]);
        refused(i ? QWREN_E_FORMAT : QWREN_E_UNSUPPORTED, word);
    }
    write_model(NULL, NULL);
    for (size_t i = 0; i < COUNT(needed_tower); i++) {
        write_tower(needed_tower[i], NULL);
        snprintf(word, sizeof word, "%s is missing", needed_tower[i]);
        refused(i ? QWREN_E_FORMAT : QWREN_E_UNSUPPORTED, word);
    }
    write_tower(NULL, NULL);
    write_model("tokenizer.ggml.tokens", NULL);
    refused(QWREN_E_FORMAT, "has no token <|image_pad|>");
}

static void set_arch(gguf_maker *m) { set_text(m, "general.architecture", spoilt_key); }
static void set_projector(gguf_maker *m) { set_text(m, "clip.projector_type", spoilt_key); }
static void set_vision_projector(gguf_maker *m) { set_text(m, "clip.vision.projector_type", spoilt_key); }
static void set_deepstack(gguf_maker *m) { set_list(m, "clip.vision.is_deepstack_layers", QW_GGUF_BOOL, 1, "\1", 1); }
static void set_recurrent_mtp(gguf_maker *m) { set_list(m, "qwen35.attention.recurrent_layers", QW_GGUF_BOOL, 3, "\1\0\1", 3); }
static void add_iq2(gguf_maker *m)
{
    add_entry(m, "output.weight", 2, (uint64_t[]){ 256, 1 }, 16, m->data.len);
    add_data(m, 66);
}
static void add_foreign(gguf_maker *m) { add_floats(m, spoilt_key, 0, MADE_H); }
static void add_own_head(gguf_maker *m) { add_floats(m, "blk.2.nextn.shared_head_head.weight", MADE_V, MADE_H); }

/* Everything that a file has and no layer reads would have changed the answer. */
static void foreign_tensors(void **state)
{
    (void)state;
    static const char *const names[] = { "blk.1.attn_q.bias",  "blk.1.attn_q.scale",       "rope_freqs.weight",  "blk.01.attn_norm.weight",
                                         "blk.2.nextn.x.bias", "blk.0.nextn.enorm.weight", "v.blk.0.ln1.weight", "something" };
    char word[96];
    for (size_t i = 0; i < COUNT(names); i++) {
        spoilt_key = names[i];
        write_model(NULL, add_foreign);
        snprintf(word, sizeof word, "model.gguf: tensor %s is not of this model", names[i]);
        refused(QWREN_E_UNSUPPORTED, word);
    }
    write_model(NULL, add_own_head);
    qw_model m;
    open_good(&m);
    assert_false(m.has_mtp);
    qw_model_deinit(&m);
    write_model(NULL, NULL);
    spoilt_key = "v.deepstack.0.fc1.weight";
    write_tower(NULL, add_foreign);
    refused(QWREN_E_UNSUPPORTED, "mmproj.gguf: tensor v.deepstack.0.fc1.weight is not of this model");
    spoilt_key = "a.audio.weight";
    write_tower(NULL, add_foreign);
    open_good(&m);
    qw_model_deinit(&m);
    write_tower(NULL, NULL);
    write_model("qwen35.nextn_predict_layers", NULL);
    refused(QWREN_E_FORMAT, "is of an MTP head, but qwen35.nextn_predict_layers is missing");
}

static void add_second(gguf_maker *m) { add_floats(m, "output_norm.weight", 0, MADE_H); }
static void add_surplus(gguf_maker *m) { add_floats(m, "blk.3.attn_norm.weight", 0, MADE_H); }
static void add_surplus_block(gguf_maker *m) { add_floats(m, "v.blk.1.ln1.weight", 0, MADE_D); }

static void other_models_are_named(void **state)
{
    (void)state;
    static const char *const archs[] = { "qwen3", "qwen35moe", "llama" }, *const projectors[] = { "gemma3", "qwen2.5vl_merger" };
    for (size_t i = 0; i < COUNT(archs); i++) {
        spoilt_key = archs[i];
        write_model("general.architecture", set_arch);
        refused(QWREN_E_UNSUPPORTED, archs[i]);
    }
    spoilt_key = "clip";
    write_model("general.architecture", set_arch);
    refused(QWREN_E_UNSUPPORTED, "is the image tower of a model");
    write_model(NULL, NULL);
    for (size_t i = 0; i < COUNT(projectors); i++) {
        spoilt_key = projectors[i];
        write_tower("clip.projector_type", set_projector);
        refused(QWREN_E_UNSUPPORTED, projectors[i]);
        write_tower(NULL, set_vision_projector);
        refused(QWREN_E_UNSUPPORTED, "clip.vision.projector_type");
    }
    write_tower("clip.vision.is_deepstack_layers", set_deepstack);
    refused(QWREN_E_UNSUPPORTED, "deepstack");
    write_tower(NULL, add_surplus_block);
    refused(QWREN_E_FORMAT, "v.blk.1.ln1.weight is of a block that the GGUF header does not have");
    write_tower(NULL, NULL);
    write_model("qwen35.attention.recurrent_layers", set_recurrent_mtp);
    refused(QWREN_E_FORMAT, "the MTP head's false");
    write_model(NULL, add_iq2);
    refused(QWREN_E_UNSUPPORTED, "tensor output.weight is IQ2_XXS; supported are F32, F16, BF16");
    write_model(NULL, add_second);
    refused(QWREN_E_FORMAT, "are the same tensor");
    write_model(NULL, add_surplus);
    refused(QWREN_E_FORMAT, "blk.3.attn_norm.weight is of a layer that");
}

/* A_log itself, where -exp(A_log) belongs. */
static void rates_that_grow(void **state)
{
    (void)state;
    const float wrong[] = { 0, 0.5F, NAN };
    write_tower(NULL, NULL);
    for (size_t i = 0; i < COUNT(wrong); i++) {
        decay = wrong[i];
        write_model(NULL, NULL);
        refused(QWREN_E_FORMAT, "model.gguf: tensor blk.0.ssm_a holds ");
    }
    decay = -1;
}

/* ---- memory */

static qwren_status open_and_close(void *ctx, qwren_error *err)
{
    qw_model m;
    (void)ctx;
    qwren_status st = open_model(&m, err);
    if (st == QWREN_OK)
        qw_model_deinit(&m);
    return st;
}

static void short_memory(void **state)
{
    (void)state;
    write_model(NULL, NULL);
    write_tower(NULL, NULL);
    fault_install();
    assert_true(fault_try_all(open_and_close, NULL, 1) > 20);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(taps_are_joined),  cmocka_unit_test(a_whole_model),
        cmocka_unit_test(kinds_of_models),  cmocka_unit_test(positions_are_stretched),
        cmocka_unit_test(wrong_sizes),      cmocka_unit_test(wrong_towers),
        cmocka_unit_test(missing_settings), cmocka_unit_test(other_models_are_named),
        cmocka_unit_test(foreign_tensors),  cmocka_unit_test(rates_that_grow),
        cmocka_unit_test(short_memory),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
