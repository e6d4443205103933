/* Tensors that stay in float, as MLX's loaders want them. Private to convert/. */
#ifndef QW_CONVERT_FLOATS_H
#define QW_CONVERT_FLOATS_H

#include "quant/tensor.h"

/* The shape that tensor t of a Hugging Face checkpoint has in MLX's layout. */
void qw_mlx_shape(const qw_tensor *t, size_t shape[QW_MAX_DIMS]);

/* Elements [first, first + n) of the result into out, as `type`: norms hold 1 + w, the convolution is [C, taps, 1], the tower's patch
 * kernel has its colours last. buf is room for n floats. */
void qw_mlx_floats(const qw_tensor *t, qw_type type, size_t first, size_t n, float *buf, void *out);

#endif
