/* qwren_quantize_plan: what is told beforehand is what qwren_quantize makes; what cannot be planned is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/json.h"
#include "qwren.h"
#include "support/fault.h"

#include <ftw.h>
#include <sys/stat.h>

#define NANO QW_MODELS "/qwren-nano"
#define TINY QW_TEST_DATA "/text/tiny-c/hf"

static qw_json *plan(const char *src, const qwren_quantize_options *opt)
{
    char *text;
    qw_json *json;
    qwren_error err;
    if (qwren_quantize_plan(src, opt, &text, &err) != QWREN_OK || qw_json_parse(&json, text, strlen(text), "the plan", &err) != QWREN_OK)
        fail_msg("%s", err.text);
    qwren_free(text);
    return json;
}

static const qw_json *find(const qw_json *json, const char *name)
{
    const qw_json *tensors = qw_json_get(json, "tensors");
    for (size_t i = 0; i < qw_json_size(tensors); i++)
        if (strcmp(qw_json_string(qw_json_get(qw_json_at(tensors, i), "name"), NULL), name) == 0)
            return qw_json_at(tensors, i);
    fail_msg("the plan has no %s", name);
    return NULL;
}

static void expect_int(const qw_json *t, const char *key, int64_t want) { assert_int_equal(qw_json_int(qw_json_get(t, key), -1), want); }

static void each_tensor_is_told(void **state)
{
    (void)state;
    qwren_quantize_options opt = qwren_quantize_options_default();
    opt.recipe = "6bit-plain";
    qw_json *json = plan(NANO, &opt);
    assert_string_equal(qw_json_string(qw_json_get(json, "recipe"), NULL), "6bit-plain");
    assert_true(qw_json_number(qw_json_get(json, "bits_per_weight"), 0) > 6.5);
    const qw_json *t = find(json, "layers.0.mlp.up_proj.weight");
    expect_int(t, "bits", 6);
    expect_int(t, "group", 64);
    expect_int(t, "bytes", 512 * 256 / 4 * 3 + 2 * 2 * 512 * 256 / 64);
    t = find(json, "norm.weight");
    expect_int(t, "bits", 0);
    expect_int(t, "bytes", 512);
    assert_string_equal(qw_json_string(qw_json_get(t, "type"), NULL), "BF16");
    int64_t sum = 0;
    const qw_json *tensors = qw_json_get(json, "tensors");
    for (size_t i = 0; i < qw_json_size(tensors); i++)
        sum += qw_json_int(qw_json_get(qw_json_at(tensors, i), "bytes"), 0);
    expect_int(json, "bytes", sum);
    qw_json_free(json);
}

static int remove_one(const char *path, const struct stat *s, int kind, struct FTW *at)
{
    (void)s;
    (void)kind;
    (void)at;
    return remove(path);
}

/* Bits of the text model: planned, recorded, and as the file that is made has them. */
static void compare_bits(const qw_json *planned, const char *dst)
{
    char path[96];
    qw_json *records;
    qwren_model *m;
    qwren_error err;
    const qwren_model_options open = { .struct_size = sizeof open, .config_only = true, .no_tokenizer = true };
    snprintf(path, sizeof path, "%s/qwren/recipe.json", dst);
    if (qwren_model_open(&m, dst, &open, &err) != QWREN_OK || qw_json_read_file(&records, path, 1 << 20, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    const double bits = qwren_model_get_info(m)->bits_per_weight_text;
    assert_true(bits > 5); /* scales and biases of 32 bits make 2 of 4 + 2 */
    assert_float_equal(qw_json_number(qw_json_get(planned, "bits_per_weight"), 0), bits, 1e-4);
    assert_float_equal(qw_json_number(qw_json_get(records, "bits_per_weight"), 0), bits, 1e-4);
    qw_json_free(records);
    qwren_model_close(m);
}

/* The data of the file that is made have the bytes that were planned: F32 scales here. */
static void the_bytes_are_those_of_the_files(void **state)
{
    (void)state;
    char root[] = "/tmp/qwren-plan-XXXXXX", dst[64], file[96];
    qwren_error err;
    qwren_quantize_options opt = qwren_quantize_options_default();
    assert_non_null(mkdtemp(root));
    snprintf(dst, sizeof dst, "%s/dst", root);
    snprintf(file, sizeof file, "%s/model.safetensors", dst);
    opt.bits = 4;
    opt.group = 32;
    opt.calibration = "none";
    opt.n_threads = 1;
    qw_json *json = plan(TINY, &opt);
    if (qwren_quantize(TINY, dst, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    struct stat s;
    unsigned char length[8];
    FILE *f = fopen(file, "rb");
    assert_true(f && fread(length, 1, 8, f) == 8 && fstat(fileno(f), &s) == 0);
    fclose(f);
    expect_int(json, "bytes", (int64_t)s.st_size - 8 - (length[0] + 256 * length[1] + 65536 * length[2]));
    compare_bits(json, dst);
    qw_json_free(json);
    assert_int_equal(nftw(root, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0);
}

static void refuse(const char *src, const qwren_quantize_options *opt, qwren_status status, const char *word)
{
    char *json = (char *)1;
    qwren_error err;
    assert_int_equal(qwren_quantize_plan(src, opt, &json, &err), status);
    assert_null(json);
    if (!strstr(err.text, word))
        fail_msg("\"%s\" should hold \"%s\"", err.text, word);
}

static void what_cannot_be_planned_is_refused(void **state)
{
    (void)state;
    qwren_quantize_options opt = qwren_quantize_options_default();
    refuse(NULL, NULL, QWREN_E_ARGUMENT, "NULL");
    refuse("/nowhere", NULL, QWREN_E_IO, "/nowhere");
    opt.recipe = "7bit";
    refuse(NANO, &opt, QWREN_E_ARGUMENT, "7bit");
    opt = qwren_quantize_options_default();
    opt.bits = 7;
    refuse(NANO, &opt, QWREN_E_ARGUMENT, "7 bits");
    opt = qwren_quantize_options_default();
    opt.recipe = "auto";
    opt.bpw = 5;
    refuse(NANO, &opt, QWREN_E_ARGUMENT, "measures");
}

static qwren_status plan_once(void *ctx, qwren_error *err)
{
    (void)ctx;
    char *json;
    qwren_status st = qwren_quantize_plan(TINY, NULL, &json, err);
    qwren_free(json);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(plan_once, NULL, 1) > 20);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_tensor_is_told),
        cmocka_unit_test(the_bytes_are_those_of_the_files),
        cmocka_unit_test(what_cannot_be_planned_is_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
