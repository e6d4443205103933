/* Reading the block "quantization" (config_quant.h): defaults, and rules by the module's path. Tested by tests/unit/test_config_quant.c. */
#include "model/config_quant.h"

#include "base/affix.h"
#include "base/alloc.h"
#include "base/file.h"
#include "weights/names.h"
#include "weights/weights.h"

#include <stdio.h>
#include <string.h>

#define MAX_FILE_BYTES ((size_t)4 << 20)

/* ---- one setting: {"bits": 6, "group_size": 64, "mode": "affine"} */

static const struct {
    const char *name;
    qw_type type; /* OTHER: affine */
    int bits, group;
} modes[] = {
    { "affine", QW_TYPE_OTHER, 0, 0 },
    { "mxfp4", QW_TYPE_MXFP4, 4, 32 },
    { "nvfp4", QW_TYPE_NVFP4, 4, 16 },
    { "mxfp8", QW_TYPE_MXFP8, 8, 32 },
};
#define N_MODES (sizeof modes / sizeof modes[0])

/* The row of "mode"; one that is missing is affine. N_MODES when it is unknown. */
static size_t find_mode(const qw_fields *f)
{
    const qw_json *v = qw_field(f, "mode");
    const char *name = v ? qw_json_string(v, NULL) : modes[0].name;
    for (size_t i = 0; name && i < N_MODES; i++)
        if (strcmp(name, modes[i].name) == 0)
            return i;
    return N_MODES;
}

static bool is_one_of(int x, const int *list, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (x == list[i])
            return true;
    return false;
}

static qwren_status check_affine(const qw_fields *f, const qw_quant_setting *s)
{
    static const int bits[] = { 0, 2, 3, 4, 5, 6, 8 }, groups[] = { 0, 32, 64, 128 };
    if (!is_one_of(s->bits, bits, sizeof bits / sizeof *bits))
        return qw_field_fail(f, QWREN_E_UNSUPPORTED, "bits", "supported are 2, 3, 4, 5, 6 and 8");
    if (!is_one_of(s->group, groups, sizeof groups / sizeof *groups))
        return qw_field_fail(f, QWREN_E_UNSUPPORTED, "group_size", "supported are 32, 64 and 128");
    return QWREN_OK;
}

static qwren_status read_setting(qw_quant_setting *out, const qw_fields *f)
{
    *out = (qw_quant_setting){ .stated = true, .mode = QW_TYPE_OTHER };
    QW_TRY(qw_field_int_maybe(f, "bits", 1, 64, &out->bits));
    QW_TRY(qw_field_int_maybe(f, "group_size", 1, 1 << 20, &out->group));
    size_t mode = find_mode(f);
    if (mode == N_MODES)
        return qw_field_fail(f, QWREN_E_UNSUPPORTED, "mode", "supported are \"affine\", \"mxfp4\", \"nvfp4\" and \"mxfp8\"");
    out->mode = modes[mode].type;
    if (out->mode == QW_TYPE_OTHER)
        return check_affine(f, out);
    if (out->bits && out->bits != modes[mode].bits)
        return qw_field_fail(f, QWREN_E_UNSUPPORTED, "bits", "%s has %d", modes[mode].name, modes[mode].bits);
    if (out->group && out->group != modes[mode].group)
        return qw_field_fail(f, QWREN_E_UNSUPPORTED, "group_size", "%s has %d", modes[mode].name, modes[mode].group);
    return QWREN_OK;
}

/* ---- rules: "language_model.model.layers.0.mlp.down_proj": {...}, false or true */

static bool is_rule(const qw_json *v) { return qw_json_is(v, QW_JSON_OBJECT) || qw_json_is(v, QW_JSON_BOOL); }

static qwren_status read_rule(qw_quant_rule *out, const qw_fields *block, const qw_json_iter *it, qw_arena *arena)
{
    char buf[QW_NAME_BYTES], section[QW_NAME_BYTES + 32];
    const char *ours = qw_name_from_file(it->key, buf);
    out->module = qw_arena_strndup(arena, ours, strlen(ours));
    if (!out->module)
        return qw_fail_memory(block->err, strlen(ours), "the name of a module");
    snprintf(section, sizeof section, "%s%s.", block->section, it->key);
    if (qw_json_is(it->value, QW_JSON_OBJECT))
        return read_setting(&out->setting, &(qw_fields){ it->value, block->path, section, block->err });
    out->setting = (qw_quant_setting){ .stated = true, .off = !qw_json_bool(it->value, true), .mode = QW_TYPE_OTHER };
    return QWREN_OK;
}

static qwren_status read_rules(qw_quant_block *out, const qw_fields *block, qw_arena *arena)
{
    size_t bytes = qw_json_size(block->object) * sizeof *out->rules;
    out->rules = qw_arena_alloc(arena, bytes);
    if (!out->rules)
        return qw_fail_memory(block->err, bytes, "the settings of config.json");
    for (qw_json_iter it = qw_json_first(block->object); it.key; qw_json_next(block->object, &it)) {
        if (!is_rule(it.value))
            continue;
        QW_TRY(read_rule(&out->rules[out->n], block, &it, arena));
        out->n++;
    }
    return QWREN_OK;
}

/* ---- the block */

/* Every other way of quantising names itself here; some files for MLX do as well. */
static qwren_status refuse_method(const qw_fields *f)
{
    const qw_json *v = qw_field(f, "quant_method");
    const char *name = v ? qw_json_string(v, NULL) : NULL;
    return v && (!name || strcmp(name, "mlx") != 0)
               ? qw_field_fail(f, QWREN_E_UNSUPPORTED, "quant_method", "supported are BF16, F16 and F32, files quantised for MLX, and GGUF")
               : QWREN_OK;
}

/* MLX writes the block twice, as "quantization" and as "quantization_config"; others only the second, sometimes in text_config. */
static qwren_status find_block(qw_fields *out, const qw_fields *top)
{
    qw_fields text;
    QW_TRY(qw_field_object(top, "quantization", "quantization.", out));
    if (out->object)
        return QWREN_OK;
    QW_TRY(qw_field_object(top, "text_config", "text_config.", &text));
    QW_TRY(qw_field_object(&text, "quantization", "text_config.quantization.", out));
    if (out->object)
        return QWREN_OK;
    QW_TRY(qw_field_object(top, "quantization_config", "quantization_config.", out));
    if (!out->object)
        QW_TRY(qw_field_object(&text, "quantization_config", "text_config.quantization_config.", out));
    return refuse_method(out);
}

qwren_status qw_quant_block_read(qw_quant_block *out, const qw_fields *top, qw_arena *arena)
{
    qw_fields block;
    *out = (qw_quant_block){ 0 };
    QW_TRY(find_block(&block, top));
    if (!block.object)
        return QWREN_OK;
    QW_TRY(read_setting(&out->usual, &block));
    return read_rules(out, &block, arena);
}

/* ---- the files */

static qwren_status read_file(qw_quant_block *out, const char *path, qw_arena *arena, qwren_error *err)
{
    qw_json *root;
    QW_TRY(qw_json_read_file(&root, path, MAX_FILE_BYTES, err));
    qwren_status st = qw_json_is(root, QW_JSON_OBJECT) ? qw_quant_block_read(out, &(qw_fields){ root, path, "", err }, arena)
                                                       : qw_fail(err, QWREN_E_FORMAT, "%s: holds no object", path);
    qw_json_free(root);
    return st;
}

qwren_status qw_quant_config_read(qw_quant_config *out, const char *dir, qw_arena *arena, qwren_error *err)
{
    static const char *const names[] = { "config.json", QW_MTP_FOLDER "/config.json" };
    qw_quant_block *const blocks[] = { &out->main, &out->draft };
    *out = (qw_quant_config){ 0 };
    for (size_t i = 0; i < 2; i++) {
        char *path = qw_path_join(dir, names[i]);
        if (!path)
            return qw_fail_memory(err, strlen(dir) + strlen(names[i]), "a path");
        qwren_status st = i == 0 || qw_file_exists(path) ? read_file(blocks[i], path, arena, err) : QWREN_OK;
        qw_free(path);
        QW_TRY(st);
    }
    return QWREN_OK;
}

/* ---- questions */

qw_quant_setting qw_quant_config_find(const qw_quant_config *c, const qw_tensor *weight)
{
    const bool draft = qw_begins_with(weight->file, QW_MTP_FOLDER "/");
    const char *name = weight->name + (draft ? sizeof "mtp." - 1 : 0);
    const size_t n = strlen(name), tail = sizeof ".weight" - 1;
    if (!c)
        return (qw_quant_setting){ 0 };
    const qw_quant_block *b = draft ? &c->draft : &c->main;
    for (size_t i = 0; i < b->n; i++)
        if (n == strlen(b->rules[i].module) + tail && strncmp(name, b->rules[i].module, n - tail) == 0)
            return b->rules[i].setting;
    return b->usual;
}

const char *qw_quant_setting_text(char *buf, size_t n, const qw_quant_setting *s)
{
    size_t at = 0;
    if (s->off)
        return "no codes";
    for (size_t i = 1; i < N_MODES; i++)
        if (s->mode == modes[i].type)
            return modes[i].name;
    if (!s->bits && !s->group)
        return "affine codes";
    if (s->bits)
        at = (size_t)snprintf(buf, n, "%d bits", s->bits);
    if (s->group && at < n)
        snprintf(buf + at, n - at, "%sgroups of %d", at ? " in " : "", s->group);
    return buf;
}
