/* Guessing ahead (speculate.h): asks the controller what to draft, lets the drafters draft, has the session compute all of it on trial, and hands the rows out one by one for
 * as long as the caller picks what was drafted. Tested by tests/unit/test_speculate.c and test_spec_sampling.c. */
#include "runtime/speculate.h"

#include "base/alloc.h"
#include "base/clock.h"

#include <math.h>
#include <string.h>

#define MOST_ENDS 24
_Static_assert(QW_SPEC_ROWS <= QW_MAX_TRIAL, "a round is one pass on trial");
_Static_assert(QW_SPEC_DRAFTS <= QW_MTP_GUESSES, "the head has room for the drafts of a round");

struct qw_speculate {
    qw_session *session;
    const qw_model *model;
    qw_speculate_options opt;
    qw_spec_control control;
    qw_lookup *lookup; /* also the list of the timeline's ids; not NULL */
    qw_draft_mtp *mtp; /* NULL: not used */
    int32_t ends[MOST_ENDS];
    size_t n_ends;
    /* the round: a pass over `ids`, of which the first is given and the caller stands at `row` */
    int32_t ids[QW_SPEC_ROWS], pos[QW_SPEC_ROWS][3];
    uint8_t classes[QW_SPEC_DRAFTS];
    size_t n_rows, row;
    bool on_trial;
    qw_spec_round round;
    /* what lookup says will come next */
    bool found;
    qw_lookup_match match;
};

qwren_status qw_speculate_create(qw_speculate **out, const qw_model *m, qw_session *s, const qw_speculate_options *opt, qwren_error *err)
{
    *out = NULL;
    qw_speculate *p = qw_calloc(1, sizeof *p);
    if (!p)
        return qw_fail_memory(err, sizeof *p, "speculative decoding");
    p->session = s;
    p->model = m;
    p->opt = *opt;
    qw_spec_init(&p->control, &opt->control);
    qwren_status st = qw_lookup_create(&p->lookup, qw_session_capacity(s), err);
    if (st == QWREN_OK && opt->control.use[QW_DRAFT_MTP])
        st = qw_draft_mtp_create(&p->mtp, p->model, opt->shortlist, err);
    if (st == QWREN_OK)
        *out = p;
    else
        qw_speculate_free(p);
    return st;
}

void qw_speculate_free(qw_speculate *p)
{
    if (!p)
        return;
    qw_lookup_free(p->lookup);
    qw_draft_mtp_free(p->mtp);
    qw_free(p);
}

size_t qw_speculate_bytes(const qw_model *m, size_t n_ctx, const qw_speculate_options *opt)
{
    const bool mtp = opt->control.use[QW_DRAFT_MTP] && m->has_mtp;
    return sizeof(qw_speculate) + qw_lookup_bytes(n_ctx) + (mtp ? qw_draft_mtp_bytes(m, opt->shortlist) : 0);
}

qw_spec_control *qw_speculate_control(qw_speculate *p) { return &p->control; }

/* ---- the prompt */

#define FEW 8 /* tokens */

size_t qw_speculate_wants(const qw_speculate *p)
{
    if (!p->mtp)
        return 0;
    return qw_spec_pays(&p->control, QW_DRAFT_MTP) ? QW_MTP_WAITING : FEW;
}

void qw_speculate_saw(qw_speculate *p, size_t at, const int32_t *ids, const int32_t (*pos)[3], const float *hidden, size_t n)
{
    if (p->mtp)
        qw_draft_mtp_note(p->mtp, at, ids, pos, hidden, n);
}

/* What lookup foresees from here. */
static void look_up(qw_speculate *p) { p->found = p->opt.control.use[QW_DRAFT_LOOKUP] && qw_lookup_find(p->lookup, &p->match); }

void qw_speculate_begin(qw_speculate *p, const int32_t *ids, size_t n, const int32_t *ends, size_t n_ends)
{
    p->n_ends = n_ends < MOST_ENDS ? n_ends : MOST_ENDS;
    for (size_t i = 0; i < p->n_ends; i++) /* `ends` may be NULL when there are none */
        p->ends[i] = ends[i];
    const size_t before = qw_lookup_length(p->lookup), common = qw_lookup_set(p->lookup, ids, n);
    if (p->mtp && common < before)
        qw_draft_mtp_forget(p->mtp);
    if (p->mtp)
        qw_draft_mtp_saw(p->mtp, ids, n);
    look_up(p);
    qw_spec_begin(&p->control);
    p->control.opt.use[QW_DRAFT_MODEL] = p->opt.control.use[QW_DRAFT_MODEL];
    p->n_rows = p->row = 0;
    p->on_trial = false;
}

/* ---- a round */

/* Rows [0, row] of the pass are part of the timeline, the others never were. */
static void settle(qw_speculate *p, bool rejected)
{
    if (!p->n_rows)
        return;
    const size_t n = p->row + 1;
    if (p->mtp) /* first: keeping may make a checkpoint, for which the session's buffers are used */
        qw_draft_mtp_note(p->mtp, p->round.length, p->ids, (const int32_t(*)[3])p->pos, qw_session_hidden(p->session), n);
    if (p->on_trial)
        qw_session_keep(p->session, n);
    p->round.n_accepted = p->row;
    p->round.rejected = rejected && p->row < p->round.n_drafts;
    p->round.classes = p->classes;
    qw_spec_learn(&p->control, &p->round);
    p->n_rows = p->row = 0;
    p->on_trial = false;
}

static bool is_end(const qw_speculate *p, int32_t id)
{
    for (size_t i = 0; i < p->n_ends; i++)
        if (p->ends[i] == id)
            return true;
    return false;
}

/* Copies what followed there; a match that overlaps the end repeats itself. */
static size_t quote(qw_speculate *p, size_t most)
{
    size_t n = 0;
    for (; n < most; n++) {
        const int32_t id = n < p->match.n ? p->match.next[n] : p->ids[1 + n - p->match.n];
        if (is_end(p, id))
            break;
        p->ids[1 + n] = id;
        p->classes[n] = qw_spec_lookup_class(&p->match, n);
    }
    return n;
}

static bool ask_first(qw_speculate *p, qw_draft_kind kind, qw_guess *out)
{
    if (kind == QW_DRAFT_MODEL)
        return p->opt.drafter.first(p->opt.drafter.ctx, qw_lookup_ids(p->lookup), qw_lookup_length(p->lookup), out);
    p->round.fed_much = qw_draft_mtp_waiting(p->mtp) > QW_SPEC_ROWS;
    if (!qw_draft_mtp_waiting(p->mtp))
        return false;
    *out = qw_draft_mtp_first(p->mtp, p->ids[0]);
    return true;
}

static bool ask_next(qw_speculate *p, qw_draft_kind kind, qw_guess *out)
{
    if (kind == QW_DRAFT_MODEL)
        return p->opt.drafter.next(p->opt.drafter.ctx, out);
    *out = qw_draft_mtp_next(p->mtp);
    return true;
}

/* Guess behind guess, as long as another one is worth it. */
static size_t guess(qw_speculate *p, const qw_spec_plan *plan)
{
    const double start = qw_now_s();
    qw_guess g;
    size_t n = 0;
    bool more = ask_first(p, plan->kind, &g);
    p->round.first_s = qw_now_s() - start;
    p->round.n_made = more;
    if (!more && plan->kind == QW_DRAFT_MODEL) /* pictures, or its context is full: that will not change within this answer */
        p->control.opt.use[QW_DRAFT_MODEL] = false;
    while (more && g.id >= 0 && g.id < p->model->config.text.vocab_size && !is_end(p, g.id)) {
        p->ids[1 + n] = g.id;
        p->classes[n++] = qw_spec_margin_class(g.margin);
        more = qw_spec_go_on(&p->control, plan, p->classes, n) && ask_next(p, plan->kind, &g);
        p->round.n_made += more;
    }
    p->round.next_s = qw_now_s() - start - p->round.first_s;
    return qw_spec_trim(&p->control, plan, p->classes, n);
}

/* Drafts behind ids[0], at most so many. */
static size_t draft(qw_speculate *p, size_t most)
{
    const qw_spec_plan plan = qw_spec_choose(&p->control, p->found ? &p->match : NULL, p->round.length, most);
    p->round.kind = plan.kind;
    if (plan.kind == QW_DRAFT_NONE)
        return 0;
    if (plan.kind != QW_DRAFT_LOOKUP)
        return guess(p, &plan);
    return p->round.n_made = quote(p, plan.most);
}

static qwren_status run(qw_speculate *p, size_t n_drafts, qwren_error *err)
{
    const double start = qw_now_s();
    const int32_t first = qw_session_next_pos(p->session);
    if (n_drafts)
        QW_TRY(qw_session_try(p->session, p->ids, 1 + n_drafts, err));
    else
        QW_TRY(qw_session_step(p->session, p->ids[0], err));
    p->round.pass_s = qw_now_s() - start;
    for (size_t i = 0; i <= n_drafts; i++)
        p->pos[i][0] = p->pos[i][1] = p->pos[i][2] = first + (int32_t)i;
    p->round.n_drafts = n_drafts;
    p->on_trial = n_drafts > 0;
    p->n_rows = 1 + n_drafts;
    p->row = 0;
    return QWREN_OK;
}

/* A pass over `id` and what is drafted behind it; over `id` alone when memory is too short for drafts. */
static qwren_status new_round(qw_speculate *p, int32_t id, size_t more, qwren_error *err)
{
    const size_t length = qw_session_length(p->session), room = qw_session_capacity(p->session) - length;
    size_t most = room ? room - 1 : 0;
    most = most < more ? most : more;
    p->round = (qw_spec_round){ .length = length };
    p->ids[0] = id;
    const size_t n_drafts = draft(p, most < QW_SPEC_DRAFTS ? most : QW_SPEC_DRAFTS);
    return n_drafts && run(p, n_drafts, NULL) == QWREN_OK ? QWREN_OK : run(p, 0, err);
}

/* The id is part of the timeline: what was foreseen is held against it. */
static void take_in(qw_speculate *p, int32_t id)
{
    if (p->found)
        qw_spec_saw(&p->control, qw_spec_lookup_class(&p->match, 0), p->match.next[0] == id);
    qw_lookup_push(p->lookup, id);
    if (p->mtp)
        qw_draft_mtp_saw(p->mtp, &id, 1);
    look_up(p);
}

qwren_status qw_speculate_step(qw_speculate *p, int32_t id, size_t more, qwren_error *err)
{
    const size_t length = qw_lookup_length(p->lookup);
    if (p->row + 1 < p->n_rows && p->ids[p->row + 1] == id) {
        p->row++;
        take_in(p, id);
        return QWREN_OK;
    }
    settle(p, true);
    take_in(p, id);
    qwren_status st = new_round(p, id, more, err);
    if (st != QWREN_OK) {
        qw_lookup_cut(p->lookup, length);
        look_up(p);
    }
    return st;
}

void qw_speculate_end(qw_speculate *p) { settle(p, false); }

size_t qw_speculate_length(const qw_speculate *p) { return qw_lookup_length(p->lookup); }

void qw_speculate_shift(qw_speculate *p, size_t keep, size_t by)
{
    const int32_t *ids = qw_lookup_ids(p->lookup);
    const size_t n = qw_lookup_length(p->lookup);
    qw_lookup_cut(p->lookup, keep);
    for (size_t i = keep + by; i < n; i++) /* each is read before its place is written */
        qw_lookup_push(p->lookup, ids[i]);
    if (p->mtp)
        qw_draft_mtp_forget(p->mtp);
    look_up(p);
}

qwren_status qw_speculate_measure(qw_speculate *p, size_t n, double *pass_s, double *draft_s, qwren_error *err)
{
    int32_t ids[QW_SPEC_ROWS], pos[QW_SPEC_ROWS][3];
    const int32_t half = p->model->config.text.vocab_size / 2 + 1, at = qw_session_next_pos(p->session);
    *pass_s = *draft_s = (double)NAN;
    for (size_t i = 0; i < n && i < QW_SPEC_ROWS; i++) {
        ids[i] = (int32_t)(i * 7919 + qw_session_length(p->session) * 31) % half;
        pos[i][0] = pos[i][1] = pos[i][2] = at + (int32_t)i;
    }
    double start = qw_now_s();
    QW_TRY(qw_session_try(p->session, ids, n, err));
    *pass_s = qw_now_s() - start;
    if (!p->mtp)
        return QWREN_OK;
    qw_draft_mtp_forget(p->mtp);
    qw_draft_mtp_note(p->mtp, qw_session_length(p->session), ids, (const int32_t(*)[3])pos, qw_session_hidden(p->session), n);
    qw_draft_mtp_first(p->mtp, ids[0]);
    start = qw_now_s();
    qw_draft_mtp_next(p->mtp);
    *draft_s = qw_now_s() - start;
    qw_draft_mtp_forget(p->mtp);
    return QWREN_OK;
}

const float *qw_speculate_logits(const qw_speculate *p)
{
    return p->on_trial ? qw_session_try_logits(p->session, p->row) : qw_session_logits(p->session);
}

const float *qw_speculate_maxima(const qw_speculate *p)
{
    return p->on_trial ? qw_session_try_maxima(p->session, p->row) : qw_session_maxima(p->session);
}
