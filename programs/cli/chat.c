/* qwren chat: reads lines, sends messages, keeps the conversation. Commands are in chat_commands.c, line editing in edit.c. Tested by
 * tests/cli/chat.sh and terminal.sh. */
#include "chat.h"

#include "base/alloc.h"
#include "edit.h"
#include "input.h"
#include "interrupt.h"
#include "output.h"
#include "verbs.h"

#include <string.h>

#define MAX_BYTES ((size_t)16 << 20) /* of a message */

/* ---- answering */

static void put_request(const cli_chat *c, qw_buf *out)
{
    qw_buf all = QW_BUF_INIT;
    if (c->system)
        cli_message(&all, "system", c->system, strlen(c->system));
    if (all.len && c->messages.len)
        qw_buf_puts(&all, ", ");
    qw_buf_append(&all, qw_buf_text(&c->messages), c->messages.len);
    cli_request_begin(out, &c->engine.settings, qw_buf_text(&all));
    out->failed = out->failed || all.failed;
    qw_buf_free(&all);
}

static void put_member(qw_buf *out, const char *key, const qw_json *value)
{
    qw_buf_printf(out, ", \"%s\": ", key);
    qw_json_dump(out, value);
}

/* The answer becomes a message. */
static qwren_status keep_answer(cli_chat *c, const qwren_result *r, qwren_error *err)
{
    qw_json *root;
    const char *text = qwren_result_json(r);
    QW_TRY(qw_json_parse(&root, text, strlen(text), "result", err));
    const qw_json *content = qw_json_get(root, "content"), *reasoning = qw_json_get(root, "reasoning_content");
    const qw_json *calls = qw_json_get(root, "tool_calls");
    qw_buf_puts(&c->messages, ", {\"role\": \"assistant\"");
    if (qw_json_is(content, QW_JSON_STRING))
        put_member(&c->messages, "content", content);
    else
        qw_buf_puts(&c->messages, ", \"content\": \"\"");
    if (qw_json_is(reasoning, QW_JSON_STRING))
        put_member(&c->messages, "reasoning_content", reasoning);
    c->n_calls = qw_json_size(calls);
    if (c->n_calls)
        put_member(&c->messages, "tool_calls", calls);
    qw_buf_putc(&c->messages, '}');
    qw_json_free(root);
    return qw_buf_status(&c->messages, err);
}

static void report(cli_chat *c, const qwren_result *r)
{
    if (cli_interrupted())
        cli_tell("(stopped)\n");
    cli_engine_report(&c->engine, r);
    if (c->n_calls)
        cli_notice("/result TEXT hands in what the tool gave%s", c->n_calls > 1 ? ", one for each call" : "");
}

/* Answers the conversation as it stands. An answer that was stopped before its first word is forgotten with its question. */
static qwren_status answer(cli_chat *c, bool *kept, qwren_error *err)
{
    qwren_result *r = NULL;
    qw_buf request = QW_BUF_INIT;
    *kept = false;
    put_request(c, &request);
    qwren_status st = qw_buf_status(&request, err);
    cli_interrupt_catch();
    if (st == QWREN_OK)
        st = cli_engine_answer(&c->engine, qw_buf_text(&request), &r, err);
    cli_interrupt_release();
    qw_buf_free(&request);
    if (st == QWREN_E_CANCELLED && cli_interrupted()) {
        cli_tell("(stopped)\n");
        return QWREN_OK;
    }
    QW_TRY(st);
    c->stats = *qwren_result_stats(r);
    c->answered = true;
    if (qwren_result_content(r) || !cli_interrupted()) {
        st = keep_answer(c, r, err);
        *kept = st == QWREN_OK;
    }
    report(c, r);
    qwren_result_free(r);
    return st;
}

/* When a conversation has grown too long for the context, a new one helps. */
static qwren_status point_to_reset(qwren_status st, qwren_error *err)
{
    qwren_error why = *err;
    return qw_fail(err, st, "%s; /reset begins a new conversation", why.text);
}

/* Takes back what was added since `before` when it came to nothing. */
static qwren_status answer_or_forget(cli_chat *c, const cli_chat *before, qwren_error *err)
{
    bool kept = false;
    qwren_status st = qw_buf_status(&c->messages, err);
    if (st == QWREN_OK)
        st = answer(c, &kept, err);
    if (kept)
        return QWREN_OK;
    c->messages.failed = false;
    qw_buf_truncate(&c->messages, before->messages.len);
    c->n_calls = before->n_calls;
    return st == QWREN_E_LIMIT && before->messages.len ? point_to_reset(st, err) : st;
}

qwren_status cli_chat_send(cli_chat *c, const char *text, size_t len, qwren_error *err)
{
    const cli_chat before = *c;
    cli_message_with_images(&c->messages, text, len, c->n_sent, c->engine.images.n);
    c->n_calls = 0;
    qwren_status st = answer_or_forget(c, &before, err);
    if (c->messages.len > before.messages.len) {
        c->n_sent = c->engine.images.n;
    } else if (c->engine.images.n > c->n_sent) {
        cli_tell("(forgotten with its pictures; /image adds them again)\n");
        cli_images_truncate(&c->engine.images, c->n_sent);
    }
    return st;
}

qwren_status cli_chat_result(cli_chat *c, const char *text, size_t len, qwren_error *err)
{
    const cli_chat before = *c;
    if (!c->n_calls)
        return qw_fail(err, QWREN_E_ARGUMENT, "/result: no tool call waits for a result");
    cli_message(&c->messages, "tool", text, len);
    return --c->n_calls ? qw_buf_status(&c->messages, err) : answer_or_forget(c, &before, err);
}

/* ---- the loop */

/* A line, or several that are joined by a backslash at their ends. */
static cli_edit_result read_entry(cli_edit *edit, qw_buf *entry, qwren_error *err)
{
    qw_buf line = QW_BUF_INIT;
    qw_buf_clear(entry);
    cli_edit_result got = cli_edit_read(edit, "> ", &line, err);
    while (got == EDIT_LINE && line.len && line.data[line.len - 1] == '\\' && entry->len <= MAX_BYTES && !entry->failed) {
        qw_buf_append(entry, line.data, line.len - 1);
        qw_buf_putc(entry, '\n');
        got = cli_edit_read(edit, "... ", &line, err);
    }
    if (got == EDIT_LINE)
        qw_buf_append(entry, qw_buf_text(&line), line.len);
    else if (got == EDIT_END && entry->len)
        got = EDIT_LINE; /* the input ended after a backslash */
    qw_buf_free(&line);
    if (got != EDIT_LINE)
        return got;
    qwren_status st = qw_buf_status(entry, err);
    if (st == QWREN_OK && entry->len > MAX_BYTES)
        st = qw_fail(err, QWREN_E_LIMIT, "standard input: a message is longer than the limit of %zu bytes", MAX_BYTES);
    return st == QWREN_OK ? EDIT_LINE : EDIT_FAILED;
}

static bool is_blank(const qw_buf *entry)
{
    const char *s = qw_buf_text(entry);
    return strlen(s) == entry->len && s[strspn(s, " \t\r\n")] == '\0';
}

static qwren_status handle(cli_chat *c, const qw_buf *entry, qwren_error *err)
{
    const char *text = qw_buf_text(entry);
    if (is_blank(entry))
        return QWREN_OK;
    QW_TRY(cli_check_utf8(text, entry->len, "the line", err));
    if (text[0] == '/' && text[1] != '/')
        return cli_chat_command(c, text, err);
    size_t skip = text[0] == '/'; /* "//" begins a message with a slash */
    return cli_chat_send(c, text + skip, entry->len - skip, err);
}

/* Mistakes of a script are its failure; a person has seen them. */
static int talk(cli_chat *c, cli_edit *edit)
{
    qw_buf entry = QW_BUF_INIT;
    qwren_error err;
    int status = 0;
    while (!c->done && !cli_out_failed()) {
        cli_edit_result got = read_entry(edit, &entry, &err);
        if (got == EDIT_END)
            break;
        if (got == EDIT_INTERRUPT) {
            cli_tell("(/quit or Ctrl-D leaves)\n");
            continue;
        }
        if (got == EDIT_FAILED || handle(c, &entry, &err) != QWREN_OK) {
            cli_fail(&err);
            status = cli_edit_is_interactive(edit) ? 0 : 1;
        }
        if (got == EDIT_FAILED) {
            status = 1;
            break;
        }
    }
    qw_buf_free(&entry);
    return status;
}

static qwren_status begin(cli_chat *c, const cli_args *a, qwren_error *err)
{
    const char *system = cli_text(a, OPT_SYSTEM, NULL);
    if (system) {
        QW_TRY(cli_check_utf8(system, strlen(system), "the system prompt", err));
        c->system = qw_strdup(system);
        if (!c->system)
            return qw_fail_memory(err, strlen(system), "the system prompt");
    }
    cli_interrupt_catch();
    qwren_status st = cli_engine_open(&c->engine, a, err);
    cli_interrupt_release();
    return st;
}

int cli_chat_run(const cli_args *a)
{
    cli_chat c = { 0 };
    cli_edit *edit = NULL;
    qwren_error err;
    int status = cli_engine_check(a);
    if (status)
        return status;
    if (begin(&c, a, &err) != QWREN_OK || cli_edit_open(&edit, &err) != QWREN_OK) {
        status = cli_fail(&err);
    } else {
        if (cli_edit_is_interactive(edit) && !cli_is_quiet())
            cli_tell("%s (%s). /help lists the commands.\n", qwren_model_get_info(c.engine.model)->path,
                     qwren_model_get_info(c.engine.model)->size_name);
        status = talk(&c, edit);
    }
    cli_edit_close(edit);
    cli_engine_close(&c.engine);
    qw_buf_free(&c.messages);
    qw_free(c.system);
    return status;
}
