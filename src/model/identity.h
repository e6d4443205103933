/* Which model this is, and how it computes: what decides whether keys, values and states that were saved once mean the same here. */
#ifndef QW_MODEL_IDENTITY_H
#define QW_MODEL_IDENTITY_H

#include "model/model.h"

#define QW_IDENTITY_BYTES 32

/* Equal for the same weights in another folder, whatever the number of threads, and different where results may differ in their bits: other
 * sizes, settings or weights, another type of the cache, another arithmetic, a processor whose kernels round in another way. It looks at
 * names, types and shapes of all tensors, but only at some bytes of each, so it takes milliseconds. It tells models apart that differ by
 * chance or by training, and withstands nobody who means to deceive. `m` was not opened with config_only. */
typedef struct qw_identity {
    uint8_t bytes[QW_IDENTITY_BYTES];
} qw_identity;
qwren_status qw_identity_of(qw_identity *out, const qw_model *m, qw_kv_type cache_type, qwren_error *err);

#endif
