/* qwren doctor: the library's report on a model, as a table or as it is. Tested by tests/cli/doctor.sh. */
#include "base/alloc.h"
#include "help.h"
#include "interrupt.h"
#include "models.h"
#include "output.h"
#include "progress.h"
#include "table.h"
#include "verbs.h"

#include <math.h>
#include <string.h>

#define MOST_FINDINGS 30 /* that the table shows; the JSON has all */

/* ---- pieces */

static double number_of(const qw_json *object, const char *key) { return qw_json_number(qw_json_get(object, key), (double)NAN); }

/* "12.3", with three digits of meaning. */
static void put_rate(qw_buf *out, double x) { qw_buf_printf(out, x >= 100 ? "%.0f" : x >= 10 ? "%.1f" : "%.2f", x); }

/* ---- the parts of the table */

static void put_model(qw_buf *out, const qw_json *r)
{
    cli_put_row(out, "model");
    qw_buf_printf(out, "%s\n", cli_text_of(r, "path"));
    if (!*cli_text_of(r, "format"))
        return;
    cli_put_row(out, "files");
    qw_buf_printf(out, "%s%s%s, %s, %lld tensors, ", cli_text_of(r, "format"), *cli_text_of(r, "recipe") ? ", recipe " : "",
                  cli_text_of(r, "recipe"), cli_text_of(r, "size"), (long long)qw_json_int(qw_json_get(r, "tensors"), 0));
    cli_put_short(out, number_of(r, "bytes"), "B");
    const double weights = number_of(r, "weights");
    qw_buf_printf(out, ", %.3f bits a weight\n", weights > 0 ? 8 * number_of(r, "bytes") / weights : 0);
}

static void put_checks(qw_buf *out, const qw_json *r)
{
    const qw_json *checks = qw_json_get(r, "checks");
    for (size_t i = 0; i < qw_json_size(checks); i++) {
        const qw_json *c = qw_json_at(checks, i);
        cli_put_row(out, cli_text_of(c, "name"));
        qw_buf_printf(out, "%-8s %s\n", cli_text_of(c, "result"), cli_text_of(c, "text"));
    }
}

static void put_findings(qw_buf *out, const qw_json *r)
{
    const qw_json *findings = qw_json_get(r, "findings");
    const size_t n = qw_json_size(findings);
    if (!n)
        return;
    qw_buf_printf(out, "findings (%zu)\n", n);
    for (size_t i = 0; i < n && i < MOST_FINDINGS; i++) {
        const qw_json *f = qw_json_at(findings, i);
        qw_buf_printf(out, "  %-9s  %s\n", cli_text_of(f, "check"), cli_text_of(f, "text"));
    }
    if (n > MOST_FINDINGS)
        qw_buf_printf(out, "  and %zu more: --json lists them all\n", n - MOST_FINDINGS);
}

static void put_reference(qw_buf *out, const qw_json *r)
{
    const qw_json *reference = qw_json_get(r, "reference"), *steps = qw_json_get(reference, "steps");
    double most = 0;
    if (!qw_json_is(reference, QW_JSON_OBJECT))
        return;
    for (size_t i = 0; i < qw_json_size(steps); i++) {
        const double x = number_of(qw_json_at(steps, i), "difference");
        most = isnan(x) || x > most ? x : most;
        if (isnan(most))
            break;
    }
    cli_put_row(out, "layers");
    qw_buf_printf(out, "differ by %.2g at most from when the model was made\n", most);
    cli_put_row(out, "drift");
    qw_buf_printf(out, "%.3g behind the last layer from the source, %.3g nats in the next token\n",
                  number_of(qw_json_at(steps, qw_json_size(steps) - 1), "drift"), number_of(reference, "logits_kld"));
}

/* The session with the types of keys and values that take less. */
static void put_smaller(qw_buf *out, const qw_json *session)
{
    const qw_json *types = qw_json_get(session, "session_bytes_by_type");
    const char *name;
    for (int i = QWREN_KV_DEFAULT + 1; (name = qwren_kv_type_name((qwren_kv_type)i)) != NULL; i++)
        if (number_of(types, name) < number_of(session, "session_bytes")) {
            qw_buf_printf(out, ", as %s ", name);
            cli_put_short(out, number_of(types, name), "B");
        }
}

static void put_memory(qw_buf *out, const qw_json *r)
{
    const qw_json *memory = qw_json_get(r, "memory"), *sessions = qw_json_get(memory, "sessions");
    const double machine = number_of(memory, "machine_bytes"), available = number_of(memory, "available_bytes");
    for (size_t i = 0; i < qw_json_size(sessions); i++) {
        const qw_json *s = qw_json_at(sessions, i);
        const qw_json *fits = qw_json_get(s, "fits");
        cli_put_row(out, i ? "" : "memory needed");
        qw_buf_printf(out, "with %lld tokens of context: ", (long long)qw_json_int(qw_json_get(s, "n_ctx"), 0));
        cli_put_short(out, number_of(s, "total_bytes"), "B");
        qw_buf_puts(out, " (weights ");
        cli_put_short(out, number_of(memory, "weights_bytes"), "B");
        qw_buf_puts(out, ", session ");
        cli_put_short(out, number_of(s, "session_bytes"), "B");
        put_smaller(out, s);
        qw_buf_puts(out, !qw_json_is(fits, QW_JSON_BOOL) ? ")\n" : qw_json_bool(fits, true) ? "), fits\n" : "), does not fit\n");
    }
    if (isnan(machine))
        return;
    cli_put_row(out, "this machine");
    cli_put_short(out, machine, "B");
    qw_buf_puts(out, " of memory");
    if (!isnan(available)) {
        qw_buf_puts(out, ", ");
        cli_put_short(out, available, "B");
        qw_buf_puts(out, " of it free now");
    }
    qw_buf_puts(out, "\n");
}

static void put_speed(qw_buf *out, const qw_json *r)
{
    const qw_json *speed = qw_json_get(r, "speed"), *formats = qw_json_get(speed, "formats");
    cli_put_row(out, "expected");
    put_rate(out, number_of(speed, "prefill_tokens_per_s"));
    qw_buf_printf(out, " tokens/s for a prompt of %lld, ", (long long)qw_json_int(qw_json_get(speed, "context"), 0));
    put_rate(out, number_of(speed, "decode_tokens_per_s"));
    qw_buf_printf(out, " tokens/s for the answer, %lld threads\n", (long long)qw_json_int(qw_json_get(speed, "threads"), 0));
    if (qw_json_bool(qw_json_get(speed, "busy"), false)) {
        cli_put_row(out, "");
        qw_buf_puts(out, "other programs use this machine now: without them it is faster\n");
    }
    for (size_t i = 0; i < qw_json_size(formats); i++) {
        const qw_json *f = qw_json_at(formats, i);
        const long long group = (long long)qw_json_int(qw_json_get(f, "group"), 0);
        cli_put_row(out, i ? "" : "measured");
        qw_buf_printf(out, group ? "%s/%lld: " : "%s: ", cli_text_of(f, "type"), group);
        put_rate(out, number_of(f, "weights") / number_of(f, "decode_s") / 1e9);
        qw_buf_puts(out, " G weights/s for one token, ");
        cli_put_short(out, number_of(f, "bytes"), "B");
        qw_buf_puts(out, " a token\n");
    }
    cli_put_row(out, "");
    qw_buf_puts(out, "memory: ");
    cli_put_short(out, number_of(speed, "read_bytes_per_s"), "B");
    qw_buf_puts(out, "/s read\n");
}

/* ---- the verb */

static void put_table(qw_buf *out, const qw_json *r, bool estimate_only)
{
    put_model(out, r);
    if (!estimate_only)
        put_checks(out, r);
    put_reference(out, r);
    if (qw_json_is(qw_json_get(r, "memory"), QW_JSON_OBJECT)) {
        put_memory(out, r);
        put_speed(out, r);
    }
    put_findings(out, r);
    if (!estimate_only || qw_json_size(qw_json_get(r, "findings")))
        qw_buf_puts(out, qw_json_bool(qw_json_get(r, "healthy"), false) ? "healthy\n" : "not healthy\n");
}

static qwren_status examine(const cli_args *a, char **report, qwren_error *err)
{
    char *path;
    qwren_doctor_options opt = qwren_doctor_options_default();
    opt.n_threads = (int)cli_number(a, OPT_THREADS, 0);
    opt.estimate_only = cli_has(a, OPT_ESTIMATE_ONLY);
    opt.mmproj = cli_text(a, OPT_MMPROJ, NULL);
    opt.progress = cli_progress;
    QW_TRY(cli_model_path(a, &path, err));
    cli_interrupt_catch();
    qwren_status st = qwren_doctor(path, &opt, report, err);
    cli_interrupt_release();
    cli_progress_clear();
    qw_free(path);
    return st;
}

/* Prints the report; the exit status says whether the model is healthy. */
static int print(const cli_args *a, const char *report, qwren_error *err)
{
    qw_json *r;
    qw_buf out = QW_BUF_INIT;
    if (qw_json_parse(&r, report, strlen(report), "the report", err) != QWREN_OK)
        return cli_fail(err);
    if (cli_has(a, OPT_JSON))
        qw_buf_printf(&out, "%s\n", report);
    else
        put_table(&out, r, cli_has(a, OPT_ESTIMATE_ONLY));
    const bool healthy = qw_json_bool(qw_json_get(r, "healthy"), false);
    const size_t n = qw_json_size(qw_json_get(r, "findings"));
    qw_fail(err, QWREN_E_FORMAT, "%s is not healthy: %zu %s", cli_text_of(r, "path"), n, n == 1 ? "finding" : "findings");
    qw_json_free(r);
    int status = cli_print_taken(&out);
    return status != 0 || healthy ? status : cli_fail(err);
}

/* The model may be named by -m or by a word. */
int cli_doctor(const cli_args *a)
{
    char *report = NULL;
    qwren_error err;
    if (a->n_words && cli_has(a, OPT_MODEL))
        return cli_usage(a->verb, "the model is named twice: '%s' and '%s'", cli_text(a, OPT_MODEL, ""), a->words[0]);
    if (examine(a, &report, &err) != QWREN_OK)
        return cli_fail(&err);
    int status = print(a, report, &err);
    qwren_free(report);
    return status;
}
