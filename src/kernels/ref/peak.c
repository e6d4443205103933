/* The machine's limits in plain C: what multiply-adds and reading are worth without an instruction of their own. Every level counts what its own instruction does.
 * Tested by tests/unit/test_kernels_peak.c. */
#include "kernels/ref/ref.h"

#include <string.h>

#define CHAINS 32

/* Independent sums, so that none waits for another. */
uint64_t qw_dot_peak_ref(uint64_t rounds, float *sink)
{
    float sums[CHAINS], a = 0.999f, b = 1e-3f;
    for (int i = 0; i < CHAINS; i++)
        sums[i] = (float)i;
    for (uint64_t r = 0; r < rounds; r++)
        for (int i = 0; i < CHAINS; i++)
            sums[i] = sums[i] * a + b;
    for (int i = 0; i < CHAINS; i++)
        *sink += sums[i];
    return rounds * CHAINS * 2;
}

uint64_t qw_read_ref(const void *p, size_t n)
{
    uint64_t sums[4] = { 0 };
    for (size_t i = 0; i + sizeof sums <= n; i += sizeof sums)
        for (size_t k = 0; k < 4; k++) {
            uint64_t word;
            memcpy(&word, (const char *)p + i + k * sizeof word, sizeof word);
            sums[k] += word;
        }
    return sums[0] + sums[1] + sums[2] + sums[3];
}
