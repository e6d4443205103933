/* The page table of a timeline: pages come with the positions, are shared, and are copied before somebody else's positions would be overwritten. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

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
    qw_kvcache_init(&k->c, &s, k->pages, k->data, N_CTX);
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

static void expect(cache *k, size_t from, size_t end, float who)
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
    expect(&a, 0, 1100, 1);
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
    expect(&a, 0, 800, 1);
    expect(&b, 0, 600, 1), expect(&b, 600, 1100, 2);
    expect(&c, 0, 700, 1), expect(&c, 700, 1024, 3);
    write_cells(&a, 300, 320, 4); /* back into what the others have */
    expect(&b, 0, 600, 1), expect(&c, 0, 700, 1);
    expect(&a, 0, 300, 1), expect(&a, 300, 320, 4);
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
    expect(&b, 0, 700, 1);
    for (size_t i = 100; i < 700; i++)
        *cell(&b, i) = 0;
    expect(&a, 0, 700, 1);
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
    expect(&b, 0, 700, 1);
    fault_fail_at(0);
    write_cells(&b, 700, 1500, 2);
    expect(&b, 0, 700, 1), expect(&b, 700, 1500, 2);
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
    expect(&a, 0, 1500, 1);
    qw_kvcache_truncate(&a.c, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_come_with_positions),          cmocka_unit_test(who_shares_does_not_disturb),
        cmocka_unit_test(what_is_owned_keeps_its_content),    cmocka_unit_test(short_of_memory_is_an_error),
        cmocka_unit_test(a_machine_that_is_full_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
