/* Whether guessing pays, and how much of it: costs and acceptance as they are measured, and what maximises tokens a second by them. Knows no model; times come from the
 * caller, so that the same measurements give the same choices.
 *
 * A *round* is one pass of the model over the token that was picked last and the drafts behind it; the tokens that it gives are the first row's and one for
 * each draft that the sampler picked too. Of the choices that are always there (no draft, the drafters by their usual acceptance) the best rate, tokens over
 * seconds, is what a second is worth; any further draft must earn what it costs by that measure.
 *
 * What may be lost is rationed. Every round adds what it saved against plain steps to an account, or takes from it what it cost more, and one hundredth of all time is
 * paid in. Guessing needs an account that is not overdrawn, so in a world where it never pays little more than that hundredth is lost. */
#ifndef QW_RUNTIME_SPEC_CONTROL_H
#define QW_RUNTIME_SPEC_CONTROL_H

#include "runtime/draft_lookup.h"

#define QW_SPEC_ROWS 16 /* of a pass: QW_MAX_TRIAL of model/text.h */
#define QW_SPEC_DRAFTS (QW_SPEC_ROWS - 1)
#define QW_SPEC_CLASSES 24 /* how sure a drafter is: 0 to this - 1 */
#define QW_SPEC_SAMPLES 9  /* of a cost; their median counts */

typedef enum qw_draft_kind { QW_DRAFT_NONE, QW_DRAFT_MTP, QW_DRAFT_LOOKUP, QW_DRAFT_MODEL, QW_DRAFT_KINDS } qw_draft_kind;

typedef struct qw_spec_options {
    bool use[QW_DRAFT_KINDS]; /* the drafters that there are */
    bool always;              /* guess whenever a drafter can, but for a few plain steps that are timed: nothing is weighed against them */
    size_t most;              /* drafts of a round; 0 = 4, or as many as go where they cost nothing (lookup) */
    size_t exactly;           /* for measuring: always so many when they can be had; 0 = as it seems best */
} qw_spec_options;

typedef struct qw_spec_cost { /* seconds */
    double samples[QW_SPEC_SAMPLES];
    size_t n; /* samples ever; the newest lie in samples */
    double median;
} qw_spec_cost;

typedef struct qw_spec_share { /* yes among all, old ones counting less and less */
    double yes, all;
} qw_spec_share;

/* What happened, since the last qw_spec_forget_counts(). */
typedef struct qw_spec_counts {
    size_t passes, tokens;                             /* rounds of any kind, and what they gave */
    size_t rounds[QW_DRAFT_KINDS];                     /* with drafts of that kind; NONE: without drafts */
    size_t drafted[QW_DRAFT_KINDS];                    /* drafts that were verified */
    size_t checked[QW_DRAFT_KINDS][QW_SPEC_DRAFTS];    /* by place behind the picked token: those that a pick was held against, */
    size_t accepted[QW_DRAFT_KINDS][QW_SPEC_DRAFTS];   /* and those that were picked */
    double draft_s[QW_DRAFT_KINDS], verify_s, plain_s; /* where the time went; plain: in rounds without drafts */
    double saved_s;                                    /* against plain steps at their median; negative: lost */
} qw_spec_counts;

typedef struct qw_spec_control {
    qw_spec_options opt;
    qw_spec_cost pass[QW_SPEC_ROWS + 1];                  /* of n rows */
    qw_spec_cost first[QW_DRAFT_KINDS];                   /* of a round's first draft, and what must precede it */
    qw_spec_cost next[QW_DRAFT_KINDS];                    /* of each further one */
    qw_spec_share place[QW_DRAFT_KINDS][QW_SPEC_DRAFTS];  /* accepted, of those whose forerunners were */
    qw_spec_share sure[QW_DRAFT_KINDS][QW_SPEC_CLASSES];  /* the same by class */
    double gained[QW_DRAFT_KINDS], spent[QW_DRAFT_KINDS]; /* tokens and seconds of its rounds, old ones counting less and less */
    double account;
    size_t plain_length; /* length of the timeline when a plain step was timed last, */
    size_t plain_rounds; /* rounds since then, */
    size_t plain_wanted; /* and plain steps that are to come before anything else */
    size_t cold; /* plain steps to come that are not timed: the first takes drafts into the state, and caches are full of something else */
    size_t probe_in, probe_every; /* tokens until the next probe; between probes */
    bool probing;
    qw_spec_counts counts;
} qw_spec_control;

void qw_spec_init(qw_spec_control *c, const qw_spec_options *opt);
void qw_spec_forget_counts(qw_spec_control *c);

/* An answer begins: something else was computed before. */
void qw_spec_begin(qw_spec_control *c);

typedef struct qw_spec_plan {
    qw_draft_kind kind;
    size_t most; /* drafts; > 0 unless kind is NONE */
} qw_spec_plan;
/* What the next round should be, behind a timeline of `length` tokens, with room for `most` drafts. match: what prompt lookup found, NULL for nothing. */
qw_spec_plan qw_spec_choose(qw_spec_control *c, const qw_lookup_match *match, size_t length, size_t most);
/* n drafts of these classes are made: is another one worth its time? */
bool qw_spec_go_on(const qw_spec_control *c, const qw_spec_plan *plan, const uint8_t *classes, size_t n);
/* How many of them are worth verifying. */
size_t qw_spec_trim(const qw_spec_control *c, const qw_spec_plan *plan, const uint8_t *classes, size_t n);

/* Draft i of what prompt lookup found. */
uint8_t qw_spec_lookup_class(const qw_lookup_match *m, size_t i);
/* From the distance of the best logit to the second best. */
uint8_t qw_spec_margin_class(float margin);
/* Whether a token that lookup had foreseen with that sureness came. Costs nothing to know, so it is learned from every token, drafted or not. */
void qw_spec_saw(qw_spec_control *c, uint8_t lookup_class, bool right);

typedef struct qw_spec_round {
    qw_draft_kind kind;
    size_t n_drafts;        /* verified: the pass had 1 + n_drafts rows */
    size_t n_made;          /* drafts that time was spent on, >= n_drafts */
    size_t n_accepted;      /* of the verified ones; the round gave 1 + n_accepted tokens */
    bool rejected;          /* the next one was held against a pick, too, which was another */
    const uint8_t *classes; /* [n_drafts] */
    bool fed_much;          /* the first draft waited for more than the usual few tokens: its time says nothing */
    double first_s, next_s; /* the first draft; all the others together */
    double pass_s;
    size_t length; /* of the timeline before it */
} qw_spec_round;
void qw_spec_learn(qw_spec_control *c, const qw_spec_round *r);

/* Whether a drafter seems to be worth its time, by its rounds so far; true as long as it had hardly any. */
bool qw_spec_pays(const qw_spec_control *c, qw_draft_kind kind);
/* Seconds of a pass of n rows, 1 to QW_SPEC_ROWS, as measured or as those that were measured let expect; 0 before the first. */
double qw_spec_pass_s(const qw_spec_control *c, size_t n);
/* Of the draft at `place` (from 0) behind accepted ones. */
double qw_spec_acceptance(const qw_spec_control *c, qw_draft_kind kind, size_t place);

#endif
