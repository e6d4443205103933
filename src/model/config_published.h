/* The published models by name: their configurations and tensors, as config.json and the headers of their files give them. For models that
 * are made up at a real shape. */
#ifndef QW_MODEL_CONFIG_PUBLISHED_H
#define QW_MODEL_CONFIG_PUBLISHED_H

#include "model/config.h"

/* "0.8B", "2B", "4B", "9B", and "tiny", which nobody published: a model of that kind for tests. False when there is no such name. */
bool qw_config_published(qw_config *out, const char *name);
#define QW_PUBLISHED_TEXT "0.8B, 2B, 4B and 9B"

/* Calls fn for every tensor of the model with our name and the shape that it has in MLX's layout, in the order of its files. */
typedef qwren_status (*qw_tensor_fn)(void *ctx, const char *name, int n_dims, const size_t *shape, qwren_error *err);
qwren_status qw_config_each_tensor(const qw_config *c, qw_tensor_fn fn, void *ctx, qwren_error *err);

#endif
