/* runtime/store.c: what was put comes back, what was torn or damaged is left out, and a foreign file is told from our own. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <signal.h>
#include <sys/file.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "runtime/store.h"
#include "support/fault.h"

#define KIND QW_STORE_TAG('T', 'E', 'S', 'T')
#define TAG QW_STORE_TAG('D', 'A', 'T', 'A')
#define HEAD_BYTES 256
#define BLOCK_BYTES 64

static char folder[] = "/tmp/qwren-test-XXXXXX";
static char path[sizeof folder + 32];
static const qw_store_head head = { .kind = KIND, .key = { 1, 2, 3 }, .about = "the model of this test" };

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/log", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

static int remove_file(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

/* Block i of a test: its tag's numbers and payload follow from i. */
static size_t size_of(int i) { return (size_t)(i * 37 % 200); }

static void fill(uint8_t *p, size_t n, int i)
{
    for (size_t k = 0; k < n; k++)
        p[k] = (uint8_t)(i * 31 + (int)k * 7);
}

static void put(qw_store *s, int i)
{
    uint8_t bytes[200];
    const size_t n = size_of(i), half = n / 2;
    fill(bytes, n, i);
    const uint64_t info[3] = { (uint64_t)i, UINT64_MAX, 7 };
    const qw_store_part parts[] = { { bytes, half }, { bytes + half, n - half } };
    assert_int_equal(qw_store_put(s, TAG, info, parts, 2, NULL), QWREN_OK);
}

static void append(int first, int n)
{
    qw_store *s;
    qwren_error err;
    if (qw_store_edit(&s, path, &head, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    for (int i = first; i < first + n; i++)
        put(s, i);
    assert_int_equal(qw_store_sync(s, NULL), QWREN_OK);
    qw_store_close(s);
}

/* How many of blocks 0, 1, ... are there; each must be what was put. */
static int count(void)
{
    qw_store *s;
    qw_store_block b;
    int n = 0;
    assert_int_equal(qw_store_open(&s, path, KIND, NULL), QWREN_OK);
    for (; qw_store_next(s, &b); n++) {
        uint8_t got[200], wanted[200];
        assert_int_equal(b.tag, TAG);
        assert_true(b.info[0] == (uint64_t)n && b.info[1] == UINT64_MAX && b.info[2] == 7);
        assert_int_equal(b.bytes, size_of(n));
        assert_int_equal(b.at % QW_STORE_ALIGN, 0);
        const qw_store_part parts[] = { { got, b.bytes / 3 }, { got + b.bytes / 3, b.bytes - b.bytes / 3 } };
        if (qw_store_read(s, &b, parts, 2, NULL) != QWREN_OK)
            break;
        fill(wanted, b.bytes, n);
        assert_memory_equal(got, wanted, b.bytes);
    }
    qw_store_close(s);
    return n;
}

static size_t file_size(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

static void *read_file(size_t *n)
{
    char *bytes;
    assert_int_equal(qw_file_read(path, SIZE_MAX, &bytes, n, NULL), QWREN_OK);
    return bytes;
}

static void write_file(const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void blocks_come_back_and_more_are_appended(void **state)
{
    (void)state;
    append(0, 5);
    assert_int_equal(count(), 5);
    const size_t before = file_size();
    append(5, 4);
    assert_int_equal(count(), 9);
    size_t added = 0;
    for (int i = 5; i < 9; i++)
        added += BLOCK_BYTES + (size_of(i) + 63) / 64 * 64;
    assert_int_equal(file_size(), before + added);
    qw_store *s;
    assert_int_equal(qw_store_open(&s, path, KIND, NULL), QWREN_OK);
    assert_string_equal(qw_store_get_head(s)->about, head.about);
    assert_memory_equal(qw_store_get_head(s)->key, head.key, sizeof head.key);
    assert_string_equal(qw_store_path(s), path);
    qw_store_close(s);
}

/* Blocks of a file that was cut to n bytes: those that end inside. */
static int whole_blocks(size_t n)
{
    size_t end = HEAD_BYTES;
    for (int i = 0;; i++) {
        end += BLOCK_BYTES + (size_of(i) + 63) / 64 * 64;
        if (end > n)
            return i;
    }
}

static void a_file_cut_at_any_byte_keeps_its_whole_blocks(void **state)
{
    (void)state;
    size_t n;
    append(0, 6);
    char *bytes = read_file(&n);
    for (size_t cut = 0; cut < n; cut++) {
        write_file(bytes, cut);
        qw_store *s;
        if (cut < HEAD_BYTES)
            assert_int_equal(qw_store_open(&s, path, KIND, NULL), QWREN_E_FORMAT);
        else
            assert_int_equal(count(), whole_blocks(cut));
        if (cut > 0 && cut < 8) { /* too little to be known for ours */
            assert_int_equal(qw_store_edit(&s, path, &head, NULL), QWREN_E_FORMAT);
            continue;
        }
        const int left = cut < HEAD_BYTES ? 0 : whole_blocks(cut);
        append(left, 1); /* and it can be written on */
        assert_int_equal(count(), left + 1);
    }
    qw_free(bytes);
}

/* Any one changed byte: nothing wrong is handed out, and what is before it stays. */
static void a_changed_byte_is_noticed(void **state)
{
    (void)state;
    size_t n;
    append(0, 6);
    char *bytes = read_file(&n);
    for (size_t at = HEAD_BYTES; at < n; at++) {
        bytes[at] = (char)(bytes[at] ^ 4);
        write_file(bytes, n);
        bytes[at] = (char)(bytes[at] ^ 4);
        const int before = whole_blocks(at), left = count();
        assert_true(left == before || left == 6); /* 6: it was padding */
        append(left, 1);
        assert_int_equal(count(), left + 1);
    }
    for (size_t at = 0; at < HEAD_BYTES; at++) {
        bytes[at] = (char)(bytes[at] ^ 4);
        write_file(bytes, n);
        bytes[at] = (char)(bytes[at] ^ 4);
        qw_store *s;
        assert_true(qw_store_open(&s, path, KIND, NULL) < 0);
        assert_null(s);
        assert_true(qw_store_edit(&s, path, &head, NULL) < 0);
        assert_int_equal(file_size(), n); /* what is not ours is not touched */
    }
    qw_free(bytes);
}

/* A file of a length that is a lie asks for no memory and reads nothing outside. */
static void a_block_larger_than_the_file_is_none(void **state)
{
    (void)state;
    append(0, 3);
    assert_int_equal(truncate(path, HEAD_BYTES + BLOCK_BYTES + 1), 0);
    assert_int_equal(count(), 1);
}

static void foreign_files_are_refused(void **state)
{
    (void)state;
    qw_store *s;
    qwren_error err;
    qw_store_head other = head;
    append(0, 1);
    other.key[31] = 9;
    snprintf(other.about, sizeof other.about, "another model");
    assert_int_equal(qw_store_edit(&s, path, &other, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "belongs to the model of this test, and not to another model"));
    assert_int_equal(qw_store_open(&s, path, KIND + 1, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "something else"));

    size_t n;
    uint8_t *bytes = read_file(&n);
    bytes[8] = 2; /* the version */
    write_file(bytes, n);
    qw_free(bytes);
    assert_int_equal(qw_store_open(&s, path, KIND, &err), QWREN_E_UNSUPPORTED);
    assert_non_null(strstr(err.text, "its format is 2"));

    write_file("a letter to mother", 18);
    assert_int_equal(qw_store_open(&s, path, KIND, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "is not a file that qwren saved"));
    assert_int_equal(qw_store_edit(&s, path, &head, NULL), QWREN_E_FORMAT);
    assert_int_equal(file_size(), 18);
    write_file("q", 1); /* a head begins so, and much else */
    assert_int_equal(qw_store_edit(&s, path, &head, NULL), QWREN_E_FORMAT);
    assert_int_equal(file_size(), 1);
    assert_int_equal(qw_store_open(&s, folder, KIND, &err), QWREN_E_IO);
    assert_int_equal(qw_store_edit(&s, "/nowhere/log", &head, &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "/nowhere/log"));
}

static void one_process_writes(void **state)
{
    (void)state;
    qw_store *s, *second;
    qwren_error err;
    assert_int_equal(qw_store_edit(&s, path, &head, NULL), QWREN_OK);
    assert_int_equal(qw_store_edit(&second, path, &head, &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "another process"));
    put(s, 0);
    assert_int_equal(count(), 1); /* while readers may */
    qw_store_close(s);
    append(1, 1);
}

/* What cannot be read is not taken for the end of the file, and not cut off. The system's pread() is called through here. */
static off_t no_read_from = INT64_MAX;

ssize_t pread(int fd, void *bytes, size_t n, off_t at)
{
    if (at < no_read_from)
        return (ssize_t)syscall(SYS_pread64, fd, bytes, n, at);
    errno = EIO;
    return -1;
}

static void what_cannot_be_read_is_not_the_end(void **state)
{
    (void)state;
    qw_store *s;
    qw_store_block b;
    qwren_error err;
    append(0, 4);
    const size_t size = file_size();
    assert_int_equal(qw_store_open(&s, path, KIND, NULL), QWREN_OK);
    for (int i = 0; i < 2; i++)
        assert_true(qw_store_next(s, &b));
    no_read_from = (off_t)qw_store_block_end(&b);
    assert_false(qw_store_next(s, &b));
    assert_int_equal(qw_store_ended(s, &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, path));
    qw_store *edited;
    assert_int_equal(qw_store_edit(&edited, path, &head, NULL), QWREN_E_IO);
    no_read_from = INT64_MAX;
    assert_int_equal(file_size(), size);
    for (int i = 0; i < 2; i++)
        assert_true(qw_store_next(s, &b));
    assert_false(qw_store_next(s, &b));
    assert_int_equal(qw_store_ended(s, NULL), QWREN_OK);
    qw_store_close(s);
    assert_int_equal(count(), 4);
}

/* What another process does between opening a file and locking it; the system's flock() is called through here. */
static void (*before_lock)(void);

int flock(int fd, int operation)
{
    void (*const hook)(void) = before_lock;
    before_lock = NULL; /* the other one locks too */
    if (hook)
        hook();
    return (int)syscall(SYS_flock, fd, operation);
}

static void write_on(void) { append(2, 2); }

/* A file with blocks [0, 3) takes the place of the one at `path`. */
static void replace(void)
{
    char first[sizeof path + 8];
    snprintf(first, sizeof first, "%s.first", path);
    assert_int_equal(rename(path, first), 0);
    append(0, 3);
    assert_int_equal(unlink(first), 0);
}

static void replace_again(void)
{
    replace();
    before_lock = replace_again;
}

static void what_others_wrote_before_the_lock_stays(void **state)
{
    (void)state;
    append(0, 2);
    before_lock = write_on;
    append(4, 1);
    assert_int_equal(count(), 5);
    before_lock = replace;
    append(3, 1);
    assert_int_equal(count(), 4);
}

static void a_file_that_is_replaced_all_the_time_is_busy(void **state)
{
    (void)state;
    qw_store *s;
    qwren_error err;
    append(0, 2);
    before_lock = replace_again;
    assert_int_equal(qw_store_edit(&s, path, &head, &err), QWREN_E_IO);
    before_lock = NULL;
    assert_non_null(strstr(err.text, "another process"));
    assert_int_equal(count(), 3);
}

/* The disk is full in the middle of a block: an error, and the file is as it was. */
static void a_full_disk_leaves_the_file_as_it_was(void **state)
{
    (void)state;
    append(0, 3);
    const size_t before = file_size();
    struct rlimit old;
    getrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_IGN);
    const struct rlimit small = { before + BLOCK_BYTES + 10, old.rlim_max };
    qw_store *s;
    qwren_error err;
    uint8_t bytes[100] = { 0 };
    assert_int_equal(qw_store_edit(&s, path, &head, NULL), QWREN_OK);
    setrlimit(RLIMIT_FSIZE, &small);
    assert_int_equal(qw_store_put(s, TAG, (uint64_t[3]){ 3 }, &(qw_store_part){ bytes, sizeof bytes }, 1, &err), QWREN_E_IO);
    setrlimit(RLIMIT_FSIZE, &old);
    signal(SIGXFSZ, SIG_DFL);
    assert_non_null(strstr(err.text, path));
    assert_int_equal(file_size(), before);
    put(s, 3);
    qw_store_close(s);
    assert_int_equal(count(), 4);
}

/* Killed at any moment: what was there stays, whatever else is whole counts too. */
static void a_writer_that_is_killed_loses_what_it_was_writing(void **state)
{
    (void)state;
    append(0, 2);
    for (int round = 0; round < 20; round++) {
        const pid_t child = fork();
        if (child == 0) {
            qw_store *s;
            if (qw_store_edit(&s, path, &head, NULL) != QWREN_OK)
                _exit(1);
            for (int i = 2;; i++)
                put(s, i);
        }
        usleep(300 + 700 * (useconds_t)round);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        assert_true(count() >= 2);
        append(count(), 1);
        qw_store *s;
        assert_int_equal(qw_store_edit(&s, path, &head, NULL), QWREN_OK);
        qw_store_block b;
        for (int i = 0; i < 2; i++)
            assert_true(qw_store_next(s, &b));
        assert_int_equal(qw_store_cut(s, qw_store_block_end(&b), NULL), QWREN_OK);
        assert_int_equal(qw_store_end(s), file_size());
        qw_store_close(s);
        assert_int_equal(count(), 2);
    }
}

static qwren_status write_and_read(void *ctx, qwren_error *err)
{
    (void)ctx;
    qw_store *s;
    qw_store_block b;
    unlink(path);
    QW_TRY(qw_store_edit(&s, path, &head, err));
    qwren_status st = qw_store_put(s, TAG, (uint64_t[3]){ 0 }, &(qw_store_part){ (uint8_t[5]){ 1 }, 5 }, 1, err);
    qw_store_close(s);
    if (st == QWREN_OK)
        st = qw_store_edit(&s, path, &head, err); /* which checks the block */
    if (st == QWREN_OK) {
        assert_true(qw_store_next(s, &b));
        qw_store_close(s);
    }
    return st;
}

static void short_memory_is_an_error(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(write_and_read, NULL, 1) >= 4);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(blocks_come_back_and_more_are_appended, remove_file),
        cmocka_unit_test_teardown(a_file_cut_at_any_byte_keeps_its_whole_blocks, remove_file),
        cmocka_unit_test_teardown(a_changed_byte_is_noticed, remove_file),
        cmocka_unit_test_teardown(a_block_larger_than_the_file_is_none, remove_file),
        cmocka_unit_test_teardown(foreign_files_are_refused, remove_file),
        cmocka_unit_test_teardown(one_process_writes, remove_file),
        cmocka_unit_test_teardown(what_cannot_be_read_is_not_the_end, remove_file),
        cmocka_unit_test_teardown(what_others_wrote_before_the_lock_stays, remove_file),
        cmocka_unit_test_teardown(a_file_that_is_replaced_all_the_time_is_busy, remove_file),
        cmocka_unit_test_teardown(a_full_disk_leaves_the_file_as_it_was, remove_file),
        cmocka_unit_test_teardown(a_writer_that_is_killed_loses_what_it_was_writing, remove_file),
        cmocka_unit_test_teardown(short_memory_is_an_error, remove_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
