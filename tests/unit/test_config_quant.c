/* model/config_quant.c: the block "quantization" of config.json, whose rules name modules of the file, and the ways of quantising that are refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "model/config_quant.h"
#include "support/fault.h"

/* ' stands for ". */
static char *text_of(const char *quoted)
{
    char *text = strdup(quoted);
    assert_non_null(text);
    for (char *p = text; *p; p++)
        *p = *p == '\'' ? '"' : *p;
    return text;
}

static qwren_status read_text(qw_quant_block *out, const char *quoted, qw_arena *arena, qwren_error *err)
{
    qw_json *root = NULL;
    char *text = text_of(quoted);
    qwren_status st = qw_json_parse(&root, text, strlen(text), "some/config.json", err);
    if (st == QWREN_OK)
        st = qw_quant_block_read(out, &(qw_fields){ root, "some/config.json", "", err }, arena);
    qw_json_free(root);
    free(text);
    return st;
}

static qw_quant_setting find(const qw_quant_block *b, const char *name)
{
    const qw_quant_config c = { .main = *b };
    const qw_tensor t = { .name = name, .file = "model.safetensors" };
    return qw_quant_config_find(&c, &t);
}

static void expect(const qw_quant_block *b, const char *name, const char *text)
{
    char buf[64];
    const qw_quant_setting s = find(b, name);
    assert_true(s.stated);
    assert_string_equal(qw_quant_setting_text(buf, sizeof buf, &s), text);
}

/* ---- what is read */

static void test_rules(void **state)
{
    (void)state;
    qw_arena arena;
    qw_quant_block b;
    qwren_error err = { 0 };
    qw_arena_init(&arena, 1024);
    if (read_text(
            &b,
            "{'quantization':{'group_size':64,'bits':6,'mode':'affine','language_model.model.embed_tokens':{'group_size':128,'bits':8},"
            "'language_model.lm_head':{'group_size':32,'bits':4,'mode':'mxfp4'},'vision_tower.blocks.0.attn.qkv':false,"
            "'model.layers.1.mlp.up_proj':true,'language_model.model.layers.1.mlp.down_proj':{'bits':3},'quant_method':'mlx','x':null}}",
            &arena, &err))
        fail_msg("%s", err.text);
    assert_int_equal(b.n, 5);
    expect(&b, "layers.0.mlp.down_proj.weight", "6 bits in groups of 64");
    expect(&b, "embed_tokens.weight", "8 bits in groups of 128");
    expect(&b, "lm_head.weight", "mxfp4");
    expect(&b, "visual.blocks.0.attn.qkv.weight", "no codes");
    expect(&b, "layers.1.mlp.up_proj.weight", "affine codes");
    expect(&b, "layers.1.mlp.down_proj.weight", "3 bits");
    expect(&b, "layers.1.mlp.down_proj.weights", "6 bits in groups of 64"); /* not the same name */
    expect(&b, "weight", "6 bits in groups of 64");
    assert_int_equal(find(&b, "lm_head.weight").mode, QW_TYPE_MXFP4);
    qw_arena_deinit(&arena);
}

/* Where the block stands, and files that have none. */
static void test_places(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int bits; /* -1: nothing is stated */
    } rows[] = {
        { "{}", -1 },
        { "{'quantization':null,'quantization_config':null}", -1 },
        { "{'quantization':{'bits':4}}", 4 },
        { "{'quantization_config':{'bits':5,'group_size':32}}", 5 },
        { "{'text_config':{'quantization_config':{'bits':3}}}", 3 },
        { "{'quantization':{'bits':4},'quantization_config':{'quant_method':'fp8'}}", 4 },
        { "{'quantization':{'mode':'nvfp4','bits':4,'group_size':16}}", 4 },
        { "{'quantization':{'mode':'mxfp8'}}", 0 },
        { "{'text_config':{'quantization':{'bits':3}}}", 3 },
        { "{'quantization':{'bits':4},'text_config':{'quantization':{'bits':3}}}", 4 },
        { "{'quantization_config':{'quant_method':'mlx','bits':5}}", 5 },
        { "{'quantization':{}}", 0 },
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        qw_arena arena;
        qw_quant_block b;
        qwren_error err = { 0 };
        qw_arena_init(&arena, 1024);
        if (read_text(&b, rows[i].text, &arena, &err))
            fail_msg("%s", err.text);
        const qw_quant_setting s = find(&b, "norm.weight");
        if (s.stated != (rows[i].bits >= 0) || (s.stated && s.bits != rows[i].bits))
            fail_msg("%s: stated %d, %d bits", rows[i].text, s.stated, s.bits);
        qw_arena_deinit(&arena);
    }
    assert_false(qw_quant_config_find(NULL, &(qw_tensor){ .name = "mtp.fc.weight", .file = "mtp/model.safetensors" }).stated);
}

/* ---- what is refused */

static const struct refusal {
    const char *text;
    qwren_status status;
    const char *says, *supported;
} refusals[] = {
    { "{'quantization':{'bits':7}}", QWREN_E_UNSUPPORTED, "quantization.bits is 7", "2, 3, 4, 5, 6 and 8" },
    { "{'quantization':{'bits':1}}", QWREN_E_UNSUPPORTED, "quantization.bits is 1", "2, 3, 4, 5, 6 and 8" },
    { "{'quantization':{'bits':4,'group_size':48}}", QWREN_E_UNSUPPORTED, "quantization.group_size is 48", "32, 64 and 128" },
    { "{'quantization':{'bits':'4'}}", QWREN_E_FORMAT, "quantization.bits is \"4\"", "whole numbers" },
    { "{'quantization':{'bits':-4}}", QWREN_E_FORMAT, "quantization.bits is -4", "whole numbers" },
    { "{'quantization':{'group_size':64.5}}", QWREN_E_FORMAT, "quantization.group_size is 64.5", "whole numbers" },
    { "{'quantization':{'mode':'mxfp3'}}", QWREN_E_UNSUPPORTED, "quantization.mode is \"mxfp3\"",
      "\"affine\", \"mxfp4\", \"nvfp4\" and \"mxfp8\"" },
    { "{'quantization':{'mode':4}}", QWREN_E_UNSUPPORTED, "quantization.mode is 4", "\"affine\"" },
    { "{'quantization':{'mode':'mxfp4','bits':8}}", QWREN_E_UNSUPPORTED, "quantization.bits is 8", "mxfp4 has 4" },
    { "{'quantization':{'mode':'nvfp4','group_size':32}}", QWREN_E_UNSUPPORTED, "quantization.group_size is 32", "nvfp4 has 16" },
    { "{'quantization':{'bits':4,'lm_head':{'bits':7}}}", QWREN_E_UNSUPPORTED, "quantization.lm_head.bits is 7", "2, 3, 4, 5, 6 and 8" },
    { "{'quantization':[4]}", QWREN_E_FORMAT, "quantization is [4]", "object" },
    { "{'quantization_config':7}", QWREN_E_FORMAT, "quantization_config is 7", "object" },
    { "{'quantization_config':{'quant_method':'fp8'}}", QWREN_E_UNSUPPORTED, "quantization_config.quant_method is \"fp8\"",
      "quantised for MLX, and GGUF" },
    { "{'quantization_config':{'quant_method':7}}", QWREN_E_UNSUPPORTED, "quant_method is 7", "BF16" },
    { "{'quantization_config':{'quant_method':'gptq','bits':4}}", QWREN_E_UNSUPPORTED, "is \"gptq\"", "BF16" },
    { "{'quantization_config':{'quant_method':'awq','bits':4}}", QWREN_E_UNSUPPORTED, "is \"awq\"", "BF16" },
    { "{'text_config':{'quantization_config':{'quant_method':'compressed-tensors'}}}", QWREN_E_UNSUPPORTED,
      "text_config.quantization_config.quant_method is \"compressed-tensors\"", "BF16" },
};

static void test_refusals(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof refusals / sizeof *refusals; i++) {
        const struct refusal *r = &refusals[i];
        qw_arena arena;
        qw_quant_block b;
        qwren_error err = { 0 };
        qw_arena_init(&arena, 1024);
        qwren_status st = read_text(&b, r->text, &arena, &err);
        if (st != r->status || !strstr(err.text, r->says) || !strstr(err.text, r->supported) || !strstr(err.text, "some/config.json: "))
            fail_msg("%s: %s \"%s\"", r->text, qwren_status_name(st), err.text);
        qw_arena_deinit(&arena);
    }
}

/* ---- the files of a directory */

static char folder[] = "/tmp/qwren-quant-XXXXXX";

static void put(const char *name, const char *quoted)
{
    char path[128], *text = text_of(quoted);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    fputs(text, f);
    fclose(f);
    free(text);
}

static qwren_status read_folder(void *ctx, qwren_error *err)
{
    qw_arena arena;
    qw_arena_init(&arena, 64);
    qwren_status st = qw_quant_config_read(ctx, folder, &arena, err);
    qw_arena_deinit(&arena);
    return st;
}

static void test_folder(void **state)
{
    (void)state;
    char path[128];
    qw_quant_config c;
    qwren_error err = { 0 };
    const qw_tensor draft = { .name = "mtp.fc.weight", .file = "mtp/model.safetensors" };
    assert_non_null(mkdtemp(folder));
    assert_int_equal(read_folder(&c, &err), QWREN_E_IO);
    put("config.json", "{'quantization':{'bits':6,'mtp.fc':{'bits':2},'fc':{'bits':3}}}");
    assert_int_equal(read_folder(&c, &err), QWREN_OK);
    assert_false(qw_quant_config_find(&c, &draft).stated); /* the main file does not speak about another */

    snprintf(path, sizeof path, "%s/mtp", folder);
    assert_int_equal(mkdir(path, 0700), 0);
    put("mtp/config.json", "{'quantization':{'bits':8,'layers.0.mlp.up_proj':{'bits':4},'fc':{'bits':5}}}");
    qw_arena arena;
    qw_arena_init(&arena, 64);
    assert_int_equal(qw_quant_config_read(&c, folder, &arena, &err), QWREN_OK);
    assert_int_equal(qw_quant_config_find(&c, &draft).bits, 5);
    assert_int_equal(qw_quant_config_find(&c, &(qw_tensor){ .name = "mtp.norm.weight", .file = draft.file }).bits, 8);
    assert_int_equal(qw_quant_config_find(&c, &(qw_tensor){ .name = "mtp.fc.weight", .file = "model.safetensors" }).bits, 2);
    qw_arena_deinit(&arena);
    fault_install();
    assert_true(fault_try_all(read_folder, &c, 1) > 8);
    fault_remove();

    put("mtp/config.json", "[]");
    assert_int_equal(read_folder(&c, &err), QWREN_E_FORMAT);
    assert_non_null(strstr(err.text, "mtp/config.json: holds no object"));
    snprintf(path, sizeof path, "%s/mtp/config.json", folder);
    remove(path);
    snprintf(path, sizeof path, "%s/mtp", folder);
    remove(path);
    snprintf(path, sizeof path, "%s/config.json", folder);
    remove(path);
    assert_int_equal(rmdir(folder), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rules),
        cmocka_unit_test(test_places),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
