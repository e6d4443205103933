/* qwren eval kld: what models lost against the one that they were made of. The library measures; here are the lines that it reads, and the table. Tested by
 * tests/cli/eval.sh. */
#include "base/alloc.h"
#include "eval.h"
#include "help.h"
#include "images.h"
#include "input.h"
#include "models.h"
#include "output.h"
#include "progress.h"

#include <math.h>
#include <string.h>

#define PIECE 2048 /* bytes of a text that are read at once */

typedef struct job {
    const cli_args *args;
    qwren_model *base, **models;
    size_t n_models; /* that are open */
    qwren_comparison *results;
    qw_buf lines;
    bool builtin; /* the library's own lines */
} job;

/* ---- what is read */

/* Bytes of the next piece: to the last line end that fits, else to the last whole character. */
static size_t next_piece(const char *text, size_t left)
{
    size_t n = left < PIECE ? left : PIECE;
    if (n == left)
        return n;
    for (size_t i = n; i > n / 2; i--)
        if (text[i - 1] == '\n')
            return i;
    while (n > 1 && ((unsigned char)text[n] & 0xC0) == 0x80)
        n--;
    return n;
}

static qwren_status lines_of_text(job *j, const char *path, qwren_error *err)
{
    char *text = NULL;
    size_t len = 0;
    QW_TRY(cli_read(path, &text, &len, err));
    qwren_status st = cli_check_utf8(text, len, cli_source_name(path), err);
    for (size_t at = 0, n; st == QWREN_OK && at < len; at += n) {
        n = next_piece(text + at, len - at);
        qw_buf_puts(&j->lines, "{\"text\": ");
        qw_json_dump_string(&j->lines, text + at, n);
        qw_buf_puts(&j->lines, "}\n");
    }
    qw_free(text);
    return st;
}

/* A member of an assistant's message, if the answer has it. */
static void put_member(qw_buf *out, const qw_json *answer, const char *key)
{
    const qw_json *v = qw_json_get(answer, key);
    if (qw_json_kind_of(v) == QW_JSON_NULL)
        return;
    qw_buf_printf(out, ", \"%s\": ", key);
    qw_json_dump(out, v);
}

/* The request with the answer behind its messages. */
static void put_answered(qw_buf *out, const qw_json *request, const qw_json *answer)
{
    const qw_json *messages = qw_json_get(request, "messages");
    qw_buf_puts(out, "{\"messages\": [");
    for (size_t i = 0; i < qw_json_size(messages); i++) {
        qw_json_dump(out, qw_json_at(messages, i));
        qw_buf_puts(out, ", ");
    }
    qw_buf_puts(out, "{\"role\": \"assistant\"");
    put_member(out, answer, "content");
    put_member(out, answer, "reasoning_content");
    put_member(out, answer, "tool_calls");
    qw_buf_puts(out, "}]");
    for (qw_json_iter it = qw_json_first(request); it.key; qw_json_next(request, &it)) {
        if (strcmp(it.key, "messages") == 0)
            continue;
        qw_buf_puts(out, ", ");
        qw_json_dump_string(out, it.key, it.key_len);
        qw_buf_puts(out, ": ");
        qw_json_dump(out, it.value);
    }
    qw_buf_puts(out, "}\n");
}

static void put_rows(job *j, const cli_rows *requests, const cli_rows *answers)
{
    for (size_t i = 0; i < requests->n; i++) {
        const char *id = cli_row_id(requests->rows[i]);
        const qw_json *answer = answers->n && id ? cli_rows_find(answers, id) : NULL;
        if (answer) {
            put_answered(&j->lines, requests->rows[i], answer);
        } else if (!answers->n) {
            qw_json_dump(&j->lines, requests->rows[i]);
            qw_buf_putc(&j->lines, '\n');
        }
    }
}

static qwren_status lines_of_requests(job *j, const char *path, qwren_error *err)
{
    const char *answers_path = cli_text(j->args, OPT_ANSWERS, NULL);
    cli_rows requests, answers = { 0 };
    qwren_status st = cli_rows_read(&requests, path, err);
    if (st == QWREN_OK && answers_path)
        st = cli_rows_read(&answers, answers_path, err);
    if (st == QWREN_OK)
        put_rows(j, &requests, &answers);
    if (st == QWREN_OK && !j->lines.len)
        st = qw_fail(err, QWREN_E_FORMAT, "%s: no answer has the \"id\" of a request", cli_source_name(answers_path));
    cli_rows_free(&requests);
    cli_rows_free(&answers);
    return st;
}

static qwren_status read_lines(job *j, qwren_error *err)
{
    const char *text = cli_text(j->args, OPT_TEXT, NULL), *requests = cli_text(j->args, OPT_REQUESTS, NULL);
    j->builtin = !text && !requests;
    if (text)
        QW_TRY(lines_of_text(j, text, err));
    else if (requests)
        QW_TRY(lines_of_requests(j, requests, err));
    return qw_buf_status(&j->lines, err);
}

/* ---- what is measured */

static qwren_status open_models(job *j, const char *const *words, size_t n, qwren_error *err)
{
    j->models = qw_calloc(n, sizeof *j->models);
    j->results = qw_calloc(n, sizeof *j->results);
    if (!j->models || !j->results)
        return qw_fail_memory(err, n * sizeof *j->results, "models");
    QW_TRY((cli_has(j->args, OPT_BASE_EXACT) ? cli_model_open_exact : cli_model_open_word)(j->args, words[0], MODEL_WHOLE, &j->base, err));
    for (; j->n_models < n - 1; j->n_models++)
        QW_TRY(cli_model_open_word(j->args, words[j->n_models + 1], MODEL_WHOLE, &j->models[j->n_models], err));
    return QWREN_OK;
}

static qwren_status run(job *j, const char *const *words, size_t n, qwren_error *err)
{
    qwren_eval_options opt = qwren_eval_options_default();
    cli_images none = { 0 };
    opt.progress = cli_progress;
    opt.kv_type = cli_kv_type(j->args);
    opt.max_lines = (size_t)cli_number(j->args, OPT_LIMIT, 0);
    opt.load_image = cli_images_load;
    opt.load_ctx = &none;
    QW_TRY(read_lines(j, err));
    QW_TRY(open_models(j, words, n, err));
    if (j->builtin && !qwren_model_get_info(j->base)->has_vision)
        cli_notice("%s has no image tower; the lines with pictures are left out", words[0]);
    return qwren_eval_compare(j->base, (const qwren_model *const *)j->models, j->n_models, j->builtin ? NULL : qw_buf_text(&j->lines),
                              j->lines.len, &opt, j->results, err);
}

/* ---- what is told */

/* Bytes of the text model's tensors, scales and biases included. */
static uint64_t text_bytes(const qwren_model *m)
{
    qwren_tensor_info t;
    uint64_t n = 0;
    for (size_t i = 0; qwren_model_get_tensor(m, i, &t); i++)
        n += strcmp(t.part, "text") == 0 ? t.n_bytes : 0;
    return n;
}

/* Per weight of the base, so that models of different formats are counted alike. */
static double bits_per_weight(const job *j, const qwren_model *m)
{
    return 8 * (double)text_bytes(m) / (double)qwren_model_get_info(j->base)->n_parameters_text;
}

/* A cell of the table; "-" for what is not known. */
static void put_cell(qw_buf *out, int width, int digits, double x)
{
    if (isfinite(x))
        qw_buf_printf(out, " %*.*f", width, digits, x);
    else
        qw_buf_printf(out, " %*s", width, "-");
}

static void put_row(qw_buf *out, const char *name, const qwren_divergence *d)
{
    const struct {
        int width, digits;
        double value;
    } cells[] = { { 10, 6, d->mean }, { 9, 6, d->mean_error }, { 10, 6, d->median },    { 9, 6, d->p90 },   { 9, 6, d->p99 },
                  { 9, 4, d->max },   { 8, 3, 100 * d->top1 }, { 8, 3, 100 * d->top5 }, { 8, 5, d->top_dp } };
    qw_buf_printf(out, "  %-9s %8zu", name, d->n_tokens);
    for (size_t i = 0; i < sizeof cells / sizeof *cells; i++)
        put_cell(out, cells[i].width, cells[i].digits, cells[i].value);
    qw_buf_putc(out, '\n');
}

static void put_table(qw_buf *out, const job *j)
{
    qw_buf_printf(out, "base %s, %.3f bits per weight, %zu lines; KL divergence in nats\n", qwren_model_get_info(j->base)->path,
                  bits_per_weight(j, j->base), j->results[0].n_lines);
    for (size_t i = 0; i < j->n_models; i++) {
        const qwren_comparison *r = &j->results[i];
        qw_buf_printf(out, "\n%s, %.3f bits per weight\n", qwren_model_get_info(j->models[i])->path, bits_per_weight(j, j->models[i]));
        qw_buf_printf(out, "  %-9s %8s %10s %9s %10s %9s %9s %9s %8s %8s %8s\n", "", "tokens", "mean", "+-95 %", "median", "90 %", "99 %",
                      "max", "top-1 %", "top-5 %", "|dp|");
        put_row(out, "text", &r->text);
        put_row(out, "pictures", &r->pictures);
        put_row(out, "all", &r->all);
        put_row(out, "answers", &r->answers);
    }
}

static void put_divergence(qw_buf *out, const char *name, const qwren_divergence *d)
{
    const struct {
        const char *key;
        double value;
    } fields[] = { { "mean", d->mean },     { "mean_error", d->mean_error },
                   { "median", d->median }, { "p90", d->p90 },
                   { "p99", d->p99 },       { "max", d->max },
                   { "top1", d->top1 },     { "top5", d->top5 },
                   { "top_dp", d->top_dp } };
    qw_buf_printf(out, ", \"%s\": {\"tokens\": %zu", name, d->n_tokens);
    for (size_t i = 0; i < sizeof fields / sizeof *fields; i++) {
        qw_buf_printf(out, ", \"%s\": ", fields[i].key);
        qw_json_dump_number(out, fields[i].value);
    }
    qw_buf_putc(out, '}');
}

static void put_model(qw_buf *out, const job *j, const qwren_model *m)
{
    const char *path = qwren_model_get_info(m)->path;
    qw_buf_puts(out, "{\"path\": ");
    qw_json_dump_string(out, path, strlen(path));
    qw_buf_puts(out, ", \"bits_per_weight\": ");
    qw_json_dump_number(out, bits_per_weight(j, m));
    qw_buf_printf(out, ", \"text_bytes\": %llu, \"bytes\": %llu", (unsigned long long)text_bytes(m),
                  (unsigned long long)qwren_model_get_info(m)->n_bytes);
}

static void put_json(qw_buf *out, const job *j)
{
    qw_buf_puts(out, "{\"base\": ");
    put_model(out, j, j->base);
    qw_buf_printf(out, "}, \"lines\": %zu, \"models\": [", j->results[0].n_lines);
    for (size_t i = 0; i < j->n_models; i++) {
        qw_buf_puts(out, i ? ", " : "");
        put_model(out, j, j->models[i]);
        put_divergence(out, "text", &j->results[i].text);
        put_divergence(out, "pictures", &j->results[i].pictures);
        put_divergence(out, "all", &j->results[i].all);
        put_divergence(out, "answers", &j->results[i].answers);
        qw_buf_putc(out, '}');
    }
    qw_buf_puts(out, "]}\n");
}

int cli_eval_kld(const cli_args *a, const char *const *words, size_t n_words)
{
    job j = { .args = a };
    qwren_error err;
    qw_buf out = QW_BUF_INIT;
    if (n_words < 2)
        return cli_usage(a->verb, "kld takes a base and one model or more to compare with it");
    if (cli_has(a, OPT_TEXT) && cli_has(a, OPT_REQUESTS))
        return cli_usage(a->verb, "--text and --requests exclude each other");
    if (!cli_has(a, OPT_REQUESTS) && cli_has(a, OPT_ANSWERS))
        return cli_usage(a->verb, "--answers goes with --requests");
    qwren_status st = run(&j, words, n_words, &err);
    cli_progress_clear();
    if (st == QWREN_OK)
        (cli_has(a, OPT_JSON) ? put_json : put_table)(&out, &j);
    for (size_t i = 0; i < j.n_models; i++)
        qwren_model_close(j.models[i]);
    qwren_model_close(j.base);
    qw_free(j.models);
    qw_free(j.results);
    qw_buf_free(&j.lines);
    return st == QWREN_OK ? cli_print_taken(&out) : cli_fail(&err);
}
