/* Reading (input.h). Tested by tests/cli/tokens.sh, files.sh and jsonl.sh. */
#include "input.h"

#include "base/affix.h"
#include "base/alloc.h"
#include "base/file.h"
#include "base/utf8.h"
#include "interrupt.h"
#include "output.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define MAX_BYTES ((size_t)1 << 30)

static bool is_stdin(const char *path) { return strcmp(path, "-") == 0; }

const char *cli_source_name(const char *path) { return is_stdin(path) ? "standard input" : path; }

/* Pipes are read as well, which a plain qw_file_read() refuses. */
static qwren_status read_whole(const char *path, char **text, size_t *len, qwren_error *err)
{
    *text = NULL;
    *len = 0;
    if (is_stdin(path))
        return qw_file_read_stream(stdin, "standard input", MAX_BYTES, text, len, err);
    if (qw_file_exists(path))
        return qw_file_read(path, MAX_BYTES, text, len, err);
    FILE *f = fopen(path, "rbe");
    if (!f)
        return qw_fail(err, QWREN_E_IO, "%s: cannot be opened: %s", path, strerror(errno));
    qwren_status st = qw_file_read_stream(f, path, MAX_BYTES, text, len, err);
    fclose(f);
    return st;
}

/* Opening a pipe and reading from one wait, and Ctrl-C ends both with an error of their own. */
static qwren_status unless_interrupted(qwren_status st, const char *path, qwren_error *err)
{
    return st == QWREN_E_IO && cli_interrupted() ? qw_fail(err, QWREN_E_CANCELLED, "%s: stopped", cli_source_name(path)) : st;
}

qwren_status cli_read(const char *path, char **text, size_t *len, qwren_error *err)
{
    return unless_interrupted(read_whole(path, text, len, err), path, err);
}

qwren_status cli_read_json(const char *path, qw_json **out, qwren_error *err)
{
    char *text;
    size_t len;
    *out = NULL;
    QW_TRY(cli_read(path, &text, &len, err));
    const char *json = qw_utf8_skip_bom(text, &len);
    qwren_status st = qw_json_parse(out, json, len, cli_source_name(path), err);
    qw_free(text);
    return st;
}

qwren_status cli_read_tools(const char *path, char **text, qwren_error *err)
{
    qw_json *tools;
    qw_buf b = QW_BUF_INIT;
    *text = NULL;
    if (!path)
        return QWREN_OK;
    QW_TRY(cli_read_json(path, &tools, err));
    qwren_status st = QWREN_OK;
    if (!qw_json_is(tools, QW_JSON_ARRAY))
        st = qw_fail(err, QWREN_E_FORMAT, "%s: must be a list of tools, [{\"type\": \"function\", \"function\": {...}}, ...]",
                     cli_source_name(path));
    if (st == QWREN_OK) {
        qw_json_dump(&b, tools);
        st = qw_buf_take(&b, text, NULL, err);
    }
    qw_json_free(tools);
    return st;
}

qwren_status cli_check_utf8(const char *text, size_t len, const char *what, qwren_error *err)
{
    size_t at = 0;
    while (at < len) {
        bool valid = true;
        uint32_t cp;
        size_t n = qw_utf8_decode(text + at, len - at, &cp, &valid);
        if (!valid)
            return qw_fail(err, QWREN_E_FORMAT, "%s: not valid UTF-8 at byte %zu; convert it, for example with iconv", what, at);
        at += n;
    }
    return QWREN_OK;
}

/* ---- ids */

qwren_status cli_ids_of_json(const qw_json *list, const char *where, int32_t **ids, size_t *n, qwren_error *err)
{
    *ids = NULL;
    *n = 0;
    if (!qw_json_is(list, QW_JSON_ARRAY))
        return qw_fail(err, QWREN_E_FORMAT, "%s: token ids must be a list of whole numbers", where);
    size_t count = qw_json_size(list);
    int32_t *out = qw_alloc_array(count, sizeof *out);
    if (!out)
        return qw_fail_memory(err, count * sizeof *out, "token ids");
    for (size_t i = 0; i < count; i++) {
        const qw_json *v = qw_json_at(list, i);
        int64_t id = qw_json_int(v, -1);
        if (!qw_json_is(v, QW_JSON_INT) || id < 0 || id > INT32_MAX) {
            qw_free(out);
            return qw_fail(err, QWREN_E_FORMAT, "%s: element %zu is no token id, a whole number from 0 to %d", where, i, INT32_MAX);
        }
        out[i] = (int32_t)id;
    }
    *ids = out;
    *n = count;
    return QWREN_OK;
}

/* Bare numbers become a JSON list: "1 2, 3" -> "[1, 2, 3]". */
static void bracket(qw_buf *out, const char *text, size_t len)
{
    bool between = false;
    qw_buf_putc(out, '[');
    for (size_t i = 0; i < len; i++) {
        bool blank = memchr(" \t\r\n", text[i], 4) != NULL;
        if (!blank && between && text[i] != ',' && out->data && out->data[out->len - 1] != ',')
            qw_buf_putc(out, ',');
        between = blank && (between || out->len > 1);
        if (!blank)
            qw_buf_putc(out, text[i]);
    }
    qw_buf_putc(out, ']');
}

qwren_status cli_read_ids(const char *path, int32_t **ids, size_t *n, qwren_error *err)
{
    char *text;
    size_t len;
    qw_json *list = NULL;
    qw_buf b = QW_BUF_INIT;
    *ids = NULL;
    *n = 0;
    QW_TRY(cli_read(path, &text, &len, err));
    const char *list_text = qw_utf8_skip_bom(text, &len);
    size_t start = strspn(list_text, " \t\r\n");
    if (list_text[start] == '[' || list_text[start] == '{')
        qw_buf_append(&b, list_text, len);
    else
        bracket(&b, list_text, len);
    qw_free(text);
    qwren_status st = qw_buf_status(&b, err);
    if (st == QWREN_OK)
        st = qw_json_parse(&list, qw_buf_text(&b), b.len, cli_source_name(path), err);
    if (st == QWREN_OK)
        st = cli_ids_of_json(list, cli_source_name(path), ids, n, err);
    qw_json_free(list);
    qw_buf_free(&b);
    return st;
}

/* ---- lines */

qwren_status cli_read_line(FILE *f, const char *name, size_t max_bytes, qw_buf *line, bool *more, qwren_error *err)
{
    int c;
    qw_buf_clear(line);
    while ((c = getc_unlocked(f)) != EOF && c != '\n' && line->len < max_bytes && !line->failed)
        qw_buf_putc(line, (char)c);
    int why = errno;
    *more = c != EOF || line->len > 0;
    if (c == EOF && ferror(f))
        return why == EINTR && cli_interrupted() ? qw_fail(err, QWREN_E_CANCELLED, "%s: stopped", name)
                                                 : qw_fail(err, QWREN_E_IO, "%s: cannot be read: %s", name, strerror(why));
    QW_TRY(qw_buf_status(line, err));
    if (c != EOF && c != '\n')
        return qw_fail(err, QWREN_E_LIMIT, "%s: a line is longer than the limit of %zu bytes", name, max_bytes);
    return QWREN_OK;
}

/* False at the end of the file, and after a failure (*st). */
static bool next_line(FILE *f, const char *name, qw_buf *line, qwren_status *st, qwren_error *err)
{
    bool more;
    *st = cli_read_line(f, name, MAX_BYTES, line, &more, err);
    return *st == QWREN_OK && more;
}

static bool is_blank(const char *s, size_t len) { return s[strspn(s, " \t\r")] == '\0' && strlen(s) == len; }

typedef struct lines {
    FILE *file;
    const char *name;
    cli_line_fn fn;
    void *ctx;
    bool keep_id;
    size_t number, n_answered, n_failed, first_failed;
} lines;

/* To the reader of JSON each text begins with line 1: only the column is news. */
static qwren_status parse_line(const lines *l, const char *line, size_t len, qw_json **value, qwren_error *err)
{
    char where[64], twice[80];
    snprintf(where, sizeof where, "line %zu", l->number);
    snprintf(twice, sizeof twice, "%s: line 1, ", where);
    qwren_status st = qw_json_parse(value, line, len, where, err);
    if (st != QWREN_OK && qw_begins_with(err->text, twice)) {
        qwren_error old = *err;
        return qw_fail(err, st, "%s, %s", where, old.text + strlen(twice));
    }
    if (st == QWREN_OK && !qw_json_is(*value, QW_JSON_OBJECT))
        st = qw_fail(err, QWREN_E_FORMAT, "%s: must be a JSON object", where);
    return st;
}

/* A line's answer, with its "id" in front if that is wanted. */
static qwren_status answer_line(const lines *l, const char *line, size_t len, qw_buf *out, qwren_error *err)
{
    qw_json *value = NULL;
    qw_buf answer = QW_BUF_INIT;
    qwren_status st = parse_line(l, line, len, &value, err);
    if (st == QWREN_OK)
        st = l->fn(l->ctx, value, &answer, err);
    if (st == QWREN_OK)
        st = qw_buf_status(&answer, err);
    if (st != QWREN_OK) {
        qw_buf_clear(&answer);
        qw_buf_puts(&answer, "{\"error\": ");
        qw_json_dump_string(&answer, err->text, strlen(err->text));
        qw_buf_putc(&answer, '}');
    }
    const qw_json *id = l->keep_id ? qw_json_get(value, "id") : NULL;
    if (id) {
        qw_buf_puts(out, "{\"id\": ");
        qw_json_dump(out, id);
        qw_buf_puts(out, ", ");
    }
    const char *rest = qw_buf_text(&answer); /* "" when memory ran short */
    qw_buf_puts(out, rest + (id && *rest == '{'));
    qw_buf_putc(out, '\n');
    out->failed = out->failed || answer.failed;
    qw_json_free(value);
    qw_buf_free(&answer);
    return st;
}

static qwren_status answer_lines(lines *l, qwren_error *err)
{
    qw_buf line = QW_BUF_INIT, out = QW_BUF_INIT;
    qwren_status st = QWREN_OK;
    while (!cli_out_failed() && !cli_interrupted() && next_line(l->file, l->name, &line, &st, err)) {
        size_t len = line.len;
        const char *text = l->number++ ? qw_buf_text(&line) : qw_utf8_skip_bom(qw_buf_text(&line), &len);
        if (is_blank(text, len))
            continue;
        qw_buf_clear(&out);
        l->n_answered++;
        if (answer_line(l, text, len, &out, err) != QWREN_OK && l->n_failed++ == 0)
            l->first_failed = l->number;
        if ((st = qw_buf_status(&out, err)) != QWREN_OK)
            break;
        cli_out(out.data, out.len);
        cli_flush();
    }
    qw_buf_free(&line);
    qw_buf_free(&out);
    return st;
}

/* The exit status. */
static int conclude(const lines *l, qwren_status st, qwren_error *err)
{
    if (st != QWREN_OK)
        return cli_fail(err);
    if (cli_interrupted())
        return 130;
    if (!l->n_failed || cli_out_failed())
        return 0; /* a failed stdout is told and counted by others */
    qw_fail(err, QWREN_E_FORMAT, "%s: %zu of %zu lines failed, the first is line %zu; \"error\" in their answers says why", l->name,
            l->n_failed, l->n_answered, l->first_failed);
    return cli_fail(err);
}

int cli_each_line(const char *path, bool keep_id, cli_line_fn fn, void *ctx)
{
    qwren_error err;
    lines l = { .file = stdin, .name = cli_source_name(path), .fn = fn, .ctx = ctx, .keep_id = keep_id };
    if (!is_stdin(path))
        l.file = fopen(path, "rbe");
    if (!l.file) {
        unless_interrupted(qw_fail(&err, QWREN_E_IO, "%s: cannot be opened: %s", path, strerror(errno)), path, &err);
        return cli_fail(&err);
    }
    qwren_status st = answer_lines(&l, &err);
    if (l.file != stdin)
        fclose(l.file);
    return conclude(&l, st, &err);
}
