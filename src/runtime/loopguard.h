/* Notices that the output goes round in circles, a small model's first failure.
 *
 * The rule: for some period p <= 170 the last max(256, 3 p) tokens repeat with period p, exactly. So it looks at the last 512 tokens, needs three
 * rounds of a long loop and 256 tokens of a short one. A table of equal rows, a list that counts, or a number of 255 zeros passes;
 * a list in which one token changes from row to row is never a loop, however long. */
#ifndef QW_RUNTIME_LOOPGUARD_H
#define QW_RUNTIME_LOOPGUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define QW_LOOP_MAX_PERIOD 170
#define QW_LOOP_MIN_TOKENS 256
#define QW_LOOP_MIN_ROUNDS 3
#define QW_LOOP_RING 256 /* tokens that are kept; a power of two above the longest period */

typedef struct qw_loopguard {
    int32_t ring[QW_LOOP_RING]; /* token i stands at i % QW_LOOP_RING */
    size_t n;                   /* tokens since init */
    /* How many of the newest tokens in a row equal the token p before them; saturates. */
    uint16_t run[QW_LOOP_MAX_PERIOD + 1];
} qw_loopguard;

/* Also at the border of thought and answer: each is watched by itself. */
void qw_loopguard_init(qw_loopguard *g);
/* The next token. Returns the period of the loop that it completes, or 0. A constant number of steps, no allocation. */
size_t qw_loopguard_push(qw_loopguard *g, int32_t id);

#endif
