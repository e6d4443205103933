/* runtime/prefix_disk.c, prefix_index.c: what one process computed another finds, in pieces that are shared; files that are damaged, gone,
 * old or another model's are as if they were not
 * there. */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/dir.h"
#include "base/file.h"
#include "model/merge.h"
#include "runtime/prefix_disk.h"
#include "runtime/prefix_index.h"
#include "support/fault.h"
#include "support/kept.h"

#define LARGE ((uint64_t)1 << 30)

static char folder[] = "/tmp/qwren-test-XXXXXX";
static char dir[sizeof folder + 16];
static qw_store_head head = { .key = { 5 }, .about = "a model of this test" };

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(dir, sizeof dir, "%s/cache", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
}

/* Every file of the folder. */
static void each_file(void (*fn)(const char *path, void *ctx), void *ctx)
{
    qw_names names;
    assert_int_equal(qw_dir_list(&names, dir, NULL, NULL), QWREN_OK);
    for (size_t i = 0; i < names.n; i++) {
        char *path = qw_path_join(dir, names.at[i]);
        fn(path, ctx);
        qw_free(path);
    }
    qw_names_deinit(&names);
}

static void remove_one(const char *path, void *ctx)
{
    (void)ctx;
    unlink(path);
}

static int empty_folder(void **state)
{
    (void)state;
    each_file(remove_one, NULL);
    return rmdir(dir);
}

static void add_size(const char *path, void *ctx)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    ((uint64_t *)ctx)[0] += 1;
    ((uint64_t *)ctx)[1] += (uint64_t)st.st_size;
}

static size_t count_files(void)
{
    uint64_t sums[2] = { 0 };
    each_file(add_size, sums);
    return (size_t)sums[0];
}

static uint64_t count_bytes(void)
{
    uint64_t sums[2] = { 0 };
    each_file(add_size, sums);
    return sums[1];
}

/* One process: a cache in memory, and the folder. */
typedef struct process {
    qw_saved_format f;
    qw_prefix *p;
    qw_prefix_disk *d;
} process;

static process begin_with(uint64_t disk_bytes, size_t memory_bytes)
{
    process x = { .f = kept_format(QW_KV_F16) };
    qwren_error err;
    assert_int_equal(qw_prefix_create(&x.p, &x.f.pages, &(qw_prefix_options){ memory_bytes }, NULL), QWREN_OK);
    if (qw_prefix_disk_open(&x.d, dir, &head, &x.f, disk_bytes, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return x;
}

static process begin(void) { return begin_with(LARGE, SIZE_MAX); }

static void end(process *x)
{
    qw_prefix_disk_close(x->d);
    qw_prefix_free(x->p);
}

static void make_keys(uint64_t *keys, size_t from, size_t n, uint64_t salt)
{
    for (size_t i = from; i < n; i++)
        keys[i] = (i * 11 + salt * 29) % 700 + salt * 1000;
}

/* Computes a timeline and leaves checkpoints of it in the cache. */
static void compute(process *x, const uint64_t *keys, const size_t *lengths, size_t n, qw_checkpoint_kind kind)
{
    qw_page *pages[8] = { NULL };
    size_t done = 0;
    for (size_t i = 0; i < n; done = lengths[i++]) {
        kept_fill(&x->f, pages, keys, done, lengths[i]);
        qw_checkpoint *cp = kept_checkpoint(keys, lengths[i], kind);
        assert_int_equal(qw_prefix_insert(x->p, keys, pages, cp, NULL), QWREN_OK);
        qw_checkpoint_drop(cp);
    }
    kept_drop(pages, done, keys);
}

static uint64_t save(process *x)
{
    qwren_error err;
    uint64_t written;
    if (qw_prefix_disk_save(x->d, x->p, &written, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return written;
}

/* What is found must be right; returns how long it is, and why not longer. */
static size_t find_and_tell(process *x, const uint64_t *keys, size_t n, size_t *loaded, qw_prefix_miss *why)
{
    qw_page *pages[8] = { NULL };
    size_t ignored;
    const qw_prefix_match m = qw_prefix_disk_find(x->d, x->p, keys, n, 0, n, pages, loaded ? loaded : &ignored);
    *why = m.why;
    assert_true(m.length <= n && m.n_common >= m.length && (m.checkpoint != NULL) == (m.length > 0));
    if (m.checkpoint) {
        assert_int_equal(m.checkpoint->length, m.length);
        kept_check_state(m.checkpoint, keys);
    }
    kept_check(&x->f, pages, keys, m.length);
    kept_drop(pages, m.length, keys);
    qw_checkpoint_drop(m.checkpoint);
    return m.length;
}

static size_t find(process *x, const uint64_t *keys, size_t n, size_t *loaded)
{
    qw_prefix_miss why;
    return find_and_tell(x, keys, n, loaded, &why);
}

static void a_prefix_is_there_in_the_next_run(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 1100 }, 1, QW_CHECKPOINT_TURN);
    assert_true(save(&x) > 0);
    assert_int_equal(save(&x), 0); /* nothing is new */
    end(&x);
    x = begin();
    size_t loaded;
    for (size_t had = 1100; had <= 1101; had++) /* who has as much itself has no use for it */
        assert_int_equal(qw_prefix_disk_find(x.d, x.p, keys, 1500, had, 1500, NULL, NULL).length, 0);
    assert_int_equal(qw_prefix_disk_statistics(x.d).loads, 0);
    assert_int_equal(find(&x, keys, 1500, &loaded), 1100);
    assert_int_equal(loaded, 1100);
    assert_int_equal(find(&x, keys, 1500, &loaded), 1100);
    assert_int_equal(loaded, 0); /* it is in memory now */
    assert_int_equal(find(&x, keys, 1099, NULL), 0);
    assert_int_equal(save(&x), 0); /* and known to be on disk */
    assert_int_equal(qw_prefix_disk_statistics(x.d).loads, 1);
    end(&x);
}

/* Who finds it can go on in its last page: nobody writes there. */
static void what_was_loaded_can_be_written_on(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 600, 1100 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    x = begin();
    qw_page *pages[8];
    for (size_t n = 600; n <= 1100; n += 500) {
        const qw_prefix_match m = qw_prefix_disk_find(x.d, x.p, keys, n, 0, n, pages, NULL);
        assert_int_equal(m.length, n);
        assert_false(qw_page_claim(pages[n / QW_KV_PAGE], keys, 0)); /* the cache relies on what is there */
        assert_true(qw_page_claim(pages[n / QW_KV_PAGE], keys, n % QW_KV_PAGE));
        kept_drop(pages, n, keys);
        qw_checkpoint_drop(m.checkpoint);
    }
    end(&x);
}

/* Every turn writes its own tokens, two conversations share what they begin with, and any of it is found. */
static void pieces_are_shared(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST], other[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    memcpy(other, keys, sizeof keys);
    make_keys(other, 700, KEPT_MOST, 2);
    process x = begin();
    compute(&x, keys, (size_t[]){ 5, 700 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    const uint64_t before = count_bytes();
    compute(&x, keys, (size_t[]){ 5, 700, 720 }, 3, QW_CHECKPOINT_END);
    const uint64_t turn = save(&x);
    assert_true(turn < before / 5);
    assert_int_equal(count_bytes(), before + turn);
    end(&x);

    x = begin(); /* the second conversation goes on from the files of the first */
    assert_int_equal(find(&x, other, 1000, NULL), 700);
    compute(&x, other, (size_t[]){ 700, 1300 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    assert_int_equal(count_files(), 4);

    x = begin();
    assert_int_equal(find(&x, keys, 3, NULL), 0);
    assert_int_equal(find(&x, keys, 6, NULL), 5);
    assert_int_equal(find(&x, keys, 719, NULL), 700);
    assert_int_equal(find(&x, keys, 1500, NULL), 720);
    assert_int_equal(find(&x, other, 1500, NULL), 1300);
    end(&x);

    qw_prefix_miss why; /* another message than those that followed; new ones behind all that is known; all that is asked for */
    make_keys(other, 700, KEPT_MOST, 3);
    x = begin();
    assert_int_equal(find_and_tell(&x, other, 1500, NULL, &why), 700);
    assert_int_equal(why, QW_PREFIX_DIFFERS);
    assert_int_equal(find_and_tell(&x, keys, 1500, NULL, &why), 720);
    assert_int_equal(why, QW_PREFIX_NONE);
    end(&x);
    x = begin();
    assert_int_equal(find_and_tell(&x, keys, 700, NULL, &why), 700);
    assert_int_equal(why, QW_PREFIX_NONE);
    end(&x);
}

static void checkpoints_at_no_boundary_stay_in_memory(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 256, 512 }, 2, QW_CHECKPOINT_INTERVAL);
    assert_int_equal(save(&x), 0);
    compute(&x, keys, (size_t[]){ 600 }, 1, QW_CHECKPOINT_IMAGE);
    save(&x);
    assert_int_equal(count_files(), 1);
    end(&x);
    x = begin();
    assert_int_equal(find(&x, keys, 1000, NULL), 600);
    end(&x);
}

/* Another process that is at work already sees it too. */
static void processes_share_a_folder(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin(), y = begin();
    assert_int_equal(find(&y, keys, 600, NULL), 0);
    compute(&x, keys, (size_t[]){ 300, 600 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    assert_int_equal(find(&y, keys, 600, NULL), 600);
    compute(&y, keys, (size_t[]){ 300, 600 }, 2, QW_CHECKPOINT_TURN);
    save(&y);
    assert_int_equal(count_files(), 2);
    each_file(remove_one, NULL); /* somebody empties it */
    process z = begin();
    assert_int_equal(find(&z, keys, 600, NULL), 0);
    assert_int_equal(find(&y, keys, 600, NULL), 600);
    end(&z);
    end(&y);
    end(&x);
}

static void another_models_files_are_not_ours(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 300 }, 1, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    head.key[7] = 1;
    x = begin();
    assert_int_equal(find(&x, keys, 600, NULL), 0);
    assert_int_equal(qw_prefix_disk_statistics(x.d).n_files, 0);
    assert_int_equal(qw_prefix_disk_statistics(x.d).bytes, count_bytes());
    compute(&x, keys, (size_t[]){ 300 }, 1, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    assert_int_equal(count_files(), 2);
    head.key[7] = 0;
}

static void flip(const char *path, void *ctx)
{
    const size_t at = *(size_t *)ctx;
    char byte;
    const int fd = open(path, O_RDWR);
    if (pread(fd, &byte, 1, (off_t)at) == 1) {
        byte = (char)(byte ^ 1);
        assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    }
    close(fd);
}

/* Any byte of any file: what is found is right, what is not is computed and saved anew. */
static void a_damaged_file_is_a_miss(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 20, 40 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    for (size_t at = 0; at < 14000; at += at < 800 ? 3 : 91) {
        each_file(flip, &at);
        x = begin();
        const size_t n = find(&x, keys, 60, NULL);
        assert_true(n == 0 || n == 20 || n == 40);
        if (n < 40) {
            assert_true(count_files() < 2 || (at >= 8 && at < 12)); /* it is removed, unless its version is another */
            each_file(remove_one, NULL);
            compute(&x, keys, (size_t[]){ 20, 40 }, 2, QW_CHECKPOINT_TURN);
            save(&x);
            assert_int_equal(count_files(), 2);
        } else
            each_file(flip, &at); /* padding */
        end(&x);
    }
}

static void cut(const char *path, void *ctx) { assert_int_equal(truncate(path, *(off_t *)ctx), 0); }

static void a_cut_file_is_a_miss(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    for (off_t size = 0; size < 3000; size += 113) {
        process x = begin();
        compute(&x, keys, (size_t[]){ 20 }, 1, QW_CHECKPOINT_TURN);
        save(&x);
        end(&x);
        each_file(cut, &size);
        x = begin();
        assert_int_equal(find(&x, keys, 60, NULL), 0);
        assert_int_equal(count_files(), 0);
        end(&x);
    }
}

/* A piece whose beginning was removed leads nowhere. */
static void a_missing_link_is_a_miss(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 20, 40, 60 }, 3, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    qw_piece_hash h;
    char name[64];
    qw_piece_hash_begin(&h, head.key);
    const qw_piece_id id = qw_piece_hash_to(&h, keys, 40);
    snprintf(name, sizeof name, "%016llx%016llx.prefix", (unsigned long long)id.a, (unsigned long long)id.b);
    char *path = qw_path_join(dir, name);
    assert_int_equal(unlink(path), 0);
    qw_free(path);
    x = begin();
    assert_int_equal(find(&x, keys, 100, NULL), 20);
    assert_int_equal(count_files(), 1);
    end(&x);
}

/* Rotary positions that no timeline of these tokens can have would make all that follows wrong. */
static void an_impossible_position_is_damage(void **state)
{
    (void)state;
    static const struct {
        int32_t next_pos;
        size_t picture; /* ten tokens from there on; the last one ends in the middle of a larger one, which may have moved nothing yet */
        bool good;
    } cases[] = { { 50, 0, true },   { 49, 0, false }, { 51, 0, false },        { 41, 20, true }, { 50, 20, true },  { 40, 20, false },
                  { 51, 20, false }, { 0, 20, false }, { INT32_MAX, 0, false }, { 40, 40, true }, { 39, 40, false }, { 51, 40, false } };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        uint64_t keys[KEPT_MOST];
        qw_page *pages[8] = { NULL };
        make_keys(keys, 0, KEPT_MOST, 1);
        for (size_t k = 0; cases[i].picture && k < 10; k++)
            keys[cases[i].picture + k] |= QW_PICTURE_KEY;
        process x = begin();
        kept_fill(&x.f, pages, keys, 0, 50);
        qw_checkpoint *cp = kept_checkpoint(keys, 50, QW_CHECKPOINT_TURN);
        cp->next_pos = cases[i].next_pos;
        assert_int_equal(qw_prefix_insert(x.p, keys, pages, cp, NULL), QWREN_OK);
        qw_checkpoint_drop(cp);
        kept_drop(pages, 50, keys);
        save(&x);
        end(&x);
        x = begin();
        const qw_prefix_match m = qw_prefix_disk_find(x.d, x.p, keys, 60, 0, 60, pages, NULL);
        assert_int_equal(m.length, cases[i].good ? 50 : 0);
        kept_drop(pages, m.length, NULL);
        qw_checkpoint_drop(m.checkpoint);
        end(&x);
        assert_int_equal(count_files(), cases[i].good);
        each_file(remove_one, NULL);
    }
}

/* ---- trouble with the folder */

/* The system's pread() and unlink() are called through here. */
static bool no_reads, no_unlinks;

ssize_t pread(int fd, void *bytes, size_t n, off_t at)
{
    if (!no_reads || at < QW_STORE_HEAD_BYTES)
        return (ssize_t)syscall(SYS_pread64, fd, bytes, n, at);
    errno = EIO;
    return -1;
}

int unlink(const char *path)
{
    if (!no_unlinks)
        return unlinkat(AT_FDCWD, path, 0);
    errno = EROFS;
    return -1;
}

/* A disk that fails for a moment is no reason to throw files away. */
static void what_cannot_be_read_just_now_stays(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin(), y = begin();
    compute(&x, keys, (size_t[]){ 20, 40 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    no_reads = true;
    assert_int_equal(find(&y, keys, 100, NULL), 0); /* the heads */
    no_reads = false;
    assert_int_equal(count_files(), 2);
    end(&y);
    y = begin();
    no_reads = true;
    assert_int_equal(find(&y, keys, 100, NULL), 0); /* what is behind them */
    no_reads = false;
    assert_int_equal(count_files(), 2);
    assert_int_equal(find(&y, keys, 100, NULL), 40);
    end(&y);
    end(&x);
}

/* One may read there and not write. */
static void a_folder_that_is_too_large_can_be_used(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 20, 40 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    no_unlinks = true;
    x = begin_with(10, SIZE_MAX);
    assert_int_equal(find(&x, keys, 100, NULL), 40);
    end(&x);
    no_unlinks = false;
}

static void a_folder_that_vanishes_is_made_anew(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    qwren_error err;
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 20, 40 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    each_file(remove_one, NULL);
    assert_int_equal(rmdir(dir), 0);
    assert_int_equal(find(&x, keys, 100, NULL), 40); /* memory has it, and as it was used it is written again */
    assert_true(save(&x) > 0);
    assert_int_equal(count_files(), 1);
    each_file(remove_one, NULL);
    assert_int_equal(rmdir(dir), 0);
    FILE *f = fopen(dir, "w"); /* something else is in its place */
    assert_non_null(f);
    fclose(f);
    assert_int_equal(find(&x, keys, 100, NULL), 40);
    assert_int_equal(qw_prefix_disk_save(x.d, x.p, NULL, &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, dir));
    assert_int_equal(unlink(dir), 0);
    assert_true(save(&x) > 0);
    end(&x);
    x = begin();
    assert_int_equal(find(&x, keys, 100, NULL), 40);
    end(&x);
}

/* What was removed to make room, or by somebody else, is written again when it is used again, and not before. */
static void what_is_used_again_is_written_again(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST], other[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    make_keys(other, 0, KEPT_MOST, 2);
    process x = begin();
    compute(&x, keys, (size_t[]){ 30 }, 1, QW_CHECKPOINT_TURN);
    compute(&x, other, (size_t[]){ 40 }, 1, QW_CHECKPOINT_TURN);
    save(&x);
    assert_int_equal(count_files(), 2);
    each_file(remove_one, NULL);
    assert_int_equal(save(&x), 0);
    assert_int_equal(find(&x, keys, 100, NULL), 30);
    assert_true(save(&x) > 0);
    assert_int_equal(count_files(), 1);
    assert_int_equal(save(&x), 0);
    end(&x);
    x = begin();
    assert_int_equal(find(&x, keys, 100, NULL), 30);
    assert_int_equal(find(&x, other, 100, NULL), 0);
    end(&x);
}

/* What memory alone has given out was used as well. */
static void what_memory_gives_out_does_not_grow_old_on_disk(void **state)
{
    (void)state;
    const struct timespec old[2] = { { .tv_sec = 1000 }, { .tv_sec = 1000 } };
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 30 }, 1, QW_CHECKPOINT_TURN);
    save(&x);
    qw_names names;
    assert_int_equal(qw_dir_list(&names, dir, NULL, NULL), QWREN_OK);
    char *path = qw_path_join(dir, names.at[0]);
    struct stat st;
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    assert_int_equal(find(&x, keys, 100, NULL), 30);
    assert_int_equal(save(&x), 0);
    assert_int_equal(stat(path, &st), 0);
    assert_true(st.st_mtime > 1000);
    qw_free(path);
    qw_names_deinit(&names);
    end(&x);
}

/* A full disk leaves no rest behind. */
static void what_cannot_be_written_leaves_nothing(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 300 }, 1, QW_CHECKPOINT_TURN);
    struct rlimit before;
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    signal(SIGXFSZ, SIG_IGN);
    for (rlim_t most = 0; most <= 4000; most += 1000) {
        const struct rlimit small = { most, before.rlim_max };
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
        const qwren_status st = qw_prefix_disk_save(x.d, x.p, NULL, NULL);
        assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
        assert_int_equal(st, QWREN_E_IO);
        assert_int_equal(count_files(), 0);
    }
    signal(SIGXFSZ, SIG_DFL);
    assert_true(save(&x) > 0);
    end(&x);
}

/* Files that cannot be opened just now, for want of file handles, are there when they can be. */
static void a_moment_without_handles_costs_no_file(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 20, 40, 60 }, 3, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    x = begin();
    struct rlimit before, none;
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    none = before;
    none.rlim_cur = 0;
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    const size_t found = find(&x, keys, 100, NULL);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_int_equal(found, 0);
    assert_int_equal(count_files(), 3);
    assert_int_equal(find(&x, keys, 100, NULL), 60);
    end(&x);
    x = begin();
    assert_int_equal(find(&x, keys, 100, NULL), 60);
    end(&x);
}

/* What was used last stays. */
static void the_folder_stays_below_its_size(void **state)
{
    (void)state;
    uint64_t keys[6][KEPT_MOST];
    process x = begin();
    uint64_t one = 0;
    for (uint64_t i = 0; i < 4; i++) {
        make_keys(keys[i], 0, KEPT_MOST, i);
        compute(&x, keys[i], (size_t[]){ 400, 410 }, 2, QW_CHECKPOINT_TURN);
        one = save(&x);
        usleep(20000); /* the file system's clock */
    }
    end(&x);
    x = begin_with(4 * one + 1000, SIZE_MAX);
    assert_int_equal(find(&x, keys[0], 600, NULL), 410); /* the oldest is used */
    usleep(20000);
    make_keys(keys[4], 0, KEPT_MOST, 4);
    compute(&x, keys[4], (size_t[]){ 400, 410 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    assert_true(count_bytes() <= 4 * one + 1000);
    x = begin();
    assert_int_equal(find(&x, keys[1], 600, NULL), 0);
    assert_int_equal(find(&x, keys[0], 600, NULL), 410);
    assert_int_equal(find(&x, keys[4], 600, NULL), 410);
    end(&x);
    x = begin_with(one / 2, SIZE_MAX); /* too small for anything */
    assert_int_equal(count_files(), 0);
    make_keys(keys[5], 0, KEPT_MOST, 5);
    compute(&x, keys[5], (size_t[]){ 400 }, 1, QW_CHECKPOINT_TURN);
    assert_int_equal(save(&x), 0);
    end(&x);
}

/* The cache in memory may have no room for what is on disk: it is of use all the same. */
static void little_memory_is_enough(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    process x = begin();
    compute(&x, keys, (size_t[]){ 300, 900 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    x = begin_with(LARGE, 0);
    assert_int_equal(find(&x, keys, 1000, NULL), 900);
    assert_int_equal(find(&x, keys, 1000, NULL), 900);
    end(&x);
}

static void strange_files_are_left_alone(void **state)
{
    (void)state;
    process x = begin();
    end(&x);
    char *path = qw_path_join(dir, "notes.txt");
    assert_int_equal(qw_file_write(path, "hello", 5, NULL), QWREN_OK);
    x = begin();
    assert_int_equal(qw_prefix_disk_statistics(x.d).bytes, 0);
    end(&x);
    assert_true(qw_file_exists(path));
    qw_free(path);
    path = qw_path_join(dir, "00000000000000010000000000000002.prefix.tmp-1-2-3");
    assert_int_equal(qw_file_write(path, "hello", 5, NULL), QWREN_OK);
    x = begin();
    end(&x);
    assert_true(qw_file_exists(path)); /* somebody may be writing it */
    const struct timespec old[2] = { { .tv_sec = time(NULL) - 7200 }, { .tv_sec = time(NULL) - 7200 } };
    assert_int_equal(utimensat(AT_FDCWD, path, old, 0), 0);
    char *note = qw_path_join(dir, "notes.tmp-2.txt");
    assert_int_equal(qw_file_write(note, "hello", 5, NULL), QWREN_OK);
    assert_int_equal(utimensat(AT_FDCWD, note, old, 0), 0);
    x = begin();
    end(&x);
    assert_false(qw_file_exists(path));
    assert_true(qw_file_exists(note));
    qw_free(note);
    qw_free(path);
    qw_prefix_disk *d;
    qwren_error err;
    qw_saved_format f = kept_format(QW_KV_F16);
    assert_int_equal(qw_prefix_disk_open(&d, "/nowhere/at/all", &head, &f, LARGE, &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "/nowhere/at/all"));
}

/* Killed while it saves: what is there is whole, and what is not is computed again. */
static void a_killed_process_leaves_whole_files(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    for (int round = 0; round < 12; round++) {
        const pid_t child = fork();
        if (child == 0) {
            process x = begin();
            for (size_t n = 50;; n += 50) {
                compute(&x, keys, &n, 1, QW_CHECKPOINT_TURN);
                if (n + 50 > KEPT_MOST || qw_prefix_disk_save(x.d, x.p, NULL, NULL) != QWREN_OK)
                    _exit(0);
            }
        }
        usleep(1000 + 4000 * (useconds_t)round);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        process x = begin();
        const size_t n = find(&x, keys, KEPT_MOST, NULL);
        assert_int_equal(n % 50, 0);
        end(&x);
    }
}

/* ---- several threads and processes at once */

typedef struct job {
    process *x;
    uint64_t salt;
} job;

static void *work(void *ctx)
{
    const job *j = ctx;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, 100, 1);
    for (int i = 0; i < 6; i++) {
        make_keys(keys, 100, KEPT_MOST, 2 + (j->salt + (uint64_t)i) % 5);
        find(j->x, keys, 500, NULL);
        compute(j->x, keys, (size_t[]){ 100, 300, 500 }, 3, QW_CHECKPOINT_TURN);
        save(j->x);
    }
    return NULL;
}

static void threads_and_processes_work_at_once(void **state)
{
    (void)state;
    process first = begin();
    end(&first);
    const pid_t child = fork();
    process x = begin_with(3 << 20, SIZE_MAX);
    pthread_t threads[3];
    job jobs[3];
    for (int i = 0; i < 3; i++) {
        jobs[i] = (job){ &x, (uint64_t)i };
        assert_int_equal(pthread_create(&threads[i], NULL, work, &jobs[i]), 0);
    }
    for (int i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    end(&x);
    if (child == 0)
        _exit(0);
    int status;
    waitpid(child, &status, 0);
    assert_int_equal(status, 0);
    assert_true(count_bytes() <= 2 * (3 << 20));
}

/* A saving with its n-th allocation failing; the next one writes the rest. False: there was no n-th. */
static bool save_with_failure(size_t n, const uint64_t *keys)
{
    qwren_error err;
    process x = begin();
    compute(&x, keys, (size_t[]){ 300, 600 }, 2, QW_CHECKPOINT_TURN);
    const size_t before = fault_failed();
    fault_fail_at(n);
    const qwren_status st = qw_prefix_disk_save(x.d, x.p, NULL, &err);
    fault_fail_at(0);
    const bool failed = fault_failed() != before;
    assert_true(st == QWREN_OK || (failed && st == QWREN_E_MEMORY)); /* that a file is touched or looked at can be left out */
    save(&x);
    end(&x);
    x = begin();
    assert_int_equal(find(&x, keys, 700, NULL), 600);
    end(&x);
    each_file(remove_one, NULL);
    return failed;
}

static qwren_status load(void *ctx, qwren_error *err)
{
    process *x = ctx;
    uint64_t keys[KEPT_MOST];
    qw_page *pages[8];
    make_keys(keys, 0, KEPT_MOST, 1);
    const size_t failed = fault_failed();
    const qw_prefix_match m = qw_prefix_disk_find(x->d, x->p, keys, 600, 0, 600, pages, NULL);
    kept_check(&x->f, pages, keys, m.length);
    kept_drop(pages, m.length, NULL);
    qw_checkpoint_drop(m.checkpoint);
    if (fault_failed() != failed) /* short memory makes it a miss, or nothing */
        return qw_fail(err, QWREN_E_MEMORY, "%zu tokens", m.length);
    assert_int_equal(m.length, 600);
    return QWREN_OK;
}

static void short_memory_is_an_error_or_a_miss(void **state)
{
    (void)state;
    uint64_t keys[KEPT_MOST];
    make_keys(keys, 0, KEPT_MOST, 1);
    fault_install();
    size_t n = 1;
    while (save_with_failure(n, keys))
        n++;
    assert_true(n > 10);
    process x = begin();
    compute(&x, keys, (size_t[]){ 300, 600 }, 2, QW_CHECKPOINT_TURN);
    save(&x);
    end(&x);
    x = begin_with(LARGE, 0);
    assert_true(fault_try_all(load, &x, 1) > 10);
    end(&x);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_prefix_is_there_in_the_next_run, empty_folder),
        cmocka_unit_test_teardown(what_was_loaded_can_be_written_on, empty_folder),
        cmocka_unit_test_teardown(pieces_are_shared, empty_folder),
        cmocka_unit_test_teardown(checkpoints_at_no_boundary_stay_in_memory, empty_folder),
        cmocka_unit_test_teardown(processes_share_a_folder, empty_folder),
        cmocka_unit_test_teardown(another_models_files_are_not_ours, empty_folder),
        cmocka_unit_test_teardown(a_damaged_file_is_a_miss, empty_folder),
        cmocka_unit_test_teardown(a_cut_file_is_a_miss, empty_folder),
        cmocka_unit_test_teardown(a_missing_link_is_a_miss, empty_folder),
        cmocka_unit_test_teardown(an_impossible_position_is_damage, empty_folder),
        cmocka_unit_test_teardown(what_cannot_be_read_just_now_stays, empty_folder),
        cmocka_unit_test_teardown(a_folder_that_is_too_large_can_be_used, empty_folder),
        cmocka_unit_test_teardown(a_folder_that_vanishes_is_made_anew, empty_folder),
        cmocka_unit_test_teardown(what_is_used_again_is_written_again, empty_folder),
        cmocka_unit_test_teardown(what_memory_gives_out_does_not_grow_old_on_disk, empty_folder),
        cmocka_unit_test_teardown(what_cannot_be_written_leaves_nothing, empty_folder),
        cmocka_unit_test_teardown(a_moment_without_handles_costs_no_file, empty_folder),
        cmocka_unit_test_teardown(the_folder_stays_below_its_size, empty_folder),
        cmocka_unit_test_teardown(little_memory_is_enough, empty_folder),
        cmocka_unit_test_teardown(strange_files_are_left_alone, empty_folder),
        cmocka_unit_test_teardown(a_killed_process_leaves_whole_files, empty_folder),
        cmocka_unit_test_teardown(threads_and_processes_work_at_once, empty_folder),
        cmocka_unit_test_teardown(short_memory_is_an_error_or_a_miss, empty_folder),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
