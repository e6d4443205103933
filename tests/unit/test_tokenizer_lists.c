/* A tokenizer from the lists of a GGUF file: the same as from tokenizer.json, and every list that is wrong is refused by place. That the ids are the
 * same on all texts is in tests/golden/test_tokenizer.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "support/fault.h"
#include "support/vocabulary.h"
#include "tokenizer/vocab.h"

enum { NORMAL = 1, UNKNOWN = 2, CONTROL = 3, USER_DEFINED = 4, UNUSED = 5, BYTE = 6 };

static made_lists nano;

static int set_up(void **state)
{
    char *json;
    size_t len;
    (void)state;
    if (qw_file_read(NANO_TOKENIZER, SIZE_MAX / 2, &json, &len, NULL) != QWREN_OK)
        return 1;
    nano = make_lists(json, len, 31);
    qw_free(json);
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    free_lists(&nano);
    return 0;
}

static void the_block_is_that_of_the_json(void **state)
{
    (void)state;
    qw_tokenizer *a, *b = open_nano_tokenizer();
    assert_int_equal(nano.lists.n_tokens, 4160);
    assert_int_equal(qw_tokenizer_from_lists(&a, &nano.lists, "nano.gguf", NULL), QWREN_OK);
    assert_int_equal(qw_tokenizer_count(a), 4129);
    assert_memory_equal(a->heap, b->heap, ((qw_vocab_header *)(void *)b->heap)->n_bytes);
    assert_true(qw_tokenizer_is_special(a, qw_tokenizer_find_added(a, "<|im_end|>", 10)));
    assert_false(qw_tokenizer_is_special(a, qw_tokenizer_find_added(a, "<|fim_pad|>", 11)));
    assert_false(qw_tokenizer_is_special(a, qw_tokenizer_find_added(a, "<think>", 7)));
    qw_tokenizer_close(a);
    qw_tokenizer_close(b);
}

/* ---- wrong lists: nano's with one place changed, and put back */

static void expect_refusal(const qw_token_lists *l, const char *word)
{
    qw_tokenizer *t = (qw_tokenizer *)(uintptr_t)1;
    qwren_error err = { QWREN_OK, "" };
    qwren_status st = qw_tokenizer_from_lists(&t, l, "nano.gguf", &err);
    if (st != QWREN_E_FORMAT || strncmp(err.text, "nano.gguf: ", 11) != 0 || !strstr(err.text, word))
        fail_msg("want \"%s\", got %s: %s", word, qwren_status_name(st), err.text);
    assert_null(t);
}

static void with_token(size_t id, const char *data, size_t len, const char *word)
{
    qw_token_text before = nano.tokens[id];
    nano.tokens[id] = (qw_token_text){ data, len };
    expect_refusal(&nano.lists, word);
    nano.tokens[id] = before;
}

static void with_type(size_t id, int32_t type, const char *word)
{
    int32_t before = nano.types[id];
    nano.types[id] = type;
    expect_refusal(&nano.lists, word);
    nano.types[id] = before;
}

static void with_merge(size_t i, const char *data, size_t len, const char *word)
{
    qw_token_text before = nano.merges[i];
    nano.merges[i] = (qw_token_text){ data, len };
    expect_refusal(&nano.lists, word);
    nano.merges[i] = before;
}

static void wrong_tokens_are_named(void **state)
{
    (void)state;
    with_token(0, "", 0, "tokenizer.ggml.tokens: token 0, \"\", is not spelt");
    with_token(7, NULL, 0, "token 7");
    with_token(300, "\xE6\xB0\xB4", 3, "token 300, \"\xE6\xB0\xB4\", is not spelt in the byte-level alphabet");
    with_token(300, "\xC4", 1, "token 300");
    with_token(300, "\xC0\x80", 2, "token 300");
    with_token(300, "\xC5\x84", 2, "token 300"); /* U+0144, one behind the alphabet */
    with_token(300, "a\0b", 3, "token 300");
    with_token(300, nano.tokens[301].data, nano.tokens[301].len, "tokens 300 and 301 are the same");
    with_token(0, "!!!!!!!!!!!!!!!!!!", 18, "no token for the single byte 0x21");
    with_token(4098, "", 0, "tokenizer.ggml.tokens[4098] is empty");
    with_token(4098, "<\xFF>", 3, "tokenizer.ggml.tokens[4098] is empty or not valid UTF-8");
    with_token(4098, "<|im_start|>", 12, "\"<|im_start|>\" has two ids, 4097 and 4098");
    with_token(4098, "the", 3, "\"the\" stands in tokenizer.ggml.tokens as well");
}

static void wrong_types_are_named(void **state)
{
    (void)state;
    with_type(0, BYTE, "tokenizer.ggml.token_type[0] is 6");
    with_type(300, UNKNOWN, "tokenizer.ggml.token_type[300] is 2");
    with_type(300, CONTROL, "tokenizer.ggml.token_type[301] is 1");
    with_type(4100, UNUSED, "tokenizer.ggml.token_type[4100] is 5");
    with_type(4100, NORMAL, "tokenizer.ggml.token_type[4100] is 1");
    with_type(4159, NORMAL, "tokenizer.ggml.token_type[4129] is 5");
    with_type(4100, 0, "tokenizer.ggml.token_type[4100] is 0");
    with_type(4100, INT32_MIN, "tokenizer.ggml.token_type[4100] is -2147483648");
}

static void wrong_merges_are_named(void **state)
{
    (void)state;
    with_merge(2, "", 0, "tokenizer.ggml.merges[2] must be \"left right\"");
    with_merge(2, NULL, 0, "tokenizer.ggml.merges[2]");
    with_merge(2, "in", 2, "tokenizer.ggml.merges[2] must be");
    with_merge(2, "in zzqz", 7, "tokenizer.ggml.merges[2] joins to \"inzzqz\"");
    with_merge(2, " n", 2, "tokenizer.ggml.merges[2] joins");
    with_merge(2, "n ", 2, "tokenizer.ggml.merges[2] joins");
    with_merge(2, "i n g", 5, "tokenizer.ggml.merges[2] joins");
    with_merge(2, "i \xFF", 3, "tokenizer.ggml.merges[2] joins");
    char *large = qw_malloc(10000);
    memset(large, 'a', 10000);
    large[5000] = ' ';
    with_merge(2, large, 10000, "tokenizer.ggml.merges[2] joins");
    qw_free(large);
}

static void wrong_lengths_are_named(void **state)
{
    (void)state;
    qw_token_lists l = nano.lists;
    l.n_types--;
    expect_refusal(&l, "tokenizer.ggml.tokens has 4160 elements, but tokenizer.ggml.token_type 4159");
    l.n_types = 0;
    expect_refusal(&l, "tokenizer.ggml.token_type 0");
    l.n_tokens = 0;
    expect_refusal(&l, "tokenizer.ggml.tokens");
    l.n_tokens = l.n_types = (size_t)1 << 30;
    expect_refusal(&l, "at most");
}

/* ---- what is right */

static void lists_without_merges_or_added_tokens_open(void **state)
{
    (void)state;
    qw_tokenizer *t;
    qw_token_lists l = nano.lists;
    l.n_merges = 0;
    l.n_tokens = l.n_types = 4096;
    assert_int_equal(qw_tokenizer_from_lists(&t, &l, "nano.gguf", NULL), QWREN_OK);
    assert_int_equal(qw_tokenizer_count(t), 4096);
    qw_tokenizer_close(t);
}

/* As in tokenizer.json: the later place of a pair that comes twice counts, and it is one merge. */
static void a_merge_that_comes_twice_takes_the_later_rank(void **state)
{
    (void)state;
    qw_tokenizer *t;
    qw_token_text before = nano.merges[9];
    nano.merges[9] = nano.merges[2];
    assert_int_equal(qw_tokenizer_from_lists(&t, &nano.lists, "nano.gguf", NULL), QWREN_OK);
    nano.merges[9] = before;
    const qw_vocab_header *h = (const void *)t->heap;
    assert_int_equal(h->n_merges, nano.lists.n_merges - 1);
    const qw_merge *m = qw_merges_find(&t->merges, t->byte_ids['i'], t->byte_ids['n']);
    assert_int_equal(m->rank, 9);
    qw_tokenizer_close(t);
}

static qwren_status open_and_close(void *ctx, qwren_error *err)
{
    qw_tokenizer *t;
    qwren_status st = qw_tokenizer_from_lists(&t, ctx, "nano.gguf", err);
    qw_tokenizer_close(t);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fault_install();
    assert_int_equal(fault_try_all(open_and_close, &nano.lists, 1), 7);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_block_is_that_of_the_json),
        cmocka_unit_test(wrong_tokens_are_named),
        cmocka_unit_test(wrong_types_are_named),
        cmocka_unit_test(wrong_merges_are_named),
        cmocka_unit_test(wrong_lengths_are_named),
        cmocka_unit_test(lists_without_merges_or_added_tokens_open),
        cmocka_unit_test(a_merge_that_comes_twice_takes_the_later_rank),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
