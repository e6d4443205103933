/* Sessions in files (session_file.h). Tested by tests/unit/test_session_file.c. */
#include "runtime/session_file.h"

#include "base/alloc.h"
#include "runtime/session_parts.h"

#include <string.h>

static qw_saved_format format_of(const qw_session *s)
{
    return (qw_saved_format){ .config = &s->model->config.text, .pages = s->plan.pages };
}

/* ---- saving */

/* Checkpoints of the session's timeline, by length; the last is its end. */
typedef struct collection {
    const qw_session *s;
    qw_checkpoint **at; /* each is held */
    size_t n, room;
    bool failed; /* memory was short */
} collection;

static bool grow(collection *c)
{
    const size_t room = c->room ? 2 * c->room : 16;
    qw_checkpoint **at = c->n == c->room ? qw_realloc_array(c->at, room, sizeof *at) : c->at;
    if (!at) {
        c->failed = true;
        return false;
    }
    c->room = c->n == c->room ? room : c->room;
    c->at = at;
    return true;
}

static bool add(collection *c, qw_checkpoint *cp)
{
    if (!grow(c))
        return false;
    size_t i = c->n++;
    for (; i && c->at[i - 1]->length > cp->length; i--)
        c->at[i] = c->at[i - 1];
    c->at[i] = cp;
    qw_checkpoint_hold(cp);
    return true;
}

static bool add_ours(void *ctx, const qw_prefix_item *item)
{
    collection *c = ctx;
    const size_t length = item->checkpoint->length;
    const bool boundary = item->kind == QW_CHECKPOINT_TURN || item->kind == QW_CHECKPOINT_IMAGE;
    if (!boundary || length >= c->s->n || memcmp(item->keys, c->s->memory.keys, length * sizeof *item->keys) != 0)
        return true;
    return add(c, item->checkpoint);
}

static void drop_all(collection *c)
{
    for (size_t i = 0; i < c->n; i++)
        qw_checkpoint_drop(c->at[i]);
    qw_free(c->at);
}

static qwren_status collect(collection *c, qw_session *s, qwren_error *err)
{
    *c = (collection){ .s = s };
    if (s->prefix)
        QW_TRY(qw_prefix_each(s->prefix, false, add_ours, c, err));
    qw_checkpoint *end = s->n ? qw_session_checkpoint(s, QW_CHECKPOINT_END) : NULL;
    const bool kept = !s->n || (end && add(c, end));
    qw_checkpoint_drop(end);
    return kept && !c->failed ? QWREN_OK : qw_fail_memory(err, qw_checkpoint_bytes(&s->model->config.text), "the states of a session");
}

qwren_status qw_session_save(qw_session *s, const char *path, const qw_store_head *head, uint64_t *written, qwren_error *err)
{
    collection c;
    const qw_saved_format f = format_of(s);
    s->n_tried = 0;
    qwren_status st = collect(&c, s, err);
    if (st == QWREN_OK) {
        const qw_saved t = { .n = s->n,
                             .keys = s->memory.keys,
                             .starts = s->memory.starts,
                             .pages = s->cache.pages,
                             .checkpoints = c.at,
                             .n_checkpoints = c.n };
        st = qw_saved_write(path, head, &f, &t, written, err);
    }
    drop_all(&c);
    return st;
}

/* ---- loading */

/* Positions are at most the length, but for a window that was moved, whose positions are not those of its tokens any more. */
static int32_t most_position(const qw_saved *t) { return qw_keys_are_singular(t->keys, t->n) ? INT32_MAX / 2 : (int32_t)t->n; }

/* Right checksums do not make a file ours: what stands for text must be in the vocabulary, and positions within bounds. */
static bool is_sound(const qw_session *s, const qw_saved *t)
{
    const uint64_t n_vocab = (uint64_t)s->model->config.text.vocab_size;
    const int32_t most = most_position(t);
    for (size_t i = 0; i < t->n; i++) {
        const bool is_text = !(t->keys[i] & (QW_PICTURE_KEY | QW_NO_ID));
        if ((is_text && t->keys[i] >= n_vocab) || t->starts[i] < 0 || t->starts[i] > most)
            return false;
    }
    for (size_t i = 0; i < t->n_checkpoints; i++)
        if (t->checkpoints[i]->next_pos < 0 || t->checkpoints[i]->next_pos > most)
            return false;
    return true;
}

/* What does not fit into the cache is not kept there. */
static void keep_checkpoints(const qw_session *s, const qw_saved *t)
{
    for (size_t i = 0; s->prefix && i < t->n_checkpoints; i++)
        qw_prefix_insert(s->prefix, t->keys, t->pages, t->checkpoints[i], NULL);
}

/* The pages are the session's now. */
static void adopt(qw_session *s, qw_saved *t)
{
    qw_session_reset(s);
    if (!t->n)
        return;
    const qw_checkpoint *end = t->checkpoints[t->n_checkpoints - 1];
    keep_checkpoints(s, t);
    qw_kvcache_replace(&s->cache, t->pages, qw_page_count(t->n));
    memset(t->pages, 0, qw_page_count(t->n) * sizeof *t->pages);
    memcpy(s->memory.keys, t->keys, t->n * sizeof *t->keys);
    memcpy(s->memory.starts, t->starts, t->n * sizeof *t->starts);
    qw_states_copy(&s->model->config.text, s->memory.layers, end->layers);
    s->n = s->n_parked = t->n;
    s->next_pos = end->next_pos;
}

qwren_status qw_session_load(qw_session *s, const char *path, const qw_store_head *head, qwren_error *err)
{
    qw_saved t;
    const qw_saved_format f = format_of(s);
    const qw_saved_reader r = { .most = s->plan.n_ctx, .prefix = s->prefix, .writer = &s->cache };
    QW_TRY(qw_saved_read(&t, path, head, &f, &r, err));
    qwren_status st = QWREN_OK;
    if (!is_sound(s, &t))
        st = qw_fail(err, QWREN_E_FORMAT, "%s: holds tokens or positions that this model cannot have; it is damaged, and cannot be used",
                     path);
    else
        adopt(s, &t);
    qw_saved_deinit(&t, &s->cache);
    return st;
}

/* ---- the prefix cache's folder */

qwren_status qw_session_flush(qw_session *s, qwren_error *err)
{
    if (!s->disk || !s->prefix)
        return QWREN_OK;
    qw_session_park(s);
    return qw_prefix_disk_save(s->disk, s->prefix, NULL, err);
}
