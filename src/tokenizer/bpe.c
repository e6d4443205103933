/* Byte-pair encoding (bpe.h), the last step from text to ids: always the pair with the lowest rank, the leftmost of equal ones. Tested by
 * tests/golden/test_tokenizer.c (ids) and tests/unit/test_tokenizer.c (both ways agree, number of steps). */
#include "tokenizer/bpe.h"

#include "base/alloc.h"

#include <string.h>

#define NONE (-1)

/* ---- the merge list */

int qw_merges_bits(size_t n_merges)
{
    int bits = 1;
    while ((size_t)1 << bits < n_merges && bits < QW_MERGES_MAX_BITS)
        bits++;
    return bits + 1;
}

/* Where the search for a pair begins. */
static size_t first_slot(int bits, int32_t left, int32_t right)
{
    uint64_t key = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    return (size_t)(key * 0x9E3779B97F4A7C15u >> (64 - bits)); /* 2^64 / golden ratio: neighbours are spread */
}

/* The pair's slot, or the free one where it would stand. */
static size_t slot_of(const qw_merge *slots, int bits, int32_t left, int32_t right)
{
    size_t mask = ((size_t)1 << bits) - 1, i = first_slot(bits, left, right);
    while (slots[i].left >= 0 && (slots[i].left != left || slots[i].right != right))
        i = (i + 1) & mask;
    return i;
}

/* The table is larger than the caches, and its places are met at random: each is asked for a while before it is needed. */
size_t qw_merges_fill(qw_merge *slots, int bits, const qw_merge *list, size_t n)
{
    enum { AHEAD = 16 };
    size_t n_pairs = 0;
    for (size_t i = 0; i < (size_t)1 << bits; i++)
        slots[i] = (qw_merge){ .left = NONE };
    for (size_t i = 0; i < n; i++) {
        if (i + AHEAD < n)
            __builtin_prefetch(&slots[first_slot(bits, list[i + AHEAD].left, list[i + AHEAD].right)], 1);
        qw_merge *slot = &slots[slot_of(slots, bits, list[i].left, list[i].right)];
        n_pairs += slot->left < 0;
        *slot = list[i];
    }
    return n_pairs;
}

const qw_merge *qw_merges_find(const qw_merges *m, int32_t left, int32_t right)
{
    const qw_merge *merge = &m->slots[slot_of(m->slots, m->bits, left, right)];
    return merge->left < 0 ? NULL : merge;
}

/* ---- short pieces: all pairs' merges in a row */

static qwren_status append_short(const qw_merges *m, int32_t *symbols, size_t n, qw_ids *ids, qwren_error *err)
{
    const qw_merge *pairs[QW_BPE_SHORT]; /* pairs[i]: of symbols i and i+1 */
    for (size_t i = 0; i + 1 < n; i++)
        pairs[i] = qw_merges_find(m, symbols[i], symbols[i + 1]);
    for (;;) {
        size_t best = n;
        for (size_t i = 0; i + 1 < n; i++)
            if (pairs[i] && (best == n || pairs[i]->rank < pairs[best]->rank))
                best = i;
        if (best == n)
            break;
        symbols[best] = pairs[best]->id;
        n--;
        for (size_t i = best + 1; i < n; i++)
            symbols[i] = symbols[i + 1];
        for (size_t i = best; i + 1 < n; i++)
            pairs[i] = pairs[i + 1];
        if (best > 0)
            pairs[best - 1] = qw_merges_find(m, symbols[best - 1], symbols[best]);
        if (best + 1 < n)
            pairs[best] = qw_merges_find(m, symbols[best], symbols[best + 1]);
    }
    for (size_t i = 0; i < n; i++)
        QW_TRY(qw_ids_append(ids, symbols[i], err));
    return QWREN_OK;
}

/* ---- long pieces: a linked list of symbols, and a heap of (rank, position) whose stale entries are dropped when they come up */

typedef struct qw_bpe_symbol {
    int32_t id; /* NONE: merged into the one before */
    int32_t previous, next;
} symbol;

typedef struct heap {
    uint64_t *items; /* rank << 32 | position of the left symbol */
    size_t n;
} heap;

static void heap_push(heap *h, uint64_t item)
{
    size_t i = h->n++;
    for (; i > 0 && h->items[(i - 1) / 2] > item; i = (i - 1) / 2)
        h->items[i] = h->items[(i - 1) / 2];
    h->items[i] = item;
}

static uint64_t heap_pop(heap *h)
{
    uint64_t top = h->items[0], item = h->items[--h->n];
    size_t i = 0, child;
    while ((child = 2 * i + 1) < h->n) {
        if (child + 1 < h->n && h->items[child + 1] < h->items[child])
            child++;
        if (h->items[child] >= item)
            break;
        h->items[i] = h->items[child];
        i = child;
    }
    h->items[i] = item;
    return top;
}

/* The merge of the symbol at i with its neighbour, or NULL. */
static const qw_merge *merge_at(const qw_merges *m, const symbol *s, int32_t i)
{
    if (i == NONE || s[i].id == NONE || s[i].next == NONE)
        return NULL;
    return qw_merges_find(m, s[i].id, s[s[i].next].id);
}

static void push_merge(heap *h, const qw_merges *m, const symbol *s, int32_t i)
{
    const qw_merge *merge = merge_at(m, s, i);
    if (merge)
        heap_push(h, (uint64_t)(uint32_t)merge->rank << 32 | (uint32_t)i);
}

/* The right one of the pair at i goes into the left one. */
static void join(symbol *s, int32_t i, int32_t id)
{
    int32_t gone = s[i].next;
    s[i].id = id;
    s[i].next = s[gone].next;
    s[gone].id = NONE;
    if (s[i].next != NONE)
        s[s[i].next].previous = i;
}

static qwren_status reserve(qw_bpe_scratch *s, size_t n, qwren_error *err)
{
    if (n <= s->cap)
        return QWREN_OK;
    size_t steps = s->steps;
    qw_bpe_deinit(s);
    s->steps = steps;
    s->symbols = qw_alloc_array(n, sizeof *s->symbols);
    s->heap = qw_alloc_array(n, 2 * sizeof *s->heap); /* n-1 pairs at first, and each of at most n-1 merges makes two and uses one up */
    if (!s->symbols || !s->heap)
        return qw_fail_memory(err, n * (sizeof *s->symbols + 2 * sizeof *s->heap), "merging a long word");
    s->cap = n;
    return QWREN_OK;
}

static qwren_status append_long(const qw_merges *m, const int32_t byte_ids[256], const char *piece, size_t len, qw_bpe_scratch *s,
                                qw_ids *ids, qwren_error *err)
{
    QW_TRY(reserve(s, len, err));
    symbol *symbols = s->symbols;
    heap h = { s->heap, 0 };
    for (size_t i = 0; i < len; i++)
        symbols[i] = (symbol){ byte_ids[(unsigned char)piece[i]], (int32_t)i - 1, i + 1 < len ? (int32_t)i + 1 : NONE };
    for (size_t i = 0; i + 1 < len; i++)
        push_merge(&h, m, symbols, (int32_t)i);
    while (h.n) {
        uint64_t top = heap_pop(&h);
        int32_t i = (int32_t)(uint32_t)top;
        const qw_merge *merge = merge_at(m, symbols, i);
        s->steps++;
        if (!merge || (uint32_t)merge->rank != top >> 32)
            continue; /* one of the two has merged with somebody else */
        join(symbols, i, merge->id);
        push_merge(&h, m, symbols, symbols[i].previous);
        push_merge(&h, m, symbols, i);
    }
    for (int32_t i = 0; i != NONE; i = symbols[i].next)
        QW_TRY(qw_ids_append(ids, symbols[i].id, err));
    return QWREN_OK;
}

void qw_bpe_deinit(qw_bpe_scratch *s)
{
    qw_free(s->symbols);
    qw_free(s->heap);
    *s = (qw_bpe_scratch){ 0 };
}

qwren_status qw_bpe_append(const qw_merges *m, const int32_t byte_ids[256], const char *piece, size_t len, qw_bpe_scratch *s, qw_ids *ids,
                           qwren_error *err)
{
    if (len > QW_BPE_MAX)
        return qw_fail(err, QWREN_E_LIMIT, "text: a word of %zu bytes is too long; cut it into parts of less than %d", len, INT32_MAX);
    if (len > QW_BPE_SHORT)
        return append_long(m, byte_ids, piece, len, s, ids, err);
    int32_t symbols[QW_BPE_SHORT];
    s->steps += len;
    for (size_t i = 0; i < len; i++)
        symbols[i] = byte_ids[(unsigned char)piece[i]];
    return append_short(m, symbols, len, ids, err);
}
