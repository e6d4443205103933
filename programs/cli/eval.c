/* qwren eval: perplexity, kld, tasks. Here are the choice between them, what they read, and perplexity, the shortest. Tested by
 * tests/cli/eval.sh. */
#include "eval.h"

#include "base/alloc.h"
#include "base/utf8.h"
#include "help.h"
#include "input.h"
#include "interrupt.h"
#include "models.h"
#include "output.h"
#include "progress.h"
#include "verbs.h"

#include <math.h>
#include <string.h>

/* ---- what the files say */

void cli_rows_free(cli_rows *r)
{
    for (size_t i = 0; i < r->n; i++)
        qw_json_free(r->rows[i]);
    qw_free(r->rows);
    *r = (cli_rows){ 0 };
}

static qwren_status add_row(cli_rows *r, qw_json *row, qwren_error *err)
{
    qw_json **more = (r->n & (r->n - 1)) ? r->rows : qw_realloc_array(r->rows, r->n ? 2 * r->n : 1, sizeof *more);
    if (!more) {
        qw_json_free(row);
        return qw_fail_memory(err, 2 * r->n * sizeof *more, "the lines of a file");
    }
    r->rows = more;
    r->rows[r->n++] = row;
    return QWREN_OK;
}

static qwren_status parse_rows(cli_rows *r, const char *path, const char *text, size_t len, qwren_error *err)
{
    size_t number = 0;
    text = qw_utf8_skip_bom(text, &len);
    for (const char *line = text, *end; line < text + len; line = end + 1) {
        qw_json *row = NULL;
        char where[300];
        end = memchr(line, '\n', (size_t)(text + len - line));
        end = end ? end : text + len;
        number++;
        if (strspn(line, " \t\r") >= (size_t)(end - line))
            continue;
        snprintf(where, sizeof where, "%.200s: line %zu", cli_source_name(path), number);
        QW_TRY(qw_json_parse(&row, line, (size_t)(end - line), where, err));
        QW_TRY(add_row(r, row, err));
    }
    return r->n ? QWREN_OK : qw_fail(err, QWREN_E_FORMAT, "%s: there are no lines", cli_source_name(path));
}

qwren_status cli_rows_read(cli_rows *out, const char *path, qwren_error *err)
{
    char *text = NULL;
    size_t len = 0;
    *out = (cli_rows){ 0 };
    QW_TRY(cli_read(path, &text, &len, err));
    qwren_status st = parse_rows(out, path, text, len, err);
    qw_free(text);
    return st;
}

const char *cli_row_id(const qw_json *row) { return qw_json_string(qw_json_get(row, "id"), NULL); }

const qw_json *cli_rows_find(const cli_rows *r, const char *id)
{
    for (size_t i = 0; i < r->n; i++) {
        const char *other = cli_row_id(r->rows[i]);
        if (other && strcmp(other, id) == 0)
            return r->rows[i];
    }
    return NULL;
}

/* ---- perplexity */

static void put_perplexity(qw_buf *out, const cli_args *a, const qwren_perplexity *p)
{
    if (!cli_has(a, OPT_JSON)) {
        qw_buf_printf(out, "tokens         %zu\nbytes          %zu\nnats           %.5f", p->n_tokens, p->n_bytes, p->nats);
        if (isfinite(p->nats_error))
            qw_buf_printf(out, " ± %.5f", p->nats_error);
        qw_buf_printf(out, "\nperplexity     %.4f\nbits per byte  %.5f\n", p->perplexity, p->bits_per_byte);
        return;
    }
    qw_buf_printf(out, "{\"tokens\": %zu, \"bytes\": %zu, \"nats\": ", p->n_tokens, p->n_bytes);
    qw_json_dump_number(out, p->nats);
    qw_buf_puts(out, ", \"nats_error\": ");
    qw_json_dump_number(out, p->nats_error);
    qw_buf_puts(out, ", \"perplexity\": ");
    qw_json_dump_number(out, p->perplexity);
    qw_buf_puts(out, ", \"bits_per_byte\": ");
    qw_json_dump_number(out, p->bits_per_byte);
    qw_buf_puts(out, "}\n");
}

static qwren_status measure(const cli_args *a, const char *model_word, const char *file, qwren_perplexity *p, qwren_error *err)
{
    qwren_model *model = NULL;
    qwren_eval_options opt = qwren_eval_options_default();
    char *text = NULL;
    size_t len = 0;
    opt.n_ctx = (size_t)cli_number(a, OPT_CTX, 0);
    opt.stride = (size_t)cli_number(a, OPT_STRIDE, 0);
    opt.kv_type = cli_kv_type(a);
    opt.progress = cli_progress;
    QW_TRY(cli_read(file, &text, &len, err));
    qwren_status st = cli_check_utf8(text, len, cli_source_name(file), err);
    if (st == QWREN_OK)
        st = cli_model_open_word(a, model_word, MODEL_WHOLE, &model, err);
    if (st == QWREN_OK)
        st = qwren_eval_perplexity(model, text, len, &opt, p, err);
    qwren_model_close(model);
    qw_free(text);
    return st;
}

int cli_eval_perplexity(const cli_args *a, const char *const *words, size_t n_words)
{
    qwren_perplexity p;
    qwren_error err;
    qw_buf out = QW_BUF_INIT;
    if (n_words != 2)
        return cli_usage(a->verb, "perplexity takes a model and a file of text");
    qwren_status st = measure(a, words[0], words[1], &p, &err);
    cli_progress_clear();
    if (st != QWREN_OK)
        return cli_fail(&err);
    put_perplexity(&out, a, &p);
    return cli_print_taken(&out);
}

/* ---- the verb */

/* The options of single ways; the others go with all of them. False: one was given that this way does not take, and that was told. */
static bool check_options(const cli_args *a, const char *way)
{
    static const struct {
        cli_id id;
        const char *name, *ways;
    } options[] = { { OPT_CTX, "--ctx", "perplexity and tasks" },
                    { OPT_STRIDE, "--stride", "perplexity" },
                    { OPT_TEXT, "--text", "kld" },
                    { OPT_REQUESTS, "--requests", "kld" },
                    { OPT_ANSWERS, "--answers", "kld and tasks" },
                    { OPT_LIMIT, "--limit", "kld and tasks" },
                    { OPT_BASE_EXACT, "--base-exact", "kld" },
                    { OPT_WRONG, "--wrong", "tasks" } };
    for (size_t i = 0; i < sizeof options / sizeof *options; i++)
        if (cli_has(a, options[i].id) && !strstr(options[i].ways, way)) {
            cli_usage(a->verb, "%s goes with %s, not with %s", options[i].name, options[i].ways, way);
            return false;
        }
    return true;
}

int cli_eval(const cli_args *a)
{
    static const struct {
        const char *name;
        int (*run)(const cli_args *a, const char *const *words, size_t n_words);
    } ways[] = { { "perplexity", cli_eval_perplexity }, { "kld", cli_eval_kld }, { "tasks", cli_eval_tasks } };
    if (!a->n_words)
        return cli_usage(a->verb, "say what to measure: perplexity, kld or tasks");
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++)
        if (strcmp(a->words[0], ways[i].name) == 0) {
            if (!check_options(a, ways[i].name))
                return 2;
            cli_interrupt_catch();
            return ways[i].run(a, a->words + 1, a->n_words - 1);
        }
    return cli_usage(a->verb, "'%s' is not perplexity, kld or tasks", a->words[0]);
}
