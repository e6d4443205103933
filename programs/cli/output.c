/* stdout and stderr (output.h). Tested by tests/cli/output.sh. */
#include "output.h"

#include "base/utf8.h"
#include "interrupt.h"
#include "progress.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static bool out_failed, quiet;
static bool out_is_terminal, err_is_terminal;

void cli_quiet(bool q) { quiet = q; }
bool cli_is_quiet(void) { return quiet; }

static void on_log(void *ctx, qwren_log_level level, const char *text)
{
    (void)ctx;
    if (level == QWREN_LOG_WARN)
        cli_notice("%s", text);
}

/* A descriptor that came closed would be given to the next file that is opened, and be written to. /dev/null opened the wrong way round
 * keeps the place, and answers every use with the error that a closed one gives. */
static void hold_place(int fd, int mode)
{
    if (fcntl(fd, F_GETFD) != -1)
        return;
    int null = open("/dev/null", mode);
    if (null >= 0 && null != fd) {
        dup2(null, fd);
        close(null);
    }
}

void cli_output_begin(void)
{
    hold_place(STDIN_FILENO, O_WRONLY);
    hold_place(STDOUT_FILENO, O_RDONLY);
    hold_place(STDERR_FILENO, O_RDONLY);
    signal(SIGPIPE, SIG_IGN);
    signal(SIGXFSZ, SIG_IGN);
    out_is_terminal = isatty(STDOUT_FILENO);
    err_is_terminal = isatty(STDERR_FILENO);
    qwren_set_log(on_log, NULL);
}

/* A terminal obeys control characters, and a model's words and names in files are anybody's: there the characters come as U+FFFD, except
 * line breaks and tabs. */
static bool is_harmless(uint32_t cp) { return cp == '\n' || cp == '\t' || (cp >= 0x20 && cp < 0x7F) || cp > 0x9F; }

static void put_harmless(void (*put)(const char *text, size_t n), const char *text, size_t n)
{
    size_t start = 0, k;
    for (size_t at = 0; at < n; at += k) {
        uint32_t cp;
        bool valid = true;
        k = qw_utf8_decode(text + at, n - at, &cp, &valid);
        if (valid && is_harmless(cp))
            continue;
        put(text + start, at - start);
        put("\xEF\xBF\xBD", 3);
        start = at + k;
    }
    put(text + start, n - start);
}

/* Not stdio: a signal that interrupts a write must not lose what was to be written. */
static char waiting[1 << 16];
static size_t n_waiting;

static void tell_failure(int error)
{
    qwren_error err;
    out_failed = true;
    if (error == EPIPE)
        qw_fail(&err, QWREN_E_IO, "standard output: closed by its reader before everything was written");
    else
        qw_fail(&err, QWREN_E_IO, "standard output: cannot be written: %s", strerror(error));
    cli_fail(&err);
}

static void write_all(const char *p, size_t n)
{
    while (n && !out_failed) {
        ssize_t done = write(STDOUT_FILENO, p, n);
        if (done < 0 && errno != EINTR)
            tell_failure(errno);
        if (done > 0) {
            p += done;
            n -= (size_t)done;
        }
    }
}

void cli_flush(void)
{
    write_all(waiting, n_waiting);
    n_waiting = 0;
}

static void out_as_is(const char *p, size_t n)
{
    if (n > sizeof waiting - n_waiting)
        cli_flush();
    if (n > sizeof waiting) {
        write_all(p, n);
        return;
    }
    if (n)
        memcpy(waiting + n_waiting, p, n);
    n_waiting += n;
}

void cli_out(const char *text, size_t n)
{
    if (out_is_terminal)
        put_harmless(out_as_is, text, n);
    else
        out_as_is(text, n);
}

void cli_out_bytes(const void *p, size_t n) { out_as_is(p, n); }

qwren_status cli_out_takes_bytes(qwren_error *err)
{
    return out_is_terminal
               ? qw_fail(err, QWREN_E_ARGUMENT, "standard output: is a terminal, which cannot show an array; name a file or use a pipe")
               : QWREN_OK;
}

void cli_puts(const char *s) { cli_out(s, strlen(s)); }
void cli_escape(const char *sequence) { out_as_is(sequence, strlen(sequence)); }

bool cli_out_failed(void) { return out_failed; }

int cli_output_end(int status)
{
    cli_progress_clear();
    cli_flush();
    return out_failed && status == 0 ? 1 : status;
}

int cli_fail(const qwren_error *err)
{
    if (err->code == QWREN_E_CANCELLED && cli_interrupted())
        return 130;
    cli_tell("qwren: %s\n", err->text);
    return 1;
}

/* The sentence passes through qw_fail, which keeps control characters of the given words away from the terminal. */
int cli_usage(const cli_verb *verb, const char *fmt, ...)
{
    qwren_error err;
    char text[sizeof err.text];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    qw_fail(&err, QWREN_E_ARGUMENT, "%s", text);
    if (verb)
        cli_tell("qwren: %s: %s; see 'qwren help %s'\n", verb->name, err.text, verb->name);
    else
        cli_tell("qwren: %s; see 'qwren help'\n", err.text);
    return 2;
}

void cli_notice(const char *fmt, ...)
{
    qwren_error err;
    char text[sizeof err.text];
    if (quiet)
        return;
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    qw_fail(&err, QWREN_OK, "%s", text);
    cli_tell("qwren: %s\n", err.text);
}

static void err_as_is(const char *p, size_t n) { fwrite(p, 1, n, stderr); }

void cli_tell(const char *fmt, ...)
{
    char text[8192]; /* a path and a sentence */
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof text, fmt, args);
    va_end(args);
    cli_progress_clear();
    if (err_is_terminal)
        put_harmless(err_as_is, text, strlen(text));
    else
        fputs(text, stderr);
}
