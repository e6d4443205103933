/* The tensors of a GGUF file (gguf.h): names, shapes, number formats, and where their bytes lie. A tensor exists only after its bytes were
 * found inside the file and apart from those of all others. Used by gguf.c. Tested by tests/unit/test_gguf.c and tests/fuzz/fuzz_gguf.c. */
#include "base/alloc.h"
#include "weights/gguf_parts.h"

#include <stdlib.h>
#include <string.h>

#define MAX_FILE_DIMS 4
#define MAX_NAME_BYTES 255
#define MIN_TENSOR_BYTES 25 /* a name of one letter, no dimension, a format, an offset */

/* ---- number formats, by their number in the file. Those that are QW_TYPE_OTHER have a name and a size, and nobody computes with them. */

typedef struct file_type {
    const char *name; /* NULL: a number that was never given, or was withdrawn */
    size_t block, bytes;
    qw_type type;
} file_type;

/* clang-format off */
#define OURS(name) { #name, 0, 0, QW_TYPE_##name }
#define OTHER(name, block, bytes) { #name, block, bytes, QW_TYPE_OTHER }
static const file_type types[] = {
    [0] = OURS(F32),     [1] = OURS(F16),     [2] = OURS(Q4_0),    [3] = OURS(Q4_1),    [6] = OURS(Q5_0),    [7] = OURS(Q5_1),
    [8] = OURS(Q8_0),    [10] = OURS(Q2_K),   [11] = OURS(Q3_K),   [12] = OURS(Q4_K),   [13] = OURS(Q5_K),   [14] = OURS(Q6_K),
    [20] = OURS(IQ4_NL), [23] = OURS(IQ4_XS), [26] = OURS(I32),    [27] = OURS(I64),    [28] = OURS(F64),    [30] = OURS(BF16),
    [9] = OTHER(Q8_1, 32, 36),       [15] = OTHER(Q8_K, 256, 292),    [16] = OTHER(IQ2_XXS, 256, 66), [17] = OTHER(IQ2_XS, 256, 74),
    [18] = OTHER(IQ3_XXS, 256, 98),  [19] = OTHER(IQ1_S, 256, 50),    [21] = OTHER(IQ3_S, 256, 110),  [22] = OTHER(IQ2_S, 256, 82),
    [24] = OTHER(I8, 1, 1),          [25] = OTHER(I16, 1, 2),         [29] = OTHER(IQ1_M, 256, 56),   [34] = OTHER(TQ1_0, 256, 54),
    [35] = OTHER(TQ2_0, 256, 66),    [39] = OTHER(MXFP4, 32, 17),     [40] = OTHER(NVFP4, 64, 36),    [41] = OTHER(Q1_0, 128, 18),
    [42] = OTHER(Q2_0, 64, 18),
};
/* clang-format on */

static bool find_type(uint32_t id, file_type *out)
{
    if (id >= sizeof types / sizeof types[0] || !types[id].name)
        return false;
    *out = types[id];
    if (out->type != QW_TYPE_OTHER) {
        out->block = qw_type_block(out->type);
        out->bytes = qw_type_block_bytes(out->type);
    }
    return true;
}

/* ---- one entry: name, n_dims, dims innermost first, format, offset */

static qwren_status fail_tensor(const qw_gguf_cursor *c, const qw_tensor *t, const char *what)
{
    return qw_fail(c->err, QWREN_E_FORMAT, "%s: tensor %s: %s", c->g->path, t->file_name, what);
}

static qwren_status fail_short(const qw_gguf_cursor *c, const qw_tensor *t)
{
    return fail_tensor(c, t, "the file ends inside its entry: it was cut off");
}

static qwren_status read_name(qw_gguf_cursor *c, size_t index, qw_tensor *t)
{
    qw_gguf_text name;
    if (!qw_gguf_take_text(c, &name))
        return qw_gguf_fail_short(c, "the name of tensor", index);
    if (!qw_gguf_is_name(name) || name.len > MAX_NAME_BYTES)
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: tensor %zu has a name that is no word of up to %d letters", c->g->path, index,
                       MAX_NAME_BYTES);
    t->file = qw_path_base(c->g->path);
    t->file_name = t->name = qw_arena_strndup(&c->g->names, name.data, name.len);
    return t->name ? QWREN_OK : qw_fail_memory(c->err, name.len, "the name of a tensor");
}

static qwren_status read_shape(qw_gguf_cursor *c, qw_tensor *t)
{
    uint32_t n;
    size_t elements = 1;
    if (!qw_gguf_take_32(c, &n))
        return fail_short(c, t);
    if (n > MAX_FILE_DIMS)
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: tensor %s has %u dimensions; a GGUF file has up to %d", c->g->path, t->file_name,
                       (unsigned)n, MAX_FILE_DIMS);
    t->n_dims = (int)n;
    for (uint32_t i = n; i-- > 0;) {
        uint64_t size;
        if (!qw_gguf_take_64(c, &size))
            return fail_short(c, t);
        if (size > SIZE_MAX || !qw_mul_size(elements, (size_t)size, &elements))
            return fail_tensor(c, t, "its shape overflows");
        t->shape[i] = (size_t)size;
    }
    return QWREN_OK;
}

/* The format, and with it the number of bytes. */
static qwren_status read_type(qw_gguf_cursor *c, qw_tensor *t)
{
    uint32_t id;
    file_type type;
    if (!qw_gguf_take_32(c, &id))
        return fail_short(c, t);
    if (!find_type(id, &type))
        return qw_fail(c->err, QWREN_E_UNSUPPORTED, "%s: tensor %s has the number format %u, which is not known here; supported are %s",
                       c->g->path, t->file_name, (unsigned)id, QW_GGUF_TYPES);
    t->type = type.type;
    t->dtype = type.name;
    if ((t->n_dims ? t->shape[t->n_dims - 1] : 1) % type.block)
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: tensor %s is %s in rows of %zu; they must be multiples of %zu", c->g->path,
                       t->file_name, t->dtype, t->n_dims ? t->shape[t->n_dims - 1] : 1, type.block);
    return qw_mul_size(qw_tensor_elements(t) / type.block, type.bytes, &t->n_bytes) ? QWREN_OK : fail_tensor(c, t, "its shape overflows");
}

/* The offset is kept in *out until the place of the data is known. */
static qwren_status read_tensor(qw_gguf_cursor *c, size_t index, size_t alignment, qw_tensor *t, size_t *out)
{
    uint64_t offset;
    *t = (qw_tensor){ 0 };
    QW_TRY(read_name(c, index, t));
    QW_TRY(read_shape(c, t));
    QW_TRY(read_type(c, t));
    if (!qw_gguf_take_64(c, &offset))
        return fail_short(c, t);
    if (offset > SIZE_MAX || offset % alignment)
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: tensor %s begins at %llu, which is no multiple of %zu", c->g->path, t->file_name,
                       (unsigned long long)offset, alignment);
    *out = (size_t)offset;
    return QWREN_OK;
}

/* ---- all entries together */

/* Where the data begins; a file without data may end before that. */
static const uint8_t *data_begin(const qw_gguf_cursor *c, size_t alignment)
{
    size_t used = (size_t)(c->at - c->begin), padding = (alignment - used % alignment) % alignment;
    return padding < (size_t)(c->end - c->at) ? c->at + padding : c->end;
}

static qwren_status place(const qw_gguf_cursor *c, const uint8_t *data, size_t offset, qw_tensor *t)
{
    size_t rest = (size_t)(c->end - data);
    if (offset > rest || t->n_bytes > rest - offset)
        return qw_fail(c->err, QWREN_E_FORMAT,
                       "%s: tensor %s needs %zu bytes from byte %zu of %zu: the file was cut off, or its header lies", c->g->path,
                       t->file_name, t->n_bytes, offset, rest);
    t->data = data + offset;
    return QWREN_OK;
}

/* By place; of two at one place the empty one comes first. */
static int compare_places(const void *a, const void *b)
{
    const qw_tensor *x = *(const qw_tensor *const *)a, *y = *(const qw_tensor *const *)b;
    const uint8_t *p = x->data, *q = y->data;
    if (p != q)
        return p < q ? -1 : 1;
    return x->n_bytes < y->n_bytes ? -1 : x->n_bytes > y->n_bytes;
}

static qwren_status check_overlap(const qw_gguf_cursor *c)
{
    const qw_gguf *g = c->g;
    qwren_status st = QWREN_OK;
    const qw_tensor **by_place = qw_alloc_array(g->n_tensors, sizeof *by_place);
    if (!by_place)
        return qw_fail_memory(c->err, g->n_tensors * sizeof *by_place, "the places of the tensors");
    for (size_t i = 0; i < g->n_tensors; i++)
        by_place[i] = &g->tensors[i];
    if (g->n_tensors > 1)
        qsort(by_place, g->n_tensors, sizeof *by_place, compare_places);
    for (size_t i = 1; i < g->n_tensors && st == QWREN_OK; i++) {
        const qw_tensor *a = by_place[i - 1], *b = by_place[i];
        if ((const uint8_t *)a->data + a->n_bytes > (const uint8_t *)b->data)
            st = qw_fail(c->err, QWREN_E_FORMAT, "%s: tensors %s and %s overlap", g->path, a->file_name, b->file_name);
    }
    qw_free(by_place);
    return st;
}

static qwren_status place_all(const qw_gguf_cursor *c, const size_t *offsets, size_t alignment)
{
    const uint8_t *data = data_begin(c, alignment);
    for (size_t i = 0; i < c->g->n_tensors; i++)
        QW_TRY(place(c, data, offsets[i], &c->g->tensors[i]));
    return check_overlap(c);
}

qwren_status qw_gguf_read_tensors(qw_gguf_cursor *c, uint64_t n, size_t alignment)
{
    qw_gguf *g = c->g;
    qwren_status st = QWREN_OK;
    if (n > (size_t)(c->end - c->at) / MIN_TENSOR_BYTES)
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: claims %llu tensors, more than its bytes can hold: it was cut off, or damaged", g->path,
                       (unsigned long long)n);
    size_t *offsets = qw_alloc_array((size_t)n, sizeof *offsets);
    g->tensors = qw_alloc_array((size_t)n, sizeof *g->tensors);
    if (!g->tensors || !offsets)
        st = qw_fail_memory(c->err, (size_t)n * sizeof *g->tensors, "the list of tensors");
    for (; st == QWREN_OK && g->n_tensors < n; g->n_tensors++)
        st = read_tensor(c, g->n_tensors, alignment, &g->tensors[g->n_tensors], &offsets[g->n_tensors]);
    if (st == QWREN_OK)
        st = place_all(c, offsets, alignment);
    qw_free(offsets);
    return st;
}
