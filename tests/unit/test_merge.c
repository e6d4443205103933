/* model/merge.c: pads grow, positions fork at pictures and join again, keys tell tokens apart. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "model/merge.h"
#include "support/fault.h"

enum { IMAGE = 50, VIDEO = 51, START = 48, END = 49, VOCAB = 60 };

static qw_config config_with_tower(void)
{
    qw_config c = { 0 };
    c.text.vocab_size = VOCAB;
    c.vision.present = true;
    c.vision.merge_size = 2;
    c.image_token = IMAGE;
    c.video_token = VIDEO;
    return c;
}

/* Builds, or fails the test with the sentence. */
static qw_timeline build(const int32_t *ids, size_t n, const qw_grid *grids, const uint64_t *hashes, size_t n_images, int32_t first_pos)
{
    qw_config c = config_with_tower();
    qw_timeline t;
    qwren_error err = { QWREN_OK, "" };
    if (qw_timeline_build(&t, &c, ids, n, grids, hashes, n_images, first_pos, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return t;
}

static void assert_positions(const qw_timeline *t, int axis, const int32_t *want)
{
    for (size_t i = 0; i < t->n; i++)
        if (t->pos[i][axis] != want[i])
            fail_msg("axis %d of token %zu is %d, not %d", axis, i, t->pos[i][axis], want[i]);
}

/* The table of docs/model.md, section 3: A, start, a picture of 2 rows and 3 columns, end, B. */
static void the_example_of_the_manual(void **state)
{
    (void)state;
    const int32_t ids[] = { 1, START, IMAGE, END, 2 };
    qw_timeline t = build(ids, 5, &(qw_grid){ 1, 4, 6 }, &(uint64_t){ 7 }, 1, 0);
    assert_int_equal(t.n, 10);
    assert_memory_equal(t.ids, ((int32_t[]){ 1, START, IMAGE, IMAGE, IMAGE, IMAGE, IMAGE, IMAGE, END, 2 }), 40);
    assert_positions(&t, 0, (int32_t[]){ 0, 1, 2, 2, 2, 2, 2, 2, 5, 6 });
    assert_positions(&t, 1, (int32_t[]){ 0, 1, 2, 2, 2, 3, 3, 3, 5, 6 });
    assert_positions(&t, 2, (int32_t[]){ 0, 1, 2, 3, 4, 2, 3, 4, 5, 6 });
    assert_int_equal(t.next_pos, 7);
    assert_int_equal(t.n_spans, 1);
    assert_int_equal(t.spans[0].begin, 2);
    assert_int_equal(t.spans[0].n, 6);
    assert_int_equal(t.spans[0].image, 0);
    assert_null(t.spans[0].rows);
    qw_timeline_deinit(&t);
    assert_int_equal(t.n, 0);
    qw_timeline_deinit(&t); /* twice does no harm */
}

/* Higher than wide, wider than high, side by side without text between, and the pads of a video. */
static void several_pictures(void **state)
{
    (void)state;
    const int32_t ids[] = { IMAGE, IMAGE, 3, VIDEO };
    const qw_grid grids[] = { { 1, 6, 2 }, { 1, 2, 4 }, { 1, 2, 2 } };
    qw_timeline t = build(ids, 4, grids, (uint64_t[]){ 1, 2, 3 }, 3, 0);
    assert_int_equal(t.n, 7);
    assert_memory_equal(t.ids, ((int32_t[]){ IMAGE, IMAGE, IMAGE, IMAGE, IMAGE, 3, VIDEO }), 28);
    assert_positions(&t, 0, (int32_t[]){ 0, 0, 0, 3, 3, 5, 6 });
    assert_positions(&t, 1, (int32_t[]){ 0, 1, 2, 3, 3, 5, 6 });
    assert_positions(&t, 2, (int32_t[]){ 0, 0, 0, 3, 4, 5, 6 });
    assert_int_equal(t.next_pos, 7);
    const size_t begins[] = { 0, 3, 6 }, sizes[] = { 3, 2, 1 };
    assert_int_equal(t.n_spans, 3);
    for (size_t i = 0; i < 3; i++) {
        assert_int_equal(t.spans[i].begin, begins[i]);
        assert_int_equal(t.spans[i].n, sizes[i]);
        assert_int_equal(t.spans[i].image, i);
    }
    qw_timeline_deinit(&t);
}

static void a_timeline_may_begin_later_and_may_be_empty(void **state)
{
    (void)state;
    qw_timeline t = build((int32_t[]){ 4, 5 }, 2, NULL, NULL, 0, 100);
    for (int axis = 0; axis < 3; axis++)
        assert_positions(&t, axis, (int32_t[]){ 100, 101 });
    assert_int_equal(t.next_pos, 102);
    qw_timeline_deinit(&t);
    t = build(NULL, 0, NULL, NULL, 0, 9);
    assert_int_equal(t.n, 0);
    assert_int_equal(t.n_spans, 0);
    assert_int_equal(t.next_pos, 9);
    qw_timeline_deinit(&t);
}

/* ---- keys */

static void keys_of_text_are_ids_and_those_of_pictures_cannot_be(void **state)
{
    (void)state;
    for (uint64_t hash = 0; hash < 200; hash++) {
        qw_timeline t = build((int32_t[]){ 0, IMAGE, VOCAB - 1 }, 3, &(qw_grid){ 1, 4, 4 }, &hash, 1, 0);
        assert_true(t.keys[0] == 0 && t.keys[5] == VOCAB - 1);
        for (size_t i = 1; i < 5; i++) {
            assert_true(t.keys[i] >> 63 == 1); /* an id is 31 bits */
            for (size_t j = 1; j < i; j++)
                assert_true(t.keys[i] != t.keys[j]);
        }
        qw_timeline_deinit(&t);
    }
}

/* The first key of a picture. */
static uint64_t key_of(uint64_t hash, qw_grid grid, int32_t pad)
{
    qw_timeline t = build(&pad, 1, &grid, &hash, 1, 0);
    uint64_t key = t.keys[0];
    qw_timeline_deinit(&t);
    return key;
}

static void equal_pictures_have_equal_keys_and_others_do_not(void **state)
{
    (void)state;
    uint64_t key = key_of(5, (qw_grid){ 1, 4, 6 }, IMAGE);
    assert_true(key == key_of(5, (qw_grid){ 1, 4, 6 }, IMAGE));
    assert_true(key != key_of(6, (qw_grid){ 1, 4, 6 }, IMAGE));
    assert_true(key != key_of(5 | (uint64_t)1 << 63, (qw_grid){ 1, 4, 6 }, IMAGE));
    assert_true(key != key_of(5, (qw_grid){ 1, 6, 4 }, IMAGE));
    assert_true(key != key_of(5, (qw_grid){ 1, 4, 6 }, VIDEO));
}

/* ---- what is refused */

static void assert_refused(const qw_config *c, const int32_t *ids, size_t n, const qw_grid *grids, size_t n_images, int32_t first_pos,
                           qwren_status want, const char *part)
{
    static const uint64_t hashes[4];
    qw_timeline t;
    qwren_error err = { QWREN_OK, "" };
    memset(&t, 0xA5, sizeof t);
    assert_int_equal(qw_timeline_build(&t, c, ids, n, grids, hashes, n_images, first_pos, &err), want);
    assert_int_equal(err.code, want);
    if (!strstr(err.text, part))
        fail_msg("\"%s\" does not say \"%s\"", err.text, part);
    assert_true(t.n == 0 && !t.ids && !t.pos && !t.keys && !t.spans);
}

static void wrong_numbers_of_pads(void **state)
{
    (void)state;
    qw_config c = config_with_tower();
    const qw_grid grids[] = { { 1, 4, 4 }, { 1, 4, 4 } };
    const int32_t none[] = { 1, 2 }, one[] = { 1, IMAGE }, two[] = { IMAGE, IMAGE };
    assert_refused(&c, none, 2, grids, 1, 0, QWREN_E_ARGUMENT, "0 placeholders for pictures, but there is 1 picture:");
    assert_refused(&c, one, 2, grids, 0, 0, QWREN_E_ARGUMENT, "1 placeholder for pictures, but there are 0 pictures:");
    assert_refused(&c, one, 2, grids, 2, 0, QWREN_E_ARGUMENT, "1 placeholder for pictures, but there are 2 pictures:");
    assert_refused(&c, two, 2, grids, 1, 0, QWREN_E_ARGUMENT, "2 placeholders for pictures, but there is 1 picture:");
    assert_refused(&c, NULL, 0, grids, 1, 0, QWREN_E_ARGUMENT, "0 placeholders");
}

static void ids_outside_the_vocabulary(void **state)
{
    (void)state;
    qw_config c = config_with_tower();
    const int32_t beyond[] = { 1, VOCAB }, negative[] = { 1, 2, -1 }, least[] = { INT32_MIN }, most[] = { INT32_MAX };
    assert_refused(&c, beyond, 2, NULL, 0, 0, QWREN_E_ARGUMENT, "token 1 has the id 60: the model knows 0 to 59");
    assert_refused(&c, negative, 3, NULL, 0, 0, QWREN_E_ARGUMENT, "token 2 has the id -1");
    assert_refused(&c, least, 1, NULL, 0, 0, QWREN_E_ARGUMENT, "token 0");
    assert_refused(&c, most, 1, NULL, 0, 0, QWREN_E_ARGUMENT, "token 0");
    c.image_token = c.video_token = -1; /* a model without pictures: still no id */
    assert_refused(&c, negative, 3, NULL, 0, 0, QWREN_E_ARGUMENT, "token 2 has the id -1");
}

static void grids_that_are_no_pictures(void **state)
{
    (void)state;
    qw_config c = config_with_tower();
    const int32_t one[] = { IMAGE };
    const qw_grid wrong[] = { { 2, 4, 4 }, { 0, 4, 4 }, { 1, 0, 4 }, { 1, 4, 0 }, { 1, -4, 4 }, { 1, 4, 5 }, { 1, 3, 4 } };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
        assert_refused(&c, one, 1, &wrong[i], 1, 0, QWREN_E_ARGUMENT, "picture 1 has a grid of");
    c.vision.present = false;
    assert_refused(&c, one, 1, &(qw_grid){ 1, 4, 4 }, 1, 0, QWREN_E_UNSUPPORTED, "no image tower");
}

static void prompts_too_long_to_be_numbered(void **state)
{
    (void)state;
    qw_config c = config_with_tower();
    const int32_t ids[] = { IMAGE, IMAGE, 1 };
    const qw_grid huge[] = { { 1, INT32_MAX - 1, INT32_MAX - 1 }, { 1, INT32_MAX - 1, INT32_MAX - 1 } },
                  small[] = { { 1, 2, 2 }, { 1, 2, 2 } };
    assert_refused(&c, ids, 3, huge, 2, 0, QWREN_E_LIMIT, "shorten it");
    assert_refused(&c, ids, 3, small, 2, INT32_MAX - 2, QWREN_E_LIMIT, "shorten it");
    assert_refused(&c, ids, 3, small, 2, -1, QWREN_E_LIMIT, "shorten it");
    qw_timeline t = build(ids, 3, small, (uint64_t[]){ 1, 2 }, 2, INT32_MAX - 3);
    assert_int_equal(t.next_pos, INT32_MAX);
    qw_timeline_deinit(&t);
}

/* ---- memory */

static qwren_status build_once(void *ctx, qwren_error *err)
{
    qw_timeline t;
    qw_config c = config_with_tower();
    qwren_status st = qw_timeline_build(&t, &c, (int32_t[]){ 1, IMAGE, 2 }, 3, &(qw_grid){ 1, 4, 6 }, &(uint64_t){ 1 }, 1, 0, err);
    assert_true(st == QWREN_OK || (t.n == 0 && !t.ids && !t.pos && !t.keys && !t.spans));
    (void)ctx;
    qw_timeline_deinit(&t);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fault_install();
    assert_int_equal(fault_try_all(build_once, NULL, 1), 4);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_example_of_the_manual),
        cmocka_unit_test(several_pictures),
        cmocka_unit_test(a_timeline_may_begin_later_and_may_be_empty),
        cmocka_unit_test(keys_of_text_are_ids_and_those_of_pictures_cannot_be),
        cmocka_unit_test(equal_pictures_have_equal_keys_and_others_do_not),
        cmocka_unit_test(wrong_numbers_of_pads),
        cmocka_unit_test(ids_outside_the_vocabulary),
        cmocka_unit_test(grids_that_are_no_pictures),
        cmocka_unit_test(prompts_too_long_to_be_numbered),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
