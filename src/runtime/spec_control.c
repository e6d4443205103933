/* Whether guessing pays (spec_control.h). Stands beside the drafters, below speculate.c, which asks before each pass and tells after it. Tested by
 * tests/unit/test_spec_control.c with a simulated clock. */
#include "runtime/spec_control.h"

#include <math.h>
#include <string.h>

#define FADE 0.96         /* of a share, with each observation: some 25 count */
#define FADE_ROUNDS 0.95  /* of a drafter's own rate */
#define PRIOR_ROUNDS 4    /* what the expectation weighs beside it */
#define PRIOR_WEIGHT 2    /* observations that a first guess weighs */
#define PRIOR_FIRST 0.7   /* of MTP and draft models: published figures are above it */
#define PRIOR_LATER 0.9   /* of what the place before has */
#define PRIOR_SLOPE 0.1   /* of a plain step, for every further row */
#define PRIOR_DRAFT 0.12  /* of a plain step */
#define FIRST_ACCOUNT 1.0 /* plain steps that may be lost before anything was earned */
#define MOST_ACCOUNT 4.0  /* plain steps that can be saved up */
#define PAID_IN 0.01      /* of all time */
#define WORTH 1.01        /* what a drafter must promise against plain steps */
#define PROBE_FIRST 32    /* tokens */
#define PROBE_MIDDLE 64   /* the farthest apart that they may be where they cost little: */
#define PROBE_SHARE 0.003 /* of all time, that is; */
#define PROBE_LAST 4096   /* and in any case */
#define PLAIN_EVERY 160   /* rounds between two looks at the cost of a plain step */
#define PLAIN_TIMED 2     /* of a look; steps before these are not timed: */
#define PLAIN_COLD 2      /* with few weights those behind drafts or a prompt take a third longer than steps behind steps */
#define DEPTH_CHANGE 1024 /* tokens that make a plain step cost something else, or a quarter of them */
#define MOST_TRUE 1.25    /* expected times: a round that takes longer was disturbed */
#define MARGINS 6

/* ---- measurements */

static void note_cost(qw_spec_cost *c, double seconds)
{
    double sorted[QW_SPEC_SAMPLES];
    c->samples[c->n++ % QW_SPEC_SAMPLES] = seconds;
    const size_t n = c->n < QW_SPEC_SAMPLES ? c->n : QW_SPEC_SAMPLES;
    for (size_t i = 0; i < n; i++) {
        size_t k = i;
        for (; k > 0 && sorted[k - 1] > c->samples[i]; k--)
            sorted[k] = sorted[k - 1];
        sorted[k] = c->samples[i];
    }
    c->median = n % 2 ? sorted[n / 2] : (sorted[n / 2 - 1] + sorted[n / 2]) / 2;
}

static void note_share(qw_spec_share *s, bool yes)
{
    s->yes = s->yes * FADE + yes;
    s->all = s->all * FADE + 1;
}

static double share(const qw_spec_share *s, double prior, double weight) { return (s->yes + prior * weight) / (s->all + weight); }

static double plain_s(const qw_spec_control *c) { return c->pass[1].median; }

/* The measured number of rows next to n, downwards or upwards; 0 when there is none. */
static size_t measured(const qw_spec_control *c, size_t n, int step)
{
    for (; n >= 1 && n <= QW_SPEC_ROWS; n = step < 0 ? n - 1 : n + 1)
        if (c->pass[n].n)
            return n;
    return 0;
}

double qw_spec_pass_s(const qw_spec_control *c, size_t n)
{
    const size_t below = measured(c, n, -1), above = measured(c, n, 1);
    if (below == n)
        return c->pass[n].median;
    if (!below)
        return above ? c->pass[above].median : 0;
    const double from = c->pass[below].median;
    double slope = PRIOR_SLOPE * plain_s(c);
    if (above)
        slope = (c->pass[above].median - from) / (double)(above - below);
    else if (below > 1 && c->pass[1].n)
        slope = fmax((from - plain_s(c)) / (double)(below - 1), 0.01 * plain_s(c));
    return from + slope * (double)(n - below);
}

static double draft_s(const qw_spec_control *c, qw_draft_kind kind, size_t i)
{
    const qw_spec_cost *cost = i ? &c->next[kind] : &c->first[kind];
    if (cost->n)
        return cost->median;
    if (kind == QW_DRAFT_LOOKUP)
        return 0;
    return i && c->first[kind].n ? c->first[kind].median : PRIOR_DRAFT * plain_s(c);
}

/* ---- acceptance */

double qw_spec_acceptance(const qw_spec_control *c, qw_draft_kind kind, size_t place)
{
    double p = PRIOR_FIRST;
    for (size_t i = 0; i <= place && i < QW_SPEC_DRAFTS; i++)
        p = share(&c->place[kind][i], i ? p * PRIOR_LATER : p, PRIOR_WEIGHT);
    return p;
}

static const size_t steps_of_length[] = { 2, 3, 4, 6, 10, 20, QW_LOOKUP_LONGEST }; /* a class begins at each, and one below */
#define LENGTHS (sizeof steps_of_length / sizeof *steps_of_length + 1)
_Static_assert(3 * LENGTHS == QW_SPEC_CLASSES && MARGINS <= QW_SPEC_CLASSES, "one class for every length and agreement");

uint8_t qw_spec_lookup_class(const qw_lookup_match *m, size_t i)
{
    size_t length = 0;
    while (length + 1 < LENGTHS && m->length + i >= steps_of_length[length])
        length++;
    const bool mixed = m->agreeing < m->seen && i == 0; /* behind an accepted draft only those places are left that agreed */
    return (uint8_t)(3 * length + (mixed ? 0 : m->agreeing > 1 ? 2 : 1));
}

/* Before anything is known: longer matches go on, and where all places agree the more so. */
static double lookup_prior(uint8_t class)
{
    static const double by_length[LENGTHS] = { 0.05, 0.15, 0.35, 0.5, 0.65, 0.75, 0.85, 0.9 };
    static const double by_agreement[3] = { 0.5, 0.9, 1 };
    return by_length[class / 3] * by_agreement[class % 3];
}

uint8_t qw_spec_margin_class(float margin)
{
    static const float steps[MARGINS - 1] = { 0.5F, 1, 2, 4, 8 };
    uint8_t class = 0;
    while (class < MARGINS - 1 && margin >= steps[class])
        class ++;
    return class;
}

/* Of draft i whose class is known. */
static double sureness(const qw_spec_control *c, qw_draft_kind kind, size_t i, uint8_t class)
{
    const qw_spec_share *s = &c->sure[kind][class];
    if (kind == QW_DRAFT_LOOKUP)
        return share(s, lookup_prior(class), PRIOR_WEIGHT);
    return share(s, qw_spec_acceptance(c, kind, i), PRIOR_WEIGHT);
}

void qw_spec_saw(qw_spec_control *c, uint8_t lookup_class, bool right) { note_share(&c->sure[QW_DRAFT_LOOKUP][lookup_class], right); }

/* ---- rates: tokens a second */

static double plain_rate(const qw_spec_control *c) { return 1 / plain_s(c); }

/* Rows that a pass may have: twice the most that were ever timed, so that a cost that is much higher than expected is found out early. */
static size_t most_rows(const qw_spec_control *c)
{
    const size_t most = measured(c, QW_SPEC_ROWS, -1);
    return !most ? 1 : 2 * most < QW_SPEC_ROWS ? 2 * most : QW_SPEC_ROWS;
}

/* Of a drafter's rounds by the usual acceptance, with the best number of drafts. */
static double expected_rate(const qw_spec_control *c, qw_draft_kind kind, size_t most)
{
    double tokens = 1, chance = 1, seconds = 0, best = 0;
    for (size_t k = 1; k <= most; k++) {
        chance *= qw_spec_acceptance(c, kind, k - 1);
        tokens += chance;
        seconds += draft_s(c, kind, k - 1);
        best = fmax(best, tokens / (seconds + qw_spec_pass_s(c, k + 1)));
    }
    return best;
}

/* What it did lately, and the expectation for as long as that is little. */
static double drafter_rate(const qw_spec_control *c, qw_draft_kind kind, size_t most)
{
    const double tokens = 1 + qw_spec_acceptance(c, kind, 0), seconds = tokens / expected_rate(c, kind, most);
    return (c->gained[kind] + PRIOR_ROUNDS * tokens) / (c->spent[kind] + PRIOR_ROUNDS * seconds);
}

/* Drafts of a round that are allowed. */
static size_t limit(const qw_spec_control *c, qw_draft_kind kind, size_t most)
{
    const size_t usual = kind == QW_DRAFT_LOOKUP ? QW_SPEC_DRAFTS : 4, wish = c->opt.exactly ? c->opt.exactly : c->opt.most;
    size_t n = wish ? wish : usual;
    n = n < QW_SPEC_DRAFTS ? n : QW_SPEC_DRAFTS;
    if (!c->opt.exactly && most_rows(c) - 1 < n)
        n = most_rows(c) > 1 ? most_rows(c) - 1 : 1;
    return n < most ? n : most;
}

/* ---- the choice */

#define KNOWN 4 /* rounds, counting old ones less, behind which a drafter is judged */

bool qw_spec_pays(const qw_spec_control *c, qw_draft_kind kind)
{
    return c->opt.always || c->place[kind][0].all < KNOWN || drafter_rate(c, kind, limit(c, kind, QW_SPEC_DRAFTS)) > WORTH * plain_rate(c);
}

/* What a second is worth: the best rate of what is always there; and whose it is. */
static double best_rate(const qw_spec_control *c, size_t most, qw_draft_kind *whose)
{
    double best = c->opt.always ? 0 : WORTH * plain_rate(c);
    *whose = QW_DRAFT_NONE;
    for (int kind = QW_DRAFT_MTP; most && kind < QW_DRAFT_KINDS; kind++) {
        if (!c->opt.use[kind] || kind == QW_DRAFT_LOOKUP)
            continue;
        const double rate = drafter_rate(c, (qw_draft_kind)kind, limit(c, (qw_draft_kind)kind, most));
        if (rate > best) {
            best = rate;
            *whose = (qw_draft_kind)kind;
        }
    }
    return fmax(best, plain_rate(c));
}

/* The best number of drafts that prompt lookup can give, 0 when none earns its time; *worth: tokens more than the time is worth otherwise. */
static size_t lookup_drafts(const qw_spec_control *c, const qw_lookup_match *m, double rate, size_t most, double *worth)
{
    double tokens = 1, chance = 1;
    size_t best = 0;
    *worth = 0;
    for (size_t k = 1; k <= most; k++) {
        chance *= sureness(c, QW_DRAFT_LOOKUP, k - 1, qw_spec_lookup_class(m, k - 1));
        tokens += chance;
        const double seconds = draft_s(c, QW_DRAFT_LOOKUP, 0) + qw_spec_pass_s(c, k + 1), more = tokens - WORTH * rate * seconds;
        if (more > *worth) {
            *worth = more;
            best = k;
        }
    }
    return best;
}

static bool is_far(size_t a, size_t b)
{
    const size_t low = a < b ? a : b, high = a < b ? b : a;
    return high - low > DEPTH_CHANGE && high - low > low / 4;
}

/* Whether the cost of a plain step must be looked at before anything else. */
static bool wants_plain(qw_spec_control *c, size_t length)
{
    if (c->opt.exactly)
        return false;
    if (!c->pass[1].n && !c->plain_wanted)
        c->plain_wanted = c->cold + PLAIN_TIMED;
    else if (c->pass[1].n && !c->plain_wanted && (c->plain_rounds >= PLAIN_EVERY || is_far(length, c->plain_length)))
        c->plain_wanted = PLAIN_COLD + PLAIN_TIMED;
    return c->plain_wanted > 0;
}

/* A drafter that does not pay, tried again. */
static qw_draft_kind to_probe(const qw_spec_control *c)
{
    qw_draft_kind kind = QW_DRAFT_NONE;
    for (int k = QW_DRAFT_MTP; k < QW_DRAFT_KINDS; k++) /* the one that is known least */
        if (c->opt.use[k] && k != QW_DRAFT_LOOKUP && (!kind || c->place[k][0].all < c->place[kind][0].all))
            kind = (qw_draft_kind)k;
    return kind;
}

static qw_spec_plan planned(const qw_spec_control *c, qw_draft_kind kind, size_t most)
{
    const size_t n = kind ? limit(c, kind, most) : 0;
    return (qw_spec_plan){ n ? kind : QW_DRAFT_NONE, n };
}

/* One draft, when the account can bear what that will probably cost. */
static qw_spec_plan plan_probe(qw_spec_control *c)
{
    const qw_draft_kind kind = to_probe(c);
    const double tokens = 1 + qw_spec_acceptance(c, kind, 0), seconds = draft_s(c, kind, 0) + qw_spec_pass_s(c, 2);
    c->probing = kind && c->account + tokens * plain_s(c) >= seconds;
    return planned(c, c->probing ? kind : QW_DRAFT_NONE, 1);
}

static qw_spec_plan choose_always(const qw_spec_control *c, const qw_lookup_match *match, size_t most)
{
    double worth;
    qw_draft_kind kind;
    const bool found = match && c->opt.use[QW_DRAFT_LOOKUP];
    if (c->opt.exactly) {
        kind = c->opt.use[QW_DRAFT_MTP] ? QW_DRAFT_MTP : c->opt.use[QW_DRAFT_MODEL] ? QW_DRAFT_MODEL : QW_DRAFT_NONE;
        return planned(c, kind ? kind : found && match->length > 1 ? QW_DRAFT_LOOKUP : QW_DRAFT_NONE, most);
    }
    const double rate = best_rate(c, most, &kind);
    size_t n = found ? lookup_drafts(c, match, rate, limit(c, QW_DRAFT_LOOKUP, most), &worth) : 0;
    if (!n && found && !kind && match->length > 1)
        n = most > 0;
    return n ? (qw_spec_plan){ QW_DRAFT_LOOKUP, n } : planned(c, kind, most);
}

static qw_spec_plan choose(qw_spec_control *c, const qw_lookup_match *match, size_t most)
{
    qw_draft_kind kind;
    double worth;
    if (c->account < 0)
        return (qw_spec_plan){ QW_DRAFT_NONE, 0 };
    const double rate = best_rate(c, most, &kind);
    const size_t n = match && c->opt.use[QW_DRAFT_LOOKUP] ? lookup_drafts(c, match, rate, limit(c, QW_DRAFT_LOOKUP, most), &worth) : 0;
    if (n)
        return (qw_spec_plan){ QW_DRAFT_LOOKUP, n };
    if (!kind && !c->probe_in && most)
        return plan_probe(c);
    return planned(c, kind, most);
}

qw_spec_plan qw_spec_choose(qw_spec_control *c, const qw_lookup_match *match, size_t length, size_t most)
{
    c->probing = false;
    if (wants_plain(c, length))
        return (qw_spec_plan){ QW_DRAFT_NONE, 0 };
    return c->opt.always ? choose_always(c, match, most) : choose(c, match, most);
}

/* ---- while drafting */

/* That all n drafts are accepted. */
static double chance_of(const qw_spec_control *c, qw_draft_kind kind, const uint8_t *classes, size_t n)
{
    double chance = 1;
    for (size_t i = 0; i < n; i++)
        chance *= sureness(c, kind, i, classes[i]);
    return chance;
}

bool qw_spec_go_on(const qw_spec_control *c, const qw_spec_plan *plan, const uint8_t *classes, size_t n)
{
    qw_draft_kind kind;
    if (n >= plan->most)
        return false;
    if (c->opt.exactly)
        return true;
    const double seconds = draft_s(c, plan->kind, n) + qw_spec_pass_s(c, n + 2) - qw_spec_pass_s(c, n + 1),
                 chance = chance_of(c, plan->kind, classes, n) * qw_spec_acceptance(c, plan->kind, n);
    return chance > best_rate(c, plan->most, &kind) * seconds;
}

size_t qw_spec_trim(const qw_spec_control *c, const qw_spec_plan *plan, const uint8_t *classes, size_t n)
{
    qw_draft_kind kind;
    if (c->opt.exactly || plan->kind == QW_DRAFT_LOOKUP)
        return n;
    const double rate = best_rate(c, plan->most, &kind);
    double chance = 1, worth = 0, best = 0;
    size_t kept = c->probing || c->opt.always;
    for (size_t i = 0; i < n; i++) {
        chance *= sureness(c, plan->kind, i, classes[i]);
        worth += chance - rate * (qw_spec_pass_s(c, i + 2) - qw_spec_pass_s(c, i + 1));
        if (worth > best) {
            best = worth;
            kept = i + 1;
        }
    }
    return kept < n ? kept : n;
}

/* ---- learning */

static void learn_acceptance(qw_spec_control *c, const qw_spec_round *r)
{
    for (size_t i = 0; i < r->n_accepted + r->rejected; i++) {
        const bool yes = i < r->n_accepted;
        c->counts.checked[r->kind][i]++;
        c->counts.accepted[r->kind][i] += yes;
        if (r->kind == QW_DRAFT_LOOKUP) /* qw_spec_saw() has told */
            continue;
        note_share(&c->place[r->kind][i], yes);
        note_share(&c->sure[r->kind][r->classes[i]], yes);
    }
}

static void learn_costs(qw_spec_control *c, const qw_spec_round *r)
{
    if (r->n_made && !r->fed_much)
        note_cost(&c->first[r->kind], r->first_s);
    if (r->n_made > 1)
        note_cost(&c->next[r->kind], r->next_s / (double)(r->n_made - 1));
    const bool plain = r->n_drafts == 0;
    if (!plain || !c->cold)
        note_cost(&c->pass[r->n_drafts + 1], r->pass_s);
    if (plain && !c->cold) {
        c->plain_length = r->length;
        c->plain_rounds = 0;
    } else
        c->plain_rounds++;
    if (plain && c->plain_wanted)
        c->plain_wanted--;
    if (!plain)
        c->cold = PLAIN_COLD;
    else if (c->cold)
        c->cold--;
}

/* What the account gains or loses, in seconds; a round that took out of all proportion is not the drafts' fault. */
static double saved_by(const qw_spec_control *c, const qw_spec_round *r, double seconds)
{
    const double expected = qw_spec_pass_s(c, r->n_drafts + 1) + r->first_s + r->next_s;
    return (double)(1 + r->n_accepted) * plain_s(c) - fmin(seconds, MOST_TRUE * expected);
}

/* Where a drafter is tried though it does not seem to pay: more often after a success, less and less often after failures. */
static void schedule_probe(qw_spec_control *c, const qw_spec_round *r, double saved)
{
    const size_t tokens = 1 + r->n_accepted;
    c->probe_in -= tokens < c->probe_in ? tokens : c->probe_in;
    if (!c->probing)
        return;
    if (saved > 0) {
        c->probe_every = PROBE_FIRST;
        c->probe_in = 1;
        return;
    }
    const size_t most = (size_t)fmin(fmax(-saved / plain_s(c) / PROBE_SHARE, PROBE_MIDDLE), PROBE_LAST);
    c->probe_in = c->probe_every;
    c->probe_every = 2 * c->probe_every < most ? 2 * c->probe_every : most;
}

static void learn_account(qw_spec_control *c, const qw_spec_round *r)
{
    const double seconds = r->pass_s + r->first_s + r->next_s, before = c->account;
    const bool guessed = r->n_made > 0;
    if (!c->pass[1].n)
        return;
    if (c->pass[1].n == 1 && !guessed)
        c->account = FIRST_ACCOUNT * plain_s(c);
    const double saved = guessed ? saved_by(c, r, seconds) : 0;
    c->account = fmin(c->account + saved + PAID_IN * fmin(seconds, MOST_TRUE * qw_spec_pass_s(c, r->n_drafts + 1)),
                      fmax(before, MOST_ACCOUNT * plain_s(c)));
    c->counts.saved_s += saved;
    schedule_probe(c, r, saved);
    if (!guessed || r->kind == QW_DRAFT_LOOKUP || r->fed_much)
        return;
    c->gained[r->kind] = c->gained[r->kind] * FADE_ROUNDS + (double)(1 + r->n_accepted);
    c->spent[r->kind] = c->spent[r->kind] * FADE_ROUNDS + fmin(seconds, (double)(1 + r->n_accepted) * plain_s(c) - saved);
}

void qw_spec_learn(qw_spec_control *c, const qw_spec_round *r)
{
    const qw_draft_kind kind = r->n_drafts ? r->kind : QW_DRAFT_NONE;
    learn_costs(c, r);
    learn_acceptance(c, r);
    learn_account(c, r);
    c->counts.passes++;
    c->counts.tokens += 1 + r->n_accepted;
    c->counts.rounds[kind]++;
    c->counts.drafted[r->kind] += r->n_drafts;
    c->counts.draft_s[r->kind] += r->first_s + r->next_s;
    *(r->n_drafts ? &c->counts.verify_s : &c->counts.plain_s) += r->pass_s;
}

void qw_spec_init(qw_spec_control *c, const qw_spec_options *opt) { *c = (qw_spec_control){ .opt = *opt, .probe_every = PROBE_FIRST }; }

void qw_spec_begin(qw_spec_control *c) { c->cold = PLAIN_COLD; }

void qw_spec_forget_counts(qw_spec_control *c) { c->counts = (qw_spec_counts){ 0 }; }
