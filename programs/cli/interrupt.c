/* Signals (interrupt.h). Tested by tests/cli/interrupt.sh and terminal.sh. */
#include "interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void set_handler(int number, void (*handler)(int), int flags)
{
    struct sigaction old, new;
    memset(&new, 0, sizeof new);
    new.sa_handler = handler;
    new.sa_flags = flags; /* without SA_RESTART: a read that waits for input ends */
    if (sigaction(number, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(number, &new, NULL);
}

void cli_interrupt_catch(void)
{
    interrupted = 0;
    set_handler(SIGINT, on_signal, (int)SA_RESETHAND);
}

void cli_interrupt_release(void) { set_handler(SIGINT, SIG_DFL, 0); }

/* ---- SIGTERM, SIGHUP */

static const int ends[] = { SIGTERM, SIGHUP };
static volatile sig_atomic_t ended_by;

static void on_end(int number)
{
    ended_by = number;
    interrupted = 1;
}

void cli_ends_hold(void)
{
    ended_by = 0;
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        set_handler(ends[i], on_end, (int)SA_RESETHAND);
}

void cli_ends_pass(void)
{
    for (size_t i = 0; i < sizeof ends / sizeof *ends; i++)
        set_handler(ends[i], SIG_DFL, 0);
    if (ended_by)
        raise(ended_by);
}

bool cli_interrupted(void) { return interrupted != 0; }
