/* Prompt lookup (draft_lookup.h). Places where the same three tokens end are a chain, newest first, begun by a table of hashes; those of two and of one as well. Every chain is
 * a stack: taking the last token off undoes exactly what adding it did. Stands beside draft_mtp.c, below speculate.c. Tested by tests/unit/test_draft_lookup.c against a
 * search of everything. */
#include "runtime/draft_lookup.h"

#include "base/alloc.h"

#define ORDERS 3      /* chains of 1, 2 and 3 tokens */
#define MOST_PLACES 8 /* of a chain that are looked at */
#define NONE UINT32_MAX
#define LEAST_BITS 8
#define MOST_BITS 20

struct qw_lookup {
    size_t n_ctx, n;
    unsigned bits;          /* of a hash */
    int32_t *ids;           /* [n_ctx] */
    uint32_t *next[ORDERS]; /* [n_ctx]: the place before with the same hash */
    uint32_t *heads;        /* [ORDERS][1 << bits]: the newest place */
};

/* As many as tokens, so that chains are short. */
static unsigned bits_for(size_t n_ctx)
{
    unsigned bits = LEAST_BITS;
    while (bits < MOST_BITS && ((size_t)1 << bits) < n_ctx)
        bits++;
    return bits;
}

static size_t head_count(size_t n_ctx) { return (size_t)ORDERS << bits_for(n_ctx); }

size_t qw_lookup_bytes(size_t n_ctx)
{
    return n_ctx * (sizeof(int32_t) + ORDERS * sizeof(uint32_t)) + head_count(n_ctx) * sizeof(uint32_t) + sizeof(qw_lookup);
}

static bool take_memory(qw_lookup *l)
{
    bool all = (l->ids = qw_alloc_array(l->n_ctx, sizeof *l->ids)) != NULL;
    for (int o = 0; o < ORDERS; o++)
        all = (l->next[o] = qw_alloc_array(l->n_ctx, sizeof *l->next[o])) && all;
    l->heads = qw_alloc_array(head_count(l->n_ctx), sizeof *l->heads);
    for (size_t i = 0; l->heads && i < head_count(l->n_ctx); i++)
        l->heads[i] = NONE;
    return all && l->heads;
}

qwren_status qw_lookup_create(qw_lookup **out, size_t n_ctx, qwren_error *err)
{
    *out = NULL;
    if (n_ctx >= NONE)
        return qw_fail(err, QWREN_E_LIMIT, "prompt lookup over %zu tokens: there can be %u", n_ctx, NONE - 1);
    qw_lookup *l = qw_calloc(1, sizeof *l);
    if (!l)
        return qw_fail_memory(err, sizeof *l, "prompt lookup");
    l->n_ctx = n_ctx;
    l->bits = bits_for(n_ctx);
    if (!take_memory(l)) {
        qw_lookup_free(l);
        return qw_fail_memory(err, qw_lookup_bytes(n_ctx), "prompt lookup");
    }
    *out = l;
    return QWREN_OK;
}

void qw_lookup_free(qw_lookup *l)
{
    if (!l)
        return;
    qw_free(l->ids);
    for (int o = 0; o < ORDERS; o++)
        qw_free(l->next[o]);
    qw_free(l->heads);
    qw_free(l);
}

const int32_t *qw_lookup_ids(const qw_lookup *l) { return l->ids; }
size_t qw_lookup_length(const qw_lookup *l) { return l->n; }

/* Where the chain of the order + 1 tokens that end at place i begins. */
static uint32_t *head_of(const qw_lookup *l, size_t order, size_t i)
{
    uint64_t h = order;
    for (size_t k = 0; k <= order; k++)
        h = (h + (uint32_t)l->ids[i - k] + 1) * UINT64_C(0x9E3779B97F4A7C15);
    return &l->heads[(order << l->bits) + (h >> (64 - l->bits))];
}

void qw_lookup_push(qw_lookup *l, int32_t id)
{
    const size_t i = l->n;
    if (i == l->n_ctx)
        return;
    l->ids[l->n++] = id;
    for (size_t order = 0; order < ORDERS && order <= i; order++) {
        uint32_t *head = head_of(l, order, i);
        l->next[order][i] = *head;
        *head = (uint32_t)i;
    }
}

void qw_lookup_cut(qw_lookup *l, size_t n)
{
    for (; l->n > n; l->n--) {
        const size_t i = l->n - 1;
        for (size_t order = 0; order < ORDERS && order <= i; order++)
            *head_of(l, order, i) = l->next[order][i];
    }
}

size_t qw_lookup_set(qw_lookup *l, const int32_t *ids, size_t n)
{
    size_t common = 0;
    while (common < n && common < l->n && l->ids[common] == ids[common])
        common++;
    qw_lookup_cut(l, common);
    for (size_t i = common; i < n; i++)
        qw_lookup_push(l, ids[i]);
    return common;
}

/* How many tokens up to place i are those at the end; a hash may be another's. */
static size_t match_length(const qw_lookup *l, size_t i)
{
    const size_t last = l->n - 1;
    size_t n = 0;
    while (n < QW_LOOKUP_LONGEST && n <= i && l->ids[i - n] == l->ids[last - n])
        n++;
    return n;
}

bool qw_lookup_find(const qw_lookup *l, qw_lookup_match *out)
{
    *out = (qw_lookup_match){ 0 };
    for (size_t order = ORDERS; order-- > 0 && !out->length;) {
        size_t places[MOST_PLACES], lengths[MOST_PLACES], n = 0, best = 0;
        if (l->n < order + 2)
            continue;
        for (uint32_t i = l->next[order][l->n - 1]; i != NONE && n < MOST_PLACES; i = l->next[order][i], n++) {
            places[n] = i;
            lengths[n] = match_length(l, i);
            best = lengths[n] > lengths[best] ? n : best;
        }
        if (!n || lengths[best] <= order)
            continue;
        out->length = lengths[best];
        out->next = l->ids + places[best] + 1;
        out->n = l->n - 1 - places[best];
        for (size_t k = 0; k < n; k++) {
            const bool close = lengths[k] > order && lengths[k] + 2 >= out->length;
            out->seen += close;
            out->agreeing += close && l->ids[places[k] + 1] == out->next[0];
        }
    }
    return out->length > 0;
}
