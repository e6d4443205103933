/* Rotary positions: three axes (time, height, width) share the frequencies, interleaved (docs/model.md, section 3). Angles are computed in
 * double: in float the cosines at position 262,143 would be off by 2e-3. With YaRN (arXiv:2309.00071) slow pairs turn slower still, so that
 * angles which the training never saw do not come up. Tested by tests/golden/test_ops.c and test_yarn.c. */
#include "model/text.h"

#include <math.h>

#define PI 3.14159265358979323846

/* The axis of pair m: 0 t, 1 h, 2 w. */
static uint8_t axis_of(const qw_text_config *c, int m)
{
    if (m % 3 == 1 && m < 3 * c->mrope_section[1])
        return 1;
    if (m % 3 == 2 && m < 3 * c->mrope_section[2])
        return 2;
    return 0;
}

/* ---- YaRN, as transformers' _compute_yarn_parameters has it */

/* The pair, as a fraction, that turns so many times within the positions of the training. */
static double pair_that_turns(const qw_text_config *c, double times)
{
    return c->rotary_dim * log(c->yarn.original / (times * 2 * PI)) / (2 * log(c->rope_theta));
}

/* Pairs up to the first keep their frequency, those from the second on are stretched by the whole factor. */
typedef struct ramp {
    double first, last;
} ramp;

static ramp ramp_of(const qw_text_config *c)
{
    ramp r = { pair_that_turns(c, c->yarn.beta_fast), pair_that_turns(c, c->yarn.beta_slow) };
    if (!c->yarn.fractions)
        r = (ramp){ floor(r.first), ceil(r.last) };
    r = (ramp){ fmax(r.first, 0), fmin(r.last, c->rotary_dim - 1) };
    r.last += r.first == r.last ? 0.001 : 0; /* as the reference: not a division by 0 */
    return r;
}

static double stretched(double freq, const qw_text_config *c, const ramp *r, size_t pair)
{
    const double keep = 1 - fmin(fmax(((double)pair - r->first) / (r->last - r->first), 0), 1);
    return freq / c->yarn.factor * (1 - keep) + freq * keep;
}

static double mscale(double factor, double by) { return factor <= 1 ? 1 : 0.1 * by * log(factor) + 1; }

/* Of cos and sin, and so of the scores by its square: with more keys a softmax is to be as sharp as with those of the training. */
static double attention_factor(const qw_yarn *y)
{
    if (y->factor == 0 || y->attention > 0)
        return y->factor == 0 ? 1 : y->attention;
    if (y->mscale > 0 && y->mscale_all_dim > 0)
        return mscale(y->factor, y->mscale) / mscale(y->factor, y->mscale_all_dim);
    return mscale(y->factor, 1);
}

/* ---- frequencies and tables */

qwren_status qw_rope_bind(qw_text_model *m, qw_arena *arena, qwren_error *err)
{
    const qw_text_config *c = m->config;
    const size_t half = (size_t)c->rotary_dim / 2;
    double *freq = qw_arena_alloc(arena, half * sizeof *freq);
    uint8_t *axis = qw_arena_alloc(arena, half);
    if (!freq || !axis)
        return qw_fail_memory(err, half * (sizeof *freq + 1), "rotary frequencies");
    const ramp r = c->yarn.factor > 0 ? ramp_of(c) : (ramp){ 0 };
    for (size_t i = 0; i < half; i++) {
        freq[i] = pow(c->rope_theta, -2.0 * (double)i / c->rotary_dim);
        freq[i] = c->yarn.factor > 0 ? stretched(freq[i], c, &r, i) : freq[i];
        axis[i] = axis_of(c, (int)i);
    }
    m->rope_freq = freq;
    m->rope_axis = axis;
    m->rope_scale = attention_factor(&c->yarn);
    return QWREN_OK;
}

void qw_rope_table(const qw_text_model *m, float *cos_table, float *sin_table, const int32_t (*pos)[3], size_t n)
{
    const size_t half = (size_t)m->config->rotary_dim / 2;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < half; i++) {
            double angle = pos[t][m->rope_axis[i]] * m->rope_freq[i];
            cos_table[t * half + i] = (float)(cos(angle) * m->rope_scale);
            sin_table[t * half + i] = (float)(sin(angle) * m->rope_scale);
        }
}

void qw_rope_turn(const qw_text_model *m, float *cos_row, float *sin_row, int32_t by)
{
    for (size_t i = 0; i < (size_t)m->config->rotary_dim / 2; i++) {
        cos_row[i] = (float)cos(by * m->rope_freq[i]);
        sin_row[i] = (float)sin(by * m->rope_freq[i]);
    }
}
