/* Norms, activations, rotation, gates, conversions, level avx2: what kernels/vec says over v16. Tested by tests/unit/test_kernels.c. */
#include "kernels/levels.h"

#include "kernels/vec/norm_body.h"
#include "kernels/vec/values_body.h"

void qw_vec_avx2(qw_kernels *k)
{
    fill_values(k);
    fill_norms(k);
}
