/* Opening a tokenizer: what is accepted, and that everything else is refused with the key's name. The files are the bundled model's with one
 * place changed, or small ones made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <string.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/utf8.h"
#include "support/fault.h"
#include "support/vocabulary.h"

static char *nano; /* the text of the bundled tokenizer.json */

static int read_nano(void **state)
{
    size_t len;
    (void)state;
    return qw_file_read(NANO_TOKENIZER, SIZE_MAX / 2, &nano, &len, NULL) != QWREN_OK;
}

static int free_nano(void **state)
{
    (void)state;
    qw_free(nano);
    return 0;
}

static qwren_status parse(qw_tokenizer **out, const char *json, const char *config, qwren_error *err)
{
    return qw_tokenizer_parse(out, json, strlen(json), config, config ? strlen(config) : 0, "t.json", err);
}

/* nano with the first `from` behind the text `behind` replaced. */
static char *changed(const char *behind, const char *from, const char *to)
{
    qw_buf b = QW_BUF_INIT;
    const char *section = strstr(nano, behind);
    assert_non_null(section);
    const char *at = strstr(section, from);
    assert_non_null(at);
    qw_buf_append(&b, nano, (size_t)(at - nano));
    qw_buf_puts(&b, to);
    qw_buf_puts(&b, at + strlen(from));
    char *text;
    assert_int_equal(qw_buf_take(&b, &text, NULL, NULL), QWREN_OK);
    return text;
}

static void expect_refusal(const char *json, const char *config, qwren_status status, const char *word)
{
    qw_tokenizer *t = (qw_tokenizer *)(uintptr_t)1;
    qwren_error err = { QWREN_OK, "" };
    qwren_status st = parse(&t, json, config, &err);
    if (st != status || !strstr(err.text, word))
        fail_msg("want %s with \"%s\", got %s: %s", qwren_status_name(status), word, qwren_status_name(st), err.text);
    assert_null(t);
}

/* ---- another model's tokenizer */

static void another_model_is_refused_by_key(void **state)
{
    (void)state;
    static const struct {
        const char *behind, *from, *to, *key;
    } cases[] = {
        { "\"normalizer\"", "\"NFC\"", "\"NFKC\"", "normalizer.type is \"NFKC\"" },
        { "\"normalizer\"", "\"type\"", "\"kind\"", "normalizer.type is missing" },
        { "\"pre_tokenizer\"", "\"Sequence\"", "\"ByteLevel\"", "pre_tokenizer.type" },
        { "\"pre_tokenizer\"", "\"Split\"", "\"Digits\"", "pre_tokenizer.pretokenizers.0.type" },
        { "\"Regex\"", "\\\\p{M}", "", "pre_tokenizer.pretokenizers.0.pattern.Regex" },
        { "\"pre_tokenizer\"", "\"Isolated\"", "\"Removed\"", "pre_tokenizer.pretokenizers.0.behavior" },
        { "\"pre_tokenizer\"", "\"invert\": false", "\"invert\": true", "pre_tokenizer.pretokenizers.0.invert" },
        { "\"invert\"", "\"ByteLevel\"", "\"Metaspace\"", "pre_tokenizer.pretokenizers.1.type" },
        { "\"invert\"", "\"add_prefix_space\": false", "\"add_prefix_space\": true", "pre_tokenizer.pretokenizers.1.add_prefix_space" },
        { "\"invert\"", "\"use_regex\": false", "\"x\": 0", "pre_tokenizer.pretokenizers.1.use_regex is missing" },
        { "\"post_processor\"", "\"ByteLevel\"", "\"TemplateProcessing\"", "post_processor.type" },
        { "\"decoder\"", "\"ByteLevel\"", "\"WordPiece\"", "decoder.type" },
        { "\"model\"", "\"BPE\"", "\"Unigram\"", "model.type" },
        { "\"model\"", "\"dropout\": null", "\"dropout\": 0.1", "model.dropout" },
        { "\"model\"", "\"unk_token\": null", "\"unk_token\": \"<unk>\"", "model.unk_token" },
        { "\"model\"", "\"continuing_subword_prefix\": \"\"", "\"continuing_subword_prefix\": \"##\"", "model.continuing_subword_prefix" },
        { "\"model\"", "\"end_of_word_suffix\": \"\"", "\"end_of_word_suffix\": \"</w>\"", "model.end_of_word_suffix" },
        { "\"model\"", "\"byte_fallback\": false", "\"byte_fallback\": true", "model.byte_fallback" },
        { "\"model\"", "\"ignore_merges\": false", "\"ignore_merges\": true", "model.ignore_merges" },
        { "\"added_tokens\"", "\"lstrip\": false", "\"lstrip\": true", "added_tokens: \"<|endoftext|>\" has lstrip" },
        { "\"added_tokens\"", "\"rstrip\": false", "\"rstrip\": true", "has rstrip" },
        { "\"added_tokens\"", "\"single_word\": false", "\"single_word\": true", "has single_word" },
        { "\"added_tokens\"", "\"normalized\": false", "\"normalized\": true", "has normalized" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *json = changed(cases[i].behind, cases[i].from, cases[i].to);
        expect_refusal(json, NULL, QWREN_E_UNSUPPORTED, cases[i].key);
        qw_free(json);
    }
    expect_refusal(nano, "{\"add_bos_token\": true}", QWREN_E_UNSUPPORTED, "tokenizer_config.json: add_bos_token");
    expect_refusal(nano, "{\"add_prefix_space\": true}", QWREN_E_UNSUPPORTED, "add_prefix_space");
}

static void a_damaged_vocabulary_is_refused_by_place(void **state)
{
    (void)state;
    static const struct {
        const char *behind, *from, *to, *key;
    } cases[] = {
        { "\"vocab\"", "\"!\": 0", "\"!\": 4096", "model.vocab: the ids must be 0 to 4095" },
        { "\"vocab\"", "\"!\": 0", "\"!\": 1", "each once" },
        { "\"vocab\"", "\"!\": 0", "\"!\": \"0\"", "model.vocab" },
        { "\"vocab\"", "\"!\": 0", "\"!\": -1", "model.vocab" },
        { "\"vocab\"", "\"!\": 0", "\"\": 0", "token 0 is empty" },
        { "\"vocab\"", "\"!\": 0", "\"!\\u0000\": 0", "holds a NUL" },
        { "\"vocab\"", "\"!\": 0", "\"!!!!!!!!!!!!!!!\": 0", "single byte 0x21" },
        { "\"vocab\"", "\"!\": 0", "\"\\u6c34\": 0", "byte-level alphabet" },
        { "\"vocab\"", "\"!\": 0", "\" \": 0", "byte-level alphabet" },
        { "\"merges\"", "\"i n\"", "\"in\"", "model.merges[2] must be" },
        { "\"merges\"", "\"i n\"", "[\"i\", \"n\", \"g\"]", "model.merges[2] must be" },
        { "\"merges\"", "\"i n\"", "[\"i\", 1]", "model.merges[2] must be" },
        { "\"merges\"", "\"i n\"", "7", "model.merges[2] must be" },
        { "\"merges\"", "\"i n\"", "\"i\\u0000 n\"", "model.merges[2] must be" },
        { "\"merges\"", "\"i n\"", "\"i n g\"", "not in model.vocab" },
        { "\"merges\"", "\"i n\"", "\"in zzqz\"", "model.merges[2] joins to \"inzzqz\"" },
        { "\"added_tokens\"", "\"id\": 4097", "\"id\": 4096", "id 4096 is both" },
        { "\"added_tokens\"", "\"id\": 4096", "\"id\": 4000", "where model.vocab ends (4096)" },
        { "\"added_tokens\"", "\"id\": 4128", "\"id\": 4200", "without a gap" },
        { "\"added_tokens\"", "\"id\": 4096", "\"id\": \"4096\"", "needs an id" },
        { "\"added_tokens\"", "\"<|endoftext|>\"", "\"the\"", "\"the\" stands in model.vocab" },
        { "\"added_tokens\"", "\"<|endoftext|>\"", "\"\"", "a content that is not empty" },
        { "\"added_tokens\"", "\"<|endoftext|>\"", "\"<|im_end|>\"", "has two ids" },
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        char *json = changed(cases[i].behind, cases[i].from, cases[i].to);
        expect_refusal(json, NULL, QWREN_E_FORMAT, cases[i].key);
        qw_free(json);
    }
    expect_refusal("[]", NULL, QWREN_E_UNSUPPORTED, "model.type is missing");
    expect_refusal("{", NULL, QWREN_E_FORMAT, "t.json");
    expect_refusal(nano, "{", QWREN_E_FORMAT, "tokenizer_config.json");
}

/* ---- small tokenizers, made here */

#define SETTINGS                                                                                                                    \
  "{\"normalizer\":{\"type\":\"NFC\"},\"pre_tokenizer\":{\"type\":\"Sequence\",\"pretokenizers\":[{\"type\":\"Split\",\"pattern\":" \
  "{\"Regex\":\"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\\\r\\\\n\\\\p{L}\\\\p{N}]?[\\\\p{L}\\\\p{M}]+|\\\\p{N}| "                          \
  "?[^\\\\s\\\\p{L}\\\\p{M}\\\\p{N}]+[\\\\r\\\\n]*|\\\\s*[\\\\r\\\\n]+|\\\\s+(?!\\\\S)|\\\\s+\"},\"behavior\":\"Isolated\"},"       \
  "{\"type\":\"ByteLevel\",\"add_prefix_space\":false,\"use_regex\":false}]},\"decoder\":{\"type\":\"ByteLevel\"},"

/* The 256 bytes, then the tokens of `more` ("\"ab\":256,..."), its merges and added tokens. */
static char *small(const char *more, const char *merges, const char *added)
{
    qw_buf b = QW_BUF_INIT;
    uint32_t extra = 0x100;
    qw_buf_puts(&b, SETTINGS "\"model\":{\"type\":\"BPE\",\"vocab\":{");
    for (uint32_t c = 0; c < 256; c++) {
        bool itself = (c > 0x20 && c < 0x7F) || (c > 0xA0 && c != 0xAD);
        char utf8[5] = "";
        qw_utf8_encode(itself ? c : extra++, utf8);
        qw_buf_printf(&b, "\"%s%s\":%u,", c == '"' || c == '\\' ? "\\" : "", utf8, c);
    }
    qw_buf_printf(&b, "%s},\"merges\":[%s]},\"added_tokens\":[%s]}", more, merges, added);
    char *text;
    assert_int_equal(qw_buf_take(&b, &text, NULL, NULL), QWREN_OK);
    return text;
}

static qw_tokenizer *open_small(const char *more, const char *merges, const char *added, const char *config)
{
    qw_tokenizer *t;
    qwren_error err;
    char *json = small(more, merges, added);
    if (parse(&t, json, config, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    qw_free(json);
    return t;
}

static void expect_ids(const qw_tokenizer *t, const char *text, qwren_special mode, const char *want)
{
    qw_ids ids = QW_IDS_INIT;
    qw_buf got = QW_BUF_INIT;
    assert_int_equal(qw_tokenizer_encode(t, text, strlen(text), mode, NULL, 0, &ids, NULL), QWREN_OK);
    for (size_t i = 0; i < ids.n; i++)
        qw_buf_printf(&got, i ? " %d" : "%d", ids.data[i]);
    assert_string_equal(qw_buf_text(&got), want);
    qw_buf_free(&got);
    qw_ids_free(&ids);
}

static void both_notations_of_merges_give_the_same(void **state)
{
    (void)state;
    qw_tokenizer *a = open_small("\"ab\":256,\"abc\":257", "\"a b\",\"ab c\"", "", NULL);
    qw_tokenizer *b = open_small("\"ab\":256,\"abc\":257", "[\"a\",\"b\"],[\"ab\",\"c\"]", "", NULL);
    expect_ids(a, "abcab", QWREN_SPECIAL_ALL, "257 256");
    expect_ids(b, "abcab", QWREN_SPECIAL_ALL, "257 256");
    qw_tokenizer_close(a);
    qw_tokenizer_close(b);
}

/* The place in the list decides, not the id; and of a pair that stands there twice, the later place. */
static void rank_is_the_place_in_the_list(void **state)
{
    (void)state;
    qw_tokenizer *t = open_small("\"ab\":256,\"bc\":257", "\"b c\",\"a b\"", "", NULL);
    expect_ids(t, "abc", QWREN_SPECIAL_ALL, "97 257");
    qw_tokenizer_close(t);
    t = open_small("\"ab\":256,\"bc\":257", "\"b c\",\"a b\",\"b c\"", "", NULL);
    expect_ids(t, "abc", QWREN_SPECIAL_ALL, "256 99");
    qw_tokenizer_close(t);
}

static void a_vocabulary_without_merges_and_added_tokens(void **state)
{
    (void)state;
    qw_tokenizer *t = open_small("\"ab\":256", "", "", "{\"added_tokens_decoder\": {}, \"eos_token\": \"x\"}");
    assert_int_equal(qw_tokenizer_count(t), 257);
    expect_ids(t, "ab", QWREN_SPECIAL_ALL, "97 98");
    qw_tokenizer_close(t);
}

static void the_longest_added_token_wins(void **state)
{
    (void)state;
    qw_tokenizer *t = open_small(
        "\"ab\":256", "\"a b\"",
        "{\"id\":257,\"content\":\"<a>\"},{\"id\":259,\"content\":\"<a><c\",\"special\":true},{\"id\":258,\"content\":\"<c\"}", NULL);
    expect_ids(t, "<a><cab<c<a>", QWREN_SPECIAL_ALL, "259 256 258 257");
    expect_ids(t, "<a><d", QWREN_SPECIAL_ALL, "257 60 100");
    /* as the reference: the one that does not count hides those inside it */
    expect_ids(t, "x<a><c", QWREN_SPECIAL_SOME, "120 60 97 62 60 99");
    expect_ids(t, "<c", QWREN_SPECIAL_NONE, "60 99");
    assert_true(qw_tokenizer_is_special(t, 259) && !qw_tokenizer_is_special(t, 257));
    qw_tokenizer_close(t);
}

static void the_config_adds_tokens_and_says_which_are_special(void **state)
{
    (void)state;
    qw_tokenizer *t = open_small(
        "\"ab\":256", "", "{\"id\":257,\"content\":\"<x>\",\"special\":false}",
        "{\"added_tokens_decoder\":{\"258\":{\"content\":\"<y>\",\"special\":false},\"257\":{\"content\":\"<x>\",\"special\":true}}}");
    assert_int_equal(qw_tokenizer_count(t), 259);
    expect_ids(t, "<x><y>", QWREN_SPECIAL_ALL, "257 258");
    assert_true(qw_tokenizer_is_special(t, 257) && !qw_tokenizer_is_special(t, 258));
    qw_tokenizer_close(t);
}

static void a_config_that_contradicts_is_refused(void **state)
{
    (void)state;
    static const char *const configs[][2] = {
        { "{\"added_tokens_decoder\":{\"257\":{\"content\":\"<z>\"}}}", "id 257 is both \"<x>\" and \"<z>\"" },
        { "{\"added_tokens_decoder\":{\"258\":{\"content\":\"<x>\"}}}", "\"<x>\" has two ids" },
        { "{\"added_tokens_decoder\":{\"300\":{\"content\":\"<y>\"}}}", "without a gap; \"<y>\" has 300" },
        { "{\"added_tokens_decoder\":{\"x\":{\"content\":\"<y>\"}}}",
          "tokenizer_config.json: added_tokens_decoder: each entry needs an id" },
        { "{\"added_tokens_decoder\":{\"99999999999999999999\":{\"content\":\"<y>\"}}}", "needs an id" },
        { "{\"added_tokens_decoder\":{\"4294967296\":{\"content\":\"<y>\"}}}", "needs an id" },
        { "{\"added_tokens_decoder\":[]}", "added_tokens_decoder must be an object" },
    };
    char *json = small("\"ab\":256", "", "{\"id\":257,\"content\":\"<x>\"}");
    for (size_t i = 0; i < sizeof configs / sizeof *configs; i++)
        expect_refusal(json, configs[i][0], QWREN_E_FORMAT, configs[i][1]);
    qw_free(json);
}

/* ---- files and memory */

static void a_missing_file_is_named(void **state)
{
    (void)state;
    qw_tokenizer *t;
    qwren_error err;
    assert_int_equal(qw_tokenizer_open(&t, "/nowhere", &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "/nowhere/tokenizer.json"));
    assert_null(t);
    qw_tokenizer_close(NULL);
}

static qwren_status open_and_close(void *ctx, qwren_error *err)
{
    qw_tokenizer *t;
    qwren_status st = ctx ? parse(&t, ctx, "{\"added_tokens_decoder\":{\"258\":{\"content\":\"<y>\"}}}", err)
                          : qw_tokenizer_open(&t, QW_MODELS "/qwren-nano", err);
    qw_tokenizer_close(t);
    return st;
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    char *json = small("\"ab\":256", "\"a b\"", "{\"id\":257,\"content\":\"<x>\"}");
    fault_install();
    size_t few = fault_try_all(open_and_close, json, 1), many = fault_try_all(open_and_close, NULL, 1);
    fault_remove();
    assert_true(few > 12 && many > 14);
    qw_free(json);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(another_model_is_refused_by_key),
        cmocka_unit_test(a_damaged_vocabulary_is_refused_by_place),
        cmocka_unit_test(both_notations_of_merges_give_the_same),
        cmocka_unit_test(rank_is_the_place_in_the_list),
        cmocka_unit_test(a_vocabulary_without_merges_and_added_tokens),
        cmocka_unit_test(the_longest_added_token_wins),
        cmocka_unit_test(the_config_adds_tokens_and_says_which_are_special),
        cmocka_unit_test(a_config_that_contradicts_is_refused),
        cmocka_unit_test(a_missing_file_is_named),
        cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, read_nano, free_nano);
}
