/* qwren_doctor: the steps of the examination, from the headers to the values. Tested by tests/unit/test_doctor.c and
 * tests/cli/doctor.sh. */
#include "api/doctor.h"

#include "api/options.h"
#include "api/tokenizer.h"
#include "base/affix.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/machine.h"
#include "runtime/memplan.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

qwren_doctor_options qwren_doctor_options_default(void) { return (qwren_doctor_options){ .struct_size = sizeof(qwren_doctor_options) }; }

/* ---- what is found and told */

static char *format(const char *fmt, va_list args)
{
    char text[768];
    vsnprintf(text, sizeof text, fmt, args);
    return qw_strdup(text);
}

static qwren_status add_finding(qw_doctor *d, qw_check check, char *tensor, char *text, bool whole, qwren_error *err)
{
    const bool full = (d->n_findings & (d->n_findings - 1)) == 0; /* the room is a power of two */
    qw_finding *more = !whole ? NULL
                       : full ? qw_realloc_array(d->findings, d->n_findings ? 2 * d->n_findings : 1, sizeof *more)
                              : d->findings;
    if (!more) {
        qw_free(tensor);
        qw_free(text);
        return qw_fail_memory(err, sizeof *more, "a finding");
    }
    d->findings = more;
    d->findings[d->n_findings++] = (qw_finding){ check, tensor, text };
    d->found[check]++;
    return QWREN_OK;
}

qwren_status qw_doctor_find(qw_doctor *d, qw_check check, const char *tensor, qwren_error *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = format(fmt, args), *name = tensor ? qw_strdup(tensor) : NULL;
    va_end(args);
    return add_finding(d, check, name, text, text && (name || !tensor), err);
}

qwren_status qw_doctor_tell(qw_doctor *d, qw_check check, bool done, qwren_error *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = format(fmt, args);
    va_end(args);
    qw_free(d->told[check]);
    d->told[check] = text;
    d->done[check] = done;
    return text ? QWREN_OK : qw_fail_memory(err, 128, "a sentence");
}

qwren_status qw_doctor_note(qw_doctor *d, qw_check check, qwren_error *err, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    char *text = format(fmt, args), *before = d->told[check];
    va_end(args);
    d->told[check] = NULL;
    qwren_status st = text ? qw_doctor_tell(d, check, d->done[check], err, "%s; note: %s", before ? before : "", text)
                           : qw_fail_memory(err, 128, "a sentence");
    qw_free(before);
    qw_free(text);
    return st;
}

qwren_status qw_doctor_settle(qw_doctor *d, qw_check check, const char *tensor, qwren_status st, const qwren_error *why, qwren_error *err)
{
    if (st == QWREN_OK)
        return QWREN_OK;
    if (st != QWREN_E_MEMORY && st != QWREN_E_CANCELLED)
        return qw_doctor_find(d, check, tensor, err, "%s", why->text);
    if (err)
        *err = *why;
    return st;
}

const qw_finding *qw_doctor_found_in(const qw_doctor *d, const char *prefix)
{
    for (size_t i = 0; i < d->n_findings; i++)
        if (d->findings[i].tensor && qw_begins_with(d->findings[i].tensor, prefix))
            return &d->findings[i];
    return NULL;
}

qwren_status qw_doctor_progress(const qw_doctor *d, const char *what, uint64_t done, uint64_t total, qwren_error *err)
{
    if (!d->opt->progress || d->opt->progress(d->opt->progress_ctx, what, done, total))
        return QWREN_OK;
    return qw_fail(err, QWREN_E_CANCELLED, "%s: the examination was cancelled", d->path);
}

/* ---- files, shapes */

typedef struct complaints {
    qw_doctor *d;
    qwren_status st;
    qwren_error err;
} complaints;

static void note_complaint(void *ctx, const char *name, const qwren_error *why)
{
    complaints *c = ctx;
    if (c->st == QWREN_OK)
        c->st = qw_doctor_find(c->d, QW_CHECK_SHAPES, name, &c->err, "%s", why->text);
}

static qwren_status open_model(qw_doctor *d, qwren_error *err)
{
    complaints c = { .d = d };
    qwren_error why;
    const qw_model_params p = { .config_only = true, .mmproj = d->opt->mmproj, .complain = note_complaint, .complain_ctx = &c };
    qwren_status st = qw_model_init(&d->model, d->path, &p, &why);
    d->is_open = st == QWREN_OK;
    if (c.st != QWREN_OK && err)
        *err = c.err;
    QW_TRY(c.st);
    return qw_doctor_settle(d, QW_CHECK_FILES, NULL, st, &why, err);
}

static qwren_status read_records(qw_doctor *d, qwren_error *err)
{
    qwren_error why;
    return qw_doctor_settle(d, QW_CHECK_FILES, NULL, qw_records_read(&d->records, d->path, &why), &why, err);
}

/* Settings of config.json for tensors that hold no codes: a program that believes them reads noise. The binder has looked at the others. */
static qwren_status check_rules(qw_doctor *d, const qw_quant_block *b, const char *part, qwren_error *err)
{
    for (size_t i = 0; i < b->n; i++) {
        char name[QW_NAME_BYTES + 16], beside[QW_NAME_BYTES], said[64];
        const qw_quant_rule *r = &b->rules[i];
        snprintf(name, sizeof name, "%s%s.weight", part, r->module);
        const qw_tensor *t = qw_weights_find(d->model.weights, name);
        const char *scales = qw_name_beside(name, ".scales", beside);
        if (!t || r->setting.off || !r->setting.bits || (scales && qw_weights_find(d->model.weights, scales)))
            continue;
        QW_TRY(qw_doctor_find(d, QW_CHECK_SHAPES, name, err,
                              "%s: tensor %s is %s without scales, but config.json says %s: mend \"quantization\" there", t->file,
                              t->file_name, t->dtype, qw_quant_setting_text(said, sizeof said, &r->setting)));
    }
    return QWREN_OK;
}

/* Whether `name` stands in the folder of the model: a file, or with `folder` a folder. */
static qwren_status has_beside(const qw_doctor *d, const char *name, bool folder, bool *has, qwren_error *err)
{
    char *path = qw_path_join(d->path, name);
    if (!path)
        return qw_fail_memory(err, strlen(d->path) + strlen(name), "a path");
    *has = folder ? qw_dir_exists(path) : qw_file_exists(path);
    qw_free(path);
    return QWREN_OK;
}

static qwren_status check_draft_folder(qw_doctor *d, qwren_error *err)
{
    bool has = false;
    if (qw_weights_layout(d->model.weights) == QW_LAYOUT_MLX && !d->model.has_mtp)
        QW_TRY(has_beside(d, QW_MTP_FOLDER, true, &has, err));
    return has ? qw_doctor_find(d, QW_CHECK_FILES, NULL, err,
                                "the folder " QW_MTP_FOLDER
                                " holds no draft head that is used: its model.safetensors is missing or has other "
                                "names, or config.json has no MTP layer")
               : QWREN_OK;
}

/* What is promised and not there, or there and not described. */
static qwren_status note_parts(qw_doctor *d, qwren_error *err)
{
    const qw_config *c = &d->model.config;
    if (c->vision.present && !d->model.has_vision)
        QW_TRY(qw_doctor_note(d, QW_CHECK_SHAPES, err, "the config promises an image tower, the weights have none: pictures are refused"));
    if (c->text.mtp_layers && !d->model.has_mtp)
        QW_TRY(qw_doctor_note(d, QW_CHECK_SHAPES, err, "the config promises a draft head (MTP), the weights have none"));
    if (d->model.has_vision && c->processor.sizes_assumed)
        QW_TRY(qw_doctor_note(d, QW_CHECK_SHAPES, err, "picture sizes are not stated%s, assumed %lld..%lld pixels",
                              qw_weights_gguf(d->model.weights) ? "" : " (preprocessor_config.json)", (long long)c->processor.min_pixels,
                              (long long)c->processor.max_pixels));
    return QWREN_OK;
}

static qwren_status check_headers(qw_doctor *d, qwren_error *err)
{
    QW_TRY(open_model(d, err));
    QW_TRY(read_records(d, err));
    if (!d->is_open)
        return qw_doctor_tell(d, QW_CHECK_FILES, true, err, "cannot be opened: nothing else was looked at");
    QW_TRY(check_rules(d, &d->model.quant.main, "", err));
    QW_TRY(check_rules(d, &d->model.quant.draft, "mtp.", err));
    for (qw_logical t = { 0 }; qw_logical_next(&t, d->model.weights, d->model.bound, &d->model.quant);) {
        d->n_tensors++;
        d->n_weights += t.n_weights;
        d->weights_bytes += t.n_bytes;
    }
    QW_TRY(qw_doctor_tell(d, QW_CHECK_FILES, true, err, "the headers are whole; %llu tensors, %llu bytes", (unsigned long long)d->n_tensors,
                          (unsigned long long)d->weights_bytes));
    QW_TRY(qw_doctor_tell(d, QW_CHECK_SHAPES, true, err, "the tensors against the shapes and widths of %s",
                          qw_weights_layout(d->model.weights) == QW_LAYOUT_GGUF ? "the GGUF header" : "config.json"));
    QW_TRY(check_draft_folder(d, err));
    return note_parts(d, err);
}

/* ---- tokenizer */

/* A folder without one cannot be talked to; a GGUF file without one may have been made so on purpose. */
static qwren_status find_no_tokenizer(qw_doctor *d, qwren_error *err)
{
    bool has = true;
    if (!qw_weights_gguf(d->model.weights))
        QW_TRY(has_beside(d, "tokenizer.json", false, &has, err));
    return has ? QWREN_OK
               : qw_doctor_find(d, QW_CHECK_TOKENIZER, NULL, err,
                                "tokenizer.json is missing: the model computes, but reads and writes no text");
}

static qwren_status check_tokenizer(qw_doctor *d, qwren_error *err)
{
    qwren_error why;
    qwren_model *m = NULL;
    qwren_model_options opt = qwren_model_options_default();
    opt.config_only = true;
    opt.mmproj = d->opt->mmproj;
    if (d->found[QW_CHECK_SHAPES])
        return qw_doctor_tell(d, QW_CHECK_TOKENIZER, false, err, "not looked at: the model cannot be bound");
    QW_TRY(qw_doctor_settle(d, QW_CHECK_TOKENIZER, NULL, qwren_model_open(&m, d->path, &opt, &why), &why, err));
    const qwren_tokenizer *t = m ? qwren_model_tokenizer(m) : NULL;
    qwren_status st = m && !t ? qw_doctor_tell(d, QW_CHECK_TOKENIZER, false, err, "there is none: ids in, logits out is all that works")
                      : t     ? qw_doctor_tell(d, QW_CHECK_TOKENIZER, true, err, "%d tokens", (int)qwren_token_count(t))
                              : qw_doctor_tell(d, QW_CHECK_TOKENIZER, true, err, "does not fit the model");
    if (st == QWREN_OK && m && !t)
        st = find_no_tokenizer(d, err);
    if (st == QWREN_OK && t && !t->template_kind.present)
        st = qw_doctor_note(d, QW_CHECK_TOKENIZER, err, "there is no chat template, that of the published models is used");
    qwren_model_close(m);
    return st;
}

/* ---- memory and speed */

static qwren_status check_memory(qw_doctor *d, qwren_error *err)
{
    const qw_text_config *c = &d->model.config.text;
    const size_t n_ctx = qw_doctor_short_ctx(c);
    const uint64_t total = qw_machine_get_memory().total;
    qw_memplan plan;
    qwren_error why;
    qwren_status st = qw_memplan_make(&plan, c, n_ctx, QW_KV_F16, 0, &why);
    QW_TRY(qw_doctor_settle(d, QW_CHECK_MEMORY, NULL, st, &why, err));
    if (st == QWREN_OK && d->weights_bytes + plan.total_bytes > total)
        QW_TRY(qw_doctor_find(
            d, QW_CHECK_MEMORY, NULL, err,
            "the weights and a session of %zu tokens need %llu bytes, this machine has %llu: it would read the weights from the disk "
            "again for every token",
            n_ctx, (unsigned long long)(d->weights_bytes + plan.total_bytes), (unsigned long long)total));
    QW_TRY(qw_doctor_progress(d, "speed", 0, 1, err));
    QW_TRY(qw_speed_estimate(&d->speed, &d->model, &d->speed_params, err));
    QW_TRY(qw_doctor_progress(d, "speed", 1, 1, err));
    return qw_doctor_tell(d, QW_CHECK_MEMORY, true, err, "weights and a session of %zu tokens against this machine's memory", n_ctx);
}

/* ---- the whole */

static qwren_status examine(qw_doctor *d, qwren_error *err)
{
    if (qw_path_is_special(d->path))
        return qw_fail(err, QWREN_E_IO, "%s: is no regular file or folder", d->path);
    if (!qw_file_exists(d->path) && !qw_dir_exists(d->path))
        return qw_fail(err, QWREN_E_IO, "%s: there is no such file or folder", d->path);
    QW_TRY(qw_pool_create(&d->pool, d->n_threads, err));
    QW_TRY(check_headers(d, err));
    if (d->is_open && !d->opt->estimate_only) {
        QW_TRY(check_tokenizer(d, err));
        QW_TRY(qw_doctor_values(d, err));
        QW_TRY(qw_doctor_reference(d, err));
    }
    return d->is_open ? check_memory(d, err) : QWREN_OK;
}

static void deinit(qw_doctor *d)
{
    if (d->is_open)
        qw_model_deinit(&d->model);
    for (size_t i = 0; i < d->n_findings; i++) {
        qw_free(d->findings[i].tensor);
        qw_free(d->findings[i].text);
    }
    for (int i = 0; i < QW_CHECK_COUNT; i++)
        qw_free(d->told[i]);
    qw_free(d->findings);
    qw_free(d->steps);
    qw_records_free(d->records);
    qw_pool_free(d->pool);
}

qwren_status qw_doctor_run(const char *path, const qwren_doctor_options *opt, double patience_s, char **report, qwren_error *err)
{
    const int n_threads = opt->n_threads ? opt->n_threads : qw_cpu_count();
    qw_doctor d = { .path = path,
                    .opt = opt,
                    .n_threads = n_threads,
                    .speed_params = { .n_threads = n_threads, .patience_s = patience_s, .buffer_bytes = patience_s > 0 ? 1 : 0 } };
    qwren_status st = examine(&d, err);
    if (st == QWREN_OK)
        st = qw_doctor_report(&d, report, err);
    deinit(&d);
    return st;
}

qwren_status qwren_doctor(const char *path, const qwren_doctor_options *opt, char **report, qwren_error *err)
{
    qwren_doctor_options options = qwren_doctor_options_default();
    *report = NULL;
    QW_TRY(qw_options_read(&options, sizeof options, opt, "qwren_doctor_options", err));
    if (!path)
        return qw_fail(err, QWREN_E_ARGUMENT, "qwren_doctor: path is NULL; give the folder or file of a model");
    if (options.n_threads < 0)
        return qw_fail(err, QWREN_E_ARGUMENT, "n_threads is %d; give a positive number, or 0 for all physical cores", options.n_threads);
    return qw_doctor_run(path, &options, 0, report, err);
}
