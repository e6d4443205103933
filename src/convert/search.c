/* The best grid of a group: clipped ranges as first guesses, least squares for scale and bias given the codes, then the neighbours in the
 * 16-bit type, since rounding a scale by half a step of bf16 moves the far end of 256 codes by half a code. Tested by
 * tests/unit/test_encode.c. */
#include "convert/encode_parts.h"

#include <string.h>

#define LANES 8

typedef struct group {
    const float *w, *h; /* [n] */
    size_t n;
    float top; /* the highest code */
    float sum_h;
    qw_type type; /* of scale and bias */
} group;

/* Sums over a group, with q the nearest codes on a grid and e = w - value what they miss. */
typedef struct sums {
    float ee, e, qe, q, qq; /* each times h */
} sums;

typedef struct best {
    qw_grid grid;
    sums at;
} best;

/* LANES partial sums side by side. Spelled as a vector since GCC makes a slow shuffle of five arrays of sums; 3 times the speed. */
typedef float vec __attribute__((vector_size(LANES * sizeof(float))));

static float total(const vec *v)
{
    float s[LANES];
    memcpy(s, v, sizeof s);
    return ((s[0] + s[4]) + (s[2] + s[6])) + ((s[1] + s[5]) + (s[3] + s[7]));
}

static sums measure(const group *g, qw_grid grid)
{
    const float inverse = qw_inverse_scale(grid.scale), scale = grid.scale, bias = grid.bias, top = g->top;
    const float *restrict w = g->w;
    float codes[QW_GROUP_MAX], misses[QW_GROUP_MAX];
    for (size_t i = 0; i < g->n; i++) {
        codes[i] = qw_nearest_code(w[i], inverse, bias, top);
        misses[i] = w[i] - (scale * codes[i] + bias);
    }
    vec ee = { 0 }, e = { 0 }, qe = { 0 }, q = { 0 }, qq = { 0 }, h, code, miss;
    for (size_t i = 0; i < g->n; i += LANES) {
        memcpy(&h, g->h + i, sizeof h);
        memcpy(&code, codes + i, sizeof code);
        memcpy(&miss, misses + i, sizeof miss);
        const vec weighted = h * miss;
        ee += weighted * miss;
        e += weighted;
        qe += weighted * code;
        q += h * code;
        qq += h * code * code;
    }
    return (sums){ total(&ee), total(&e), total(&qe), total(&q), total(&qq) };
}

static qw_grid rounded(const group *g, float scale, float bias)
{
    return (qw_grid){ qw_rounded_to(g->type, scale), qw_rounded_to(g->type, bias) };
}

static sums consider(best *b, const group *g, qw_grid grid)
{
    const sums s = measure(g, grid);
    if (s.ee < b->at.ee)
        *b = (best){ grid, s };
    return s;
}

/* The bias that is best for the codes behind `s` once the scale changes by `step`. */
static float bias_for(const group *g, qw_grid grid, const sums *s, float step) { return grid.bias + (s->e - step * s->q) / g->sum_h; }

/* Scale and bias that are best for the codes behind `s`, rounded. Where all codes are (nearly) one, only the bias is. */
static qw_grid refit(const group *g, qw_grid grid, const sums *s)
{
    const float det = g->sum_h * s->qq - s->q * s->q;
    float step = det > 1e-5f * g->sum_h * s->qq ? (g->sum_h * s->qe - s->q * s->e) / det : 0;
    step = qw_rounded_to(g->type, grid.scale + step) - grid.scale; /* the bias makes up for the rounding of the scale */
    return rounded(g, grid.scale + step, bias_for(g, grid, s, step));
}

/* First guesses: both ends of the range drawn in, by these shares of half the range. */
static const struct guesses {
    float first, step;
    int n;
    bool ends_apart; /* each end by itself */
} guesses[9] = {
    [2] = { 1, .1f, 6, true },   [3] = { 1, .08f, 5, true },  [4] = { 1, .06f, 4, true },
    [5] = { 1, .04f, 4, false }, [6] = { 1, .03f, 4, false }, [8] = { 1, .008f, 3, false },
};

static void guess_from(best *b, const group *g, float low, float high)
{
    qw_grid grid = rounded(g, (high - low) / g->top, low);
    sums s = consider(b, g, grid);
    grid = refit(g, grid, &s);
    consider(b, g, grid);
}

static void guess(best *b, const group *g, int bits)
{
    const struct guesses *a = &guesses[bits];
    float low = g->w[0], high = g->w[0];
    for (size_t i = 1; i < g->n; i++) {
        low = g->w[i] < low ? g->w[i] : low;
        high = g->w[i] > high ? g->w[i] : high;
    }
    const float middle = low / 2 + high / 2, half = high / 2 - low / 2;
    for (int i = 0; i < a->n; i++)
        for (int k = a->ends_apart ? 0 : i; k < (a->ends_apart ? a->n : i + 1); k++)
            guess_from(b, g, middle - half * (a->first - (float)i * a->step), middle + half * (a->first - (float)k * a->step));
}

static void settle(best *b, const group *g)
{
    for (int i = 0; i < 3; i++) {
        const float before = b->at.ee;
        consider(b, g, refit(g, b->grid, &b->at));
        if (!(b->at.ee < before))
            return;
    }
}

/* The next values of the type on both sides, alone for the bias, with the best bias for the scale. */
static void try_neighbours(best *b, const group *g)
{
    const float ulp = g->type == QW_TYPE_BF16 ? 0x1p-7f : g->type == QW_TYPE_F16 ? 0x1p-10f : 0;
    if (ulp == 0)
        return;
    for (int side = -1; side <= 1; side += 2) {
        const float scale = qw_rounded_to(g->type, b->grid.scale + (float)side * .75f * ulp * fabsf(b->grid.scale));
        consider(b, g, rounded(g, scale, bias_for(g, b->grid, &b->at, scale - b->grid.scale)));
    }
    for (int side = -1; side <= 1; side += 2)
        consider(b, g, rounded(g, b->grid.scale, b->grid.bias + (float)side * .75f * ulp * fabsf(b->grid.bias)));
}

qw_grid qw_search_grid(const float *w, const float *h, size_t n, int bits, qw_type type)
{
    group g = { .w = w, .h = h, .n = n, .top = (float)((1 << bits) - 1), .type = type };
    for (size_t i = 0; i < n; i++)
        g.sum_h += h[i];
    const qw_grid plain = qw_plain_grid(w, n, bits);
    best b = { .grid = rounded(&g, plain.scale, plain.bias) };
    b.at = measure(&g, b.grid);
    if (!isfinite(b.at.ee)) /* too large for the type: anything is better */
        b.at.ee = INFINITY;
    guess(&b, &g, bits);
    settle(&b, &g);
    try_neighbours(&b, &g);
    return b.grid;
}
