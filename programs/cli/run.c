/* qwren run: one prompt, one request, or a request a line. Tested by tests/cli/run.sh, jsonl.sh, interrupt.sh and files.sh. */
#include "base/alloc.h"
#include "base/file.h"
#include "engine.h"
#include "input.h"
#include "interrupt.h"
#include "output.h"
#include "verbs.h"

#include <string.h>

/* 0, or 2 after a complaint about options that do not go together. */
static int check_usage(const cli_args *a)
{
    bool request = cli_has(a, OPT_REQUEST), lines = cli_has(a, OPT_JSONL);
    if (request && lines)
        return cli_usage(a->verb, "--request and --jsonl exclude each other");
    if ((request || lines) && (cli_has(a, OPT_IMAGE) || cli_has(a, OPT_SYSTEM)))
        return cli_usage(a->verb, "--image and --system go with a prompt; a request carries its own");
    if (request && a->n_words)
        return cli_usage(a->verb, "--request brings the prompt, '%s' is one too many", a->words[0]);
    if (!request && !lines && !a->n_words)
        return cli_usage(a->verb, "a prompt is missing ('-' reads it from standard input)");
    return cli_engine_check(a);
}

/* The prompt as it was given; of standard input without the last line break. */
static qwren_status read_prompt(const char *word, char **text, size_t *len, qwren_error *err)
{
    bool from_stdin = strcmp(word, "-") == 0;
    if (from_stdin) {
        QW_TRY(cli_read(word, text, len, err));
        if (*len && (*text)[*len - 1] == '\n')
            (*text)[--*len] = '\0';
    } else {
        *len = strlen(word);
        *text = qw_strndup(word, *len);
        if (!*text)
            return qw_fail_memory(err, *len, "the prompt");
    }
    qwren_status st = cli_check_utf8(*text, *len, from_stdin ? "standard input" : "the prompt", err);
    if (st != QWREN_OK) {
        qw_free(*text);
        *text = NULL;
    }
    return st;
}

static qwren_status request_of_prompt(cli_engine *e, qw_buf *out, qwren_error *err)
{
    const char *system = cli_text(e->args, OPT_SYSTEM, NULL), *path;
    qw_buf messages = QW_BUF_INIT;
    char *prompt;
    size_t len;
    if (system)
        QW_TRY(cli_check_utf8(system, strlen(system), "the system prompt", err));
    for (size_t i = 0; (path = cli_nth(e->args, OPT_IMAGE, i)) != NULL; i++)
        QW_TRY(cli_images_add_path(&e->images, path, err));
    QW_TRY(read_prompt(e->args->words[0], &prompt, &len, err));
    if (system)
        cli_message(&messages, "system", system, strlen(system));
    cli_message_with_images(&messages, prompt, len, 0, e->images.n);
    qw_free(prompt);
    qwren_status st = qw_buf_status(&messages, err);
    if (st == QWREN_OK)
        cli_request_begin(out, &e->settings, qw_buf_text(&messages));
    qw_buf_free(&messages);
    return st == QWREN_OK ? qw_buf_status(out, err) : st;
}

static qwren_status request_of_file(const cli_engine *e, qw_buf *out, qwren_error *err)
{
    const char *path = cli_text(e->args, OPT_REQUEST, NULL);
    qw_json *request;
    QW_TRY(cli_read_json(path, &request, err));
    bool fits = qw_json_is(request, QW_JSON_OBJECT);
    if (fits)
        cli_request_complete(out, &e->settings, request);
    qw_json_free(request);
    return fits ? qw_buf_status(out, err)
                : qw_fail(err, QWREN_E_FORMAT, "%s: must be a JSON object with \"messages\"", cli_source_name(path));
}

/* 130 when Ctrl-C ended it. */
static int finish(cli_engine *e, qwren_result *r)
{
    if (cli_has(e->args, OPT_JSON)) {
        cli_puts(qwren_result_json(r));
        cli_puts("\n");
    }
    cli_flush();
    if (!cli_out_failed())
        cli_engine_report(e, r);
    qwren_result_free(r);
    return cli_interrupted() ? 130 : 0;
}

static int run_once(cli_engine *e)
{
    qwren_error err;
    qwren_result *r = NULL;
    qw_buf request = QW_BUF_INIT;
    qwren_status st = cli_has(e->args, OPT_REQUEST) ? request_of_file(e, &request, &err) : request_of_prompt(e, &request, &err);
    if (st == QWREN_OK)
        st = cli_engine_answer(e, qw_buf_text(&request), &r, &err);
    qw_buf_free(&request);
    return st == QWREN_OK ? finish(e, r) : cli_out_failed() ? 1 : cli_fail(&err);
}

static qwren_status answer_line(void *ctx, const qw_json *line, qw_buf *out, qwren_error *err)
{
    cli_engine *e = ctx;
    qw_buf request = QW_BUF_INIT;
    qwren_result *r = NULL;
    cli_request_complete(&request, &e->settings, line);
    qwren_status st = qw_buf_status(&request, err);
    if (st == QWREN_OK)
        st = cli_engine_answer(e, qw_buf_text(&request), &r, err);
    if (st == QWREN_OK) {
        qw_buf_puts(out, qwren_result_json(r));
        if (cli_has(e->args, OPT_STATS))
            cli_render_stats(qwren_result_stats(r));
    }
    qwren_result_free(r);
    qw_buf_free(&request);
    return st;
}

/* What is at `path` holds no complete session, and can be saved to; E_FORMAT: of something else nothing is lost. */
static qwren_status begin_anew(const cli_engine *e, const char *path, qwren_error *err)
{
    const qwren_error why = *err;
    qwren_error ignored;
    char *json;
    if (qwren_session_inspect(path, &json, &ignored) == QWREN_OK) {
        qwren_free(json);
        return QWREN_E_FORMAT; /* it is complete, and not for this model */
    }
    QW_TRY(qwren_session_save(e->session, path, err));
    cli_notice("%s; a new one begins", why.text);
    return QWREN_OK;
}

/* The session's file. For one who is going to save to it a new name is no mistake, nor is a file whose first saving was interrupted; but that none can be written is told
 * before anything is computed. */
static qwren_status restore(const cli_engine *e, const char *from, const char *to, qwren_error *err)
{
    if (to)
        QW_TRY(qw_file_check_place(to, err));
    if (!from || (to && !qw_path_exists(to)))
        return QWREN_OK;
    const qwren_status st = qwren_session_load(e->session, from, err);
    return st == QWREN_E_FORMAT && to ? begin_anew(e, to, err) : st;
}

/* An answer that was stopped is saved too: as far as it came, it need not be computed again. */
static int save(const cli_engine *e, const char *to, int status)
{
    qwren_error err;
    if (!to || (status != 0 && status != 130) || qwren_session_save(e->session, to, &err) == QWREN_OK)
        return status;
    return cli_fail(&err);
}

int cli_run(const cli_args *a)
{
    const char *file = cli_text(a, OPT_SESSION, NULL);
    return cli_run_in(a, file, file);
}

int cli_run_in(const cli_args *a, const char *from, const char *to)
{
    cli_engine e;
    qwren_error err;
    int status = check_usage(a);
    if (status)
        return status;
    cli_interrupt_catch();
    if (cli_engine_open(&e, a, &err) != QWREN_OK || restore(&e, from, to, &err) != QWREN_OK)
        status = cli_fail(&err);
    else
        status = save(&e, to, cli_has(a, OPT_JSONL) ? cli_each_line(cli_file_word(a), true, answer_line, &e) : run_once(&e));
    cli_engine_close(&e);
    return status;
}
