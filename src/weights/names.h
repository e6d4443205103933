/* Each container's tensor names -> ours. Ours are the Hugging Face names without the model prefix:
 *   text    embed_tokens.weight  layers.N.<...>  norm.weight  lm_head.weight
 *   vision  visual.<...>  (visual.patch_embed.proj.weight, visual.blocks.N.attn.qkv.weight, visual.merger.norm.weight, ...)
 *   MTP     mtp.<...>     (mtp.fc.weight, mtp.layers.0.self_attn.q_proj.weight, ...) */
#ifndef QW_WEIGHTS_NAMES_H
#define QW_WEIGHTS_NAMES_H

#include <stddef.h>

typedef enum qw_part { QW_PART_TEXT, QW_PART_VISION, QW_PART_MTP, QW_PART_OTHER } qw_part;

/* Part of our name; "other" is what no layer reads (rotary_emb.inv_freq, unknown extras). */
qw_part qw_part_of(const char *our_name);
const char *qw_part_name(qw_part p); /* "text", "vision", "mtp", "other" */

/* The tail of a Hugging Face name that is our name (a pointer into hf_name): strips model.language_model., model.visual. -> visual., model.mtp. -> mtp., model. */
const char *qw_name_from_hf(const char *hf_name);

/* Our name -> that of MLX: *prefix, followed by the tail of our_name that is returned. Text and vision are names of the main files, the
 * MTP head's are those of a folder of its own. */
const char *qw_name_to_mlx(const char *our_name, const char **prefix);

#endif
