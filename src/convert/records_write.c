/* What the folder tells about its own making, for doctor and inspect: DST/qwren/recipe.json and DST/qwren/check.safetensors
 * (docs/quantisation.md, section "Records"). Tested by tests/unit/test_quantize.c. */
#include "base/alloc.h"
#include "base/json.h"
#include "base/utf8.h"
#include "convert/run.h"
#include "weights/safetensors_write.h"

#include <stdio.h>
#include <string.h>

/* ---- a tensor's line */

static const char *method_name(qw_encode_method m)
{
    static const char *const names[] = { "plain", "search", "feedback" };
    return names[m];
}

void qw_record_line(char *out, size_t n, qw_encode_method method, double rms, double error)
{
    snprintf(out, n, "{\"method\": \"%s\", \"rms\": %.9g, \"error\": %.9g}", method_name(method), rms, error);
}

/* Members of the line behind those of the plan: ", \"method\": ..."; "" for "{}". */
static void add_line(qw_buf *b, const char *line)
{
    const size_t n = strlen(line);
    if (n > 2) {
        qw_buf_puts(b, ", ");
        qw_buf_append(b, line + 1, n - 2);
    }
}

static void add_tensor(qw_buf *b, const qw_run *r, size_t i)
{
    const qw_plan_entry *e = &r->plan.entries[i];
    qw_buf_puts(b, i ? ",\n  " : "\n  ");
    qw_json_dump_string(b, e->source->name, strlen(e->source->name));
    qw_buf_printf(b, ": {\"class\": \"%s\", \"bits\": %d", qw_class_name(e->class), e->choice.bits);
    if (e->choice.bits)
        qw_buf_printf(b, ", \"group\": %d", e->choice.group);
    add_line(b, qw_folder_record(r->folder, i));
    if (e->note)
        qw_buf_printf(b, ", \"note\": \"%s\"", e->note);
    qw_buf_printf(b, ", \"xxh64\": \"%016llx\"}", (unsigned long long)qw_folder_checksum(r->folder, i));
}

/* ---- recipe.json */

static void add_calibration(qw_buf *b, const qw_run *r)
{
    const qw_streams *s = &r->streams;
    size_t pictures = 0;
    for (size_t i = 0; i < s->n_samples; i++)
        pictures += s->samples[i].n_spans;
    qw_buf_puts(b, ",\n \"calibration\": ");
    const char *name = s->n_samples ? r->job->calibration : "none";
    qw_json_dump_string(b, name, strlen(name));
    qw_buf_printf(b, ", \"calibration_samples\": %zu, \"calibration_pictures\": %zu, \"calibration_tokens\": %zu", s->n_samples, pictures,
                  s->n_tokens);
}

/* A name may be any bytes, a text of JSON may not. */
static void add_left(qw_buf *b, const qw_names *left)
{
    qw_buf_puts(b, ",\n \"left\": [");
    for (size_t i = 0; i < left->n; i++) {
        qw_buf name = QW_BUF_INIT;
        qw_utf8_sanitize(&name, left->at[i], strlen(left->at[i]));
        qw_buf_puts(b, i ? ", " : "");
        qw_json_dump_string(b, qw_buf_text(&name), name.len);
        b->failed = b->failed || name.failed;
        qw_buf_free(&name);
    }
    qw_buf_puts(b, "]");
}

static qwren_status write_recipe(qw_run *r, qwren_error *err)
{
    qw_buf b = QW_BUF_INIT;
    const char *name = r->job->bpw > 0 ? "auto" : r->recipe.name;
    qw_buf_printf(&b, "{\"format\": 1, \"program\": \"qwren %s\", \"recipe\": \"%s\", \"bits_per_weight\": %.6g", qwren_version(), name,
                  qw_plan_bits_per_weight(&r->plan));
    add_calibration(&b, r);
    add_left(&b, qw_folder_left(r->folder));
    qw_buf_puts(&b, ",\n \"tensors\": {");
    for (size_t i = 0; i < r->plan.n; i++)
        add_tensor(&b, r, i);
    qw_buf_puts(&b, "\n }");
    if (r->sensitivities)
        qw_buf_printf(&b, ",\n \"sensitivities\": %s", r->sensitivities);
    qw_buf_puts(&b, "}\n");
    qwren_status st = qw_buf_status(&b, err);
    if (st == QWREN_OK)
        st = qw_folder_put_file(r->folder, "qwren/recipe.json", qw_buf_text(&b), b.len, err);
    qw_buf_free(&b);
    return st;
}

/* ---- check.safetensors */

static qwren_status write_vectors(const qw_run *r, const char *path, qwren_error *err)
{
    const size_t steps = (size_t)r->config->n_layers + 1, n = r->check.n_tokens, H = (size_t)r->config->hidden_size,
                 V = (size_t)r->config->vocab_size;
    const qw_st_entry entries[] = {
        { "ids", QW_TYPE_I32, 1, { n } },
        { "source.hidden", QW_TYPE_F32, 3, { steps, n, H } },
        { "quantised.hidden", QW_TYPE_F32, 3, { steps, n, H } },
        { "source.logits", QW_TYPE_F32, 1, { V } },
        { "quantised.logits", QW_TYPE_F32, 1, { V } },
    };
    const void *const data[] = { r->job->check->ids, r->check_source, r->check_codes, r->logits_source, r->logits_codes };
    qw_st_writer *w = NULL;
    QW_TRY(qw_st_create(&w, path, entries, sizeof entries / sizeof *entries, "qwren", err));
    qwren_status st = QWREN_OK;
    for (size_t i = 0; st == QWREN_OK && i < sizeof entries / sizeof *entries; i++) {
        size_t bytes = 0;
        qw_st_entry_bytes(&entries[i], &bytes); /* fits: the arrays exist */
        st = qw_st_write(w, i, 0, data[i], bytes, err);
    }
    if (st == QWREN_OK)
        st = qw_st_finish(w, err);
    qw_st_close(w);
    return st;
}

static qwren_status write_check(const qw_run *r, qwren_error *err)
{
    char *path = qw_folder_path(r->folder, "qwren/check.safetensors");
    if (!path)
        return qw_fail_memory(err, 64, "a path");
    qwren_status st = write_vectors(r, path, err);
    qw_free(path);
    return st;
}

qwren_status qw_records_write(qw_run *r, qwren_error *err)
{
    QW_TRY(write_recipe(r, err));
    return write_check(r, err);
}
