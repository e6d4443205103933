/* model/config*.c: the published configurations with their exact values, every key turned into something else, and the three files against each other. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "model/config.h"
#include "support/fault.h"

/* ---- a folder for one test */

static char folder[] = "/tmp/qwren-test-XXXXXX";
static const char *const file_names[] = { "config.json", "preprocessor_config.json", "processor_config.json", "generation_config.json" };
enum { CONFIG, PREPROCESSOR, PROCESSOR, GENERATION, N_FILES };

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static const char *path_of(int file)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", folder, file_names[file]);
    return path;
}

static int remove_folder(void **state)
{
    (void)state;
    for (int i = 0; i < N_FILES; i++)
        remove(path_of(i));
    return rmdir(folder);
}

static void put(int file, const char *text)
{
    FILE *f = fopen(path_of(file), "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

static void read_good(qw_config *c, const char *dir, const char *what)
{
    qwren_error err;
    if (qw_config_read(c, dir, &err) != QWREN_OK)
        fail_msg("%s: %s", what, err.text);
}

/* The message must hold both texts: the key with its section, and the value or what is supported. */
static void expect_refusal(const char *what, qwren_status want, const char *says, const char *also)
{
    qw_config c;
    qwren_error err = { QWREN_OK, "" };
    qwren_status st = qw_config_read(&c, folder, &err);
    if (st != want || err.code != want || !strstr(err.text, says) || !strstr(err.text, also))
        fail_msg("%s: %s \"%s\", wanted %s \"%s\" \"%s\"", what, qwren_status_name(st), err.text, qwren_status_name(want), says, also);
}

/* ---- a small valid model */

static const char base[] =
    "{\"architectures\":[\"Qwen3_5ForConditionalGeneration\"],\"model_type\":\"qwen3_5\",\"tie_word_embeddings\":true,"
    "\"image_token_id\":90,\"video_token_id\":91,\"vision_start_token_id\":92,\"vision_end_token_id\":93,\"eos_token_id\":94,"
    "\"text_config\":{\"model_type\":\"qwen3_5_text\",\"hidden_size\":64,\"intermediate_size\":128,\"num_hidden_layers\":4,"
    "\"vocab_size\":100,\"max_position_embeddings\":4096,\"num_attention_heads\":6,\"num_key_value_heads\":2,\"head_dim\":32,"
    "\"linear_num_key_heads\":2,\"linear_num_value_heads\":4,\"linear_key_head_dim\":16,\"linear_value_head_dim\":24,"
    "\"linear_conv_kernel_dim\":4,\"rms_norm_eps\":1e-06,\"hidden_act\":\"silu\",\"attention_bias\":false,"
    "\"attn_output_gate\":true,\"full_attention_interval\":2,\"mamba_ssm_dtype\":\"float32\",\"mtp_num_hidden_layers\":1,"
    "\"mtp_use_dedicated_embeddings\":false,\"text_tie\":true,\"text_eos\":95,"
    "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":10000000,\"partial_rotary_factor\":0.5,"
    "\"mrope_section\":[3,3,2],\"mrope_interleaved\":true}},"
    "\"vision_config\":{\"depth\":2,\"hidden_size\":48,\"num_heads\":4,\"vision_inner\":0,\"intermediate_size\":96,"
    "\"out_hidden_size\":64,\"patch_size\":14,\"temporal_patch_size\":2,\"spatial_merge_size\":2,\"in_channels\":3,"
    "\"num_position_embeddings\":49,\"hidden_act\":\"gelu_pytorch_tanh\",\"deepstack_visual_indexes\":[],"
    "\"rope_parameters\":{\"rope_type\":\"axial\",\"rope_theta\":500.0}}}";

/* The small model with the first `find` replaced, as config.json. */
static void put_changed(const char *find, const char *replace)
{
    static char text[1 << 16];
    const char *at = strstr(base, find);
    if (!at)
        fail_msg("the small model holds no %s", find);
    snprintf(text, sizeof text, "%.*s%s%s", (int)(at - base), base, replace, at + strlen(find));
    put(CONFIG, text);
}

static void test_small(void **state)
{
    (void)state;
    qw_config c;
    put(CONFIG, base);
    read_good(&c, folder, "the small model");
    const qw_text_config *t = &c.text;
    const qw_vision_config *v = &c.vision;
    assert_string_equal(c.architecture, "Qwen3_5ForConditionalGeneration");
    assert_string_equal(qw_config_size_name(&c), "custom");
    const int text[] = { t->hidden_size,      t->intermediate_size, t->n_layers,           t->vocab_size,
                         t->max_positions,    t->n_heads,           t->n_kv_heads,         t->head_dim,
                         t->rotary_dim,       t->linear_key_heads,  t->linear_value_heads, t->linear_key_dim,
                         t->linear_value_dim, t->conv_kernel,       t->mtp_layers,         t->n_attention_layers,
                         t->n_delta_layers };
    const int text_wanted[] = { 64, 128, 4, 100, 4096, 6, 2, 32, 16, 2, 4, 16, 24, 4, 1, 2, 2 };
    assert_memory_equal(text, text_wanted, sizeof text);
    assert_memory_equal(t->mrope_section, ((int[]){ 3, 3, 2 }), sizeof t->mrope_section);
    assert_true(t->rope_theta == 1e7 && t->rms_eps == 1e-6 && t->tied_embeddings);
    assert_int_equal(t->layer_kinds[0], QW_LAYER_DELTA);
    assert_int_equal(t->layer_kinds[1], QW_LAYER_ATTENTION);
    assert_int_equal(t->layer_kinds[3], QW_LAYER_ATTENTION);
    const int vision[] = { v->present,           v->depth,           v->hidden_size, v->n_heads,
                           v->intermediate_size, v->out_hidden_size, v->patch_size,  v->temporal_patch_size,
                           v->merge_size,        v->in_channels,     v->n_positions };
    const int vision_wanted[] = { 1, 2, 48, 4, 96, 64, 14, 2, 2, 3, 49 };
    assert_memory_equal(vision, vision_wanted, sizeof vision);
    assert_true(v->rope_theta == 500 && v->layer_norm_eps == 1e-6);
    const int32_t tokens[] = { c.image_token, c.video_token, c.vision_start_token, c.vision_end_token, c.n_eos, c.eos[0] };
    assert_memory_equal(tokens, ((int32_t[]){ 90, 91, 92, 93, 1, 94 }), sizeof tokens);
}

/* ---- the published models */

static void test_published(void **state)
{
    (void)state;
    static const struct {
        const char *file, *size;
        int hidden, inner, layers, heads, kv, linear_values, tied, depth, width, vision_heads, vision_inner;
    } rows[] = {
        { "0.8b.json", "0.8B", 1024, 3584, 24, 8, 2, 16, 1, 12, 768, 12, 3072 },
        { "2b.json", "2B", 2048, 6144, 24, 8, 2, 16, 1, 24, 1024, 16, 4096 },
        { "4b.json", "4B", 2560, 9216, 32, 16, 4, 32, 1, 24, 1024, 16, 4096 },
        { "9b.json", "9B", 4096, 12288, 32, 16, 4, 32, 0, 27, 1152, 16, 4304 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qw_config c;
        qwren_error err;
        char path[1024], *text;
        size_t len;
        snprintf(path, sizeof path, "%s/config/%s", QW_TEST_DATA, rows[i].file);
        assert_int_equal(qw_file_read(path, SIZE_MAX / 2, &text, &len, &err), QWREN_OK);
        put(CONFIG, text);
        qw_free(text);
        read_good(&c, folder, rows[i].file);
        const qw_text_config *t = &c.text;
        const qw_vision_config *v = &c.vision;
        assert_string_equal(qw_config_size_name(&c), rows[i].size);
        const int got[] = { t->hidden_size,        t->intermediate_size, t->n_layers, t->n_heads,     t->n_kv_heads,
                            t->linear_value_heads, t->tied_embeddings,   v->depth,    v->hidden_size, v->n_heads,
                            v->intermediate_size };
        assert_memory_equal(got, &rows[i].hidden, sizeof got);
        const int same[] = { t->vocab_size,       t->max_positions,    t->head_dim,         t->rotary_dim,     t->mrope_section[0],
                             t->mrope_section[1], t->mrope_section[2], t->linear_key_heads, t->linear_key_dim, t->linear_value_dim,
                             t->conv_kernel,      t->mtp_layers,       v->present,          v->patch_size,     v->temporal_patch_size,
                             v->merge_size,       v->in_channels,      v->n_positions };
        const int wanted[] = { 248320, 262144, 256, 64, 11, 11, 10, 16, 128, 128, 4, 1, 1, 16, 2, 2, 3, 2304 };
        assert_memory_equal(same, wanted, sizeof same);
        assert_true(t->rope_theta == 1e7 && t->rms_eps == 1e-6 && v->rope_theta == 10000 && v->layer_norm_eps == 1e-6);
        assert_int_equal(v->out_hidden_size, t->hidden_size);
        assert_int_equal(t->n_attention_layers, t->n_layers / 4);
        assert_int_equal(t->n_delta_layers, t->n_layers - t->n_layers / 4);
        for (int k = 0; k < t->n_layers; k++)
            assert_int_equal(t->layer_kinds[k], k % 4 == 3 ? QW_LAYER_ATTENTION : QW_LAYER_DELTA);
        const int32_t tokens[] = { c.image_token, c.video_token, c.vision_start_token, c.vision_end_token, c.n_eos, c.eos[0] };
        assert_memory_equal(tokens, ((int32_t[]){ 248056, 248057, 248053, 248054, 1, 248044 }), sizeof tokens);
    }
}

static void test_stored(void **state)
{
    (void)state;
    qw_config c;
    read_good(&c, QW_TEST_DATA "/text/tiny-a/hf", "tiny-a");
    assert_int_equal(c.text.rotary_dim, 16);
    assert_true(c.vision.present && c.text.tied_embeddings);
    read_good(&c, QW_TEST_DATA "/text/tiny-c/hf", "tiny-c");
    assert_string_equal(c.architecture, "Qwen3_5ForCausalLM");
    assert_false(c.vision.present);
    assert_false(c.text.tied_embeddings);
    assert_int_equal(c.image_token, -1);
    assert_memory_equal(c.text.mrope_section, ((int[]){ 2, 1, 1 }), sizeof c.text.mrope_section);
    read_good(&c, QW_MODELS "/qwren-nano", "qwren-nano");
    assert_memory_equal(c.eos, ((int32_t[]){ 4098, 4096 }), 8);
    assert_int_equal(c.n_eos, 2);
    assert_int_equal(c.processor.min_pixels, 9216);
    assert_false(c.generation.do_sample);
    assert_true(isnan(c.generation.temperature) && isnan(c.generation.top_p) && c.generation.top_k == -1);
}

/* ---- other ways to say it */

static const struct variant {
    const char *what, *find, *replace;
    int rotary_dim, n_attention, tied, n_eos;
    double theta;
} variants[] = {
    { "no architectures", "\"architectures\":[\"Qwen3_5ForConditionalGeneration\"],", "", 16, 2, 1, 1, 1e7 },
    { "two architectures", "[\"Qwen3_5", "[\"Something\",\"Qwen3_5", 16, 2, 1, 1, 1e7 },
    { "keys that nobody knows", "{\"arch", "{\"new_key\":{\"a\":[1,2,{}]},\"arch", 16, 2, 1, 1, 1e7 },
    { "nulls", "\"full_attention_interval\":2",
      "\"full_attention_interval\":2,\"layer_types\":null,\"rope_scaling\":null,\"num_experts\":null", 16, 2, 1, 1, 1e7 },
    { "no interval", "\"full_attention_interval\":2,", "", 16, 1, 1, 1, 1e7 },
    { "interval 1", "\"full_attention_interval\":2", "\"full_attention_interval\":1", 16, 4, 1, 1, 1e7 },
    { "a list of kinds wins", "\"full_attention_interval\":2",
      "\"full_attention_interval\":2,\"layer_types\":[\"full_attention\",\"linear_attention\",\"linear_attention\",\"linear_attention\"]",
      16, 1, 1, 1, 1e7 },
    { "rope_scaling", "\"rope_parameters\":{\"rope_type\"", "\"rope_scaling\":{\"type\"", 16, 2, 1, 1, 1e7 },
    { "rope_type mrope", "\"rope_type\":\"default\"", "\"rope_type\":\"mrope\"", 16, 2, 1, 1, 1e7 },
    { "theta beside the block",
      "\"rope_theta\":10000000,\"partial_rotary_factor\":0.5,\"mrope_section\":[3,3,2],\"mrope_interleaved\":true}",
      "\"mrope_section\":[3,3,2]},\"rope_theta\":5e5,\"partial_rotary_factor\":0.5", 16, 2, 1, 1, 5e5 },
    { "the block goes first", "\"rope_parameters\":{", "\"rope_theta\":7.0,\"partial_rotary_factor\":1.0,\"rope_parameters\":{", 16, 2, 1,
      1, 1e7 },
    { "flat",
      "\"rope_parameters\":{\"rope_type\":\"default\",\"rope_theta\":10000000,\"partial_rotary_factor\":0.5,\"mrope_section\":[3,3,2],"
      "\"mrope_interleaved\":true}",
      "\"rope_theta\":20,\"partial_rotary_factor\":0.5,\"mrope_section\":[8,0,0]", 16, 2, 1, 1, 20 },
    { "a quarter without being told", "\"partial_rotary_factor\":0.5,\"mrope_section\":[3,3,2]", "\"mrope_section\":[2,1,1]", 8, 2, 1, 1,
      1e7 },
    { "a whole head", "0.5,\"mrope_section\":[3,3,2]", "1,\"mrope_section\":[6,5,5]", 32, 2, 1, 1, 1e7 },
    { "tied inside too", "\"text_tie\":true", "\"tie_word_embeddings\":true", 16, 2, 1, 1, 1e7 },
    { "tied nowhere", "\"tie_word_embeddings\":true,", "", 16, 2, 0, 1, 1e7 },
    { "untied", "\"tie_word_embeddings\":true", "\"tie_word_embeddings\":false", 16, 2, 0, 1, 1e7 },
    { "a list of ends", "\"eos_token_id\":94", "\"eos_token_id\":[94,0,94,99]", 16, 2, 1, 3, 1e7 },
    { "no end", "\"eos_token_id\":94", "\"eos_token_id\":null", 16, 2, 1, 0, 1e7 },
    { "ends of both", "\"text_eos\":95", "\"eos_token_id\":[95,94]", 16, 2, 1, 2, 1e7 },
    { "no video token", "\"video_token_id\":91,", "", 16, 2, 1, 1, 1e7 },
    { "default epsilon", "\"rms_norm_eps\":1e-06,", "", 16, 2, 1, 1, 1e7 },
    { "no tower", "\"vision_config\":{", "\"other_config\":{", 16, 2, 1, 1, 1e7 },
};

static void test_variants(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof variants / sizeof variants[0]; i++) {
        const struct variant *v = &variants[i];
        qw_config c;
        put_changed(v->find, v->replace);
        read_good(&c, folder, v->what);
        if (c.text.rotary_dim != v->rotary_dim || c.text.n_attention_layers != v->n_attention || c.text.tied_embeddings != v->tied ||
            c.n_eos != v->n_eos || c.text.rope_theta != v->theta)
            fail_msg("%s: rotary %d, attention layers %d, tied %d, ends %d, theta %g", v->what, c.text.rotary_dim,
                     c.text.n_attention_layers, c.text.tied_embeddings, c.n_eos, c.text.rope_theta);
        assert_int_equal(c.text.mrope_section[0] + c.text.mrope_section[1] + c.text.mrope_section[2], c.text.rotary_dim / 2);
        assert_int_equal(c.text.n_attention_layers + c.text.n_delta_layers, 4);
    }
}

/* YaRN where files put it, and what it makes of the positions, of which the file has 4096. */
static void test_yarn(void **state)
{
    (void)state;
    static const struct {
        const char *what, *find, *replace;
        qw_yarn wanted;
        int max_positions;
    } cases[] = {
        { "none", "\"rope_type\":\"default\"", "\"rope_type\":\"mrope\"", { .factor = 0 }, 4096 },
        { "as the model card has it",
          "\"default\"",
          "\"yarn\",\"factor\":4.0,\"original_max_position_embeddings\":262144",
          { .factor = 4, .original = 262144, .beta_fast = 32, .beta_slow = 1 },
          1048576 },
        { "the file's own positions",
          "\"rope_type\":\"default\"",
          "\"type\":\"yarn\",\"factor\":2,\"beta_fast\":null,\"beta_slow\":0",
          { .factor = 2, .original = 4096, .beta_fast = 32, .beta_slow = 1 },
          8192 },
        { "more than they come to",
          "\"default\"",
          "\"yarn\",\"factor\":1.5,\"original_max_position_embeddings\":1000",
          { .factor = 1.5, .original = 1000, .beta_fast = 32, .beta_slow = 1 },
          4096 },
        { "beside the newer block",
          "\"rope_parameters\":{",
          "\"rope_scaling\":{\"rope_type\":\"yarn\",\"factor\":4,\"truncate\":false},\"rope_parameters\":{",
          { .factor = 4, .original = 4096, .beta_fast = 32, .beta_slow = 1, .fractions = true },
          16384 },
        { "everything",
          "\"default\"",
          "\"yarn\",\"factor\":3,\"beta_fast\":16,\"beta_slow\":2,\"attention_factor\":1.5,\"mscale\":0.7,\"mscale_all_dim\":1",
          { .factor = 3, .original = 4096, .beta_fast = 16, .beta_slow = 2, .attention = 1.5, .mscale = 0.7, .mscale_all_dim = 1 },
          12288 },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qw_config c;
        put_changed(cases[i].find, cases[i].replace);
        read_good(&c, folder, cases[i].what);
        const qw_yarn *y = &c.text.yarn, *w = &cases[i].wanted;
        if (y->factor != w->factor || y->original != w->original || y->beta_fast != w->beta_fast || y->beta_slow != w->beta_slow ||
            y->attention != w->attention || y->mscale != w->mscale || y->mscale_all_dim != w->mscale_all_dim ||
            y->fractions != w->fractions)
            fail_msg("%s: factor %g, original %g, beta %g and %g, attention %g", cases[i].what, y->factor, y->original, y->beta_fast,
                     y->beta_slow, y->attention);
        assert_int_equal(c.text.max_positions, cases[i].max_positions);
        assert_int_equal(c.text.mrope_section[0], 3);
    }
}

/* The option goes before the file's factor, and its own for the attention. */
static void test_stretch(void **state)
{
    (void)state;
    qw_config c;
    qwren_error err = { QWREN_OK, "" };
    put_changed("\"default\"", "\"yarn\",\"factor\":3,\"beta_fast\":16,\"attention_factor\":1.5");
    read_good(&c, folder, "stretch");
    assert_int_equal(qw_text_config_stretch(&c.text, 2, &err), QWREN_OK);
    assert_true(c.text.yarn.factor == 2 && c.text.yarn.attention == 0 && c.text.yarn.beta_fast == 16);
    assert_int_equal(c.text.max_positions, 8192);
    assert_int_equal(qw_text_config_stretch(&c.text, 1, &err), QWREN_OK);
    assert_int_equal(c.text.max_positions, 4096);
    c.text.yarn.original = 16777216;
    assert_int_equal(qw_text_config_stretch(&c.text, 2, &err), QWREN_E_LIMIT);
    c.text.rope_theta = 1;
    assert_int_equal(qw_text_config_stretch(&c.text, 2, &err), QWREN_E_UNSUPPORTED);
}

static void test_tied_inside_only(void **state)
{
    (void)state;
    static char text[sizeof base + 64];
    qw_config c;
    put_changed("\"text_tie\"", "\"tie_word_embeddings\"");
    snprintf(text, sizeof text, "%s", base);
    char *top = strstr(text, "\"tie_word_embeddings\"");
    memcpy(top, "\"xxx", 4);
    memcpy(strstr(text, "\"text_tie\":true"), "\"text_tie\":null", 15);
    put(CONFIG, text);
    read_good(&c, folder, "nowhere");
    assert_false(c.text.tied_embeddings);
    char inside[sizeof text + 32];
    char *at = strstr(text, "\"text_tie\":null");
    snprintf(inside, sizeof inside, "%.*s\"tie_word_embeddings\":true%s", (int)(at - text), text, at + 15);
    put(CONFIG, inside);
    read_good(&c, folder, "inside");
    assert_true(c.text.tied_embeddings);
}

/* ---- what is refused */

#define TEXT "text_config."
#define ROPE "text_config.rope_parameters."
#define VISION "vision_config."

static const struct bad_row {
    const char *find, *replace;
    qwren_status status;
    const char *says, *also;
} bad[] = {
    /* not this model */
    { "Qwen3_5ForConditionalGeneration", "LlamaForCausalLM", QWREN_E_UNSUPPORTED, "architectures is [\"LlamaForCausalLM\"]",
      "supported are Qwen3_5ForConditionalGeneration and Qwen3_5ForCausalLM" },
    { "[\"Qwen3_5ForConditionalGeneration\"]", "[]", QWREN_E_UNSUPPORTED, "architectures is []", "supported" },
    { "[\"Qwen3_5ForConditionalGeneration\"]", "[3]", QWREN_E_UNSUPPORTED, "architectures is [3]", "supported" },
    { "\"model_type\":\"qwen3_5\"", "\"model_type\":\"qwen3_5_moe\"", QWREN_E_UNSUPPORTED, "model_type is \"qwen3_5_moe\"", "\"qwen3_5\"" },
    { "\"model_type\":\"qwen3_5\"", "\"model_type\":5", QWREN_E_UNSUPPORTED, "model_type is 5", "supported" },
    { "qwen3_5_text", "qwen3_next", QWREN_E_UNSUPPORTED, TEXT "model_type is \"qwen3_next\"", "\"qwen3_5_text\"" },
    { "\"text_tie\"", "\"num_experts\":64,\"x\"", QWREN_E_UNSUPPORTED, TEXT "num_experts is 64", "supported is 0" },
    { "\"text_tie\"", "\"num_local_experts\":8,\"x\"", QWREN_E_UNSUPPORTED, TEXT "num_local_experts is 8", "supported is 0" },
    { "\"attention_bias\":false", "\"attention_bias\":true", QWREN_E_UNSUPPORTED, TEXT "attention_bias is true", "supported is false" },
    { "\"attention_bias\":false", "\"attention_bias\":0", QWREN_E_FORMAT, TEXT "attention_bias is 0", "true or false" },
    { "\"attn_output_gate\":true", "\"attn_output_gate\":false", QWREN_E_UNSUPPORTED, TEXT "attn_output_gate is false",
      "supported is true" },
    { "silu", "gelu", QWREN_E_UNSUPPORTED, TEXT "hidden_act is \"gelu\"", "supported is \"silu\"" },
    { "float32", "bfloat16", QWREN_E_UNSUPPORTED, TEXT "mamba_ssm_dtype is \"bfloat16\"", "float32" },
    { "\"mtp_use_dedicated_embeddings\":false", "\"mtp_use_dedicated_embeddings\":true", QWREN_E_UNSUPPORTED, "mtp_use_dedicated",
      "false" },
    { "\"mtp_num_hidden_layers\":1", "\"mtp_num_hidden_layers\":2", QWREN_E_FORMAT, TEXT "mtp_num_hidden_layers is 2", "from 0 to 1" },
    /* sections of the file */
    { "\"text_config\":{", "\"text_config\":[1],\"x\":{", QWREN_E_FORMAT, "text_config is [1]", "an object is needed" },
    { "\"text_config\":{", "\"x\":{", QWREN_E_FORMAT, "config.json: hidden_size is missing", "1 to 65536 is needed" },
    { "\"vision_config\":{", "\"vision_config\":true,\"x\":{", QWREN_E_FORMAT, "vision_config is true", "an object is needed" },
    { "\"rope_parameters\":{", "\"rope_parameters\":\"default\",\"x\":{", QWREN_E_FORMAT, TEXT "rope_parameters is \"default\"", "object" },
    /* sizes */
    { "\"hidden_size\":64", "\"hidden_size\":0", QWREN_E_FORMAT, TEXT "hidden_size is 0", "whole numbers from 1 to 65536" },
    { "\"hidden_size\":64", "\"hidden_size\":-64", QWREN_E_FORMAT, TEXT "hidden_size is -64", "supported" },
    { "\"hidden_size\":64", "\"hidden_size\":64.0", QWREN_E_FORMAT, TEXT "hidden_size is 64.0", "whole numbers" },
    { "\"hidden_size\":64", "\"hidden_size\":\"64\"", QWREN_E_FORMAT, TEXT "hidden_size is \"64\"", "whole numbers" },
    { "\"hidden_size\":64", "\"hidden_size\":null", QWREN_E_FORMAT, TEXT "hidden_size is missing", "is needed" },
    { "\"hidden_size\":64", "\"hidden_size\":[64]", QWREN_E_FORMAT, TEXT "hidden_size is [64]", "whole numbers" },
    { "\"hidden_size\":64", "\"hidden_size\":65537", QWREN_E_FORMAT, TEXT "hidden_size is 65537", "to 65536" },
    { "\"hidden_size\":64", "\"hidden_size\":4294967360", QWREN_E_FORMAT, TEXT "hidden_size is 4294967360", "to 65536" },
    { "\"hidden_size\":64", "\"hidden_size\":18446744073709551680", QWREN_E_FORMAT, TEXT "hidden_size is 18446744073709551680",
      "to 65536" },
    { "\"hidden_size\":64", "\"hidden_size\":1e400", QWREN_E_FORMAT, "line 1", "beyond the range of doubles" },
    { "\"hidden_size\":64", "\"hidden_size\":true", QWREN_E_FORMAT, TEXT "hidden_size is true", "whole numbers" },
    { "\"hidden_size\":64,", "", QWREN_E_FORMAT, TEXT "hidden_size is missing", "is needed" },
    { "\"intermediate_size\":128", "\"intermediate_size\":2000000", QWREN_E_FORMAT, TEXT "intermediate_size is 2000000", "to 1048576" },
    { "\"num_hidden_layers\":4", "\"num_hidden_layers\":0", QWREN_E_FORMAT, TEXT "num_hidden_layers is 0", "1 to 256" },
    { "\"num_hidden_layers\":4", "\"num_hidden_layers\":257", QWREN_E_FORMAT, TEXT "num_hidden_layers is 257", "1 to 256" },
    { "\"vocab_size\":100", "\"vocab_size\":0", QWREN_E_FORMAT, TEXT "vocab_size is 0", "supported" },
    { "\"max_position_embeddings\":4096", "\"max_position_embeddings\":99999999999", QWREN_E_FORMAT, TEXT "max_position", "supported" },
    { "\"num_attention_heads\":6", "\"num_attention_heads\":7", QWREN_E_FORMAT, TEXT "num_key_value_heads is 2",
      "divide num_attention_heads, which is 7" },
    { "\"num_key_value_heads\":2", "\"num_key_value_heads\":4", QWREN_E_FORMAT, TEXT "num_key_value_heads is 4", "which is 6" },
    { "\"num_key_value_heads\":2", "\"num_key_value_heads\":0", QWREN_E_FORMAT, TEXT "num_key_value_heads is 0", "supported" },
    { "\"head_dim\":32", "\"head_dim\":2048", QWREN_E_FORMAT, TEXT "head_dim is 2048", "2 to 1024" },
    { "\"head_dim\":32,", "", QWREN_E_FORMAT, TEXT "head_dim is missing", "needed" },
    { "\"linear_num_key_heads\":2", "\"linear_num_key_heads\":3", QWREN_E_FORMAT, TEXT "linear_num_key_heads is 3", "which is 4" },
    { "\"linear_num_value_heads\":4", "\"linear_num_value_heads\":3", QWREN_E_FORMAT, TEXT "linear_num_key_heads is 2", "which is 3" },
    { "\"linear_key_head_dim\":16", "\"linear_key_head_dim\":0", QWREN_E_FORMAT, TEXT "linear_key_head_dim is 0", "supported" },
    { "\"linear_value_head_dim\":24", "\"linear_value_head_dim\":5000", QWREN_E_FORMAT, TEXT "linear_value_head_dim is 5000", "supported" },
    { "\"linear_conv_kernel_dim\":4", "\"linear_conv_kernel_dim\":1", QWREN_E_FORMAT, TEXT "linear_conv_kernel_dim is 1", "2 to 16" },
    { "\"rms_norm_eps\":1e-06", "\"rms_norm_eps\":0", QWREN_E_FORMAT, TEXT "rms_norm_eps is 0", "1e-12 to 0.1" },
    { "\"rms_norm_eps\":1e-06", "\"rms_norm_eps\":-1e-6", QWREN_E_FORMAT, TEXT "rms_norm_eps is -1e-06", "supported" },
    { "\"rms_norm_eps\":1e-06", "\"rms_norm_eps\":\"1e-6\"", QWREN_E_FORMAT, TEXT "rms_norm_eps is \"1e-6\"", "numbers" },
    { "\"rms_norm_eps\":1e-06", "\"rms_norm_eps\":1e999", QWREN_E_FORMAT, "line 1", "beyond the range of doubles" },
    { "\"rms_norm_eps\":1e-06", "\"rms_norm_eps\":1e308", QWREN_E_FORMAT, TEXT "rms_norm_eps is 1e+308", "1e-12 to 0.1" },
    { "\"rms_norm_eps\":1e-06", "\"rms_norm_eps\":5e-324", QWREN_E_FORMAT, TEXT "rms_norm_eps is 5e-324", "1e-12 to 0.1" },
    { "\"rms_norm_eps\":1e-06", "\"rms_norm_eps\":NaN", QWREN_E_FORMAT, "line 1", "" },
    { "\"rms_norm_eps\":1e-06", "\"rms_norm_eps\":-Infinity", QWREN_E_FORMAT, "line 1", "" },
    /* kinds of layers */
    { "\"full_attention_interval\":2", "\"full_attention_interval\":0", QWREN_E_FORMAT, TEXT "full_attention_interval is 0", "1 to 256" },
    { "\"full_attention_interval\":2", "\"layer_types\":[]", QWREN_E_FORMAT, TEXT "layer_types is []", "for 4 layers is needed" },
    { "\"full_attention_interval\":2", "\"layer_types\":[\"linear_attention\",\"linear_attention\",\"linear_attention\"]", QWREN_E_FORMAT,
      TEXT "layer_types", "for 4 layers is needed" },
    { "\"full_attention_interval\":2",
      "\"layer_types\":[\"linear_attention\",\"sliding_attention\",\"linear_attention\",\"full_attention\"]", QWREN_E_FORMAT,
      TEXT "layer_types", "for 4 layers is needed" },
    { "\"full_attention_interval\":2", "\"layer_types\":[1,2,3,4]", QWREN_E_FORMAT, TEXT "layer_types is [1, 2, 3, 4]",
      "\"full_attention\"" },
    { "\"full_attention_interval\":2", "\"layer_types\":\"full_attention\"", QWREN_E_FORMAT, TEXT "layer_types is", "a list" },
    /* rotary positions */
    { "\"rope_type\":\"default\"", "\"type\":\"linear\"", QWREN_E_UNSUPPORTED, ROPE "type is \"linear\"", "\"default\"" },
    { "\"rope_type\":\"default\"", "\"rope_type\":\"dynamic\"", QWREN_E_UNSUPPORTED, ROPE "rope_type is \"dynamic\"", "and \"yarn\"" },
    { "\"rope_type\":\"default\"", "\"rope_type\":\"llama3\"", QWREN_E_UNSUPPORTED, ROPE "rope_type is \"llama3\"", "and \"yarn\"" },
    { "\"rope_type\":\"default\"", "\"rope_type\":4", QWREN_E_UNSUPPORTED, ROPE "rope_type is 4", "and \"yarn\"" },
    { "\"rope_parameters\":{", "\"rope_scaling\":{\"rope_type\":\"longrope\"},\"rope_parameters\":{", QWREN_E_UNSUPPORTED,
      "rope_scaling.rope_type is \"longrope\"", "and \"yarn\"" },
    { "\"rope_type\":\"default\"", "\"rope_type\":\"yarn\"", QWREN_E_FORMAT, ROPE "factor is missing", "from 1 to 64" },
    { "\"default\"", "\"yarn\",\"factor\":0.5", QWREN_E_FORMAT, ROPE "factor is 0.5", "from 1 to 64" },
    { "\"default\"", "\"yarn\",\"factor\":64,\"original_max_position_embeddings\":16777216", QWREN_E_LIMIT, ROPE "factor is 64",
      "16777216" },
    { "\"default\"", "\"yarn\",\"factor\":4,\"original_max_position_embeddings\":0", QWREN_E_FORMAT,
      ROPE "original_max_position_embeddings is 0", "from 1 to" },
    { "\"default\"", "\"yarn\",\"factor\":4,\"beta_slow\":33", QWREN_E_FORMAT, ROPE "beta_fast is missing",
      "less than beta_slow, which is 33" },
    { "\"default\"", "\"yarn\",\"factor\":4,\"attention_factor\":-1", QWREN_E_FORMAT, ROPE "attention_factor is -1", "from 0.001" },
    { "\"default\"", "\"yarn\",\"factor\":4,\"truncate\":1", QWREN_E_FORMAT, ROPE "truncate is 1", "true or false" },
    { "\"default\",\"rope_theta\":10000000", "\"yarn\",\"factor\":4,\"rope_theta\":1", QWREN_E_FORMAT, ROPE "rope_theta is 1",
      "more than 1" },
    { "\"rope_theta\":10000000", "\"rope_theta\":0", QWREN_E_FORMAT, ROPE "rope_theta is 0", "from 1 to 1e+15" },
    { "\"rope_theta\":10000000", "\"rope_theta\":1e400", QWREN_E_FORMAT, "line 1", "beyond the range of doubles" },
    { "\"rope_theta\":10000000", "\"rope_theta\":1e300", QWREN_E_FORMAT, ROPE "rope_theta is 1e+300", "from 1 to 1e+15" },
    { "\"rope_theta\":10000000,", "", QWREN_E_FORMAT, ROPE "rope_theta is missing", "a number from 1" },
    { "\"partial_rotary_factor\":0.5", "\"partial_rotary_factor\":0", QWREN_E_FORMAT, ROPE "partial_rotary_factor is 0", "not 0" },
    { "\"partial_rotary_factor\":0.5", "\"partial_rotary_factor\":1.5", QWREN_E_FORMAT, ROPE "partial_rotary_factor is 1.5",
      "from 0 to 1" },
    { "\"partial_rotary_factor\":0.5", "\"partial_rotary_factor\":0.47", QWREN_E_FORMAT, ROPE "partial_rotary_factor is 0.47", "not 15" },
    { "\"partial_rotary_factor\":0.5", "\"partial_rotary_factor\":0.25", QWREN_E_FORMAT, ROPE "mrope_section is [3, 3, 2]", "sum is 4" },
    { "[3,3,2]", "[3,3,3]", QWREN_E_FORMAT, ROPE "mrope_section is [3, 3, 3]", "sum is 8" },
    { "[3,3,2]", "[3,5]", QWREN_E_FORMAT, ROPE "mrope_section is [3, 5]", "three numbers" },
    { "[3,3,2]", "[3,3,2,0]", QWREN_E_FORMAT, ROPE "mrope_section is [3, 3, 2, 0]", "three numbers" },
    { "[3,3,2]", "[3,3,1]", QWREN_E_FORMAT, ROPE "mrope_section is [3, 3, 1]", "sum is 8" },
    { "[3,3,2]", "[10,-1,-1]", QWREN_E_FORMAT, ROPE "mrope_section is [10, -1, -1]", "three numbers" },
    { "[3,3,2]", "[8,1,-1]", QWREN_E_FORMAT, ROPE "mrope_section is [8, 1, -1]", "three numbers" },
    { "[3,3,2]", "[4294967299,3,2]", QWREN_E_FORMAT, ROPE "mrope_section", "three numbers" },
    { "[3,3,2]", "[2147483647,2147483647,10]", QWREN_E_FORMAT, ROPE "mrope_section", "three numbers" },
    { "[3,3,2]", "8", QWREN_E_FORMAT, ROPE "mrope_section is 8", "three numbers" },
    { "\"mrope_section\":[3,3,2],", "", QWREN_E_FORMAT, ROPE "mrope_section is missing", "three numbers" },
    { "\"mrope_interleaved\":true", "\"mrope_interleaved\":false", QWREN_E_UNSUPPORTED, ROPE "mrope_interleaved is false",
      "supported is true" },
    /* head */
    { "\"text_tie\":true", "\"tie_word_embeddings\":false", QWREN_E_FORMAT, TEXT "tie_word_embeddings is false", "on top it is true" },
    { "\"tie_word_embeddings\":true", "\"tie_word_embeddings\":\"yes\"", QWREN_E_FORMAT, "config.json: tie_word_embeddings is \"yes\"",
      "true or false" },
    /* tokens */
    { "\"image_token_id\":90", "\"image_token_id\":100", QWREN_E_FORMAT, "image_token_id is 100", "from 0 to 99" },
    { "\"image_token_id\":90", "\"image_token_id\":-1", QWREN_E_FORMAT, "image_token_id is -1", "from 0 to 99" },
    { "\"image_token_id\":90,", "", QWREN_E_FORMAT, "image_token_id is missing", "vision_config needs it" },
    { "\"video_token_id\":91", "\"video_token_id\":90", QWREN_E_FORMAT, "video_token_id is 90", "differ from image_token_id" },
    { "\"eos_token_id\":94", "\"eos_token_id\":100", QWREN_E_FORMAT, "eos_token_id is 100", "from 0 to 99" },
    { "\"eos_token_id\":94", "\"eos_token_id\":\"x\"", QWREN_E_FORMAT, "eos_token_id is \"x\"", "whole numbers" },
    { "\"eos_token_id\":94", "\"eos_token_id\":[94,-1]", QWREN_E_FORMAT, "eos_token_id is [94, -1]", "whole numbers" },
    { "\"eos_token_id\":94", "\"eos_token_id\":[0,1,2,3,4,5,6,7,8]", QWREN_E_LIMIT, "eos_token_id is", "up to 8" },
    { "\"text_eos\":95", "\"eos_token_id\":1e2", QWREN_E_FORMAT, TEXT "eos_token_id is 100.0", "whole numbers" },
    /* tower */
    { "\"depth\":2", "\"depth\":0", QWREN_E_FORMAT, VISION "depth is 0", "1 to 256" },
    { "\"depth\":2,", "", QWREN_E_FORMAT, VISION "depth is missing", "needed" },
    { "\"num_heads\":4", "\"num_heads\":5", QWREN_E_FORMAT, VISION "num_heads is 5", "hidden_size, 48" },
    { "\"num_heads\":4", "\"num_heads\":8", QWREN_E_FORMAT, VISION "num_heads is 8", "multiples of 4" },
    { "\"out_hidden_size\":64", "\"out_hidden_size\":65", QWREN_E_FORMAT, VISION "out_hidden_size is 65", "the text model, 64" },
    { "\"num_position_embeddings\":49", "\"num_position_embeddings\":48", QWREN_E_FORMAT, VISION "num_position_embeddings is 48",
      "square" },
    { "\"in_channels\":3", "\"in_channels\":4", QWREN_E_UNSUPPORTED, VISION "in_channels is 4", "supported is 3" },
    { "\"temporal_patch_size\":2", "\"temporal_patch_size\":1", QWREN_E_FORMAT, VISION "temporal_patch_size is 1", "from 2 to 2" },
    { "\"spatial_merge_size\":2", "\"spatial_merge_size\":3", QWREN_E_FORMAT, VISION "spatial_merge_size is 3", "from 2 to 2" },
    { "\"patch_size\":14", "\"patch_size\":100", QWREN_E_FORMAT, VISION "patch_size is 100", "1 to 64" },
    { "gelu_pytorch_tanh", "quick_gelu", QWREN_E_UNSUPPORTED, VISION "hidden_act is \"quick_gelu\"", "gelu_pytorch_tanh" },
    { "\"deepstack_visual_indexes\":[]", "\"deepstack_visual_indexes\":[5,11]", QWREN_E_UNSUPPORTED,
      VISION "deepstack_visual_indexes is [5, 11]", "empty" },
    { "\"rope_type\":\"axial\"", "\"rope_type\":\"yarn\"", QWREN_E_UNSUPPORTED, VISION "rope_parameters.rope_type is \"yarn\"", "axial" },
    { "\"rope_theta\":500.0", "\"rope_theta\":0.5", QWREN_E_FORMAT, VISION "rope_parameters.rope_theta is 0.5", "from 1" },
};

static void test_refuses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        put_changed(bad[i].find, bad[i].replace);
        expect_refusal(bad[i].replace[0] ? bad[i].replace : bad[i].find, bad[i].status, bad[i].says, bad[i].also);
        expect_refusal(bad[i].find, bad[i].status, "/config.json", "");
    }
}

/* A long value is shortened, the sentence stays whole. */
static void test_long_value(void **state)
{
    (void)state;
    static char text[4000];
    memset(text, '7', sizeof text - 1);
    memcpy(text, "\"hidden_size\":", 14);
    put_changed("\"hidden_size\":64", text);
    expect_refusal("a long number", QWREN_E_FORMAT, "77777...;", "1 to 65536");
}

static void test_refuses_files(void **state)
{
    (void)state;
    qw_config c;
    expect_refusal("no file", QWREN_E_IO, "has neither config.json", ".gguf file");
    assert_int_equal(qw_config_read(&c, "/nowhere/at/all", NULL), QWREN_E_IO);
    static const char *const texts[] = { "", "{", "[]", "3", "null", "\"x\"", "{\"a\":1,}", "{}{}" };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        for (int file = 0; file < N_FILES; file++) {
            if (file == PROCESSOR)
                continue;
            put(CONFIG, base);
            put(file, texts[i]);
            expect_refusal(texts[i], QWREN_E_FORMAT, file_names[file], "");
            remove(path_of(file));
        }
    put(CONFIG, "{}");
    expect_refusal("an empty object", QWREN_E_UNSUPPORTED, "architectures is missing", "supported");
}

/* ---- beside config.json */

static void test_processor_defaults(void **state)
{
    (void)state;
    qw_config c;
    put(CONFIG, base);
    for (int i = 0; i < 2; i++) {
        read_good(&c, folder, "defaults");
        assert_int_equal(c.processor.min_pixels, 65536);
        assert_int_equal(c.processor.max_pixels, 16777216);
        for (int k = 0; k < 3; k++)
            assert_true(c.processor.mean[k] == 0.5 && c.processor.std[k] == 0.5);
        put(PREPROCESSOR, "{}");
    }
}

static void test_processor_spellings(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int64_t min, max;
    } rows[] = {
        { "{\"size\":{\"shortest_edge\":1000,\"longest_edge\":2000}}", 1000, 2000 },
        { "{\"size\":{\"min_pixels\":1000,\"max_pixels\":2000}}", 1000, 2000 },
        { "{\"min_pixels\":1000,\"max_pixels\":2000}", 1000, 2000 },
        { "{\"min_pixels\":1000,\"max_pixels\":null,\"size\":{\"shortest_edge\":9,\"longest_edge\":2000}}", 1000, 2000 },
        { "{\"size\":null}", 65536, 16777216 },
        { "{\"size\":{\"longest_edge\":70000},\"patch_size\":14,\"merge_size\":2,\"temporal_patch_size\":2,\"resample\":3}", 65536, 70000 },
        { "{\"do_resize\":true,\"do_rescale\":true,\"do_normalize\":true,\"rescale_factor\":0.00392156862745098}", 65536, 16777216 },
        { "{\"image_processor\":{\"min_pixels\":7}}", 7, 16777216 },
    };
    put(CONFIG, base);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        qw_config c;
        put(PREPROCESSOR, rows[i].text);
        read_good(&c, folder, rows[i].text);
        assert_int_equal(c.processor.min_pixels, rows[i].min);
        assert_int_equal(c.processor.max_pixels, rows[i].max);
    }
}

static void test_processor_values(void **state)
{
    (void)state;
    qw_config c;
    put(CONFIG, base);
    put(PROCESSOR, "{\"image_processor\":{\"image_mean\":[0.48,0.45,0],\"image_std\":[0.26,0.25,1]}}"); /* the other file's name */
    read_good(&c, folder, "processor_config.json");
    assert_true(c.processor.mean[0] == 0.48 && c.processor.mean[2] == 0 && c.processor.std[2] == 1);
    put(PREPROCESSOR, "{\"image_mean\":[0.1,0.2,0.3]}");
    read_good(&c, folder, "preprocessor_config.json goes first");
    assert_true(c.processor.mean[0] == 0.1 && c.processor.std[0] == 0.5);
    put(PREPROCESSOR, "{\"patch_size\":99}");
    put_changed("\"vision_config\":{", "\"x\":{");
    read_good(&c, folder, "without a tower nobody reads it");
}

static const struct {
    int file;
    const char *text;
    qwren_status status;
    const char *says, *also;
} beside[] = {
    { PREPROCESSOR, "{\"size\":5}", QWREN_E_FORMAT, "size is 5", "an object" },
    { PREPROCESSOR, "{\"size\":{\"shortest_edge\":0}}", QWREN_E_FORMAT, "size.shortest_edge is 0", "1 to 1073741824" },
    { PREPROCESSOR, "{\"size\":{\"longest_edge\":99999999999}}", QWREN_E_FORMAT, "size.longest_edge is 99999999999", "1 to 1073741824" },
    { PREPROCESSOR, "{\"max_pixels\":-1}", QWREN_E_FORMAT, "max_pixels is -1", "supported" },
    { PREPROCESSOR, "{\"min_pixels\":2000,\"max_pixels\":1000}", QWREN_E_FORMAT, "2000, is larger than the greatest, 1000", "" },
    { PREPROCESSOR, "{\"max_pixels\":1000}", QWREN_E_FORMAT, "65536, is larger than the greatest, 1000", "" },
    { PREPROCESSOR, "{\"patch_size\":16}", QWREN_E_UNSUPPORTED, "patch_size is 16", "supported is 14" },
    { PREPROCESSOR, "{\"merge_size\":1}", QWREN_E_UNSUPPORTED, "merge_size is 1", "supported is 2" },
    { PREPROCESSOR, "{\"temporal_patch_size\":4}", QWREN_E_UNSUPPORTED, "temporal_patch_size is 4", "supported is 2" },
    { PREPROCESSOR, "{\"resample\":2}", QWREN_E_UNSUPPORTED, "resample is 2", "supported is 3" },
    { PREPROCESSOR, "{\"do_normalize\":false}", QWREN_E_UNSUPPORTED, "do_normalize is false", "supported is true" },
    { PREPROCESSOR, "{\"rescale_factor\":1}", QWREN_E_FORMAT, "rescale_factor is 1", "numbers" },
    { PREPROCESSOR, "{\"image_mean\":0.5}", QWREN_E_FORMAT, "image_mean is 0.5", "a list of 3 numbers" },
    { PREPROCESSOR, "{\"image_mean\":[0.5,0.5]}", QWREN_E_FORMAT, "image_mean is [0.5, 0.5]", "a list of 3 numbers" },
    { PREPROCESSOR, "{\"image_mean\":[0.5,\"a\",0.5]}", QWREN_E_FORMAT, "image_mean", "a list of 3 numbers" },
    { PREPROCESSOR, "{\"image_std\":[0.5,0,0.5]}", QWREN_E_FORMAT, "image_std is [0.5, 0, 0.5]", "from 0.001 to 10" },
    { PREPROCESSOR, "{\"image_std\":[1e999,1,1]}", QWREN_E_FORMAT, "line 1", "beyond the range of doubles" },
    { GENERATION, "{\"temperature\":-0.1}", QWREN_E_FORMAT, "temperature is -0.1", "from 0 to 100" },
    { GENERATION, "{\"temperature\":\"hot\"}", QWREN_E_FORMAT, "temperature is \"hot\"", "numbers" },
    { GENERATION, "{\"top_p\":1.01}", QWREN_E_FORMAT, "top_p is 1.01", "from 0 to 1" },
    { GENERATION, "{\"min_p\":2}", QWREN_E_FORMAT, "min_p is 2", "from 0 to 1" },
    { GENERATION, "{\"top_k\":-5}", QWREN_E_FORMAT, "top_k is -5", "from 0 to 2147483647" },
    { GENERATION, "{\"top_k\":2.5}", QWREN_E_FORMAT, "top_k is 2.5", "whole numbers" },
    { GENERATION, "{\"top_k\":4294967296}", QWREN_E_FORMAT, "top_k is 4294967296", "whole numbers" },
    { GENERATION, "{\"repetition_penalty\":0}", QWREN_E_FORMAT, "repetition_penalty is 0", "from 0.01 to 100" },
    { GENERATION, "{\"presence_penalty\":1e3}", QWREN_E_FORMAT, "presence_penalty is 1000.0", "from -100 to 100" },
    { GENERATION, "{\"do_sample\":1}", QWREN_E_FORMAT, "do_sample is 1", "true or false" },
    { GENERATION, "{\"eos_token_id\":100}", QWREN_E_FORMAT, "eos_token_id is 100", "from 0 to 99" },
    { GENERATION, "{\"eos_token_id\":[0,1,2,3,4,5,6,7]}", QWREN_E_LIMIT, "eos_token_id is", "up to 8" },
};

static void test_refuses_beside(void **state)
{
    (void)state;
    put(CONFIG, base);
    for (size_t i = 0; i < sizeof beside / sizeof beside[0]; i++) {
        put(beside[i].file, beside[i].text);
        expect_refusal(beside[i].text, beside[i].status, beside[i].says, beside[i].also);
        expect_refusal(beside[i].text, beside[i].status, file_names[beside[i].file], "");
        remove(path_of(beside[i].file));
    }
}

static void test_generation(void **state)
{
    (void)state;
    qw_config c;
    put(CONFIG, base);
    read_good(&c, folder, "no file");
    const qw_generation_config *g = &c.generation;
    assert_true(isnan(g->temperature) && isnan(g->top_p) && isnan(g->min_p) && isnan(g->presence_penalty) && isnan(g->repetition_penalty));
    assert_true(g->top_k == -1 && g->do_sample);
    put(GENERATION, "{\"temperature\":1,\"top_p\":0.95,\"top_k\":20,\"min_p\":0.0,\"presence_penalty\":1.5,\"repetition_penalty\":1.0,"
                    "\"do_sample\":false,\"eos_token_id\":[96,94],\"transformers_version\":\"x\"}");
    read_good(&c, folder, "all keys");
    assert_true(g->temperature == 1 && g->top_p == 0.95 && g->min_p == 0 && g->presence_penalty == 1.5 && g->repetition_penalty == 1);
    assert_true(g->top_k == 20 && !g->do_sample);
    assert_int_equal(c.n_eos, 2);
    assert_memory_equal(c.eos, ((int32_t[]){ 94, 96 }), 8);
}

static void test_folder_instead_of_file(void **state)
{
    (void)state;
    put(CONFIG, base);
    assert_int_equal(mkdir(path_of(GENERATION), 0700), 0);
    expect_refusal("a folder", QWREN_E_IO, "generation_config.json", "is a directory");
}

/* ---- damage and memory */

/* config.json cut at every length is never read as another model. */
static void test_every_truncation(void **state)
{
    (void)state;
    qw_json *root;
    qwren_error err;
    for (size_t n = 0; n < sizeof base - 1; n++)
        assert_int_equal(qw_json_parse(&root, base, n, "config.json", &err), QWREN_E_FORMAT);
    for (size_t n = 0; n < sizeof base - 1; n += 97) {
        char cut[sizeof base] = "";
        memcpy(cut, base, n);
        put(CONFIG, cut);
        expect_refusal(cut, QWREN_E_FORMAT, "config.json", "");
    }
}

static qwren_status read_once(void *ctx, qwren_error *err)
{
    qw_config c;
    return qw_config_read(&c, ctx, err);
}

static void test_failing_memory(void **state)
{
    (void)state;
    put(CONFIG, base);
    put(PROCESSOR, "{\"image_processor\":{\"min_pixels\":7}}");
    put(GENERATION, "{\"top_k\":20,\"eos_token_id\":[96,94]}");
    fault_install();
    assert_true(fault_try_all(read_once, folder, 1) > 15);
    fault_remove();
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(test_small),
        TEST(test_published),
        cmocka_unit_test(test_stored),
        TEST(test_variants),
        TEST(test_yarn),
        TEST(test_stretch),
        TEST(test_tied_inside_only),
        TEST(test_refuses),
        TEST(test_long_value),
        TEST(test_refuses_files),
        TEST(test_processor_defaults),
        TEST(test_processor_spellings),
        TEST(test_processor_values),
        TEST(test_refuses_beside),
        TEST(test_generation),
        TEST(test_folder_instead_of_file),
        TEST(test_every_truncation),
        TEST(test_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
