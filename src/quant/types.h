/* The number formats (types.def) and their sizes. */
#ifndef QW_QUANT_TYPES_H
#define QW_QUANT_TYPES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum qw_type {
#define QW_TYPE(name, tag, block, bytes) QW_TYPE_##name,
#include "quant/types.def"
#undef QW_TYPE
    QW_TYPE_OTHER, /* a format of the file that no layer reads: only its bytes are known */
    QW_TYPE_COUNT
} qw_type;

const char *qw_type_name(qw_type t);                  /* "BF16"; "other" for QW_TYPE_OTHER */
bool qw_type_from_tag(const char *tag, qw_type *out); /* safetensors dtype -> type; false when unknown */
size_t qw_type_block(qw_type t);                      /* weights in a block; 1 for QW_TYPE_OTHER */
size_t qw_type_block_bytes(qw_type t);                /* 0 for QW_TYPE_OTHER */
bool qw_type_is_float(qw_type t);                     /* F32, F16, BF16: usable as a weight without scales */

#endif
