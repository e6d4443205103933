/* compute/cpu/bandwidth.c: a figure that a machine can have, for any number of threads, without asking for more memory than there is. How fast is nothing to test. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

#include "base/clock.h"
#include "compute/ops.h"
#include "support/fault.h"

static qw_ops *device(int n_threads)
{
    qw_ops *ops;
    qwren_error err = { 0 };
    if (qw_ops_create(&ops, &(qw_ops_options){ .n_threads = n_threads }, &err))
        fail_msg("%s", err.text);
    return ops;
}

static void a_speed_that_can_be(void **state)
{
    (void)state;
    for (int n_threads = 1; n_threads <= 8; n_threads *= 2) {
        qw_ops *ops = device(n_threads);
        qw_read_speed s;
        assert_int_equal(qw_ops_measure_read(&s, ops, 1, 1e-6, NULL), QWREN_OK);
        assert_true(isfinite(s.bytes_per_s) && s.bytes_per_s > 1e6 && s.bytes_per_s < 1e15);
        qw_ops_free(ops);
    }
}

/* No matter how many threads: it is the buffer that is read so often. */
static void patience_is_kept(void **state)
{
    (void)state;
    qw_ops *ops = device(8);
    qw_read_speed s;
    const double before = qw_cpu_s();
    assert_int_equal(qw_ops_measure_read(&s, ops, 8 << 20, 0.01, NULL), QWREN_OK);
    const double used = qw_cpu_s() - before;
    if (used > 2) /* 0.06 s on each processor at most, and what it takes to fill the buffer */
        fail_msg("it took %g s of all processors", used);
    qw_ops_free(ops);
}

static qwren_status measure(void *ctx, qwren_error *err)
{
    qw_read_speed s;
    return qw_ops_measure_read(&s, ctx, 1, 1e-6, err);
}

static void short_memory_is_an_error(void **state)
{
    (void)state;
    fault_install();
    qw_ops *ops = device(2);
    assert_int_equal(fault_try_all(measure, ops, 1), 1);
    qw_ops_free(ops);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_speed_that_can_be),
        cmocka_unit_test(patience_is_kept),
        cmocka_unit_test(short_memory_is_an_error),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
