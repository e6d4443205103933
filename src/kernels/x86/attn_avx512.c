/* Attention, level avx512. Tested by tests/unit/test_kernels.c. */
#include "kernels/levels.h"

void qw_attn_avx512(qw_kernels *k) { (void)k; }
