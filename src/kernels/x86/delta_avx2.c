/* The gated delta rule, level avx2. Tested by tests/unit/test_kernels_delta.c. */
#include "kernels/levels.h"

#define DELTA_WIDE 2 /* vectors of columns that one token alone takes at once */
#include "kernels/vec/delta_body.h"

void qw_delta_avx2(qw_kernels *k) { k->delta = delta_v16; }
