/* weights/names.c: the names of Hugging Face's layouts, MLX's and llama.cpp's (weights/gguf_names.c), and the part of the model a name belongs to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "weights/gguf_names.h"
#include "weights/names.h"

static void test_prefixes(void **state)
{
    (void)state;
    static const struct {
        const char *theirs, *ours;
        qw_part part;
    } rows[] = {
        { "model.language_model.embed_tokens.weight", "embed_tokens.weight", QW_PART_TEXT },
        { "model.language_model.norm.weight", "norm.weight", QW_PART_TEXT },
        { "model.language_model.layers.31.linear_attn.A_log", "layers.31.linear_attn.A_log", QW_PART_TEXT },
        { "model.layers.0.self_attn.q_proj.weight", "layers.0.self_attn.q_proj.weight", QW_PART_TEXT },
        { "model.norm.weight", "norm.weight", QW_PART_TEXT },
        { "lm_head.weight", "lm_head.weight", QW_PART_TEXT },
        { "model.visual.patch_embed.proj.weight", "visual.patch_embed.proj.weight", QW_PART_VISION },
        { "model.visual.blocks.26.mlp.linear_fc2.bias", "visual.blocks.26.mlp.linear_fc2.bias", QW_PART_VISION },
        { "model.visual.merger.norm.bias", "visual.merger.norm.bias", QW_PART_VISION },
        { "model.language_model.visual.pos_embed.weight", "visual.pos_embed.weight", QW_PART_VISION },
        { "mtp.fc.weight", "mtp.fc.weight", QW_PART_MTP },
        { "model.mtp.layers.0.mlp.up_proj.weight", "mtp.layers.0.mlp.up_proj.weight", QW_PART_MTP },
        { "mtp.pre_fc_norm_hidden.weight", "mtp.pre_fc_norm_hidden.weight", QW_PART_MTP },
        { "language_model.model.embed_tokens.weight", "embed_tokens.weight", QW_PART_TEXT },
        { "language_model.model.embed_tokens.scales", "embed_tokens.scales", QW_PART_TEXT },
        { "language_model.model.layers.7.linear_attn.conv1d.weight", "layers.7.linear_attn.conv1d.weight", QW_PART_TEXT },
        { "language_model.lm_head.biases", "lm_head.biases", QW_PART_TEXT },
        { "model.layers.2.mlp.up_proj.biases", "layers.2.mlp.up_proj.biases", QW_PART_TEXT },
        { "vision_tower.blocks.3.attn.qkv.scales", "visual.blocks.3.attn.qkv.scales", QW_PART_VISION },
        { "vision_tower.patch_embed.proj.weight", "visual.patch_embed.proj.weight", QW_PART_VISION },
        { "mtp.layers.0.mlp.down_proj.scales", "mtp.layers.0.mlp.down_proj.scales", QW_PART_MTP },
    };
    char buf[QW_NAME_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(qw_name_from_file(rows[i].theirs, buf), rows[i].ours);
        assert_string_equal(qw_part_name(qw_part_of(rows[i].ours)), qw_part_name(rows[i].part));
    }
}

/* Our name is the tail of the same memory. */
static void test_tail(void **state)
{
    (void)state;
    static const char name[] = "model.norm.weight";
    char buf[QW_NAME_BYTES];
    assert_ptr_equal(qw_name_from_file(name, buf), name + 6);
}

static void test_what_no_layer_reads(void **state)
{
    (void)state;
    static const char *const names[] = {
        "",
        "rotary_emb.inv_freq",
        "layers.0.self_attn.rotary_emb.inv_freq",
        "layers.0.self_attn.q_proj.weight_scale",
        "layers.0.self_attn.q_proj.bias",
        "layers..norm.weight",
        "layers.x.mlp.up_proj.weight",
        "layers.1mlp.up_proj.weight",
        "layers.",
        "layers.1",
        "layers.1.",
        "norm.weight2",
        "embed_tokens",
        "visual.",
        "visual.blocks.0.norm3.weight",
        "visual.deepstack_merger_list.0.norm.weight",
        "mtp.",
        "mtp.embed_tokens.weight",
        "optimizer.state",
    };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (qw_part_of(names[i]) != QW_PART_OTHER)
            fail_msg("\"%s\" should be read by no layer, and is taken for %s", names[i], qw_part_name(qw_part_of(names[i])));
}

static void test_mlx(void **state)
{
    (void)state;
    static const struct {
        const char *ours, *prefix, *tail;
    } rows[] = {
        { "embed_tokens.weight", "language_model.model.", "embed_tokens.weight" },
        { "norm.weight", "language_model.model.", "norm.weight" },
        { "layers.3.linear_attn.A_log", "language_model.model.", "layers.3.linear_attn.A_log" },
        { "lm_head.weight", "language_model.", "lm_head.weight" },
        { "visual.patch_embed.proj.bias", "vision_tower.", "patch_embed.proj.bias" },
        { "mtp.layers.0.self_attn.q_norm.weight", "", "layers.0.self_attn.q_norm.weight" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *prefix;
        assert_string_equal(qw_name_to_mlx(rows[i].ours, &prefix), rows[i].tail);
        assert_string_equal(prefix, rows[i].prefix);
    }
}

/* 31 layers and an MTP head as block 31. */
static void test_gguf(void **state)
{
    (void)state;
    static const struct {
        const char *theirs, *ours;
        qw_part part;
    } rows[] = {
        { "token_embd.weight", "embed_tokens.weight", QW_PART_TEXT },
        { "output_norm.weight", "norm.weight", QW_PART_TEXT },
        { "output.weight", "lm_head.weight", QW_PART_TEXT },
        { "blk.0.attn_norm.weight", "layers.0.input_layernorm.weight", QW_PART_TEXT },
        { "blk.1.post_attention_norm.weight", "layers.1.post_attention_layernorm.weight", QW_PART_TEXT },
        { "blk.2.ffn_gate.weight", "layers.2.mlp.gate_proj.weight", QW_PART_TEXT },
        { "blk.3.ffn_up.weight", "layers.3.mlp.up_proj.weight", QW_PART_TEXT },
        { "blk.4.ffn_down.weight", "layers.4.mlp.down_proj.weight", QW_PART_TEXT },
        { "blk.5.attn_q.weight", "layers.5.self_attn.q_proj.weight", QW_PART_TEXT },
        { "blk.5.attn_k.weight", "layers.5.self_attn.k_proj.weight", QW_PART_TEXT },
        { "blk.5.attn_v.weight", "layers.5.self_attn.v_proj.weight", QW_PART_TEXT },
        { "blk.5.attn_output.weight", "layers.5.self_attn.o_proj.weight", QW_PART_TEXT },
        { "blk.5.attn_q_norm.weight", "layers.5.self_attn.q_norm.weight", QW_PART_TEXT },
        { "blk.5.attn_k_norm.weight", "layers.5.self_attn.k_norm.weight", QW_PART_TEXT },
        { "blk.6.attn_qkv.weight", "layers.6.linear_attn.in_proj_qkv.weight", QW_PART_TEXT },
        { "blk.6.attn_gate.weight", "layers.6.linear_attn.in_proj_z.weight", QW_PART_TEXT },
        { "blk.6.ssm_beta.weight", "layers.6.linear_attn.in_proj_b.weight", QW_PART_TEXT },
        { "blk.6.ssm_alpha.weight", "layers.6.linear_attn.in_proj_a.weight", QW_PART_TEXT },
        { "blk.6.ssm_conv1d.weight", "layers.6.linear_attn.conv1d.weight", QW_PART_TEXT },
        { "blk.6.ssm_a", "layers.6.linear_attn.A_log", QW_PART_TEXT },
        { "blk.6.ssm_dt.bias", "layers.6.linear_attn.dt_bias", QW_PART_TEXT },
        { "blk.6.ssm_norm.weight", "layers.6.linear_attn.norm.weight", QW_PART_TEXT },
        { "blk.30.ssm_out.weight", "layers.30.linear_attn.out_proj.weight", QW_PART_TEXT },
        { "blk.31.nextn.eh_proj.weight", "mtp.fc.weight", QW_PART_MTP },
        { "blk.31.nextn.enorm.weight", "mtp.pre_fc_norm_embedding.weight", QW_PART_MTP },
        { "blk.31.nextn.hnorm.weight", "mtp.pre_fc_norm_hidden.weight", QW_PART_MTP },
        { "blk.31.nextn.shared_head_norm.weight", "mtp.norm.weight", QW_PART_MTP },
        { "blk.31.attn_q.weight", "mtp.layers.0.self_attn.q_proj.weight", QW_PART_MTP },
        { "blk.32.attn_q.weight", "layers.32.self_attn.q_proj.weight", QW_PART_TEXT }, /* too many: model.c refuses it */
        { "blk.30.nextn.enorm.weight", "other.blk.30.nextn.enorm.weight", QW_PART_OTHER },
        { "blk.31.nextn.embed_tokens.weight", "other.blk.31.nextn.embed_tokens.weight", QW_PART_OTHER },
        { "blk.01.attn_q.weight", "other.blk.01.attn_q.weight", QW_PART_OTHER },
        { "blk.99999999999.attn_q.weight", "other.blk.99999999999.attn_q.weight", QW_PART_OTHER },
        { "blk.x.attn_q.weight", "other.blk.x.attn_q.weight", QW_PART_OTHER },
        { "blk.1.attn_q", "other.blk.1.attn_q", QW_PART_OTHER },
        { "norm.weight", "other.norm.weight", QW_PART_OTHER }, /* ours, not theirs */
        { "v.post_ln.weight", "other.v.post_ln.weight", QW_PART_OTHER },
    };
    char buf[QW_GGUF_NAME_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(qw_name_from_gguf_text(buf, sizeof buf, rows[i].theirs, 31, 32), rows[i].ours);
        assert_string_equal(qw_part_name(qw_part_of(buf)), qw_part_name(rows[i].part));
    }
}

static void test_gguf_vision(void **state)
{
    (void)state;
    static const char *const rows[][2] = {
        { "v.patch_embd.weight", "visual.patch_embed.proj.weight" },
        { "v.patch_embd.weight.1", "visual.patch_embed.proj.weight.1" },
        { "v.patch_embd.bias", "visual.patch_embed.proj.bias" },
        { "v.position_embd.weight", "visual.pos_embed.weight" },
        { "v.post_ln.bias", "visual.merger.norm.bias" },
        { "mm.0.weight", "visual.merger.linear_fc1.weight" },
        { "mm.2.bias", "visual.merger.linear_fc2.bias" },
        { "v.blk.0.ln1.weight", "visual.blocks.0.norm1.weight" },
        { "v.blk.1.ln2.bias", "visual.blocks.1.norm2.bias" },
        { "v.blk.11.attn_qkv.weight", "visual.blocks.11.attn.qkv.weight" },
        { "v.blk.11.attn_out.bias", "visual.blocks.11.attn.proj.bias" },
        { "v.blk.26.ffn_up.weight", "visual.blocks.26.mlp.linear_fc1.weight" },
        { "v.blk.26.ffn_down.bias", "visual.blocks.26.mlp.linear_fc2.bias" },
    };
    char buf[QW_GGUF_NAME_BYTES];
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        assert_string_equal(qw_name_from_gguf_vision(buf, sizeof buf, rows[i][0]), rows[i][1]);
        assert_int_equal(qw_part_of(buf), QW_PART_VISION);
    }
    assert_string_equal(qw_name_from_gguf_vision(buf, sizeof buf, "blk.0.attn_q.weight"), "other.blk.0.attn_q.weight");
    assert_string_equal(qw_name_from_gguf_vision(buf, sizeof buf, "v.deepstack.0.fc1.weight"), "other.v.deepstack.0.fc1.weight");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes), cmocka_unit_test(test_tail), cmocka_unit_test(test_what_no_layer_reads),
        cmocka_unit_test(test_mlx),      cmocka_unit_test(test_gguf), cmocka_unit_test(test_gguf_vision),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
