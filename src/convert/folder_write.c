/* What is put into the folder of a quantised model (folder.h): rows of codes, floats, small files, and at the end all that makes it
 * loadable. Tested by tests/unit/test_folder.c. */
#include "base/alloc.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/hash.h"
#include "convert/floats.h"
#include "convert/folder_state.h"
#include "convert/mlx_config.h"
#include "convert/side_files.h"
#include "weights/names.h"

#include <stdio.h>
#include <string.h>

#define PIECE ((size_t)1 << 18) /* elements, or bytes of a checksum, at once */

/* ---- tensors */

static qwren_status check_rows(const qw_folder_item *item, size_t first, const qw_matrix *rows, qwren_error *err)
{
    const qw_tensor *t = &item->source;
    if (item->t.type == QW_TYPE_OTHER || rows->type != item->t.type || rows->group != item->t.group ||
        rows->scale_type != item->float_type || rows->cols != t->shape[1] || first > t->shape[0] || rows->rows > t->shape[0] - first)
        return qw_fail(err, QWREN_E_INTERNAL, "%s: rows %zu to %zu are not what was planned", t->name, first, first + rows->rows);
    return QWREN_OK;
}

static size_t scale_row_bytes(const qw_folder_item *item)
{
    return item->source.shape[1] / (size_t)item->t.group * qw_type_block_bytes(item->float_type);
}

static qwren_status put_part(const qw_folder_item *item, size_t part, size_t offset, const void *bytes, size_t n, qwren_error *err)
{
    size_t inner;
    qw_st_writer *w = qw_shards_of(item->files->shards, item->entry + part, &inner);
    return qw_st_write(w, inner, offset, bytes, n, err);
}

static qwren_status get_part(const qw_folder_item *item, size_t part, size_t offset, void *bytes, size_t n, qwren_error *err)
{
    size_t inner;
    const qw_st_writer *w = qw_shards_of(item->files->shards, item->entry + part, &inner);
    return qw_st_read(w, inner, offset, bytes, n, err);
}

qwren_status qw_folder_put_rows(qw_folder *f, size_t i, size_t first, const qw_matrix *rows, qwren_error *err)
{
    const qw_folder_item *item = &f->items[i];
    size_t codes = qw_matrix_row_bytes(rows), scales;
    QW_TRY(check_rows(item, first, rows, err));
    scales = scale_row_bytes(item);
    QW_TRY(put_part(item, 0, first * codes, rows->data, rows->rows * codes, err));
    QW_TRY(put_part(item, 1, first * scales, rows->scales, rows->rows * scales, err));
    return put_part(item, 2, first * scales, rows->biases, rows->rows * scales, err);
}

qwren_status qw_folder_get_rows(const qw_folder *f, size_t i, size_t first, const qw_matrix *rows, qwren_error *err)
{
    const qw_folder_item *item = &f->items[i];
    union {
        const void *given;
        void *taken;
    } data = { rows->data }, scale = { rows->scales }, bias = { rows->biases };
    size_t codes = qw_matrix_row_bytes(rows), scales;
    QW_TRY(check_rows(item, first, rows, err));
    scales = scale_row_bytes(item);
    QW_TRY(get_part(item, 0, first * codes, data.taken, rows->rows * codes, err));
    QW_TRY(get_part(item, 1, first * scales, scale.taken, rows->rows * scales, err));
    return get_part(item, 2, first * scales, bias.taken, rows->rows * scales, err);
}

qwren_status qw_folder_put_float(qw_folder *f, size_t i, qwren_error *err)
{
    const qw_folder_item *item = &f->items[i];
    size_t n = qw_tensor_elements(&item->source), size = qw_type_block_bytes(item->float_type), piece = n < PIECE ? n : PIECE;
    if (item->t.type != QW_TYPE_OTHER)
        return qw_fail(err, QWREN_E_INTERNAL, "%s: was planned to become codes", item->source.name);
    float *buf = qw_alloc_array(2 * piece + 1, sizeof *buf), *out = buf ? buf + piece : NULL;
    if (!buf)
        return qw_fail_memory(err, 2 * piece * sizeof *buf, "a piece of a tensor");
    qwren_status st = QWREN_OK;
    for (size_t at = 0; st == QWREN_OK && at < n; at += piece) {
        size_t here = n - at < piece ? n - at : piece;
        qw_mlx_floats(&item->source, item->float_type, at, here, buf, out);
        st = put_part(item, 0, at * size, out, here * size, err);
    }
    qw_free(buf);
    return st;
}

static qwren_status sum_part(const qw_folder_item *item, size_t part, unsigned char *buf, qw_hash *h, qwren_error *err)
{
    size_t n;
    qw_st_entry_bytes(&item->files->entries[item->entry + part], &n);
    for (size_t at = 0; at < n; at += PIECE) {
        size_t here = n - at < PIECE ? n - at : PIECE;
        QW_TRY(get_part(item, part, at, buf, here, err));
        qw_hash_add(h, buf, here);
    }
    return QWREN_OK;
}

qwren_status qw_folder_sum(const qw_folder_item *item, uint64_t *out, qwren_error *err)
{
    qw_hash h;
    unsigned char *buf = qw_malloc(PIECE);
    if (!buf)
        return qw_fail_memory(err, PIECE, "a checksum");
    qwren_status st = QWREN_OK;
    qw_hash_init(&h);
    for (size_t part = 0; st == QWREN_OK && part < item->n_entries; part++)
        st = sum_part(item, part, buf, &h, err);
    *out = qw_hash_value(&h);
    qw_free(buf);
    return st;
}

/* What is in the file is summed, not what was handed over: the journal vouches for the file. */
qwren_status qw_folder_done(qw_folder *f, size_t i, const char *record, qwren_error *err)
{
    char number[24], sum[24];
    qw_folder_item *item = &f->items[i];
    QW_TRY(qw_folder_sum(item, &item->checksum, err));
    snprintf(number, sizeof number, "%zu", i);
    snprintf(sum, sizeof sum, "%016llx", (unsigned long long)item->checksum);
    QW_TRY(qw_journal_add(&f->journal, (const char *const[QW_JOURNAL_FIELDS]){ "done", number, sum, record }, err));
    item->line = f->journal.n - 1;
    item->done = true;
    return QWREN_OK;
}

const char *qw_folder_record(const qw_folder *f, size_t i) { return qw_journal_field(&f->journal, f->items[i].line, 3); }
uint64_t qw_folder_checksum(const qw_folder *f, size_t i) { return f->items[i].checksum; }

/* ---- texts that are kept, files of ours */

qwren_status qw_folder_keep(qw_folder *f, const char *name, const char *line, qwren_error *err)
{
    return qw_journal_add(&f->journal, (const char *const[QW_JOURNAL_FIELDS]){ "kept", name, line }, err);
}

const char *qw_folder_kept(const qw_folder *f, const char *name)
{
    size_t i = qw_journal_last(&f->journal, "kept", name);
    return i < f->journal.n ? qw_journal_field(&f->journal, i, 2) : NULL;
}

/* The folder above the file is made, one level deep; who opens the file is told when that failed. */
static bool make_sub(const qw_folder *f, const char *name, size_t n)
{
    char *sub = qw_strndup(name, n), *dir = sub ? qw_path_join(f->place.partial, sub) : NULL;
    bool known = dir != NULL;
    if (known)
        qw_dir_make(dir, NULL);
    qw_free(sub);
    qw_free(dir);
    return known;
}

char *qw_folder_path(const qw_folder *f, const char *name)
{
    const char *slash = strchr(name, '/');
    if (slash && !make_sub(f, name, (size_t)(slash - name)))
        return NULL;
    return qw_path_join(f->place.partial, name);
}

qwren_status qw_folder_put_file(qw_folder *f, const char *name, const void *bytes, size_t n, qwren_error *err)
{
    char *path = qw_folder_path(f, name);
    if (!path)
        return qw_fail_memory(err, strlen(name), "a path");
    qwren_status st = qw_file_write(path, bytes, n, err);
    qw_free(path);
    return st;
}

/* ---- the end */

static qwren_status put_text(qw_folder *f, const char *name, const qw_buf *text, qwren_error *err)
{
    QW_TRY(qw_buf_status(text, err));
    return qw_folder_put_file(f, name, text->data, text->len, err);
}

static qwren_status put_index(qw_folder *f, qwren_error *err)
{
    qw_buf text = QW_BUF_INIT;
    if (!f->main.shards)
        return QWREN_OK;
    qwren_status st = qw_shards_index(f->main.shards, f->main.entries, f->main.n_parameters, &text, err);
    if (st == QWREN_OK)
        st = put_text(f, "model.safetensors.index.json", &text, err);
    qw_buf_free(&text);
    return st;
}

static size_t list_layers(const qw_folder *f, const qw_folder_files *files, qw_mlx_layer *out)
{
    size_t n = 0;
    for (size_t i = 0; i < f->n; i++) {
        const qw_folder_item *item = &f->items[i];
        if (item->files != files || item->t.type == QW_TYPE_OTHER)
            continue;
        out[n] = (qw_mlx_layer){ .bits = qw_type_bits(item->t.type), .group = item->t.group };
        out[n].tail = qw_name_to_mlx(item->source.name, &out[n].prefix);
        n++;
    }
    return n;
}

/* The draft head's default is what its first layer has. */
static qwren_status put_config(qw_folder *f, const qw_folder_files *files, const char *name, qwren_error *err)
{
    qw_buf text = QW_BUF_INIT;
    qw_mlx_layer *layers = qw_alloc_array(f->n, sizeof *layers);
    if (!layers)
        return qw_fail_memory(err, f->n * sizeof *layers, "the list of quantised layers");
    size_t n = list_layers(f, files, layers);
    if (files == &f->mtp)
        qw_mlx_config_put_mtp(&text, f->config, n ? layers[0].bits : 0, n ? layers[0].group : 0, layers, n);
    else
        qw_mlx_config_put(&text, f->config, f->bits, f->group, layers, n);
    qwren_status st = put_text(f, name, &text, err);
    qw_buf_free(&text);
    qw_free(layers);
    return st;
}

static qwren_status sync_sub(const qw_folder *f, const char *sub, qwren_error *err)
{
    char *dir = qw_path_join(f->place.partial, sub);
    if (!dir)
        return qw_fail_memory(err, strlen(f->place.partial), "a path");
    qwren_status st = qw_dir_exists(dir) ? qw_dir_sync(dir, err) : QWREN_OK;
    qw_free(dir);
    return st;
}

static qwren_status finish_mtp(qw_folder *f, qwren_error *err)
{
    QW_TRY(qw_shards_finish(f->mtp.shards, err));
    QW_TRY(put_config(f, &f->mtp, "mtp/config.json", err));
    return sync_sub(f, "mtp", err);
}

static qwren_status check_done(const qw_folder *f, qwren_error *err)
{
    for (size_t i = 0; i < f->n; i++)
        if (!f->items[i].done)
            return qw_fail(err, QWREN_E_INTERNAL, "%s: was never written", f->items[i].source.name);
    return QWREN_OK;
}

/* config.json is the last file: without it nobody takes the folder for a model. */
qwren_status qw_folder_finish(qw_folder *f, qwren_error *err)
{
    QW_TRY(check_done(f, err));
    if (f->main.shards)
        QW_TRY(qw_shards_finish(f->main.shards, err));
    if (f->mtp.shards)
        QW_TRY(finish_mtp(f, err));
    QW_TRY(sync_sub(f, "qwren", err));
    QW_TRY(put_index(f, err));
    QW_TRY(qw_side_files_copy(f->place.src, f->place.partial, err));
    QW_TRY(put_config(f, &f->main, "config.json", err));
    QW_TRY(qw_place_finish(&f->place, err));
    f->finished = true;
    return QWREN_OK;
}
