/* Weights times activations in eight bits, level avxvnni. Tested by tests/unit/test_kernels.c. */
#include "kernels/levels.h"

void qw_q8_avxvnni(qw_kernels *k) { (void)k; }
