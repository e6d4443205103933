/* Weights times activations in float, level avx2: what kernels/vec says over v16. Tested by tests/unit/test_kernels.c. */
#include "kernels/levels.h"

#include "kernels/vec/v16.h"

/* 16 registers hold 2 x 3 sums of sixteen lanes, but 4 x 3 of eight. */
#define DOT_ROWS 2
#define DOT_TOKENS 3
#define PART_ROWS 4
#define PART_LANES 8
#define PANEL_COLUMNS 256
typedef __m256 part;
static inline part part_zero(void) { return _mm256_setzero_ps(); }
static inline part part_load(const float *p) { return _mm256_loadu_ps(p); }
static inline void part_store(float *p, part x) { _mm256_storeu_ps(p, x); }
static inline part part_fma(part a, part b, part c) { return _mm256_fmadd_ps(a, b, c); }
#include "kernels/vec/dot_body.h"

void qw_dot_avx2(qw_kernels *k) { fill_dot(k); }
