/* Which turns of a conversation go when it is longer than the context, and what a full window forgets: the policies alone. What a chat makes of them is in
 * test_chat_overflow.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <string.h>

#include "api/overflow.h"
#include "base/alloc.h"
#include "support/fault.h"

/* ------------------------------------------------------------------------------------------------------- exchanges */

static qw_json *read_json(const char *text)
{
    char *copy = qw_strdup(text);
    qw_json *root = NULL;
    for (char *p = copy; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    if (qw_json_parse(&root, copy, strlen(copy), "test", NULL) != QWREN_OK)
        fail_msg("%s is no JSON", text);
    qw_free(copy);
    return root;
}

/* A token is a byte here, a picture one of its <|image_pad|>. */
static void find(qw_exchanges *out, qw_prompt *p, const qw_json *root, bool generate)
{
    size_t starts[32];
    const qw_template_input in = { .messages = root, .thinking = 1, .add_generation_prompt = generate };
    assert_int_equal(qw_template_render(p, &in, NULL), QWREN_OK);
    for (size_t i = 0; i < p->n_turns; i++)
        starts[i] = p->turns[i].offset;
    starts[p->n_turns] = p->text.len;
    assert_int_equal(qw_exchanges_find(out, p, starts, NULL), QWREN_OK);
}

static void expect_exchange(const qw_exchange *e, size_t first, size_t end, size_t first_media, size_t end_media)
{
    assert_int_equal(e->first, first);
    assert_int_equal(e->end, end);
    assert_int_equal(e->first_media, first_media);
    assert_int_equal(e->end_media, end_media);
}

#define SEE "{'type': 'image_url', 'image_url': {'url': 'x'}}"

static void a_question_and_all_that_answers_it(void **state)
{
    (void)state;
    qw_json *root =
        read_json("[{'role': 'system', 'content': ['S', " SEE "]}, {'role': 'assistant', 'content': 'hello'},"
                  "{'role': 'user', 'content': ['a', " SEE ", " SEE "]}, {'role': 'assistant', 'tool_calls': [{'name': 'f'}]},"
                  "{'role': 'tool', 'content': 'r'}, {'role': 'user', 'content': '<tool_response>r</tool_response>'},"
                  "{'role': 'assistant', 'content': 'b'}, {'role': 'system', 'content': 'late'}, {'role': 'user', 'content': [" SEE "]}]");
    for (int generate = 0; generate < 2; generate++) {
        qw_exchanges e;
        qw_prompt p;
        find(&e, &p, root, generate);
        assert_int_equal(e.n, 3);
        assert_int_equal(e.fixed_media, 1);
        expect_exchange(&e.list[0], 1, 2, 1, 1);
        expect_exchange(&e.list[1], 2, 7, 1, 3);
        expect_exchange(&e.list[2], 7, 9, 3, 4);
        size_t sum = e.n_fixed + e.fixed_media;
        for (size_t i = 0; i < 3; i++)
            sum += e.list[i].n_tokens + e.list[i].end_media - e.list[i].first_media;
        assert_int_equal(sum, p.text.len);
        qw_exchanges_deinit(&e);
        qw_prompt_deinit(&p);
    }
    qw_json_free(root);
}

static void without_a_system_block_and_without_a_question(void **state)
{
    (void)state;
    qw_json *root = read_json("[{'role': 'user', 'content': 'a'}]"), *lone = read_json("[{'role': 'assistant', 'content': 'a'}]"),
            *bare = read_json("[{'role': 'system', 'content': 'a'}]");
    qw_exchanges e;
    qw_prompt p;
    find(&e, &p, root, true);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.n_fixed, strlen("<|im_start|>assistant\n<think>\n"));
    qw_exchanges_deinit(&e);
    qw_prompt_deinit(&p);
    find(&e, &p, lone, false);
    assert_int_equal(e.n, 1);
    assert_int_equal(e.n_fixed, 0);
    qw_exchanges_deinit(&e);
    qw_prompt_deinit(&p);
    find(&e, &p, bare, true);
    assert_int_equal(e.n, 0);
    assert_int_equal(e.n_fixed, p.text.len);
    qw_exchanges_deinit(&e);
    qw_prompt_deinit(&p);
    qw_json_free(root);
    qw_json_free(lone);
    qw_json_free(bare);
}

/* ------------------------------------------------------------------------------------------------------ leaving out */

/* Ten exchanges of `each` tokens with a picture each behind a block of 100. */
typedef struct talk {
    qw_exchange list[10];
    qw_exchanges e;
    size_t picture;   /* tokens of one */
    size_t looked_at; /* pictures, and the oldest of them */
    size_t oldest;
    size_t fail_at; /* this picture cannot be loaded */
} talk;

static void begin(talk *t, size_t n, size_t each, size_t picture)
{
    *t = (talk){ .picture = picture, .oldest = SIZE_MAX, .fail_at = SIZE_MAX };
    for (size_t i = 0; i < n; i++)
        t->list[i] = (qw_exchange){ .first = 1 + 2 * i, .end = 3 + 2 * i, .n_tokens = each, .first_media = i, .end_media = i + 1 };
    t->e = (qw_exchanges){ .list = t->list, .n = n, .n_fixed = 100 };
}

static qwren_status cost(void *ctx, size_t first, size_t end, size_t *n_tokens, qwren_error *err)
{
    talk *t = ctx;
    *n_tokens = (end - first) * t->picture;
    for (size_t i = first; i < end; i++) {
        if (i == t->fail_at)
            return qw_fail(err, QWREN_E_IO, "picture %zu is gone", i);
        t->looked_at++;
        t->oldest = i < t->oldest ? i : t->oldest;
    }
    return QWREN_OK;
}

static size_t choose(talk *t, size_t capacity, size_t reserve, size_t *least)
{
    qw_overflow o;
    assert_int_equal(qw_overflow_choose(&o, &t->e, capacity, reserve, cost, t, NULL), QWREN_OK);
    if (least)
        *least = o.n_least;
    return o.n_dropped;
}

static void what_fits_stays_whole(void **state)
{
    (void)state;
    talk t;
    size_t least;
    begin(&t, 10, 50, 10); /* 100 + 10 * 60 */
    assert_int_equal(choose(&t, 800, 100, &least), 0);
    assert_int_equal(least, 160);
    assert_int_equal(t.looked_at, 10);
    assert_true(choose(&t, 799, 100, NULL) > 0);
    begin(&t, 0, 0, 0);
    assert_int_equal(choose(&t, 100, 50, &least), 0);
    assert_int_equal(least, 100);
}

/* All that stays fits with the reserve, whatever the sizes; and what goes is no more than a quarter of the window beyond what must. */
static void enough_goes_and_not_much_more(void **state)
{
    (void)state;
    talk t;
    for (size_t capacity = 200; capacity < 900; capacity += 7) {
        begin(&t, 10, 50, 10);
        size_t n = choose(&t, capacity, 40, NULL);
        size_t stays = 100 + (10 - n) * 60;
        assert_true(n <= 9);
        assert_true(stays + 40 <= capacity);
        size_t must = 0;
        while (100 + (10 - must) * 60 + 40 > capacity)
            must++;
        assert_true(n == must || (n - must) * 50 < capacity / 4 + 50);
    }
}

/* A conversation that grows leaves out the same turns for a while: only then is what stands before a question known already. */
static void the_same_turns_go_for_a_while(void **state)
{
    (void)state;
    qw_exchange list[200];
    size_t changes = 0, last = 0;
    for (size_t i = 0; i < 200; i++)
        list[i] = (qw_exchange){ .first = i, .end = i + 1, .n_tokens = 20 + i % 7 };
    for (size_t n = 1; n <= 200; n++) {
        talk t = { .e = { .list = list, .n = n, .n_fixed = 50 }, .fail_at = SIZE_MAX };
        size_t dropped = choose(&t, 1000, 250, NULL);
        assert_true(dropped >= last);
        changes += dropped != last;
        last = dropped;
    }
    assert_true(last > 150);
    assert_true(changes <= 200 * 23 / 250 + 1); /* once for each quarter of the window */
}

/* Nothing is loaded of what goes, but the first picture that has no place; one of a turn whose text alone is too much is not looked at either. */
static void pictures_of_what_goes_are_left_alone(void **state)
{
    (void)state;
    talk t;
    begin(&t, 10, 10, 100); /* three pictures fit into 500 - 100 - 40 */
    t.fail_at = 5;
    assert_int_equal(choose(&t, 500, 40, NULL), 7);
    assert_int_equal(t.oldest, 6);
    begin(&t, 10, 100, 1);
    t.fail_at = 6;
    assert_int_equal(choose(&t, 500, 40, NULL), 7);
    assert_int_equal(t.oldest, 7);
    qw_overflow o;
    qwren_error err = { 0 };
    begin(&t, 10, 10, 100);
    t.fail_at = 8;
    assert_int_equal(qw_overflow_choose(&o, &t.e, 500, 40, cost, &t, &err), QWREN_E_IO);
    assert_string_equal(err.text, "picture 8 is gone");
}

static void the_last_question_never_goes(void **state)
{
    (void)state;
    talk t;
    size_t least;
    begin(&t, 10, 500, 10);
    assert_int_equal(choose(&t, 300, 40, &least), 9);
    assert_int_equal(least, 610);
    begin(&t, 1, 500, 10);
    assert_int_equal(choose(&t, 300, 40, &least), 0);
    assert_int_equal(least, 610);
}

static void room_for_the_answer(void **state)
{
    (void)state;
    assert_int_equal(qw_overflow_reserve(1000, -1), 250);
    assert_int_equal(qw_overflow_reserve(1000, 10), 10);
    assert_int_equal(qw_overflow_reserve(1000, 5000), 500);
    assert_int_equal(qw_overflow_reserve(3, -1), 1);
    assert_int_equal(qw_overflow_reserve(1, 7), 1);
}

/* ------------------------------------------------------------------------------------------------------- forgetting */

static void half_of_what_is_behind_the_system_block_goes(void **state)
{
    (void)state;
    for (size_t n_system = 0; n_system < 100; n_system++) {
        for (size_t length = 0; length < 400; length++) {
            qw_shift s = qw_overflow_shift(n_system, length);
            assert_true(s.keep >= n_system && s.keep < n_system + QW_SHIFT_UNIT);
            assert_true(s.keep % QW_SHIFT_UNIT == 0 && s.by % QW_SHIFT_UNIT == 0);
            size_t rest = length > s.keep ? length - s.keep : 0;
            assert_true(s.by <= rest / 2 && s.by + QW_SHIFT_UNIT > rest / 2);
        }
    }
}

static qwren_status try_find(void *ctx, qwren_error *err)
{
    const size_t starts[] = { 0, 5, 10, 15, 20 };
    qw_exchanges e;
    qwren_status st = qw_exchanges_find(&e, ctx, starts, err);
    qw_exchanges_deinit(&e);
    return st;
}

static void memory_may_run_short(void **state)
{
    (void)state;
    qw_json *root =
        read_json("[{'role': 'user', 'content': 'a'}, {'role': 'assistant', 'content': 'a'}, {'role': 'user', 'content': 'a'}]");
    qw_prompt p;
    const qw_template_input in = { .messages = root, .add_generation_prompt = true };
    assert_int_equal(qw_template_render(&p, &in, NULL), QWREN_OK);
    assert_int_equal(p.n_turns, 4);
    fault_install();
    assert_int_equal(fault_try_all(try_find, &p, 1), 1);
    fault_remove();
    qw_prompt_deinit(&p);
    qw_json_free(root);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_and_all_that_answers_it),
        cmocka_unit_test(without_a_system_block_and_without_a_question),
        cmocka_unit_test(what_fits_stays_whole),
        cmocka_unit_test(enough_goes_and_not_much_more),
        cmocka_unit_test(the_same_turns_go_for_a_while),
        cmocka_unit_test(pictures_of_what_goes_are_left_alone),
        cmocka_unit_test(the_last_question_never_goes),
        cmocka_unit_test(room_for_the_answer),
        cmocka_unit_test(half_of_what_is_behind_the_system_block_goes),
        cmocka_unit_test(memory_may_run_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
