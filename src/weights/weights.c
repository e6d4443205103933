/* The weights of a model: which files a checkpoint's folder has, their mappings, and tensors found by our name. The containers are read in
 * safetensors.c and gguf.c. Tested by tests/unit/test_weights.c, tests/unit/test_model_random.c and tests/unit/test_safetensors.c. */
#include "weights/weights.h"

#include "base/affix.h"
#include "base/alloc.h"
#include "base/arena.h"
#include "base/file.h"
#include "base/log.h"
#include "weights/gguf_model.h"
#include "weights/names.h"
#include "weights/safetensors.h"
#include "weights/shard_index.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define INDEX_NAME "model.safetensors.index.json"

struct qw_weights {
    qw_arena names; /* names and paths */
    qw_map *maps;
    size_t n_maps;
    qw_tensor *tensors; /* in file order */
    size_t n;
    const qw_tensor **by_name; /* sorted by our name */
    qw_layout layout;
    qw_gguf_model gguf; /* no parts for safetensors */
};

qw_layout qw_weights_layout(const qw_weights *w) { return w->layout; }
const qw_gguf *qw_weights_gguf(const qw_weights *w) { return w->gguf.n_parts ? w->gguf.parts[0] : NULL; }
const qw_gguf *qw_weights_mmproj(const qw_weights *w) { return w->gguf.mmproj; }

/* ---- files */

static qwren_status append(qw_weights *w, const qw_tensor *tensors, size_t n, qwren_error *err)
{
    qw_tensor *grown = qw_realloc_array(w->tensors, w->n + n, sizeof *grown);
    if (!grown)
        return qw_fail_memory(err, (w->n + n) * sizeof *grown, "the list of tensors");
    memcpy(grown + w->n, tensors, n * sizeof *grown);
    w->tensors = grown;
    w->n += n;
    return QWREN_OK;
}

static qwren_status add_file(qw_weights *w, const char *path, qwren_error *err)
{
    qw_tensor *tensors;
    size_t n;
    const char *kept = qw_arena_strndup(&w->names, path, strlen(path)); /* the tensors point at its base name */
    qw_map *grown = qw_realloc_array(w->maps, w->n_maps + 1, sizeof *grown);
    if (grown)
        w->maps = grown;
    if (!kept || !grown)
        return qw_fail_memory(err, strlen(path) + (w->n_maps + 1) * sizeof *grown, "the list of files");
    QW_TRY(qw_map_open(&w->maps[w->n_maps], kept, err));
    w->n_maps++;
    QW_TRY(qw_safetensors_parse(&w->maps[w->n_maps - 1], kept, &w->names, &tensors, &n, err));
    qwren_status st = append(w, tensors, n, err);
    qw_free(tensors);
    return st;
}

static qwren_status add_file_of(qw_weights *w, const char *dir, const char *name, qwren_error *err)
{
    char *path = qw_path_join(dir, name);
    if (!path)
        return qw_fail_memory(err, strlen(dir) + strlen(name), "a path");
    qwren_status st = add_file(w, path, err);
    qw_free(path);
    return st;
}

/* ---- names */

/* Equal names, which are an error, stay in file order. */
static int compare_names(const void *a, const void *b)
{
    const qw_tensor *x = *(const qw_tensor *const *)a, *y = *(const qw_tensor *const *)b;
    int order = strcmp(x->name, y->name);
    return order ? order : x < y ? -1 : x > y;
}

static qwren_status sort_names(qw_weights *w, qwren_error *err)
{
    qw_free(w->by_name);
    w->by_name = qw_alloc_array(w->n, sizeof *w->by_name);
    if (!w->by_name)
        return qw_fail_memory(err, w->n * sizeof *w->by_name, "the names of the tensors");
    for (size_t i = 0; i < w->n; i++)
        w->by_name[i] = &w->tensors[i];
    if (w->n > 1)
        qsort(w->by_name, w->n, sizeof *w->by_name, compare_names);
    for (size_t i = 1; i < w->n; i++) {
        const qw_tensor *a = w->by_name[i - 1], *b = w->by_name[i];
        if (strcmp(a->name, b->name) == 0)
            return qw_fail(err, QWREN_E_FORMAT, "%s of %s and %s of %s are the same tensor", a->file_name, a->file, b->file_name, b->file);
    }
    return QWREN_OK;
}

/* ---- who wrote it */

/* The convolutions tell, as they do to MLX's own loaders: [C, taps, 1] is MLX, [C, 1, taps] Hugging Face. Without one the names decide. */
static qwren_status find_layout(qw_weights *w, qwren_error *err)
{
    const qw_tensor *of[2] = { NULL, NULL }; /* a convolution of each layout */
    bool mlx_names = false;
    for (size_t i = 0; i < w->n; i++) {
        const qw_tensor *t = &w->tensors[i];
        mlx_names = mlx_names || qw_begins_with(t->file_name, "language_model.") || qw_begins_with(t->file_name, "vision_tower.");
        if (t->n_dims == 3 && qw_ends_with(t->name, ".conv1d.weight"))
            of[t->shape[2] == 1] = t;
    }
    if (of[0] && of[1])
        return qw_fail(err, QWREN_E_FORMAT,
                       "%s of %s is in the form of Hugging Face, %s of %s in that of MLX: files of two checkpoints are mixed",
                       of[0]->file_name, of[0]->file, of[1]->file_name, of[1]->file);
    w->layout = of[1] || (mlx_names && !of[0]) ? QW_LAYOUT_MLX : QW_LAYOUT_HF;
    return QWREN_OK;
}

/* ---- folders */

static qwren_status add_sharded(qw_weights *w, const char *dir, const char *index_path, qwren_error *err)
{
    qw_shard_index x;
    qwren_status st;
    QW_TRY_GOTO(st, qw_shard_index_read(&x, index_path, err), done);
    for (size_t i = 0; i < x.n_shards; i++)
        QW_TRY_GOTO(st, add_file_of(w, dir, x.shards[i], err), done);
    QW_TRY_GOTO(st, sort_names(w, err), done);
    st = qw_shard_index_check(&x, index_path, w, err);
done:
    qw_shard_index_deinit(&x);
    return st;
}

static qwren_status add_single(qw_weights *w, const char *dir, qwren_error *err)
{
    static const char *const names[] = { "model.safetensors", "model.safetensors-00001-of-00001.safetensors",
                                         "model-00001-of-00001.safetensors" };
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        char *path = qw_path_join(dir, names[i]);
        if (!path)
            return qw_fail_memory(err, strlen(dir) + strlen(names[i]), "a path");
        bool exists = qw_file_exists(path);
        qwren_status st = exists ? add_file(w, path, err) : QWREN_OK;
        qw_free(path);
        if (exists) {
            QW_TRY(st);
            return sort_names(w, err);
        }
    }
    return qw_fail(err, QWREN_E_IO, "%s: has neither %s nor %s; a checkpoint in the layout of Hugging Face is needed", dir, names[0],
                   INDEX_NAME);
}

/* The tensors from `first` on are of the draft head's own file, where they have no "mtp.". */
static qwren_status rename_draft_head(qw_weights *w, size_t first, const char *file, qwren_error *err)
{
    const char *kept = qw_arena_strndup(&w->names, file, strlen(file));
    if (!kept)
        return qw_fail_memory(err, strlen(file), "the name of a file");
    for (size_t i = first; i < w->n; i++) {
        qw_tensor *t = &w->tensors[i];
        char name[QW_NAME_BYTES];
        t->file = kept;
        if (qw_begins_with(t->name, "mtp."))
            return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: tensor %s: a draft head for MLX has names without \"mtp.\"; make it with mlx-vlm",
                           file, t->file_name);
        snprintf(name, sizeof name, "mtp.%.*s", (int)(sizeof name - sizeof "mtp."), t->file_name);
        t->name = qw_arena_strndup(&w->names, name, strlen(name));
        if (!t->name)
            return qw_fail_memory(err, strlen(name), "the name of a tensor");
    }
    return QWREN_OK;
}

static bool has_draft_head(const qw_weights *w, size_t first)
{
    for (size_t i = first; i < w->n; i++)
        if (qw_part_of(w->tensors[i].name) == QW_PART_MTP)
            return true;
    return false;
}

/* Whoever made the folder meant to draft. */
static qwren_status warn_of_no_head(const char *dir, qwren_error *err)
{
    char *path = qw_path_join(dir, QW_MTP_FOLDER);
    if (!path)
        return qw_fail_memory(err, strlen(dir) + sizeof QW_MTP_FOLDER, "a path");
    if (qw_dir_exists(path))
        qw_log(QWREN_LOG_WARN, "%s: holds no draft head that can be read (model.safetensors with fc.weight and so on): it is not used",
               path);
    qw_free(path);
    return QWREN_OK;
}

static qwren_status add_draft_head(qw_weights *w, const char *dir, qwren_error *err)
{
    static const char file[] = QW_MTP_FOLDER "/model.safetensors";
    char *path = qw_path_join(dir, file);
    if (!path)
        return qw_fail_memory(err, strlen(dir) + sizeof file, "a path");
    size_t first = w->n;
    bool exists = qw_file_exists(path);
    qwren_status st = exists ? add_file(w, path, err) : QWREN_OK;
    qw_free(path);
    QW_TRY(st);
    if (!exists)
        return warn_of_no_head(dir, err);
    QW_TRY(rename_draft_head(w, first, file, err));
    if (!has_draft_head(w, first))
        QW_TRY(warn_of_no_head(dir, err));
    return sort_names(w, err);
}

static qwren_status add_folder(qw_weights *w, const char *dir, qwren_error *err)
{
    if (!qw_dir_exists(dir))
        return qw_fail(err, QWREN_E_IO, "%s: is no folder that can be read; a model is a folder with config.json and model.safetensors",
                       dir);
    char *index_path = qw_path_join(dir, INDEX_NAME);
    if (!index_path)
        return qw_fail_memory(err, strlen(dir) + sizeof INDEX_NAME, "a path");
    qwren_status st = qw_file_exists(index_path) ? add_sharded(w, dir, index_path, err) : add_single(w, dir, err);
    qw_free(index_path);
    QW_TRY(st);
    QW_TRY(find_layout(w, err));
    return w->layout == QW_LAYOUT_MLX ? add_draft_head(w, dir, err) : QWREN_OK;
}

/* ---- GGUF */

static qwren_status add_gguf(qw_weights *w, qwren_error *err)
{
    QW_TRY(qw_gguf_model_tensors(&w->gguf, &w->names, &w->tensors, &w->n, err));
    w->layout = QW_LAYOUT_GGUF;
    return sort_names(w, err);
}

/* ---- the face */

static qwren_status create(qw_weights **out, qwren_error *err)
{
    *out = qw_calloc(1, sizeof **out);
    if (!*out)
        return qw_fail_memory(err, sizeof **out, "the weights");
    qw_arena_init(&(*out)->names, 16384);
    return QWREN_OK;
}

static qwren_status finish(qw_weights **out, qwren_status st)
{
    if (st != QWREN_OK) {
        qw_weights_close(*out);
        *out = NULL;
    }
    return st;
}

qwren_status qw_weights_open(qw_weights **out, const char *path, qwren_error *err)
{
    QW_TRY(create(out, err));
    return finish(out, add_folder(*out, path, err));
}

static qwren_status add_one_file(qw_weights *w, const char *path, qwren_error *err)
{
    QW_TRY(add_file(w, path, err));
    QW_TRY(sort_names(w, err));
    return find_layout(w, err);
}

qwren_status qw_weights_open_gguf(qw_weights **out, const char *path, const char *mmproj, qwren_error *err)
{
    QW_TRY(create(out, err));
    qwren_status st = qw_gguf_model_open(&(*out)->gguf, path, mmproj, err);
    return finish(out, st == QWREN_OK ? add_gguf(*out, err) : st);
}

qwren_status qw_weights_read_gguf(qw_weights **out, const qw_map *model, const qw_map *mmproj, qwren_error *err)
{
    QW_TRY(create(out, err));
    qwren_status st = qw_gguf_model_read(&(*out)->gguf, model, mmproj, err);
    return finish(out, st == QWREN_OK ? add_gguf(*out, err) : st);
}

qwren_status qw_weights_open_file(qw_weights **out, const char *path, qwren_error *err)
{
    QW_TRY(create(out, err));
    return finish(out, add_one_file(*out, path, err));
}

static qwren_status add_made(qw_weights *w, const qw_tensor *tensors, size_t n, qw_map *memory, qwren_error *err)
{
    w->maps = qw_alloc_array(1, sizeof *w->maps);
    if (!w->maps)
        return qw_fail_memory(err, sizeof *w->maps, "the list of files");
    w->maps[w->n_maps++] = *memory;
    *memory = (qw_map){ 0 };
    QW_TRY(append(w, tensors, n, err));
    for (size_t i = 0; i < n; i++) {
        w->tensors[i].name = w->tensors[i].file_name = qw_arena_strndup(&w->names, tensors[i].name, strlen(tensors[i].name));
        if (!w->tensors[i].name)
            return qw_fail_memory(err, strlen(tensors[i].name), "the name of a tensor");
    }
    QW_TRY(sort_names(w, err));
    return find_layout(w, err);
}

qwren_status qw_weights_make(qw_weights **out, const qw_tensor *tensors, size_t n, qw_map *memory, qwren_error *err)
{
    qwren_status st = create(out, err);
    if (st == QWREN_OK)
        st = finish(out, add_made(*out, tensors, n, memory, err));
    qw_map_close(memory);
    return st;
}

qwren_status qw_weights_expect(const qw_weights *w, bool lock, qwren_error *err)
{
    for (size_t i = 0; i < w->n_maps; i++)
        qw_map_expect(&w->maps[i]);
    qw_gguf_model_expect(&w->gguf);
    for (size_t i = 0; lock && i < w->n; i++)
        QW_TRY(qw_map_lock(w->tensors[i].data, w->tensors[i].n_bytes, err));
    return QWREN_OK;
}

void qw_weights_close(qw_weights *w)
{
    if (!w)
        return;
    for (size_t i = 0; i < w->n_maps; i++)
        qw_map_close(&w->maps[i]);
    qw_gguf_model_close(&w->gguf);
    qw_free(w->maps);
    qw_free(w->tensors);
    qw_free(w->by_name);
    qw_arena_deinit(&w->names);
    qw_free(w);
}

size_t qw_weights_count(const qw_weights *w) { return w->n; }
const qw_tensor *qw_weights_at(const qw_weights *w, size_t i) { return &w->tensors[i]; }

const qw_tensor *qw_weights_find(const qw_weights *w, const char *our_name)
{
    size_t low = 0, high = w->n;
    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order = strcmp(our_name, w->by_name[middle]->name);
        if (order == 0)
            return w->by_name[middle];
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return NULL;
}
