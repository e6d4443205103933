/* Tensor names of Hugging Face and MLX checkpoints -> ours, and to which part of the model a name belongs. The names are those of
 * docs/model.md, section 8. Tested by tests/unit/test_names.c. */
#include "weights/names.h"

#include "base/affix.h"

#include <stdbool.h>
#include <string.h>

/* What stands behind "layers.N." of the text model and of the MTP head, and behind "visual.blocks.N.". */
static const char *const layer_names[] = {
    "input_layernorm.weight",
    "post_attention_layernorm.weight",
    "mlp.gate_proj.weight",
    "mlp.up_proj.weight",
    "mlp.down_proj.weight",
    "self_attn.q_proj.weight",
    "self_attn.k_proj.weight",
    "self_attn.v_proj.weight",
    "self_attn.o_proj.weight",
    "self_attn.q_norm.weight",
    "self_attn.k_norm.weight",
    "linear_attn.in_proj_qkv.weight",
    "linear_attn.in_proj_z.weight",
    "linear_attn.in_proj_b.weight",
    "linear_attn.in_proj_a.weight",
    "linear_attn.conv1d.weight",
    "linear_attn.A_log",
    "linear_attn.dt_bias",
    "linear_attn.norm.weight",
    "linear_attn.out_proj.weight",
};
static const char *const block_names[] = {
    "norm1.weight",     "norm1.bias",     "norm2.weight",          "norm2.bias",          "attn.qkv.weight",       "attn.qkv.bias",
    "attn.proj.weight", "attn.proj.bias", "mlp.linear_fc1.weight", "mlp.linear_fc1.bias", "mlp.linear_fc2.weight", "mlp.linear_fc2.bias",
};
static const char *const text_names[] = { "embed_tokens.weight", "norm.weight", "lm_head.weight" };
static const char *const vision_names[] = {
    "patch_embed.proj.weight", "patch_embed.proj.weight.1", "patch_embed.proj.bias",  "pos_embed.weight",         "merger.norm.weight",
    "merger.norm.bias",        "merger.linear_fc1.weight",  "merger.linear_fc1.bias", "merger.linear_fc2.weight", "merger.linear_fc2.bias",
};
static const char *const mtp_names[] = { "fc.weight", "norm.weight", "pre_fc_norm_embedding.weight", "pre_fc_norm_hidden.weight" };

#define LIST(names) names, sizeof(names) / sizeof(names)[0]

static bool is_in(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* What stands behind `prefix`, NULL when name does not begin with it. */
static const char *behind(const char *name, const char *prefix)
{
    size_t n = strlen(prefix);
    return strncmp(name, prefix, n) == 0 ? name + n : NULL;
}

/* The same for `prefix` and a number and a point: "layers." and "layers.12.mlp.up_proj.weight" -> "mlp.up_proj.weight". */
static const char *behind_number(const char *name, const char *prefix)
{
    const char *at = behind(name, prefix);
    size_t digits = at ? strspn(at, "0123456789") : 0;
    return digits && at[digits] == '.' ? at + digits + 1 : NULL;
}

static bool is_text(const char *name)
{
    const char *tail = behind_number(name, "layers.");
    return tail ? is_in(tail, LIST(layer_names)) : is_in(name, LIST(text_names));
}

static bool is_vision(const char *name)
{
    const char *tail = behind_number(name, "blocks.");
    return tail ? is_in(tail, LIST(block_names)) : is_in(name, LIST(vision_names));
}

static bool is_mtp(const char *name)
{
    const char *tail = behind_number(name, "layers.");
    return tail ? is_in(tail, LIST(layer_names)) : is_in(name, LIST(mtp_names));
}

static qw_part part_of_weight(const char *our_name)
{
    const char *tail;
    if ((tail = behind(our_name, "visual.")))
        return is_vision(tail) ? QW_PART_VISION : QW_PART_OTHER;
    if ((tail = behind(our_name, "mtp.")))
        return is_mtp(tail) ? QW_PART_MTP : QW_PART_OTHER;
    return is_text(our_name) ? QW_PART_TEXT : QW_PART_OTHER;
}

qw_part qw_part_of(const char *our_name)
{
    char buf[QW_NAME_BYTES];
    const char *codes = qw_name_of_codes(our_name, buf);
    return part_of_weight(codes ? codes : our_name);
}

const char *qw_part_name(qw_part p)
{
    static const char *const names[] = { "text", "vision", "mtp", "other" };
    return names[p];
}

const char *qw_name_from_file(const char *file_name, char *buf)
{
    static const struct {
        const char *theirs, *ours;
    } prefixes[] = { /* of two that fit the longer one first */
                     { "model.language_model.", "" },
                     { "model.", "" },
                     { "language_model.model.", "" },
                     { "language_model.", "" },
                     { "vision_tower.", "visual." }
    };
    for (size_t i = 0; i < sizeof prefixes / sizeof prefixes[0]; i++) {
        const char *tail = behind(file_name, prefixes[i].theirs);
        if (!tail)
            continue;
        if (!prefixes[i].ours[0])
            return tail;
        const size_t n = strlen(prefixes[i].ours), rest = strlen(tail) + 1;
        if (n + rest > QW_NAME_BYTES)
            return file_name;
        memcpy(buf, prefixes[i].ours, n);
        memcpy(buf + n, tail, rest);
        return buf;
    }
    return file_name;
}

/* `name` with its last part, `from`, replaced; NULL when it ends otherwise. */
static const char *replace_end(const char *name, const char *from, const char *to, char *buf)
{
    const size_t n = strlen(name), tail = strlen(from), end = strlen(to) + 1;
    if (!qw_ends_with(name, from) || n - tail + end > QW_NAME_BYTES)
        return NULL;
    memcpy(buf, name, n - tail);
    memcpy(buf + n - tail, to, end);
    return buf;
}

const char *qw_name_beside(const char *weight_name, const char *suffix, char *buf)
{
    return replace_end(weight_name, ".weight", suffix, buf);
}

const char *qw_name_of_codes(const char *name, char *buf)
{
    const char *codes = replace_end(name, ".scales", ".weight", buf);
    return codes ? codes : replace_end(name, ".biases", ".weight", buf);
}

/* The loaders of MLX know the text model as language_model, with its head outside of `model`, and the tower as vision_tower. */
const char *qw_name_to_mlx(const char *our_name, const char **prefix)
{
    static const char text[] = "language_model.", inner[] = "language_model.model.", vision[] = "vision_tower.";
    const char *tail;
    *prefix = "";
    if ((tail = behind(our_name, "mtp.")))
        return tail;
    if ((tail = behind(our_name, "visual."))) {
        *prefix = vision;
        return tail;
    }
    *prefix = behind(our_name, "lm_head.") ? text : inner;
    return our_name;
}
