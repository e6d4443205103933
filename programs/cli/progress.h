/* A bar on stderr for work that takes long, on a terminal only. */
#ifndef CLI_PROGRESS_H
#define CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

/* A qwren_progress_fn; false after Ctrl-C. */
bool cli_progress(void *ctx, const char *what, uint64_t done, uint64_t total);
/* Takes the bar away before something else is written. */
void cli_progress_clear(void);

#endif
