/* convert/mlx_config.c: the settings that MLX's loaders read, beside those of the source. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "convert/mlx_config.h"

/* The text is written with ' for ". */
static qw_json *parse(const char *text)
{
    qwren_error err;
    qw_json *v = NULL;
    char copy[2048];
    size_t n = strlen(text);
    assert_true(n < sizeof copy);
    for (size_t i = 0; i <= n; i++)
        copy[i] = (char)(text[i] == '\'' ? '"' : text[i]);
    if (qw_json_parse(&v, copy, n, "config.json", &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return v;
}

/* The same values in the same order, whatever the line breaks. */
static void expect_same(const qw_buf *got, const char *want)
{
    qwren_error err;
    qw_buf a = QW_BUF_INIT, b = QW_BUF_INIT;
    qw_json *g, *w = parse(want);
    if (qw_json_parse(&g, got->data, got->len, "the result", &err) != QWREN_OK)
        fail_msg("%s", err.text);
    qw_json_dump(&a, g);
    qw_json_dump(&b, w);
    assert_string_equal(a.data, b.data);
    qw_json_free(g);
    qw_json_free(w);
    qw_buf_free(&a);
    qw_buf_free(&b);
}

static const qw_mlx_layer layers[] = {
    { "language_model.model.", "embed_tokens.weight", 8, 64 },
    { "language_model.model.", "layers.0.mlp.up_proj.weight", 6, 64 },
    { "language_model.model.", "layers.0.linear_attn.out_proj.weight", 6, 32 },
};

#define BLOCK                                                                                                           \
  "{'group_size': 64, 'bits': 6, 'mode': 'affine', 'language_model.model.embed_tokens': {'group_size': 64, 'bits': 8}," \
  " 'language_model.model.layers.0.linear_attn.out_proj': {'group_size': 32, 'bits': 6}}"

static void the_source_is_kept_and_the_blocks_follow(void **state)
{
    (void)state;
    qw_buf out = QW_BUF_INIT;
    qw_json *source = parse(
        "{'z': [1, 2.50, {'q': []}], 'a': 1e-06, 'text_config': {'y': null, 'tie_word_embeddings': false}, 'quantization': null, 'big': "
        "123456789012345678901234567890, 'e': {}}");
    qw_mlx_config_put(&out, source, 6, 64, layers, 3);
    expect_same(&out, "{'z': [1, 2.50, {'q': []}], 'a': 1e-06, 'text_config': {'y': null, 'tie_word_embeddings': false}, 'big': "
                      "123456789012345678901234567890, 'e': {}, 'quantization': " BLOCK ", 'quantization_config': " BLOCK "}");
    qw_buf_clear(&out);
    qw_mlx_config_put(&out, source, 6, 64, layers, 0);
    assert_null(strstr(out.data, "quantization"));
    qw_json_free(source);
    qw_buf_free(&out);
}

/* mlx-lm and mlx-vlm look for the tie inside text_config alone. */
static void the_tie_stands_where_it_is_looked_for(void **state)
{
    (void)state;
    qw_buf out = QW_BUF_INIT;
    qw_json *source = parse("{'tie_word_embeddings': true, 'text_config': {'a': 1}, 'b': 2}");
    assert_true(qw_mlx_config_is_tied(source));
    qw_mlx_config_put(&out, source, 6, 64, layers, 0);
    expect_same(&out, "{'tie_word_embeddings': true, 'text_config': {'a': 1, 'tie_word_embeddings': true}, 'b': 2}");
    qw_json_free(source);
    qw_buf_free(&out);
    source = parse("{'tie_word_embeddings': true, 'text_config': {'tie_word_embeddings': false}}");
    assert_false(qw_mlx_config_is_tied(source));
    qw_json_free(source);
    source = parse("{'tie_word_embeddings': true}");
    assert_true(qw_mlx_config_is_tied(source));
    qw_json_free(source);
}

static void the_text_model_alone_is_named_as_mlx_lm_names_it(void **state)
{
    (void)state;
    qw_buf out = QW_BUF_INIT;
    qw_json *source = parse("{'model_type': 'qwen3_5_text', 'a': {'model_type': 'qwen3_5_text'}}");
    qw_mlx_config_put(&out, source, 6, 64, layers, 0);
    expect_same(&out, "{'model_type': 'qwen3_5', 'a': {'model_type': 'qwen3_5_text'}}");
    qw_json_free(source);
    qw_buf_free(&out);
}

static void the_draft_head_has_a_config_of_its_own(void **state)
{
    (void)state;
    static const qw_mlx_layer draft[] = { { "", "fc.weight", 8, 64 }, { "", "layers.0.mlp.up_proj.weight", 4, 64 } };
    qw_buf out = QW_BUF_INIT;
    qw_json *source =
        parse("{'model_type': 'qwen3_5', 'text_config': {'mtp_num_hidden_layers': 1, 'tie_word_embeddings': true}, 'vision_config': {}}");
    qw_mlx_config_put_mtp(&out, source, 8, 64, draft, 2);
#define DRAFT "{'group_size': 64, 'bits': 8, 'mode': 'affine', 'layers.0.mlp.up_proj': {'group_size': 64, 'bits': 4}}"
    expect_same(&out,
                "{'model_type': 'qwen3_5_mtp', 'block_size': 3, 'tie_word_embeddings': true, 'text_config': {'mtp_num_hidden_layers': 1, "
                "'tie_word_embeddings': true}, 'quantization': " DRAFT ", 'quantization_config': " DRAFT "}");
    qw_json_free(source);
    qw_buf_free(&out);
}

static void a_quantised_source_is_refused(void **state)
{
    (void)state;
    static const char *const bad[] = { "{'quantization': {'bits': 6}}", "{'quantization_config': {'quant_method': 'fp8'}}",
                                       "{'text_config': {'quantization_config': {}}}" };
    qwren_error err;
    for (size_t i = 0; i < 3; i++) {
        qw_json *v = parse(bad[i]);
        assert_int_equal(qw_mlx_config_check(v, "here/config.json", &err), QWREN_E_UNSUPPORTED);
        assert_non_null(strstr(err.text, "here/config.json"));
        assert_non_null(strstr(err.text, "quantised already"));
        qw_json_free(v);
    }
    qw_json *v = parse("[]");
    assert_int_equal(qw_mlx_config_check(v, "here/config.json", &err), QWREN_E_FORMAT);
    qw_json_free(v);
    v = parse("{'quantization_config': null}");
    assert_int_equal(qw_mlx_config_check(v, "here/config.json", &err), QWREN_OK);
    qw_json_free(v);
}

static void the_type_of_floats_is_mlx_lm_s(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        qw_type type;
    } rows[] = {
        { "{'torch_dtype': 'float16', 'text_config': {'dtype': 'bfloat16'}}", QW_TYPE_F16 },
        { "{'dtype': 'float16', 'text_config': {'dtype': 'bfloat16'}}", QW_TYPE_BF16 },
        { "{'torch_dtype': 'float32'}", QW_TYPE_F32 },
        { "{'dtype': 'float32'}", QW_TYPE_OTHER },
        { "{'torch_dtype': 'float64'}", QW_TYPE_OTHER },
        { "{'torch_dtype': 3}", QW_TYPE_OTHER },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qw_json *v = parse(rows[i].text);
        assert_int_equal(qw_mlx_config_type(v), rows[i].type);
        qw_json_free(v);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_source_is_kept_and_the_blocks_follow),
        cmocka_unit_test(the_tie_stands_where_it_is_looked_for),
        cmocka_unit_test(the_text_model_alone_is_named_as_mlx_lm_names_it),
        cmocka_unit_test(the_draft_head_has_a_config_of_its_own),
        cmocka_unit_test(a_quantised_source_is_refused),
        cmocka_unit_test(the_type_of_floats_is_mlx_lm_s),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
