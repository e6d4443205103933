/* The gated delta rule, level avx2. Tested by tests/unit/test_kernels_delta.c. */
#include "kernels/levels.h"

void qw_delta_avx2(qw_kernels *k) { (void)k; }
