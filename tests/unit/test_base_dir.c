/* base/dir.c: names come sorted, chosen and whole; folders are made once and told about by name. */
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

#include "base/dir.h"
#include "support/fault.h"

static char root[] = "/tmp/qwren-dir-XXXXXX";
static const char *const files[] = { "b", "a", ".hidden", "B", "a.txt" };

static const char *in_root(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", root, name);
    return path;
}

static int make_files(void **state)
{
    (void)state;
    if (!mkdtemp(root))
        return -1;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        FILE *f = fopen(in_root(files[i]), "w");
        if (!f || fclose(f) != 0)
            return -1;
    }
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++)
        unlink(in_root(files[i]));
    return rmdir(root);
}

static bool is_shown(const char *name) { return name[0] != '.'; }
static bool is_missing(const char *name) { return strcmp(name, "c") == 0; }

static void expect_names(bool (*wanted)(const char *), const char *text)
{
    char joined[128] = "";
    qw_names x;
    assert_int_equal(qw_dir_list(&x, root, wanted, NULL), QWREN_OK);
    for (size_t i = 0; i < x.n; i++)
        snprintf(joined + strlen(joined), sizeof joined - strlen(joined), "%s ", x.at[i]);
    assert_string_equal(joined, text);
    qw_names_deinit(&x);
    assert_null(x.at);
    qw_names_deinit(&x);
}

static void names_are_sorted_and_chosen(void **state)
{
    (void)state;
    expect_names(NULL, ".hidden B a a.txt b ");
    expect_names(is_shown, "B a a.txt b ");
    expect_names(is_missing, "");
}

static void a_folder_is_made_once(void **state)
{
    (void)state;
    assert_int_equal(qw_dir_make(in_root("new"), NULL), QWREN_OK);
    assert_int_equal(qw_dir_make(in_root("new"), NULL), QWREN_OK);
    assert_int_equal(qw_dir_sync(in_root("new"), NULL), QWREN_OK);
    assert_int_equal(rmdir(in_root("new")), 0);
}

static void expect_refused(qwren_status st, const qwren_error *err)
{
    assert_int_equal(st, QWREN_E_IO);
    assert_non_null(strstr(err->text, "a/new: cannot be "));
}

/* "a" is a file. */
static void what_cannot_be_is_told_by_name(void **state)
{
    (void)state;
    qw_names x;
    qwren_error err;
    expect_refused(qw_dir_list(&x, in_root("a/new"), NULL, &err), &err);
    qw_names_deinit(&x);
    expect_refused(qw_dir_make(in_root("a/new"), &err), &err);
    expect_refused(qw_dir_sync(in_root("a/new"), &err), &err);
}

static qwren_status list(void *ctx, qwren_error *err)
{
    qw_names x;
    qwren_status st = qw_dir_list(&x, ctx, NULL, err);
    qw_names_deinit(&x);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fault_install();
    assert_int_equal(fault_try_all(list, root, 1), 2 * sizeof files / sizeof *files);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(names_are_sorted_and_chosen),
        cmocka_unit_test(a_folder_is_made_once),
        cmocka_unit_test(what_cannot_be_is_told_by_name),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
