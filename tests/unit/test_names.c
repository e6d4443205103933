/* weights/names.c: the names of Hugging Face's layouts, and the part of the model a name belongs to. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_prefixes),
        cmocka_unit_test(test_tail),
        cmocka_unit_test(test_what_no_layer_reads),
        cmocka_unit_test(test_mlx),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
