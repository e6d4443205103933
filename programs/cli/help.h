/* What the program says about itself, from the tables of args.h. */
#ifndef CLI_HELP_H
#define CLI_HELP_H

#include "args.h"
#include "base/buf.h"

void cli_help_program(qw_buf *out);
void cli_help_verb(qw_buf *out, const cli_verb *verb);
void cli_man_program(qw_buf *out); /* troff */
void cli_man_verb(qw_buf *out, const cli_verb *verb);

int cli_print_taken(qw_buf *text); /* prints and frees; the exit status */

#endif
