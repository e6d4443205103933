/* Which checkpoints an eval makes on its way, and the one at a session's end. They lie in the prefix cache (prefix.h), where every session of the process finds them;
 * session_keep.c goes back to them. Tested by tests/unit/test_session_keep.c. */
#include "base/machine.h"
#include "runtime/session_parts.h"

/* Where timelines are likely to part checkpoints are wanted at once; everywhere else they lie at multiples of 2^k, the closer the nearer to the end: the newest two multiples of each power
 * from LEAST on, so that who goes back has about as much to compute again as lies behind that place. Behind MOST tokens there is always one. */
#define LEAST ((size_t)256)
#define MOST ((size_t)4096)
/* A checkpoint costs about what a token of a prompt costs, so boundaries nearer than this to the next one are left out; and far from the end fewer will do, for who goes back there
 * has that much to compute anyway. */
#define NEAR 16
#define SHARE 16

/* ---- which */

static bool is_due(size_t length, size_t end)
{
    const size_t power = length & (~length + 1); /* the largest that divides it */
    return power >= LEAST && (end - length < 2 * power || length % MOST == 0);
}

typedef struct place {
    size_t length;
    qw_checkpoint_kind kind;
} place;

/* The tokens of a pass and what surrounds them, and the places that are wanted; lengths are those of the session. */
typedef struct planner {
    size_t begin, end, eval_end; /* the pass: (begin, end] */
    place at[QW_PASS_SAVES + 1]; /* by length */
    size_t n;
} planner;

static bool is_near(const planner *p, size_t length, size_t gap)
{
    for (size_t i = 0; i < p->n; i++) {
        const size_t other = p->at[i].length;
        if ((other > length ? other - length : length - other) < gap)
            return true;
    }
    return false;
}

/* The `most` that are worth most stay: intervals go before all others, and of one class the first ones, for whoever goes back seldom goes far. */
static void keep_best(planner *p, size_t most)
{
    while (p->n > most) {
        size_t i = 0;
        while (i < p->n && p->at[i].kind != QW_CHECKPOINT_INTERVAL)
            i++;
        for (i = i < p->n ? i : 0, p->n--; i < p->n; i++)
            p->at[i] = p->at[i + 1];
    }
}

/* A checkpoint at `length`, if it lies in the pass. */
static void want(planner *p, size_t length, qw_checkpoint_kind kind, size_t gap)
{
    if (length <= p->begin || length > p->end || is_near(p, length, gap))
        return;
    size_t i = p->n++;
    for (; i && p->at[i - 1].length > length; i--)
        p->at[i] = p->at[i - 1];
    p->at[i] = (place){ length, kind };
    keep_best(p, QW_PASS_SAVES);
}

/* The last boundary of an eval counts always, the others when they are not too near to the next one. */
static void want_boundaries(planner *p, const qw_eval_options *opt, size_t offset)
{
    size_t next = SIZE_MAX;
    for (size_t i = opt->n_boundaries; i-- > 0;) {
        const size_t length = opt->boundaries[i] + offset, left = length < p->eval_end ? p->eval_end - length : 0;
        const size_t gap = left / SHARE > NEAR ? left / SHARE : NEAR;
        if (length > p->eval_end || (next != SIZE_MAX && next - length < gap))
            continue;
        next = length;
        want(p, length, QW_CHECKPOINT_TURN, 1);
    }
}

static void want_pictures(planner *p, const qw_timeline *t, size_t offset)
{
    for (size_t i = 0; i < t->n_spans; i++) {
        want(p, t->spans[i].begin + offset, QW_CHECKPOINT_IMAGE, 1);
        want(p, t->spans[i].begin + t->spans[i].n + offset, QW_CHECKPOINT_IMAGE, 1);
    }
}

static bool in_picture(const qw_timeline *t, size_t at)
{
    for (size_t i = 0; i < t->n_spans; i++)
        if (at > t->spans[i].begin && at < t->spans[i].begin + t->spans[i].n)
            return true;
    return false;
}

static void want_intervals(planner *p, const qw_timeline *t, size_t offset)
{
    for (size_t length = p->begin / LEAST * LEAST + LEAST; length <= p->end; length += LEAST)
        if (is_due(length, p->eval_end) && !in_picture(t, length - offset))
            want(p, length, QW_CHECKPOINT_INTERVAL, LEAST / 4);
}

size_t qw_saves_most(size_t budget, uint64_t available, size_t bytes)
{
    const uint64_t room = available / 2 < budget ? available / 2 : budget, most = room / bytes;
    return most < QW_PASS_SAVES ? (size_t)most : QW_PASS_SAVES;
}

/* Memory that is short means one less. */
static void make(qw_pass_saves *out, const planner *p, const qw_text_config *c)
{
    for (size_t i = 0; i < p->n; i++) {
        qw_checkpoint *cp = NULL;
        if (qw_checkpoint_create(&cp, c, NULL) != QWREN_OK)
            continue;
        cp->length = p->at[i].length;
        cp->kind = p->at[i].kind;
        out->at[out->n] = (qw_state_save){ cp->length - p->begin, cp->layers };
        out->made[out->n++] = cp;
    }
}

void qw_saves_plan(qw_pass_saves *out, qw_session *s, const qw_timeline *t, size_t first, size_t n, size_t end, const qw_eval_options *opt)
{
    planner p = { .begin = s->n, .end = s->n + n, .eval_end = s->n + end - first };
    const qw_text_config *c = &s->model->config.text;
    const size_t offset = s->n - first; /* from a place in t to a length; may wrap around, and back */
    out->n = 0;
    if (!s->prefix)
        return;
    want_pictures(&p, t, offset);
    want_boundaries(&p, opt, offset);
    want_intervals(&p, t, offset);
    if (p.n)
        keep_best(&p,
                  qw_saves_most(qw_prefix_statistics(s->prefix).budget_bytes, qw_machine_get_memory().available, qw_checkpoint_bytes(c)));
    make(out, &p, c);
}

/* A checkpoint stands at the end. One of an interval may be dropped early and never goes to disk, so whoever leaves the timeline there parks it nevertheless. */
static void note_kept(qw_session *s, qw_checkpoint_kind kind)
{
    if (kind != QW_CHECKPOINT_INTERVAL)
        s->n_parked = s->n;
}

void qw_saves_keep(qw_pass_saves *p, qw_session *s)
{
    for (size_t i = 0; i < p->n; i++) {
        qw_checkpoint *cp = p->made[i];
        cp->next_pos = cp->length < s->n ? s->memory.starts[cp->length] : s->next_pos;
        if (qw_prefix_insert(s->prefix, s->memory.keys, s->cache.pages, cp, NULL) == QWREN_OK && cp->length == s->n)
            note_kept(s, cp->kind);
        qw_checkpoint_drop(cp);
    }
}

/* ---- the present end */

qw_checkpoint *qw_session_checkpoint(qw_session *s, qw_checkpoint_kind kind)
{
    qw_checkpoint *cp = NULL;
    if (!s->n || qw_checkpoint_create(&cp, &s->model->config.text, NULL) != QWREN_OK)
        return NULL;
    qw_session_settle(s);
    qw_states_copy(&s->model->config.text, cp->layers, s->memory.layers);
    cp->length = s->n;
    cp->next_pos = s->next_pos;
    cp->kind = kind;
    return cp;
}

static void keep_end(qw_session *s, qw_checkpoint_kind kind)
{
    if (!s->prefix || !s->n || s->n_parked == s->n)
        return;
    qw_checkpoint *cp = qw_session_checkpoint(s, kind);
    if (!cp)
        return;
    qw_prefix_insert(s->prefix, s->memory.keys, s->cache.pages, cp, NULL); /* what does not fit is not kept */
    note_kept(s, kind);
    qw_checkpoint_drop(cp);
}

/* What was moved or stretched is found by nobody but this session, which goes back in it only while it stands in it: its end would take room from others. */
void qw_session_park(qw_session *s)
{
    if (!qw_keys_are_singular(s->memory.keys, s->n))
        keep_end(s, QW_CHECKPOINT_END);
}

void qw_session_keep_due(qw_session *s, size_t before)
{
    if (before / LEAST != s->n / LEAST)
        keep_end(s, QW_CHECKPOINT_INTERVAL);
}
