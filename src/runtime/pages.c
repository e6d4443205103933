/* Pages of keys and values (pages.h): counting their holders, telling who may write, copying. Between the session, which writes them, and the prefix cache, which keeps them.
 * Tested by tests/unit/test_pages.c and test_prefix_threads.c.
 *
 * One lock for all pages of the process guards the counts: it is taken once for hundreds of tokens, so nobody waits for it. The bytes of a page need none: those in front of
 * `frozen` are not written any more, those behind it are read by the writer alone. */
#include "runtime/pages.h"

#include "base/alloc.h"

#include <pthread.h>
#include <string.h>

struct qw_page {
    qw_page_shape shape;
    size_t refs;
    size_t frozen;      /* positions in front of it are relied on */
    const void *writer; /* NULL: nobody at present */
    size_t shares;      /* of refs, those of the prefix cache */
    qw_page_account *account;
};

#define HEADER ((sizeof(qw_page) + QW_ALIGN - 1) / QW_ALIGN * QW_ALIGN)

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static size_t live_bytes;

qwren_status qw_page_shape_make(qw_page_shape *out, const qw_text_config *c, qw_kv_type type, qwren_error *err)
{
    size_t caches, bytes;
    *out = (qw_page_shape){ .type = type,
                            .n_caches = (size_t)c->n_attention_layers,
                            .n_kv_heads = (size_t)c->n_kv_heads,
                            .head_dim = (size_t)c->head_dim,
                            .head_bytes = qw_kv_bytes(type, (size_t)c->head_dim, QW_KV_PAGE) };
    if (!qw_mul_size(out->head_bytes, out->n_kv_heads, &caches) || !qw_mul_size(caches, out->n_caches, &out->bytes) ||
        !qw_add_size(out->bytes, HEADER, &bytes))
        return qw_fail(err, QWREN_E_LIMIT, "%d positions of %d attention layers need more memory than this machine can address", QW_KV_PAGE,
                       c->n_attention_layers);
    return QWREN_OK;
}

/* ---- holders */

/* Parts of a block are rounded up to 64 bytes. What nobody writes there gets into files: zeros, then. Where rows are multiples of that, as in real models, there is none of it, and the
 * page remains untouched. */
static bool has_gaps(const qw_page_shape *s) { return s->head_dim % 64 != 0; }

qwren_status qw_page_take(qw_page **out, const qw_page_shape *shape, const void *writer, qwren_error *err)
{
    const size_t bytes = HEADER + shape->bytes;
    qw_page *page = *out = qw_alloc_huge(bytes);
    if (!page)
        return qw_fail_memory(err, bytes, "keys and values");
    *page = (qw_page){ .shape = *shape, .refs = 1, .writer = writer };
    if (has_gaps(shape))
        memset(qw_page_data(page), 0, shape->bytes);
    pthread_mutex_lock(&lock);
    live_bytes += bytes;
    pthread_mutex_unlock(&lock);
    return QWREN_OK;
}

void qw_page_hold(qw_page *page)
{
    pthread_mutex_lock(&lock);
    if (page->shares && page->shares == page->refs)
        page->account->n_idle--;
    page->refs++;
    pthread_mutex_unlock(&lock);
}

/* Frees a page that nobody holds any more. */
static void unlock_and_free(qw_page *page)
{
    const bool last = page->refs == 0;
    if (last)
        live_bytes -= HEADER + page->shape.bytes;
    pthread_mutex_unlock(&lock);
    if (last)
        qw_free_aligned(page);
}

void qw_page_drop(qw_page *page, const void *who)
{
    if (!page)
        return;
    pthread_mutex_lock(&lock);
    if (page->writer == who)
        page->writer = NULL;
    page->refs--;
    if (page->shares && page->shares == page->refs)
        page->account->n_idle++;
    unlock_and_free(page);
}

void qw_page_share(qw_page *page, qw_page_account *account)
{
    pthread_mutex_lock(&lock);
    if (page->shares++ == 0)
        account->n_pages++;
    page->account = account;
    page->refs++;
    pthread_mutex_unlock(&lock);
}

void qw_page_unshare(qw_page *page, qw_page_account *account)
{
    pthread_mutex_lock(&lock);
    page->refs--;
    if (--page->shares == 0) {
        account->n_idle -= page->refs == 0;
        account->n_pages--;
    }
    unlock_and_free(page);
}

qw_page_account qw_page_account_now(const qw_page_account *account)
{
    pthread_mutex_lock(&lock);
    const qw_page_account now = *account;
    pthread_mutex_unlock(&lock);
    return now;
}

bool qw_page_lonely(const qw_page *page)
{
    pthread_mutex_lock(&lock);
    const bool lonely = page->refs == 1 && page->shares == 1;
    pthread_mutex_unlock(&lock);
    return lonely;
}

void *qw_page_data(qw_page *page) { return (char *)page + HEADER; }
void qw_page_huge(qw_page *page) { qw_huge_pages(page, HEADER + page->shape.bytes); }

size_t qw_page_live_bytes(void)
{
    pthread_mutex_lock(&lock);
    const size_t bytes = live_bytes;
    pthread_mutex_unlock(&lock);
    return bytes;
}

/* ---- writing */

bool qw_page_claim(qw_page *page, const void *who, size_t at)
{
    pthread_mutex_lock(&lock);
    if (page->refs == 1 && page->frozen > at)
        page->frozen = at; /* those who relied on more are gone */
    const bool may = page->frozen <= at && (page->refs == 1 || page->writer == who || !page->writer);
    if (may)
        page->writer = who;
    pthread_mutex_unlock(&lock);
    return may;
}

void qw_page_freeze(qw_page *page, size_t n)
{
    pthread_mutex_lock(&lock);
    if (page->frozen < n)
        page->frozen = n;
    pthread_mutex_unlock(&lock);
}

/* ---- copying */

#if defined(__has_feature)
#  if __has_feature(thread_sanitizer)
#    define UNWATCHED __attribute__((no_sanitize("thread")))
#  endif
#elif defined(__SANITIZE_THREAD__)
#  define UNWATCHED __attribute__((no_sanitize("thread")))
#endif
#if !defined(UNWATCHED)
#  define UNWATCHED
#endif

/* A block of which only the first positions are frozen: its writer may be adding others to it at this moment. What is read of those means nothing to anybody, and
 * what is frozen does not change, in whichever word it lies: so word by word, each read once, without the thread sanitizer. */
UNWATCHED void qw_page_copy_open_block(char *to, const char *from, size_t bytes)
{
    for (size_t i = 0; i < bytes; i += sizeof(uint64_t)) {
        const uint64_t word = __atomic_load_n((const uint64_t *)(const void *)(from + i), __ATOMIC_RELAXED);
        memcpy(to + i, &word, sizeof word);
    }
}

/* The first n positions of every head. */
static void copy_heads(const qw_page_shape *s, char *to, const char *from, size_t n)
{
    const size_t heads = s->n_caches * s->n_kv_heads, open = qw_kv_block_bytes(s->type, s->head_dim),
                 closed = qw_kv_bytes(s->type, s->head_dim, n / QW_KV_BLOCK * QW_KV_BLOCK);
    for (size_t h = 0; h < heads; h++, to += s->head_bytes, from += s->head_bytes) {
        memcpy(to, from, closed);
        if (n % QW_KV_BLOCK)
            qw_page_copy_open_block(to + closed, from + closed, open);
    }
}

qwren_status qw_page_copy(qw_page **out, const qw_page *page, size_t n, const void *writer, qwren_error *err)
{
    const qw_page_shape *s = &page->shape;
    QW_TRY(qw_page_take(out, s, writer, err));
    if (n == QW_KV_PAGE)
        qw_page_huge(*out);
    copy_heads(s, qw_page_data(*out), (const char *)page + HEADER, n);
    return QWREN_OK;
}
