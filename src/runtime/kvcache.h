/* The keys and values of one timeline: a table of pages, which other timelines may hold too (pages.h). Grows page by page; what others rely on is copied before it is
 * overwritten. One thread at a time. */
#ifndef QW_RUNTIME_KVCACHE_H
#define QW_RUNTIME_KVCACHE_H

#include "runtime/prefix.h"

typedef struct qw_kvcache {
    qw_page_shape shape;
    qw_prefix *prefix; /* gives memory back when there is none for a page; NULL: nobody does */
    qw_page **pages;   /* [room], the first n_pages are held */
    void **data;       /* [room] their memory: what the layers read */
    size_t n_pages, room;
} qw_kvcache;

/* The machine has memory for `bytes` more, and as much again, or the prefix cache (or NULL) gave so much back. */
bool qw_kvcache_has_memory(qw_prefix *prefix, size_t bytes);
/* A page with the first n positions of `from`, or (n is 0) an empty one, which `writer` writes. E_MEMORY: there is none for it, though the prefix cache (or NULL) gave back all that it had. */
qwren_status qw_kvcache_take(qw_page **out, const qw_page_shape *shape, const qw_page *from, size_t n, qw_prefix *prefix,
                             const void *writer, qwren_error *err);

/* An empty cache; `pages` and `data` [qw_page_count(n_ctx)] are the caller's memory. prefix: of this shape, or NULL. */
void qw_kvcache_init(qw_kvcache *c, const qw_page_shape *shape, qw_page **pages, void **data, size_t n_ctx, qw_prefix *prefix);
/* Positions [n, n + more) may be written from now on, whoever else holds what lies there; those before n stay. E_MEMORY: a page could not be taken, though the
 * prefix cache gave back all that it had, and what is held is as good as before. */
qwren_status qw_kvcache_reserve(qw_kvcache *c, size_t n, size_t more, qwren_error *err);
/* Positions [n, end) may be written, and hold what they held. E_MEMORY: as before. */
qwren_status qw_kvcache_own(qw_kvcache *c, size_t n, size_t end, qwren_error *err);
/* One page more, with what page i holds. E_MEMORY: as before. */
qwren_status qw_kvcache_repeat(qw_kvcache *c, size_t i, qwren_error *err);
/* Only the first n positions are wanted any more: pages behind them are given back. */
void qw_kvcache_truncate(qw_kvcache *c, size_t n);
/* These pages [n_pages] instead, each held for the cache. */
void qw_kvcache_replace(qw_kvcache *c, qw_page *const *from, size_t n_pages);

#endif
