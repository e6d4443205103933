/* The gated delta rule, level neon. Tested by tests/unit/test_kernels_delta.c. */
#include "kernels/levels.h"

void qw_delta_neon(qw_kernels *k) { (void)k; }
