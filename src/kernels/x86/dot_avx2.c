/* Weights times activations in float, level avx2: what kernels/vec says over v16. Tested by tests/unit/test_kernels.c. */
#include "kernels/levels.h"

#define DOT_ROWS 2
#define DOT_TOKENS 3
#include "kernels/vec/dot_body.h"

void qw_dot_avx2(qw_kernels *k) { fill_dot(k); }
