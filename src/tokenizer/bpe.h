/* Byte-pair encoding of one piece: its bytes, merged pair by pair in the order of the merge list. Private to the room. */
#ifndef QW_TOKENIZER_BPE_H
#define QW_TOKENIZER_BPE_H

#include "tokenizer/tokenizer.h"

/* One line of the merge list. */
typedef struct qw_merge {
    int32_t left, right; /* left < 0: a free slot */
    int32_t rank;        /* its line; the lowest merges first */
    int32_t id;          /* what the two become */
} qw_merge;

/* (left, right) -> merge: open addressing, at most half full. */
typedef struct qw_merges {
    const qw_merge *slots;
    int bits; /* there are 2^bits slots */
} qw_merges;
/* For a table of n merges. */
int qw_merges_bits(size_t n_merges);
#define QW_MERGES_MAX_BITS 40
/* Fills slots [2^bits], bits being those for n, with the list; a pair that comes again takes the later rank. Returns the number of
 * pairs. */
size_t qw_merges_fill(qw_merge *slots, int bits, const qw_merge *list, size_t n);
const qw_merge *qw_merges_find(const qw_merges *m, int32_t left, int32_t right); /* NULL: the two do not merge */

/* Scratch memory for long pieces, kept between calls. Begin with zeros. */
typedef struct qw_bpe_scratch {
    struct qw_bpe_symbol *symbols;
    uint64_t *heap;
    size_t cap;   /* symbols; the heap holds twice as many */
    size_t steps; /* what was looked at so far, for the test that this is n log n */
} qw_bpe_scratch;
void qw_bpe_deinit(qw_bpe_scratch *s);

#define QW_BPE_SHORT 32                /* pieces up to here are merged by looking at all pairs each time, longer ones with a heap */
#define QW_BPE_MAX ((size_t)INT32_MAX) /* longest piece in bytes */

/* Appends the ids of a piece; byte_ids are those of the 256 bytes. */
qwren_status qw_bpe_append(const qw_merges *m, const int32_t byte_ids[256], const char *piece, size_t len, qw_bpe_scratch *s, qw_ids *ids,
                           qwren_error *err);

#endif
