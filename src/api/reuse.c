/* Why a prompt was not known (reuse.h): tokens are brought back to the messages that they came from. Tested by
 * tests/unit/test_chat_reuse.c. */
#include "api/reuse.h"

#include <stdio.h>
#include <string.h>

/* The turn that token `at` of the timeline lies in. */
static size_t turn_at(const qw_chat_prompt *p, size_t at)
{
    size_t i = p->text.n_turns - 1;
    while (i && p->places.starts[i] > at)
        i--;
    return i;
}

/* The first answer in or behind a turn; NULL: nothing was said after it, it is new itself. */
static const qw_answer_place *answer_from(const qw_chat_prompt *p, size_t turn)
{
    for (size_t i = 0; i < p->text.n_answers; i++)
        if (p->text.answers[i].turn >= turn)
            return &p->text.answers[i];
    return NULL;
}

static void name_turn(char *out, size_t size, const qw_turn_place *t)
{
    if (t->is_system)
        snprintf(out, size, "%s", t->first == SIZE_MAX ? "the list of tools is" : "the system message or the list of tools is");
    else if (t->first == t->last)
        snprintf(out, size, "message %zu is", t->first + 1);
    else
        snprintf(out, size, "one of the messages %zu to %zu is", t->first + 1, t->last + 1);
}

static qwren_reuse explain_first(char *out, size_t size)
{
    snprintf(out, size, "nothing that begins like this was computed before");
    return QWREN_REUSE_FIRST;
}

/* What begins at token `common`, where the prompt leaves all that is known. */
static qwren_reuse explain_change(const qw_chat_prompt *p, const qw_known *k, char *out, size_t size)
{
    const size_t i = turn_at(p, k->common);
    const qw_answer_place *a = answer_from(p, i);
    char what[96];
    if (!k->common)
        return explain_first(out, size);
    if (!a || k->whole) {
        snprintf(out, size, "all that was known is reused");
        return QWREN_REUSE_ALL;
    }
    if (a->turn == i && a->begin == a->content && p->places.replayed[i]) {
        snprintf(out, size, "message %zu stands without its thought now", a->message + 1);
        return QWREN_REUSE_THOUGHT;
    }
    name_turn(what, sizeof what, &p->text.turns[i]);
    snprintf(out, size, "%s not what was computed before", what);
    return QWREN_REUSE_CHANGED;
}

/* States are kept where turns begin: what is computed anew within one is no loss to speak of. */
static bool is_far(const qw_chat_prompt *p, const qw_known *k)
{
    const size_t last = p->timeline.n - 1, at = k->common < last ? k->common : last; /* one token is always computed */
    return k->reused < at && k->reused < p->places.starts[turn_at(p, at)];
}

void qw_reuse_explain(qwren_stats *s, const qw_chat_prompt *p, const qw_known *k)
{
    s->reused_tokens = k->reused;
    s->computed_tokens = p->timeline.n - k->reused;
    s->reuse = explain_change(p, k, s->reuse_reason, sizeof s->reuse_reason);
    if (!is_far(p, k)) {
        /* Another conversation's first words, "<|im_start|>user", are no beginning to speak of. */
        if (!k->reused && s->reuse == QWREN_REUSE_ALL)
            s->reuse = explain_first(s->reuse_reason, sizeof s->reuse_reason);
        return;
    }
    const size_t n = strlen(s->reuse_reason);
    const bool change = s->reuse != QWREN_REUSE_ALL;
    snprintf(s->reuse_reason + (change ? n : 0), sizeof s->reuse_reason - (change ? n : 0), "%s%zu tokens were known, but %s %zu",
             change ? "; " : "", k->common,
             k->evicted ? "states were dropped for lack of room, and the nearest is at token"
                        : "the nearest state that is kept is at token",
             k->reused);
    s->reuse = k->evicted ? QWREN_REUSE_EVICTED : QWREN_REUSE_FAR;
}
