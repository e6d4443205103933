/* The index of a checkpoint in several files (shard_index.h): {"metadata": ..., "weight_map": {"tensor": "shard", ...}}. Its file names
 * come from outside and must not lead out of the folder. Tested by tests/unit/test_weights.c. */
#include "weights/shard_index.h"

#include "base/alloc.h"
#include "weights/names.h"

#include <stdlib.h>
#include <string.h>

#define MAX_INDEX_BYTES ((size_t)16 << 20)

static int compare_texts(const void *a, const void *b) { return strcmp(*(const char *const *)a, *(const char *const *)b); }

/* A file of the same folder: no separators, no "." or "..", no NUL. */
static bool is_base_name(const char *s, size_t len)
{
    return len > 0 && strcspn(s, "/\\") == len && strcmp(s, ".") != 0 && strcmp(s, "..") != 0;
}

static qwren_status collect_shards(qw_shard_index *x, const char *path, qwren_error *err)
{
    size_t n = 0, kept = 0;
    x->shards = qw_alloc_array(qw_json_size(x->weight_map), sizeof *x->shards);
    if (!x->shards)
        return qw_fail_memory(err, qw_json_size(x->weight_map) * sizeof *x->shards, "the list of shards");
    for (qw_json_iter it = qw_json_first(x->weight_map); it.key; qw_json_next(x->weight_map, &it)) {
        size_t len;
        const char *shard = qw_json_string(it.value, &len);
        if (!shard)
            return qw_fail(err, QWREN_E_FORMAT, "%s: weight_map: the file of %s is no text", path, it.key);
        if (!is_base_name(shard, len))
            return qw_fail(err, QWREN_E_FORMAT, "%s: weight_map: %s is in \"%s\"; a file beside the index is needed", path, it.key, shard);
        x->shards[n++] = shard;
    }
    qsort(x->shards, n, sizeof *x->shards, compare_texts);
    for (size_t i = 0; i < n; i++)
        if (i == 0 || strcmp(x->shards[i], x->shards[kept - 1]) != 0)
            x->shards[kept++] = x->shards[i];
    x->n_shards = kept;
    return QWREN_OK;
}

qwren_status qw_shard_index_read(qw_shard_index *out, const char *path, qwren_error *err)
{
    *out = (qw_shard_index){ 0 };
    QW_TRY(qw_json_read_file(&out->root, path, MAX_INDEX_BYTES, err));
    out->weight_map = qw_json_get(out->root, "weight_map");
    if (!qw_json_is(out->weight_map, QW_JSON_OBJECT) || qw_json_size(out->weight_map) == 0)
        return qw_fail(err, QWREN_E_FORMAT, "%s: \"weight_map\" is missing, empty or no object", path);
    return collect_shards(out, path, err);
}

void qw_shard_index_deinit(qw_shard_index *x)
{
    qw_free(x->shards);
    qw_json_free(x->root);
    *x = (qw_shard_index){ 0 };
}

/* The tensor with this name of the file. */
static const qw_tensor *find_in_file(const qw_weights *w, const char *file_name)
{
    char buf[QW_NAME_BYTES];
    const qw_tensor *t = qw_weights_find(w, qw_name_from_file(file_name, buf));
    return t && strcmp(t->file_name, file_name) == 0 ? t : NULL;
}

qwren_status qw_shard_index_check(const qw_shard_index *x, const char *path, const qw_weights *w, qwren_error *err)
{
    for (qw_json_iter it = qw_json_first(x->weight_map); it.key; qw_json_next(x->weight_map, &it)) {
        const char *shard = qw_json_string(it.value, NULL);
        const qw_tensor *t = find_in_file(w, it.key);
        if (!t)
            return qw_fail(err, QWREN_E_FORMAT, "%s: weight_map: %s is not in %s, nor in another shard", path, it.key, shard);
        if (strcmp(t->file, shard) != 0)
            return qw_fail(err, QWREN_E_FORMAT, "%s: weight_map: %s should be in %s and is in %s", path, it.key, shard, t->file);
    }
    for (size_t i = 0; i < qw_weights_count(w); i++) {
        const qw_tensor *t = qw_weights_at(w, i);
        if (!qw_json_get(x->weight_map, t->file_name))
            return qw_fail(err, QWREN_E_FORMAT, "%s: weight_map: %s of %s is missing: shard and index are of different checkpoints", path,
                           t->file_name, t->file);
    }
    return QWREN_OK;
}
