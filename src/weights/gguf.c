/* The frame of a GGUF file (gguf.h): magic, version, two counts, settings (gguf_meta.c), tensors (gguf_tensors.c), data. It comes from
 * outside, so nothing is believed. Stands between the mapped file and gguf_model.c. Tested by tests/unit/test_gguf.c and
 * tests/fuzz/fuzz_gguf.c. */
#include "weights/gguf.h"

#include "base/alloc.h"
#include "weights/gguf_parts.h"

#include <string.h>

#define DEFAULT_ALIGNMENT 32
#define MAX_ALIGNMENT ((int64_t)1 << 30)

/* ---- bytes in order */

bool qw_gguf_take(qw_gguf_cursor *c, size_t n, const uint8_t **bytes)
{
    if (n > (size_t)(c->end - c->at))
        return false;
    *bytes = c->at;
    c->at += n;
    return true;
}

bool qw_gguf_take_32(qw_gguf_cursor *c, uint32_t *out)
{
    const uint8_t *p;
    if (!qw_gguf_take(c, sizeof *out, &p))
        return false;
    memcpy(out, p, sizeof *out); /* little-endian, as the machine: quant/tensor.c insists */
    return true;
}

bool qw_gguf_take_64(qw_gguf_cursor *c, uint64_t *out)
{
    const uint8_t *p;
    if (!qw_gguf_take(c, sizeof *out, &p))
        return false;
    memcpy(out, p, sizeof *out);
    return true;
}

bool qw_gguf_take_text(qw_gguf_cursor *c, qw_gguf_text *out)
{
    const uint8_t *start = c->at, *p;
    uint64_t n;
    if (qw_gguf_take_64(c, &n) && n <= SIZE_MAX && qw_gguf_take(c, (size_t)n, &p)) {
        *out = (qw_gguf_text){ (const char *)p, (size_t)n };
        return true;
    }
    c->at = start;
    return false;
}

qwren_status qw_gguf_fail_short(const qw_gguf_cursor *c, const char *what, size_t index)
{
    return qw_fail(c->err, QWREN_E_FORMAT, "%s: the file ends inside %s %zu: it was cut off, or a length in it lies", c->g->path, what,
                   index);
}

bool qw_gguf_is_name(qw_gguf_text t)
{
    for (size_t i = 0; i < t.len; i++)
        if (t.data[i] <= ' ' || t.data[i] > '~')
            return false;
    return t.len > 0;
}

/* ---- the frame */

static qwren_status check_magic(const qw_gguf_cursor *c)
{
    static const char lfs[] = "version https://git-lfs";
    size_t n = (size_t)(c->end - c->begin);
    if (n >= sizeof lfs - 1 && memcmp(c->begin, lfs, sizeof lfs - 1) == 0)
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: is a pointer of Git LFS, not the weights; fetch them with \"git lfs pull\"",
                       c->g->path);
    if (n < 4 || memcmp(c->begin, "GGUF", 4) != 0)
        return qw_fail(c->err, QWREN_E_FORMAT,
                       "%s: is no GGUF file; a model is a .gguf file, or a folder with config.json and *.safetensors", c->g->path);
    return QWREN_OK;
}

static uint32_t swapped(uint32_t x) { return x >> 24 | (x >> 8 & 0xff00) | (x << 8 & 0xff0000) | x << 24; }

static qwren_status read_version(qw_gguf_cursor *c)
{
    const uint8_t *magic;
    uint32_t version;
    if (!qw_gguf_take(c, 4, &magic) || !qw_gguf_take_32(c, &version))
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: the file ends behind its first four bytes: it was cut off", c->g->path);
    if (version == 2 || version == 3)
        return QWREN_OK;
    if (swapped(version) <= 3 && version)
        return qw_fail(c->err, QWREN_E_UNSUPPORTED,
                       "%s: is a GGUF file for big-endian machines; convert the model again for little-endian ones", c->g->path);
    return qw_fail(c->err, QWREN_E_UNSUPPORTED, "%s: GGUF version %u; versions 2 and 3 are read%s", c->g->path, (unsigned)version,
                   version == 1 ? ": convert the model again" : "");
}

static qwren_status find_alignment(const qw_gguf_cursor *c, size_t *out)
{
    const qw_gguf_value *v = qw_gguf_find(c->g, "general.alignment");
    int64_t x = v ? 0 : DEFAULT_ALIGNMENT;
    qw_gguf_int(v, &x);
    if (x < 1 || x > MAX_ALIGNMENT || (x & (x - 1)))
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: general.alignment is no power of two up to %lld", c->g->path, (long long)MAX_ALIGNMENT);
    *out = (size_t)x;
    return QWREN_OK;
}

static qwren_status read_all(qw_gguf_cursor *c)
{
    uint64_t n_tensors, n_values;
    size_t alignment = DEFAULT_ALIGNMENT;
    QW_TRY(check_magic(c));
    QW_TRY(read_version(c));
    if (!qw_gguf_take_64(c, &n_tensors) || !qw_gguf_take_64(c, &n_values))
        return qw_fail(c->err, QWREN_E_FORMAT, "%s: the file ends inside its first 24 bytes: it was cut off", c->g->path);
    QW_TRY(qw_gguf_read_values(c, n_values));
    QW_TRY(find_alignment(c, &alignment));
    return qw_gguf_read_tensors(c, n_tensors, alignment);
}

/* ---- the face */

static qwren_status create(qw_gguf **out, const char *path, qwren_error *err)
{
    *out = qw_calloc(1, sizeof **out);
    if (!*out)
        return qw_fail_memory(err, sizeof **out, "a GGUF file");
    qw_arena_init(&(*out)->names, 8192);
    (*out)->path = qw_strdup(path);
    return (*out)->path ? QWREN_OK : qw_fail_memory(err, strlen(path) + 1, "a path");
}

static qwren_status finish(qw_gguf **out, qwren_status st)
{
    if (st != QWREN_OK) {
        qw_gguf_close(*out);
        *out = NULL;
    }
    return st;
}

static qwren_status read_bytes(qw_gguf *g, const qw_map *bytes, qwren_error *err)
{
    static const uint8_t nothing[1];
    const uint8_t *begin = bytes->size ? bytes->data : nothing;
    qw_gguf_cursor c = { g, begin, begin, begin + bytes->size, err };
    return read_all(&c);
}

qwren_status qw_gguf_read(qw_gguf **out, const qw_map *bytes, const char *path, qwren_error *err)
{
    qwren_status st = create(out, path, err);
    return finish(out, st == QWREN_OK ? read_bytes(*out, bytes, err) : st);
}

qwren_status qw_gguf_open(qw_gguf **out, const char *path, qwren_error *err)
{
    qwren_status st = create(out, path, err);
    if (st == QWREN_OK)
        st = qw_map_open(&(*out)->own, path, err);
    return finish(out, st == QWREN_OK ? read_bytes(*out, &(*out)->own, err) : st);
}

void qw_gguf_expect(const qw_gguf *g) { qw_map_expect(&g->own); }

void qw_gguf_close(qw_gguf *g)
{
    if (!g)
        return;
    qw_map_close(&g->own);
    qw_free(g->path);
    qw_free(g->values);
    qw_free(g->by_key);
    qw_free(g->tensors);
    qw_arena_deinit(&g->names);
    qw_free(g);
}

const char *qw_gguf_path(const qw_gguf *g) { return g->path; }

const qw_tensor *qw_gguf_tensors(const qw_gguf *g, size_t *n)
{
    *n = g->n_tensors;
    return g->tensors;
}
