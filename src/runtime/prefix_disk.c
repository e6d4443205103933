/* The prefix cache between runs (prefix_disk.h): opening, and looking up. prefix_disk_load.c reads pieces, prefix_disk_save.c writes them,
 * prefix_index.c knows the folder. Tested by tests/unit/test_prefix_disk.c. */
#include "base/alloc.h"
#include "runtime/prefix_disk_parts.h"

qwren_status qw_prefix_disk_open(qw_prefix_disk **out, const char *dir, const qw_store_head *head, const qw_saved_format *f,
                                 uint64_t budget_bytes, qwren_error *err)
{
    *out = NULL;
    qw_prefix_disk *d = qw_calloc(1, sizeof *d);
    if (!d)
        return qw_fail_memory(err, sizeof *d, "a cache of prefixes on disk");
    d->format = *f;
    d->budget = budget_bytes;
    const qwren_status st = qw_prefix_index_init(&d->index, dir, head, err);
    if (st != QWREN_OK) {
        qw_free(d);
        return st;
    }
    pthread_mutex_init(&d->lock, NULL);
    qw_prefix_index_shrink(&d->index, budget_bytes);
    *out = d;
    return QWREN_OK;
}

void qw_prefix_disk_close(qw_prefix_disk *d)
{
    if (!d)
        return;
    qw_prefix_index_deinit(&d->index);
    pthread_mutex_destroy(&d->lock);
    qw_free(d);
}

qw_prefix_disk_stats qw_prefix_disk_statistics(qw_prefix_disk *d)
{
    pthread_mutex_lock(&d->lock);
    qw_prefix_disk_stats s = { .bytes = d->index.bytes, .loads = d->loads, .saves = d->saves };
    for (size_t i = 0; i < d->index.n; i++)
        s.n_files += d->index.at[i].ours;
    pthread_mutex_unlock(&d->lock);
    return s;
}

qwren_status qw_prefix_disk_refresh(qw_prefix_disk *d, qwren_error *err)
{
    pthread_mutex_lock(&d->lock);
    const qwren_status st = qw_prefix_index_refresh(&d->index, err);
    pthread_mutex_unlock(&d->lock);
    return st;
}

/* Pieces that go on behind `known` tokens, and further than `had`. */
static qw_piece *find_chain(qw_prefix_disk *d, const uint64_t *keys, size_t known, size_t had, size_t most, size_t *n)
{
    qw_piece *chain = NULL;
    *n = 0;
    pthread_mutex_lock(&d->lock);
    qw_prefix_index_chain(&d->index, keys, known, most, &chain, n, NULL);
    pthread_mutex_unlock(&d->lock);
    if (chain && chain[*n - 1].end <= had) {
        qw_free(chain);
        chain = NULL;
    }
    return chain;
}

void qw_prefix_disk_renew(const qw_prefix_disk *d, const qw_piece *chain, size_t n)
{
    for (size_t i = n; i-- > 0;)
        qw_prefix_index_renew(&d->index, chain[i].id);
}

static void count_loads(qw_prefix_disk *d, size_t n)
{
    pthread_mutex_lock(&d->lock);
    d->loads += n;
    pthread_mutex_unlock(&d->lock);
}

qw_prefix_match qw_prefix_disk_find(qw_prefix_disk *d, qw_prefix *p, const uint64_t *keys, size_t n, size_t had, size_t most,
                                    qw_page **pages, size_t *loaded)
{
    bool looks = qw_prefix_disk_refresh(d, NULL) == QWREN_OK;
    if (loaded)
        *loaded = 0;
    for (;;) {
        size_t n_chain;
        qw_prefix_match m = qw_prefix_find(p, keys, n, most, pages);
        qw_piece *chain = looks ? find_chain(d, keys, m.length, had, most, &n_chain) : NULL;
        if (!chain)
            return m;
        const size_t known = m.length;
        const qwren_status st = qw_prefix_disk_extend(d, p, keys, most, &m, pages, chain, n_chain);
        if (st == QWREN_OK) {
            qw_prefix_disk_renew(d, chain, n_chain);
            count_loads(d, n_chain);
            if (loaded)
                *loaded = m.length - known;
        }
        qw_free(chain);
        if (st == QWREN_OK)
            return m;
        looks = st != QWREN_E_MEMORY;
    }
}
