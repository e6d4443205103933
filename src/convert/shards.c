/* Tensors over files (shards.h). Which tensor goes where is decided by the sizes alone, so that a run which goes on decides likewise.
 * Tested by tests/unit/test_folder.c. */
#include "convert/shards.h"

#include "base/alloc.h"
#include "base/file.h"
#include "base/json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define NAME_BYTES 72 /* model-00001-of-00002.safetensors, with numbers of any length */

struct qw_shards {
    qw_st_writer **files;
    size_t n_files;
    size_t *firsts; /* [n_files + 1]: first tensor of each file */
    size_t n;
    uint64_t total_bytes;
};

static void shard_name(char out[NAME_BYTES], size_t k, size_t n)
{
    if (n == 1)
        snprintf(out, NAME_BYTES, "model.safetensors");
    else
        snprintf(out, NAME_BYTES, "model-%05zu-of-%05zu.safetensors", k + 1, n);
}

/* Fills firsts, whose room is for a file per tensor. */
static qwren_status cut(qw_shards *s, const qw_st_entry *entries, uint64_t max_bytes, qwren_error *err)
{
    uint64_t size = 0;
    for (size_t i = 0; i < s->n; i++) {
        size_t bytes;
        if (!qw_st_entry_bytes(&entries[i], &bytes) || bytes > INT64_MAX - s->total_bytes)
            return qw_fail(err, QWREN_E_LIMIT, "tensor %s is too large for a file", entries[i].name);
        if (i == 0 || size + bytes > max_bytes) {
            s->firsts[s->n_files++] = i;
            size = 0;
        }
        size += bytes;
        s->total_bytes += bytes;
    }
    s->firsts[s->n_files] = s->n;
    return QWREN_OK;
}

static qwren_status open_file(qw_shards *s, const char *dir, const qw_st_entry *entries, size_t k, qwren_error *err)
{
    char name[NAME_BYTES];
    shard_name(name, k, s->n_files);
    char *path = qw_path_join(dir, name);
    if (!path)
        return qw_fail_memory(err, strlen(dir) + sizeof name, "a path");
    qwren_status st = qw_st_create(&s->files[k], path, entries + s->firsts[k], s->firsts[k + 1] - s->firsts[k], "mlx", err);
    qw_free(path);
    return st;
}

static qwren_status open_files(qw_shards *s, const char *dir, const qw_st_entry *entries, uint64_t max_bytes, qwren_error *err)
{
    s->firsts = qw_alloc_array(s->n + 1, sizeof *s->firsts);
    if (!s->firsts)
        return qw_fail_memory(err, (s->n + 1) * sizeof *s->firsts, "the list of weight files");
    QW_TRY(cut(s, entries, max_bytes, err));
    s->files = qw_calloc(s->n_files, sizeof(qw_st_writer *));
    if (!s->files)
        return qw_fail_memory(err, s->n_files * sizeof(qw_st_writer *), "the list of weight files");
    for (size_t k = 0; k < s->n_files; k++)
        QW_TRY(open_file(s, dir, entries, k, err));
    return QWREN_OK;
}

qwren_status qw_shards_create(qw_shards **out, const char *dir, const qw_st_entry *entries, size_t n, uint64_t max_bytes, qwren_error *err)
{
    *out = NULL;
    qw_shards *s = qw_calloc(1, sizeof *s);
    if (!s)
        return qw_fail_memory(err, sizeof *s, "the weight files");
    s->n = n;
    qwren_status st = open_files(s, dir, entries, max_bytes, err);
    if (st != QWREN_OK)
        qw_shards_close(s);
    else
        *out = s;
    return st;
}

static size_t file_of(const qw_shards *s, size_t i)
{
    size_t k = 0;
    while (i >= s->firsts[k + 1])
        k++;
    return k;
}

qw_st_writer *qw_shards_of(const qw_shards *s, size_t i, size_t *inner)
{
    size_t k = file_of(s, i);
    *inner = i - s->firsts[k];
    return s->files[k];
}

qwren_status qw_shards_finish(qw_shards *s, qwren_error *err)
{
    for (size_t k = 0; k < s->n_files; k++)
        QW_TRY(qw_st_finish(s->files[k], err));
    return QWREN_OK;
}

void qw_shards_close(qw_shards *s)
{
    if (!s)
        return;
    for (size_t k = 0; s->files && k < s->n_files; k++)
        qw_st_close(s->files[k]);
    qw_free(s->files);
    qw_free(s->firsts);
    qw_free(s);
}

/* ---- the index */

typedef struct place {
    const char *name;
    size_t file;
} place;

static int compare(const void *a, const void *b) { return strcmp(((const place *)a)->name, ((const place *)b)->name); }

qwren_status qw_shards_index(const qw_shards *s, const qw_st_entry *entries, uint64_t n_parameters, qw_buf *out, qwren_error *err)
{
    char file[NAME_BYTES];
    place *sorted = qw_alloc_array(s->n, sizeof *sorted);
    if (!sorted)
        return qw_fail_memory(err, s->n * sizeof *sorted, "the index of the weight files");
    for (size_t i = 0; i < s->n; i++)
        sorted[i] = (place){ entries[i].name, file_of(s, i) };
    if (s->n)
        qsort(sorted, s->n, sizeof *sorted, compare);
    qw_buf_printf(out, "{\n  \"metadata\": {\n    \"total_size\": %llu,\n    \"total_parameters\": %llu\n  },\n  \"weight_map\": {",
                  (unsigned long long)s->total_bytes, (unsigned long long)n_parameters);
    for (size_t i = 0; i < s->n; i++) {
        shard_name(file, sorted[i].file, s->n_files);
        qw_buf_puts(out, i ? ",\n    " : "\n    ");
        qw_json_dump_string(out, sorted[i].name, strlen(sorted[i].name));
        qw_buf_printf(out, ": \"%s\"", file);
    }
    qw_buf_puts(out, "\n  }\n}\n");
    qw_free(sorted);
    return qw_buf_status(out, err);
}
