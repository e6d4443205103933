/* Number formats: one table, made from types.def. Tested by tests/unit/test_quant.c. */
#include "quant/types.h"

#include <string.h>

static const struct {
    const char *name, *tag; /* tag "" fits no file */
    size_t block, block_bytes;
    qw_kind kind;
} types[QW_TYPE_COUNT] = {
#define QW_TYPE(name, tag, block, bytes, kind) [QW_TYPE_##name] = { #name, tag, block, bytes, QW_KIND_##kind },
#include "quant/types.def"
#undef QW_TYPE
    [QW_TYPE_OTHER] = { "other", "", 1, 0, QW_KIND_OTHER },
};

const char *qw_type_name(qw_type t) { return types[t].name; }
qw_kind qw_type_kind(qw_type t) { return types[t].kind; }
size_t qw_type_block(qw_type t) { return types[t].block; }
size_t qw_type_block_bytes(qw_type t) { return types[t].block_bytes; }
bool qw_type_is_float(qw_type t) { return types[t].kind == QW_KIND_FLOAT; }
bool qw_type_is_weight(qw_type t) { return qw_type_is_float(t) || types[t].kind == QW_KIND_BLOCK || types[t].kind == QW_KIND_GROUP; }

bool qw_type_from_tag(const char *tag, qw_type *out)
{
    if (*tag == '\0')
        return false;
    for (int t = 0; t < QW_TYPE_OTHER; t++)
        if (strcmp(types[t].tag, tag) == 0) {
            *out = (qw_type)t;
            return true;
        }
    return false;
}

qw_type qw_type_affine(int bits)
{
    for (qw_type t = QW_TYPE_AFFINE2; t <= QW_TYPE_AFFINE8; t++)
        if (qw_type_bits(t) == bits)
            return t;
    return QW_TYPE_OTHER;
}

bool qw_type_is_affine(qw_type t) { return t >= QW_TYPE_AFFINE2 && t <= QW_TYPE_AFFINE8; }

int qw_type_bits(qw_type t) { return types[t].kind == QW_KIND_GROUP ? (int)(types[t].block_bytes * 8 / types[t].block) : 0; }
