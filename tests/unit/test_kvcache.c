/* The page table of a timeline: pages come with the positions, are shared, and are copied before somebody else's positions would be overwritten. */
#include "support/timelines.h"

#include "base/machine.h"
#include "runtime/kvcache.h"
#include "support/fault.h"

#define N_CTX 2000

static const qw_page_shape shape = { .type = QW_KV_F32, .n_caches = 1, .n_kv_heads = 1, .head_dim = 16 };

typedef struct cache {
    qw_kvcache c;
    qw_page *pages[4];
    void *data[4];
} cache;

static void init(cache *k)
{
    qw_page_shape s = shape;
    s.head_bytes = qw_kv_bytes(s.type, s.head_dim, QW_KV_PAGE);
    s.bytes = s.head_bytes;
    qw_kvcache_init(&k->c, &s, k->pages, k->data, N_CTX, NULL);
}

/* Something that depends on the position and who wrote it, in place of keys. */
static float *cell(cache *k, size_t pos)
{
    const size_t block = qw_kv_block_bytes(shape.type, shape.head_dim), at = pos % QW_KV_PAGE;
    return (float *)(void *)((char *)k->c.data[pos / QW_KV_PAGE] + at / QW_KV_BLOCK * block) + at % QW_KV_BLOCK;
}

static void write_cells(cache *k, size_t from, size_t end, float who)
{
    assert_int_equal(qw_kvcache_reserve(&k->c, from, end - from, NULL), QWREN_OK);
    for (size_t i = from; i < end; i++)
        *cell(k, i) = who + (float)i;
}

static void expect_cells(cache *k, size_t from, size_t end, float who)
{
    for (size_t i = from; i < end; i++)
        assert_float_equal(*cell(k, i), who + (float)i, 0);
}

/* `to` holds the first n positions of `from`. */
static void share(cache *to, cache *from, size_t n)
{
    for (size_t i = 0; i < qw_page_count(n); i++) {
        qw_page_hold(from->pages[i]);
        qw_page_freeze(from->pages[i], n - i * QW_KV_PAGE < QW_KV_PAGE ? n - i * QW_KV_PAGE : QW_KV_PAGE);
    }
    qw_kvcache_replace(&to->c, from->pages, qw_page_count(n));
}

static void pages_come_with_positions(void **state)
{
    (void)state;
    cache a;
    init(&a);
    write_cells(&a, 0, 10, 1);
    assert_int_equal(a.c.n_pages, 1);
    write_cells(&a, 10, 1100, 1);
    assert_int_equal(a.c.n_pages, 3);
    expect_cells(&a, 0, 1100, 1);
    qw_kvcache_truncate(&a.c, 1025);
    assert_int_equal(a.c.n_pages, 3);
    qw_kvcache_truncate(&a.c, 1024);
    assert_int_equal(a.c.n_pages, 2);
    qw_kvcache_truncate(&a.c, 0);
    assert_int_equal(qw_page_live_bytes(), 0);
}

static void who_shares_does_not_disturb(void **state)
{
    (void)state;
    cache a, b, c;
    init(&a), init(&b), init(&c);
    write_cells(&a, 0, 700, 1);
    share(&b, &a, 600);
    share(&c, &a, 700);
    write_cells(&a, 700, 800, 1); /* the writer goes on in its own page */
    write_cells(&b, 600, 1100, 2);
    write_cells(&c, 700, 1024, 3);
    expect_cells(&a, 0, 800, 1);
    expect_cells(&b, 0, 600, 1), expect_cells(&b, 600, 1100, 2);
    expect_cells(&c, 0, 700, 1), expect_cells(&c, 700, 1024, 3);
    write_cells(&a, 300, 320, 4); /* back into what the others have */
    expect_cells(&b, 0, 600, 1), expect_cells(&c, 0, 700, 1);
    expect_cells(&a, 0, 300, 1), expect_cells(&a, 300, 320, 4);
    qw_kvcache_truncate(&a.c, 0), qw_kvcache_truncate(&b.c, 0), qw_kvcache_truncate(&c.c, 0);
    assert_int_equal(qw_page_live_bytes(), 0);
}

static void what_is_owned_keeps_its_content(void **state)
{
    (void)state;
    cache a, b;
    init(&a), init(&b);
    write_cells(&a, 0, 700, 1);
    share(&b, &a, 700);
    assert_int_equal(qw_kvcache_own(&b.c, 100, 700, NULL), QWREN_OK);
    expect_cells(&b, 0, 700, 1);
    for (size_t i = 100; i < 700; i++)
        *cell(&b, i) = 0;
    expect_cells(&a, 0, 700, 1);
    qw_kvcache_truncate(&a.c, 0), qw_kvcache_truncate(&b.c, 0);
}

static void short_of_memory_is_an_error(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    fault_install();
    cache a, b;
    init(&a), init(&b);
    write_cells(&a, 0, 700, 1);
    share(&b, &a, 700);
    fault_fail_at(1);
    assert_int_equal(qw_kvcache_reserve(&b.c, 650, 10, &err), QWREN_E_MEMORY);
    fault_fail_at(1);
    assert_int_equal(qw_kvcache_own(&b.c, 100, 700, &err), QWREN_E_MEMORY);
    fault_fail_at(1);
    assert_int_equal(qw_kvcache_reserve(&a.c, 700, 1000, &err), QWREN_E_MEMORY);
    expect_cells(&b, 0, 700, 1);
    fault_fail_at(0);
    write_cells(&b, 700, 1500, 2);
    expect_cells(&b, 0, 700, 1), expect_cells(&b, 700, 1500, 2);
    qw_kvcache_truncate(&a.c, 0), qw_kvcache_truncate(&b.c, 0);
    fault_remove();
}

/* A page that is larger than what the machine has left is not even asked for; on systems that do not tell, the allocator refuses it. */
static void a_machine_that_is_full_is_an_error(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    cache a;
    init(&a);
    write_cells(&a, 0, 600, 1);
    const size_t bytes = a.c.shape.bytes;
    a.c.shape.bytes = (size_t)1 << 50;
    assert_int_equal(qw_kvcache_reserve(&a.c, 600, 1000, &err), QWREN_E_MEMORY);
    if (qw_machine_get_memory().available != QW_NOT_KNOWN)
        assert_non_null(strstr(err.text, "and this machine has "));
    a.c.shape.bytes = bytes;
    write_cells(&a, 600, 1500, 1);
    expect_cells(&a, 0, 1500, 1);
    qw_kvcache_truncate(&a.c, 0);
}

/* ---- with a prefix cache that has what memory lacks */

typedef struct full {
    qw_prefix *p;
    cache k;
    qw_page_shape shape;
} full;

/* The cache, of some other pages, has four checkpoints with a page each, and k positions [0, 600), of which a timeline with the first 300 is known too. */
static void init_full(full *f)
{
    f->p = new_prefix(SIZE_MAX);
    f->shape = small_shape();
    for (uint64_t i = 1; i <= 4; i++)
        learn(f->p, line(0, i), 100, QW_CHECKPOINT_TURN);
    qw_kvcache_init(&f->k.c, &f->shape, f->k.pages, f->k.data, N_CTX, f->p);
    assert_int_equal(qw_kvcache_reserve(&f->k.c, 0, 600, NULL), QWREN_OK);
    uint64_t hash = 0;
    for (size_t i = 0; i < 600; i++)
        *place_in_page(&f->shape, f->k.pages[i / QW_KV_PAGE], i % QW_KV_PAGE) = hash = hash_on(hash, line(0, 0)[i]);
    qw_checkpoint *cp = fake_checkpoint(line(0, 0), 300, QW_CHECKPOINT_IMAGE);
    assert_int_equal(qw_prefix_insert(f->p, line(0, 0), f->k.pages, cp, NULL), QWREN_OK);
    qw_checkpoint_drop(cp);
}

static void free_full(full *f)
{
    qw_kvcache_truncate(&f->k.c, 0);
    qw_prefix_free(f->p);
    assert_int_equal(qw_page_live_bytes(), 0);
}

static void the_prefix_cache_gives_memory_for_a_page(void **state)
{
    (void)state;
    full f;
    fault_install();
    init_full(&f);
    fault_fail_at(1);
    assert_int_equal(qw_kvcache_reserve(&f.k.c, 600, 600, NULL), QWREN_OK); /* a page more */
    assert_int_equal(fault_failed(), 1);
    assert_int_equal(f.k.c.n_pages, 3);
    assert_int_equal(qw_prefix_statistics(f.p).n_checkpoints, 4);
    fault_fail_at(1);
    assert_int_equal(qw_kvcache_own(&f.k.c, 200, 600, NULL), QWREN_OK); /* a copy, for the cache relies on 300 */
    assert_int_equal(fault_failed(), 2);
    assert_int_equal(qw_prefix_statistics(f.p).n_checkpoints, 3);
    check_pages(&f.shape, line(0, 0), 600, f.k.pages);
    expect(f.p, line(0, 0), 600, 600, 300, 300, QW_PREFIX_NONE);
    free_full(&f);
    fault_remove();
}

/* When nothing helps the cache is empty: then a page that it alone relied on needs no copy. */
static void what_the_prefix_cache_let_go_is_not_copied(void **state)
{
    (void)state;
    full f;
    qwren_error err = { 0 };
    init_full(&f);
    const size_t bytes = f.k.c.shape.bytes;
    f.k.c.shape.bytes = (size_t)1 << 50; /* of which no machine has two */
    assert_int_equal(qw_kvcache_reserve(&f.k.c, 600, 1000, &err), QWREN_E_MEMORY);
    assert_int_equal(qw_prefix_statistics(f.p).n_checkpoints, 0);
    assert_int_equal(qw_kvcache_own(&f.k.c, 200, 600, &err), QWREN_OK);
    f.k.c.shape.bytes = bytes;
    check_pages(&f.shape, line(0, 0), 600, f.k.pages);
    assert_int_equal(qw_kvcache_reserve(&f.k.c, 600, 1000, &err), QWREN_OK);
    free_full(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_come_with_positions),
        cmocka_unit_test(who_shares_does_not_disturb),
        cmocka_unit_test(what_is_owned_keeps_its_content),
        cmocka_unit_test(short_of_memory_is_an_error),
        cmocka_unit_test(a_machine_that_is_full_is_an_error),
        cmocka_unit_test(the_prefix_cache_gives_memory_for_a_page),
        cmocka_unit_test(what_the_prefix_cache_let_go_is_not_copied),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
