/* A GGUF file behind the public API: a small model made here, with the bundled model's vocabulary. The tokenizer is the same as from tokenizer.json, the
 * verbs' calls work with a file or a folder, and what is wrong in the settings is refused by its key. */
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
#include "support/fault.h"
#include "support/gguf_make.h"
#include "support/vocabulary.h"

#define NANO QW_MODELS "/qwren-nano"
#define ROWS 4160

static char folder[64], path[96], tower_path[96];
static made_lists nano;
static char *template_text;
static gguf_maker maker;

/* ---- the file */

static void put_texts(const char *key, const qw_token_text *texts, size_t n)
{
    qw_buf all = QW_BUF_INIT;
    for (size_t i = 0; i < n; i++) {
        put_64(&all, texts[i].len);
        qw_buf_append(&all, texts[i].data, texts[i].len);
    }
    set_list(&maker, key, QW_GGUF_STRING, n, qw_buf_text(&all), all.len);
    qw_buf_free(&all);
}

/* All settings but the one named, which the test then sets as it likes. */
static void begin(const char *without)
{
    gguf_free(&maker);
    maker = gguf_new();
    maker.skip = "tokenizer.ggml.tokens"; /* the small model's own */
    made_settings(&maker);
    maker.skip = without;
    set_text(&maker, "tokenizer.ggml.model", "gpt2");
    set_text(&maker, "tokenizer.ggml.pre", "qwen35");
    put_texts("tokenizer.ggml.tokens", nano.tokens, nano.lists.n_tokens);
    set_list(&maker, "tokenizer.ggml.token_type", QW_GGUF_I32, nano.lists.n_types, nano.types, nano.lists.n_types * 4);
    put_texts("tokenizer.ggml.merges", nano.merges, nano.lists.n_merges);
    set_u32(&maker, "tokenizer.ggml.padding_token_id", 4096);
    set_text(&maker, "tokenizer.chat_template", template_text);
    maker.skip = NULL;
}

static void write_to(const char *file, const gguf_maker *m)
{
    qw_buf bytes = gguf_bytes(m);
    FILE *f = fopen(file, "w");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes.data, 1, bytes.len, f), bytes.len);
    assert_int_equal(fclose(f), 0);
    qw_buf_free(&bytes);
}

static void end(uint64_t rows)
{
    add_floats(&maker, "token_embd.weight", rows, MADE_H);
    add_floats(&maker, "output_norm.weight", 0, MADE_H);
    for (int i = 0; i < 3; i++)
        made_block(&maker, i, i == 0);
    made_tensor(&maker, 2, "nextn.eh_proj.weight", MADE_H, 2 * MADE_H);
    made_tensor(&maker, 2, "nextn.enorm.weight", 0, MADE_H);
    made_tensor(&maker, 2, "nextn.hnorm.weight", 0, MADE_H);
    made_tensor(&maker, 2, "nextn.shared_head_norm.weight", 0, MADE_H);
    write_to(path, &maker);
}

static int set_up(void **state)
{
    char *json;
    size_t len;
    (void)state;
    if (qw_file_read(NANO_TOKENIZER, SIZE_MAX / 2, &json, &len, NULL) != QWREN_OK ||
        qw_file_read(NANO "/chat_template.jinja", SIZE_MAX / 2, &template_text, &len, NULL) != QWREN_OK)
        return 1;
    nano = make_lists(json, strlen(json), ROWS - 4129);
    qw_free(json);
    strcpy(folder, "/tmp/qwren-gguf-XXXXXX");
    if (!mkdtemp(folder))
        return 1;
    snprintf(path, sizeof path, "%s/model.gguf", folder);
    snprintf(tower_path, sizeof tower_path, "%s/tower.gguf", folder);
    begin(NULL);
    end(ROWS);
    return 0;
}

static int clean_up(void **state)
{
    (void)state;
    gguf_free(&maker);
    free_lists(&nano);
    qw_free(template_text);
    unlink(path);
    unlink(tower_path);
    return rmdir(folder);
}

/* ---- the same tokenizer */

static qwren_tokenizer *open_at(const char *where)
{
    qwren_tokenizer *t;
    qwren_error err;
    if (qwren_tokenizer_open(&t, where, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return t;
}

static void expect_same(const qwren_tokenizer *a, const qwren_tokenizer *b)
{
    static const char *const texts[] = { "", "What is 17 + 25?", "<|im_start|>user\nGr\xC3\xBC\xC3\x9F dich<|im_end|>",
                                         "<think>\n\n</think>", "<|fim_pad|> \xE6\xB0\xB4 \t 007 it's" };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
        for (int mode = QWREN_SPECIAL_ALL; mode <= QWREN_SPECIAL_NONE; mode++) {
            int32_t *x, *y;
            size_t n, k;
            assert_int_equal(qwren_tokenize(a, texts[i], SIZE_MAX, (qwren_special)mode, &x, &n, NULL), QWREN_OK);
            assert_int_equal(qwren_tokenize(b, texts[i], SIZE_MAX, (qwren_special)mode, &y, &k, NULL), QWREN_OK);
            assert_int_equal(n, k);
            if (n)
                assert_memory_equal(x, y, n * sizeof *x);
            qwren_free(x);
            qwren_free(y);
        }
    assert_int_equal(qwren_token_count(a), qwren_token_count(b));
    assert_int_equal(qwren_thinks_by_default(a), qwren_thinks_by_default(b));
}

static void file_folder_and_json_are_one_tokenizer(void **state)
{
    (void)state;
    qwren_tokenizer *a = open_at(path), *b = open_at(folder), *c = open_at(NANO);
    expect_same(a, c);
    expect_same(b, c);
    qwren_tokenizer_close(a);
    qwren_tokenizer_close(b);
    qwren_tokenizer_close(c);
}

static void the_template_decides_about_thinking(void **state)
{
    (void)state;
    static const struct {
        const char *tail;
        bool thinks;
    } cases[] = { { "enable_thinking is false", true }, { "enable_thinking is true", false } };
    for (size_t i = 0; i < 2; i++) {
        char text[128];
        snprintf(text, sizeof text, "{%%- if add_generation_prompt %%}{%%- if enable_thinking is defined and %s %%}", cases[i].tail);
        begin("tokenizer.chat_template");
        set_text(&maker, "tokenizer.chat_template", text);
        end(ROWS);
        qwren_tokenizer *t = open_at(path);
        assert_int_equal(qwren_thinks_by_default(t), cases[i].thinks);
        qwren_tokenizer_close(t);
    }
    begin("tokenizer.chat_template"); /* a file without one is used all the same */
    end(ROWS);
    qwren_tokenizer_close(open_at(path));
    begin(NULL);
    end(ROWS);
}

/* ---- the model */

static void it_answers(const char *where, const qwren_model_options *opt)
{
    qwren_model *m;
    qwren_session *s = NULL;
    qwren_result *r = NULL;
    qwren_error err;
    if (qwren_model_open(&m, where, opt, &err) != QWREN_OK || qwren_session_create(&s, m, NULL, &err) != QWREN_OK ||
        qwren_chat(s,
                   "{\"messages\":[{\"role\":\"user\",\"content\":\"Hello\"}],\"enable_thinking\":false,\"max_tokens\":3,\"temperature\":0,"
                   "\"presence_penalty\":0}",
                   NULL, &r, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    assert_string_equal(qwren_result_finish_reason(r), "length"); /* all logits are 0: the first token, "!", three times */
    assert_string_equal(qwren_result_content(r), "!!!");
    qwren_result_free(r);
    qwren_session_free(s);
    qwren_model_close(m);
}

static void a_file_and_its_folder_answer(void **state)
{
    (void)state;
    qwren_model_options opt = qwren_model_options_default();
    opt.mmproj = "none";
    opt.n_threads = 1;
    it_answers(path, &opt);
    it_answers(folder, &opt);
    it_answers(path, NULL);
}

static void refuse_model(const char *where, const char *mmproj, qwren_status status, const char *word)
{
    qwren_model *m = (qwren_model *)1;
    qwren_error err = { 0 };
    qwren_model_options opt = qwren_model_options_default();
    opt.mmproj = mmproj;
    qwren_status st = qwren_model_open(&m, where, &opt, &err);
    assert_null(m);
    if (st != status || !strstr(err.text, word))
        fail_msg("%s (%s) where %s with \"%s\" was expected", qwren_status_name(st), err.text, qwren_status_name(status), word);
}

static void the_tower_is_where_it_was_said_to_be(void **state)
{
    (void)state;
    qwren_model *m;
    qwren_error err = { 0 };
    qwren_model_options opt = qwren_model_options_default();
    gguf_maker tower = gguf_new();
    made_tower_settings(&tower);
    made_tower_tensors(&tower);
    write_to(tower_path, &tower);
    gguf_free(&tower);
    opt.mmproj = tower_path;
    if (qwren_model_open(&m, path, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    assert_true(qwren_model_get_info(m)->has_vision);
    qwren_model_close(m);
    unlink(tower_path);
    refuse_model(path, tower_path, QWREN_E_IO, tower_path);
    refuse_model(path, path, QWREN_E_UNSUPPORTED, "general.architecture");
    refuse_model(NANO, "none", QWREN_E_ARGUMENT, "mmproj");
}

/* ---- wrong settings */

static void refuse(qwren_status status, const char *word)
{
    qwren_tokenizer *t = (qwren_tokenizer *)1;
    qwren_error err = { 0 };
    qwren_status st = qwren_tokenizer_open(&t, path, &err);
    assert_null(t);
    if (st != status || !strstr(err.text, word) || !strstr(err.text, "model.gguf: "))
        fail_msg("%s (%s) where %s with \"%s\" was expected", qwren_status_name(st), err.text, qwren_status_name(status), word);
    refuse_model(path, NULL, status, word);
}

static void another_models_tokenizer_is_refused_by_key(void **state)
{
    (void)state;
    static const struct {
        const char *key, *value, *word;
    } texts[] = {
        { "tokenizer.ggml.model", "llama", "tokenizer.ggml.model is \"llama\"" },
        { "tokenizer.ggml.model", NULL, "has no tokenizer.ggml.model" },
        { "tokenizer.ggml.pre", "qwen2", "tokenizer.ggml.pre is \"qwen2\", which is not Qwen 3.5's (\"qwen35\")" },
        { "tokenizer.ggml.pre", "", "tokenizer.ggml.pre is \"\"" },
        { "tokenizer.ggml.pre", NULL, "has no tokenizer.ggml.pre" },
    };
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        begin(texts[i].key);
        if (texts[i].value)
            set_text(&maker, texts[i].key, texts[i].value);
        end(ROWS);
        refuse(QWREN_E_UNSUPPORTED, texts[i].word);
    }
    static const char *const unset[] = { "tokenizer.ggml.add_bos_token", "tokenizer.ggml.add_eos_token", "tokenizer.ggml.add_sep_token",
                                         "tokenizer.ggml.add_space_prefix" };
    for (size_t i = 0; i < sizeof unset / sizeof *unset; i++) {
        begin(NULL);
        set_bool(&maker, unset[i], true);
        end(ROWS);
        refuse(QWREN_E_UNSUPPORTED, unset[i]);
        begin(NULL);
        set_bool(&maker, unset[i], false);
        end(ROWS);
        qwren_tokenizer_close(open_at(path));
    }
}

static void refuse_number(const char *key, uint32_t value, const char *word)
{
    begin(key);
    set_u32(&maker, key, value);
    end(ROWS);
    refuse(QWREN_E_FORMAT, word);
}

static void wrong_kinds_of_settings_are_refused(void **state)
{
    (void)state;
    refuse_number("tokenizer.ggml.model", 3, "tokenizer.ggml.model must be a string");
    refuse_number("tokenizer.ggml.token_type", 3, "tokenizer.ggml.token_type must be a list of whole numbers");
    refuse_number("tokenizer.ggml.merges", 3, "tokenizer.ggml.merges must be a list of strings");
    refuse_number("tokenizer.ggml.padding_token_id", 4129, "tokenizer.ggml.padding_token_id must be the id of a token, 0 to 4128");
    refuse_number("tokenizer.chat_template", 1, "tokenizer.chat_template must be a string");
    begin("tokenizer.ggml.token_type");
    end(ROWS);
    refuse(QWREN_E_FORMAT, "tokenizer.ggml.token_type must be a list");
    begin("tokenizer.ggml.token_type");
    set_list(&maker, "tokenizer.ggml.token_type", QW_GGUF_I32, 4128, nano.types, 4128 * sizeof *nano.types);
    end(ROWS);
    refuse(QWREN_E_FORMAT, "tokenizer.ggml.tokens has 4160 elements, but tokenizer.ggml.token_type 4128");
    begin(NULL);
    end(4128);
    refuse(QWREN_E_FORMAT, "token_embd.weight");
    begin(NULL);
    end(ROWS);
}

/* ---- memory */

static qwren_status open_and_close(void *ctx, qwren_error *err)
{
    qwren_tokenizer *t;
    qwren_status st = qwren_tokenizer_open(&t, ctx, err);
    qwren_tokenizer_close(t);
    return st;
}

static qwren_status open_model(void *ctx, qwren_error *err)
{
    qwren_model *m;
    qwren_model_options opt = qwren_model_options_default();
    opt.config_only = true;
    qwren_status st = qwren_model_open(&m, ctx, &opt, err);
    qwren_model_close(m);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(open_and_close, path, 1) > 10);
    assert_true(fault_try_all(open_model, folder, 1) > 20);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(file_folder_and_json_are_one_tokenizer),
        cmocka_unit_test(the_template_decides_about_thinking),
        cmocka_unit_test(a_file_and_its_folder_answer),
        cmocka_unit_test(the_tower_is_where_it_was_said_to_be),
        cmocka_unit_test(another_models_tokenizer_is_refused_by_key),
        cmocka_unit_test(wrong_kinds_of_settings_are_refused),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
