/* qwren tokenize and detokenize. Tested by tests/cli/tokens.sh. */
#include "base/alloc.h"
#include "base/utf8.h"
#include "input.h"
#include "models.h"
#include "output.h"
#include "verbs.h"

#include <string.h>

static void put_ids(qw_buf *out, const int32_t *ids, size_t n)
{
    qw_buf_putc(out, '[');
    for (size_t i = 0; i < n; i++)
        qw_buf_printf(out, i ? ", %d" : "%d", (int)ids[i]);
    qw_buf_putc(out, ']');
}

/* ---- what both verbs do */

typedef struct job {
    const qwren_tokenizer *tokenizer;
    const cli_args *args;
} job;

typedef qwren_status (*file_fn)(const job *j, qw_buf *out, qwren_error *err);

static int convert_file(const job *j, file_fn fn)
{
    qw_buf out = QW_BUF_INIT;
    qwren_error err;
    qwren_status st = fn(j, &out, &err);
    if (st == QWREN_OK)
        st = qw_buf_status(&out, &err);
    if (st == QWREN_OK)
        cli_out(out.data, out.len);
    qw_buf_free(&out);
    return st == QWREN_OK ? 0 : cli_fail(&err);
}

/* Opens the tokenizer and converts: the whole file, or with --jsonl each line for itself. */
static int convert(const cli_args *a, file_fn whole, cli_line_fn line)
{
    qwren_tokenizer *t;
    qwren_error err;
    if (cli_tokenizer_open(a, &t, &err) != QWREN_OK)
        return cli_fail(&err);
    job j = { t, a };
    int status = cli_has(a, OPT_JSONL) ? cli_each_line(cli_file_word(a), false, line, &j) : convert_file(&j, whole);
    qwren_tokenizer_close(t);
    return status;
}

/* ---- text -> ids */

static qwren_status append_ids(const qwren_tokenizer *t, const char *text, size_t len, qwren_special mode, qw_buf *out, qwren_error *err)
{
    int32_t *ids;
    size_t n;
    QW_TRY(qwren_tokenize(t, text, len, mode, &ids, &n, err));
    put_ids(out, ids, n);
    qwren_free(ids);
    return QWREN_OK;
}

static qwren_special mode_of(const cli_args *a)
{
    if (cli_has(a, OPT_NO_ADDED))
        return QWREN_SPECIAL_NONE;
    return cli_has(a, OPT_NO_SPECIAL) ? QWREN_SPECIAL_SOME : QWREN_SPECIAL_ALL;
}

static qwren_status tokenize_file(const job *j, qw_buf *out, qwren_error *err)
{
    const char *path = cli_file_word(j->args);
    char *text;
    size_t len;
    QW_TRY(cli_read(path, &text, &len, err));
    if (!qw_utf8_is_valid(text, len))
        cli_notice("%s: not valid UTF-8; what is wrong in it counts as U+FFFD", cli_source_name(path));
    qwren_status st = append_ids(j->tokenizer, text, len, mode_of(j->args), out, err);
    qw_buf_putc(out, '\n');
    qw_free(text);
    return st;
}

static qwren_status read_mode(const qw_json *v, qwren_special fallback, qwren_special *mode, qwren_error *err)
{
    static const struct {
        const char *name;
        qwren_special mode;
    } modes[] = { { "all", QWREN_SPECIAL_ALL }, { "no_special", QWREN_SPECIAL_SOME }, { "none", QWREN_SPECIAL_NONE } };
    const char *name = qw_json_string(v, NULL);
    *mode = fallback;
    if (!v)
        return QWREN_OK;
    for (size_t i = 0; name && i < sizeof modes / sizeof *modes; i++) {
        *mode = modes[i].mode;
        if (strcmp(name, modes[i].name) == 0)
            return QWREN_OK;
    }
    return qw_fail(err, QWREN_E_FORMAT, "mode must be \"all\", \"no_special\" or \"none\"");
}

static qwren_status tokenize_line(void *ctx, const qw_json *line, qw_buf *out, qwren_error *err)
{
    const job *j = ctx;
    size_t len = 0;
    qwren_special mode;
    const char *text = qw_json_string(qw_json_get(line, "text"), &len);
    if (!text)
        return qw_fail(err, QWREN_E_FORMAT, "text must be a string");
    QW_TRY(read_mode(qw_json_get(line, "mode"), mode_of(j->args), &mode, err));
    qw_buf_puts(out, "{\"ids\": ");
    QW_TRY(append_ids(j->tokenizer, text, len, mode, out, err));
    qw_buf_putc(out, '}');
    return QWREN_OK;
}

int cli_tokenize(const cli_args *a) { return convert(a, tokenize_file, tokenize_line); }

/* ---- ids -> text */

static qwren_status append_text(const job *j, const int32_t *ids, size_t n, void (*append)(qw_buf *out, const char *text, size_t len),
                                qw_buf *out, qwren_error *err)
{
    size_t len = 0;
    char *text;
    QW_TRY(qwren_detokenize(j->tokenizer, ids, n, cli_has(j->args, OPT_SKIP_SPECIAL), &text, &len, err));
    append(out, text, len);
    qwren_free(text);
    return QWREN_OK;
}

static void append_plain(qw_buf *out, const char *text, size_t len) { qw_buf_append(out, text, len); }

static void append_member(qw_buf *out, const char *text, size_t len)
{
    qw_buf_puts(out, "{\"text\": ");
    qw_json_dump_string(out, text, len);
    qw_buf_putc(out, '}');
}

static qwren_status detokenize_file(const job *j, qw_buf *out, qwren_error *err)
{
    int32_t *ids;
    size_t n;
    QW_TRY(cli_read_ids(cli_file_word(j->args), &ids, &n, err));
    qwren_status st = append_text(j, ids, n, append_plain, out, err);
    qw_free(ids);
    return st;
}

static qwren_status detokenize_line(void *ctx, const qw_json *line, qw_buf *out, qwren_error *err)
{
    int32_t *ids;
    size_t n;
    QW_TRY(cli_ids_of_json(qw_json_get(line, "ids"), "ids", &ids, &n, err));
    qwren_status st = append_text(ctx, ids, n, append_member, out, err);
    qw_free(ids);
    return st;
}

int cli_detokenize(const cli_args *a) { return convert(a, detokenize_file, detokenize_line); }
