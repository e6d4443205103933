/* base/base64.c: the vectors of RFC 4648 section 10, both alphabets, and what must be refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/base64.h"

static void expect(const char *text, const void *bytes, size_t n)
{
    uint8_t *out = NULL;
    size_t n_out = 99;
    assert_int_equal(qw_base64_decode(text, strlen(text), "t", &out, &n_out, NULL), QWREN_OK);
    assert_int_equal(n_out, n);
    assert_memory_equal(out, bytes, n);
    qw_free(out);
}

static void expect_refused(const char *text, const char *part)
{
    uint8_t *out = (uint8_t *)1;
    size_t n_out = 99;
    qwren_error err;
    assert_int_equal(qw_base64_decode(text, strlen(text), "picture 1", &out, &n_out, &err), QWREN_E_FORMAT);
    assert_null(out);
    assert_int_equal(n_out, 0);
    assert_non_null(strstr(err.text, part));
}

static void rfc_vectors_decode(void **state)
{
    (void)state;
    expect("", "", 0);
    expect("Zg==", "f", 1);
    expect("Zm8=", "fo", 2);
    expect("Zm9v", "foo", 3);
    expect("Zm9vYg==", "foob", 4);
    expect("Zm9vYmE=", "fooba", 5);
    expect("Zm9vYmFy", "foobar", 6);
}

static void both_alphabets_white_space_and_missing_padding_are_accepted(void **state)
{
    (void)state;
    expect("+/+/", "\xfb\xff\xbf", 3);
    expect("-_-_", "\xfb\xff\xbf", 3);
    expect("Zm\n9v Yg", "foob", 4);
}

static void anything_else_is_refused_with_its_place(void **state)
{
    (void)state;
    expect_refused("Zm9*", "character 3 of 4");
    expect_refused("Zg==Zg==", "character 2");
    expect_refused("Z", "picture 1");
    expect_refused("Z===", "character 1");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rfc_vectors_decode),
        cmocka_unit_test(both_alphabets_white_space_and_missing_padding_are_accepted),
        cmocka_unit_test(anything_else_is_refused_with_its_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
