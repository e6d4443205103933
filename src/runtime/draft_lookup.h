/* Prompt lookup: the tokens that followed where the timeline ended like this before. A summary, an edited text, code with the same names again: much of an answer stands in
 * the prompt or in the answer's own beginning, and finding it costs next to nothing. */
#ifndef QW_RUNTIME_DRAFT_LOOKUP_H
#define QW_RUNTIME_DRAFT_LOOKUP_H

#include "base/status.h"

#define QW_LOOKUP_LONGEST 32 /* tokens of a match that are counted */

typedef struct qw_lookup qw_lookup;

/* Room for a timeline of n_ctx tokens: qw_lookup_bytes(). Free with qw_lookup_free(). */
qwren_status qw_lookup_create(qw_lookup **out, size_t n_ctx, qwren_error *err);
void qw_lookup_free(qw_lookup *l); /* NULL is allowed */
size_t qw_lookup_bytes(size_t n_ctx);

/* The tokens that are known, oldest first, and how many. */
const int32_t *qw_lookup_ids(const qw_lookup *l);
size_t qw_lookup_length(const qw_lookup *l);
/* Only the first n of them stay. Costs as much as adding those that go. */
void qw_lookup_cut(qw_lookup *l, size_t n);
/* One more; nothing happens when there is no room. A constant number of steps. */
void qw_lookup_push(qw_lookup *l, int32_t id);
/* Exactly ids [n]: what they have in common with the present beginning stays; returns how many tokens that are. */
size_t qw_lookup_set(qw_lookup *l, const int32_t *ids, size_t n);

/* Where the timeline can go on from. */
typedef struct qw_lookup_match {
    const int32_t *next; /* what followed there [n] */
    size_t n;
    size_t length;   /* tokens before that are the same, 1 to QW_LOOKUP_LONGEST */
    size_t seen;     /* places that were looked at with a match nearly as long, this one included, */
    size_t agreeing; /* and those of them that were followed by the same token */
} qw_lookup_match;
/* The longest match of the end of the timeline, of equally long ones the newest. False when nothing matches. A constant number of steps. */
bool qw_lookup_find(const qw_lookup *l, qw_lookup_match *out);

#endif
