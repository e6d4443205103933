/* Rotary positions: three axes (time, height, width) share the frequencies, interleaved (docs/model.md, section 3). Angles are computed in double: in
 * float the cosines at position 262,143 would be off by 2e-3. Tested by tests/golden/test_ops.c. */
#include "model/text.h"

#include <math.h>

/* The axis of pair m: 0 t, 1 h, 2 w. */
static uint8_t axis_of(const qw_text_config *c, int m)
{
    if (m % 3 == 1 && m < 3 * c->mrope_section[1])
        return 1;
    if (m % 3 == 2 && m < 3 * c->mrope_section[2])
        return 2;
    return 0;
}

qwren_status qw_rope_bind(qw_text_model *m, qw_arena *arena, qwren_error *err)
{
    const qw_text_config *c = m->config;
    const size_t half = (size_t)c->rotary_dim / 2;
    double *freq = qw_arena_alloc(arena, half * sizeof *freq);
    uint8_t *axis = qw_arena_alloc(arena, half);
    if (!freq || !axis)
        return qw_fail_memory(err, half * (sizeof *freq + 1), "rotary frequencies");
    for (size_t i = 0; i < half; i++) {
        freq[i] = pow(c->rope_theta, -2.0 * (double)i / c->rotary_dim);
        axis[i] = axis_of(c, (int)i);
    }
    m->rope_freq = freq;
    m->rope_axis = axis;
    return QWREN_OK;
}

void qw_rope_table(const qw_text_model *m, float *cos_table, float *sin_table, const int32_t (*pos)[3], size_t n)
{
    const size_t half = (size_t)m->config->rotary_dim / 2;
    for (size_t t = 0; t < n; t++)
        for (size_t i = 0; i < half; i++) {
            double angle = pos[t][m->rope_axis[i]] * m->rope_freq[i];
            cos_table[t * half + i] = (float)cos(angle);
            sin_table[t * half + i] = (float)sin(angle);
        }
}
