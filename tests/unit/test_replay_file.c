/* Sampled answers between runs: what one process wrote another finds, and nothing that is in the file, or has happened to it, is trusted. */
#include "support/nano.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/replay.h"
#include "api/tokenizer.h"
#include "base/alloc.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/rng.h"
#include "support/fault.h"

static qwren_tokenizer *tokenizer, *other;
static char dir[] = "/tmp/qwren-replay-XXXXXX";

static int open_all(void **state)
{
    (void)state;
    return qwren_tokenizer_open(&tokenizer, NANO, NULL) || qwren_tokenizer_open(&other, TINY, NULL) || !mkdtemp(dir);
}

static char *the_file(void)
{
    char *found = NULL, command[128];
    snprintf(command, sizeof command, "ls %s/answers-*.qwa", dir);
    FILE *f = popen(command, "r");
    char line[256];
    if (f && fgets(line, sizeof line, f)) {
        line[strcspn(line, "\n")] = '\0';
        found = qw_strdup(line);
    }
    if (f)
        pclose(f);
    assert_non_null(found);
    return found;
}

static void empty_folder(void)
{
    char command[128];
    snprintf(command, sizeof command, "rm -f %s/*", dir);
    assert_int_equal(system(command), 0);
}

static int close_all(void **state)
{
    (void)state;
    empty_folder();
    rmdir(dir);
    qwren_tokenizer_close(tokenizer);
    qwren_tokenizer_close(other);
    return 0;
}

/* A process of its own, as far as the file is concerned. */
static qw_replay *begin(const qwren_tokenizer *t)
{
    qw_replay *r = NULL;
    qwren_error err = { 0 };
    assert_int_equal(qw_replay_create(&r, 1 << 20, NULL), QWREN_OK);
    if (qw_replay_keep_in(r, dir, t->vocabulary, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return r;
}

static void put(qw_replay *r, int n)
{
    char content[32], thought[32];
    snprintf(content, sizeof content, "answer %d", n);
    snprintf(thought, sizeof thought, "thought %d", n);
    int32_t ids[] = { 300 + n, 301 + n, 302 + n };
    const qw_replay_key key = { .content = content,
                                .content_len = strlen(content),
                                .calls = "[]",
                                .calls_len = 2,
                                .thought = thought,
                                .thought_len = strlen(thought) };
    const qw_replay_ids both = { .thought = { .data = ids, .n = 2 }, .content = { .data = ids, .n = 3 } };
    assert_int_equal(qw_replay_put(r, &key, &both, (uint64_t)n, NULL), QWREN_OK);
}

/* Whether answer n is there, whole. */
static bool has(qw_replay *r, int n)
{
    char content[32], thought[32];
    snprintf(content, sizeof content, "answer %d", n);
    snprintf(thought, sizeof thought, "thought %d", n);
    const qw_replay_key key = { .content = content,
                                .content_len = strlen(content),
                                .calls = "[]",
                                .calls_len = 2,
                                .thought = thought,
                                .thought_len = strlen(thought) };
    qw_replay_ids ids = { 0 };
    bool found = false;
    assert_int_equal(qw_replay_find(r, &key, (uint64_t)n, &ids, &found, NULL), QWREN_OK);
    if (found) {
        assert_int_equal(ids.thought.n, 2);
        assert_int_equal(ids.content.n, 3);
        for (int i = 0; i < 3; i++)
            assert_int_equal(ids.content.data[i], 300 + n + i);
    }
    qw_replay_ids_free(&ids);
    return found;
}

static void answers_are_there_in_the_next_run(void **state)
{
    (void)state;
    qw_replay *a = begin(tokenizer), *b = begin(tokenizer); /* two at once */
    put(a, 1);
    put(b, 2);
    put(a, 3);
    put(a, 1); /* known: not written again */
    assert_false(has(b, 1));
    qw_replay *c = begin(tokenizer);
    assert_int_equal(qw_replay_count(c), 3);
    for (int n = 1; n <= 3; n++)
        assert_true(has(c, n));
    qw_replay *d = begin(other); /* another vocabulary has a file of its own */
    assert_int_equal(qw_replay_count(d), 0);
    qw_replay_free(a);
    qw_replay_free(b);
    qw_replay_free(c);
    qw_replay_free(d);
    empty_folder();
}

static void file_of(int n_answers, char **bytes, size_t *n)
{
    empty_folder();
    qw_replay *r = begin(tokenizer);
    for (int i = 0; i < n_answers; i++)
        put(r, i);
    qw_replay_free(r);
    char *path = the_file();
    assert_int_equal(qw_file_read(path, 1 << 20, bytes, n, NULL), QWREN_OK);
    qw_free(path);
}

/* A process died while it wrote: its answer is lost, those before and behind it are there. */
static void what_is_half_written_costs_one_answer(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t n = 0;
    file_of(2, &bytes, &n);
    char *path = the_file();
    for (size_t cut = n / 2; cut < n; cut++) {
        assert_int_equal(qw_file_write(path, bytes, cut, NULL), QWREN_OK);
        qw_replay *r = begin(tokenizer);
        put(r, 7);
        qw_replay_free(r);
        r = begin(tokenizer);
        assert_true(has(r, 0) && !has(r, 1) && has(r, 7));
        qw_replay_free(r);
    }
    qw_free(path);
    qw_free(bytes);
}

/* Whatever byte is changed, what is found is right. */
static void damage_is_not_believed(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t n = 0, lost = 0;
    qw_rng rng;
    qw_rng_seed(&rng, 5);
    file_of(3, &bytes, &n);
    char *path = the_file();
    for (size_t at = 0; at < n; at++) {
        const char before = bytes[at];
        bytes[at] = (char)(before ^ (1 << qw_rng_u32(&rng) % 8));
        assert_int_equal(qw_file_write(path, bytes, n, NULL), QWREN_OK);
        qw_replay *r = begin(tokenizer);
        assert_true(qw_replay_count(r) <= 3);
        int there = has(r, 0) + has(r, 1) + has(r, 2);
        assert_int_equal(there, qw_replay_count(r));
        lost += (size_t)(3 - there);
        qw_replay_free(r);
        bytes[at] = before;
    }
    assert_int_equal(lost, n); /* each byte belongs to one answer */
    qw_free(path);
    qw_free(bytes);
}

/* Ids that no answer can have do not come in, whoever wrote them. */
static void ids_are_checked(void **state)
{
    (void)state;
    empty_folder();
    qw_replay *r = begin(tokenizer);
    put(r, 1);
    char *path = the_file();
    int32_t bad[] = { -1, qw_tokenizer_count(tokenizer->vocabulary), qw_tokenizer_find_added(tokenizer->vocabulary, "<|im_start|>", 12) };
    for (size_t i = 0; i < 3; i++) {
        const qw_replay_key key = { .content = "bad", .content_len = 3, .calls = "", .thought = "" };
        const qw_replay_ids ids = { .content = { .data = &bad[i], .n = 1 } };
        assert_int_equal(qw_replay_write(path, &key, &ids, 1, NULL), QWREN_OK);
    }
    qw_replay_free(r);
    r = begin(tokenizer);
    assert_int_equal(qw_replay_count(r), 1);
    qw_replay_free(r);
    qw_free(path);
}

static void make_longer(const char *path, size_t n)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    assert_int_equal(truncate(path, st.st_size + (off_t)n), 0);
}

static size_t size_of(const char *path)
{
    struct stat st;
    assert_int_equal(stat(path, &st), 0);
    return (size_t)st.st_size;
}

/* A file that has grown too large, be it ever so large, keeps its newer answers. */
static void an_old_file_is_shortened(void **state)
{
    const size_t sizes[] = { 2 * QW_REPLAY_BYTES, 20 * QW_REPLAY_BYTES };
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        empty_folder();
        qw_replay *r = begin(tokenizer);
        put(r, 0);
        char *path = the_file();
        make_longer(path, sizes[i]);
        assert_int_equal(truncate(path, (off_t)sizes[i]), 0);
        put(r, 1); /* while running */
        assert_true(size_of(path) < 1000);
        put(r, 2);
        qw_replay_free(r);
        r = begin(tokenizer);
        assert_true(!has(r, 0) && has(r, 1) && has(r, 2));
        qw_replay_free(r);
        qw_free(path);
    }
}

/* What is found in a file that another program left larger are the answers at its end. */
static void the_end_of_a_large_file_is_read(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t n = 0;
    file_of(2, &bytes, &n);
    char *path = the_file();
    make_longer(path, 20 * QW_REPLAY_BYTES);
    FILE *f = fopen(path, "ab");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, n, f), n);
    fclose(f);
    qw_replay *r = begin(tokenizer);
    assert_true(has(r, 0) && has(r, 1));
    put(r, 2);
    assert_true(size_of(path) < 1000);
    qw_replay_free(r);
    qw_free(bytes);
    qw_free(path);
}

/* Processes that write at once, one of whose files is shortened now and then: no answer of the last ones is lost. */
static void nothing_is_lost_while_a_file_is_shortened(void **state)
{
    (void)state;
    empty_folder();
    qw_replay *r = begin(tokenizer);
    put(r, 0);
    char *path = the_file();
    pid_t others[2];
    for (int p = 0; p < 2; p++) {
        others[p] = fork();
        assert_true(others[p] >= 0);
        if (others[p] == 0) {
            for (int i = 0; i < 100; i++)
                put(r, 100 + 100 * p + i);
            _exit(0);
        }
    }
    for (int i = 0; i < 10; i++) { /* as another process would have it that has written much */
        int fd;
        assert_int_equal(qw_file_open_locked(&fd, path, NULL), QWREN_OK);
        char *bytes = NULL;
        size_t n = 0;
        assert_int_equal(qw_file_read(path, 4 * QW_REPLAY_BYTES, &bytes, &n, NULL), QWREN_OK);
        assert_int_equal(ftruncate(fd, 0), 0);
        assert_int_equal(ftruncate(fd, 2 * QW_REPLAY_BYTES - (off_t)n), 0);
        assert_int_equal(qw_file_append(fd, path, bytes, n, NULL), QWREN_OK);
        qw_free(bytes);
        close(fd);
        put(r, 1 + i);
    }
    for (int p = 0; p < 2; p++) {
        int how;
        assert_int_equal(waitpid(others[p], &how, 0), others[p]);
        assert_true(WIFEXITED(how) && WEXITSTATUS(how) == 0);
    }
    qw_replay_free(r);
    r = begin(tokenizer);
    for (int i = 0; i < 10; i++)
        assert_true(has(r, 1 + i));
    for (int i = 100; i < 300; i++)
        assert_true(has(r, i));
    qw_replay_free(r);
    qw_free(path);
}

/* A folder that cannot be written to, or a file that is none: the answers are known for this run. */
static void trouble_with_the_file_is_no_error(void **state)
{
    (void)state;
    qw_replay *r = NULL;
    assert_int_equal(qw_replay_create(&r, 1 << 20, NULL), QWREN_OK);
    assert_int_equal(qw_replay_keep_in(r, "/nowhere/at/all", tokenizer->vocabulary, NULL), QWREN_OK);
    put(r, 1);
    assert_true(has(r, 1));
    qw_replay_free(r);
}

static qwren_status try_keep(void *ctx, qwren_error *err)
{
    qw_replay *r = NULL;
    qwren_status st = qw_replay_create(&r, 1 << 20, err);
    if (st == QWREN_OK)
        st = qw_replay_keep_in(r, ctx, tokenizer->vocabulary, err);
    qw_replay_free(r);
    return st;
}

static void memory_may_run_short(void **state)
{
    (void)state;
    char *bytes = NULL;
    size_t n = 0;
    file_of(2, &bytes, &n);
    qw_free(bytes);
    fault_install();
    assert_true(fault_try_all(try_keep, dir, 1) >= 6);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(answers_are_there_in_the_next_run),
        cmocka_unit_test(what_is_half_written_costs_one_answer),
        cmocka_unit_test(damage_is_not_believed),
        cmocka_unit_test(ids_are_checked),
        cmocka_unit_test(an_old_file_is_shortened),
        cmocka_unit_test(the_end_of_a_large_file_is_read),
        cmocka_unit_test(nothing_is_lost_while_a_file_is_shortened),
        cmocka_unit_test(trouble_with_the_file_is_no_error),
        cmocka_unit_test(memory_may_run_short),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}
