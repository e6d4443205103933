/* The bar (progress.h). It appears when a piece of work has lasted a third of a second, and is drawn ten times a second at most. */
#include "progress.h"

#include "base/clock.h"
#include "interrupt.h"
#include "output.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_S 0.33
#define PAUSE_S 0.1
#define WIDTH 30

static struct {
    char what[40];
    double started_s, drawn_s;
    bool shown;
} bar;

static bool is_wanted(void)
{
    const char *term = getenv("TERM");
    return !cli_is_quiet() && isatty(STDERR_FILENO) && term && strcmp(term, "dumb") != 0;
}

void cli_progress_clear(void)
{
    if (bar.shown)
        fputs("\r\033[K", stderr);
    bar.shown = false;
}

static void draw(uint64_t done, uint64_t total)
{
    char cells[WIDTH + 1];
    double part = total ? (double)done / (double)total : 0;
    int full = (int)(part * WIDTH);
    for (int i = 0; i < WIDTH; i++)
        cells[i] = i < full ? '#' : '.';
    cells[WIDTH] = '\0';
    fprintf(stderr, "\r\033[K%s [%s] %3.0f %%", bar.what, cells, part * 100);
    bar.shown = true;
}

bool cli_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)ctx;
    double now = qw_now_s();
    if (strncmp(what, bar.what, sizeof bar.what - 1) != 0 || done == 0) {
        snprintf(bar.what, sizeof bar.what, "%s", what);
        bar.started_s = now;
    }
    if (done >= total)
        cli_progress_clear();
    else if (now - bar.started_s > WAIT_S && now - bar.drawn_s > PAUSE_S && is_wanted()) {
        draw(done, total);
        bar.drawn_s = now;
    }
    return !cli_interrupted();
}
