/* Weights times activations in float, level neon: what kernels/vec says over v16. Tested by tests/unit/test_kernels.c. */
#include "kernels/levels.h"

#include "kernels/vec/v16.h"

/* 32 registers: 2 x 3 sums of sixteen lanes would fill 24 of them and leave too few for what they are made of. */
#define DOT_ROWS 2
#define DOT_TOKENS 3
#define PART_ROWS 4
#define PART_LANES 4
#define PANEL_COLUMNS 256
typedef float32x4_t part;
static inline part part_zero(void) { return vdupq_n_f32(0); }
static inline part part_load(const float *p) { return vld1q_f32(p); }
static inline void part_store(float *p, part x) { vst1q_f32(p, x); }
static inline part part_fma(part a, part b, part c) { return vfmaq_f32(c, a, b); }
#include "kernels/vec/dot_body.h"

void qw_dot_neon(qw_kernels *k) { fill_dot(k); }
