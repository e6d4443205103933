/* Sixteen floats as one value (kernels/vec/v16.h) against plain loops, on every level that this processor has. */
#include "v16.h"

#include "kernels/cpu.h"

#include <stdio.h>

#define ROUNDS 400

static inline int test(qw_cpu_level level, int (*run)(qw_rng *r, int rounds))
{
    qw_rng rng;
    if (!qw_cpu_can(level))
        return 0;
    qw_rng_seed(&rng, 7);
    const int failed = run(&rng, ROUNDS);
    printf("%s: %d differ\n", qw_cpu_level_name(level), failed);
    return failed;
}

int main(void)
{
    int failed = 0;
#if defined(__x86_64__)
    failed += test(QW_CPU_AVX2, v16_test_avx2) + test(QW_CPU_AVX512, v16_test_avx512);
#elif defined(__aarch64__)
    failed += test(QW_CPU_NEON, v16_test_neon);
#endif
    return failed > 0;
}
