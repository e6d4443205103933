/* base/file.c: what is read is whole or refused with its name, what is written is whole or not there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <dirent.h>
#include <fcntl.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "support/fault.h"

static char folder[] = "/tmp/qwren-test-XXXXXX";
static char path[sizeof folder + 32];

static int make_folder(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}
static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
} /* fails when a test left a file */

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", folder, name);
    return path;
}

static void put(const char *name, const void *bytes, size_t n)
{
    FILE *f = fopen(in_folder(name), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static size_t files_in_folder(void)
{
    size_t n = 0;
    DIR *d = opendir(folder);
    for (struct dirent *e; (e = readdir(d));)
        n += e->d_name[0] != '.';
    closedir(d);
    return n;
}

static void expect_content(const char *name, const void *bytes, size_t n)
{
    char *text = NULL;
    size_t len = 0;
    assert_int_equal(qw_file_read(in_folder(name), 1000, &text, &len, NULL), QWREN_OK);
    assert_int_equal(len, n);
    assert_memory_equal(text, bytes, n);
    assert_int_equal(text[len], '\0');
    qw_free(text);
}

static void a_map_shows_the_files_bytes(void **state)
{
    (void)state;
    put("f", "a\0b\n", 4);
    qw_map m;
    assert_int_equal(qw_map_open(&m, in_folder("f"), NULL), QWREN_OK);
    assert_int_equal(m.size, 4);
    assert_memory_equal(m.data, "a\0b\n", 4);
    qw_map_close(&m);
    assert_null(m.data);
    qw_map_close(&m);
    unlink(in_folder("f"));
}

static void an_empty_file_maps_and_reads_as_nothing(void **state)
{
    (void)state;
    put("empty", "", 0);
    qw_map m = { (const uint8_t *)1, 1, false };
    assert_int_equal(qw_map_open(&m, in_folder("empty"), NULL), QWREN_OK);
    assert_null(m.data);
    assert_int_equal(m.size, 0);
    qw_map_close(&m);
    expect_content("empty", "", 0);
    unlink(in_folder("empty"));
}

static void refused(const char *p, const char *why)
{
    qwren_error err;
    qw_map m = { (const uint8_t *)1, 1, false };
    char *text = (char *)1;
    size_t len = 1;
    assert_int_equal(qw_map_open(&m, p, &err), QWREN_E_IO);
    assert_null(m.data);
    assert_int_equal(m.size, 0);
    assert_non_null(strstr(err.text, p));
    assert_non_null(strstr(err.text, why));
    assert_int_equal(qw_file_read(p, 100, &text, &len, &err), QWREN_E_IO);
    assert_null(text);
    assert_int_equal(len, 0);
    assert_non_null(strstr(err.text, p));
    assert_false(qw_file_exists(p));
}

static void what_is_missing_or_no_file_is_refused_by_name(void **state)
{
    (void)state;
    refused(in_folder("missing"), "No such file");
    refused(folder, "directory");
    refused("/dev/null", "regular file");
    assert_int_equal(mkfifo(in_folder("fifo"), 0600), 0);
    refused(in_folder("fifo"), "regular file"); /* and does not wait for a writer */
    unlink(in_folder("fifo"));
    assert_true(qw_dir_exists(folder));
    assert_false(qw_dir_exists(in_folder("missing")));
}

static void a_file_larger_than_the_limit_is_refused(void **state)
{
    (void)state;
    qwren_error err;
    char *text;
    size_t len;
    put("ten", "0123456789", 10);
    assert_int_equal(qw_file_read(in_folder("ten"), 10, &text, &len, &err), QWREN_OK);
    qw_free(text);
    assert_int_equal(qw_file_read(in_folder("ten"), 9, &text, &len, &err), QWREN_E_LIMIT);
    assert_null(text);
    assert_non_null(strstr(err.text, "9 bytes"));
    FILE *f = fopen(in_folder("ten"), "rb");
    assert_int_equal(qw_file_read_stream(f, "stdin", 9, &text, &len, &err), QWREN_E_LIMIT);
    assert_non_null(strstr(err.text, "stdin"));
    rewind(f);
    assert_int_equal(qw_file_read_stream(f, "stdin", 10, &text, &len, &err), QWREN_OK);
    assert_string_equal(text, "0123456789");
    qw_free(text);
    fclose(f);
    unlink(in_folder("ten"));
}

static void a_committed_file_is_whole_and_alone(void **state)
{
    (void)state;
    qw_writer *w;
    put("out", "old", 3);
    assert_int_equal(qw_writer_open(&w, in_folder("out"), NULL), QWREN_OK);
    assert_int_equal(qw_writer_write(w, "new ", 4, NULL), QWREN_OK);
    assert_int_equal(qw_writer_write(w, "", 0, NULL), QWREN_OK);
    assert_int_equal(qw_writer_write(w, "content", 7, NULL), QWREN_OK);
    expect_content("out", "old", 3); /* until the commit the old file stands */
    assert_int_equal(qw_writer_commit(w, NULL), QWREN_OK);
    qw_writer_close(w);
    expect_content("out", "new content", 11);
    assert_int_equal(qw_file_write(in_folder("out"), "newer", 5, NULL), QWREN_OK);
    expect_content("out", "newer", 5);
    assert_int_equal(files_in_folder(), 1);
    unlink(in_folder("out"));
}

static void without_a_commit_nothing_is_left_behind(void **state)
{
    (void)state;
    qw_writer *w;
    assert_int_equal(qw_writer_open(&w, in_folder("out"), NULL), QWREN_OK);
    assert_int_equal(qw_writer_write(w, "half", 4, NULL), QWREN_OK);
    qw_writer_close(w);
    qw_writer_close(NULL);
    assert_int_equal(files_in_folder(), 0);
}

static void an_unwritable_target_is_an_error_by_name(void **state)
{
    (void)state;
    qwren_error err;
    qw_writer *w = (qw_writer *)1;
    assert_int_equal(qw_writer_open(&w, in_folder("no/such/out"), &err), QWREN_E_IO);
    assert_null(w);
    assert_non_null(strstr(err.text, "no/such/out"));
    assert_null(strstr(err.text, ".tmp"));
    w = (qw_writer *)1;
    assert_int_equal(qw_writer_open(&w, folder, &err), QWREN_E_IO); /* a directory */
    assert_null(w);
    assert_int_equal(files_in_folder(), 0);
}

static void a_full_disk_is_told_and_never_taken_for_success(void **state)
{
    (void)state;
    if (access("/dev/full", W_OK) != 0)
        skip();
    qwren_error err;
    qw_writer *w;
    char bytes[100000] = { 0 };
    assert_int_equal(qw_writer_open(&w, "/dev/full", &err), QWREN_OK);
    qwren_status st = qw_writer_write(w, bytes, sizeof bytes, &err);
    if (st == QWREN_OK)
        st = qw_writer_commit(w, &err);
    assert_int_equal(st, QWREN_E_IO);
    assert_non_null(strstr(err.text, "/dev/full"));
    qw_writer_close(w);
}

static void devices_are_written_directly(void **state)
{
    (void)state;
    qw_writer *w;
    assert_int_equal(qw_writer_open(&w, "/dev/null", NULL), QWREN_OK);
    assert_int_equal(qw_writer_write(w, "x", 1, NULL), QWREN_OK);
    assert_int_equal(qw_writer_commit(w, NULL), QWREN_OK);
    qw_writer_close(w);
    struct stat s;
    assert_int_equal(stat("/dev/null", &s), 0);
    assert_true(S_ISCHR(s.st_mode));
}

static void joined(const char *dir, const char *name, const char *want)
{
    char *p = qw_path_join(dir, name);
    assert_string_equal(p, want);
    qw_free(p);
}

static void paths_join_with_one_slash(void **state)
{
    (void)state;
    joined("a", "b", "a/b");
    joined("a/", "b", "a/b");
    joined("/", "b", "/b");
    joined("", "b", "b");
    assert_string_equal(qw_path_base("a/b/c.txt"), "c.txt");
    assert_string_equal(qw_path_base("c.txt"), "c.txt");
    assert_string_equal(qw_path_base("a/"), "");
}

static qwren_status copy_file(void *ctx, qwren_error *err)
{
    (void)ctx;
    char *text, from[sizeof path], to[sizeof path];
    size_t len;
    memcpy(from, in_folder("from"), sizeof from);
    memcpy(to, in_folder("to"), sizeof to);
    QW_TRY(qw_file_read(from, SIZE_MAX, &text, &len, err));
    qwren_status st = qw_file_write(to, text, len, err);
    qw_free(text);
    return st;
}

/* Before long work: can its result be written? (Root may write where others may not, so rights alone are not tested here.) */
static void a_place_for_a_file_is_checked_without_making_it(void **state)
{
    (void)state;
    qwren_error err;
    const char *p = in_folder("new");
    assert_int_equal(qw_file_check_place(p, &err), QWREN_OK);
    assert_false(qw_path_exists(p));
    assert_int_equal(qw_file_write(p, "x", 1, &err), QWREN_OK);
    assert_true(qw_path_exists(p));
    assert_int_equal(qw_file_check_place(p, &err), QWREN_OK);
    assert_int_equal(qw_file_check_place(in_folder("new/within"), &err), QWREN_E_IO);
    assert_int_equal(qw_file_check_place(in_folder("missing/new"), &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "missing/new: cannot be written"));
    unlink(in_folder("new"));
    assert_int_equal(qw_file_check_place("a-name-that-is-not-here", &err), QWREN_OK);
    const char *const none[] = { folder, "/dev/null", "" };
    for (size_t i = 0; i < sizeof none / sizeof *none; i++)
        assert_int_equal(qw_file_check_place(none[i], &err), QWREN_E_IO);
}

static void without_memory_nothing_leaks_and_nothing_is_half_written(void **state)
{
    (void)state;
    char bytes[50000];
    memset(bytes, 'x', sizeof bytes);
    put("from", bytes, sizeof bytes);
    fault_install();
    assert_true(fault_try_all(copy_file, NULL, 1) >= 4);
    fault_remove();
    assert_int_equal(files_in_folder(), 2);
    unlink(in_folder("from"));
    unlink(in_folder("to"));
}

/* Advice changes nothing that is read; a lock is granted, or refused with a sentence. */
static void mappings_can_be_advised_and_locked(void **state)
{
    (void)state;
    enum { N = 100000 };
    static char bytes[N];
    memset(bytes, 'x', N);
    put("a", bytes, N);
    qw_map m;
    qwren_error err;
    assert_int_equal(qw_map_open(&m, in_folder("a"), &err), QWREN_OK);
    qw_map_expect(&m);
    qw_map_release(m.data, N);
    qw_map_expect(&(qw_map){ 0 });
    assert_memory_equal(m.data, bytes, N);
    const qwren_status st = qw_map_lock(m.data + 3, N - 3, &err);
    assert_true(st == QWREN_OK || st == QWREN_E_LIMIT);
    if (st != QWREN_OK)
        assert_non_null(strstr(err.text, "cannot be locked"));
    assert_int_equal(qw_map_lock(NULL, 0, &err), QWREN_OK);
    const struct rlimit none = { 0, 0 };
    struct rlimit before;
    getrlimit(RLIMIT_MEMLOCK, &before);
    if (geteuid() != 0 && setrlimit(RLIMIT_MEMLOCK, &none) == 0)
        assert_int_equal(qw_map_lock(m.data, N, &err), QWREN_E_LIMIT);
    qw_map_close(&m);
    unlink(in_folder("a"));
}

/* Large enough for huge pages: what is written, mapped and advised is the same. */
static void a_large_file_is_mapped_like_a_small_one(void **state)
{
    (void)state;
    enum { N = 16 };
    const size_t step = QW_MAP_HUGE / N + 4097;
    qw_map m;
    qwren_error err;
    int fd = open(in_folder("large"), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    assert_true(fd >= 0);
    assert_int_equal(ftruncate(fd, (off_t)(N * step)), 0);
    for (unsigned char i = 0; i < N; i++) {
        qw_file_make_page(fd, i * step);
        assert_int_equal(pwrite(fd, &i, 1, (off_t)(i * step)), 1);
    }
    close(fd);
    assert_int_equal(qw_map_open(&m, in_folder("large"), &err), QWREN_OK);
    assert_int_equal(m.size, N * step);
    for (int again = 0; again < 2; again++) {
        for (size_t i = 0; i < N; i++) {
            assert_int_equal(m.data[i * step], i);
            assert_int_equal(m.data[i * step + 1], 0);
        }
        qw_map_expect(&m);
    }
    qw_map_close(&m);
    unlink(in_folder("large"));
}

static qwren_status append(const char *name, const char *text, qwren_error *err)
{
    int fd;
    QW_TRY(qw_file_open_locked(&fd, name, err));
    const qwren_status st = qw_file_append(fd, name, text, strlen(text), err);
    close(fd);
    return st;
}

static void bytes_are_added_behind_what_is_there(void **state)
{
    (void)state;
    char *text = NULL;
    size_t n = 0;
    qwren_error err = { 0 };
    assert_int_equal(append(in_folder("log"), "one ", NULL), QWREN_OK);
    assert_int_equal(append(in_folder("log"), "", NULL), QWREN_OK);
    assert_int_equal(append(in_folder("log"), "two", NULL), QWREN_OK);
    assert_int_equal(qw_file_read(in_folder("log"), 100, &text, &n, NULL), QWREN_OK);
    assert_string_equal(text, "one two");
    qw_free(text);
    unlink(in_folder("log"));
    assert_int_equal(append(in_folder("no/such/folder"), "x", &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "no/such/folder"));
    if (qw_path_is_special("/dev/full")) {
        const int fd = open("/dev/full", O_WRONLY | O_CLOEXEC);
        assert_int_equal(append("/dev/full", "x", &err), QWREN_E_IO); /* no regular file */
        assert_int_equal(qw_file_append(fd, "/dev/full", "x", 1, &err), QWREN_E_IO);
        close(fd);
        assert_non_null(strstr(err.text, "/dev/full"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(mappings_can_be_advised_and_locked),
        cmocka_unit_test(a_large_file_is_mapped_like_a_small_one),
        cmocka_unit_test(a_map_shows_the_files_bytes),
        cmocka_unit_test(an_empty_file_maps_and_reads_as_nothing),
        cmocka_unit_test(what_is_missing_or_no_file_is_refused_by_name),
        cmocka_unit_test(a_file_larger_than_the_limit_is_refused),
        cmocka_unit_test(a_committed_file_is_whole_and_alone),
        cmocka_unit_test(without_a_commit_nothing_is_left_behind),
        cmocka_unit_test(an_unwritable_target_is_an_error_by_name),
        cmocka_unit_test(a_full_disk_is_told_and_never_taken_for_success),
        cmocka_unit_test(devices_are_written_directly),
        cmocka_unit_test(bytes_are_added_behind_what_is_there),
        cmocka_unit_test(a_place_for_a_file_is_checked_without_making_it),
        cmocka_unit_test(paths_join_with_one_slash),
        cmocka_unit_test(without_memory_nothing_leaks_and_nothing_is_half_written),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
