/* Number formats: one table, made from types.def. Tested by tests/unit/test_quant.c. */
#include "quant/types.h"

#include <string.h>

static const struct {
    const char *name, *tag; /* tag "" fits no file */
    size_t block, block_bytes;
} types[QW_TYPE_COUNT] = {
#define QW_TYPE(name, tag, block, bytes) [QW_TYPE_##name] = { #name, tag, block, bytes },
#include "quant/types.def"
#undef QW_TYPE
    [QW_TYPE_OTHER] = { "other", "", 1, 0 },
};

const char *qw_type_name(qw_type t) { return types[t].name; }
size_t qw_type_block(qw_type t) { return types[t].block; }
size_t qw_type_block_bytes(qw_type t) { return types[t].block_bytes; }
bool qw_type_is_float(qw_type t) { return t == QW_TYPE_F32 || t == QW_TYPE_F16 || t == QW_TYPE_BF16; }

bool qw_type_from_tag(const char *tag, qw_type *out)
{
    for (int t = 0; t < QW_TYPE_OTHER; t++)
        if (strcmp(types[t].tag, tag) == 0) {
            *out = (qw_type)t;
            return true;
        }
    return false;
}
