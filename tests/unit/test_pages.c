/* Pages of keys and values: who may write, copies, what a file takes; and the one block of a checkpoint. */
#include "support/timelines.h"

#include "support/fault.h"

static qw_page *take(const qw_page_shape *s, const void *writer)
{
    qw_page *p = NULL;
    qwren_error err = { 0 };
    if (qw_page_take(&p, s, writer, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return p;
}

static void a_page_is_as_large_as_its_heads(void **state)
{
    (void)state;
    qw_text_config c = small_config();
    c.n_attention_layers = 3;
    qw_page_shape s;
    assert_int_equal(qw_page_shape_make(&s, &c, QW_KV_F16, NULL), QWREN_OK);
    assert_int_equal(s.head_bytes, 2 * 2 * 16 * QW_KV_PAGE);
    assert_int_equal(s.bytes, 3 * 2 * s.head_bytes);
    assert_int_equal(qw_page_offset(&s, 2), 4 * s.head_bytes);
    assert_int_equal(qw_page_count(0), 0);
    assert_int_equal(qw_page_count(QW_KV_PAGE), 1);
    assert_int_equal(qw_page_count(QW_KV_PAGE + 1), 2);

    qwren_error err = { 0 };
    c.n_kv_heads = c.n_attention_layers = c.head_dim = INT32_MAX;
    assert_int_equal(qw_page_shape_make(&s, &c, QW_KV_F32, &err), QWREN_E_LIMIT);
    assert_non_null(strstr(err.text, "positions"));
}

static void the_only_holder_may_write_anywhere(void **state)
{
    (void)state;
    const qw_page_shape s = small_shape();
    int a, b;
    qw_page *p = take(&s, &a);
    assert_int_equal((uintptr_t)qw_page_data(p) % QW_ALIGN, 0);
    qw_page_freeze(p, 300);
    assert_true(qw_page_claim(p, &a, 100)); /* it relied on 300 itself */
    qw_page_hold(p);
    assert_true(qw_page_claim(p, &a, 100));
    qw_page_drop(p, &a);
    assert_true(qw_page_claim(p, &b, 0)); /* the other holder alone now */
    qw_page_drop(p, &b);
}

static void one_of_several_writes_behind_what_is_relied_on(void **state)
{
    (void)state;
    const qw_page_shape s = small_shape();
    int a, b, c;
    qw_page *p = take(&s, &a);
    qw_page_hold(p);
    qw_page_freeze(p, 200);
    qw_page_freeze(p, 150); /* less than before changes nothing */
    assert_true(qw_page_claim(p, &a, 200));
    assert_false(qw_page_claim(p, &a, 199));
    assert_false(qw_page_claim(p, &b, 200)); /* a is the writer, */
    qw_page_drop(p, &b);                     /* also when another drops it, */
    qw_page_hold(p);
    assert_false(qw_page_claim(p, &b, 200));
    qw_page_hold(p);
    qw_page_drop(p, &a); /* until it drops it itself */
    assert_false(qw_page_claim(p, &b, 199));
    assert_true(qw_page_claim(p, &b, 200));
    assert_false(qw_page_claim(p, &c, 400));
    qw_page_drop(p, &b);
    qw_page_drop(p, &c);
    assert_int_equal(qw_page_live_bytes(), 0);
    qw_page_drop(NULL, &a);
}

/* Writes a number into each byte of a page that says which head it is of and where. */
static unsigned char byte_at(size_t head, size_t i) { return (unsigned char)(head * 89 + i * 7 + i / 251); }

static void fill(qw_page *p, const qw_page_shape *s)
{
    unsigned char *bytes = qw_page_data(p);
    for (size_t i = 0; i < s->bytes; i++)
        bytes[i] = byte_at(i / s->head_bytes, i % s->head_bytes);
}

static void check_copy(qw_kv_type type, size_t n)
{
    const qw_text_config c = small_config();
    qw_page_shape s;
    assert_int_equal(qw_page_shape_make(&s, &c, type, NULL), QWREN_OK);
    const size_t part = qw_kv_bytes(type, s.head_dim, n);
    int a;
    qw_page *from = take(&s, &a), *copy = NULL;
    fill(from, &s);
    assert_int_equal(qw_page_copy(&copy, from, n, &a, NULL), QWREN_OK);
    for (size_t h = 0; h < s.n_caches * s.n_kv_heads; h++)
        assert_memory_equal((char *)qw_page_data(copy) + h * s.head_bytes, (char *)qw_page_data(from) + h * s.head_bytes, part);
    qw_page_drop(from, &a);
    qw_page_drop(copy, &a);
}

static void copies_hold_the_first_positions(void **state)
{
    (void)state;
    static const size_t lengths[] = { 0, 1, 15, 16, 17, 100, 496, 511, QW_KV_PAGE };
    for (qw_kv_type type = QW_KV_F32; type < QW_KV_TYPES; type++)
        for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++)
            check_copy(type, lengths[i]);
}

static void a_copy_is_a_page_of_its_own(void **state)
{
    (void)state;
    const qw_page_shape s = small_shape();
    int a, b;
    qw_page *p = take(&s, &a), *copy = NULL;
    const size_t one = qw_page_live_bytes();
    assert_true(one >= s.bytes && one < s.bytes + 512);
    fill(p, &s);
    qw_page_hold(p);
    qw_page_freeze(p, 500);
    assert_int_equal(qw_page_copy(&copy, p, 100, &b, NULL), QWREN_OK);
    assert_int_equal(qw_page_live_bytes(), 2 * one);
    assert_true(qw_page_claim(copy, &b, 100));
    qw_page_huge(copy); /* advice: nothing to see */
    qw_page_drop(copy, &b);
    qw_page_drop(p, NULL);
    qw_page_drop(p, &a);
    assert_int_equal(qw_page_live_bytes(), 0);
}

static void expect_account(const qw_page_account *a, size_t n_pages, size_t n_idle)
{
    assert_int_equal(qw_page_account_now(a).n_pages, n_pages);
    assert_int_equal(qw_page_account_now(a).n_idle, n_idle);
}

static void an_account_knows_which_pages_nobody_else_holds(void **state)
{
    (void)state;
    const qw_page_shape s = small_shape();
    int a;
    qw_page_account account = { 0 };
    qw_page *p = take(&s, &a), *q = take(&s, &a);
    qw_page_share(p, &account);
    qw_page_share(q, &account);
    qw_page_share(p, &account); /* in two places */
    expect_account(&account, 2, 0);
    qw_page_drop(p, &a);
    expect_account(&account, 2, 1);
    assert_false(qw_page_lonely(p));
    qw_page_hold(p);
    expect_account(&account, 2, 0);
    qw_page_hold(p);
    qw_page_drop(p, &a);
    expect_account(&account, 2, 0);
    qw_page_drop(p, &a);
    expect_account(&account, 2, 1);
    qw_page_unshare(p, &account);
    expect_account(&account, 2, 1);
    assert_true(qw_page_lonely(p));
    qw_page_unshare(p, &account);
    expect_account(&account, 1, 0);
    assert_false(qw_page_lonely(q));
    qw_page_unshare(q, &account); /* which is the writer's alone now */
    expect_account(&account, 0, 0);
    qw_page_freeze(q, 100);
    assert_true(qw_page_claim(q, &a, 50));
    qw_page_drop(q, &a);
    assert_int_equal(qw_page_live_bytes(), 0);
}

/* ---- checkpoints */

static void a_checkpoint_is_one_block(void **state)
{
    (void)state;
    const qw_text_config c = small_config();
    fault_install();
    qw_checkpoint *cp = fake_checkpoint((const uint64_t[]){ 1, 2, 3 }, 3, QW_CHECKPOINT_TURN);
    assert_int_equal(fault_live(), 1);
    assert_true(fault_live_bytes() >= qw_checkpoint_bytes(&c) && fault_live_bytes() < qw_checkpoint_bytes(&c) + 128);
    assert_int_equal(cp->bytes, qw_checkpoint_bytes(&c));
    assert_int_equal(cp->n_layers, 3);
    float *at = cp->floats;
    for (int i = 0; i < 3; i++) {
        const qw_layer_state *l = &cp->layers[i];
        assert_null(l->cache);
        if (i == 1) {
            assert_null(l->conv);
            assert_null(l->recurrent);
            continue;
        }
        assert_ptr_equal(l->conv, at);
        assert_int_equal((uintptr_t)l->conv % 64, 0);
        assert_int_equal((uintptr_t)l->recurrent % 64, 0);
        assert_true(l->recurrent >= l->conv + qw_conv_floats(&c));
        for (const float *gap = l->conv + qw_conv_floats(&c); gap < l->recurrent; gap++)
            assert_true(*gap == 0);
        memset(l->conv, 1, qw_conv_floats(&c) * sizeof(float)); /* the sanitizer sees what would not fit */
        memset(l->recurrent, 1, qw_recurrent_floats(&c) * sizeof(float));
        at = l->recurrent + (qw_recurrent_floats(&c) + 15) / 16 * 16;
    }
    assert_ptr_equal(at, cp->floats + cp->n_floats);
    assert_int_equal((char *)at - (char *)cp, cp->bytes);
    qw_checkpoint_hold(cp);
    qw_checkpoint_drop(cp);
    assert_int_equal(cp->length, 3);
    qw_checkpoint_drop(cp);
    qw_checkpoint_drop(NULL);
    fault_remove();
}

static void odd_sizes_leave_no_gap_unset(void **state)
{
    (void)state;
    qw_text_config c = small_config();
    c.linear_key_dim = c.linear_value_dim = 3;
    qw_checkpoint *cp;
    assert_int_equal(qw_checkpoint_create(&cp, &c, NULL), QWREN_OK);
    assert_true(qw_conv_floats(&c) % 16 != 0);
    for (const float *gap = cp->layers[2].conv + qw_conv_floats(&c); gap < cp->layers[2].recurrent; gap++)
        assert_true(*gap == 0);
    assert_int_equal((uintptr_t)cp->layers[2].recurrent % 64, 0);
    qw_checkpoint_drop(cp);
}

/* ---- memory */

static qwren_status make_all(void *ctx, qwren_error *err)
{
    const qw_text_config c = small_config();
    const qw_page_shape s = small_shape();
    qw_page *page = ctx, *copy = NULL;
    qw_checkpoint *cp = NULL;
    qwren_status st = qw_page_take(&page, &s, ctx, err);
    if (st == QWREN_OK)
        st = qw_page_copy(&copy, page, 17, ctx, err);
    if (st == QWREN_OK)
        st = qw_checkpoint_create(&cp, &c, err);
    qw_page_drop(page, ctx);
    qw_page_drop(copy, ctx);
    qw_checkpoint_drop(cp);
    return st;
}

static void too_little_memory_is_an_error(void **state)
{
    (void)state;
    fault_install();
    assert_int_equal(fault_try_all(make_all, NULL, 1), 3);
    fault_remove();
    assert_int_equal(qw_page_live_bytes(), 0);

    qw_text_config c = small_config();
    c.n_delta_layers = INT32_MAX;
    c.linear_value_heads = c.linear_key_heads = INT32_MAX;
    qw_checkpoint *cp;
    assert_int_equal(qw_checkpoint_bytes(&c), SIZE_MAX);
    assert_int_equal(qw_checkpoint_create(&cp, &c, &(qwren_error){ 0 }), QWREN_E_MEMORY);
    assert_null(cp);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_page_is_as_large_as_its_heads),
        cmocka_unit_test(the_only_holder_may_write_anywhere),
        cmocka_unit_test(one_of_several_writes_behind_what_is_relied_on),
        cmocka_unit_test(copies_hold_the_first_positions),
        cmocka_unit_test(a_copy_is_a_page_of_its_own),
        cmocka_unit_test(an_account_knows_which_pages_nobody_else_holds),
        cmocka_unit_test(a_checkpoint_is_one_block),
        cmocka_unit_test(odd_sizes_leave_no_gap_unset),
        cmocka_unit_test(too_little_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
