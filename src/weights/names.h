/* Each container's tensor names -> ours. Ours are the Hugging Face names without the model prefix; MLX's codes come with X.scales and
 * X.biases:
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

#define QW_NAME_BYTES 256
/* Our name of a tensor or module of a safetensors checkpoint, Hugging Face's or MLX's: file_name without its model prefix, or with
 * vision_tower. turned into visual. A tail of file_name, or text in buf [QW_NAME_BYTES]; a longer name, which no layer reads, may stay as
 * it is. */
const char *qw_name_from_file(const char *file_name, char *buf);

/* "X.weight" -> "X.scales" or "X.biases" (`suffix` with the point) in buf [QW_NAME_BYTES]; NULL when the name does not end so or is too
 * long. */
const char *qw_name_beside(const char *weight_name, const char *suffix, char *buf);
/* And back: "X.scales", "X.biases" -> "X.weight"; NULL for other names. */
const char *qw_name_of_codes(const char *name, char *buf);

/* Our name -> that of MLX: *prefix, followed by the tail of our_name that is returned. Text and vision are names of the main files, the
 * MTP head's are those of a folder of its own. */
const char *qw_name_to_mlx(const char *our_name, const char **prefix);

#endif
