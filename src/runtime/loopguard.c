/* Notices a loop in the output (loopguard.h). The generation loop shows it every id that was picked, before the text side sees it. Tested by
 * tests/unit/test_runtime_loopguard.c against the rule itself. */
#include "runtime/loopguard.h"

#include <string.h>

_Static_assert((QW_LOOP_RING & (QW_LOOP_RING - 1)) == 0 && QW_LOOP_RING > QW_LOOP_MAX_PERIOD, "the ring holds the longest period");

void qw_loopguard_init(qw_loopguard *g) { memset(g, 0, sizeof *g); }

/* N tokens that repeat with period p are p tokens and N - p that equal the one p before them. */
static size_t needed(size_t period)
{
    size_t tokens = QW_LOOP_MIN_ROUNDS * period;
    return (tokens < QW_LOOP_MIN_TOKENS ? QW_LOOP_MIN_TOKENS : tokens) - period;
}

size_t qw_loopguard_push(qw_loopguard *g, int32_t id)
{
    size_t found = 0;
    for (size_t p = QW_LOOP_MAX_PERIOD; p > 0; p--) { /* the shortest is said last */
        bool same = g->n >= p && g->ring[(g->n - p) % QW_LOOP_RING] == id;
        if (!same)
            g->run[p] = 0;
        else if (g->run[p] < UINT16_MAX)
            g->run[p]++;
        if (g->run[p] >= needed(p))
            found = p;
    }
    g->ring[g->n++ % QW_LOOP_RING] = id;
    return found;
}
