/* The bar (progress.h). It appears when a piece of work has lasted a third of a second, and is drawn ten times a second at most. */
#include "progress.h"

#include "base/clock.h"
#include "interrupt.h"
#include "output.h"
#include "table.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define WAIT_S 0.33
#define PAUSE_S 0.1
#define WIDTH 30
#define PACE_S 10
#define GUESS_AFTER_S 2 /* before that the time left is anybody's guess */

typedef struct mark {
    double s;
    uint64_t done;
} mark;

static struct {
    char what[40];
    double started_s, drawn_s;
    mark older, newer;
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

/* By the pace of the last 10 to 20 seconds: work that is gone on with jumps over what was done before. ", 1:05 left, 12.3 M/s". */
static void draw_time_left(uint64_t done, uint64_t total, double now)
{
    char text[CLI_SHORT_BYTES];
    if (now - bar.newer.s > PACE_S) {
        bar.older = bar.newer;
        bar.newer = (mark){ now, done };
    }
    if (now - bar.started_s < GUESS_AFTER_S || done <= bar.older.done)
        return;
    double pace = (double)(done - bar.older.done) / (now - bar.older.s), left = floor((double)(total - done) / pace);
    if (left < 3600)
        fprintf(stderr, ", %.0f:%02.0f left, ", floor(left / 60), fmod(left, 60));
    else
        fprintf(stderr, ", %.0f h %.0f min left, ", floor(left / 3600), floor(fmod(left, 3600) / 60));
    fprintf(stderr, "%s/s", cli_short(text, pace, ""));
}

static void draw(uint64_t done, uint64_t total, double now)
{
    char cells[WIDTH + 1];
    double part = total ? (double)done / (double)total : 0;
    int full = (int)(part * WIDTH);
    for (int i = 0; i < WIDTH; i++)
        cells[i] = i < full ? '#' : '.';
    cells[WIDTH] = '\0';
    fprintf(stderr, "\r\033[K%s [%s] %3.0f %%", bar.what, cells, part * 100);
    draw_time_left(done, total, now);
    bar.shown = true;
}

bool cli_progress(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)ctx;
    double now = qw_now_s();
    if (strncmp(what, bar.what, sizeof bar.what - 1) != 0 || done == 0) {
        snprintf(bar.what, sizeof bar.what, "%s", what);
        bar.started_s = now;
        bar.older = bar.newer = (mark){ now, done };
    }
    if (done >= total)
        cli_progress_clear();
    else if (now - bar.started_s > WAIT_S && now - bar.drawn_s > PAUSE_S && is_wanted()) {
        draw(done, total, now);
        bar.drawn_s = now;
    }
    return !cli_interrupted();
}
