/* config.json of a checkpoint in MLX's layout, made from the source's. Private to convert/. */
#ifndef QW_CONVERT_MLX_CONFIG_H
#define QW_CONVERT_MLX_CONFIG_H

#include "base/json.h"
#include "quant/types.h"

/* A quantised layer: its module path is that of its weight without ".weight". */
typedef struct qw_mlx_layer {
    const char *prefix, *tail; /* of the weight's name (qw_name_to_mlx) */
    int bits, group;
} qw_mlx_layer;

/* E_UNSUPPORTED when the source is quantised already. `where` names the file. */
qwren_status qw_mlx_config_check(const qw_json *source, const char *where, qwren_error *err);

/* The dtype that mlx_lm.convert would cast floats to: torch_dtype, else text_config.dtype. QW_TYPE_OTHER: none. */
qw_type qw_mlx_config_type(const qw_json *source);
bool qw_mlx_config_is_tied(const qw_json *source); /* the head is the embedding */

/* All of the source in its order (but for a model_type that no loader of MLX knows), then "quantization" and "quantization_config": bits
 * and group as the default, an entry for each layer that differs. */
void qw_mlx_config_put(qw_buf *out, const qw_json *source, int bits, int group, const qw_mlx_layer *layers, size_t n);
/* The same for the draft head's folder, as mlx-vlm's drafter reads it. */
void qw_mlx_config_put_mtp(qw_buf *out, const qw_json *source, int bits, int group, const qw_mlx_layer *layers, size_t n);

#endif
