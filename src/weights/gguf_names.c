/* Tensor names of llama.cpp -> ours: two tables, the text model's (architecture qwen35, with the MTP head as a last block) and the image
 * tower's (clip, projector qwen3vl_merger). Used by gguf_model.c. Tested by tests/unit/test_names.c. */
#include "weights/gguf_names.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct pair {
    const char *theirs, *ours;
} pair;

static const pair text_names[] = {
    { "token_embd.weight", "embed_tokens.weight" },
    { "output_norm.weight", "norm.weight" },
    { "output.weight", "lm_head.weight" },
};

/* Behind "blk.N.". */
static const pair layer_names[] = {
    { "attn_norm.weight", "input_layernorm.weight" },
    { "post_attention_norm.weight", "post_attention_layernorm.weight" },
    { "ffn_gate.weight", "mlp.gate_proj.weight" },
    { "ffn_up.weight", "mlp.up_proj.weight" },
    { "ffn_down.weight", "mlp.down_proj.weight" },
    { "attn_q.weight", "self_attn.q_proj.weight" },
    { "attn_k.weight", "self_attn.k_proj.weight" },
    { "attn_v.weight", "self_attn.v_proj.weight" },
    { "attn_output.weight", "self_attn.o_proj.weight" },
    { "attn_q_norm.weight", "self_attn.q_norm.weight" },
    { "attn_k_norm.weight", "self_attn.k_norm.weight" },
    { "attn_qkv.weight", "linear_attn.in_proj_qkv.weight" },
    { "attn_gate.weight", "linear_attn.in_proj_z.weight" },
    { "ssm_beta.weight", "linear_attn.in_proj_b.weight" },
    { "ssm_alpha.weight", "linear_attn.in_proj_a.weight" },
    { "ssm_conv1d.weight", "linear_attn.conv1d.weight" },
    { "ssm_a", "linear_attn.A_log" },
    { "ssm_dt.bias", "linear_attn.dt_bias" },
    { "ssm_norm.weight", "linear_attn.norm.weight" },
    { "ssm_out.weight", "linear_attn.out_proj.weight" },
};

/* Behind "blk.N." of the MTP head, beside those of a layer. */
static const pair mtp_names[] = {
    { "nextn.eh_proj.weight", "fc.weight" },
    { "nextn.enorm.weight", "pre_fc_norm_embedding.weight" },
    { "nextn.hnorm.weight", "pre_fc_norm_hidden.weight" },
    { "nextn.shared_head_norm.weight", "norm.weight" },
};

static const pair vision_names[] = {
    { "v.patch_embd.weight", "patch_embed.proj.weight" }, { "v.patch_embd.weight.1", "patch_embed.proj.weight.1" },
    { "v.patch_embd.bias", "patch_embed.proj.bias" },     { "v.position_embd.weight", "pos_embed.weight" },
    { "v.post_ln.weight", "merger.norm.weight" },         { "v.post_ln.bias", "merger.norm.bias" },
    { "mm.0.weight", "merger.linear_fc1.weight" },        { "mm.0.bias", "merger.linear_fc1.bias" },
    { "mm.2.weight", "merger.linear_fc2.weight" },        { "mm.2.bias", "merger.linear_fc2.bias" },
};

/* Behind "v.blk.N.". */
static const pair block_names[] = {
    { "ln1.weight", "norm1.weight" },
    { "ln1.bias", "norm1.bias" },
    { "ln2.weight", "norm2.weight" },
    { "ln2.bias", "norm2.bias" },
    { "attn_qkv.weight", "attn.qkv.weight" },
    { "attn_qkv.bias", "attn.qkv.bias" },
    { "attn_out.weight", "attn.proj.weight" },
    { "attn_out.bias", "attn.proj.bias" },
    { "ffn_up.weight", "mlp.linear_fc1.weight" },
    { "ffn_up.bias", "mlp.linear_fc1.bias" },
    { "ffn_down.weight", "mlp.linear_fc2.weight" },
    { "ffn_down.bias", "mlp.linear_fc2.bias" },
};

#define FIND(name, pairs) find(name, pairs, sizeof(pairs) / sizeof(pairs)[0])

static const char *find(const char *name, const pair *pairs, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, pairs[i].theirs) == 0)
            return pairs[i].ours;
    return NULL;
}

/* "blk.12.attn_q.weight" with the prefix "blk." -> 12 and "attn_q.weight"; false when it is no such name. */
static bool split(const char *name, const char *prefix, long *number, const char **tail)
{
    size_t n = strlen(prefix);
    if (strncmp(name, prefix, n) != 0)
        return false;
    size_t digits = strspn(name + n, "0123456789");
    if (digits == 0 || digits > 6 || name[n + digits] != '.' || (digits > 1 && name[n] == '0'))
        return false;
    *number = strtol(name + n, NULL, 10);
    *tail = name + n + digits + 1;
    return true;
}

static const char *unknown(char *buf, size_t n, const char *file_name)
{
    snprintf(buf, n, "other.%s", file_name);
    return buf;
}

const char *qw_name_from_gguf_text(char *buf, size_t n, const char *file_name, long n_layers, long n_blocks)
{
    long number;
    const char *tail, *ours = FIND(file_name, text_names);
    if (ours) {
        snprintf(buf, n, "%s", ours);
        return buf;
    }
    if (!split(file_name, "blk.", &number, &tail))
        return unknown(buf, n, file_name);
    bool is_mtp = number >= n_layers && number < n_blocks;
    if (is_mtp && (ours = FIND(tail, mtp_names)))
        snprintf(buf, n, "mtp.%s", ours);
    else if (!(ours = FIND(tail, layer_names)))
        return unknown(buf, n, file_name);
    else if (is_mtp)
        snprintf(buf, n, "mtp.layers.%ld.%s", number - n_layers, ours);
    else
        snprintf(buf, n, "layers.%ld.%s", number, ours);
    return buf;
}

const char *qw_name_from_gguf_vision(char *buf, size_t n, const char *file_name)
{
    long number;
    const char *tail, *ours = FIND(file_name, vision_names);
    if (ours)
        snprintf(buf, n, "visual.%s", ours);
    else if (split(file_name, "v.blk.", &number, &tail) && (ours = FIND(tail, block_names)))
        snprintf(buf, n, "visual.blocks.%ld.%s", number, ours);
    else
        return unknown(buf, n, file_name);
    return buf;
}
