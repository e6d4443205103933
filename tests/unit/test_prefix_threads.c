/* Many sessions on one prefix cache, each in a thread of its own: they find, write on, insert, and walk, while others drop. For the thread sanitizer; that everybody reads what
 * belongs to its keys is checked without it too. */
#include "support/timelines.h"

#include <pthread.h>

#define N_THREADS 6
#define N_STEPS 250

typedef struct worker {
    qw_prefix *p;
    uint64_t seed;
    size_t n_found;
} worker;

static bool check_item(void *ctx, const qw_prefix_item *item)
{
    const worker *w = ctx;
    const qw_page_shape s = small_shape();
    const size_t n = item->checkpoint->length, last = (n - 1) % QW_KV_PAGE + 1;
    check_checkpoint(item->checkpoint, item->keys, n);
    check_pages(&s, item->keys, n, item->pages);
    qw_page *copy; /* while its writer adds to the same block */
    assert_int_equal(qw_page_copy(&copy, item->pages[item->n_pages - 1], last, w, NULL), QWREN_OK);
    qw_page_drop(copy, w);
    if (n % 3 == 0)
        qw_prefix_mark_saved(w->p, item->checkpoint);
    return n % 5 != 0;
}

/* What all threads begin with, so that they meet. */
static void imagine(qw_rng *r, uint64_t *keys, size_t *n)
{
    const uint32_t line = qw_rng_u32(r) % 4;
    const size_t from = line * 150 + qw_rng_u32(r) % 3 * 40;
    for (size_t i = 0; i < from + 100; i++)
        keys[i] = i < from ? i : i + 100 * line;
    *n = from + 100 + qw_rng_u32(r) % 200;
    random_keys(r, keys, from + 100, *n, 2);
}

static void *work(void *ctx)
{
    worker *w = ctx;
    fake *s = fake_new();
    uint64_t keys[MAX_KEYS];
    qw_rng r;
    size_t n;
    qw_rng_seed(&r, w->seed);
    for (size_t i = 0; i < N_STEPS; i++) {
        imagine(&r, keys, &n);
        w->n_found += fake_find(s, w->p, keys, n, n).length;
        fake_eval(s, keys, n);
        fake_insert(s, w->p, 1 + qw_rng_u32(&r) % n, QW_CHECKPOINT_INTERVAL, NULL);
        fake_insert(s, w->p, n, QW_CHECKPOINT_TURN, NULL);
        random_keys(&r, keys, n, n + 20, 2);
        fake_eval(s, keys, n + 20); /* while others have its pages already */
        check_pages(&s->shape, keys, n + 20, s->pages);
        if (i % 10 == 0)
            assert_int_equal(qw_prefix_each(w->p, i % 20 == 0, check_item, w, NULL), QWREN_OK);
        qw_prefix_trim(w->p);
    }
    fake_free(s);
    return NULL;
}

static void many_sessions_share_one_cache(void **state)
{
    (void)state;
    const qw_page_shape shape = small_shape();
    const qw_text_config c = small_config();
    worker workers[N_THREADS];
    pthread_t threads[N_THREADS];
    qw_prefix *p;
    size_t n_found = 0;
    const qw_prefix_options opt = { 20 * (shape.bytes + qw_checkpoint_bytes(&c)) };
    assert_int_equal(qw_prefix_create(&p, &shape, &opt, NULL), QWREN_OK);
    for (size_t i = 0; i < N_THREADS; i++) {
        workers[i] = (worker){ p, i + 1, 0 };
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (size_t i = 0; i < N_THREADS; i++) {
        pthread_join(threads[i], NULL);
        n_found += workers[i].n_found;
    }
    qw_prefix_trim(p);
    const qw_prefix_stats s = qw_prefix_statistics(p);
    assert_true(s.bytes <= s.budget_bytes);
    assert_int_equal(s.n_pages, s.n_idle_pages);
    assert_true(s.evictions > 0 && s.hits > 0 && n_found > 0);
    assert_int_equal(s.hits + s.misses, N_THREADS * N_STEPS);
    qw_prefix_free(p);
    assert_int_equal(qw_page_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(many_sessions_share_one_cache) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
