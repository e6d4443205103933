/* Events -> text (render.h). Tested by tests/cli/run.sh and terminal.sh. */
#include "render.h"

#include "interrupt.h"
#include "output.h"
#include "progress.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DIM "\033[2m"
#define PLAIN "\033[0m"

static bool is_set(const char *variable)
{
    const char *value = getenv(variable);
    return value && *value;
}

static bool terminal_has_colour(void)
{
    const char *term = getenv("TERM");
    return isatty(STDOUT_FILENO) && !is_set("NO_COLOR") && term && *term && strcmp(term, "dumb") != 0;
}

static bool decide(const cli_args *a, cli_id id, bool automatic)
{
    const char *choice = cli_text(a, id, "auto");
    return strcmp(choice, "auto") == 0 ? automatic : strcmp(choice, "always") == 0;
}

void cli_render_init(cli_render *r, const cli_args *a)
{
    *r = (cli_render){
        .thoughts = decide(a, OPT_THOUGHTS, isatty(STDOUT_FILENO)),
        .dim = decide(a, OPT_COLOR, terminal_has_colour()),
        .silent = cli_has(a, OPT_JSON) || cli_has(a, OPT_JSONL),
    };
}

static void put(cli_render *r, const char *text, size_t n)
{
    if (n == 0)
        return;
    cli_out(text, n);
    r->last = text[n - 1];
}

static void end_thought(cli_render *r)
{
    if (r->place != RENDER_THOUGHT)
        return;
    if (r->last != '\n')
        cli_puts("\n");
    if (!r->dim)
        cli_puts("</think>\n");
    r->last = '\n';
}

static void add_thought(cli_render *r, const qwren_event *ev)
{
    if (!r->thoughts)
        return;
    if (r->place == RENDER_NOTHING && !r->dim)
        cli_puts("<think>\n");
    r->place = RENDER_THOUGHT;
    if (r->dim) /* each piece for itself: a second Ctrl-C ends the program between two of them */
        cli_escape(DIM);
    put(r, ev->text, ev->len);
    if (r->dim)
        cli_escape(PLAIN);
}

static void begin_answer(cli_render *r)
{
    end_thought(r);
    if (r->place == RENDER_THOUGHT)
        cli_puts("\n");
    r->place = RENDER_ANSWER;
}

static void add_call(cli_render *r, const qwren_event *ev)
{
    bool begun = r->place == RENDER_ANSWER && r->last != '\n';
    begin_answer(r);
    if (begun)
        cli_puts("\n");
    cli_puts("call ");
    cli_puts(ev->name);
    cli_puts(" ");
    cli_puts(ev->arguments);
    cli_puts("\n");
    r->last = '\n';
}

static void add(cli_render *r, const qwren_event *ev)
{
    cli_progress_clear();
    switch (ev->kind) {
    case QWREN_EVENT_PREFILL: break;
    case QWREN_EVENT_REASONING: add_thought(r, ev); break;
    case QWREN_EVENT_CONTENT:
        begin_answer(r);
        put(r, ev->text, ev->len);
        break;
    case QWREN_EVENT_TOOL_CALL: add_call(r, ev); break;
    }
    cli_flush();
}

bool cli_render_event(void *ctx, const qwren_event *ev)
{
    cli_render *r = ctx;
    if (ev->kind == QWREN_EVENT_PREFILL)
        cli_progress(NULL, "reading the prompt", ev->done, ev->total);
    else if (!r->silent)
        add(r, ev);
    return !cli_interrupted() && !cli_out_failed();
}

void cli_render_end(cli_render *r)
{
    cli_progress_clear();
    end_thought(r);
    if (r->place == RENDER_ANSWER && r->last != '\n')
        cli_puts("\n");
    r->place = RENDER_NOTHING;
    r->last = '\0';
    cli_flush();
}

/* ---- statistics */

static void tell_line(const char *name, size_t n, double seconds)
{
    cli_tell("%-10s %6zu tokens %9.3f s", name, n, seconds);
    if (n && seconds > 0)
        cli_tell(" %9.1f tokens/s", (double)n / seconds);
}

/* What was computed of what was asked for, and how much of it was there already. */
static void tell_computed(const char *name, size_t n, size_t known, double seconds)
{
    tell_line(name, n, seconds);
    if (known)
        cli_tell("  (%zu known from before)", known);
    cli_tell("\n");
}

static void tell_drafts(const char *name, const qwren_draft_stats *d)
{
    if (!d->drafted)
        return;
    cli_tell("%-10s %6zu of %zu drafts of %s right", "", d->accepted, d->drafted, name);
    for (size_t i = 0; i < QWREN_DRAFT_PLACES && d->checked_at[i]; i++)
        cli_tell("%s %.0f %%", i ? "," : "; by place", 100 * (double)d->accepted_at[i] / (double)d->checked_at[i]);
    cli_tell("\n");
}

/* What guessing ahead did. */
static void tell_ahead(const qwren_stats *s)
{
    if (!s->decode_passes || s->decode_s <= 0)
        return;
    cli_tell("%-10s %6zu passes %22.2f x as fast as one token at a time\n", "guessed", s->decode_passes,
             (s->decode_s + s->saved_s) / s->decode_s);
    tell_drafts("the prediction head", &s->mtp);
    tell_drafts("what stands before", &s->lookup);
    tell_drafts("the draft model", &s->draft_model);
}

void cli_render_stats(const qwren_stats *s)
{
    if (s->image_tokens)
        tell_computed("pictures", s->seen_tokens, s->image_tokens - s->seen_tokens, s->image_s);
    tell_computed("prompt", s->computed_tokens, s->reused_tokens, s->prefill_s);
    if (s->reuse != QWREN_REUSE_ALL)
        cli_tell("%-10s %s\n", "", s->reuse_reason);
    tell_line("answer", s->completion_tokens, s->decode_s);
    if (s->reasoning_tokens)
        cli_tell("  (%zu of them thought)", s->reasoning_tokens);
    cli_tell("\n");
    tell_ahead(s);
    cli_tell("first token after %.3f s, %.3f s in all\n", s->first_token_s, s->total_s);
}
