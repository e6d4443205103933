/* An answer as it grows -> the terminal or a pipe. */
#ifndef CLI_RENDER_H
#define CLI_RENDER_H

#include "args.h"

typedef struct cli_render {
    bool thoughts, dim; /* print thoughts; dimmed, else between <think> and </think> */
    bool silent;        /* nothing of the answer: it is printed as JSON when it is complete */
    enum { RENDER_NOTHING, RENDER_THOUGHT, RENDER_ANSWER } place;
    char last; /* what was printed last */
} cli_render;

void cli_render_init(cli_render *r, const cli_args *a);
/* A qwren_event_fn; ctx is a cli_render. False after Ctrl-C, and when stdout cannot be written. */
bool cli_render_event(void *ctx, const qwren_event *ev);
/* Ends the line. The renderer is as new. */
void cli_render_end(cli_render *r);

/* Tokens, seconds, speed, on stderr. */
void cli_render_stats(const qwren_stats *s);

#endif
