/* qwren parse: a model's raw output -> thought, answer, calls. Tested by tests/cli/parse.sh. */
#include "base/alloc.h"
#include "input.h"
#include "output.h"
#include "verbs.h"

#include <string.h>

/* Pushes the pieces and appends the result. `pieces` is a JSON array of strings; NULL: the text [len] is the only one. */
static qwren_status parse(const qwren_parser_options *opt, const qw_json *pieces, const char *text, size_t len, const char *finish,
                          qw_buf *out, qwren_error *err)
{
    qwren_parser *p;
    char *json = NULL;
    QW_TRY(qwren_parser_create(&p, opt, NULL, NULL, err));
    qwren_status st = pieces ? QWREN_OK : qwren_parser_push(p, text, len, err);
    for (size_t i = 0; st == QWREN_OK && i < qw_json_size(pieces); i++) {
        size_t n = 0;
        const char *piece = qw_json_string(qw_json_at(pieces, i), &n);
        st = piece ? qwren_parser_push(p, piece, n, err) : qw_fail(err, QWREN_E_FORMAT, "chunks: element %zu is no string", i);
    }
    if (st == QWREN_OK)
        st = qwren_parser_finish(p, finish, &json, err);
    if (st == QWREN_OK)
        qw_buf_puts(out, json);
    qwren_free(json);
    qwren_parser_free(p);
    return st;
}

/* ---- lines */

typedef struct job {
    const cli_args *args;
    char *tools; /* those of --tools, as JSON; NULL: none */
} job;

/* A member that must be a string when it is there and not null. */
static qwren_status read_word(const qw_json *line, const char *key, const char *fallback, const char **out, qwren_error *err)
{
    const qw_json *v = qw_json_get(line, key);
    *out = qw_json_kind_of(v) == QW_JSON_NULL ? fallback : qw_json_string(v, NULL);
    return *out || qw_json_kind_of(v) == QW_JSON_NULL ? QWREN_OK : qw_fail(err, QWREN_E_FORMAT, "%s must be a string", key);
}

/* A list, or "TOOLS" for those of the command line. */
static qwren_status read_tools(const job *j, const qw_json *v, qw_buf *own, const char **tools, qwren_error *err)
{
    const char *name = qw_json_string(v, NULL);
    *tools = NULL;
    if (qw_json_kind_of(v) == QW_JSON_NULL)
        return QWREN_OK;
    if (name && strcmp(name, "TOOLS") == 0) {
        *tools = j->tools;
        return j->tools ? QWREN_OK
                        : qw_fail(err, QWREN_E_ARGUMENT, "tools: \"TOOLS\" stands for those of --tools FILE, which was not given");
    }
    if (!qw_json_is(v, QW_JSON_ARRAY))
        return qw_fail(err, QWREN_E_FORMAT, "tools must be a list or \"TOOLS\"");
    qw_json_dump(own, v);
    *tools = qw_buf_text(own);
    return qw_buf_status(own, err);
}

static qwren_status read_options(const job *j, const qw_json *line, qwren_parser_options *opt, qw_buf *own_tools, const char **finish,
                                 qwren_error *err)
{
    const char *format;
    const qw_json *thinking = qw_json_get(line, "thinking");
    *opt = qwren_parser_options_default();
    if (thinking && !qw_json_is(thinking, QW_JSON_BOOL))
        return qw_fail(err, QWREN_E_FORMAT, "thinking must be true or false");
    opt->thinking = qw_json_bool(thinking, false);
    QW_TRY(read_word(line, "tool_choice", NULL, &opt->tool_choice, err));
    QW_TRY(read_word(line, "finish", "stop", finish, err));
    QW_TRY(read_word(line, "reasoning_format", "auto", &format, err));
    opt->keep_markup = strcmp(format, "none") == 0;
    return read_tools(j, qw_json_get(line, "tools"), own_tools, &opt->tools, err);
}

static qwren_status parse_line(void *ctx, const qw_json *line, qw_buf *out, qwren_error *err)
{
    const qw_json *chunks = qw_json_get(line, "chunks");
    qwren_parser_options opt;
    const char *finish = "stop";
    qw_buf own_tools = QW_BUF_INIT;
    if (!qw_json_is(chunks, QW_JSON_ARRAY))
        return qw_fail(err, QWREN_E_FORMAT, "chunks must be a list of strings");
    qwren_status st = read_options(ctx, line, &opt, &own_tools, &finish, err);
    if (st == QWREN_OK)
        st = parse(&opt, chunks, NULL, 0, finish, out, err);
    qw_buf_free(&own_tools);
    return st;
}

/* ---- one text */

static qwren_status parse_file(const job *j, qw_buf *out, qwren_error *err)
{
    char *text;
    size_t len;
    qwren_parser_options opt = qwren_parser_options_default();
    opt.thinking = !cli_has(j->args, OPT_NO_THINK);
    opt.tools = j->tools;
    opt.tool_choice = cli_text(j->args, OPT_TOOL_CHOICE, NULL);
    QW_TRY(cli_read(cli_file_word(j->args), &text, &len, err));
    qwren_status st = parse(&opt, NULL, text, len, cli_text(j->args, OPT_FINISH, "stop"), out, err);
    qw_free(text);
    qw_buf_putc(out, '\n');
    return st == QWREN_OK ? qw_buf_status(out, err) : st;
}

int cli_parse(const cli_args *a)
{
    job j = { a, NULL };
    qwren_error err;
    qw_buf out = QW_BUF_INIT;
    int status = 0;
    if (cli_read_tools(cli_text(a, OPT_TOOLS, NULL), &j.tools, &err) != QWREN_OK)
        return cli_fail(&err);
    if (cli_has(a, OPT_JSONL))
        status = cli_each_line(cli_file_word(a), false, parse_line, &j);
    else if (parse_file(&j, &out, &err) == QWREN_OK)
        cli_out(out.data, out.len);
    else
        status = cli_fail(&err);
    qw_buf_free(&out);
    qw_free(j.tools);
    return status;
}
