/* The measuring kernels of every level: reading gives the sum of all words, and a peak counts what it did. How fast is not tested. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

#include "kernels/kernels.h"

#define BYTES 4096

static void reading_meets_every_word(void **state)
{
    (void)state;
    unsigned char bytes[BYTES + 64];
    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (unsigned char)(i * 37 + i / 251);
    for (qw_cpu_level l = 0; l < QW_CPU_LEVELS; l++) {
        if (!qw_cpu_can(l))
            continue;
        const qw_kernels k = qw_kernels_of(l);
        for (size_t at = 0; at < 3; at++)
            for (size_t n = 0; n <= BYTES; n += 256) {
                uint64_t sum = 0, word;
                for (size_t i = 0; i < n; i += sizeof word) {
                    memcpy(&word, bytes + at + i, sizeof word);
                    sum += word;
                }
                assert_true(k.read(bytes + at, n) == sum);
            }
    }
}

static void peaks_count_what_they_did(void **state)
{
    (void)state;
    for (qw_cpu_level l = 0; l < QW_CPU_LEVELS; l++) {
        if (!qw_cpu_can(l))
            continue;
        const qw_kernels k = qw_kernels_of(l);
        const qw_peak *const peaks[] = { &k.dot_peak, &k.float_peak };
        for (size_t i = 0; i < 2; i++) {
            float sink = 0;
            const uint64_t one = peaks[i]->run(1, &sink);
            assert_true(one >= 16 && one % 2 == 0);
            assert_true(peaks[i]->run(100, &sink) == 100 * one);
            assert_true(isfinite(sink) && sink != 0);
            assert_true(strlen(peaks[i]->name) > 2 && strlen(peaks[i]->name) < 32);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reading_meets_every_word),
        cmocka_unit_test(peaks_count_what_they_did),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
