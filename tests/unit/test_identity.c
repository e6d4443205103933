/* model/identity.c: the same for the same model wherever it lies and whatever computes it, another for whatever changes numbers. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/clock.h"
#include "base/file.h"
#include "model/identity.h"

#define SOURCE QW_TEST_DATA "/text/tiny-c/hf"

static char folder[] = "/tmp/qwren-test-XXXXXX";
static const char *const files[] = { "config.json", "model.safetensors" };

static char *in_folder(const char *name)
{
    char *path = qw_path_join(folder, name);
    assert_non_null(path);
    return path;
}

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

/* A copy of the tiny model, with the byte `at` of a file changed when file is not NULL. */
static void copy_model(const char *file, size_t at)
{
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *from = qw_path_join(SOURCE, files[i]), *to = in_folder(files[i]), *bytes;
        size_t n;
        assert_int_equal(qw_file_read(from, SIZE_MAX, &bytes, &n, NULL), QWREN_OK);
        if (file && strcmp(file, files[i]) == 0)
            bytes[at] = (char)(bytes[at] ^ 1);
        assert_int_equal(qw_file_write(to, bytes, n, NULL), QWREN_OK);
        qw_free(from);
        qw_free(to);
        qw_free(bytes);
    }
}

static int remove_folder(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        char *path = in_folder(files[i]);
        unlink(path);
        qw_free(path);
    }
    return rmdir(folder);
}

static qw_identity of_params(const char *dir, qw_model_params params, qw_kv_type type)
{
    qw_model m;
    qwren_error err;
    qw_identity id;
    if (qw_model_init(&m, dir, &params, &err) || qw_identity_of(&id, &m, type, &err))
        fail_msg("%s", err.text);
    qw_model_deinit(&m);
    return id;
}

static qw_identity of(const char *dir) { return of_params(dir, (qw_model_params){ .n_threads = 1 }, QW_KV_F16); }

static bool same(const qw_identity *a, const qw_identity *b) { return memcmp(a, b, sizeof *a) == 0; }

static void the_same_weights_elsewhere_are_the_same(void **state)
{
    (void)state;
    copy_model(NULL, 0);
    const qw_identity a = of(SOURCE), b = of(folder), c = of_params(SOURCE, (qw_model_params){ .n_threads = 3 }, QW_KV_F16);
    assert_memory_equal(&a, &b, sizeof a);
    assert_memory_equal(&a, &c, sizeof a);
    static const qw_identity none;
    assert_false(same(&a, &none));
}

static void what_changes_numbers_changes_it(void **state)
{
    (void)state;
    const qw_identity a = of(SOURCE);
    qw_identity b = of_params(SOURCE, (qw_model_params){ .n_threads = 1 }, QW_KV_Q8);
    assert_false(same(&a, &b));
    b = of_params(SOURCE, (qw_model_params){ .n_threads = 1, .arithmetic = QWREN_ARITHMETIC_EXACT }, QW_KV_F16);
    assert_false(same(&a, &b));
    b = of(QW_TEST_DATA "/text/tiny-b/hf");
    assert_false(same(&a, &b));
    /* one bit of a weight: the last byte of the file, and the first of a tensor */
    char *path = qw_path_join(SOURCE, "model.safetensors");
    qw_map map;
    uint64_t head;
    assert_int_equal(qw_map_open(&map, path, NULL), QWREN_OK);
    memcpy(&head, map.data, sizeof head);
    const size_t places[] = { map.size - 1, (size_t)head + 8 };
    for (size_t i = 0; i < 2; i++) {
        copy_model("model.safetensors", places[i]);
        b = of(folder);
        assert_false(same(&a, &b));
    }
    qw_map_close(&map);
    qw_free(path);
}

static void settings_change_it(void **state)
{
    (void)state;
    static const char *const changes[][2] = { { "\"rms_norm_eps\": 1e-06", "\"rms_norm_eps\": 2e-06" },
                                              { "\"rope_theta\": 10000000", "\"rope_theta\": 10000001" } };
    const qw_identity a = of(SOURCE);
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        copy_model(NULL, 0);
        char *path = in_folder("config.json"), *text;
        size_t n;
        assert_int_equal(qw_file_read(path, SIZE_MAX, &text, &n, NULL), QWREN_OK);
        char *at = strstr(text, changes[i][0]);
        if (!at)
            fail_msg("config.json does not have %s", changes[i][0]);
        memcpy(at, changes[i][1], strlen(changes[i][1]));
        assert_int_equal(qw_file_write(path, text, n, NULL), QWREN_OK);
        const qw_identity b = of(folder);
        assert_false(same(&a, &b));
        qw_free(path);
        qw_free(text);
    }
}

/* Levels that compute the same bits share what they saved; plain C is for itself. */
static void the_processor_counts_by_how_it_rounds(void **state)
{
    (void)state;
    const qw_model_params deterministic = { .n_threads = 1, .arithmetic = QWREN_ARITHMETIC_DETERMINISTIC };
    const qw_identity best = of_params(SOURCE, deterministic, QW_KV_F16);
    setenv("QWREN_CPU", "portable", 1);
    const qw_identity plain = of_params(SOURCE, deterministic, QW_KV_F16);
    qw_cpu_level level = QW_CPU_PORTABLE;
    for (int i = 0; i < QW_CPU_LEVELS; i++)
        if (qw_cpu_can((qw_cpu_level)i) && i != QW_CPU_PORTABLE) {
            level = (qw_cpu_level)i;
            setenv("QWREN_CPU", qw_cpu_level_name(level), 1);
            const qw_identity other = of_params(SOURCE, deterministic, QW_KV_F16);
            assert_true(same(&best, &other));
        }
    unsetenv("QWREN_CPU");
    if (level != QW_CPU_PORTABLE)
        assert_false(same(&best, &plain));
}

static void it_takes_milliseconds(void **state)
{
    (void)state;
    qw_model m;
    qw_identity id;
    assert_int_equal(qw_model_init(&m, QW_MODELS "/qwren-nano", &(qw_model_params){ .n_threads = 1 }, NULL), QWREN_OK);
    const double begin = qw_now_s();
    assert_int_equal(qw_identity_of(&id, &m, QW_KV_F16, NULL), QWREN_OK);
    const double seconds = qw_now_s() - begin;
    print_message("%zu tensors: %.2f ms\n", qw_weights_count(m.weights), seconds * 1e3);
    assert_true(seconds < 1);
    qw_model_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_same_weights_elsewhere_are_the_same),
        cmocka_unit_test(what_changes_numbers_changes_it),
        cmocka_unit_test(settings_change_it),
        cmocka_unit_test(the_processor_counts_by_how_it_rounds),
        cmocka_unit_test(it_takes_milliseconds),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
