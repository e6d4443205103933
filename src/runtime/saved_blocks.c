/* Blocks of tokens, pages and states (saved_blocks.h): bytes as they lie in memory, so that reading is a copy. Tested by
 * tests/unit/test_saved.c. */
#include "runtime/saved_blocks.h"

#include "base/alloc.h"

#include <string.h>

static size_t heads_of(const qw_page_shape *p) { return p->n_caches * p->n_kv_heads; }

/* Where the block of keys and values that begins at `at` ends: with its page, or with all. */
static size_t page_stop(size_t at, size_t end)
{
    const size_t stop = (at / QW_KV_PAGE + 1) * QW_KV_PAGE;
    return stop < end ? stop : end;
}

/* ---- do the numbers make sense? */

static bool range_is_sound(const qw_store_block *b) { return b->info[0] <= b->info[1] && b->info[1] <= INT32_MAX; }

static bool pages_are_sound(const qw_store_block *b, const qw_saved_format *f)
{
    const uint64_t begin = b->info[0], end = b->info[1];
    if (!range_is_sound(b) || begin == end || begin % QW_KV_BLOCK || begin / QW_KV_PAGE != (end - 1) / QW_KV_PAGE)
        return false;
    return !f || b->bytes == heads_of(&f->pages) * qw_kv_bytes(f->pages.type, f->pages.head_dim, (size_t)(end - begin));
}

static size_t state_floats(const qw_text_config *c)
{
    const size_t line = QW_ALIGN / sizeof(float), conv = qw_conv_floats(c), recurrent = qw_recurrent_floats(c);
    return (size_t)c->n_delta_layers * ((conv + line - 1) / line * line + (recurrent + line - 1) / line * line);
}

static bool state_is_sound(const qw_store_block *b, const qw_saved_format *f)
{
    if (!b->info[0] || b->info[0] > INT32_MAX || b->info[1] > INT32_MAX || b->info[2] >= QW_CHECKPOINT_KINDS)
        return false;
    return !f || b->bytes == state_floats(f->config) * sizeof(float);
}

bool qw_saved_is_sound(const qw_store_block *b, const qw_saved_format *f)
{
    switch (b->tag) {
    case QW_SAVED_TOKENS: return range_is_sound(b) && b->bytes == (b->info[1] - b->info[0]) * sizeof(uint64_t);
    case QW_SAVED_PLACES: return range_is_sound(b) && b->bytes == (b->info[1] - b->info[0]) * sizeof(int32_t);
    case QW_SAVED_PAGES: return pages_are_sound(b, f);
    default: return state_is_sound(b, f);
    }
}

/* ---- how much it is */

#define LEAST_STATES 4

size_t qw_saved_most_states(const qw_saved_format *f, size_t n)
{
    const size_t most = qw_page_count(n) * f->pages.bytes / qw_checkpoint_bytes(f->config);
    return most > LEAST_STATES ? most : LEAST_STATES;
}

static uint64_t block_bytes(size_t payload)
{
    const qw_store_block b = { .bytes = payload };
    return QW_STORE_BLOCK_BYTES + qw_store_block_end(&b);
}

uint64_t qw_saved_bytes(const qw_saved_format *f, size_t begin, size_t end, size_t n_states)
{
    uint64_t bytes = block_bytes((end - begin) * sizeof(uint64_t)) + block_bytes((end - begin) * sizeof(int32_t)) + block_bytes(0);
    for (size_t at = begin / QW_KV_BLOCK * QW_KV_BLOCK, stop; at < end; at = stop) {
        stop = page_stop(at, end);
        bytes += block_bytes(heads_of(&f->pages) * qw_kv_bytes(f->pages.type, f->pages.head_dim, stop - at));
    }
    return bytes + n_states * block_bytes(state_floats(f->config) * sizeof(float));
}

/* ---- tokens */

/* A part that is only written is not changed. */
static qw_store_part part_of(const void *p, size_t n)
{
    union {
        const void *given;
        void *part;
    } u = { p };
    return (qw_store_part){ u.part, n };
}

qwren_status qw_saved_put_tokens(qw_store *s, const uint64_t *keys, size_t begin, size_t end, qwren_error *err)
{
    const qw_store_part part = part_of(keys + begin, (end - begin) * sizeof *keys);
    return qw_store_put(s, QW_SAVED_TOKENS, (uint64_t[3]){ begin, end }, &part, 1, err);
}

qwren_status qw_saved_put_places(qw_store *s, const int32_t *starts, size_t begin, size_t end, qwren_error *err)
{
    const qw_store_part part = part_of(starts + begin, (end - begin) * sizeof *starts);
    return qw_store_put(s, QW_SAVED_PLACES, (uint64_t[3]){ begin, end }, &part, 1, err);
}

qwren_status qw_saved_get_tokens(const qw_store *s, const qw_store_block *b, uint64_t *keys, qwren_error *err)
{
    return qw_store_read(s, b, &(qw_store_part){ keys, (size_t)b->bytes }, 1, err);
}

qwren_status qw_saved_get_places(const qw_store *s, const qw_store_block *b, int32_t *starts, qwren_error *err)
{
    return qw_store_read(s, b, &(qw_store_part){ starts, (size_t)b->bytes }, 1, err);
}

/* ---- keys and values */

/* Positions [first, first + n) of a page, head after head; first is a multiple of 16. parts [heads] */
static void find_parts(qw_store_part *parts, const qw_page_shape *shape, qw_page *page, size_t first, size_t n)
{
    const size_t skip = qw_kv_bytes(shape->type, shape->head_dim, first), bytes = qw_kv_bytes(shape->type, shape->head_dim, n);
    for (size_t h = 0; h < heads_of(shape); h++)
        parts[h] = (qw_store_part){ (char *)qw_page_data(page) + h * shape->head_bytes + skip, bytes };
}

/* The last block of 16 of every head, if it is not full, with zeros behind its `n` positions: a file tells nothing that does not belong to
 * it. The parts, of the same n, then end before them,
 * and become twice as many. */
static void clear_tails(qw_store_part *parts, const qw_page_shape *shape, char *tails, size_t n, const float *zeros)
{
    const size_t heads = heads_of(shape), bytes = qw_kv_block_bytes(shape->type, shape->head_dim);
    for (size_t h = heads; h-- > 0;) {
        qw_store_part whole = parts[h], tail = { tails + h * bytes, bytes };
        whole.n -= bytes;
        qw_page_copy_open_block(tail.p, (const char *)whole.p + whole.n, bytes);
        const qw_kv kv = { .type = shape->type, .head_dim = shape->head_dim, .data = tail.p };
        for (size_t lane = n % QW_KV_BLOCK; lane < QW_KV_BLOCK; lane++)
            qw_kv_put(&kv, lane, zeros, zeros);
        parts[2 * h] = whole;
        parts[2 * h + 1] = tail;
    }
}

/* Positions [begin, end), all in `page`. */
static qwren_status put_page(qw_store *s, const qw_page_shape *shape, qw_page *page, size_t begin, size_t end, qwren_error *err)
{
    const size_t heads = heads_of(shape), tail_bytes = heads * qw_kv_block_bytes(shape->type, shape->head_dim);
    const bool has_tail = end % QW_KV_BLOCK != 0;
    qw_store_part *parts = qw_alloc_array(2 * heads, sizeof *parts);
    char *tails = has_tail ? qw_alloc_aligned(tail_bytes) : NULL;
    float *zeros = has_tail ? qw_calloc(shape->head_dim, sizeof *zeros) : NULL;
    qwren_status st = QWREN_OK;
    if (!parts || (has_tail && (!tails || !zeros)))
        st = qw_fail_memory(err, tail_bytes + 2 * heads * sizeof *parts, "keys and values to be saved");
    if (st == QWREN_OK) {
        find_parts(parts, shape, page, begin % QW_KV_PAGE, end - begin);
        if (has_tail)
            clear_tails(parts, shape, tails, end, zeros);
        st = qw_store_put(s, QW_SAVED_PAGES, (uint64_t[3]){ begin, end }, parts, has_tail ? 2 * heads : heads, err);
    }
    qw_free(parts);
    qw_free_aligned(tails);
    qw_free(zeros);
    return st;
}

qwren_status qw_saved_put_pages(qw_store *s, const qw_saved_format *f, qw_page *const *pages, size_t begin, size_t end, qwren_error *err)
{
    for (size_t at = begin / QW_KV_BLOCK * QW_KV_BLOCK, stop; at < end; at = stop) {
        stop = page_stop(at, end);
        QW_TRY(put_page(s, &f->pages, pages[at / QW_KV_PAGE], at, stop, err));
    }
    return QWREN_OK;
}

qwren_status qw_saved_get_pages(const qw_store *s, const qw_store_block *b, const qw_saved_format *f, qw_page *page, qwren_error *err)
{
    const size_t heads = heads_of(&f->pages), begin = (size_t)b->info[0], n = (size_t)b->info[1] - begin;
    const qw_store_part whole = { qw_page_data(page), f->pages.bytes };
    if (n == QW_KV_PAGE && b->bytes == whole.n) {
        qw_page_huge(page); /* most of the time is that of new memory: a third of the whole is saved */
        return qw_store_read(s, b, &whole, 1, err);
    }
    qw_store_part *parts = qw_alloc_array(heads, sizeof *parts);
    if (!parts)
        return qw_fail_memory(err, heads * sizeof *parts, "keys and values to be read");
    find_parts(parts, &f->pages, page, begin % QW_KV_PAGE, n);
    const qwren_status st = qw_store_read(s, b, parts, heads, err);
    qw_free(parts);
    return st;
}

/* ---- states */

qwren_status qw_saved_put_state(qw_store *s, const qw_checkpoint *cp, qwren_error *err)
{
    const uint64_t info[3] = { cp->length, (uint64_t)cp->next_pos, cp->kind };
    return qw_store_put(s, QW_SAVED_STATE, info, &(qw_store_part){ cp->floats, cp->n_floats * sizeof *cp->floats }, 1, err);
}

qwren_status qw_saved_get_state(const qw_store *s, const qw_store_block *b, const qw_saved_format *f, qw_checkpoint **out, qwren_error *err)
{
    qw_checkpoint *cp;
    *out = NULL;
    QW_TRY(qw_checkpoint_create(&cp, f->config, err));
    cp->length = (size_t)b->info[0];
    cp->next_pos = (int32_t)b->info[1];
    cp->kind = (qw_checkpoint_kind)b->info[2];
    const qwren_status st = qw_store_read(s, b, &(qw_store_part){ cp->floats, cp->n_floats * sizeof *cp->floats }, 1, err);
    if (st == QWREN_OK)
        *out = cp;
    else
        qw_checkpoint_drop(cp);
    return st;
}
