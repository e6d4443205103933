/* Greedy along the lower hulls: the next bits always go where they save most loss each (budget.h). Between the hulls' corners that is the
 * best there is; what is left at the end goes wherever it still fits. Tested by tests/unit/test_recipe.c. */
#include "convert/budget.h"

static size_t cheapest(const qw_unit *u)
{
    size_t best = 0;
    for (size_t i = 1; i < u->n; i++)
        if (u->options[i].bits < u->options[best].bits ||
            (u->options[i].bits == u->options[best].bits && u->options[i].loss < u->options[best].loss))
            best = i;
    return best;
}

/* Loss that option i saves for each bit more than the chosen one's; not positive when it saves none. */
static double gain(const qw_unit *u, size_t i)
{
    const qw_option *now = &u->options[u->chosen], *then = &u->options[i];
    return then->bits > now->bits ? (now->loss - then->loss) / (then->bits - now->bits) : 0;
}

/* The step that saves most for each bit, among those that fit into `left`. */
static double best_step(const qw_unit *u, double left, size_t *option)
{
    double best = 0;
    for (size_t i = 0; i < u->n; i++) {
        const double g = gain(u, i);
        if (g > best && u->options[i].bits - u->options[u->chosen].bits <= left) {
            best = g;
            *option = i;
        }
    }
    return best;
}

double qw_budget_spend(qw_unit *units, size_t n, double bits)
{
    double spent = 0;
    for (size_t k = 0; k < n; k++) {
        units[k].chosen = cheapest(&units[k]);
        spent += units[k].options[units[k].chosen].bits;
    }
    for (;;) {
        size_t unit = n, option = 0;
        double best = 0;
        for (size_t k = 0; k < n; k++) {
            size_t o = 0;
            const double g = best_step(&units[k], bits - spent, &o);
            if (g > best) {
                best = g;
                unit = k;
                option = o;
            }
        }
        if (unit == n)
            return spent;
        spent += units[unit].options[option].bits - units[unit].options[units[unit].chosen].bits;
        units[unit].chosen = option;
    }
}
