/* The number formats (types.def) and their sizes. */
#ifndef QW_QUANT_TYPES_H
#define QW_QUANT_TYPES_H

#include <stdbool.h>
#include <stddef.h>

typedef enum qw_type {
#define QW_TYPE(name, tag, block, bytes, kind) QW_TYPE_##name,
#include "quant/types.def"
#undef QW_TYPE
    QW_TYPE_OTHER, /* a format of the file that no layer reads: only its bytes are known */
    QW_TYPE_COUNT
} qw_type;

typedef enum qw_kind { QW_KIND_FLOAT, QW_KIND_INT, QW_KIND_BLOCK, QW_KIND_GROUP, QW_KIND_OTHER } qw_kind;

const char *qw_type_name(qw_type t);                  /* "BF16"; "other" for QW_TYPE_OTHER */
bool qw_type_from_tag(const char *tag, qw_type *out); /* safetensors dtype -> type; false when unknown */
qw_kind qw_type_kind(qw_type t);
size_t qw_type_block(qw_type t);       /* weights in a block; 1 for QW_TYPE_OTHER */
size_t qw_type_block_bytes(qw_type t); /* 0 for QW_TYPE_OTHER; of a GROUP type the codes alone */
bool qw_type_is_float(qw_type t);      /* F32, F16, BF16: usable as a weight without scales */
bool qw_type_is_weight(qw_type t);     /* FLOAT, BLOCK and GROUP: what a layer can multiply with */

/* The affine type of `bits` (2, 3, 4, 5, 6, 8); QW_TYPE_OTHER for other widths. And back: bits of a code of a GROUP type; 0 for other kinds. */
qw_type qw_type_affine(int bits);
int qw_type_bits(qw_type t);
bool qw_type_is_affine(qw_type t);

#endif
