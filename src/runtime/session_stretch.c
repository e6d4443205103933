/* A long timeline without computing it, for measuring what comes behind it. Tested by tests/unit/test_session_stretch.c. */
#include "runtime/session_parts.h"

static qwren_status check(const qw_session *s, size_t n, qwren_error *err)
{
    if (s->n == 0 || s->n % QW_KV_PAGE || n < s->n)
        return qw_fail(err, QWREN_E_ARGUMENT,
                       "a timeline of %zu tokens cannot be stretched to %zu: it has a multiple of %d to repeat, and only grows", s->n, n,
                       QW_KV_PAGE);
    if (n > s->plan.n_ctx)
        return qw_fail(err, QWREN_E_LIMIT, "%zu tokens do not fit into the context of %zu", n, s->plan.n_ctx);
    return QWREN_OK;
}

/* Pages up to position n, the new ones copies of the first; on failure as before. */
static qwren_status copy_pages(qw_session *s, size_t n, qwren_error *err)
{
    qw_kvcache *c = &s->cache;
    qw_kvcache_truncate(c, s->n); /* rows on trial may lie in a page behind the end */
    const size_t before = c->n_pages;
    qw_page_freeze(c->pages[0], QW_KV_PAGE);
    while (c->n_pages < qw_page_count(n)) {
        qwren_status st = qw_kvcache_repeat(c, 0, err);
        if (st != QWREN_OK) {
            qw_kvcache_truncate(c, before * QW_KV_PAGE);
            return st;
        }
    }
    return QWREN_OK;
}

qwren_status qw_session_stretch(qw_session *s, size_t n, qwren_error *err)
{
    QW_TRY(check(s, n, err));
    qw_session_park(s);
    s->n_tried = 0;
    QW_TRY(copy_pages(s, n, err));
    while (s->n < n) {
        s->memory.keys[s->n] = QW_NO_ID | s->n;
        s->memory.starts[s->n++] = s->next_pos++;
    }
    s->n_parked = s->n;
    s->n_logits = 0;
    return QWREN_OK;
}
