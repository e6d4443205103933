/* The folder of a quantised model until its tensors are laid out (folder.h): where it lies, what an earlier run left, which tensor stands
 * where. What is put into it stands in folder_write.c. Tested by tests/unit/test_folder.c. */
#include "convert/folder.h"

#include "base/affix.h"
#include "base/alloc.h"
#include "base/buf.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/hash.h"
#include "convert/encode.h"
#include "convert/floats.h"
#include "convert/folder_state.h"
#include "convert/mlx_config.h"
#include "convert/side_files.h"
#include "weights/names.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define MAX_CONFIG_BYTES ((size_t)16 << 20)
#define HEX_BYTES 17

static void put_hex(char out[HEX_BYTES], uint64_t x) { snprintf(out, HEX_BYTES, "%016llx", (unsigned long long)x); }

/* ---- the run: source and options */

static qwren_status read_config(qw_json **config, qw_folder_rules *rules, const char *src, qwren_error *err)
{
    char *path = qw_path_join(src, "config.json");
    if (!path)
        return qw_fail_memory(err, strlen(src), "a path");
    qwren_status st = qw_json_read_file(config, path, MAX_CONFIG_BYTES, err);
    if (st == QWREN_OK)
        st = qw_mlx_config_check(*config, path, err);
    qw_free(path);
    QW_TRY(st);
    *rules = (qw_folder_rules){ qw_mlx_config_type(*config), qw_mlx_config_is_tied(*config) };
    return QWREN_OK;
}

/* What tells this run from one that must not be gone on with. */
static qwren_status name_run(const qw_folder *f, const char *options, char out[HEX_BYTES], qwren_error *err)
{
    const int codes = QW_CODES_VERSION;
    uint64_t stamp;
    qw_hash h;
    QW_TRY(qw_side_files_stamp(f->place.src, &stamp, err));
    qw_hash_init(&h);
    qw_hash_add(&h, qwren_version(), strlen(qwren_version()) + 1);
    qw_hash_add(&h, &codes, sizeof codes);
    qw_hash_add(&h, options, strlen(options) + 1);
    qw_hash_add(&h, &stamp, sizeof stamp);
    put_hex(out, qw_hash_value(&h));
    return QWREN_OK;
}

/* Goes on with the journal that is there, or begins it. */
static qwren_status begin_run(qw_folder *f, const qw_folder_options *opt, qwren_error *err)
{
    char run[HEX_BYTES];
    QW_TRY(name_run(f, opt->options ? opt->options : "", run, err));
    bool same =
        f->journal.n && strcmp(qw_journal_field(&f->journal, 0, 0), "run") == 0 && strcmp(qw_journal_field(&f->journal, 0, 1), run) == 0;
    if (same && !opt->fresh) {
        qw_place_sweep(&f->place);
        return QWREN_OK;
    }
    if (f->journal.n && !opt->fresh)
        return qw_fail(
            err, QWREN_E_IO,
            "%s: holds unfinished work with other options or of another source; finish that first, or throw it away with --no-resume",
            f->place.partial);
    QW_TRY(qw_journal_clear(&f->journal, err));
    QW_TRY(qw_place_empty(&f->place, err));
    return qw_journal_add(&f->journal, (const char *const[QW_JOURNAL_FIELDS]){ "run", run }, err);
}

static qwren_status open_folder(qw_folder *f, const qw_folder_options *opt, qwren_error *err)
{
    QW_TRY(qw_place_check(&f->place, opt->src, opt->dst, opt->force, err));
    QW_TRY(qw_place_take(&f->place, err));
    QW_TRY(read_config(&f->config, &f->rules, f->place.src, err));
    QW_TRY(qw_side_files_left(f->place.src, &f->left, err));
    char *path = qw_path_join(f->place.partial, QW_JOURNAL_NAME);
    if (!path)
        return qw_fail_memory(err, strlen(f->place.partial), "a path");
    qwren_status st = qw_journal_open(&f->journal, path, err);
    qw_free(path);
    f->locked = st == QWREN_OK;
    QW_TRY(st);
    return begin_run(f, opt, err);
}

qwren_status qw_folder_check(const char *src, const char *dst, bool force, qwren_error *err)
{
    qw_place place;
    qwren_status st = qw_place_check(&place, src, dst, force, err);
    qw_place_deinit(&place);
    return st;
}

qwren_status qw_folder_open(qw_folder **out, const qw_folder_options *opt, qwren_error *err)
{
    *out = NULL;
    qw_folder *f = qw_calloc(1, sizeof *f);
    if (!f)
        return qw_fail_memory(err, sizeof *f, "the output folder");
    f->journal.fd = -1;
    qw_arena_init(&f->names, 16384);
    qwren_status st = open_folder(f, opt, err);
    if (st != QWREN_OK)
        qw_folder_close(f);
    else
        *out = f;
    return st;
}

/* Work worth keeping is a finished tensor or a kept text. */
static bool is_worthless(const qw_folder *f)
{
    const qw_journal *j = &f->journal;
    return !f->finished && qw_journal_last(j, "done", NULL) == j->n && qw_journal_last(j, "kept", NULL) == j->n;
}

/* Without the lock the folder may be another process's by now. */
static void drop_worthless(const qw_folder *f)
{
    if (f->locked && is_worthless(f))
        qw_place_drop(&f->place);
    else if (!f->locked && f->place.made_partial)
        rmdir(f->place.partial); /* when it is empty */
}

static void close_files(qw_folder_files *files)
{
    qw_shards_close(files->shards);
    qw_free(files->entries);
}

void qw_folder_close(qw_folder *f)
{
    if (!f)
        return;
    close_files(&f->main);
    close_files(&f->mtp);
    drop_worthless(f);
    qw_journal_close(&f->journal);
    qw_place_deinit(&f->place);
    qw_json_free(f->config);
    qw_arena_deinit(&f->names);
    qw_names_deinit(&f->left);
    qw_free(f->items);
    qw_free(f);
}

/* ---- questions about tensors */

qwren_status qw_folder_rules_read(qw_folder_rules *out, const char *src, qwren_error *err)
{
    qw_json *config = NULL;
    qwren_status st = read_config(&config, out, src, err);
    qw_json_free(config);
    return st;
}

bool qw_rules_take(const qw_folder_rules *r, const qw_tensor *source)
{
    if (r->tied && strcmp(source->name, "lm_head.weight") == 0)
        return false;
    return qw_part_of(source->name) != QW_PART_OTHER;
}

qw_type qw_rules_type(const qw_folder_rules *r, const qw_tensor *source)
{
    const bool keeps = qw_ends_with(source->name, ".A_log");
    return keeps || r->float_type == QW_TYPE_OTHER ? source->type : r->float_type;
}

uint64_t qw_rules_bytes(const qw_folder_rules *r, const qw_folder_tensor *t)
{
    uint64_t n = qw_tensor_elements(t->source), size = qw_type_block_bytes(qw_rules_type(r, t->source));
    if (t->type == QW_TYPE_OTHER)
        return n * size;
    return n / qw_type_block(t->type) * qw_type_block_bytes(t->type) + 2 * (n / (uint64_t)t->group) * size;
}

const qw_names *qw_folder_left(const qw_folder *f) { return &f->left; }
const qw_folder_rules *qw_folder_rules_of(const qw_folder *f) { return &f->rules; }
bool qw_folder_takes(const qw_folder *f, const qw_tensor *source) { return qw_rules_take(&f->rules, source); }
qw_type qw_folder_type_of(const qw_folder *f, const qw_tensor *source) { return qw_rules_type(&f->rules, source); }

/* ---- laying out */

static qwren_status fail_plan(const qw_folder_item *item, const char *what, qwren_error *err)
{
    char shape[QW_SHAPE_TEXT_BYTES];
    return qw_fail(err, QWREN_E_INTERNAL, "%s: %s %s of %s", item->source.name, what,
                   qw_shape_text(shape, sizeof shape, item->source.n_dims, item->source.shape), item->source.dtype);
}

static qwren_status check_item(const qw_folder *f, const qw_folder_item *item, qwren_error *err)
{
    if (!qw_type_is_float(item->source.type))
        return qw_fail(err, QWREN_E_UNSUPPORTED, "%s: %s is of type %s; a checkpoint with floats (BF16, F16, F32) is needed",
                       item->source.file, item->source.file_name, item->source.dtype);
    if (!qw_folder_takes(f, &item->source))
        return fail_plan(item, "belongs to no part of the model:", err);
    if (item->t.type == QW_TYPE_OTHER)
        return QWREN_OK;
    if (!qw_type_is_affine(item->t.type) || item->source.n_dims != 2 || item->t.group <= 0 ||
        item->source.shape[1] % (size_t)item->t.group || item->t.group % 32)
        return fail_plan(item, "has no codes:", err);
    return QWREN_OK;
}

/* The name in the file, its ".weight" replaced when `end` is not NULL. */
static const char *entry_name(qw_folder *f, const char *name, const char *end)
{
    const char *prefix, *tail = qw_name_to_mlx(name, &prefix);
    size_t n = strlen(tail);
    if (end && qw_ends_with(tail, ".weight"))
        n -= strlen(".weight");
    size_t size = strlen(prefix) + n + (end ? strlen(end) : 0) + 1;
    char *out = qw_arena_alloc(&f->names, size);
    if (out)
        snprintf(out, size, "%s%.*s%s", prefix, (int)n, tail, end ? end : "");
    return out;
}

static qwren_status add_entry(qw_folder *f, qw_folder_item *item, const char *end, qw_type type, int n_dims, const size_t *shape,
                              qwren_error *err)
{
    qw_st_entry *e = &item->files->entries[item->files->n];
    *e = (qw_st_entry){ .name = entry_name(f, item->source.name, end), .type = type, .n_dims = n_dims };
    if (!e->name)
        return qw_fail_memory(err, strlen(item->source.name), "the name of a tensor");
    memcpy(e->shape, shape, (size_t)n_dims * sizeof *shape);
    item->files->n++;
    item->n_entries++;
    return QWREN_OK;
}

static qwren_status add_entries(qw_folder *f, qw_folder_item *item, qwren_error *err)
{
    const qw_tensor *t = &item->source;
    size_t shape[QW_MAX_DIMS];
    item->entry = item->files->n;
    item->files->n_parameters += qw_tensor_elements(t);
    if (item->t.type == QW_TYPE_OTHER) {
        qw_mlx_shape(t, shape);
        return add_entry(f, item, NULL, item->float_type, t->n_dims, shape, err);
    }
    shape[0] = t->shape[0];
    shape[1] = t->shape[1] / qw_type_block(item->t.type) * qw_type_block_bytes(item->t.type) / 4;
    QW_TRY(add_entry(f, item, NULL, QW_TYPE_U32, 2, shape, err));
    shape[1] = t->shape[1] / (size_t)item->t.group;
    QW_TRY(add_entry(f, item, ".scales", item->float_type, 2, shape, err));
    return add_entry(f, item, ".biases", item->float_type, 2, shape, err);
}

static qwren_status lay_out(qw_folder *f, const qw_folder_tensor *tensors, qwren_error *err)
{
    size_t most;
    bool fits = qw_mul_size(f->n, 3, &most);
    f->items = fits ? qw_calloc(f->n, sizeof *f->items) : NULL;
    f->main.entries = f->items ? qw_alloc_array(most, sizeof *f->main.entries) : NULL;
    f->mtp.entries = f->items ? qw_alloc_array(most, sizeof *f->mtp.entries) : NULL;
    if (!f->main.entries || !f->mtp.entries)
        return qw_fail_memory(err, f->n * sizeof *f->items, "the list of tensors");
    for (size_t i = 0; i < f->n; i++) {
        qw_folder_item *item = &f->items[i];
        item->t = tensors[i];
        item->source = *tensors[i].source;
        item->t.source = &item->source;
        item->float_type = qw_folder_type_of(f, &item->source);
        item->files = qw_part_of(item->source.name) == QW_PART_MTP ? &f->mtp : &f->main;
        QW_TRY(check_item(f, item, err));
        QW_TRY(add_entries(f, item, err));
    }
    return QWREN_OK;
}

static qwren_status open_files(const qw_folder *f, qw_folder_files *files, const char *sub, uint64_t max_bytes, qwren_error *err)
{
    if (!files->n)
        return QWREN_OK;
    char *dir = qw_path_join(f->place.partial, sub);
    if (!dir)
        return qw_fail_memory(err, strlen(f->place.partial), "a path");
    qwren_status st = qw_dir_make(dir, err);
    if (st == QWREN_OK)
        st = qw_shards_create(&files->shards, dir, files->entries, files->n, max_bytes, err);
    qw_free(dir);
    return st;
}

/* ---- what an earlier run finished */

static void name_plan(const qw_folder *f, char out[HEX_BYTES])
{
    qw_hash h;
    qw_hash_init(&h);
    for (size_t i = 0; i < f->n; i++) {
        const qw_folder_item *item = &f->items[i];
        int facts[] = { (int)item->t.type, item->t.group, (int)item->float_type };
        qw_hash_add(&h, item->source.name, strlen(item->source.name) + 1);
        qw_hash_add(&h, facts, sizeof facts);
        qw_hash_add(&h, item->source.shape, (size_t)item->source.n_dims * sizeof *item->source.shape);
    }
    put_hex(out, qw_hash_value(&h));
}

/* A line counts when the bytes it speaks of are in the file: after a power cut they may not be. */
static qwren_status take_over(qw_folder *f, size_t line, qwren_error *err)
{
    char sum[HEX_BYTES];
    size_t i = (size_t)strtoull(qw_journal_field(&f->journal, line, 1), NULL, 10);
    if (i >= f->n)
        return QWREN_OK;
    qw_folder_item *item = &f->items[i];
    item->done = false;
    QW_TRY(qw_folder_sum(item, &item->checksum, err));
    put_hex(sum, item->checksum);
    item->done = strcmp(qw_journal_field(&f->journal, line, 2), sum) == 0;
    item->line = line;
    return QWREN_OK;
}

static qwren_status take_over_all(qw_folder *f, qwren_error *err)
{
    char plan[HEX_BYTES];
    name_plan(f, plan);
    size_t line = qw_journal_last(&f->journal, "plan", NULL);
    if (line == f->journal.n || strcmp(qw_journal_field(&f->journal, line, 1), plan) != 0)
        return qw_journal_add(&f->journal, (const char *const[QW_JOURNAL_FIELDS]){ "plan", plan }, err);
    for (; line < f->journal.n; line++)
        if (strcmp(qw_journal_field(&f->journal, line, 0), "done") == 0)
            QW_TRY(take_over(f, line, err));
    return QWREN_OK;
}

qwren_status qw_folder_plan(qw_folder *f, const qw_folder_tensor *tensors, size_t n, int bits, int group, qwren_error *err)
{
    f->n = n;
    f->bits = bits;
    f->group = group;
    QW_TRY(lay_out(f, tensors, err));
    QW_TRY(open_files(f, &f->main, "", QW_SHARD_BYTES, err));
    QW_TRY(open_files(f, &f->mtp, "mtp", UINT64_MAX, err)); /* mlx-vlm looks for one file */
    return take_over_all(f, err);
}

bool qw_folder_is_done(const qw_folder *f, size_t i) { return f->items[i].done; }
