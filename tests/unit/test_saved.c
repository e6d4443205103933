/* runtime/saved.c, saved_log.c, saved_blocks.c: a session file gives back what was saved, grows by what is new, and whatever happens to it
 * holds what some complete saving left. */
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/file.h"
#include "base/machine.h"
#include "runtime/saved.h"
#include "runtime/saved_log.h"
#include "support/fault.h"
#include "support/kept.h"

static char folder[] = "/tmp/qwren-test-XXXXXX";
static char path[sizeof folder + 32];
static const qw_store_head head = { .kind = QW_SAVED_SESSION, .key = { 5 }, .about = "a model of this test" };
static const qw_saved_reader reader = { .most = SIZE_MAX, .writer = &head };

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/session", folder);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    return rmdir(folder);
} /* fails when a test left a file */

static int remove_file(void **state)
{
    (void)state;
    unlink(path);
    return 0;
}

/* A timeline as a session would have it. */
typedef struct world {
    qw_saved_format f;
    uint64_t keys[KEPT_MOST];
    int32_t starts[KEPT_MOST];
    qw_page *pages[KEPT_MOST / QW_KV_PAGE + 1];
    qw_checkpoint *checkpoints[16];
    size_t n, n_checkpoints;
} world;

static world *new_world(qw_kv_type type)
{
    world *w = calloc(1, sizeof *w);
    assert_non_null(w);
    w->f = kept_format(type);
    return w;
}

static void rewind_to(world *w, size_t n)
{
    for (size_t i = qw_page_count(n); i < qw_page_count(w->n); i++)
        qw_page_drop(w->pages[i], w->keys);
    while (w->n_checkpoints && w->checkpoints[w->n_checkpoints - 1]->length > n)
        qw_checkpoint_drop(w->checkpoints[--w->n_checkpoints]);
    w->n = n;
}

static void free_world(world *w)
{
    rewind_to(w, 0);
    free(w);
}

/* Goes on to n tokens, whose keys follow from `salt`, with a checkpoint there. */
static void go_on(world *w, size_t n, uint64_t salt)
{
    for (size_t i = w->n; i < n; i++) {
        w->keys[i] = (i * 7 + salt) % 500;
        w->starts[i] = (int32_t)(i * 3 + salt);
    }
    kept_fill(&w->f, w->pages, w->keys, w->n, n);
    w->n = n;
    w->checkpoints[w->n_checkpoints++] = kept_checkpoint(w->keys, n, QW_CHECKPOINT_TURN);
}

static qw_saved view_of(world *w)
{
    return (qw_saved){
        .n = w->n, .keys = w->keys, .starts = w->starts, .pages = w->pages, .checkpoints = w->checkpoints, .n_checkpoints = w->n_checkpoints
    };
}

static uint64_t save(world *w)
{
    qwren_error err;
    uint64_t written;
    const qw_saved t = view_of(w);
    if (qw_saved_write(path, &head, &w->f, &t, &written, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return written;
}

/* What the file holds is whole; returns its length. */
static size_t check_file(const qw_saved_format *f, const uint64_t *keys, size_t most)
{
    qw_saved t;
    qwren_error err;
    if (qw_saved_read(&t, path, &head, f, &reader, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    const size_t n = t.n;
    assert_true(n <= most);
    if (n)
        assert_memory_equal(t.keys, keys, n * sizeof *keys);
    for (size_t i = 0; i < n; i++)
        assert_true((t.starts[i] - (int32_t)(i * 3)) % 500 == ((int32_t)keys[i] - (int32_t)(i * 7 % 500) + 500) % 500);
    kept_check(f, t.pages, keys, n);
    for (size_t i = 0; i < t.n_checkpoints; i++) {
        kept_check_state(t.checkpoints[i], keys);
        assert_true(i == 0 || t.checkpoints[i - 1]->length < t.checkpoints[i]->length);
    }
    assert_true(n == 0 || (t.n_checkpoints && t.checkpoints[t.n_checkpoints - 1]->length == n));
    qw_saved_deinit(&t, &head);
    return n;
}

static void write_file(const void *bytes, size_t n)
{
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static size_t file_size(void)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

/* The system's rename() is called through here. */
static bool checks_lock, fails_rename;
static int n_renames;

int rename(const char *from, const char *to)
{
    qw_store *s;
    n_renames++;
    if (fails_rename) {
        errno = EACCES;
        return -1;
    }
    if (checks_lock) /* the file that is about to go is locked, and the one that comes is whole */
        assert_int_equal(qw_store_edit(&s, path, &head, NULL), QWREN_E_IO);
    return renameat(AT_FDCWD, from, AT_FDCWD, to);
}

static void a_session_comes_back(void **state)
{
    (void)state;
    static const qw_kv_type types[] = { QW_KV_F16, QW_KV_F32, QW_KV_Q8 };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++) {
        world *w = new_world(types[i]);
        go_on(w, 1, 0); /* no minimum length */
        save(w);
        assert_int_equal(check_file(&w->f, w->keys, 1), 1);
        for (size_t n = 150; n <= 1500; n += 150)
            go_on(w, n, 0);
        unlink(path);
        save(w);
        assert_int_equal(check_file(&w->f, w->keys, w->n), 1500);
        unlink(path);
        free_world(w);
    }
}

/* Another turn costs the file that turn: its positions, from the block of 16 that was not full, and a state. */
static void saving_again_writes_what_is_new(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_F16);
    go_on(w, 1003, 0);
    save(w);
    const size_t before = file_size();
    assert_int_equal(save(w), 0);
    assert_int_equal(file_size(), before);
    go_on(w, 1030, 0);
    const uint64_t written = save(w);
    assert_int_equal(file_size(), before + written);
    const size_t block = 4 * qw_kv_block_bytes(QW_KV_F16, KEPT_DIM), state_bytes = w->checkpoints[0]->n_floats * sizeof(float);
    assert_true(written <= (1030 / 16 - 1003 / 16 + 1) * block + state_bytes + 27 * 12 + 7 * 128);
    assert_int_equal(check_file(&w->f, w->keys, w->n), 1030);
    qw_saved t;
    assert_int_equal(qw_saved_read(&t, path, &head, &w->f, &reader, NULL), QWREN_OK);
    assert_int_equal(t.n_checkpoints, 2);
    assert_int_equal(t.checkpoints[0]->length, 1003);
    qw_saved_deinit(&t, &head);
    free_world(w);
}

static void another_tail_takes_the_place_of_the_old_one(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_F16);
    go_on(w, 600, 0);
    go_on(w, 1100, 0);
    save(w);
    rewind_to(w, 600);
    go_on(w, 700, 3); /* another answer, shorter */
    const uint64_t written = save(w);
    assert_true(written < file_size() / 3);
    assert_int_equal(check_file(&w->f, w->keys, w->n), 700);
    rewind_to(w, 600); /* nothing but shorter */
    save(w);
    assert_int_equal(check_file(&w->f, w->keys, w->n), 600);
    go_on(w, 1590, 4);
    save(w);
    assert_int_equal(check_file(&w->f, w->keys, w->n), 1590);
    free_world(w);
}

/* What no longer counts does not pile up. */
static void a_file_of_waste_is_written_anew(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_F32);
    size_t most = 0;
    go_on(w, 20, 0);
    for (uint64_t salt = 0; salt < 12; salt++) {
        rewind_to(w, 20);
        go_on(w, 1500, salt);
        save(w);
        most = file_size() > most ? file_size() : most;
        assert_int_equal(check_file(&w->f, w->keys, w->n), 1500);
    }
    qw_saved_info info;
    assert_int_equal(qw_saved_inspect(&info, path, NULL), QWREN_OK);
    assert_true(most < 4 * info.live_bytes + (1 << 21));
    assert_int_equal(info.n, 1500);
    assert_memory_equal(info.keys, w->keys, 1500 * sizeof *w->keys);
    assert_int_equal(info.n_states, 2);
    assert_string_equal(info.about, head.about);
    assert_int_equal(info.file_bytes, file_size());
    qw_saved_info_deinit(&info);
    free_world(w);
}

/* ---- states */

/* The checkpoint that the timeline ends with is no part of it any more when it goes on. */
static void forget_end(world *w) { qw_checkpoint_drop(w->checkpoints[--w->n_checkpoints]); }

static void go_on_to_end(world *w, size_t n, qw_checkpoint_kind kind)
{
    go_on(w, n, 0);
    forget_end(w);
    w->checkpoints[w->n_checkpoints++] = kept_checkpoint_of(w->f.config, w->keys, n, kind);
}

/* Checkpoints of these lengths, and no others. */
static void check_states(const qw_saved_format *f, const size_t *lengths, size_t n)
{
    qw_saved t;
    assert_int_equal(qw_saved_read(&t, path, &head, f, &reader, NULL), QWREN_OK);
    assert_int_equal(t.n_checkpoints, n);
    for (size_t i = 0; i < n; i++)
        assert_int_equal(t.checkpoints[i]->length, lengths[i]);
    qw_saved_deinit(&t, &head);
}

/* Every saving adds the state at its end, and that of the one before it is of no use any more. */
static void a_file_that_is_saved_often_stays_small(void **state)
{
    (void)state;
    qw_text_config large = kept_config;
    large.linear_key_dim = large.linear_value_dim = 128;
    world *w = new_world(QW_KV_F16);
    w->f.config = &large;
    n_renames = 0;
    for (size_t n = 15; n <= 1500; n += 15) {
        go_on_to_end(w, n, n == 150 || n == 600 ? QW_CHECKPOINT_TURN : QW_CHECKPOINT_END);
        save(w);
        const uint64_t anew = QW_STORE_HEAD_BYTES + qw_saved_bytes(&w->f, 0, n, w->n_checkpoints);
        assert_true(file_size() <= 2 * anew + (1 << 20));
        assert_int_equal(check_file(&w->f, w->keys, n), n);
        if (w->checkpoints[w->n_checkpoints - 1]->kind == QW_CHECKPOINT_END)
            forget_end(w);
    }
    assert_in_range(n_renames, 3, 20);
    unlink(path);
    go_on_to_end(w, 1510, QW_CHECKPOINT_END);
    save(w);
    assert_int_equal(file_size(), QW_STORE_HEAD_BYTES + qw_saved_bytes(&w->f, 0, 1510, 3)); /* a new one is so large as was thought */
    check_states(&w->f, (size_t[]){ 150, 600, 1510 }, 3);
    free_world(w);
}

/* Makes what the file holds, which is n tokens, a small part of it. */
static void waste(size_t n)
{
    qw_store *s;
    static char bytes[1 << 20];
    assert_int_equal(qw_store_edit(&s, path, &head, NULL), QWREN_OK);
    for (int i = 0; i < 4; i++)
        assert_int_equal(qw_store_put(s, 12345, (uint64_t[3]){ 0 }, &(qw_store_part){ bytes, sizeof bytes }, 1, NULL), QWREN_OK);
    assert_int_equal(qw_store_put(s, QW_SAVED_MARK, (uint64_t[3]){ n }, NULL, 0, NULL), QWREN_OK);
    qw_store_close(s);
}

/* Memory may have had no room for a checkpoint that the file has; when it is written anew it has it still. */
static void what_only_the_file_has_stays_in_it(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_F16);
    go_on_to_end(w, 100, QW_CHECKPOINT_TURN);
    go_on_to_end(w, 150, QW_CHECKPOINT_END);
    go_on_to_end(w, 200, QW_CHECKPOINT_TURN);
    save(w);
    while (w->n_checkpoints)
        forget_end(w);
    go_on_to_end(w, 220, QW_CHECKPOINT_END);
    waste(200);
    n_renames = 0;
    save(w);
    assert_int_equal(n_renames, 1);
    assert_int_equal(file_size(), QW_STORE_HEAD_BYTES + qw_saved_bytes(&w->f, 0, 220, 3));
    check_states(&w->f, (size_t[]){ 100, 200, 220 }, 3);
    assert_int_equal(check_file(&w->f, w->keys, w->n), 220);
    rewind_to(w, 0); /* what belongs to another timeline goes */
    go_on(w, 150, 3);
    waste(220);
    save(w);
    check_states(&w->f, (size_t[]){ 150 }, 1);
    free_world(w);
}

/* As many as the keys and values are large, but at least four: those that stand at a boundary, and of these the longest. */
static void a_file_gives_back_so_many_states(void **state)
{
    (void)state;
    qw_text_config large = kept_config;
    large.linear_key_dim = large.linear_value_dim = 128;
    world *w = new_world(QW_KV_F16);
    w->f.config = &large;
    assert_int_equal(qw_saved_most_states(&w->f, 200), 4);
    for (size_t n = 20; n <= 180; n += 20) {
        go_on_to_end(w, n, n == 60 || n == 80 ? QW_CHECKPOINT_TURN : QW_CHECKPOINT_END);
        save(w);
        if (w->checkpoints[w->n_checkpoints - 1]->kind == QW_CHECKPOINT_END)
            forget_end(w);
    }
    check_states(&w->f, (size_t[]){ 60, 80, 160, 180 }, 4);
    for (size_t n = 200; n <= 240; n += 20)
        go_on_to_end(w, n, QW_CHECKPOINT_TURN);
    save(w);
    check_states(&w->f, (size_t[]){ 80, 200, 220, 240 }, 4);
    free_world(w);
}

/* There is an end to the blocks that are looked at: a file is written anew before it gets there, be it ever so useful. */
static void a_file_of_very_many_blocks_is_written_anew(void **state)
{
    (void)state;
    qw_store *s;
    qw_text_config large = kept_config;
    large.linear_key_dim = large.linear_value_dim = 512; /* a state takes half as much as so many blocks */
    world *w = new_world(QW_KV_F16);
    w->f.config = &large;
    go_on_to_end(w, 20, QW_CHECKPOINT_TURN);
    go_on_to_end(w, 30, QW_CHECKPOINT_TURN);
    save(w);
    assert_int_equal(qw_store_edit(&s, path, &head, NULL), QWREN_OK);
    for (int i = 0; i < (1 << 14) - 16; i++)
        assert_int_equal(qw_store_put(s, 12345, (uint64_t[3]){ 0 }, NULL, 0, NULL), QWREN_OK);
    assert_int_equal(qw_store_put(s, QW_SAVED_MARK, (uint64_t[3]){ 30 }, NULL, 0, NULL), QWREN_OK);
    qw_store_close(s);
    for (size_t n = 40; n <= 80; n += 10) {
        go_on_to_end(w, n, QW_CHECKPOINT_END);
        save(w);
        forget_end(w);
        assert_int_equal(check_file(&w->f, w->keys, n), n);
        if (n == 40)
            assert_int_equal(file_size(), QW_STORE_HEAD_BYTES + qw_saved_bytes(&w->f, 0, n, 3));
    }
    free_world(w);
}

/* No room beside the file, or a folder that may not be written to: it is appended to. */
static void a_file_that_cannot_be_replaced_is_appended_to(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_F16);
    go_on(w, 100, 0);
    save(w);
    waste(100);
    const size_t before = file_size();
    go_on(w, 120, 0);
    fails_rename = true;
    save(w);
    fails_rename = false;
    assert_true(file_size() > before);
    assert_int_equal(check_file(&w->f, w->keys, w->n), 120);
    save(w); /* nothing is new, and yet */
    assert_int_equal(file_size(), QW_STORE_HEAD_BYTES + qw_saved_bytes(&w->f, 0, 120, 2));
    assert_int_equal(check_file(&w->f, w->keys, w->n), 120);
    free_world(w);
}

/* ---- what happens to a file */

/* Three savings; the file cut at any byte is what one of them left. */
static void a_file_cut_anywhere_holds_the_saving_before(void **state)
{
    (void)state;
    static const size_t lengths[] = { 5, 21, 40 };
    world *w = new_world(QW_KV_Q8);
    size_t ends[3], n;
    for (int i = 0; i < 3; i++) {
        go_on(w, lengths[i], 0);
        save(w);
        ends[i] = file_size();
    }
    char *bytes;
    assert_int_equal(qw_file_read(path, SIZE_MAX, &bytes, &n, NULL), QWREN_OK);
    for (size_t cut = n + 1; cut-- > 0;) {
        assert_int_equal(truncate(path, (off_t)cut), 0);
        if (cut < ends[0]) {
            qw_saved t;
            qwren_error err;
            assert_int_equal(qw_saved_read(&t, path, &head, &w->f, &reader, &err), QWREN_E_FORMAT);
            assert_non_null(strstr(err.text, path));
        } else
            assert_int_equal(check_file(&w->f, w->keys, w->n), lengths[cut < ends[1] ? 0 : cut < ends[2] ? 1 : 2]);
        if (cut % 199 == 0) {
            save(w); /* and it can be gone on with */
            assert_int_equal(check_file(&w->f, w->keys, w->n), 40);
            write_file(bytes, cut);
        }
    }
    qw_free(bytes);
    free_world(w);
}

static void change_byte(size_t at)
{
    char byte;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, (off_t)at), 1);
    byte = (char)(byte ^ 32);
    assert_int_equal(pwrite(fd, &byte, 1, (off_t)at), 1);
    close(fd);
}

/* A changed byte: what is before it, and never something wrong. */
static void damage_is_noticed(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_Q8);
    go_on(w, 5, 0);
    save(w);
    const size_t first = file_size();
    go_on(w, 40, 0);
    save(w);
    for (size_t at = 0; at < file_size(); at++) {
        change_byte(at);
        if (at >= first)
            assert_true(check_file(&w->f, w->keys, 40) >= 5);
        else {
            qw_saved t;
            if (qw_saved_read(&t, path, &head, &w->f, &reader, NULL) == QWREN_OK) { /* it was padding */
                assert_int_equal(t.n, 40);
                qw_saved_deinit(&t, &head);
            }
        }
        change_byte(at); /* back */
    }
    free_world(w);
}

/* Each block of a file is damaged, one behind another, and behind each stands a mark: it is not gone through again for all of them. */
static void a_file_damaged_everywhere_is_given_up_soon(void **state)
{
    (void)state;
    qw_store *s;
    qw_store_block b;
    qwren_error err;
    world *w = new_world(QW_KV_F16);
    go_on(w, 16, 0);
    save(w);
    assert_int_equal(qw_store_edit(&s, path, &head, NULL), QWREN_OK);
    for (int i = 0; i < 4000; i++) {
        assert_int_equal(qw_saved_put_pages(s, &w->f, w->pages, 0, 16, NULL), QWREN_OK);
        assert_int_equal(qw_store_put(s, QW_SAVED_MARK, (uint64_t[3]){ 16 }, NULL, 0, NULL), QWREN_OK);
    }
    qw_store_close(s);
    assert_int_equal(qw_store_open(&s, path, QW_SAVED_SESSION, NULL), QWREN_OK);
    while (qw_store_next(s, &b))
        if (b.tag == QW_SAVED_PAGES)
            change_byte((size_t)b.at);
    qw_store_close(s);
    qw_saved t;
    assert_int_equal(qw_saved_read(&t, path, &head, &w->f, &reader, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "damaged in more than"));
    free_world(w);
}

static void a_file_of_another_model_is_refused(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_F16);
    go_on(w, 30, 0);
    save(w);
    qw_store_head other = head;
    other.key[0]++;
    snprintf(other.about, sizeof other.about, "another one");
    qw_saved t = view_of(w);
    qwren_error err;
    assert_int_equal(qw_saved_write(path, &other, &w->f, &t, NULL, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "belongs to a model of this test, and not to another one"));
    assert_int_equal(qw_saved_read(&t, path, &other, &w->f, &reader, &err), QWREN_E_ARGUMENT);
    assert_int_equal(t.n, 0);
    assert_int_equal(check_file(&w->f, w->keys, 30), 30);
    free_world(w);
}

/* What memory held behind the last position is nobody's business. */
static void nothing_else_gets_into_the_file(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_F16);
    go_on(w, 16 + 5, 0);
    for (size_t h = 0; h < 4; h++) {
        float secret[KEPT_DIM];
        const qw_kv kv = kept_head(&w->f, w->pages, h);
        for (size_t d = 0; d < KEPT_DIM; d++)
            secret[d] = 1234;
        for (size_t i = 21; i < 64; i++)
            qw_kv_put(&kv, i, secret, secret);
    }
    save(w);
    qw_saved t;
    assert_int_equal(qw_saved_read(&t, path, &head, &w->f, &reader, NULL), QWREN_OK);
    for (size_t h = 0; h < 4; h++) {
        const qw_kv kv = kept_head(&w->f, t.pages, h);
        for (size_t i = 21; i < 32; i++) {
            float k[KEPT_DIM], v[KEPT_DIM];
            qw_kv_get(&kv, i, k, v);
            for (size_t d = 0; d < KEPT_DIM; d++)
                assert_true(k[d] == 0 && v[d] == 0);
        }
    }
    assert_true(file_size() < 256 + 10 * 128 + 21 * 12 + 2 * 4 * qw_kv_block_bytes(QW_KV_F16, KEPT_DIM) + w->checkpoints[0]->n_floats * 4);
    qw_saved_deinit(&t, &head);
    free_world(w);
}

/* ---- memory that is full of something else */

static void *dirty_alloc(void *ctx, size_t size)
{
    void *p = malloc(size);
    return p ? memset(p, *(const unsigned char *)ctx, size) : NULL;
}

static void *dirty_realloc(void *ctx, void *p, size_t size)
{
    (void)ctx;
    return realloc(p, size);
}

static void dirty_free(void *ctx, void *p)
{
    (void)ctx;
    free(p);
}

/* The file of a timeline, whose memory was full of `dirt` before. */
static char *file_from(qw_kv_type type, size_t n, unsigned char dirt, size_t *len)
{
    char *bytes;
    qwren_set_allocator(&(qwren_allocator){ dirty_alloc, dirty_realloc, dirty_free, &dirt });
    world *w = new_world(type);
    go_on(w, n, 0);
    unlink(path);
    save(w);
    free_world(w);
    qwren_set_allocator(NULL);
    assert_int_equal(qw_file_read(path, SIZE_MAX, &bytes, len, NULL), QWREN_OK);
    return bytes;
}

static void what_memory_held_before_makes_no_difference(void **state)
{
    (void)state;
    static const qw_kv_type types[] = { QW_KV_F32, QW_KV_F16, QW_KV_BF16, QW_KV_Q8, QW_KV_Q4 };
    static const size_t lengths[] = { 1, 16, 21, QW_KV_PAGE, QW_KV_PAGE + 15 };
    for (size_t i = 0; i < sizeof types / sizeof *types; i++)
        for (size_t k = 0; k < sizeof lengths / sizeof *lengths; k++) {
            size_t n_a, n_b;
            char *a = file_from(types[i], lengths[k], 0x5a, &n_a), *b = file_from(types[i], lengths[k], 0xc3, &n_b);
            assert_int_equal(n_a, n_b);
            for (size_t at = 0; at < n_a; at++)
                if (a[at] != b[at])
                    fail_msg("type %d, %zu tokens: byte %zu of %zu is what memory held", (int)types[i], lengths[k], at, n_a);
            qw_free(a);
            qw_free(b);
        }
}

/* Killed in the middle of savings, again and again: the file goes on from some complete one. */
static void a_killed_writer_leaves_a_saving(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_F16);
    go_on(w, 100, 0);
    save(w);
    for (int round = 0; round < 12; round++) {
        const pid_t child = fork();
        if (child == 0) {
            for (size_t n = 101;; n = n < 1500 ? n + 97 : 101) {
                rewind_to(w, 100);
                go_on(w, n, 0);
                const qw_saved t = view_of(w);
                if (qw_saved_write(path, &head, &w->f, &t, NULL, NULL) != QWREN_OK)
                    _exit(1);
            }
        }
        usleep(1000 + 2500 * (useconds_t)round);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        uint64_t keys[KEPT_MOST];
        for (size_t i = 0; i < KEPT_MOST; i++)
            keys[i] = i * 7 % 500;
        assert_true(check_file(&w->f, keys, KEPT_MOST) >= 100);
    }
    free_world(w);
    char command[128]; /* a file that was being written anew */
    snprintf(command, sizeof command, "rm -f %s.tmp-*", path);
    assert_int_equal(system(command), 0);
}

/* ---- several processes */

/* Saves timelines of 1,500 tokens until the file is written anew. */
static void save_until_anew(world *w)
{
    n_renames = 0;
    for (uint64_t salt = 0; !n_renames; salt++) {
        rewind_to(w, 20);
        go_on(w, 1500, salt);
        save(w);
        assert_true(salt < 100);
    }
    assert_int_equal(check_file(&w->f, w->keys, w->n), 1500);
}

static void nobody_else_saves_while_a_file_is_written_anew(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_F32);
    go_on(w, 20, 0);
    checks_lock = true;
    save_until_anew(w);
    checks_lock = false;
    free_world(w);
}

static void a_file_that_is_written_anew_keeps_its_rights_and_its_place(void **state)
{
    (void)state;
    char own[sizeof path + 8];
    struct stat st;
    snprintf(own, sizeof own, "%s.own", path);
    assert_int_equal(symlink(own, path), 0);
    world *w = new_world(QW_KV_F32);
    go_on(w, 20, 0);
    save(w);
    assert_int_equal(chmod(path, 0640), 0);
    save_until_anew(w);
    assert_int_equal(lstat(path, &st), 0);
    assert_true(S_ISLNK(st.st_mode));
    assert_int_equal(stat(own, &st), 0);
    assert_int_equal(st.st_mode & 0777, 0640);
    free_world(w);
    assert_int_equal(unlink(own), 0);
}

/* Saves timelines of its own behind 20 tokens that both have; ends with 0 when each of them was saved. */
static void save_often(uint64_t salt)
{
    world *w = new_world(QW_KV_F32);
    qwren_error err;
    go_on(w, 20, 0);
    for (size_t i = 0; i < 40; i++) {
        rewind_to(w, 20);
        go_on(w, 1000 + (i * 7 + salt) % 400, salt);
        const qw_saved t = view_of(w);
        while (qw_saved_write(path, &head, &w->f, &t, NULL, &err) != QWREN_OK)
            if (!strstr(err.text, "another process"))
                _exit(1);
    }
    _exit(0);
}

static void processes_take_turns(void **state)
{
    (void)state;
    pid_t children[2];
    for (uint64_t i = 0; i < 2; i++) {
        children[i] = fork();
        if (children[i] == 0)
            save_often(i + 1);
    }
    for (int i = 0; i < 2; i++) {
        int status;
        assert_int_equal(waitpid(children[i], &status, 0), children[i]);
        assert_int_equal(status, 0);
    }
    qw_saved t; /* the last saving of one of them */
    world *w = new_world(QW_KV_F32);
    assert_int_equal(qw_saved_read(&t, path, &head, &w->f, &reader, NULL), QWREN_OK);
    const size_t n = t.n;
    const uint64_t salt = (t.keys[n - 1] + 500 - (n - 1) * 7 % 500) % 500;
    qw_saved_deinit(&t, &head);
    assert_in_range(salt, 1, 2);
    assert_int_equal(n, 1000 + (39 * 7 + salt) % 400);
    go_on(w, 20, 0);
    go_on(w, n, salt);
    assert_int_equal(check_file(&w->f, w->keys, n), n);
    free_world(w);
}

/* Told before anything is read: a file with more tokens than there is room for, and a page that the machine has no memory for. */
static void what_has_no_room_is_not_read(void **state)
{
    (void)state;
    world *w = new_world(QW_KV_F16);
    go_on(w, 1100, 0);
    save(w);
    qw_saved t;
    qwren_error err;
    fault_install();
    const qw_saved_reader small = { .most = 1099, .writer = &head };
    assert_int_equal(qw_saved_read(&t, path, &head, &w->f, &small, &err), QWREN_E_LIMIT);
    assert_non_null(strstr(err.text, "holds 1100 tokens, and the session has room for 1099"));
    assert_int_equal(t.n, 0);
    assert_true(fault_peak_bytes() < w->f.pages.bytes);
    qw_saved_format vast = w->f;
    vast.pages.bytes = (size_t)1 << 50; /* of which no machine has two */
    assert_int_equal(qw_saved_read(&t, path, &head, &vast, &reader, &err), QWREN_E_MEMORY);
    if (qw_machine_get_memory().available != QW_NOT_KNOWN)
        assert_non_null(strstr(err.text, "and this machine has "));
    assert_int_equal(fault_live(), 0);
    fault_remove();
    assert_int_equal(check_file(&w->f, w->keys, 1100), 1100);
    free_world(w);
}

static qwren_status save_and_read(void *ctx, qwren_error *err)
{
    world *w = ctx;
    const qw_saved t = view_of(w);
    qw_saved back;
    qw_saved_info info;
    unlink(path);
    QW_TRY(qw_saved_write(path, &head, &w->f, &t, NULL, err));
    QW_TRY(qw_saved_inspect(&info, path, err));
    qw_saved_info_deinit(&info);
    QW_TRY(qw_saved_read(&back, path, &head, &w->f, &reader, err));
    qw_saved_deinit(&back, &head);
    return QWREN_OK;
}

static char *wasteful;
static size_t wasteful_bytes;

/* Of the file little is of use. */
static qwren_status save_anew(void *ctx, qwren_error *err)
{
    world *w = ctx;
    const qw_saved t = view_of(w);
    write_file(wasteful, wasteful_bytes);
    const qwren_status st = qw_saved_write(path, &head, &w->f, &t, NULL, err);
    fault_fail_at(0);
    check_file(&w->f, w->keys, w->n);
    return st;
}

static void short_memory_is_an_error(void **state)
{
    (void)state;
    fault_install();
    world *w = new_world(QW_KV_F16);
    go_on(w, 530, 0);
    assert_true(fault_try_all(save_and_read, w, 1) > 20);
    waste(w->n);
    assert_int_equal(qw_file_read(path, SIZE_MAX, &wasteful, &wasteful_bytes, NULL), QWREN_OK);
    assert_true(fault_try_all(save_anew, w, 1) > 20);
    qw_free(wasteful);
    free_world(w);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_session_comes_back, remove_file),
        cmocka_unit_test_teardown(what_has_no_room_is_not_read, remove_file),
        cmocka_unit_test_teardown(saving_again_writes_what_is_new, remove_file),
        cmocka_unit_test_teardown(another_tail_takes_the_place_of_the_old_one, remove_file),
        cmocka_unit_test_teardown(a_file_of_waste_is_written_anew, remove_file),
        cmocka_unit_test_teardown(a_file_that_is_saved_often_stays_small, remove_file),
        cmocka_unit_test_teardown(what_only_the_file_has_stays_in_it, remove_file),
        cmocka_unit_test_teardown(a_file_gives_back_so_many_states, remove_file),
        cmocka_unit_test_teardown(a_file_of_very_many_blocks_is_written_anew, remove_file),
        cmocka_unit_test_teardown(a_file_that_cannot_be_replaced_is_appended_to, remove_file),
        cmocka_unit_test_teardown(a_file_cut_anywhere_holds_the_saving_before, remove_file),
        cmocka_unit_test_teardown(damage_is_noticed, remove_file),
        cmocka_unit_test_teardown(a_file_damaged_everywhere_is_given_up_soon, remove_file),
        cmocka_unit_test_teardown(a_file_of_another_model_is_refused, remove_file),
        cmocka_unit_test_teardown(nothing_else_gets_into_the_file, remove_file),
        cmocka_unit_test_teardown(what_memory_held_before_makes_no_difference, remove_file),
        cmocka_unit_test_teardown(a_killed_writer_leaves_a_saving, remove_file),
        cmocka_unit_test_teardown(nobody_else_saves_while_a_file_is_written_anew, remove_file),
        cmocka_unit_test_teardown(a_file_that_is_written_anew_keeps_its_rights_and_its_place, remove_file),
        cmocka_unit_test_teardown(processes_take_turns, remove_file),
        cmocka_unit_test_teardown(short_memory_is_an_error, remove_file),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
