/* The lines of earlier chats: $XDG_STATE_HOME/qwren/history (else ~/.local/state/qwren/history), readable by its owner alone. */
#ifndef CLI_HISTORY_H
#define CLI_HISTORY_H

#include "base/buf.h"

#define CLI_HISTORY_LINES 1000

void cli_history_load(void (*add)(void *ctx, const char *line), void *ctx); /* oldest first */
void cli_history_save(const qw_buf *lines);                                 /* oldest first, each with its line break */

#endif
