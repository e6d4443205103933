/* Lines from a person or a pipe: with editing and history on a terminal (libedit, where the build has it), plain otherwise. */
#ifndef CLI_EDIT_H
#define CLI_EDIT_H

#include "base/buf.h"

typedef enum cli_edit_result {
    EDIT_LINE,
    EDIT_END,       /* of the input, or Ctrl-D */
    EDIT_INTERRUPT, /* Ctrl-C at the prompt: what was typed is dropped */
    EDIT_FAILED
} cli_edit_result;

typedef struct cli_edit cli_edit;
qwren_status cli_edit_open(cli_edit **out, qwren_error *err); /* also reads the history of earlier times */
void cli_edit_close(cli_edit *e);                             /* NULL is allowed */
bool cli_edit_is_interactive(const cli_edit *e);              /* a person types */

/* The next line without its end; the history is written. */
cli_edit_result cli_edit_read(cli_edit *e, const char *prompt, qw_buf *line, qwren_error *err);

#endif
