/* Ctrl-C (interrupt.h). Tested by tests/cli/interrupt.sh and terminal.sh. */
#include "interrupt.h"

#include <signal.h>
#include <string.h>

static volatile sig_atomic_t interrupted;

static void on_signal(int number)
{
    (void)number;
    interrupted = 1;
}

static void set_handler(void (*handler)(int), int flags)
{
    struct sigaction old, new;
    memset(&new, 0, sizeof new);
    new.sa_handler = handler;
    new.sa_flags = flags; /* without SA_RESTART: a read that waits for input ends */
    if (sigaction(SIGINT, NULL, &old) == 0 && old.sa_handler != SIG_IGN)
        sigaction(SIGINT, &new, NULL);
}

void cli_interrupt_catch(void)
{
    interrupted = 0;
    set_handler(on_signal, (int)SA_RESETHAND);
}

void cli_interrupt_release(void) { set_handler(SIG_DFL, 0); }

bool cli_interrupted(void) { return interrupted != 0; }
