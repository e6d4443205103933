/* Weights times activations in float, level avx512: what kernels/vec says over v16. Tested by tests/unit/test_kernels.c. */
#include "kernels/levels.h"

#define DOT_ROWS 4
#define DOT_TOKENS 6
#include "kernels/vec/dot_body.h"

void qw_dot_avx512(qw_kernels *k) { fill_dot(k); }
