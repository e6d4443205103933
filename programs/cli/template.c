/* qwren template: a chat request -> the text of its prompt. Tested by tests/cli/template.sh. */
#include "base/alloc.h"
#include "base/utf8.h"
#include "input.h"
#include "models.h"
#include "output.h"
#include "verbs.h"

#include <string.h>

typedef struct job {
    const cli_args *args;
    qwren_tokenizer *tokenizer; /* opened for the first line that needs it */
} job;

/* Members of a line that make a request: flags stand beside the messages in the stored cases, and none means false. */
static void put_request(qw_buf *out, const qw_json *line, const qw_json *flags)
{
    static const char *const keys[] = { "messages", "tools" };
    qw_buf_puts(out, "{\"add_generation_prompt\": false, \"chat_template_kwargs\": ");
    qw_json_dump(out, flags);
    for (size_t i = 0; i < 2; i++) {
        const qw_json *v = qw_json_get(line, keys[i]);
        if (!v)
            continue;
        qw_buf_printf(out, ", \"%s\": ", keys[i]);
        qw_json_dump(out, v);
    }
    qw_buf_putc(out, '}');
}

/* Whether the line's checkpoint thinks when nothing is said: by its variant, else -1 for the tokenizer's. */
static qwren_status read_variant(job *j, const qw_json *line, int *thinks, qwren_error *err)
{
    const qw_json *v = qw_json_get(line, "variant");
    const char *name = qw_json_string(v, NULL);
    *thinks = -1;
    if (!v)
        return j->tokenizer ? QWREN_OK : cli_tokenizer_open(j->args, &j->tokenizer, err);
    if (!name || (strcmp(name, "4b") != 0 && strcmp(name, "0.8b") != 0))
        return qw_fail(err, QWREN_E_FORMAT, "variant must be \"4b\" or \"0.8b\"");
    *thinks = strcmp(name, "4b") == 0;
    return QWREN_OK;
}

static qwren_status render(const job *j, const qw_buf *request, bool strict, int thinks, char **prompt, size_t *len, qwren_error *err)
{
    qwren_render_options opt = qwren_render_options_default();
    opt.strict = strict;
    opt.thinks_by_default = thinks;
    *prompt = NULL;
    QW_TRY(qw_buf_status(request, err));
    return qwren_render(j->tokenizer, qw_buf_text(request), request->len, &opt, prompt, len, err);
}

/* A conversation that the template refuses has been answered: that is what was asked. */
static qwren_status render_line(void *ctx, const qw_json *line, qw_buf *out, qwren_error *err)
{
    job *j = ctx;
    int thinks;
    char *prompt;
    size_t len = 0;
    qw_buf request = QW_BUF_INIT;
    const qw_json *flags = qw_json_get(line, "flags");
    if (flags && !qw_json_is(flags, QW_JSON_OBJECT))
        return qw_fail(err, QWREN_E_FORMAT, "flags must be an object");
    QW_TRY(read_variant(j, line, &thinks, err));
    if (flags)
        put_request(&request, line, flags);
    else
        qw_json_dump(&request, line);
    qwren_status st = render(j, &request, true, thinks, &prompt, &len, err);
    qw_buf_free(&request);
    if (st != QWREN_OK && st != QWREN_E_TEMPLATE)
        return st;
    qw_buf_puts(out, st == QWREN_OK ? "{\"text\": " : "{\"error\": ");
    qw_json_dump_string(out, st == QWREN_OK ? prompt : err->text, st == QWREN_OK ? len : strlen(err->text));
    qw_buf_putc(out, '}');
    qwren_free(prompt);
    return QWREN_OK;
}

/* The library speaks of "request"; here it has a name. */
static void name_request(qwren_error *err, const char *path)
{
    qwren_error old = *err;
    if (strncmp(old.text, "request: ", 9) == 0)
        qw_fail(err, old.code, "%s: %s", cli_source_name(path), old.text + 9);
}

static qwren_status render_file(job *j, const char *path, qwren_error *err)
{
    char *text, *prompt;
    size_t len, n = 0;
    QW_TRY(cli_tokenizer_open(j->args, &j->tokenizer, err));
    QW_TRY(cli_read(path, &text, &len, err));
    qw_buf request = QW_BUF_INIT;
    const char *json = qw_utf8_skip_bom(text, &len);
    qw_buf_append(&request, json, len);
    qw_free(text);
    qwren_status st = render(j, &request, cli_has(j->args, OPT_STRICT), -1, &prompt, &n, err);
    qw_buf_free(&request);
    if (st == QWREN_OK)
        cli_out(prompt, n);
    else
        name_request(err, path);
    qwren_free(prompt);
    return st;
}

int cli_template(const cli_args *a)
{
    job j = { a, NULL };
    qwren_error err;
    qwren_status st = QWREN_OK;
    int status = 0;
    if (!cli_has(a, OPT_JSONL) && !a->n_words)
        return cli_usage(a->verb, "the request's file is missing ('-' reads standard input)");
    if (!cli_has(a, OPT_JSONL))
        st = render_file(&j, a->words[0], &err);
    else if (cli_has(a, OPT_MODEL))
        st = cli_tokenizer_open(a, &j.tokenizer, &err);
    if (st == QWREN_OK && cli_has(a, OPT_JSONL))
        status = cli_each_line(cli_file_word(a), false, render_line, &j);
    qwren_tokenizer_close(j.tokenizer);
    return st == QWREN_OK ? status : cli_fail(&err);
}
