/* PCG32 (rng.h). Tested by tests/unit/test_base_rng.c against the published sequence. */
#include "base/rng.h"

#include "base/clock.h"

#include <string.h>
#include <sys/random.h>

#define STREAM 54u /* any odd increment gives a full period; this is the stream of the published demonstration */

void qw_rng_seed(qw_rng *r, uint64_t seed)
{
    r->state = 0;
    r->inc = STREAM << 1 | 1;
    qw_rng_u32(r);
    r->state += seed;
    qw_rng_u32(r);
}

uint32_t qw_rng_u32(qw_rng *r)
{
    uint64_t old = r->state;
    r->state = old * 6364136223846793005u + r->inc;
    uint32_t x = (uint32_t)((old >> 18 ^ old) >> 27), turn = (uint32_t)(old >> 59);
    return x >> turn | x << (-turn & 31);
}

double qw_rng_double(qw_rng *r)
{
    uint64_t high = qw_rng_u32(r) >> 5, low = qw_rng_u32(r) >> 6; /* 27 + 26 bits */
    return (double)(high << 26 | low) * 0x1p-53;
}

uint64_t qw_random_seed(void)
{
    uint64_t seed;
    if (getentropy(&seed, sizeof seed) == 0)
        return seed;
    double now = qw_now_s();
    memcpy(&seed, &now, sizeof seed);
    return seed;
}
