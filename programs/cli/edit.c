/* Line editing (edit.h) over libedit's own interface. Ctrl-C is a key while a line is typed, no signal: libedit would go on reading after
 * one. Tested by tests/cli/terminal.sh and chat.sh. */
#include "edit.h"

#include "base/alloc.h"
#include "history.h"
#include "input.h"
#include "interrupt.h"

#include <locale.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>
#include <wchar.h>

#ifdef QW_HAVE_LIBEDIT
#  include <histedit.h>
#endif

#define MAX_BYTES ((size_t)16 << 20) /* of a line */

struct cli_edit {
    bool interactive;
    const char *prompt;
#ifdef QW_HAVE_LIBEDIT
    EditLine *el; /* NULL: plain lines */
    History *history;
    bool interrupted;
#endif
};

/* ---- plain lines */

static cli_edit_result read_plain(cli_edit *e, const char *prompt, qw_buf *line, qwren_error *err)
{
    bool more;
    if (e->interactive) {
        fputs(prompt, stderr);
        cli_interrupt_catch();
    }
    qwren_status st = cli_read_line(stdin, "standard input", MAX_BYTES, line, &more, err);
    if (e->interactive)
        cli_interrupt_release();
    if (st == QWREN_E_CANCELLED) {
        clearerr(stdin);
        fputc('\n', stderr);
        return EDIT_INTERRUPT;
    }
    if (st != QWREN_OK)
        return EDIT_FAILED;
    return more ? EDIT_LINE : EDIT_END;
}

/* ---- libedit */

#ifdef QW_HAVE_LIBEDIT

static cli_edit *edit_of(EditLine *el)
{
    void *e = NULL;
    el_get(el, EL_CLIENTDATA, &e);
    return e;
}

static char *prompt_of(EditLine *el)
{
    static char copy[16];
    snprintf(copy, sizeof copy, "%s", edit_of(el)->prompt);
    return copy;
}

static unsigned char on_interrupt(EditLine *el, wint_t key)
{
    (void)key;
    edit_of(el)->interrupted = true;
    return CC_EOF;
}

/* The signals' keys are plain keys here, so this one is done by hand. */
static unsigned char on_suspend(EditLine *el, wint_t key)
{
    (void)key;
    el_set(el, EL_PREP_TERM, 0);
    raise(SIGTSTP);
    el_set(el, EL_PREP_TERM, 1);
    return CC_REDISPLAY;
}

static void remember(void *ctx, const char *line)
{
    HistEvent ev;
    history(ctx, &ev, H_ENTER, line);
}

static void open_editor(cli_edit *e)
{
    HistEvent ev;
    setlocale(LC_CTYPE, ""); /* libedit reads characters, not bytes */
    e->el = el_init("qwren", stdin, stdout, stderr);
    e->history = history_init();
    if (!e->el || !e->history)
        return;
    history(e->history, &ev, H_SETSIZE, CLI_HISTORY_LINES);
    history(e->history, &ev, H_SETUNIQUE, 1);
    el_set(e->el, EL_CLIENTDATA, e);
    el_set(e->el, EL_PROMPT, prompt_of);
    el_set(e->el, EL_EDITOR, "emacs");
    el_set(e->el, EL_HIST, history, e->history);
    el_source(e->el, NULL);
    el_wset(e->el, EL_ADDFN, L"qwren-interrupt", L"drop the line", on_interrupt); /* el_set would lose copies of the names */
    el_wset(e->el, EL_ADDFN, L"qwren-suspend", L"suspend the program", on_suspend);
    el_set(e->el, EL_BIND, "^C", "qwren-interrupt", NULL);
    el_set(e->el, EL_BIND, "^Z", "qwren-suspend", NULL);
    el_set(e->el, EL_SETTY, "-d", "-isig", NULL);
    cli_history_load(remember, e->history);
}

static bool has_editor(const cli_edit *e) { return e->el && e->history; }

/* Oldest first, a line each. After every line, since a second Ctrl-C ends the program on the spot. */
static void save_history(cli_edit *e)
{
    HistEvent ev;
    qw_buf lines = QW_BUF_INIT;
    for (int more = history(e->history, &ev, H_LAST); more != -1; more = history(e->history, &ev, H_PREV)) {
        qw_buf_puts(&lines, ev.str);
        qw_buf_putc(&lines, '\n');
    }
    cli_history_save(&lines);
    qw_buf_free(&lines);
}

static cli_edit_result read_edited(cli_edit *e, const char *prompt, qw_buf *line, qwren_error *err)
{
    HistEvent ev;
    int n = 0;
    e->prompt = prompt;
    e->interrupted = false;
    el_resize(e->el);
    const char *typed = el_gets(e->el, &n);
    if (!typed || n <= 0) {
        fputs(e->interrupted ? "^C\n" : "\n", stdout);
        fflush(stdout);
        return e->interrupted ? EDIT_INTERRUPT : EDIT_END;
    }
    qw_buf_append(line, typed, (size_t)n - (typed[n - 1] == '\n'));
    if (qw_buf_status(line, err) != QWREN_OK)
        return EDIT_FAILED;
    if (line->len) {
        history(e->history, &ev, H_ENTER, qw_buf_text(line));
        save_history(e);
    }
    return EDIT_LINE;
}

static void close_editor(cli_edit *e)
{
    if (e->history)
        history_end(e->history);
    if (e->el)
        el_end(e->el);
}

#endif

/* ---- both */

qwren_status cli_edit_open(cli_edit **out, qwren_error *err)
{
    cli_edit *e = *out = qw_calloc(1, sizeof *e);
    if (!e)
        return qw_fail_memory(err, sizeof *e, "the line editor");
    e->interactive = isatty(STDIN_FILENO);
#ifdef QW_HAVE_LIBEDIT
    if (e->interactive && isatty(STDOUT_FILENO))
        open_editor(e);
#endif
    return QWREN_OK;
}

void cli_edit_close(cli_edit *e)
{
    if (!e)
        return;
#ifdef QW_HAVE_LIBEDIT
    close_editor(e);
#endif
    qw_free(e);
}

bool cli_edit_is_interactive(const cli_edit *e) { return e->interactive; }

cli_edit_result cli_edit_read(cli_edit *e, const char *prompt, qw_buf *line, qwren_error *err)
{
    qw_buf_clear(line);
#ifdef QW_HAVE_LIBEDIT
    if (has_editor(e))
        return read_edited(e, prompt, line, err);
#endif
    return read_plain(e, prompt, line, err);
}
