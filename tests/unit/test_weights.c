/* weights/weights.c and shard_index.c: which files a folder's weights are, and that an index and its shards say the same. */
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

#include "support/fault.h"
#include "weights/weights.h"

#define INDEX "model.safetensors.index.json"
#define MAP(entries) "{\"metadata\":{\"total_size\":1},\"weight_map\":{" entries "}}"

/* ---- a folder for one test */

static char folder[] = "/tmp/qwren-test-XXXXXX";
static char made[16][128];
static size_t n_made;

static int make_folder(void **state)
{
    (void)state;
    strcpy(folder + sizeof folder - 7, "XXXXXX");
    n_made = 0;
    return mkdtemp(folder) ? 0 : -1;
}

static int remove_folder(void **state)
{
    (void)state;
    while (n_made)
        remove(made[--n_made]);
    return rmdir(folder);
}

static const char *new_path(const char *name)
{
    assert_true(n_made < sizeof made / sizeof made[0]);
    snprintf(made[n_made], sizeof made[0], "%s/%s", folder, name);
    return made[n_made++];
}

static void put(const char *name, const char *text)
{
    FILE *f = fopen(new_path(name), "wb");
    assert_non_null(f);
    fputs(text, f);
    assert_int_equal(fclose(f), 0);
}

/* A file whose tensors are the words of `names`, one byte each: 0, 1, 2, ... counted from `first`. */
static void put_tensors(const char *file, const char *names, uint8_t first)
{
    char header[1024] = "", list[512], *rest = list;
    size_t len = 0, n = 0;
    strcpy(list, names);
    for (char *name; (name = strsep(&rest, " ")); n++)
        len += (size_t)snprintf(header + len, sizeof header - len, "%c\"%s\":{\"dtype\":\"U8\",\"shape\":[1],\"data_offsets\":[%zu,%zu]}",
                                n ? ',' : '{', name, n, n + 1);
    header[len++] = '}';
    FILE *f = fopen(new_path(file), "wb");
    assert_non_null(f);
    for (int i = 0; i < 8; i++)
        fputc((int)(len >> 8 * i & 255), f);
    fwrite(header, 1, len, f);
    for (size_t i = 0; i < n; i++)
        fputc((int)(first + i), f);
    assert_int_equal(fclose(f), 0);
}

static qw_weights *open_good(const char *path)
{
    qw_weights *w = NULL;
    qwren_error err;
    if (qw_weights_open(&w, path, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return w;
}

static void expect_refusal(const char *path, qwren_status want, const char *says)
{
    qw_weights *w = (qw_weights *)folder;
    qwren_error err = { QWREN_OK, "" };
    qwren_status st = qw_weights_open(&w, path, &err);
    if (st != want || err.code != want || !strstr(err.text, says))
        fail_msg("%s \"%s\", wanted %s \"%s\"", qwren_status_name(st), err.text, qwren_status_name(want), says);
    assert_null(w);
}

static void expect_tensor(const qw_weights *w, const char *our_name, const char *file, uint8_t value)
{
    const qw_tensor *t = qw_weights_find(w, our_name);
    if (!t)
        fail_msg("no tensor %s", our_name);
    assert_string_equal(t->file, file);
    assert_int_equal(*(const uint8_t *)t->data, value);
}

/* ---- one file */

static void test_single_file(void **state)
{
    (void)state;
    put_tensors("model.safetensors", "model.norm.weight lm_head.weight model.visual.x", 10);
    qw_weights *w = open_good(folder);
    assert_int_equal(qw_weights_count(w), 3);
    expect_tensor(w, "norm.weight", "model.safetensors", 10);
    expect_tensor(w, "lm_head.weight", "model.safetensors", 11);
    expect_tensor(w, "visual.x", "model.safetensors", 12);
    assert_string_equal(qw_weights_at(w, 1)->name, "lm_head.weight");
    assert_null(qw_weights_find(w, "model.norm.weight"));
    assert_null(qw_weights_find(w, ""));
    assert_null(qw_weights_find(w, "zzz"));
    qw_weights_close(w);
    qw_weights_close(NULL);
}

static void test_lone_shard(void **state)
{
    (void)state;
    static const char *const names[] = { "model.safetensors-00001-of-00001.safetensors", "model-00001-of-00001.safetensors" };
    for (size_t i = 0; i < 2; i++) {
        put_tensors(names[i], "a", 7);
        qw_weights *w = open_good(folder);
        expect_tensor(w, "a", names[i], 7);
        qw_weights_close(w);
        remove(made[--n_made]);
    }
}

static void test_open_file(void **state)
{
    (void)state;
    qw_weights *w;
    qwren_error err;
    put_tensors("any.name", "b a", 1);
    assert_int_equal(qw_weights_open_file(&w, made[0], &err), QWREN_OK);
    expect_tensor(w, "a", "any.name", 2);
    qw_weights_close(w);
    assert_int_equal(qw_weights_open_file(&w, folder, &err), QWREN_E_IO);
    assert_null(w);
}

static void test_same_tensor_twice(void **state)
{
    (void)state;
    put_tensors("model.safetensors", "model.norm.weight x model.language_model.norm.weight", 1);
    expect_refusal(folder, QWREN_E_FORMAT, "model.norm.weight of model.safetensors");
    expect_refusal(folder, QWREN_E_FORMAT, "are the same tensor");
}

static void test_nothing_there(void **state)
{
    (void)state;
    char inside[64];
    expect_refusal(folder, QWREN_E_IO, "has neither model.safetensors nor model.safetensors.index.json");
    put("config.json", "{}");
    expect_refusal(folder, QWREN_E_IO, "has neither model.safetensors");
    expect_refusal(made[0], QWREN_E_IO, "is no folder");
    snprintf(inside, sizeof inside, "%s/missing", folder);
    expect_refusal(inside, QWREN_E_IO, "is no folder");
    expect_refusal("", QWREN_E_IO, "is no folder");
}

static void test_empty_file(void **state)
{
    (void)state;
    put("model.safetensors", "");
    expect_refusal(folder, QWREN_E_FORMAT, "model.safetensors: has 0 bytes");
}

/* ---- an index */

static void test_shards(void **state)
{
    (void)state;
    put_tensors("model-00002-of-00002.safetensors", "model.layers.0.x model.norm.weight", 20);
    put_tensors("model-00001-of-00002.safetensors", "lm_head.weight mtp.y", 10);
    put(INDEX, MAP("\"lm_head.weight\":\"model-00001-of-00002.safetensors\",\"model.layers.0.x\":\"model-00002-of-00002.safetensors\","
                   "\"model.norm.weight\":\"model-00002-of-00002.safetensors\",\"mtp.y\":\"model-00001-of-00002.safetensors\""));
    put_tensors("model.safetensors", "other", 99); /* the index goes first */
    qw_weights *w = open_good(folder);
    assert_int_equal(qw_weights_count(w), 4);
    expect_tensor(w, "norm.weight", "model-00002-of-00002.safetensors", 21);
    expect_tensor(w, "mtp.y", "model-00001-of-00002.safetensors", 11);
    assert_string_equal(qw_weights_at(w, 0)->name, "lm_head.weight"); /* shards in the order of their names */
    assert_string_equal(qw_weights_at(w, 3)->name, "norm.weight");
    qw_weights_close(w);
}

static void test_index_of_one_file(void **state)
{
    (void)state;
    put_tensors("model.safetensors", "a b", 1);
    put(INDEX, MAP("\"a\":\"model.safetensors\",\"b\":\"model.safetensors\""));
    qw_weights *w = open_good(folder);
    assert_int_equal(qw_weights_count(w), 2);
    qw_weights_close(w);
}

static void test_refused_indexes(void **state)
{
    (void)state;
    static const struct {
        const char *index;
        qwren_status status;
        const char *says;
    } rows[] = {
        { "", QWREN_E_FORMAT, INDEX },
        { "[]", QWREN_E_FORMAT, "\"weight_map\" is missing" },
        { "{}", QWREN_E_FORMAT, "\"weight_map\" is missing" },
        { "{\"weight_map\":[]}", QWREN_E_FORMAT, "\"weight_map\" is missing, empty or no object" },
        { MAP(""), QWREN_E_FORMAT, "\"weight_map\" is missing, empty or no object" },
        { MAP("\"a\":1"), QWREN_E_FORMAT, "the file of a is no text" },
        { MAP("\"a\":\"\""), QWREN_E_FORMAT, "a is in \"\"; a file beside the index is needed" },
        { MAP("\"a\":\".\""), QWREN_E_FORMAT, "beside the index" },
        { MAP("\"a\":\"..\""), QWREN_E_FORMAT, "beside the index" },
        { MAP("\"a\":\"../one\""), QWREN_E_FORMAT, "a is in \"../one\"" },
        { MAP("\"a\":\"/etc/passwd\""), QWREN_E_FORMAT, "a is in \"/etc/passwd\"" },
        { MAP("\"a\":\"sub/one\""), QWREN_E_FORMAT, "beside the index" },
        { MAP("\"a\":\"..\\\\one\""), QWREN_E_FORMAT, "beside the index" },
        { MAP("\"a\":\"one\\u0000\""), QWREN_E_FORMAT, "beside the index" },
        { MAP("\"a\":\"one\",\"b\":\"one\",\"c\":\"missing.safetensors\""), QWREN_E_IO, "missing.safetensors" },
        { MAP("\"a\":\"one\",\"b\":\"one\",\"c\":\"" INDEX "\""), QWREN_E_FORMAT, "is no safetensors file" },
        { MAP("\"a\":\"one\",\"b\":\"one\",\"c\":\"two\",\"d\":\"two\""), QWREN_E_FORMAT, "d is not in two, nor in another shard" },
        { MAP("\"a\":\"one\",\"b\":\"two\",\"c\":\"two\""), QWREN_E_FORMAT, "b should be in two and is in one" },
        { MAP("\"a\":\"one\",\"c\":\"two\""), QWREN_E_FORMAT, "b of one is missing" },
        { MAP("\"a\":\"one\",\"b\":\"one\",\"model.c\":\"two\""), QWREN_E_FORMAT, "model.c is not in two" },
        { MAP("\"a\":\"one\",\"b\":\"one\",\"c\":\"three\""), QWREN_E_FORMAT, "b of one and b of three are the same tensor" },
    };
    put_tensors("one", "a b", 1);
    put_tensors("two", "c", 3);
    put_tensors("three", "c b", 3);
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        put(INDEX, rows[i].index);
        expect_refusal(folder, rows[i].status, rows[i].says);
        n_made--;
    }
    n_made++;
}

static void test_shard_is_a_folder(void **state)
{
    (void)state;
    assert_int_equal(mkdir(new_path("one"), 0700), 0);
    put(INDEX, MAP("\"a\":\"one\""));
    expect_refusal(folder, QWREN_E_IO, "one: is a directory");
}

/* A download cache keeps files elsewhere and links to them. */
static void test_links_are_followed(void **state)
{
    (void)state;
    put_tensors("blob", "a", 5);
    assert_int_equal(symlink("blob", new_path("model.safetensors")), 0);
    qw_weights *w = open_good(folder);
    expect_tensor(w, "a", "model.safetensors", 5);
    qw_weights_close(w);
}

/* A mapping that stays is no leak that a sanitizer sees. Where the system does not list them, nothing is looked at. */
static void test_mappings_go(void **state)
{
    (void)state;
    char line[1024];
    put_tensors("model.safetensors", "a", 5);
    qw_weights_close(open_good(folder));
    FILE *maps = fopen("/proc/self/maps", "r");
    while (maps && fgets(line, sizeof line, maps))
        assert_null(strstr(line, folder));
    if (maps)
        fclose(maps);
}

/* ---- stored checkpoints */

static void test_stored_checkpoints(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        size_t n;
        const char *name, *dtype, *shape;
    } rows[] = {
        { QW_TEST_DATA "/text/tiny-a/hf", 144, "layers.0.linear_attn.conv1d.weight", "BF16", "[256, 1, 4]" },
        { QW_TEST_DATA "/text/tiny-a/hf", 144, "layers.0.linear_attn.A_log", "F32", "[4]" },
        { QW_TEST_DATA "/text/tiny-a/hf", 144, "visual.patch_embed.proj.weight", "BF16", "[32, 3, 2, 16, 16]" },
        { QW_TEST_DATA "/text/tiny-a/hf", 144, "mtp.fc.weight", "BF16", "[128, 256]" },
        { QW_TEST_DATA "/text/tiny-b/hf", 77, "lm_head.weight", "BF16", "[512, 256]" },
        { QW_TEST_DATA "/text/tiny-c/hf", 56, "embed_tokens.weight", "F32", "[512, 64]" },
        { QW_MODELS "/qwren-nano", 103, "embed_tokens.weight", "BF16", "[4160, 256]" },
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char shape[QW_SHAPE_TEXT_BYTES];
        qw_weights *w = open_good(rows[i].path);
        assert_int_equal(qw_weights_count(w), rows[i].n);
        const qw_tensor *t = qw_weights_find(w, rows[i].name);
        assert_non_null(t);
        assert_string_equal(t->dtype, rows[i].dtype);
        assert_string_equal(qw_shape_text(shape, sizeof shape, t->n_dims, t->shape), rows[i].shape);
        for (size_t k = 0; k < qw_weights_count(w); k++)
            assert_ptr_equal(qw_weights_find(w, qw_weights_at(w, k)->name), qw_weights_at(w, k));
        qw_weights_close(w);
    }
}

/* ---- memory */

static qwren_status open_and_close(void *ctx, qwren_error *err)
{
    qw_weights *w;
    qwren_status st = qw_weights_open(&w, ctx, err);
    qw_weights_close(w);
    return st;
}

static void test_failing_memory(void **state)
{
    (void)state;
    put_tensors("one", "a b", 1);
    put_tensors("two", "c", 3);
    put(INDEX, MAP("\"a\":\"one\",\"b\":\"one\",\"c\":\"two\""));
    fault_install();
    assert_true(fault_try_all(open_and_close, folder, 1) > 20);
    fault_remove();
    assert_int_equal(remove(made[--n_made]), 0);
    assert_int_equal(rename(made[--n_made], made[0]), 0);
    assert_int_equal(rename(made[0], new_path("model-00001-of-00001.safetensors")), 0);
    fault_install();
    assert_true(fault_try_all(open_and_close, folder, 1) > 10);
    fault_remove();
}

int main(void)
{
#define TEST(fn) cmocka_unit_test_setup_teardown(fn, make_folder, remove_folder)
    const struct CMUnitTest tests[] = {
        TEST(test_single_file),
        TEST(test_lone_shard),
        TEST(test_open_file),
        TEST(test_same_tensor_twice),
        TEST(test_nothing_there),
        TEST(test_empty_file),
        TEST(test_shards),
        TEST(test_index_of_one_file),
        TEST(test_refused_indexes),
        TEST(test_shard_is_a_folder),
        TEST(test_links_are_followed),
        TEST(test_mappings_go),
        cmocka_unit_test(test_stored_checkpoints),
        TEST(test_failing_memory),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
