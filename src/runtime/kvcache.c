/* The page table of a timeline (kvcache.h). Tested by tests/unit/test_kvcache.c. */
#include "runtime/kvcache.h"

#include "base/machine.h"

/* Pages from this one on get huge pages of the system: a timeline that came so far will fill them, and is read faster in them; a short one must stay small. */
#define HUGE_FROM 8

void qw_kvcache_init(qw_kvcache *c, const qw_page_shape *shape, qw_page **pages, void **data, size_t n_ctx, qw_prefix *prefix)
{
    *c = (qw_kvcache){ .shape = *shape, .prefix = prefix, .pages = pages, .data = data, .room = qw_page_count(n_ctx) };
}

static void put(qw_kvcache *c, size_t i, qw_page *page)
{
    c->pages[i] = page;
    c->data[i] = qw_page_data(page);
}

/* ---- memory */

/* Linux promises memory that it has not, and ends the process that touches it: a page is asked for only while there is some, or in exchange for what the prefix cache gives
 * back, so that the process does not grow. Looked at once for 512 tokens. */
static bool has_memory(uint64_t available, qw_prefix *prefix, size_t bytes)
{
    return available / 2 >= bytes || (prefix && qw_prefix_give_back(prefix, bytes) >= bytes);
}

bool qw_kvcache_has_memory(qw_prefix *prefix, size_t bytes) { return has_memory(qw_machine_get_memory().available, prefix, bytes); }

static qwren_status check_machine(const qw_page_shape *shape, qw_prefix *prefix, qwren_error *err)
{
    const uint64_t available = qw_machine_get_memory().available;
    if (has_memory(available, prefix, shape->bytes))
        return QWREN_OK;
    return qw_fail(err, QWREN_E_MEMORY, "keys and values of %d more tokens need %zu bytes, and this machine has %llu left for all",
                   QW_KV_PAGE, shape->bytes, (unsigned long long)available);
}

/* What was refused may be there when the prefix cache has given something back. */
qwren_status qw_kvcache_take(qw_page **out, const qw_page_shape *shape, const qw_page *from, size_t n, qw_prefix *prefix,
                             const void *writer, qwren_error *err)
{
    qwren_status st;
    *out = NULL;
    QW_TRY(check_machine(shape, prefix, err));
    do
        st = n ? qw_page_copy(out, from, n, writer, err) : qw_page_take(out, shape, writer, err);
    while (st == QWREN_E_MEMORY && prefix && qw_prefix_give_back(prefix, shape->bytes));
    return st;
}

/* ---- the table */

static qwren_status take(const qw_kvcache *c, qw_page **page, const qw_page *from, size_t n, qwren_error *err)
{
    return qw_kvcache_take(page, &c->shape, from, n, c->prefix, c, err);
}

static qwren_status append(qw_kvcache *c, qwren_error *err)
{
    qw_page *page = NULL;
    QW_TRY(take(c, &page, NULL, 0, err));
    if (c->n_pages >= HUGE_FROM)
        qw_page_huge(page);
    put(c, c->n_pages++, page);
    return QWREN_OK;
}

/* Page i may be written from its position `at` on; its first `n` hold what they held. */
static qwren_status own(qw_kvcache *c, size_t i, size_t at, size_t n, qwren_error *err)
{
    qw_page *old = c->pages[i], *copy = NULL;
    if (qw_page_claim(old, c, at))
        return QWREN_OK;
    const qwren_status st = take(c, &copy, old, n, err);
    if (st != QWREN_OK) /* but when the prefix cache has let go of it nobody relies on it any more */
        return qw_page_claim(old, c, at) ? QWREN_OK : st;
    put(c, i, copy);
    qw_page_drop(old, c);
    return QWREN_OK;
}

qwren_status qw_kvcache_reserve(qw_kvcache *c, size_t n, size_t more, qwren_error *err)
{
    const size_t wanted = qw_page_count(n + more);
    for (size_t i = n / QW_KV_PAGE, at = n % QW_KV_PAGE; more && i < wanted && i < c->n_pages; i++, at = 0)
        QW_TRY(own(c, i, at, at, err));
    while (c->n_pages < wanted)
        QW_TRY(append(c, err));
    return QWREN_OK;
}

qwren_status qw_kvcache_own(qw_kvcache *c, size_t n, size_t end, qwren_error *err)
{
    for (size_t i = n / QW_KV_PAGE; i < qw_page_count(end); i++) {
        const size_t filled = end - i * QW_KV_PAGE;
        QW_TRY(own(c, i, i == n / QW_KV_PAGE ? n % QW_KV_PAGE : 0, filled < QW_KV_PAGE ? filled : QW_KV_PAGE, err));
    }
    return QWREN_OK;
}

qwren_status qw_kvcache_repeat(qw_kvcache *c, size_t i, qwren_error *err)
{
    qw_page *page = NULL;
    QW_TRY(take(c, &page, c->pages[i], QW_KV_PAGE, err));
    put(c, c->n_pages++, page);
    return QWREN_OK;
}

void qw_kvcache_truncate(qw_kvcache *c, size_t n)
{
    while (c->n_pages > qw_page_count(n))
        qw_page_drop(c->pages[--c->n_pages], c);
}

void qw_kvcache_replace(qw_kvcache *c, qw_page *const *from, size_t n_pages)
{
    qw_kvcache_truncate(c, 0);
    for (size_t i = 0; i < n_pages; i++)
        put(c, i, from[i]);
    c->n_pages = n_pages;
}
