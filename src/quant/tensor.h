/* A named array that points into a mapping: what weights/ produces and model/bind.c distributes to the layers. */
#ifndef QW_QUANT_TENSOR_H
#define QW_QUANT_TENSOR_H

#include "base/status.h"
#include "quant/types.h"

#define QW_MAX_DIMS 5
#define QW_SHAPE_TEXT_BYTES 128 /* enough for qw_shape_text() */

typedef struct qw_tensor {
    const char
        *name; /* our name: the Hugging Face name without its model prefix (weights/names.h), e.g. "layers.3.self_attn.q_proj.weight" */
    const char *file_name; /* the name in the file */
    const char *file;      /* base name of the file */
    const char *dtype;     /* the type as the file spells it, for messages: "F8_E4M3" where `type` is QW_TYPE_OTHER */
    qw_type type;
    int n_dims;                /* 0: one value */
    size_t shape[QW_MAX_DIMS]; /* outermost first; row-major; the product fits size_t */
    const void *data;          /* may be unaligned: safetensors promises nothing */
    size_t n_bytes;            /* elements * size of the type, checked, unless it is QW_TYPE_OTHER */
} qw_tensor;

size_t qw_tensor_elements(const qw_tensor *t);
/* All values as float into out [elements]; float formats only. Handles unaligned data. */
void qw_tensor_to_f32(const qw_tensor *t, float *out);
/* "[2, 3]" into buf, for messages. */
const char *qw_shape_text(char *buf, size_t n, int n_dims, const size_t *shape);

#endif
