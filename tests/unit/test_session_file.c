/* runtime/session_file.c: a session that was saved goes on in another process as if it had never stopped, to the bit and without computing
 * a token again; the prefix cache's folder does the same for
 * whoever begins alike. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/dir.h"
#include "base/file.h"
#include "base/machine.h"
#include "model/identity.h"
#include "runtime/session_file.h"
#include "runtime/session_parts.h"
#include "support/fault.h"
#include "support/folder.h"
#include "support/tiny.h"

static char folder[] = "/tmp/qwren-test-XXXXXX";
static char path[sizeof folder + 32], cache[sizeof folder + 32];
static qw_store_head head = { .kind = QW_SAVED_SESSION, .about = "tiny-b" };

/* What one process has: the model, which is the same in all, and a cache of its own. */
typedef struct process {
    qw_prefix *prefix;
    qw_prefix_disk *disk;
} process;

static process begin(bool with_disk)
{
    process p = { 0 };
    qwren_error err = { 0 };
    qw_saved_format f = { .config = &model.config.text };
    ok(qw_page_shape_make(&f.pages, f.config, QW_KV_F16, &err), &err);
    ok(qw_prefix_create(&p.prefix, &f.pages, &(qw_prefix_options){ .budget_bytes = 64 << 20 }, &err), &err);
    if (with_disk)
        ok(qw_prefix_disk_open(&p.disk, cache, &head, &f, 64 << 20, &err), &err);
    return p;
}

static void end(process *p)
{
    qw_prefix_disk_close(p->disk);
    qw_prefix_free(p->prefix);
}

static qw_session *session_of(const process *p, size_t n_ctx)
{
    return session_with(&(qw_session_options){ .n_ctx = n_ctx, .n_trial = 4, .prefix = p->prefix, .disk = p->disk });
}

static int make_all(void **state)
{
    qw_identity id;
    if (open_model(state) || !mkdtemp(folder) || qw_identity_of(&id, &model, QW_KV_F16, NULL) != QWREN_OK)
        return -1;
    memcpy(head.key, id.bytes, sizeof head.key);
    snprintf(path, sizeof path, "%s/session", folder);
    snprintf(cache, sizeof cache, "%s/cache", folder);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    unlink(path);
    folder_remove(cache);
    return 0;
}

static int remove_all(void **state) { return close_model(state) || rmdir(folder); }

/* Computes tokens [first, end) with checkpoints at some lengths. */
static void eval_turns(qw_session *s, const qw_timeline *t, size_t first, size_t stop, const size_t *lengths, size_t n)
{
    qwren_error err = { 0 };
    const qw_eval_options opt = { .boundaries = lengths, .n_boundaries = n };
    ok(qw_session_eval(s, t, first, stop, &opt, &err), &err);
}

static uint64_t save(qw_session *s)
{
    qwren_error err = { 0 };
    uint64_t written;
    ok(qw_session_save(s, path, &head, &written, &err), &err);
    return written;
}

static void load(qw_session *s)
{
    qwren_error err = { 0 };
    ok(qw_session_load(s, path, &head, &err), &err);
}

static void a_saved_session_goes_on_with_all_its_tokens(void **state)
{
    (void)state;
    static const size_t lengths[] = { 1, 15, 16, 200, 512, 700, 1100 };
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        const size_t n = lengths[i];
        qw_timeline t = timeline(n + 40, 0, 0);
        process p = begin(false);
        qw_session *s = session_of(&p, 1200);
        eval(s, &t, 0, n);
        save(s);
        qw_session_free(s);
        end(&p);

        p = begin(false);
        s = session_of(&p, 1200);
        load(s);
        assert_int_equal(qw_session_length(s), n);
        assert_int_equal(qw_session_next_pos(s), n);
        assert_null(qw_session_logits(s));
        assert_int_equal(qw_session_reuse(s, &t).length, n); /* all of them: none is computed again */
        eval(s, &t, n, t.n);
        is_as_fresh(s, &t, t.n);
        qw_session_free(s);
        end(&p);
        unlink(path);
        qw_timeline_deinit(&t);
    }
}

/* Checkpoints come along: another turn begins where it parts from what was saved, not at the beginning. */
static void a_loaded_session_can_go_back(void **state)
{
    (void)state;
    qw_timeline t = timeline(900, 0, 0), other = timeline(700, 600, 1);
    process p = begin(false);
    qw_session *s = session_of(&p, 1000);
    eval_turns(s, &t, 0, 900, (size_t[]){ 300, 600, 750 }, 3);
    save(s);
    qw_session_free(s);
    end(&p);

    p = begin(false);
    s = session_of(&p, 1000);
    load(s);
    assert_int_equal(qw_session_reuse(s, &other).length, 600);
    eval(s, &other, 600, 700);
    is_as_fresh(s, &other, 700);
    load(s);
    qwren_error err = { 0 };
    ok(qw_session_rewind(s, 620, &err), &err); /* over text that is known from the file */
    eval(s, &t, 620, 640);
    is_as_fresh(s, &t, 640);
    qw_session_free(s);
    end(&p);
    qw_timeline_deinit(&t);
    qw_timeline_deinit(&other);
}

static void another_turn_is_appended(void **state)
{
    (void)state;
    qw_timeline t = timeline(700, 0, 0);
    process p = begin(false);
    qw_session *s = session_of(&p, 1000);
    eval(s, &t, 0, 600);
    const uint64_t first = save(s);
    assert_int_equal(save(s), 0);
    eval(s, &t, 600, 620);
    assert_true(save(s) < first / 2);
    qw_session_free(s);
    s = session_of(&p, 1000);
    load(s);
    eval(s, &t, 620, 700);
    is_as_fresh(s, &t, 700);
    save(s); /* and a session that was loaded likewise */
    qw_session_reset(s);
    load(s);
    assert_int_equal(qw_session_length(s), 700);
    qw_session_free(s);
    end(&p);
    qw_timeline_deinit(&t);
}

/* Tokens that are only tried are not saved; those that were kept are, with the states that they make. */
static void a_trial_is_settled(void **state)
{
    (void)state;
    qw_timeline t = timeline(60, 0, 0);
    qwren_error err = { 0 };
    process p = begin(false);
    qw_session *s = session_of(&p, 100);
    eval(s, &t, 0, 40);
    ok(qw_session_try(s, t.ids + 40, 4, &err), &err);
    qw_session_keep(s, 3);
    ok(qw_session_try(s, t.ids + 43, 2, &err), &err);
    save(s);
    load(s);
    assert_int_equal(qw_session_length(s), 43);
    eval(s, &t, 43, 60);
    is_as_fresh(s, &t, 60);
    qw_session_free(s);
    end(&p);
    qw_timeline_deinit(&t);
}

static void what_cannot_be_loaded_changes_nothing(void **state)
{
    (void)state;
    qw_timeline t = timeline(300, 0, 0);
    qwren_error err;
    process p = begin(false);
    qw_session *s = session_of(&p, 400), *small = session_of(&p, 250);
    eval(small, &t, 0, 50);
    assert_int_equal(qw_session_load(small, path, &head, &err), QWREN_E_IO);
    eval(s, &t, 0, 300);
    save(s);
    fault_install();
    assert_int_equal(qw_session_load(small, path, &head, &err), QWREN_E_LIMIT);
    assert_true(fault_peak_bytes() < small->plan.pages.bytes); /* none is taken for what has no place */
    fault_remove();
    assert_non_null(strstr(err.text, "holds 300 tokens, and the session has room for 250"));
    qw_store_head other = head;
    other.key[3]++;
    assert_int_equal(qw_session_load(small, path, &other, &err), QWREN_E_ARGUMENT);
    assert_int_equal(truncate(path, 300), 0);
    assert_int_equal(qw_session_load(small, path, &head, &err), QWREN_E_FORMAT);
    assert_int_equal(qw_session_length(small), 50);
    eval(small, &t, 50, 60);
    is_as_fresh(small, &t, 60);
    qw_session_free(small);
    qw_session_free(s);
    end(&p);
    qw_timeline_deinit(&t);
}

/* Saves a session of 100 tokens with another key and place of token 50, and another position behind its end. */
static void save_forged(const qw_timeline *t, uint64_t key, int32_t start, int32_t next_pos)
{
    qw_saved saved;
    qwren_error err = { 0 };
    qw_saved_format f = { .config = &model.config.text };
    ok(qw_page_shape_make(&f.pages, f.config, QW_KV_F16, &err), &err);
    process p = begin(false);
    qw_session *s = session_of(&p, 400);
    eval(s, t, 0, 100);
    save(s);
    ok(qw_saved_read(&saved, path, &head, &f, &(qw_saved_reader){ .most = SIZE_MAX, .writer = &f }, &err), &err);
    saved.keys[50] = key;
    saved.starts[50] = start;
    saved.checkpoints[saved.n_checkpoints - 1]->next_pos = next_pos;
    unlink(path);
    ok(qw_saved_write(path, &head, &f, &saved, NULL, &err), &err);
    qw_saved_deinit(&saved, &f);
    qw_session_free(s);
    end(&p);
}

static void a_forged_file_is_refused(void **state)
{
    (void)state;
    static const struct {
        uint64_t key;
        int32_t start, next_pos;
        bool good;
    } cases[] = { { 7, 50, 100, true },
                  { QW_PICTURE_KEY | 77777777, 50, 100, true },
                  { QW_NO_ID | 77777777, 50, 100, true },
                  { 77777777, 50, 100, false },
                  { UINT32_MAX, 50, 100, false },
                  { 7, -1, 100, false },
                  { 7, 101, 100, false },
                  { 7, 50, 101, false } };
    qw_timeline t = timeline(120, 0, 0);
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        qwren_error err = { 0 };
        save_forged(&t, cases[i].key, cases[i].start, cases[i].next_pos);
        process p = begin(false);
        qw_session *s = session_of(&p, 400);
        assert_int_equal(qw_session_load(s, path, &head, &err), cases[i].good ? QWREN_OK : QWREN_E_FORMAT);
        assert_int_equal(qw_session_length(s), cases[i].good ? 100 : 0);
        qw_session_free(s);
        end(&p);
        unlink(path);
    }
    qw_timeline_deinit(&t);
}

static void an_empty_session_can_be_saved(void **state)
{
    (void)state;
    qw_timeline t = timeline(30, 0, 0);
    process p = begin(false);
    qw_session *s = session_of(&p, 100);
    save(s);
    eval(s, &t, 0, 20);
    load(s);
    assert_int_equal(qw_session_length(s), 0);
    eval(s, &t, 0, 30);
    is_as_fresh(s, &t, 30);
    qw_session_free(s);
    end(&p);
    qw_timeline_deinit(&t);
}

/* ---- the folder */

static void what_was_computed_is_there_in_the_next_run(void **state)
{
    (void)state;
    qw_timeline t = timeline(900, 0, 0), other = timeline(800, 600, 1);
    qwren_error err = { 0 };
    process p = begin(true);
    qw_session *s = session_of(&p, 1000);
    eval_turns(s, &t, 0, 850, (size_t[]){ 300, 600 }, 2);
    ok(qw_session_flush(s, &err), &err);
    qw_session_free(s);
    end(&p);

    p = begin(true);
    s = session_of(&p, 1000);
    assert_int_equal(qw_session_reuse(s, &t).length, 850);
    eval(s, &t, 850, 900);
    is_as_fresh(s, &t, 900);
    assert_int_equal(qw_session_reuse(s, &other).length, 600);
    eval(s, &other, 600, 800);
    is_as_fresh(s, &other, 800);
    ok(qw_session_flush(s, &err), &err);
    qw_session_free(s);
    end(&p);

    p = begin(true);
    s = session_of(&p, 1000);
    qw_timeline longer = timeline(820, 600, 1);
    assert_int_equal(qw_session_reuse(s, &longer).length, 800);
    eval(s, &longer, 800, 820);
    is_as_fresh(s, &longer, 820);
    qw_session_free(s);
    end(&p);
    qw_timeline_deinit(&t);
    qw_timeline_deinit(&other);
    qw_timeline_deinit(&longer);
}

/* A page that the machine has no memory for is asked of the cache in memory; what is in the folder waits. */
static void pages_from_the_folder_are_asked_for(void **state)
{
    (void)state;
    qw_timeline t = timeline(700, 0, 0), other = timeline(600, 0, 1);
    qwren_error err = { 0 };
    process p = begin(true);
    qw_session *s = session_of(&p, 1000);
    eval(s, &t, 0, 600);
    ok(qw_session_flush(s, &err), &err);
    qw_session_free(s);
    end(&p);

    p = begin(false);
    qw_saved_format vast = { .config = &model.config.text };
    ok(qw_page_shape_make(&vast.pages, vast.config, QW_KV_F16, &err), &err);
    vast.pages.bytes = (size_t)1 << 50; /* of which no machine has two */
    ok(qw_prefix_disk_open(&p.disk, cache, &head, &vast, 64 << 20, &err), &err);
    s = session_of(&p, 1000);
    eval(s, &other, 0, 600);
    qw_session_free(s);
    assert_true(qw_prefix_statistics(p.prefix).n_checkpoints > 0);
    s = session_of(&p, 1000);
    assert_int_equal(qw_session_reuse(s, &t).length, 0);
    if (qw_machine_get_memory().available != QW_NOT_KNOWN)
        assert_int_equal(qw_prefix_statistics(p.prefix).n_checkpoints, 0);
    qw_session_free(s);
    end(&p);

    p = begin(true);
    s = session_of(&p, 1000);
    assert_int_equal(qw_session_reuse(s, &t).length, 600);
    qw_session_free(s);
    end(&p);
    qw_timeline_deinit(&t);
    qw_timeline_deinit(&other);
}

static void a_moved_window_stays_out_of_the_folder(void **state)
{
    (void)state;
    qw_timeline t = timeline(300, 0, 0);
    qwren_error err = { 0 };
    process p = begin(true);
    qw_session *s = session_of(&p, 400);
    eval(s, &t, 0, 200);
    ok(qw_session_shift(s, 32, 64, &err), &err);
    eval(s, &t, 200, 210);
    ok(qw_session_flush(s, &err), &err);
    assert_int_equal(qw_prefix_disk_statistics(p.disk).saves, 1); /* the end of what was before, and nothing else */
    save(s);
    float *want = malloc((size_t)model.config.text.vocab_size * sizeof *want);
    eval(s, &t, 210, 220);
    memcpy(want, qw_session_logits(s), (size_t)model.config.text.vocab_size * sizeof *want);
    load(s); /* but a session file can hold it */
    eval(s, &t, 210, 220);
    same_logits(s, want);
    free(want);
    qw_session_free(s);
    end(&p);
    qw_timeline_deinit(&t);
}

/* ---- memory */

typedef struct attempt {
    qw_session *s;
    const qw_timeline *t;
} attempt;

static qwren_status save_and_load(void *ctx, qwren_error *err)
{
    const attempt *a = ctx;
    unlink(path);
    QW_TRY(qw_session_save(a->s, path, &head, NULL, err));
    QW_TRY(qw_session_load(a->s, path, &head, err));
    return QWREN_OK;
}

static void short_memory_leaves_the_session_as_it_was(void **state)
{
    (void)state;
    fault_install();
    qw_timeline t = timeline(600, 0, 0);
    attempt a = { .t = &t };
    a.s = session_with(&(qw_session_options){ .n_ctx = 700 });
    eval(a.s, &t, 0, 530);
    for (size_t n = 1;; n++) {
        qwren_error err = { 0 };
        const size_t failed = fault_failed();
        fault_fail_at(n);
        const qwren_status st = save_and_load(&a, &err);
        fault_fail_at(0);
        if (fault_failed() == failed)
            break;
        assert_true(st == QWREN_E_MEMORY);
        assert_int_equal(qw_session_length(a.s), 530);
    }
    eval(a.s, &t, 530, 540);
    qw_session_free(a.s);
    qw_timeline_deinit(&t);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_teardown(a_saved_session_goes_on_with_all_its_tokens, remove_files),
        cmocka_unit_test_teardown(a_loaded_session_can_go_back, remove_files),
        cmocka_unit_test_teardown(another_turn_is_appended, remove_files),
        cmocka_unit_test_teardown(a_trial_is_settled, remove_files),
        cmocka_unit_test_teardown(what_cannot_be_loaded_changes_nothing, remove_files),
        cmocka_unit_test_teardown(a_forged_file_is_refused, remove_files),
        cmocka_unit_test_teardown(an_empty_session_can_be_saved, remove_files),
        cmocka_unit_test_teardown(what_was_computed_is_there_in_the_next_run, remove_files),
        cmocka_unit_test_teardown(pages_from_the_folder_are_asked_for, remove_files),
        cmocka_unit_test_teardown(a_moved_window_stays_out_of_the_folder, remove_files),
        cmocka_unit_test_teardown(short_memory_leaves_the_session_as_it_was, remove_files),
    };
    return cmocka_run_group_tests(tests, make_all, remove_all);
}
