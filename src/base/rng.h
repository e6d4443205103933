/* The sampler's generator: PCG32 (O'Neill 2014, XSH-RR 64/32). Same seed, same numbers on every machine. */
#ifndef QW_BASE_RNG_H
#define QW_BASE_RNG_H

#include <stdint.h>

typedef struct qw_rng {
    uint64_t state, inc;
} qw_rng;

void qw_rng_seed(qw_rng *r, uint64_t seed);
uint32_t qw_rng_u32(qw_rng *r);
double qw_rng_double(qw_rng *r); /* [0, 1), 53 bits */
uint64_t qw_random_seed(void);   /* from the system, for callers that gave no seed */

#endif
