/* The test of v16 on each level: the number of operations that were not equal to a loop. */
#ifndef QW_TESTS_KERNELS_V16_H
#define QW_TESTS_KERNELS_V16_H

#include "base/rng.h"

int v16_test_avx2(qw_rng *r, int rounds);
int v16_test_avx512(qw_rng *r, int rounds);
int v16_test_neon(qw_rng *r, int rounds);

#endif
