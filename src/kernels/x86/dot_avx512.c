/* Weights times activations in float, level avx512: what kernels/vec says over v16. Tested by tests/unit/test_kernels.c. */
#include "kernels/levels.h"

#include "kernels/vec/v16.h"

#define DOT_ROWS 4
#define DOT_TOKENS 6
#define PART_ROWS DOT_ROWS
#define PART_LANES 16
#define PANEL_COLUMNS 1024
typedef v16 part;
#define part_zero v16_zero
#define part_load v16_load
#define part_store v16_store
#define part_fma v16_fma
#include "kernels/vec/dot_body.h"

void qw_dot_avx512(qw_kernels *k) { fill_dot(k); }
