/* Any bytes as a safetensors file: refused with a sentence, or tensors that lie inside it, fill it, and have the size of their shape. */
#include <stdint.h>
#include <stdlib.h>

#include "base/alloc.h"
#include "weights/safetensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    qw_map map = { size ? data : NULL, size, false };
    qw_arena names;
    qw_tensor *tensors;
    size_t n, sum = 0;
    qwren_error err = { QWREN_OK, "" };
    qw_arena_init(&names, 1024);
    qwren_status st = qw_safetensors_parse(&map, "fuzz.safetensors", &names, &tensors, &n, &err);
    if (st != QWREN_OK && (tensors || n || !err.text[0]))
        abort();
    for (size_t i = 0; i < n; i++) {
        const qw_tensor *t = &tensors[i];
        const uint8_t *begin = t->data;
        if (begin < data || begin > data + size || t->n_bytes > (size_t)(data + size - begin))
            abort();
        if (t->type != QW_TYPE_OTHER && t->n_bytes != qw_tensor_elements(t) * qw_type_block_bytes(t->type))
            abort();
        sum += t->n_bytes;
    }
    if (st == QWREN_OK && sum > size - 8)
        abort();
    qw_free(tensors);
    qw_arena_deinit(&names);
    return 0;
}
