/* Section 4 of qwren.h: a checkpoint's folder, text -> ids -> text, and whether it thinks by default. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "qwren.h"
#include "support/fault.h"

#define NANO QW_MODELS "/qwren-nano"

/* ---- a folder with files of a test's own */

static char folder[] = "/tmp/qwren-tokenizer-XXXXXX";
static const char *const names[] = { "tokenizer.json", "tokenizer_config.json", "chat_template.jinja", "config.json" };

static char *path_of(const char *name)
{
    char *path = qw_path_join(folder, name);
    assert_non_null(path);
    return path;
}

static void put(const char *name, const char *text, size_t len)
{
    char *path = path_of(name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(text, 1, len, f), len);
    assert_int_equal(fclose(f), 0);
    qw_free(path);
}

static void put_text(const char *name, const char *text) { put(name, text, strlen(text)); }

static void drop(const char *name)
{
    char *path = path_of(name);
    unlink(path);
    qw_free(path);
}

/* Before each test: a folder that holds the bundled tokenizer.json and nothing else. */
static int make_folder(void **state)
{
    char *text;
    size_t len;
    (void)state;
    strcpy(strchr(folder, '-') + 1, "tokenizer-XXXXXX");
    if (!mkdtemp(folder) || qw_file_read(NANO "/tokenizer.json", SIZE_MAX / 2, &text, &len, NULL) != QWREN_OK)
        return 1;
    put("tokenizer.json", text, len);
    qw_free(text);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        drop(names[i]);
    return rmdir(folder);
}

static qwren_tokenizer *open_at(const char *dir)
{
    qwren_tokenizer *t;
    qwren_error err;
    if (qwren_tokenizer_open(&t, dir, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return t;
}

static bool thinks(void)
{
    qwren_tokenizer *t = open_at(folder);
    bool answer = qwren_thinks_by_default(t);
    qwren_tokenizer_close(t);
    return answer;
}

#define THINKING "{%- if add_generation_prompt %}{%- if enable_thinking is defined and enable_thinking is false %}"
#define NOT_THINKING "{%- if add_generation_prompt %}{%- if enable_thinking is defined and enable_thinking is true %}"

static void thinking_is_read_off_the_template(void **state)
{
    (void)state;
    assert_false(thinks());
    put_text("tokenizer_config.json", "{\"chat_template\": \"" THINKING "\"}");
    assert_true(thinks());
    put_text("tokenizer_config.json", "{\"chat_template\": [{\"name\": \"rag\", \"template\": \"" NOT_THINKING "\"}, "
                                      "{\"name\": \"default\", \"template\": \"" THINKING "\"}]}");
    assert_true(thinks());
    put_text("chat_template.jinja", NOT_THINKING); /* the file wins */
    assert_false(thinks());
    put_text("chat_template.jinja", THINKING);
    put_text("tokenizer_config.json", "{}");
    assert_true(thinks());
}

static void a_vocabulary_that_the_model_has_no_rows_for_is_refused(void **state)
{
    qwren_tokenizer *t;
    qwren_error err;
    (void)state;
    put_text("config.json", "{\"text_config\": {\"vocab_size\": 4129}}");
    qwren_tokenizer_close(open_at(folder));
    put_text("config.json", "{\"vocab_size\": 4128}");
    assert_int_equal(qwren_tokenizer_open(&t, folder, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "vocab_size 4128"));
    assert_null(t);
    put_text("config.json", "{");
    assert_int_equal(qwren_tokenizer_open(&t, folder, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "config.json"));
    drop("config.json");
    drop("tokenizer.json");
    assert_int_equal(qwren_tokenizer_open(&t, folder, &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "tokenizer.json"));
}

/* ---- text and ids */

static void text_becomes_ids_and_text_again(void **state)
{
    static const char text[] = "<|im_start|>Gr\xC3\xBC\xC3\x9F"
                               "e \xF0\x9F\x98\x80<|im_end|>";
    qwren_tokenizer *t = open_at(NANO);
    int32_t *ids;
    size_t n, len;
    char *back;
    (void)state;
    assert_int_equal(qwren_tokenize(t, text, SIZE_MAX, QWREN_SPECIAL_ALL, &ids, &n, NULL), QWREN_OK);
    assert_int_equal(ids[0], qwren_token_id(t, "<|im_start|>"));
    assert_int_equal(ids[n - 1], qwren_token_id(t, "<|im_end|>"));
    assert_int_equal(qwren_detokenize(t, ids, n, false, &back, &len, NULL), QWREN_OK);
    assert_string_equal(back, text);
    assert_int_equal(len, strlen(text));
    qwren_free(back);
    assert_int_equal(qwren_detokenize(t, ids, n, true, &back, NULL, NULL), QWREN_OK);
    assert_string_equal(back, "Gr\xC3\xBC\xC3\x9F"
                              "e \xF0\x9F\x98\x80");
    qwren_free(back);
    qwren_free(ids);
    assert_int_equal(qwren_token_count(t), 4129);
    assert_int_equal(qwren_token_id(t, "a"), -1);
    qwren_tokenizer_close(t);
    qwren_tokenizer_close(NULL);
}

static void nothing_becomes_nothing(void **state)
{
    qwren_tokenizer *t = open_at(NANO);
    int32_t *ids;
    size_t n = 7, len = 7;
    char *back;
    (void)state;
    assert_int_equal(qwren_tokenize(t, "", 0, QWREN_SPECIAL_ALL, &ids, &n, NULL), QWREN_OK);
    assert_int_equal(n, 0);
    assert_int_equal(qwren_detokenize(t, ids, n, false, &back, &len, NULL), QWREN_OK);
    assert_string_equal(back, "");
    assert_int_equal(len, 0);
    qwren_free(back);
    qwren_free(ids);
    qwren_tokenizer_close(t);
}

static void wrong_arguments_leave_nothing_behind(void **state)
{
    qwren_tokenizer *t = open_at(NANO);
    int32_t bad[1] = { 4129 }, *ids = bad;
    size_t n = 7, len = 7;
    char *back = folder;
    qwren_error err;
    (void)state;
    assert_int_equal(qwren_tokenize(t, "a", 1, (qwren_special)9, &ids, &n, &err), QWREN_E_ARGUMENT);
    assert_true(ids == NULL && n == 0);
    assert_int_equal(qwren_detokenize(t, bad, 1, false, &back, &len, &err), QWREN_E_ARGUMENT);
    assert_true(back == NULL && len == 0);
    assert_non_null(strstr(err.text, "id 4129 has no token"));
    qwren_tokenizer_close(t);
}

/* ---- memory */

static qwren_status whole_use(void *ctx, qwren_error *err)
{
    qwren_tokenizer *t;
    int32_t *ids = NULL;
    size_t n, len;
    char *back = NULL;
    (void)ctx;
    qwren_status st = qwren_tokenizer_open(&t, folder, err);
    if (st == QWREN_OK)
        st = qwren_tokenize(t, "e\xCC\x81 text", SIZE_MAX, QWREN_SPECIAL_ALL, &ids, &n, err);
    if (st == QWREN_OK)
        st = qwren_detokenize(t, ids, n, false, &back, &len, err);
    qwren_free(back);
    qwren_free(ids);
    qwren_tokenizer_close(t);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    put_text("tokenizer_config.json", "{\"chat_template\": \"" THINKING "\"}");
    put_text("config.json", "{\"vocab_size\": 4160}");
    fault_install();
    size_t runs = fault_try_all(whole_use, NULL, 1);
    fault_remove();
    assert_true(runs > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(thinking_is_read_off_the_template, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(a_vocabulary_that_the_model_has_no_rows_for_is_refused, make_folder, remove_folder),
        cmocka_unit_test(text_becomes_ids_and_text_again),
        cmocka_unit_test(nothing_becomes_nothing),
        cmocka_unit_test(wrong_arguments_leave_nothing_behind),
        cmocka_unit_test_setup_teardown(every_allocation_may_fail, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
