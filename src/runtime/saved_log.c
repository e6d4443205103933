/* Goes through the heads of a session file's blocks as if it were being written again, and knows at the end which of them still count. A
 * block that contradicts those before it ends the
 * file there: nobody has written that. Tested by tests/unit/test_saved.c and tests/fuzz/fuzz_store.c. */
#include "runtime/saved_log.h"

#include "base/alloc.h"

#include <string.h>

/* More than a file gets before it is written anew (saved_write.c): 4,096, or four for each page of a million tokens and its checkpoints. Going
 * through them takes the square of it. */
#define MOST_BLOCKS ((size_t)1 << 14)

/* What the file would hold if it ended here. */
typedef struct progress {
    uint64_t tokens;
    uint64_t placed, filled; /* those that have rotary positions; keys and values */
} progress;

/* Tokens from `at` on are void. */
static void void_from(qw_saved_log *log, size_t before, progress *p, uint64_t at)
{
    for (size_t i = 0; i < before; i++) {
        const qw_store_block *b = &log->blocks[i];
        if (b->tag == QW_SAVED_STATE ? b->info[0] > at : b->info[0] >= at)
            log->live[i] = false;
    }
    p->placed = p->placed < at ? p->placed : at;
    p->filled = p->filled < at ? p->filled : at;
}

/* A block says anew what others said. */
static void replace(qw_saved_log *log, size_t at)
{
    const qw_store_block *b = &log->blocks[at];
    for (size_t i = 0; i < at; i++) {
        const qw_store_block *old = &log->blocks[i];
        if (old->tag != b->tag)
            continue;
        if (b->tag == QW_SAVED_STATE ? old->info[0] == b->info[0] : old->info[0] >= b->info[0] && old->info[1] <= b->info[1])
            log->live[i] = false;
    }
}

static bool add_tokens(qw_saved_log *log, size_t at, progress *p)
{
    const qw_store_block *b = &log->blocks[at];
    if (b->info[0] > p->tokens)
        return false;
    void_from(log, at, p, b->info[0]);
    p->tokens = b->info[1];
    return log->live[at] = true;
}

static bool add_places(qw_saved_log *log, size_t at, progress *p)
{
    const qw_store_block *b = &log->blocks[at];
    if (b->info[0] > p->placed || b->info[1] > p->tokens)
        return false;
    p->placed = b->info[1];
    return log->live[at] = true;
}

static bool add_pages(qw_saved_log *log, size_t at, progress *p)
{
    const qw_store_block *b = &log->blocks[at];
    if (b->info[0] > p->filled || b->info[1] > p->tokens)
        return false;
    replace(log, at);
    p->filled = b->info[1];
    return log->live[at] = true;
}

static bool add_state(qw_saved_log *log, size_t at, progress *p)
{
    if (log->blocks[at].info[0] > p->filled)
        return false;
    replace(log, at);
    return log->live[at] = true;
}

static bool is_complete(const qw_saved_log *log, size_t at, const progress *p)
{
    return log->blocks[at].info[0] == p->tokens && p->placed == p->tokens && p->filled == p->tokens;
}

/* Blocks [0, n) from the beginning; returns how many count up to the last mark. */
static size_t play(qw_saved_log *log, size_t n, const qw_saved_format *f)
{
    progress p = { 0 };
    size_t marked = 0;
    if (n)
        memset(log->live, 0, n * sizeof *log->live);
    for (size_t i = 0; i < n; i++) {
        const qw_store_block *b = &log->blocks[i];
        bool good = true;
        if (b->tag == QW_SAVED_TOKENS)
            good = qw_saved_is_sound(b, f) && add_tokens(log, i, &p);
        else if (b->tag == QW_SAVED_PLACES)
            good = qw_saved_is_sound(b, f) && add_places(log, i, &p);
        else if (b->tag == QW_SAVED_PAGES)
            good = qw_saved_is_sound(b, f) && add_pages(log, i, &p);
        else if (b->tag == QW_SAVED_STATE)
            good = qw_saved_is_sound(b, f) && add_state(log, i, &p);
        else if (b->tag == QW_SAVED_MARK && is_complete(log, i, &p) && (!p.tokens || qw_saved_log_state(log, p.tokens) != SIZE_MAX)) {
            marked = i + 1;
            log->tokens = (size_t)p.tokens;
        }
        if (!good)
            break;
    }
    return marked;
}

/* Twice: what came behind the last mark may have voided what is before it. */
static void settle(qw_saved_log *log, size_t n, const qw_saved_format *f)
{
    log->tokens = 0;
    log->n = n;
    log->n = play(log, n, f);
    log->n = play(log, log->n, f);
}

static qwren_status add_block(qw_saved_log *log, const qw_store_block *b, size_t *room, qwren_error *err)
{
    if (log->n == *room) {
        const size_t more = *room ? 2 * *room : 64;
        qw_store_block *blocks = qw_realloc_array(log->blocks, more, sizeof *blocks);
        if (blocks)
            log->blocks = blocks;
        bool *live = blocks ? qw_realloc_array(log->live, more, sizeof *live) : NULL;
        if (!live)
            return qw_fail_memory(err, more * sizeof *blocks, "the list of a file's blocks");
        log->live = live;
        *room = more;
    }
    log->blocks[log->n++] = *b;
    return QWREN_OK;
}

qwren_status qw_saved_log_read(qw_saved_log *out, qw_store *s, const qw_saved_format *f, qwren_error *err)
{
    qw_store_block b;
    size_t room = 0;
    qwren_status st = QWREN_OK;
    *out = (qw_saved_log){ 0 };
    qw_store_rewind(s);
    while (st == QWREN_OK && out->n < MOST_BLOCKS && qw_store_next(s, &b))
        st = add_block(out, &b, &room, err);
    if (st == QWREN_OK)
        st = qw_store_ended(s, err);
    if (st != QWREN_OK) {
        qw_saved_log_deinit(out);
        return st;
    }
    settle(out, out->n, f);
    return QWREN_OK;
}

void qw_saved_log_cut(qw_saved_log *log, size_t at, const qw_saved_format *f) { settle(log, at, f); }

static bool is_state(const qw_saved_log *log, size_t at) { return log->live[at] && log->blocks[at].tag == QW_SAVED_STATE; }

size_t qw_saved_log_state(const qw_saved_log *log, uint64_t length)
{
    for (size_t i = 0; i < log->n; i++)
        if (is_state(log, i) && log->blocks[i].info[0] == length)
            return i;
    return SIZE_MAX;
}

static bool is_former_end(const qw_saved_log *log, size_t at)
{
    return log->blocks[at].info[2] == QW_CHECKPOINT_END && log->blocks[at].info[0] != log->tokens;
}

bool qw_saved_log_is_surplus(const qw_saved_log *log, size_t at, size_t most)
{
    size_t before = 0;
    for (size_t i = 0; i < log->n; i++) {
        const bool same_class = is_former_end(log, i) == is_former_end(log, at);
        before += is_state(log, i) && (same_class ? log->blocks[i].info[0] > log->blocks[at].info[0] : is_former_end(log, at));
    }
    return before >= most;
}

uint64_t qw_saved_log_live_bytes(const qw_saved_log *log)
{
    uint64_t bytes = QW_STORE_HEAD_BYTES;
    for (size_t i = 0; i < log->n; i++)
        if (log->live[i])
            bytes += QW_STORE_BLOCK_BYTES + qw_store_block_end(&log->blocks[i]) - log->blocks[i].at;
    return bytes;
}

/* ---- keys */

size_t qw_saved_log_room(const qw_saved_log *log)
{
    size_t most = log->tokens;
    for (size_t i = 0; i < log->n; i++) {
        const qw_store_block *b = &log->blocks[i];
        const bool speaks = log->live[i] && (b->tag == QW_SAVED_TOKENS || b->tag == QW_SAVED_PLACES);
        if (speaks && b->info[1] > most)
            most = (size_t)b->info[1];
    }
    return most;
}

static qwren_status read_keys(const qw_saved_log *log, const qw_store *s, uint64_t *keys, size_t *bad, qwren_error *err)
{
    for (size_t i = 0; i < log->n; i++) {
        const qw_store_block *b = &log->blocks[i];
        if (!log->live[i] || b->tag != QW_SAVED_TOKENS)
            continue;
        *bad = i;
        QW_TRY(qw_saved_get_tokens(s, b, keys + b->info[0], err));
    }
    return QWREN_OK;
}

qwren_status qw_saved_log_keys(const qw_saved_log *log, const qw_store *s, uint64_t **keys, size_t *bad, qwren_error *err)
{
    const size_t n = qw_saved_log_room(log);
    *keys = qw_alloc_array(n, sizeof **keys);
    if (!*keys)
        return qw_fail_memory(err, n * sizeof **keys, "the tokens of a session");
    return read_keys(log, s, *keys, bad, err);
}

void qw_saved_log_deinit(qw_saved_log *log)
{
    qw_free(log->blocks);
    qw_free(log->live);
    *log = (qw_saved_log){ 0 };
}
