/* So many bits, and units that each lose less the more of them they get: who gets how many. Pure arithmetic. */
#ifndef QW_CONVERT_BUDGET_H
#define QW_CONVERT_BUDGET_H

#include <stddef.h>

#define QW_MAX_OPTIONS 12

typedef struct qw_option {
    double bits, loss;
} qw_option;

/* Something that is decided as one: a tensor, or a class of them. */
typedef struct qw_unit {
    qw_option options[QW_MAX_OPTIONS]; /* in any order */
    size_t n;
    size_t chosen; /* the answer */
} qw_unit;

/* Chooses an option for each unit, with as little loss as it finds and at most `bits` together. Returns the bits that are spent: more than
 * `bits` only when the cheapest of all are too many. Ties go to the earlier unit. */
double qw_budget_spend(qw_unit *units, size_t n, double bits);

#endif
