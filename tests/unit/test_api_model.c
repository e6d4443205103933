/* qwren_model: opening, describing, refusing. On the bundled model and on damaged copies of it. */
#include "support/nano.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "support/fault.h"

/* A directory that holds the bundled model's files but for `leave_out`, as links; removed by remove_copy(). */
static const char *const files[] = { "config.json",         "model.safetensors",        "tokenizer.json",        "tokenizer_config.json",
                                     "chat_template.jinja", "preprocessor_config.json", "generation_config.json" };
static char copy[64];

static void make_copy(const char *leave_out)
{
    char from[1024], to[1024];
    strcpy(copy, "/tmp/qwren-test-XXXXXX");
    assert_non_null(mkdtemp(copy));
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(from, sizeof from, "%s/%s", NANO, files[i]);
        snprintf(to, sizeof to, "%s/%s", copy, files[i]);
        if (!leave_out || strcmp(files[i], leave_out) != 0)
            assert_int_equal(symlink(from, to), 0);
    }
}

static void write_file(const char *name, const char *text)
{
    char path[1024];
    snprintf(path, sizeof path, "%s/%s", copy, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
}

static void remove_copy(void)
{
    char path[1024];
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        snprintf(path, sizeof path, "%s/%s", copy, files[i]);
        unlink(path);
    }
    assert_int_equal(rmdir(copy), 0);
}

static void refused(const char *path, const qwren_model_options *opt, qwren_status status, const char *word)
{
    qwren_model *m = (qwren_model *)1;
    qwren_error err = { 0 };
    qwren_status st = qwren_model_open(&m, path, opt, &err);
    assert_null(m);
    if (st != status || !strstr(err.text, word))
        fail_msg("%s (%s) where %s with \"%s\" was expected", qwren_status_name(st), err.text, qwren_status_name(status), word);
}

/* ----------------------------------------------------------------------------------------------------- description */

static void info_tells_the_shape(void **state)
{
    (void)state;
    qwren_model *m = nano_open(1);
    const qwren_model_info *i = qwren_model_get_info(m);
    assert_string_equal(i->path, NANO);
    assert_string_equal(i->architecture, "Qwen3_5ForConditionalGeneration");
    assert_string_equal(i->size_name, "custom");
    assert_int_equal(i->n_attention_layers + i->n_delta_layers, i->n_layers);
    assert_true(i->hidden_size > 0 && i->vocab_size >= qwren_token_count(qwren_model_tokenizer(m)));
    assert_true(i->has_vision && i->has_mtp && i->tied_embeddings);
    assert_true(i->patch_size == 16 && i->merge_size == 2 && i->min_pixels > 0 && i->max_pixels >= i->min_pixels);
    uint64_t n = 0, bytes = 0;
    qwren_tensor_info t;
    for (size_t k = 0; k < i->n_tensors; k++) {
        assert_true(qwren_model_get_tensor(m, k, &t));
        assert_true(t.name && t.type && t.file && t.part && t.n_dims > 0);
        uint64_t elements = 1;
        for (int d = 0; d < t.n_dims; d++)
            elements *= t.shape[d];
        n += elements;
        bytes += t.n_bytes;
    }
    assert_int_equal(n, i->n_parameters);
    assert_int_equal(bytes, i->n_bytes);
    assert_int_equal(i->n_parameters_text + i->n_parameters_vision + i->n_parameters_mtp, i->n_parameters);
    assert_true(i->n_parameters_text > 0 && i->n_parameters_vision > 0 && i->n_parameters_mtp > 0);
    assert_int_equal(i->n_bytes_text + i->n_bytes_vision + i->n_bytes_mtp, i->n_bytes);
    assert_string_equal(i->format, "Hugging Face");
    assert_null(i->recipe);
    assert_true(i->bits_per_weight == 16 && i->bits_per_weight_text == 16 && i->bits_per_weight_mtp == 16);
    assert_false(qwren_model_get_tensor(m, i->n_tensors, &t));
    assert_false(qwren_model_get_tensor(m, SIZE_MAX, &t));
    qwren_model_close(m);
}

static void memory_grows_with_the_context(void **state)
{
    (void)state;
    qwren_model *m = nano_open(1);
    qwren_memory_info a, b;
    qwren_error err = { 0 };
    assert_int_equal(qwren_model_get_memory(m, 1000, QWREN_KV_DEFAULT, &a, NULL), QWREN_OK);
    assert_int_equal(qwren_model_get_memory(m, 2000, QWREN_KV_F16, &b, NULL), QWREN_OK);
    assert_true(b.kv_bytes > a.kv_bytes);
    assert_int_equal(b.state_bytes, a.state_bytes);
    assert_true(a.total_bytes >= a.kv_bytes + a.state_bytes + a.scratch_bytes);
    assert_int_equal(qwren_model_get_memory(m, SIZE_MAX, QWREN_KV_DEFAULT, &a, &err), QWREN_E_LIMIT);
    assert_int_equal(a.total_bytes, 0);
    assert_int_equal(qwren_model_get_memory(m, 2000, QWREN_KV_F32, &a, NULL), QWREN_OK);
    assert_int_equal(a.kv_bytes, 2 * b.kv_bytes);
    assert_int_equal(qwren_model_get_memory(m, 2000, QWREN_KV_Q8, &a, NULL), QWREN_OK);
    assert_true(a.kv_bytes < b.kv_bytes && 2 * a.kv_bytes > b.kv_bytes);
    assert_int_equal(qwren_model_get_memory(m, 2000, QWREN_KV_Q4 + 1, &a, &err), QWREN_E_ARGUMENT);
    qwren_model_close(m);
}

static void a_model_is_not_opened_for_an_unknown_level(void **state)
{
    (void)state;
    setenv("QWREN_CPU", "abacus", 1);
    refused(NANO, NULL, QWREN_E_ARGUMENT, "QWREN_CPU is \"abacus\"");
    unsetenv("QWREN_CPU");
}

static void numbers_need_no_tokenizer(void **state)
{
    (void)state;
    qwren_model *m = NULL;
    qwren_session *s = NULL;
    qwren_result *r = NULL;
    qwren_error err = { 0 };
    qwren_model_options opt = qwren_model_options_default();
    opt.no_tokenizer = true;
    make_copy("tokenizer.json");
    if (qwren_model_open(&m, copy, &opt, &err) != QWREN_OK || qwren_session_create(&s, m, NULL, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    assert_null(qwren_model_tokenizer(m));
    assert_int_equal(qwren_session_eval(s, (const int32_t[]){ 1, 2, 3 }, 3, NULL, 0, NULL, NULL, &err), QWREN_OK);
    assert_non_null(qwren_session_logits(s));
    assert_int_equal(qwren_chat(s, "{\"messages\":[{\"role\":\"user\",\"content\":\"Hi\"}]}", NULL, &r, &err), QWREN_E_ARGUMENT);
    assert_non_null(strstr(err.text, "no_tokenizer"));
    qwren_session_free(s);
    qwren_model_close(m);
    remove_copy();
}

static void inspection_needs_no_tokenizer(void **state)
{
    (void)state;
    qwren_model *m = NULL;
    qwren_error err = { 0 };
    qwren_model_options opt = qwren_model_options_default();
    opt.config_only = true;
    make_copy("tokenizer.json");
    if (qwren_model_open(&m, copy, &opt, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    assert_true(qwren_model_get_info(m)->n_parameters > 0);
    assert_null(qwren_model_tokenizer(m));
    qwren_model_close(m);
    refused(copy, NULL, QWREN_E_IO, "tokenizer.json");
    remove_copy();
}

/* --------------------------------------------------------------------------------------------------------- refusals */

static bool never(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    (void)what;
    assert_true(done <= total);
    ++*(int *)ctx;
    return false;
}

static void positions_are_stretched(void **state)
{
    (void)state;
    qwren_error err = { 0 };
    qwren_model *m;
    qwren_model_options opt = qwren_model_options_default();
    opt.config_only = true;
    assert_int_equal(qwren_model_open(&m, NANO, &opt, &err), QWREN_OK);
    const int trained = qwren_model_get_info(m)->max_positions;
    assert_true(qwren_model_get_info(m)->yarn_factor == 1 && qwren_model_get_info(m)->trained_positions == trained);
    qwren_model_close(m);
    opt.yarn_factor = 2.5;
    assert_int_equal(qwren_model_open(&m, NANO, &opt, &err), QWREN_OK);
    assert_true(qwren_model_get_info(m)->yarn_factor == 2.5 && qwren_model_get_info(m)->trained_positions == trained);
    assert_int_equal(qwren_model_get_info(m)->max_positions, trained * 5 / 2);
    qwren_model_close(m);
}

static void wrong_calls_are_told(void **state)
{
    (void)state;
    int calls = 0;
    qwren_model_options opt = qwren_model_options_default();
    refused(NULL, NULL, QWREN_E_ARGUMENT, "path");
    refused("/no/model", NULL, QWREN_E_IO, "/no/model");
    refused(NANO "/config.json", NULL, QWREN_E_FORMAT, "a model is a .gguf file, or a folder with config.json");
    opt.n_threads = -1;
    refused(NANO, &opt, QWREN_E_ARGUMENT, "n_threads");
    const double wrong[] = { 0.5, -1, 4.5, (double)NAN };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        opt = qwren_model_options_default();
        opt.yarn_factor = wrong[i];
        refused(NANO, &opt, QWREN_E_ARGUMENT, "give a number from 1 to 4, or 0 for what the files say");
    }
    opt = (qwren_model_options){ 0 };
    refused(NANO, &opt, QWREN_E_ARGUMENT, "qwren_model_options");
    opt = qwren_model_options_default();
    opt.progress = never;
    opt.progress_ctx = &calls;
    refused(NANO, &opt, QWREN_E_CANCELLED, NANO);
    assert_int_equal(calls, 1);
    qwren_model_close(NULL);
}

static void missing_and_foreign_files_are_told(void **state)
{
    (void)state;
    static const char *const needed[] = { "config.json", "model.safetensors", "tokenizer.json" };
    for (size_t i = 0; i < sizeof needed / sizeof *needed; i++) {
        make_copy(needed[i]);
        refused(copy, NULL, QWREN_E_IO, needed[i]);
        write_file(needed[i], "{");
        refused(copy, NULL, QWREN_E_FORMAT, needed[i]);
        remove_copy();
    }
}

/* Files that are each right, and do not belong together. */
static void files_of_different_models_are_told(void **state)
{
    (void)state;
    static const struct {
        const char *file, *find, *replace, *word;
    } lies[] = {
        { "tokenizer.json", "\"<|im_end|>\"", "\"<|im_last|>\"", "<|im_end|>" },
        { "config.json", "\"image_token_id\": ", "\"image_token_id\": 1", "image_token_id" },
        { "config.json", "\"depth\": 2", "\"depth\": 1", "vision_config.depth" },
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        char path[1024], *text = NULL;
        size_t len = 0;
        snprintf(path, sizeof path, "%s/%s", NANO, lies[i].file);
        assert_int_equal(qw_file_read(path, 1 << 24, &text, &len, NULL), QWREN_OK);
        char *at = strstr(text, lies[i].find);
        if (!at)
            fail_msg("%s holds no %s", lies[i].file, lies[i].find);
        qw_buf b = QW_BUF_INIT;
        qw_buf_append(&b, text, (size_t)(at - text));
        qw_buf_puts(&b, lies[i].replace);
        qw_buf_puts(&b, at + strlen(lies[i].find));
        make_copy(lies[i].file);
        write_file(lies[i].file, qw_buf_text(&b));
        refused(copy, NULL, QWREN_E_FORMAT, lies[i].word);
        remove_copy();
        qw_buf_free(&b);
        qw_free(text);
    }
}

/* --------------------------------------------------------------------------------------------------------- memory */

static qwren_status try_open(void *ctx, qwren_error *err)
{
    (void)ctx;
    qwren_model *m = NULL;
    qwren_model_options opt = qwren_model_options_default();
    opt.n_threads = 1;
    qwren_status st = qwren_model_open(&m, NANO, &opt, err);
    assert_true((st == QWREN_OK) == (m != NULL));
    qwren_model_close(m);
    return st;
}

/* The JSON of tokenizer and config takes tens of thousands of pieces: a prime step tries a part of them. */
static void memory_may_run_short(void **state)
{
    (void)state;
    fault_install();
    assert_int_equal(try_open(NULL, NULL), QWREN_OK);
    size_t step = fault_calls() / 200 + 1;
    assert_true(fault_try_all(try_open, NULL, step) > 20);
    fault_remove();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(info_tells_the_shape),
        cmocka_unit_test(memory_grows_with_the_context),
        cmocka_unit_test(inspection_needs_no_tokenizer),
        cmocka_unit_test(positions_are_stretched),
        cmocka_unit_test(wrong_calls_are_told),
        cmocka_unit_test(missing_and_foreign_files_are_told),
        cmocka_unit_test(files_of_different_models_are_told),
        cmocka_unit_test(numbers_need_no_tokenizer),
        cmocka_unit_test(a_model_is_not_opened_for_an_unknown_level),
        cmocka_unit_test(memory_may_run_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
