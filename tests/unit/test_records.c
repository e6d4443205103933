/* convert/records.c: what recipe.json says, and refusing what it cannot mean. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "convert/records.h"
#include "support/fault.h"

static char folder[64], file[128];

static int make_folder(void **state)
{
    (void)state;
    char path[128];
    strcpy(folder, "/tmp/qwren-records-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    snprintf(path, sizeof path, "%s/" QW_RECORDS_FOLDER, folder);
    snprintf(file, sizeof file, "%s/" QW_RECORDS_FILE, folder);
    return mkdir(path, 0700);
}

static int remove_folder(void **state)
{
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -r '%s'", folder);
    return system(command);
}

static void put(const char *text)
{
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

#define GOOD                                                                                                                        \
  "{\"recipe\": \"6bit\", \"tensors\": {\"norm.weight\": {\"class\": \"small\", \"bits\": 0}, "                                     \
  "\"layers.0.mlp.up_proj.weight\": {\"class\": \"mlp.up\", \"bits\": 6, \"group\": 64, \"rms\": 0.5, \"error\": 0.01, \"xxh64\": " \
  "\"00ffab0123456789\"}}}"

static void a_folder_without_records(void **state)
{
    (void)state;
    qw_records *r = (qw_records *)folder;
    qw_record record;
    unlink(file);
    assert_int_equal(qw_records_read(&r, folder, NULL), QWREN_OK);
    assert_null(r);
    assert_int_equal(qw_records_read(&r, "/no/such/folder", NULL), QWREN_OK);
    assert_null(r);
    assert_null(qw_records_recipe(r));
    assert_null(qw_records_name(r, 0));
    assert_false(qw_records_find(r, "norm.weight", &record));
    qw_records_free(r);
}

static void what_is_written_is_read(void **state)
{
    (void)state;
    qw_records *r;
    qw_record record;
    put(GOOD);
    assert_int_equal(qw_records_read(&r, folder, NULL), QWREN_OK);
    assert_string_equal(qw_records_recipe(r), "6bit");
    assert_true(qw_records_find(r, "layers.0.mlp.up_proj.weight", &record));
    assert_string_equal(record.class, "mlp.up");
    assert_int_equal(record.bits, 6);
    assert_int_equal(record.group, 64);
    assert_true(record.rms == 0.5 && record.error == 0.01);
    assert_true(record.has_checksum && record.checksum == 0x00ffab0123456789);
    assert_true(qw_records_find(r, "norm.weight", &record));
    assert_true(record.bits == 0 && isnan(record.rms) && isnan(record.error) && !record.has_checksum);
    assert_false(qw_records_find(r, "lm_head.weight", &record));
    assert_string_equal(qw_records_name(r, 0), "norm.weight");
    assert_string_equal(qw_records_name(r, 1), "layers.0.mlp.up_proj.weight");
    assert_null(qw_records_name(r, 2));
    qw_records_free(r);
}

static void what_means_nothing_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = {
        "",
        "[]",
        "{}",
        "{\"tensors\": []}",
        "{\"tensors\": {\"x\": 1}}",
        "{\"tensors\": {\"x\": {\"bits\": -1}}}",
        "{\"tensors\": {\"x\": {\"bits\": 65}}}",
        "{\"tensors\": {\"x\": {\"bits\": 6.5}}}",
        "{\"tensors\": {\"x\": {\"group\": \"64\"}}}",
        "{\"tensors\": {\"x\": {\"rms\": -1}}}",
        "{\"tensors\": {\"x\": {\"rms\": \"1\"}}}",
        "{\"tensors\": {\"x\": {\"error\": 1e999}}}",
        "{\"tensors\": {\"x\": {\"xxh64\": \"12\"}}}",
        "{\"tensors\": {\"x\": {\"xxh64\": \"00ffab012345678g\"}}}",
        "{\"tensors\": {\"x\": {\"xxh64\": 7}}}",
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        qw_records *r;
        qwren_error err = { 0 };
        put(bad[i]);
        qwren_status st = qw_records_read(&r, folder, &err);
        if (st != QWREN_E_FORMAT || r || !strstr(err.text, "recipe.json"))
            fail_msg("%s: %s \"%s\"", bad[i], qwren_status_name(st), err.text);
    }
}

static qwren_status read_and_free(void *ctx, qwren_error *err)
{
    qw_records *r;
    qwren_status st = qw_records_read(&r, ctx, err);
    qw_records_free(r);
    return st;
}

static void memory_may_be_short(void **state)
{
    (void)state;
    put(GOOD);
    fault_install();
    assert_true(fault_try_all(read_and_free, folder, 1) > 4);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_folder_without_records),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_means_nothing_is_refused),
        cmocka_unit_test(memory_may_be_short),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
