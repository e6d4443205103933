/* base/affix.h */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "base/affix.h"

static void beginnings(void **state)
{
    (void)state;
    assert_true(qw_begins_with("mtp.norm.weight", "mtp."));
    assert_true(qw_begins_with("mtp.", "mtp."));
    assert_true(qw_begins_with("mtp", ""));
    assert_false(qw_begins_with("mtp", "mtp."));
    assert_false(qw_begins_with("a.mtp.", "mtp."));
    assert_false(qw_begins_with("", "m"));
}

static void ends(void **state)
{
    (void)state;
    assert_true(qw_ends_with("model.safetensors", ".safetensors"));
    assert_true(qw_ends_with(".safetensors", ".safetensors"));
    assert_true(qw_ends_with("model", ""));
    assert_false(qw_ends_with("tensors", ".safetensors"));
    assert_false(qw_ends_with("model.safetensors.index", ".safetensors"));
    assert_false(qw_ends_with("", "s"));
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(beginnings), cmocka_unit_test(ends) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
