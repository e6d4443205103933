/* Norms, activations, rotation, convolution, conversions, level neon. Tested by tests/unit/test_kernels.c. */
#include "kernels/levels.h"

void qw_vec_neon(qw_kernels *k) { (void)k; }
