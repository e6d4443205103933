/* One mapped safetensors file -> its tensors. Private to weights/. */
#ifndef QW_WEIGHTS_SAFETENSORS_H
#define QW_WEIGHTS_SAFETENSORS_H

#include "base/arena.h"
#include "base/file.h"
#include "quant/tensor.h"

/* A fresh array (qw_free) of the file's tensors in the order of their data. Names live in `names`; data points into the mapping. `path` is
 * the file's, for messages and for the tensors' `file`. On failure *out is NULL. */
qwren_status qw_safetensors_parse(const qw_map *map, const char *path, qw_arena *names, qw_tensor **out, size_t *n_out, qwren_error *err);

#endif
