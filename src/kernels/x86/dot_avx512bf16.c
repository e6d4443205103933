/* Weights times activations in float, level avx512bf16. Tested by tests/unit/test_kernels.c. */
#include "kernels/levels.h"

void qw_dot_avx512bf16(qw_kernels *k) { (void)k; }
