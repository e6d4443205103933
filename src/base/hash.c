/* XXH64 (hash.h), after its published description: four lanes take 8 bytes each of a stripe of 32, what is left is mixed in at the end. The
 * seed is 0. Tested by tests/unit/test_base_hash.c. */
#include "base/hash.h"

#include <string.h>

#define STRIPE sizeof(((qw_hash *)0)->held)

static const uint64_t P1 = 0x9E3779B185EBCA87u, P2 = 0xC2B2AE3D27D4EB4Fu, P3 = 0x165667B19E3779F9u, P4 = 0x85EBCA77C2B2AE63u,
                      P5 = 0x27D4EB2F165667C5u;

static uint64_t rotate(uint64_t x, int n) { return x << n | x >> (64 - n); }

/* n bytes, lowest first, on any machine. */
static uint64_t little(const uint8_t *p, int n)
{
    uint64_t x = 0;
    for (int i = n - 1; i >= 0; i--)
        x = x << 8 | p[i];
    return x;
}

static uint64_t lane_round(uint64_t lane, uint64_t input) { return rotate(lane + input * P2, 31) * P1; }

static void take_stripe(uint64_t lanes[4], const uint8_t *p)
{
    for (int i = 0; i < 4; i++)
        lanes[i] = lane_round(lanes[i], little(p + 8 * i, 8));
}

void qw_hash_init(qw_hash *h) { *h = (qw_hash){ .lanes = { P1 + P2, P2, 0, 0 - P1 } }; }

void qw_hash_add(qw_hash *h, const void *bytes, size_t n)
{
    const uint8_t *p = bytes;
    h->total += n;
    if (h->n_held) {
        size_t more = STRIPE - h->n_held < n ? STRIPE - h->n_held : n;
        memcpy(h->held + h->n_held, p, more);
        h->n_held += more;
        p += more;
        n -= more;
        if (h->n_held < STRIPE)
            return;
        take_stripe(h->lanes, h->held);
        h->n_held = 0;
    }
    for (; n >= STRIPE; p += STRIPE, n -= STRIPE)
        take_stripe(h->lanes, p);
    if (n)
        memcpy(h->held, p, n);
    h->n_held = n;
}

static uint64_t join_lanes(const uint64_t lanes[4])
{
    uint64_t x = rotate(lanes[0], 1) + rotate(lanes[1], 7) + rotate(lanes[2], 12) + rotate(lanes[3], 18);
    for (int i = 0; i < 4; i++)
        x = (x ^ lane_round(0, lanes[i])) * P1 + P4;
    return x;
}

/* What does not fill a stripe: words of 8 bytes, one of 4, single bytes. */
static uint64_t take_rest(uint64_t x, const uint8_t *p, size_t n)
{
    for (; n >= 8; p += 8, n -= 8)
        x = rotate(x ^ lane_round(0, little(p, 8)), 27) * P1 + P4;
    for (; n >= 4; p += 4, n -= 4)
        x = rotate(x ^ little(p, 4) * P1, 23) * P2 + P3;
    for (; n; p++, n--)
        x = rotate(x ^ *p * P5, 11) * P1;
    return x;
}

uint64_t qw_hash_value(const qw_hash *h)
{
    uint64_t x = h->total >= STRIPE ? join_lanes(h->lanes) : P5;
    x = take_rest(x + h->total, h->held, h->n_held);
    x = (x ^ x >> 33) * P2;
    x = (x ^ x >> 29) * P3;
    return x ^ x >> 32;
}

uint64_t qw_hash_bytes(const void *p, size_t n)
{
    qw_hash h;
    qw_hash_init(&h);
    qw_hash_add(&h, p, n);
    return qw_hash_value(&h);
}
