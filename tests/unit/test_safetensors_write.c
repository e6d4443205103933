/* weights/safetensors_write.c: what is written piece by piece is read back by the reader; a file is taken over or replaced; full disks and short memory are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "support/fault.h"
#include "weights/safetensors_write.h"
#include "weights/weights.h"

#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const qw_st_entry entries[] = {
    { .name = "language_model.model.norm.weight", .type = QW_TYPE_BF16, .n_dims = 1, .shape = { 3 } },
    { .name = "a \"quoted\" name", .type = QW_TYPE_U32, .n_dims = 2, .shape = { 5, 7 } },
    { .name = "empty", .type = QW_TYPE_F32, .n_dims = 2, .shape = { 0, 4 } },
    { .name = "one", .type = QW_TYPE_F32, .n_dims = 0 },
    { .name = "five", .type = QW_TYPE_F16, .n_dims = 5, .shape = { 2, 1, 3, 1, 2 } },
};
#define N (sizeof entries / sizeof *entries)

static char folder[] = "/tmp/qwren-st-XXXXXX";
static char path[64];

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/model.safetensors", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    unlink(path);
    return rmdir(folder);
}

static unsigned char byte_of(size_t i, size_t k) { return (unsigned char)(i * 71 + k * 13 + 5); }

static void ok(qwren_status st, const qwren_error *err)
{
    if (st != QWREN_OK)
        fail_msg("%s", err->text);
}

/* Single bytes, the last tensor first and each from its end. */
static qwren_status write_all(qw_st_writer *w, qwren_error *err)
{
    for (size_t i = N; i-- > 0;) {
        size_t n;
        assert_true(qw_st_entry_bytes(&entries[i], &n));
        for (size_t k = n; k-- > 0;) {
            unsigned char b = byte_of(i, k);
            QW_TRY(qw_st_write(w, i, k, &b, 1, err));
        }
    }
    return qw_st_finish(w, err);
}

static void expect_read(void)
{
    qwren_error err;
    qw_weights *r = NULL;
    ok(qw_weights_open_file(&r, path, &err), &err);
    assert_int_equal(qw_weights_count(r), N);
    for (size_t i = 0; i < N; i++) {
        const qw_tensor *t = NULL;
        for (size_t k = 0; k < N; k++)
            if (strcmp(qw_weights_at(r, k)->file_name, entries[i].name) == 0)
                t = qw_weights_at(r, k);
        assert_non_null(t);
        assert_int_equal(t->type, entries[i].type);
        assert_int_equal(t->n_dims, entries[i].n_dims);
        assert_memory_equal(t->shape, entries[i].shape, (size_t)t->n_dims * sizeof *t->shape);
        for (size_t k = 0; k < t->n_bytes; k++)
            assert_int_equal(((const unsigned char *)t->data)[k], byte_of(i, k));
    }
    qw_weights_close(r);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    qwren_error err;
    qw_st_writer *w;
    ok(qw_st_create(&w, path, entries, N, "pt", &err), &err);
    ok(write_all(w, &err), &err);
    unsigned char back[5];
    ok(qw_st_read(w, 1, 100, back, 5, &err), &err);
    for (size_t k = 0; k < 5; k++)
        assert_int_equal(back[k], byte_of(1, 100 + k));
    qw_st_close(w);
    expect_read();
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    int low = fgetc(f), high = fgetc(f);
    assert_int_equal((low + 256 * high + 8) % 64, 0);
    fclose(f);
}

/* Large enough for huge pages, which the pieces know nothing of. */
static void a_large_file_is_written_likewise(void **state)
{
    (void)state;
    enum { ROWS = 9000, PIECE = 700001 };
    const size_t n = 2 * ROWS * (size_t)1000;
    const qw_st_entry two[] = { { .name = "a", .type = QW_TYPE_F16, .n_dims = 2, .shape = { ROWS, 1000 } },
                                { .name = "b", .type = QW_TYPE_F16, .n_dims = 2, .shape = { ROWS, 1000 } } };
    qwren_error err;
    qw_st_writer *w;
    qw_weights *r = NULL;
    unsigned char *bytes = malloc(n);
    assert_non_null(bytes);
    for (size_t k = 0; k < n; k++)
        bytes[k] = byte_of(k / 251, k);
    unlink(path);
    ok(qw_st_create(&w, path, two, 2, "pt", &err), &err);
    for (size_t at = 0; at < n; at += PIECE)
        for (size_t i = 0; i < 2; i++)
            ok(qw_st_write(w, i, at, bytes + at, n - at < PIECE ? n - at : PIECE, &err), &err);
    ok(qw_st_finish(w, &err), &err);
    qw_st_close(w);
    ok(qw_weights_open_file(&r, path, &err), &err);
    for (size_t i = 0; i < 2; i++)
        assert_memory_equal(qw_weights_at(r, i)->data, bytes, n);
    qw_weights_close(r);
    free(bytes);
    unlink(path);
}

static void pieces_outside_are_refused(void **state)
{
    (void)state;
    qwren_error err;
    qw_st_writer *w;
    unsigned char bytes[8] = { 0 };
    ok(qw_st_create(&w, path, entries, N, "pt", &err), &err);
    assert_int_equal(qw_st_write(w, 0, 5, bytes, 2, &err), QWREN_E_INTERNAL);
    assert_int_equal(qw_st_write(w, 0, SIZE_MAX, bytes, 2, &err), QWREN_E_INTERNAL);
    assert_int_equal(qw_st_write(w, N, 0, bytes, 1, &err), QWREN_E_INTERNAL);
    assert_int_equal(qw_st_read(w, 2, 0, bytes, 1, &err), QWREN_E_INTERNAL);
    ok(qw_st_write(w, 2, 0, bytes, 0, &err), &err);
    qw_st_close(w);
    expect_read(); /* the file that was there kept its bytes */
}

/* The same header: taken over. Another one, or another size: replaced. */
static void a_file_is_taken_over_or_replaced(void **state)
{
    (void)state;
    qwren_error err;
    qw_st_writer *w;
    ok(qw_st_create(&w, path, entries, N, "pt", &err), &err);
    qw_st_close(w);
    expect_read();
    ok(qw_st_create(&w, path, entries, N, "mlx", &err), &err);
    unsigned char b = 1;
    ok(qw_st_read(w, 1, 0, &b, 1, &err), &err);
    assert_int_equal(b, 0);
    b = 1;
    ok(qw_st_write(w, 0, 0, &b, 1, &err), &err); /* the first byte of the data stays when the end is cut off */
    qw_st_close(w);
    struct stat s;
    assert_int_equal(stat(path, &s), 0);
    assert_int_equal(truncate(path, s.st_size - 1), 0);
    ok(qw_st_create(&w, path, entries, N, "mlx", &err), &err);
    ok(qw_st_read(w, 0, 0, &b, 1, &err), &err);
    assert_int_equal(b, 0);
    qw_st_close(w);
    assert_int_equal(unlink(path), 0);
}

static void what_cannot_be_made_is_told(void **state)
{
    (void)state;
    qwren_error err;
    qw_st_writer *w;
    static const qw_st_entry huge = { .name = "huge", .type = QW_TYPE_F32, .n_dims = 2, .shape = { (size_t)1 << 40, (size_t)1 << 40 } };
    assert_int_equal(qw_st_create(&w, path, &huge, 1, "mlx", &err), QWREN_E_LIMIT);
    assert_non_null(strstr(err.text, "huge"));
    assert_null(w);
    assert_int_equal(qw_st_create(&w, "/nowhere/at/all", entries, N, "mlx", &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "/nowhere/at/all: cannot be written: "));
    assert_int_equal(qw_st_create(&w, folder, entries, N, "mlx", &err), QWREN_E_IO);
    assert_int_equal(qw_st_create(&w, "/dev/null", entries, N, "mlx", &err), QWREN_E_IO);
}

/* The limit on a file's size stands for a full disk: both are an error of the write. */
static void a_full_disk_is_told_at_once(void **state)
{
    (void)state;
    qwren_error err;
    qw_st_writer *w;
    static const qw_st_entry large = { .name = "large", .type = QW_TYPE_F32, .n_dims = 1, .shape = { 100000 } };
    struct rlimit old, small;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &old), 0);
    small = old;
    small.rlim_cur = 4096;
    signal(SIGXFSZ, SIG_IGN);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    qwren_status st = qw_st_create(&w, path, &large, 1, "mlx", &err);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &old), 0);
    assert_int_equal(st, QWREN_E_IO);
    assert_non_null(strstr(err.text, path));
    assert_non_null(strstr(err.text, "GB"));
    ok(qw_st_create(&w, path, &large, 1, "mlx", &err), &err); /* what that left is no file of ours */
    qw_st_close(w);
}

static qwren_status write_once(void *ctx, qwren_error *err)
{
    (void)ctx;
    qw_st_writer *w;
    QW_TRY(qw_st_create(&w, path, entries, N, "pt", err));
    qwren_status st = write_all(w, err);
    qw_st_close(w);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(write_once, NULL, 1) > 3);
    fault_remove();
    expect_read();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_large_file_is_written_likewise), cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(pieces_outside_are_refused),       cmocka_unit_test(a_file_is_taken_over_or_replaced),
        cmocka_unit_test(what_cannot_be_made_is_told),      cmocka_unit_test(a_full_disk_is_told_at_once),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
