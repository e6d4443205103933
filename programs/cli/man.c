/* Man pages from the same tables as --help (help.h). docs/man holds them ready for installation: `qwren help --man -o docs/man/qwren-VERB.1 VERB`.
 * Tested by tests/cli/help.sh. */
#include "help.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

/* Text as troff reads it: a hyphen stays one that can be searched and copied, backslashes and dots at the beginning of a line are text. */
static void escape(qw_buf *out, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (i == 0 && (s[i] == '.' || s[i] == '\''))
            qw_buf_puts(out, "\\&");
        if (s[i] == '-')
            qw_buf_puts(out, "\\-");
        else if (s[i] == '\\')
            qw_buf_puts(out, "\\e");
        else
            qw_buf_putc(out, s[i]);
    }
}

static void escape_text(qw_buf *out, const char *s) { escape(out, s, strlen(s)); }

/* verb NULL: the program's page */
static void title(qw_buf *out, const cli_verb *verb)
{
    char upper[64];
    snprintf(upper, sizeof upper, verb ? "qwren-%s" : "qwren", verb ? verb->name : "");
    for (char *p = upper; *p; p++)
        *p = (char)toupper((unsigned char)*p);
    qw_buf_puts(out, ".\\\" Made by `qwren help --man`; the text lives in programs/cli/main.c and options.c.\n.TH ");
    escape_text(out, upper);
    qw_buf_printf(out, " 1 \"\" \"qwren %s\" \"qwren\"\n", qwren_version());
}

/* Paragraphs; lines that begin with a blank are set as they are. */
static void paragraphs(qw_buf *out, const char *text)
{
    bool exact = false;
    while (*text) {
        size_t n = strcspn(text, "\n");
        bool now = *text == ' ';
        if (n == 0 && !exact)
            qw_buf_puts(out, ".PP");
        if (now != exact)
            qw_buf_puts(out, now ? ".nf\n" : ".fi\n.PP");
        if (n)
            escape(out, text, n);
        if (n || !now)
            qw_buf_putc(out, '\n');
        exact = now;
        text += n + (text[n] == '\n');
    }
    if (exact)
        qw_buf_puts(out, ".fi\n");
}

static void put_option(qw_buf *out, const cli_option *o)
{
    qw_buf_puts(out, ".TP\n");
    if (o->letter)
        qw_buf_printf(out, "\\fB\\-%c\\fR, ", o->letter);
    qw_buf_puts(out, "\\fB\\-\\-");
    escape_text(out, o->name);
    qw_buf_puts(out, "\\fR");
    if (o->argument) {
        qw_buf_puts(out, " \\fI");
        escape_text(out, o->argument);
        qw_buf_puts(out, "\\fR");
    }
    qw_buf_putc(out, '\n');
    escape_text(out, o->help);
    qw_buf_putc(out, '\n');
}

#define OF(verb) (1u << (verb))
#define TALKING (OF(VERB_RUN) | OF(VERB_SESSION) | OF(VERB_CHAT))

/* `verbs`: bits of those whose page it is; without any that a variable matters to there is no such section. */
static void environment(qw_buf *out, unsigned verbs)
{
    static const struct {
        unsigned verbs; /* that look at it */
        const char *name, *meaning;
    } variables[] = {
        { TALKING | OF(VERB_INSPECT) | OF(VERB_DOCTOR) | OF(VERB_TOKENIZE) | OF(VERB_DETOKENIZE) | OF(VERB_TEMPLATE) | OF(VERB_LOGITS) |
              OF(VERB_PREPROCESS) | OF(VERB_BENCH),
          "QWREN_MODEL", "The model that is used without -m." },
        { TALKING | OF(VERB_INSPECT) | OF(VERB_DOCTOR) | OF(VERB_LOGITS) | OF(VERB_EVAL) | OF(VERB_QUANTIZE) | OF(VERB_BENCH), "QWREN_CPU",
          "The kernels that are used, by the name of their instruction set; qwren inspect --cpu lists them. Without it the best that this "
          "processor can run." },
        { TALKING, "NO_COLOR", "When it is set and not empty, thoughts are not dimmed on a terminal." },
        { OF(VERB_CHAT), "XDG_STATE_HOME",
          "Where qwren-chat keeps its history of lines, in qwren/history; ~/.local/state when it is not set." },
    };
    bool titled = false;
    for (size_t i = 0; i < sizeof variables / sizeof *variables; i++) {
        if (!(variables[i].verbs & verbs))
            continue;
        qw_buf_printf(out, "%s.TP\n.B %s\n", titled ? "" : ".SH ENVIRONMENT\n", variables[i].name);
        escape_text(out, variables[i].meaning);
        qw_buf_putc(out, '\n');
        titled = true;
    }
}

static void see_also(qw_buf *out, const cli_verb *except)
{
    qw_buf_puts(out, ".SH SEE ALSO\n");
    if (except)
        qw_buf_puts(out, ".BR qwren (1)");
    for (size_t i = 0; i < VERB_COUNT; i++)
        if (&cli_verbs[i] != except)
            qw_buf_printf(out, "%s.BR qwren\\-%s (1)", i || except ? ",\n" : "", cli_verbs[i].name);
    qw_buf_putc(out, '\n');
}

void cli_man_verb(qw_buf *out, const cli_verb *verb)
{
    title(out, verb);
    qw_buf_printf(out, ".SH NAME\nqwren\\-%s \\- ", verb->name);
    escape_text(out, verb->summary);
    qw_buf_puts(out, "\n.SH SYNOPSIS\n");
    for (size_t i = 0; verb->synopsis[i]; i++) {
        qw_buf_printf(out, "%s\\fBqwren %s\\fR ", i ? ".br\n" : "", verb->name);
        escape_text(out, verb->synopsis[i]);
        qw_buf_putc(out, '\n');
    }
    qw_buf_puts(out, ".SH DESCRIPTION\n");
    paragraphs(out, verb->description);
    qw_buf_puts(out, ".SH OPTIONS\n");
    for (size_t i = 0; i < cli_n_options; i++)
        if (cli_options[i].help && cli_options[i].verbs >> (verb - cli_verbs) & 1)
            put_option(out, &cli_options[i]);
    qw_buf_puts(out, ".SH EXIT STATUS\n");
    escape_text(out, verb->exit_status);
    qw_buf_putc(out, '\n');
    environment(out, 1u << (verb - cli_verbs));
    see_also(out, verb);
}

void cli_man_program(qw_buf *out)
{
    title(out, NULL);
    qw_buf_puts(out,
                ".SH NAME\nqwren \\- Qwen 3.5 on your own device\n.SH SYNOPSIS\n\\fBqwren\\fR VERB [OPTION]... [WORD]...\n.SH DESCRIPTION\n"
                "Runs Alibaba's Qwen 3.5 small models on this machine: text and pictures, private and offline.\n"
                "Without a model of your own it uses the bundled demonstration model qwren\\-nano.\n"
                "Each verb has a page of its own.\n");
    for (size_t i = 0; i < VERB_COUNT; i++) {
        qw_buf_printf(out, ".TP\n.BR qwren\\-%s (1)\n", cli_verbs[i].name);
        escape_text(out, cli_verbs[i].summary);
        qw_buf_putc(out, '\n');
    }
    qw_buf_puts(out, ".SH OPTIONS\n.TP\n\\fB\\-h\\fR, \\fB\\-\\-help\\fR\nList the verbs.\n.TP\n\\fB\\-\\-version\\fR\nPrint the version.\n"
                     ".SH EXIT STATUS\n0 done, 1 failed, 2 wrong usage.\n");
    environment(out, ~0u);
    see_also(out, NULL);
}
