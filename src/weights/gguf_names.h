/* Tensor names of llama.cpp -> ours (names.h). Private to weights/. */
#ifndef QW_WEIGHTS_GGUF_NAMES_H
#define QW_WEIGHTS_GGUF_NAMES_H

#include <stddef.h>

#define QW_GGUF_NAME_BYTES 320 /* enough for both functions */

/* Our name of a tensor of the text model into buf: "blk.3.attn_q.weight" -> "layers.3.self_attn.q_proj.weight". The blocks from n_layers to
 * n_blocks - 1 are the MTP head: our "mtp.". A name that is not known becomes "other." and itself. */
const char *qw_name_from_gguf_text(char *buf, size_t n, const char *file_name, long n_layers, long n_blocks);
/* The same for the file of the image tower: "v.blk.0.ln1.bias" -> "visual.blocks.0.norm1.bias". The second tap of the patch kernel has a
 * name of its own, "visual.patch_embed.proj.weight.1". */
const char *qw_name_from_gguf_vision(char *buf, size_t n, const char *file_name);

#endif
