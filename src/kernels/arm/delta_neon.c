/* The gated delta rule and its convolution, level neon. Tested by tests/unit/test_kernels_delta.c. */
#include "kernels/levels.h"

#include "kernels/vec/conv_body.h"

#define DELTA_WIDE 2 /* vectors of columns that one token alone takes at once */
#include "kernels/vec/delta_body.h"

void qw_delta_neon(qw_kernels *k)
{
    k->delta = delta_v16;
    k->conv_silu = conv_silu_v16;
}
