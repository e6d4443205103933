/* What the kernels' unit tests use of cmocka, for processors that have no such library here: the first thing that is wrong ends the program with status 1. In the
 * include path of QWREN_KERNELS_ONLY alone. */
#ifndef QW_TESTS_KERNELS_ALONE_CMOCKA_H
#define QW_TESTS_KERNELS_ALONE_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

#define fail_msg(...)                      \
  do {                                     \
    printf("%s:%d: ", __FILE__, __LINE__); \
    printf(__VA_ARGS__);                   \
    putchar('\n');                         \
    exit(1);                               \
  } while (0)

#define QW_EXPECT(condition, text) \
  do {                             \
    if (!(condition))              \
      fail_msg("%s", text);        \
  } while (0)
#define assert_true(x) QW_EXPECT(x, #x)
#define assert_false(x) QW_EXPECT(!(x), "not " #x)
#define assert_non_null(x) QW_EXPECT(x, #x)
#define assert_int_equal(a, b) QW_EXPECT((long long)(a) == (long long)(b), #a " is " #b)
#define assert_memory_equal(a, b, n) QW_EXPECT(memcmp(a, b, n) == 0, #a " holds the bytes of " #b)
#define assert_string_equal(a, b) QW_EXPECT(strcmp(a, b) == 0, #a " is " #b)

#define cmocka_unit_test(function) \
  {                                \
#    function, function            \
  }
#define cmocka_run_group_tests(tests, setup, teardown) qw_run_tests(tests, sizeof(tests) / sizeof(tests)[0], setup, teardown)
#define cmocka_run_group_tests_name(name, tests, setup, teardown) (printf("%s\n", name), cmocka_run_group_tests(tests, setup, teardown))

static inline int qw_run_tests(const struct CMUnitTest *tests, size_t n, int (*setup)(void **state), int (*teardown)(void **state))
{
    void *state = NULL;
    if (setup && setup(&state))
        return 1;
    for (size_t i = 0; i < n; i++) {
        printf("%s\n", tests[i].name);
        tests[i].run(&state);
    }
    return teardown ? teardown(&state) : 0;
}

#endif
