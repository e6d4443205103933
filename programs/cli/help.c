/* --help, `qwren help` (help.h). Lines fit into 80 columns. The man pages are in man.c. Tested by tests/cli/help.sh. */
#include "help.h"

#include "base/file.h"
#include "output.h"
#include "verbs.h"

#include <string.h>

#define COLUMNS 79
#define OPTION_COLUMN 26 /* where the explanation of an option begins */

static const char about[] =
    "qwren runs Alibaba's Qwen 3.5 small models on this machine: text and pictures, private and offline. Without a model of your own it "
    "uses the bundled demonstration model qwren-nano.";

static void pad(qw_buf *out, size_t n)
{
    while (n-- > 0)
        qw_buf_putc(out, ' ');
}

/* Appends text [n] filled up to COLUMNS; the first line begins at column `at`, the others are indented. Ends the line. */
static void fill(qw_buf *out, const char *text, size_t n, size_t at, size_t indent)
{
    bool first = true;
    for (size_t i = 0; i < n;) {
        size_t word = 0;
        while (i + word < n && text[i + word] != ' ')
            word++;
        if (!first && at + 1 + word > COLUMNS) {
            qw_buf_putc(out, '\n');
            pad(out, indent);
            at = indent;
        } else if (!first) {
            qw_buf_putc(out, ' ');
            at++;
        }
        qw_buf_append(out, text + i, word);
        at += word;
        first = false;
        i += word + (i + word < n);
    }
    qw_buf_putc(out, '\n');
}

/* Lines of the text: those that begin with a blank stay as they are. */
static void fill_lines(qw_buf *out, const char *text)
{
    while (*text) {
        size_t n = strcspn(text, "\n");
        if (n == 0 || *text == ' ') {
            qw_buf_append(out, text, n);
            qw_buf_putc(out, '\n');
        } else {
            fill(out, text, n, 0, 0);
        }
        text += n + (text[n] == '\n');
    }
}

static void put_option(qw_buf *out, const cli_option *o)
{
    size_t start = out->len;
    if (o->letter)
        qw_buf_printf(out, "  -%c, --%s", o->letter, o->name);
    else
        qw_buf_printf(out, "      --%s", o->name);
    if (o->argument)
        qw_buf_printf(out, " %s", o->argument);
    size_t at = out->len - start;
    if (at + 2 > OPTION_COLUMN) {
        qw_buf_putc(out, '\n');
        at = 0;
    }
    pad(out, OPTION_COLUMN - at);
    fill(out, o->help, strlen(o->help), OPTION_COLUMN, OPTION_COLUMN);
}

void cli_help_verb(qw_buf *out, const cli_verb *verb)
{
    for (size_t i = 0; verb->synopsis[i]; i++)
        qw_buf_printf(out, "%s qwren %s %s\n", i ? "      " : "usage:", verb->name, verb->synopsis[i]);
    qw_buf_putc(out, '\n');
    fill_lines(out, verb->description);
    qw_buf_puts(out, "\nOptions:\n");
    for (size_t i = 0; i < cli_n_options; i++)
        if (cli_options[i].help && cli_options[i].verbs >> (verb - cli_verbs) & 1)
            put_option(out, &cli_options[i]);
    qw_buf_puts(out, "\nExit status: ");
    fill(out, verb->exit_status, strlen(verb->exit_status), strlen("Exit status: "), 2);
}

void cli_help_program(qw_buf *out)
{
    qw_buf_puts(out, "usage: qwren VERB [OPTION]... [WORD]...\n\n");
    fill(out, about, sizeof about - 1, 0, 0);
    qw_buf_puts(out, "\nVerbs:\n");
    for (size_t i = 0; i < VERB_COUNT; i++)
        qw_buf_printf(out, "  %-12s %s\n", cli_verbs[i].name, cli_verbs[i].summary);
    qw_buf_puts(out, "\n'qwren help VERB' explains a verb and its options.\n'qwren --version' prints the version.\n");
}

int cli_print_taken(qw_buf *text)
{
    qwren_error err;
    int status = 0;
    if (qw_buf_status(text, &err) != QWREN_OK)
        status = cli_fail(&err);
    else
        cli_out(qw_buf_text(text), text->len);
    qw_buf_free(text);
    return status;
}

static qwren_status write_file(const char *path, const qw_buf *text, qwren_error *err)
{
    qw_writer *w;
    QW_TRY(qw_buf_status(text, err));
    QW_TRY(qw_writer_open(&w, path, err));
    qwren_status st = qw_writer_write(w, text->data, text->len, err);
    if (st == QWREN_OK)
        st = qw_writer_commit(w, err);
    qw_writer_close(w);
    return st;
}

int cli_help(const cli_args *a)
{
    qw_buf text = QW_BUF_INIT;
    qwren_error err;
    const char *path = cli_text(a, OPT_OUTPUT, NULL);
    const cli_verb *verb = a->n_words ? cli_verb_find(a->words[0]) : NULL;
    if (a->n_words && !verb)
        return 2;
    if (path && !cli_has(a, OPT_MAN))
        return cli_usage(a->verb, "--output goes with --man");
    if (!cli_has(a, OPT_MAN)) {
        if (verb)
            cli_help_verb(&text, verb);
        else
            cli_help_program(&text);
        return cli_print_taken(&text);
    }
    if (verb)
        cli_man_verb(&text, verb);
    else
        cli_man_program(&text);
    if (!path || strcmp(path, "-") == 0)
        return cli_print_taken(&text);
    qwren_status st = write_file(path, &text, &err);
    qw_buf_free(&text);
    return st == QWREN_OK ? 0 : cli_fail(&err);
}
