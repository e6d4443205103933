/* tests/support/golden.c: the comparison on which every golden test stands can fail. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "support/golden.h"

static void test_largest_difference(void **state)
{
    (void)state;
    const float want[4] = { 1, -2, (float)NAN, (float)INFINITY }, got[4] = { 1.25f, -2.5f, (float)NAN, (float)INFINITY };
    assert_true(golden_compare("equal", want, want, 4, 0) == 0);
    assert_true(golden_compare("two off", got, want, 4, 0.5) == 0.5);
}

static const float *one_got, *one_want;
static double one_limit;

static void compare_one(void **state)
{
    (void)state;
    golden_compare("one", one_got, one_want, 1, one_limit);
}

/* A failing test leaves its function by a jump, so it runs in a process of its own. */
static bool fails(float got, float want, double limit)
{
    int status = 0;
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        const struct CMUnitTest tests[] = { cmocka_unit_test(compare_one) };
        bool quiet = freopen("/dev/null", "w", stdout) && freopen("/dev/null", "w", stderr);
        one_got = &got;
        one_want = &want;
        one_limit = limit;
        _exit(quiet ? cmocka_run_group_tests(tests, NULL, NULL) : 99);
    }
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) <= 1);
    return WEXITSTATUS(status) == 1;
}

static void test_what_fails(void **state)
{
    (void)state;
    const float nan = (float)NAN, infinity = (float)INFINITY;
    assert_false(fails(1.0f, 1.0f, 0));
    assert_false(fails(1.0f, 1.5f, 0.5));
    assert_true(fails(1.0f, 1.5f, 0.49));
    assert_true(fails(nan, 1.0f, 1e30));
    assert_true(fails(1.0f, nan, 1e30));
    assert_true(fails(infinity, 1.0f, 1e30));
    assert_true(fails(infinity, -infinity, 1e30));
    assert_true(fails(1.0f, 1.0f, (double)NAN));
}

static void test_reader(void **state)
{
    (void)state;
    size_t n = 0;
    qw_golden *g = golden_open("text/ops.safetensors");
    const int32_t *pos = golden_i32(g, "rope.pos", &n);
    assert_int_equal(n, 3 * 14);
    assert_int_equal(pos[8], 262143);
    const double *cosines = golden_f64(g, "rope.cos_f64", &n);
    const float *rounded = golden_f32(g, "rope.cos", NULL);
    assert_int_equal(n, 14 * 32);
    assert_true(fabs(cosines[32] - cos(1)) < 1e-15 && fabs(cosines[32] - (double)rounded[32]) < 1e-6); /* position 1, frequency 1 */
    assert_non_null(golden_f32(g, "attn.q_proj.weight", &n));                                          /* BF16 in the file */
    assert_int_equal(n, 1024 * 256);
    assert_int_equal(golden_dim(g, "attn.q_proj.weight", 1), 256);
    assert_true(golden_has(g, "norm.w"));
    assert_false(golden_has(g, "norm.x "));
    golden_close(g);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_largest_difference),
        cmocka_unit_test(test_what_fails),
        cmocka_unit_test(test_reader),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
