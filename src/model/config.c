/* The configuration of a checkpoint: three JSON files, read and checked against each other before anything is made from them. config_text.c
 * and config_vision.c read the parts. Stands between the files and bind.c. Tested by tests/unit/test_config.c, tests/fuzz/fuzz_config.c. */
#include "model/config.h"

#include "base/alloc.h"
#include "base/file.h"
#include "model/config_parts.h"

#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#define MAX_FILE_BYTES ((size_t)4 << 20)

/* ---- which model is it? */

static const char *const architectures[] = { "Qwen3_5ForConditionalGeneration", "Qwen3_5ForCausalLM" };
#define N_ARCHITECTURES (sizeof architectures / sizeof architectures[0])

static const char *known_architecture(const qw_json *v)
{
    const char *name = qw_json_string(v, NULL);
    for (size_t i = 0; name && i < N_ARCHITECTURES; i++)
        if (strcmp(name, architectures[i]) == 0)
            return architectures[i];
    return NULL;
}

/* By "architectures", or without it by "model_type". */
static qwren_status read_architecture(qw_config *out, const qw_fields *top)
{
    const qw_json *list = qw_field(top, "architectures");
    const char *type = qw_json_string(qw_field(top, "model_type"), NULL), *found = NULL;
    for (size_t i = 0; i < qw_json_size(list) && !found; i++)
        found = known_architecture(qw_json_at(list, i));
    if (!list && type)
        found = architectures[strcmp(type, "qwen3_5_text") == 0];
    if (!found)
        return qw_field_fail(top, QWREN_E_UNSUPPORTED, "architectures", "supported are %s and %s", architectures[0], architectures[1]);
    snprintf(out->architecture, sizeof out->architecture, "%s", found);
    return qw_field_must_be_text(top, "model_type", "qwen3_5", "qwen3_5_text");
}

/* ---- tokens */

static qwren_status add_eos(qw_config *out, const qw_fields *f, const qw_json *v)
{
    int64_t id = qw_json_int(v, -1);
    if (id < 0 || id >= out->text.vocab_size)
        return qw_field_fail(f, QWREN_E_FORMAT, "eos_token_id", "token ids are whole numbers from 0 to %d", out->text.vocab_size - 1);
    for (int i = 0; i < out->n_eos; i++)
        if (out->eos[i] == id)
            return QWREN_OK;
    if (out->n_eos == QW_MAX_EOS)
        return qw_field_fail(f, QWREN_E_LIMIT, "eos_token_id", "all files together may name up to %d", QW_MAX_EOS);
    out->eos[out->n_eos++] = (int32_t)id;
    return QWREN_OK;
}

/* A number or a list. */
static qwren_status add_all_eos(qw_config *out, const qw_fields *f)
{
    const qw_json *v = qw_field(f, "eos_token_id");
    if (v && !qw_json_is(v, QW_JSON_ARRAY))
        return add_eos(out, f, v);
    for (size_t i = 0; i < qw_json_size(v); i++)
        QW_TRY(add_eos(out, f, qw_json_at(v, i)));
    return QWREN_OK;
}

static qwren_status read_token(const qw_config *c, const qw_fields *top, const char *key, int32_t *out)
{
    int64_t id = -1;
    QW_TRY(qw_field_int64_maybe(top, key, 0, c->text.vocab_size - 1, &id));
    *out = (int32_t)id;
    return QWREN_OK;
}

static qwren_status read_tokens(qw_config *out, const qw_fields *top, const qw_fields *text)
{
    QW_TRY(read_token(out, top, "image_token_id", &out->image_token));
    QW_TRY(read_token(out, top, "video_token_id", &out->video_token));
    QW_TRY(read_token(out, top, "vision_start_token_id", &out->vision_start_token));
    QW_TRY(read_token(out, top, "vision_end_token_id", &out->vision_end_token));
    if (out->vision.present && out->image_token < 0)
        return qw_field_fail(top, QWREN_E_FORMAT, "image_token_id", "a model with vision_config needs it");
    if (out->image_token >= 0 && out->image_token == out->video_token)
        return qw_field_fail(top, QWREN_E_FORMAT, "video_token_id", "it must differ from image_token_id");
    QW_TRY(add_all_eos(out, top));
    return text->object == top->object ? QWREN_OK : add_all_eos(out, text);
}

/* ---- the files */

qwren_status qw_model_config_read(qw_config *out, const qw_fields *top)
{
    qw_fields text, vision;
    QW_TRY(read_architecture(out, top));
    QW_TRY(qw_field_object(top, "text_config", "text_config.", &text));
    QW_TRY(qw_field_object(top, "vision_config", "vision_config.", &vision));
    if (!text.object)
        text = *top;
    QW_TRY(qw_text_config_read(&out->text, top, &text));
    QW_TRY(qw_vision_config_read(&out->vision, &vision, &out->text));
    return read_tokens(out, top, &text);
}

static qwren_status read_processor(qw_config *out, const qw_fields *f)
{
    qw_fields inner = *f;
    if (!out->vision.present)
        inner.object = NULL; /* nobody will look at a picture */
    else if (qw_json_is(qw_field(f, "image_processor"), QW_JSON_OBJECT))
        QW_TRY(qw_field_object(f, "image_processor", "image_processor.", &inner));
    return qw_processor_config_read(&out->processor, &inner, &out->vision);
}

qwren_status qw_generation_config_read(qw_generation_config *out, const qw_fields *f)
{
    double none = (double)NAN;
    *out = (qw_generation_config){ none, none, none, none, none, -1, true };
    QW_TRY(qw_field_number_maybe(f, "temperature", 0, 100, &out->temperature));
    QW_TRY(qw_field_number_maybe(f, "top_p", 0, 1, &out->top_p));
    QW_TRY(qw_field_number_maybe(f, "min_p", 0, 1, &out->min_p));
    QW_TRY(qw_field_number_maybe(f, "presence_penalty", -100, 100, &out->presence_penalty));
    QW_TRY(qw_field_number_maybe(f, "repetition_penalty", 0.01, 100, &out->repetition_penalty));
    QW_TRY(qw_field_int_maybe(f, "top_k", 0, INT_MAX, &out->top_k));
    return qw_field_bool_maybe(f, "do_sample", &out->do_sample);
}

static qwren_status read_generation(qw_config *out, const qw_fields *f)
{
    QW_TRY(qw_generation_config_read(&out->generation, f));
    return add_all_eos(out, f);
}

typedef qwren_status (*part_fn)(qw_config *out, const qw_fields *f);

/* The first of the files that exists goes to fn; when none does, fn gets an object of NULL, or an error is written. */
static qwren_status read_file(qw_config *out, const char *dir, const char *name, const char *other, bool required, part_fn fn,
                              qwren_error *err)
{
    qw_json *root = NULL;
    qwren_status st;
    char *path = qw_path_join(dir, name);
    if (path && other && access(path, F_OK) != 0) {
        qw_free(path);
        path = qw_path_join(dir, other);
    }
    if (!path)
        return qw_fail_memory(err, strlen(dir) + strlen(name), "a path");
    if (required || access(path, F_OK) == 0)
        QW_TRY_GOTO(st, qw_json_read_file(&root, path, MAX_FILE_BYTES, err), done);
    if (root && !qw_json_is(root, QW_JSON_OBJECT))
        st = qw_fail(err, QWREN_E_FORMAT, "%s: holds no object", path);
    else
        st = fn(out, &(qw_fields){ root, path, "", err });
done:
    qw_json_free(root);
    qw_free(path);
    return st;
}

static qwren_status need_config(const char *dir, qwren_error *err)
{
    char *path = qw_path_join(dir, "config.json");
    if (!path)
        return qw_fail_memory(err, strlen(dir) + 12, "a path");
    const bool there = access(path, F_OK) == 0;
    qw_free(path);
    return there ? QWREN_OK
                 : qw_fail(err, QWREN_E_IO, "%s: has neither config.json nor a .gguf file; a model is a folder with one of them", dir);
}

qwren_status qw_config_read(qw_config *out, const char *dir, qwren_error *err)
{
    if (qw_path_is_special(dir))
        return qw_fail(err, QWREN_E_IO, "%s: is no regular file or folder", dir);
    if (!qw_dir_exists(dir))
        return qw_fail(err, QWREN_E_IO,
                       "%s: no such folder; a model is a folder with config.json, tokenizer.json and *.safetensors, or a .gguf file",
                       *dir ? dir : "\"\"");
    QW_TRY(need_config(dir, err));
    *out = (qw_config){ 0 };
    QW_TRY(read_file(out, dir, "config.json", NULL, true, qw_model_config_read, err));
    QW_TRY(read_file(out, dir, "preprocessor_config.json", "processor_config.json", false, read_processor, err));
    return read_file(out, dir, "generation_config.json", NULL, false, read_generation, err);
}
