/* XXH64: a fast 64-bit checksum of bytes that come in pieces. It finds damage and tells inputs apart; it keeps no secret. */
#ifndef QW_BASE_HASH_H
#define QW_BASE_HASH_H

#include <stddef.h>
#include <stdint.h>

typedef struct qw_hash {
    uint64_t lanes[4];
    uint8_t held[32]; /* bytes that do not fill a stripe yet */
    size_t n_held;
    uint64_t total;
} qw_hash;

void qw_hash_init(qw_hash *h);
void qw_hash_add(qw_hash *h, const void *p, size_t n);
uint64_t qw_hash_value(const qw_hash *h); /* of the bytes so far; more may follow */
uint64_t qw_hash_bytes(const void *p, size_t n);

#endif
