/* Pages: the memory of keys and values, QW_KV_PAGE positions of all attention layers at a time. Timelines that begin alike hold the same pages; a page goes when its last
 * holder drops it.
 *
 *   | layer 0: head 0, head 1, ... | layer 1: ... |      attention layers in order, each head qw_kv_bytes(type, head_dim, QW_KV_PAGE) (kernels/kv.h)
 *
 * Who writes: a page is shared while positions are still being added to it. Its *writer* alone adds some, behind the positions that another holder relies on (the *frozen*
 * ones), and these are never written again. Everybody else who wants to add takes a copy. So a holder may read the frozen positions at any time without a lock.
 *
 * All functions may be called from several threads at once, for one page too. `who` and `writer` are only compared, never followed: the address of a
 * qw_kvcache or of a qw_prefix_disk. */
#ifndef QW_RUNTIME_PAGES_H
#define QW_RUNTIME_PAGES_H

#include "compute/ops.h"
#include "model/config.h"

/* What all pages of a model with one cache type are like. */
typedef struct qw_page_shape {
    qw_kv_type type;
    size_t n_caches; /* attention layers */
    size_t n_kv_heads, head_dim;
    size_t head_bytes; /* of one head of one layer: QW_KV_PAGE positions */
    size_t bytes;      /* of a page */
} qw_page_shape;
/* E_LIMIT when a page had more bytes than there can be. */
qwren_status qw_page_shape_make(qw_page_shape *out, const qw_text_config *c, qw_kv_type type, qwren_error *err);
/* Where the heads of the cache-th attention layer begin in a page (qw_layer_state.offset). */
static inline size_t qw_page_offset(const qw_page_shape *s, size_t cache) { return cache * s->n_kv_heads * s->head_bytes; }
/* Pages of so many positions. */
static inline size_t qw_page_count(size_t n_positions) { return n_positions / QW_KV_PAGE + (n_positions % QW_KV_PAGE != 0); }

typedef struct qw_page qw_page;

/* A page that the caller holds, and that `writer` writes. Its bytes are not touched where head_dim is a multiple of 64: the system gives memory for those that are used. On failure *out is NULL. */
qwren_status qw_page_take(qw_page **out, const qw_page_shape *shape, const void *writer, qwren_error *err);
/* One holder more, or less; the writer that drops a page writes it no more. NULL may be dropped. */
void qw_page_hold(qw_page *page);
void qw_page_drop(qw_page *page, const void *who);
void *qw_page_data(qw_page *page); /* [shape->bytes], aligned to QW_ALIGN */
/* Asks for huge pages, for one who is going to fill all of it (base/alloc.h). */
void qw_page_huge(qw_page *page);

/* `who` holds the page, once, and is about to write positions (of the page, so at <= QW_KV_PAGE) from `at` on. True: it may, until it drops the page, and is its writer now. It
 * may when it is the only holder, or when it or nobody is the writer and nobody relies on positions >= at. False: it takes a qw_page_copy() of the first `at`
 * positions in place of this page. A page is claimed anew whenever writing goes back, or behind a qw_page_freeze(); the writer need not claim it for each token. */
bool qw_page_claim(qw_page *page, const void *who, size_t at);
/* A holder relies on the first n positions from now on. Called by the page's writer, or by one who has found these positions frozen. */
void qw_page_freeze(qw_page *page, size_t n);
/* A new page that begins like this one; the caller holds it, `writer` writes it. The first n positions must be frozen or the caller's own. On failure *out is NULL. */
qwren_status qw_page_copy(qw_page **out, const qw_page *page, size_t n, const void *writer, qwren_error *err);
/* A block of which only the first positions are frozen, and whose writer may be adding others at this moment. */
void qw_page_copy_open_block(char *to, const char *from, size_t bytes);

/* Bytes of all pages of the process that somebody holds. */
size_t qw_page_live_bytes(void);
/* ---- for the prefix cache, one at a time for a page */

/* The pages that a cache holds, in one place or several; and those of them that nobody else holds, which are there because of the cache alone. */
typedef struct qw_page_account {
    size_t n_pages, n_idle;
} qw_page_account;
/* The cache holds the page in one place more, or less. The account outlives that. */
void qw_page_share(qw_page *page, qw_page_account *account);
void qw_page_unshare(qw_page *page, qw_page_account *account);
/* The figures at this moment: holders outside of the cache come and go. */
qw_page_account qw_page_account_now(const qw_page_account *account);
/* Nobody holds it but the cache, in one place. */
bool qw_page_lonely(const qw_page *page);

#endif
