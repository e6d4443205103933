/* Doctor's report: one line of JSON (the fields are described in qwren.h). Tested by tests/unit/test_doctor.c and tests/cli/doctor.sh. */
#include "api/doctor.h"
#include "api/model.h"
#include "base/json.h"
#include "base/machine.h"
#include "runtime/session.h"

#include <string.h>

static void put_text(qw_buf *out, const char *key, const char *value)
{
    qw_buf_printf(out, "\"%s\": ", key);
    if (value)
        qw_json_dump_string(out, value, strlen(value));
    else
        qw_buf_puts(out, "null");
}

static void put_number(qw_buf *out, const char *key, double x)
{
    qw_buf_printf(out, "\"%s\": ", key);
    qw_json_dump_number(out, x);
}

static void put_whole(qw_buf *out, const char *key, uint64_t n) { qw_buf_printf(out, "\"%s\": %llu", key, (unsigned long long)n); }

static void put_known(qw_buf *out, const char *key, uint64_t n)
{
    if (n == QW_NOT_KNOWN)
        qw_buf_printf(out, "\"%s\": null", key);
    else
        put_whole(out, key, n);
}

/* ---- checks and findings */

static const char *const check_names[QW_CHECK_COUNT] = { "files", "shapes", "tokenizer", "values", "records", "reference", "memory" };

static void put_checks(qw_buf *out, const qw_doctor *d)
{
    qw_buf_puts(out, ", \"checks\": [");
    for (int i = 0; i < QW_CHECK_COUNT; i++) {
        const char *result = d->found[i] ? "bad" : d->done[i] ? "good" : "skipped";
        qw_buf_printf(out, "%s{\"name\": \"%s\", \"result\": \"%s\", \"findings\": %zu, ", i ? ", " : "", check_names[i], result,
                      d->found[i]);
        put_text(out, "text", d->told[i] ? d->told[i] : "not looked at");
        qw_buf_putc(out, '}');
    }
    qw_buf_putc(out, ']');
}

static void put_findings(qw_buf *out, const qw_doctor *d)
{
    qw_buf_puts(out, ", \"findings\": [");
    for (size_t i = 0; i < d->n_findings; i++) {
        qw_buf_printf(out, "%s{\"check\": \"%s\", ", i ? ", " : "", check_names[d->findings[i].check]);
        put_text(out, "tensor", d->findings[i].tensor);
        qw_buf_puts(out, ", ");
        put_text(out, "text", d->findings[i].text);
        qw_buf_putc(out, '}');
    }
    qw_buf_putc(out, ']');
}

/* ---- the reference */

static void put_reference(qw_buf *out, const qw_doctor *d)
{
    if (!d->n_steps) {
        qw_buf_puts(out, ", \"reference\": null");
        return;
    }
    qw_buf_printf(out, ", \"reference\": {\"tokens\": %zu, \"steps\": [", d->n_reference_tokens);
    for (size_t i = 0; i < d->n_steps; i++) {
        qw_buf_printf(out, i ? ", {\"layer\": %zu, " : "{\"layer\": null, ", i ? i - 1 : 0);
        put_number(out, "difference", d->steps[i].difference);
        qw_buf_puts(out, ", ");
        put_number(out, "drift", d->steps[i].drift);
        qw_buf_putc(out, '}');
    }
    qw_buf_puts(out, "], ");
    put_number(out, "logits_difference", d->logits_difference);
    qw_buf_puts(out, ", ");
    put_number(out, "logits_kld", d->logits_drift);
    qw_buf_putc(out, '}');
}

/* ---- memory and speed */

/* What the session takes with each type of keys and values. */
static void put_types(qw_buf *out, const qw_doctor *d, size_t n_ctx)
{
    const char *name;
    qw_memplan plan;
    qw_buf_puts(out, ", \"session_bytes_by_type\": {");
    for (int type = QWREN_KV_DEFAULT + 1; (name = qwren_kv_type_name((qwren_kv_type)type)) != NULL; type++)
        if (qw_memplan_make(&plan, &d->model.config.text, n_ctx, qw_cache_type(&d->model, (qwren_kv_type)type), 0, NULL) == QWREN_OK) {
            qw_buf_puts(out, type > QWREN_KV_DEFAULT + 1 ? ", " : "");
            put_whole(out, name, plan.total_bytes);
        }
    qw_buf_putc(out, '}');
}

static void put_session(qw_buf *out, const qw_doctor *d, size_t n_ctx, uint64_t machine, bool first)
{
    qw_memplan plan;
    if (qw_memplan_make(&plan, &d->model.config.text, n_ctx, QW_KV_F16, 0, NULL) != QWREN_OK)
        return;
    const uint64_t total = d->weights_bytes + plan.total_bytes;
    qw_buf_printf(out, "%s{\"n_ctx\": %zu, ", first ? "" : ", ", n_ctx);
    put_whole(out, "session_bytes", plan.total_bytes);
    qw_buf_puts(out, ", ");
    put_whole(out, "total_bytes", total);
    qw_buf_printf(out, ", \"fits\": %s", machine == QW_NOT_KNOWN ? "null" : total <= machine ? "true" : "false");
    put_types(out, d, n_ctx);
    qw_buf_putc(out, '}');
}

static void put_memory(qw_buf *out, const qw_doctor *d)
{
    const qw_machine_memory machine = qw_machine_get_memory();
    const size_t most = (size_t)d->model.config.text.max_positions, short_ctx = qw_doctor_short_ctx(&d->model.config.text);
    const size_t lengths[] = { short_ctx, 32768, 262144, most };
    size_t told = 0;
    qw_buf_puts(out, ", \"memory\": {");
    put_known(out, "machine_bytes", machine.total);
    qw_buf_puts(out, ", ");
    put_known(out, "available_bytes", machine.available);
    qw_buf_puts(out, ", ");
    put_whole(out, "weights_bytes", d->weights_bytes);
    qw_buf_puts(out, ", \"sessions\": [");
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
        if (lengths[i] > told && lengths[i] <= most) {
            put_session(out, d, lengths[i], machine.total, told == 0);
            told = lengths[i];
        }
    qw_buf_puts(out, "]}");
}

static void put_format(qw_buf *out, const qw_speed_format *f, bool first)
{
    qw_buf_printf(out, "%s{\"type\": \"%s\", \"group\": %d, ", first ? "" : ", ", qw_type_name(f->type), f->group);
    put_whole(out, "weights", f->n_weights);
    qw_buf_puts(out, ", ");
    put_whole(out, "bytes", f->n_bytes);
    qw_buf_puts(out, ", ");
    put_number(out, "decode_s", f->decode_s);
    qw_buf_puts(out, ", ");
    put_number(out, "prefill_s", f->prefill_s);
    qw_buf_putc(out, '}');
}

static void put_speed(qw_buf *out, const qw_speed *s)
{
    qw_buf_printf(out, ", \"speed\": {\"threads\": %d, ", s->n_threads);
    put_number(out, "prefill_tokens_per_s", s->prefill_tokens_per_s);
    qw_buf_puts(out, ", ");
    put_number(out, "decode_tokens_per_s", s->decode_tokens_per_s);
    qw_buf_puts(out, ", ");
    put_number(out, "read_bytes_per_s", s->read_bytes_per_s);
    qw_buf_printf(out, ", \"busy\": %s, \"context\": %d, \"formats\": [", s->busy ? "true" : "false", QW_SPEED_CONTEXT);
    for (size_t i = 0; i < s->n_formats; i++)
        put_format(out, &s->formats[i], i == 0);
    qw_buf_puts(out, "], ");
    put_number(out, "mixing_decode_s", s->mixing_decode_s);
    qw_buf_puts(out, ", ");
    put_number(out, "mixing_prefill_s", s->mixing_prefill_s);
    qw_buf_putc(out, '}');
}

/* ---- the whole */

static void put_model(qw_buf *out, const qw_doctor *d)
{
    qw_buf_puts(out, "{");
    put_text(out, "path", d->path);
    qw_buf_printf(out, ", \"healthy\": %s, ", d->n_findings ? "false" : "true");
    put_text(out, "format", d->is_open ? qw_layout_name(qw_weights_layout(d->model.weights)) : NULL);
    qw_buf_puts(out, ", ");
    put_text(out, "size", d->is_open ? qw_config_size_name(&d->model.config) : NULL);
    qw_buf_puts(out, ", ");
    put_text(out, "recipe", qw_records_recipe(d->records));
    qw_buf_puts(out, ", ");
    put_whole(out, "tensors", d->n_tensors);
    qw_buf_puts(out, ", ");
    put_whole(out, "weights", d->n_weights);
    qw_buf_puts(out, ", ");
    put_whole(out, "bytes", d->weights_bytes);
}

qwren_status qw_doctor_report(const qw_doctor *d, char **out, qwren_error *err)
{
    qw_buf b = QW_BUF_INIT;
    put_model(&b, d);
    put_checks(&b, d);
    put_findings(&b, d);
    put_reference(&b, d);
    if (d->is_open) {
        put_memory(&b, d);
        put_speed(&b, &d->speed);
    } else {
        qw_buf_puts(&b, ", \"memory\": null, \"speed\": null");
    }
    qw_buf_putc(&b, '}');
    return qw_buf_take(&b, out, NULL, err);
}
