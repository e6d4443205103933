/* A vocabulary's tables as one block (vocab.h), and what is asked of an open tokenizer by id. The block is built from a file's lists
 * (build.c) or is a file itself (cache.c); of the latter every number is looked at before it is used. Tested by
 * tests/unit/test_tokenizer_cache.c. */
#include "base/alloc.h"
#include "base/hash.h"
#include "tokenizer/vocab.h"

#include <string.h>

/* ---- layout */

static uint64_t aligned(uint64_t n) { return (n + 63) & ~(uint64_t)63; }

qw_vocab_sections qw_vocab_layout(const qw_vocab_header *h)
{
    uint64_t n_added = (uint64_t)h->count - h->n_base;
    qw_vocab_sections s = { .byte_ids = aligned(sizeof *h) };
    s.offset = s.byte_ids + 256 * sizeof(int32_t);
    s.merges = aligned(s.offset + ((uint64_t)h->count + 1) * sizeof(uint32_t));
    s.by_text = s.merges + ((uint64_t)1 << h->merge_bits) * sizeof(qw_merge);
    s.special = aligned(s.by_text + n_added * sizeof(uint32_t));
    s.text = aligned(s.special + n_added);
    s.end = s.text + h->text_bytes;
    return s;
}

#define CHECKED_FROM offsetof(qw_vocab_header, n_bytes)

uint64_t qw_vocab_checksum(const uint8_t *block, size_t n) { return qw_hash_bytes(block + CHECKED_FROM, n - CHECKED_FROM); }

/* ---- views */

static qwren_status list_added(qw_tokenizer *t, const uint32_t *by_text, qwren_error *err)
{
    size_t n = (size_t)(t->count - t->n_base);
    t->added = qw_alloc_array(n, sizeof *t->added);
    if (!t->added)
        return qw_fail_memory(err, n * sizeof *t->added, "the added tokens");
    for (size_t i = 0; i < n; i++) {
        size_t len;
        int32_t id = (int32_t)by_text[i];
        const char *text = qw_tokenizer_bytes(t, id, &len);
        t->added[i] = (qw_added){ text, len, id, t->special[id - t->n_base], false };
        t->first[(unsigned char)text[0]] = true;
    }
    return QWREN_OK;
}

static void set_views(qw_tokenizer *t, const uint8_t *block)
{
    const qw_vocab_header *h = (const void *)block;
    qw_vocab_sections s = qw_vocab_layout(h);
    t->n_base = (int32_t)h->n_base;
    t->count = (int32_t)h->count;
    t->byte_ids = (const void *)(block + s.byte_ids);
    t->offset = (const void *)(block + s.offset);
    t->merges = (qw_merges){ (const void *)(block + s.merges), (int)h->merge_bits };
    t->special = block + s.special;
    t->bytes = (const char *)block + s.text;
}

qwren_status qw_vocab_attach(qw_tokenizer *t, const uint8_t *block, qwren_error *err)
{
    set_views(t, block);
    return list_added(t, (const void *)(block + qw_vocab_layout((const void *)block).by_text), err);
}

/* ---- a block that somebody else wrote */

static const char *header_fault(const qw_vocab_header *h, size_t n)
{
    if (memcmp(h->magic, QW_VOCAB_MAGIC, sizeof h->magic) != 0)
        return "it is not a file of tables";
    if (h->version != QW_VOCAB_VERSION || h->reserved != 0)
        return "it is of another version of qwren";
    if (h->n_bytes != n)
        return "it is cut short";
    if (h->n_base < 1 || h->n_base > QW_VOCAB_MAX_TOKENS || h->count < h->n_base || h->count - h->n_base > QW_VOCAB_MAX_TOKENS ||
        h->merge_bits < 1 || h->merge_bits > 25 || h->text_bytes > UINT32_MAX)
        return "its sizes are out of bounds";
    return qw_vocab_layout(h).end == n ? NULL : "its sizes contradict its length";
}

/* Each token has a byte at least and ends with a NUL, the last one where the text ends. */
static bool tokens_fit(const qw_tokenizer *t, uint64_t text_bytes)
{
    if (t->offset[0] != 0 || t->offset[t->count] != text_bytes)
        return false;
    for (int32_t id = 0; id < t->count; id++) {
        uint32_t begin = t->offset[id], end = t->offset[id + 1];
        if (end < 2 || begin > end - 2 || end > text_bytes || t->bytes[end - 1] != '\0')
            return false;
    }
    for (int b = 0; b < 256; b++) {
        int32_t id = t->byte_ids[b];
        if (id < 0 || id >= t->n_base || t->offset[id + 1] - t->offset[id] != 2 || t->bytes[t->offset[id]] != (char)b)
            return false;
    }
    return true;
}

/* Half of the slots are free, so that a search ends; ids and ranks are in their bounds. */
static bool merges_fit(const qw_tokenizer *t, uint32_t n_merges)
{
    size_t n = (size_t)1 << t->merges.bits, used = 0;
    uint32_t n_base = (uint32_t)t->n_base;
    for (size_t i = 0; i < n; i++) {
        const qw_merge *m = &t->merges.slots[i];
        if (m->left < 0)
            continue;
        used++;
        if ((uint32_t)m->left >= n_base || (uint32_t)m->right >= n_base || (uint32_t)m->id >= n_base || m->rank < 0)
            return false;
    }
    return used == n_merges && used <= n / 2;
}

static bool added_fit(const qw_tokenizer *t, const uint32_t *by_text)
{
    qw_added last = { 0 };
    for (int32_t i = 0; i < t->count - t->n_base; i++) {
        uint32_t id = by_text[i];
        if (id < (uint32_t)t->n_base || id >= (uint32_t)t->count || t->special[i] > 1)
            return false;
        qw_added a = { .id = (int32_t)id };
        a.text = qw_tokenizer_bytes(t, a.id, &a.len);
        if (i > 0 && qw_added_compare(&last, &a) >= 0)
            return false;
        last = a;
    }
    return true;
}

const char *qw_vocab_fault(const uint8_t *block, size_t n)
{
    qw_tokenizer t = { 0 };
    if (n < sizeof(qw_vocab_header))
        return "it is cut short";
    const qw_vocab_header *h = (const void *)block;
    const char *fault = header_fault(h, n);
    if (fault)
        return fault;
    set_views(&t, block);
    if (!tokens_fit(&t, h->text_bytes))
        return "its tokens are out of bounds";
    if (!merges_fit(&t, h->n_merges))
        return "its merges are out of bounds";
    if (!added_fit(&t, (const void *)(block + qw_vocab_layout(h).by_text)))
        return "its added tokens are out of bounds";
    return NULL;
}

/* ---- the end, and questions */

void qw_tokenizer_close(qw_tokenizer *t)
{
    if (!t)
        return;
    qw_free(t->heap);
    qw_map_close(&t->map);
    qw_free(t->added);
    qw_free(t);
}

int32_t qw_tokenizer_count(const qw_tokenizer *t) { return t->count; }

const char *qw_tokenizer_bytes(const qw_tokenizer *t, int32_t id, size_t *len)
{
    bool known = id >= 0 && id < t->count;
    *len = known ? t->offset[id + 1] - t->offset[id] - 1 : 0;
    return known ? t->bytes + t->offset[id] : NULL;
}

bool qw_tokenizer_is_added(const qw_tokenizer *t, int32_t id) { return id >= t->n_base && id < t->count; }
bool qw_tokenizer_is_special(const qw_tokenizer *t, int32_t id) { return qw_tokenizer_is_added(t, id) && t->special[id - t->n_base]; }
