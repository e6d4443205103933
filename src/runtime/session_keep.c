/* Going back: how a session leaves one timeline and goes to another, and rewinding. The checkpoints that it goes to are made in session_saves.c. Tested by
 * tests/unit/test_session_keep.c. */
#include "base/alloc.h"
#include "runtime/session_parts.h"

#include <string.h>

/* ---- to another timeline */

/* The session stands at `cp`, whose pages were found for it. Its keys and starts are set by the caller. */
static void go_to(qw_session *s, const qw_checkpoint *cp)
{
    qw_kvcache_replace(&s->cache, s->memory.found, qw_page_count(cp->length));
    qw_states_copy(&s->model->config.text, s->memory.layers, cp->layers);
    s->n = s->n_parked = cp->length;
    s->next_pos = cp->next_pos;
    s->n_kept = s->n_tried = s->n_logits = 0;
}

/* Nobody's name is given: the session may be the writer of one of these pages, which it holds for itself as well. */
static void give_back(qw_session *s, const qw_prefix_match *m)
{
    for (size_t i = 0; i < qw_page_count(m->length); i++)
        qw_page_drop(s->memory.found[i], NULL);
    if (m->checkpoint)
        qw_checkpoint_drop(m->checkpoint);
}

static qw_prefix_match find(qw_session *s, const uint64_t *keys, size_t n, size_t most, size_t live)
{
    if (!s->prefix)
        return (qw_prefix_match){ .why = QW_PREFIX_EMPTY };
    most = most < s->plan.n_ctx ? most : s->plan.n_ctx;
    return s->disk ? qw_prefix_disk_find(s->disk, s->prefix, keys, n, live, most, s->memory.found, NULL)
                   : qw_prefix_find(s->prefix, keys, n, most, s->memory.found);
}

/* Tokens that the session's own timeline and t begin with. */
static size_t common_tokens(const qw_session *s, const qw_timeline *t)
{
    size_t n = 0;
    while (n < s->n && n < t->n && s->memory.keys[n] == t->keys[n])
        n++;
    return n;
}

static void take_tokens(qw_session *s, const qw_timeline *t, size_t n)
{
    memcpy(s->memory.keys, t->keys, n * sizeof *t->keys);
    for (size_t i = 0; i < n; i++)
        s->memory.starts[i] = t->pos[i][0];
}

qw_reuse qw_session_reuse(qw_session *s, const qw_timeline *t)
{
    const size_t own = common_tokens(s, t), live = own == s->n && own < t->n ? own : 0;
    const qw_prefix_match m = find(s, t->keys, t->n, t->n ? t->n - 1 : 0, live);
    qw_reuse r = { .n_common = own > m.n_common ? own : m.n_common, .why = m.why };
    if (own == r.n_common && own < s->n && own < t->n && m.length == own)
        r.why = QW_PREFIX_DIFFERS; /* from this session's own timeline, which the cache knows no further than that */
    if (live && m.length <= live) {
        give_back(s, &m);
        r.length = live;
        r.why = live == r.n_common ? QW_PREFIX_NONE : m.why;
        return r;
    }
    if (!m.length) {
        qw_session_reset(s);
        return r;
    }
    qw_session_park(s);
    go_to(s, m.checkpoint);
    take_tokens(s, t, m.length);
    qw_checkpoint_drop(m.checkpoint);
    r.length = m.length;
    return r;
}

/* ---- rewinding */

/* Text tokens [first, first + n) of the session as a timeline. */
static qwren_status timeline_of(qw_timeline *t, const qw_session *s, size_t first, size_t n, qwren_error *err)
{
    *t = (qw_timeline){ .n = n };
    t->ids = qw_alloc_array(n, sizeof *t->ids);
    t->pos = qw_alloc_array(n, sizeof *t->pos);
    t->keys = qw_alloc_array(n, sizeof *t->keys);
    if (!t->ids || !t->pos || !t->keys) {
        qw_timeline_deinit(t);
        return qw_fail_memory(err, n * (sizeof *t->ids + sizeof *t->pos + sizeof *t->keys), "tokens that are computed again");
    }
    for (size_t i = 0; i < n; i++) {
        t->keys[i] = s->memory.keys[first + i];
        t->ids[i] = (int32_t)t->keys[i];
        t->pos[i][0] = t->pos[i][1] = t->pos[i][2] = s->memory.starts[first + i];
    }
    t->next_pos = t->pos[n - 1][0] + 1;
    return QWREN_OK;
}

/* Whether tokens [first, end) can be computed again from what is known of them. */
static qwren_status check_text(const qw_session *s, size_t first, size_t end, qwren_error *err)
{
    for (size_t i = first; i < end; i++)
        if (s->memory.keys[i] >= (uint64_t)s->model->config.text.vocab_size)
            return qw_fail(err, QWREN_E_ARGUMENT,
                           "the session cannot go back to token %zu: from the nearest kept state, at %zu, a picture or a shifted window "
                           "lies between, which "
                           "cannot be computed again from here; eval the conversation anew, or give the cache more room",
                           end, first);
    return QWREN_OK;
}

/* From the checkpoint `m` (length 0: from nothing) up to n. */
static qwren_status recompute(qw_session *s, const qw_prefix_match *m, const qw_timeline *t, size_t n, qwren_error *err)
{
    qw_session_park(s);
    if (m->length)
        go_to(s, m->checkpoint);
    else
        qw_session_reset(s);
    return n > s->n ? qw_session_eval(s, t, 0, t->n, NULL, err) : QWREN_OK;
}

qwren_status qw_session_rewind(qw_session *s, size_t n, qwren_error *err)
{
    qw_timeline t = { 0 };
    if (n > s->n)
        return qw_fail(err, QWREN_E_ARGUMENT, "the session has %zu tokens: it cannot go back to %zu", s->n, n);
    s->n_tried = 0;
    if (n == s->n)
        return QWREN_OK;
    const qw_prefix_match m = find(s, s->memory.keys, n, n, 0);
    qwren_status st = check_text(s, m.length, n, err);
    if (st == QWREN_OK && n > m.length)
        st = timeline_of(&t, s, m.length, n - m.length, err);
    if (st != QWREN_OK) {
        give_back(s, &m);
        return st;
    }
    st = recompute(s, &m, &t, n, err);
    if (m.checkpoint)
        qw_checkpoint_drop(m.checkpoint);
    qw_timeline_deinit(&t);
    return st;
}

/* ---- a second one */

static void copy_logits(qw_session *f, const qw_session *s)
{
    const size_t V = (size_t)s->model->config.text.vocab_size;
    if (!qw_session_logits(s))
        return;
    memcpy(f->memory.logits, qw_session_logits(s), V * sizeof *f->memory.logits);
    memcpy(f->memory.maxima, qw_session_maxima(s), qw_logit_blocks(V) * sizeof *f->memory.maxima);
    f->n_logits = f->n;
}

qwren_status qw_session_fork(qw_session **out, qw_session *s, qwren_error *err)
{
    const qw_session_options opt = {
        .n_ctx = s->plan.n_ctx, .kv_type = s->kv_type, .n_trial = s->plan.n_trial, .prefix = s->prefix, .disk = s->disk
    };
    QW_TRY(qw_session_create(out, s->model, &opt, err));
    qw_session *f = *out;
    qw_session_settle(s);
    for (size_t i = 0; i < qw_page_count(s->n); i++) {
        const size_t filled = s->n - i * QW_KV_PAGE;
        qw_page_hold(s->cache.pages[i]);
        qw_page_freeze(s->cache.pages[i], filled < QW_KV_PAGE ? filled : QW_KV_PAGE);
    }
    qw_kvcache_replace(&f->cache, s->cache.pages, qw_page_count(s->n));
    memcpy(f->memory.keys, s->memory.keys, s->n * sizeof *s->memory.keys);
    memcpy(f->memory.starts, s->memory.starts, s->n * sizeof *s->memory.starts);
    qw_states_copy(&s->model->config.text, f->memory.layers, s->memory.layers);
    f->n = s->n;
    f->n_parked = s->n_parked;
    f->next_pos = s->next_pos;
    copy_logits(f, s);
    return QWREN_OK;
}
