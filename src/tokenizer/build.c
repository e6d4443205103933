/* Lists of tokens and merges -> the block of tables (vocab.h), whatever file the lists come from. Everything that the lists may get wrong
 * is refused here, in the words of that file. Tested by tests/unit/test_tokenizer_open.c and tests/unit/test_tokenizer_lists.c. */
#include "base/alloc.h"
#include "base/rng.h"
#include "base/utf8.h"
#include "tokenizer/vocab.h"

#include <string.h>

#define MAX_MERGE_BYTES 4096 /* the longest token of Qwen 3.5 has 128 */

#define WORDS(text) (int)((text).len < 200 ? (text).len : 200), (text).data

/* ---- the alphabet in which files spell bytes: printable ones as themselves, the others as U+0100, U+0101, ... */

#define NO_BYTE (-1)
#define N_ALPHABET 324

static bool spelt_as_itself(unsigned b) { return (b > 0x20 && b < 0x7F) || (b > 0xA0 && b != 0xAD && b < 0x100); }

/* Fills table[324]: code point -> byte. */
static void make_alphabet(int16_t table[N_ALPHABET])
{
    int16_t next = 0x100;
    for (unsigned c = 0; c < N_ALPHABET; c++)
        table[c] = NO_BYTE;
    for (unsigned b = 0; b < 256; b++)
        table[spelt_as_itself(b) ? b : (unsigned)next++] = (int16_t)b;
}

/* Spelling -> bytes at out (never longer). False when a character is not of the alphabet. */
static bool unspell(const int16_t table[N_ALPHABET], qw_token_text spelling, char *out, size_t *n_out)
{
    const unsigned char *p = (const unsigned char *)spelling.data, *end = p + spelling.len;
    size_t k = 0;
    while (p < end) {
        uint32_t cp = *p++;
        if (cp >= 0x80) { /* the alphabet ends at U+0143: two bytes are the longest */
            if (cp < 0xC2 || cp > 0xC5 || p == end || (*p & 0xC0) != 0x80)
                return false;
            cp = (cp & 0x1F) << 6 | (*p++ & 0x3F);
        }
        if (cp >= N_ALPHABET || table[cp] == NO_BYTE)
            return false;
        out[k++] = (char)table[cp];
    }
    *n_out = k;
    return true;
}

/* ---- bytes -> id */

static const char *bytes_of(const qw_builder *b, int32_t id, size_t *len)
{
    *len = b->offset[id + 1] - b->offset[id] - 1;
    return b->bytes + b->offset[id];
}

static bool is_token(const qw_builder *b, int32_t id, const char *bytes, size_t len)
{
    size_t n;
    const char *own = bytes_of(b, id, &n);
    return n == len && memcmp(own, bytes, len) == 0;
}

/* FNV-1a from a random start: nobody can prepare a vocabulary that fills one place. */
static uint64_t hash_of(uint64_t seed, const char *bytes, size_t len)
{
    uint64_t h = seed;
    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)bytes[i]) * 0x100000001B3u;
    return h ^ h >> 32;
}

/* The id of the token, or -1 and the free slot where it would stand. */
static int32_t find(const qw_builder *b, const char *bytes, size_t len, uint64_t *hash, size_t *slot)
{
    *hash = hash_of(b->seed, bytes, len);
    size_t i = (size_t)*hash & b->mask;
    for (; b->index[i]; i = (i + 1) & b->mask)
        if (b->index[i] >> 32 == *hash >> 32 && is_token(b, (int32_t)(uint32_t)b->index[i] - 1, bytes, len))
            return (int32_t)(uint32_t)b->index[i] - 1;
    *slot = i;
    return -1;
}

static int32_t id_of(const qw_builder *b, const char *bytes, size_t len)
{
    uint64_t hash;
    size_t slot;
    return find(b, bytes, len, &hash, &slot);
}

static qwren_status index_base(qw_builder *b, const qw_token_text *base)
{
    for (int32_t id = 0; id < (int32_t)b->header->n_base; id++) {
        uint64_t hash;
        size_t slot, len;
        const char *bytes = bytes_of(b, id, &len);
        int32_t twin = find(b, bytes, len, &hash, &slot);
        if (twin >= 0)
            return qw_fail(b->err, QWREN_E_FORMAT, "%s: %s: tokens %d and %d are the same, \"%.*s\"", b->words->where, b->words->tokens,
                           twin, id, WORDS(base[id]));
        b->index[slot] = hash >> 32 << 32 | (uint32_t)(id + 1);
    }
    return QWREN_OK;
}

/* ---- memory */

static qwren_status count_text(const qw_token_text *base, size_t n_base, const qw_added *added, size_t n_added, const qw_vocab_words *w,
                               uint64_t *n, qwren_error *err)
{
    *n = (uint64_t)n_base + n_added; /* the NULs */
    for (size_t i = 0; i < n_base; i++)
        *n += base[i].len;
    for (size_t i = 0; i < n_added; i++)
        *n += added[i].len;
    return *n <= UINT32_MAX ? QWREN_OK : qw_fail(err, QWREN_E_FORMAT, "%s: %s: more than 4 GiB of text", w->where, w->tokens);
}

/* The index is at most half full. */
static qwren_status take_scratch(qw_builder *b, size_t n_base, size_t n_merges)
{
    size_t n = 512;
    while (n < 2 * n_base)
        n *= 2;
    b->mask = n - 1;
    b->index = qw_calloc(n, sizeof *b->index);
    b->merges = qw_alloc_array(n_merges, sizeof *b->merges);
    return b->index && b->merges ? QWREN_OK : qw_fail_memory(b->err, n * sizeof *b->index + n_merges * sizeof *b->merges, "the vocabulary");
}

static qwren_status take_block(qw_builder *b, const qw_vocab_header *h)
{
    qw_vocab_sections s = qw_vocab_layout(h);
    b->block = s.end <= SIZE_MAX ? qw_malloc((size_t)s.end) : NULL;
    if (!b->block)
        return qw_fail_memory(b->err, (size_t)s.end, "the vocabulary");
    memset(b->block, 0, (size_t)s.merges); /* the gaps between sections are written to files too */
    memset(b->block + s.by_text, 0, (size_t)(s.text - s.by_text));
    b->header = (void *)b->block;
    *b->header = *h;
    b->offset = (void *)(b->block + s.offset);
    b->bytes = (char *)b->block + s.text;
    return QWREN_OK;
}

/* ---- tokens */

static qwren_status fill_base(qw_builder *b, const qw_token_text *base)
{
    size_t at = 0, n_base = b->header->n_base;
    int32_t *byte_ids = (void *)(b->block + qw_vocab_layout(b->header).byte_ids);
    for (int i = 0; i < 256; i++)
        byte_ids[i] = -1;
    for (size_t id = 0; id < n_base; id++) {
        size_t n;
        if (base[id].len == 0 || !unspell(b->alphabet, base[id], b->bytes + at, &n))
            return qw_fail(b->err, QWREN_E_FORMAT, "%s: %s: token %zu, \"%.*s\", is not spelt in the byte-level alphabet", b->words->where,
                           b->words->tokens, id, WORDS(base[id]));
        if (n == 1)
            byte_ids[(unsigned char)b->bytes[at]] = (int32_t)id;
        b->offset[id] = (uint32_t)at;
        at += n;
        b->bytes[at++] = '\0';
    }
    b->offset[n_base] = (uint32_t)at;
    for (int i = 0; i < 256; i++)
        if (byte_ids[i] < 0)
            return qw_fail(b->err, QWREN_E_FORMAT, "%s: %s: there is no token for the single byte 0x%02X", b->words->where,
                           b->words->tokens, (unsigned)i);
    return index_base(b, base);
}

/* The reference numbers added tokens by their order, and takes the vocabulary's id for one that is there already: in a file of
 * Qwen 3.5 neither differs from the ids written down. */
static qwren_status check_added(const qw_builder *b, const qw_added *added, size_t n_added)
{
    for (size_t i = 0; i < n_added; i++) {
        const qw_added *a = &added[i];
        qw_token_text text = { a->text, a->len };
        char *room = b->bytes + b->offset[b->header->n_base]; /* where it will be written */
        size_t n;
        if (a->id != (int32_t)(b->header->n_base + i))
            return qw_fail(b->err, QWREN_E_FORMAT, "%s: %s: ids must go on where %s ends (%u), without a gap; \"%.*s\" has %d",
                           b->words->where, b->words->added, b->words->tokens, b->header->n_base, WORDS(text), a->id);
        if (unspell(b->alphabet, text, room, &n) && id_of(b, room, n) >= 0)
            return qw_fail(b->err, QWREN_E_FORMAT, "%s: %s: \"%.*s\" stands in %s as well", b->words->where, b->words->added, WORDS(text),
                           b->words->tokens);
    }
    return QWREN_OK;
}

static qwren_status sort_added(const qw_builder *b, const qw_added *added, size_t n_added)
{
    uint32_t *by_text = (void *)(b->block + qw_vocab_layout(b->header).by_text);
    qw_added *sorted = qw_alloc_array(n_added, sizeof *sorted);
    if (!sorted)
        return qw_fail_memory(b->err, n_added * sizeof *sorted, "the added tokens");
    if (n_added)
        memcpy(sorted, added, n_added * sizeof *sorted);
    qwren_status st = qw_added_sort(sorted, n_added, b->words, b->err);
    for (size_t i = 0; i < n_added; i++)
        by_text[i] = (uint32_t)sorted[i].id;
    qw_free(sorted);
    return st;
}

static qwren_status fill_added(qw_builder *b, const qw_added *added, size_t n_added)
{
    qw_vocab_sections s = qw_vocab_layout(b->header);
    size_t n_base = b->header->n_base, at = b->offset[n_base];
    QW_TRY(check_added(b, added, n_added));
    for (size_t i = 0; i < n_added; i++) {
        memcpy(b->bytes + at, added[i].text, added[i].len);
        at += added[i].len;
        b->bytes[at++] = '\0';
        b->offset[n_base + i + 1] = (uint32_t)at;
        b->block[s.special + i] = added[i].special;
    }
    b->header->text_bytes = at; /* bytes are shorter than their spelling: the block's last section shrinks */
    return sort_added(b, added, n_added);
}

static qwren_status init(qw_builder *b, const qw_token_text *base, size_t n_base, const qw_added *added, size_t n_added, size_t n_merges)
{
    const qw_vocab_words *w = b->words;
    qw_vocab_header h = { .magic = QW_VOCAB_MAGIC, .version = QW_VOCAB_VERSION };
    if (n_base == 0 || n_base > QW_VOCAB_MAX_TOKENS || n_added > QW_VOCAB_MAX_TOKENS || n_merges > QW_VOCAB_MAX_TOKENS)
        return qw_fail(b->err, QWREN_E_FORMAT, "%s: 1 to %d tokens and at most as many merges are possible; %s has %zu, %s %zu, %s %zu",
                       w->where, QW_VOCAB_MAX_TOKENS, w->tokens, n_base, w->added, n_added, w->merges, n_merges);
    h.n_base = (uint32_t)n_base;
    h.count = (uint32_t)(n_base + n_added);
    h.merge_bits = (uint32_t)qw_merges_bits(n_merges);
    QW_TRY(count_text(base, n_base, added, n_added, w, &h.text_bytes, b->err));
    make_alphabet(b->alphabet);
    b->seed = qw_random_seed();
    QW_TRY(take_block(b, &h));
    QW_TRY(take_scratch(b, n_base, n_merges));
    QW_TRY(fill_base(b, base));
    return fill_added(b, added, n_added);
}

qwren_status qw_builder_init(qw_builder *b, const qw_vocab_words *words, const qw_token_text *base, size_t n_base, const qw_added *added,
                             size_t n_added, size_t n_merges, qwren_error *err)
{
    *b = (qw_builder){ .words = words, .err = err };
    return init(b, base, n_base, added, n_added, n_merges);
}

/* ---- merges */

/* The id of the two joined; most files list the tokens in the order of the merges that make them. */
static int32_t joined_id(qw_builder *b, const char *bytes, size_t len)
{
    int32_t id = b->guess < (int32_t)b->header->n_base && is_token(b, b->guess, bytes, len) ? b->guess : id_of(b, bytes, len);
    b->guess = id + 1;
    return id;
}

qwren_status qw_builder_merge(qw_builder *b, size_t rank, qw_token_text left, qw_token_text right)
{
    char bytes[MAX_MERGE_BYTES];
    size_t n = 0, k = 0;
    qw_merge m = { .left = -1, .right = -1, .rank = (int32_t)rank, .id = -1 };
    if (left.len + right.len <= sizeof bytes && unspell(b->alphabet, left, bytes, &n) && unspell(b->alphabet, right, bytes + n, &k)) {
        m.left = id_of(b, bytes, n);
        m.right = id_of(b, bytes + n, k);
        m.id = joined_id(b, bytes, n + k);
    }
    if (m.left < 0 || m.right < 0 || m.id < 0)
        return qw_fail(b->err, QWREN_E_FORMAT, "%s: %s[%zu] joins to \"%.*s%.*s\", but one of the three is not in %s", b->words->where,
                       b->words->merges, rank, WORDS(left), WORDS(right), b->words->tokens);
    b->merges[b->n_merges++] = m;
    return QWREN_OK;
}

/* ---- the end */

qwren_status qw_builder_finish(qw_builder *b, qw_tokenizer **out)
{
    qw_tokenizer *t = qw_calloc(1, sizeof *t);
    if (!t)
        return qw_fail_memory(b->err, sizeof *t, "a tokenizer");
    qw_vocab_sections s = qw_vocab_layout(b->header);
    b->header->n_bytes = s.end;
    b->header->n_merges = (uint32_t)qw_merges_fill((void *)(b->block + s.merges), (int)b->header->merge_bits, b->merges, b->n_merges);
    t->heap = b->block;
    b->block = NULL;
    qwren_status st = qw_vocab_attach(t, t->heap, b->err);
    if (st == QWREN_OK)
        *out = t;
    else
        qw_tokenizer_close(t);
    return st;
}

void qw_builder_deinit(qw_builder *b)
{
    qw_free(b->block);
    qw_free(b->index);
    qw_free(b->merges);
    *b = (qw_builder){ 0 };
}
