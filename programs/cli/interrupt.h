/* Ctrl-C: the first one asks the work to stop, the second one ends the program. A program that was started with the signal
 * ignored (a job in the background of a shell) keeps ignoring it. */
#ifndef CLI_INTERRUPT_H
#define CLI_INTERRUPT_H

#include <stdbool.h>

void cli_interrupt_catch(void);   /* from now on; forgets an earlier one */
void cli_interrupt_release(void); /* back to ending the program */
bool cli_interrupted(void);

/* For work that would leave something behind: SIGTERM and SIGHUP ask it to stop as well, until cli_ends_pass(), which ends the program the
 * way they do if one of them came. */
void cli_ends_hold(void);
void cli_ends_pass(void);

#endif
