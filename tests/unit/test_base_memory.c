/* base/alloc.c, base/arena.c and base/buf.c: every byte through the allocator of qwren.h, every size checked, every failure told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/arena.h"
#include "base/buf.h"
#include "support/fault.h"

static int counted(void **state)
{
    (void)state;
    fault_install();
    return 0;
}
static int balanced(void **state)
{
    (void)state;
    fault_remove();
    return 0;
}

/* ---- alloc */

static void sizes_that_overflow_are_refused_without_asking_the_heap(void **state)
{
    (void)state;
    size_t out = 0;
    assert_true(qw_mul_size(1u << 16, 1u << 10, &out));
    assert_int_equal(out, 1u << 26);
    assert_false(qw_mul_size(SIZE_MAX / 2, 3, &out));
    assert_true(qw_add_size(SIZE_MAX - 1, 1, &out));
    assert_int_equal(out, SIZE_MAX);
    assert_false(qw_add_size(SIZE_MAX, 1, &out));
    assert_null(qw_alloc_array(SIZE_MAX / 4, 5));
    assert_null(qw_calloc(SIZE_MAX / 4, 5));
    assert_null(qw_realloc_array(NULL, SIZE_MAX / 4, 5));
    assert_null(qw_alloc_aligned(SIZE_MAX - 8));
    assert_int_equal(fault_calls(), 0);
}

static void every_function_uses_the_callers_allocator(void **state)
{
    (void)state;
    void *p[7] = { qw_malloc(10), qw_calloc(3, 7), qw_alloc_array(4, 4), qw_realloc(NULL, 9), qw_strdup("abc"), qw_strndup("a\0b", 3) };
    p[6] = qw_realloc_array(qw_malloc(1), 8, 8);
    for (size_t i = 0; i < 7; i++)
        assert_non_null(p[i]);
    assert_int_equal(fault_live(), 7);
    assert_memory_equal(p[1], (char[21]){ 0 }, 21);
    assert_string_equal(p[4], "abc");
    assert_memory_equal(p[5], "a\0b", 4);
    for (size_t i = 0; i < 7; i++)
        qwren_free(p[i]);
    qw_free(NULL);
    qwren_free(NULL);
    qw_free_aligned(NULL);
    assert_int_equal(fault_live(), 0);
}

static void size_zero_gives_a_pointer_of_its_own(void **state)
{
    (void)state;
    void *a = qw_malloc(0), *b = qw_malloc(0), *c = qw_calloc(0, 8), *d = qw_alloc_aligned(0);
    assert_true(a && b && c && d && a != b);
    a = qw_realloc(a, 0);
    assert_non_null(a);
    qw_free(a);
    qw_free(b);
    qw_free(c);
    qw_free_aligned(d);
}

static void aligned_memory_is_aligned_and_wholly_usable(void **state)
{
    (void)state;
    for (size_t size = 1; size < 300; size += 13) {
        unsigned char *p = qw_alloc_aligned(size);
        assert_non_null(p);
        assert_int_equal((uintptr_t)p % QW_ALIGN, 0);
        memset(p, 0xA5, size); /* a sanitizer sees a byte too many */
        qw_free_aligned(p);
    }
    unsigned char *large = qw_alloc_huge(QW_HUGE_LEAST);
    assert_non_null(large);
    assert_int_equal((uintptr_t)large % QW_HUGE_PAGE, 0);
    large[0] = large[QW_HUGE_LEAST - 1] = 1;
    qw_free_aligned(large);
}

/* Whatever it begins and ends with. */
static void huge_pages_change_no_byte(void **state)
{
    (void)state;
    const size_t size = 3 * QW_HUGE_LEAST;
    unsigned char *p = qw_alloc_aligned(size);
    assert_non_null(p);
    qw_huge_pages(NULL, 0);
    qw_huge_pages(p, QW_HUGE_LEAST - 1);
    memset(p, 1, size / 2);
    qw_huge_pages(p, size);
    qw_huge_pages(p + 3, size - 5);
    memset(p + size / 2, 2, size - size / 2);
    for (size_t i = 0; i < size; i += 509)
        assert_int_equal(p[i], i < size / 2 ? 1 : 2);
    qw_free_aligned(p);
}

static void a_failing_allocator_is_answered_with_null(void **state)
{
    (void)state;
    fault_fail_at(1);
    assert_null(qw_malloc(1));
    fault_fail_at(1);
    assert_null(qw_calloc(1, 1));
    fault_fail_at(1);
    assert_null(qw_strdup("x"));
    fault_fail_at(1);
    assert_null(qw_alloc_aligned(64));
    char *p = qw_strdup("kept");
    fault_fail_at(1);
    assert_null(qw_realloc(p, 4096));
    assert_string_equal(p, "kept");
    qw_free(p);
    assert_int_equal(fault_failed(), 5);
}

/* ---- arena */

static void arena_pieces_are_aligned_and_do_not_overlap(void **state)
{
    (void)state;
    qw_arena a;
    unsigned char *pieces[200];
    qw_arena_init(&a, 512);
    assert_int_equal(fault_calls(), 0);
    for (size_t i = 0; i < 200; i++) {
        pieces[i] = qw_arena_alloc(&a, i);
        assert_non_null(pieces[i]);
        assert_int_equal((uintptr_t)pieces[i] % 16, 0);
        memset(pieces[i], (int)i, i);
    }
    for (size_t i = 0; i < 200; i++)
        for (size_t k = 0; k < i; k++)
            assert_int_equal(pieces[i][k], i);
    qw_arena_deinit(&a);
    assert_int_equal(fault_live(), 0);
}

static void an_arena_takes_pieces_larger_than_its_block(void **state)
{
    (void)state;
    qw_arena a;
    qw_arena_init(&a, 64);
    char *big = qw_arena_alloc(&a, 100000);
    assert_non_null(big);
    memset(big, 1, 100000);
    char *text = qw_arena_strndup(&a, "a\0b", 3);
    assert_memory_equal(text, "a\0b", 4);
    assert_null(qw_arena_alloc(&a, SIZE_MAX - 4));
    assert_null(qw_arena_alloc(&a, SIZE_MAX / 2 * 2));
    qw_arena_deinit(&a);
    qw_arena_deinit(&a); /* harmless on an empty one */
}

static void a_reset_arena_reuses_its_memory(void **state)
{
    (void)state;
    qw_arena a;
    qw_arena_init(&a, 4096);
    qw_arena_reset(&a);
    assert_non_null(qw_arena_alloc(&a, 1000));
    size_t calls = fault_calls();
    for (int i = 0; i < 100; i++) {
        qw_arena_reset(&a);
        assert_non_null(qw_arena_alloc(&a, 1000));
        assert_non_null(qw_arena_alloc(&a, 3000));
    }
    assert_int_equal(fault_calls(), calls);
    fault_fail_at(1);
    assert_null(qw_arena_alloc(&a, 5000));
    assert_non_null(qw_arena_alloc(&a, 5000));
    qw_arena_deinit(&a);
}

/* ---- buf */

static void an_empty_buffer_reads_as_the_empty_string(void **state)
{
    (void)state;
    qw_buf b = QW_BUF_INIT;
    assert_string_equal(qw_buf_text(&b), "");
    assert_int_equal(qw_buf_status(&b, NULL), QWREN_OK);
    qw_buf_truncate(&b, 0);
    qw_buf_remove_front(&b, 0);
    qw_buf_clear(&b);
    char *text = NULL;
    size_t len = 7;
    assert_int_equal(qw_buf_take(&b, &text, &len, NULL), QWREN_OK);
    assert_string_equal(text, "");
    assert_int_equal(len, 0);
    qw_free(text);
    qw_buf_free(&b);
}

static void appends_keep_order_nuls_and_the_terminator(void **state)
{
    (void)state;
    qw_buf b = QW_BUF_INIT;
    for (int i = 0; i < 1000; i++) {
        qw_buf_printf(&b, "%d,", i);
        qw_buf_append(&b, "\0", 1);
        qw_buf_putc(&b, 'x');
        qw_buf_puts(&b, "yz");
        assert_int_equal(b.data[b.len], '\0');
    }
    assert_memory_equal(b.data, "0,\0xyz1,\0xyz", 12);
    size_t len = b.len;
    qw_buf_remove_front(&b, 6);
    assert_int_equal(b.len, len - 6);
    assert_memory_equal(b.data, "1,\0xyz", 6);
    qw_buf_truncate(&b, 2);
    assert_string_equal(qw_buf_text(&b), "1,");
    qw_buf_clear(&b);
    assert_string_equal(qw_buf_text(&b), "");
    qw_buf_free(&b);
}

static void a_printf_longer_than_the_buffer_is_whole(void **state)
{
    (void)state;
    char word[5000];
    memset(word, 'w', sizeof word - 1);
    word[sizeof word - 1] = '\0';
    qw_buf b = QW_BUF_INIT;
    qw_buf_printf(&b, "<%s>", word);
    assert_int_equal(b.len, sizeof word + 1);
    assert_int_equal(b.data[0], '<');
    assert_int_equal(b.data[b.len - 1], '>');
    qw_buf_free(&b);
}

static void growth_is_geometric(void **state)
{
    (void)state;
    qw_buf b = QW_BUF_INIT;
    for (int i = 0; i < 1000000; i++)
        qw_buf_putc(&b, 'a');
    assert_int_equal(b.len, 1000000);
    assert_true(fault_calls() < 40);
    qw_buf_free(&b);
}

static void a_failed_append_is_remembered_until_asked(void **state)
{
    (void)state;
    qwren_error err;
    qw_buf b = QW_BUF_INIT;
    qw_buf_puts(&b, "kept");
    fault_fail_at(1);
    qw_buf_printf(&b, "%1000d", 1);
    qw_buf_puts(&b, "ignored");
    assert_string_equal(qw_buf_text(&b), "kept");
    assert_int_equal(qw_buf_status(&b, &err), QWREN_E_MEMORY);
    char *text = (char *)1;
    size_t len = 9;
    assert_int_equal(qw_buf_take(&b, &text, &len, &err), QWREN_E_MEMORY);
    assert_null(text);
    assert_int_equal(len, 0);
    assert_int_equal(fault_live(), 0);
    qw_buf_append(&b, "", SIZE_MAX); /* a length that cannot be */
    assert_int_equal(qw_buf_status(&b, &err), QWREN_E_MEMORY);
    qw_buf_clear(&b);
    qw_buf_puts(&b, "works again");
    assert_int_equal(qw_buf_status(&b, &err), QWREN_OK);
    qw_buf_free(&b);
}

static qwren_status build_text(void *ctx, qwren_error *err)
{
    (void)ctx;
    qw_buf b = QW_BUF_INIT;
    for (int i = 0; i < 200; i++)
        qw_buf_printf(&b, "line %d\n", i);
    char *text = NULL;
    QW_TRY(qw_buf_take(&b, &text, NULL, err));
    qw_free(text);
    return QWREN_OK;
}

static void any_failed_growth_is_reported_and_leaks_nothing(void **state)
{
    (void)state;
    assert_true(fault_try_all(build_text, NULL, 1) >= 3);
}

#define WATCHED(f) cmocka_unit_test_setup_teardown(f, counted, balanced)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WATCHED(sizes_that_overflow_are_refused_without_asking_the_heap),
        WATCHED(every_function_uses_the_callers_allocator),
        WATCHED(size_zero_gives_a_pointer_of_its_own),
        WATCHED(aligned_memory_is_aligned_and_wholly_usable),
        WATCHED(huge_pages_change_no_byte),
        WATCHED(a_failing_allocator_is_answered_with_null),
        WATCHED(arena_pieces_are_aligned_and_do_not_overlap),
        WATCHED(an_arena_takes_pieces_larger_than_its_block),
        WATCHED(a_reset_arena_reuses_its_memory),
        WATCHED(an_empty_buffer_reads_as_the_empty_string),
        WATCHED(appends_keep_order_nuls_and_the_terminator),
        WATCHED(a_printf_longer_than_the_buffer_is_whole),
        WATCHED(growth_is_geometric),
        WATCHED(a_failed_append_is_remembered_until_asked),
        WATCHED(any_failed_growth_is_reported_and_leaks_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
