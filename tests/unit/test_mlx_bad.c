/* A directory quantised for MLX in which one thing was changed, in the header of its weights or in config.json: what is refused, what is said, and what still
 * opens because nothing depends on it. The whole way through weights/, config_quant.c, groups.c and bind.c. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "model/model.h"

#define SOURCE QW_TEST_DATA "/mlx/tiny-b-mixed"
#define WEIGHTS "model.safetensors"
#define CONFIG "config.json"

static char folder[] = "/tmp/qwren-bad-XXXXXX";

/* The first place of `from` in n bytes, or NULL. */
static char *find(char *bytes, size_t n, const char *from)
{
    size_t len = strlen(from);
    for (size_t i = 0; i + len <= n; i++)
        if (memcmp(bytes + i, from, len) == 0)
            return bytes + i;
    return NULL;
}

static void write_to(FILE *f, const void *bytes, size_t n) { assert_int_equal(fwrite(bytes, 1, n, f), n); }

/* folder/name = the source's file with every (or the first) `from` replaced by `to`. In weights both are of one length, or the header would end elsewhere. */
static void place(const char *name, const char *from, const char *to, bool all)
{
    char path[600], *bytes;
    size_t n, done = 0;
    snprintf(path, sizeof path, "%s/%s", SOURCE, name);
    assert_int_equal(qw_file_read(path, (size_t)1 << 24, &bytes, &n, NULL), QWREN_OK);
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    char *at = bytes;
    for (char *next; from && (done == 0 || all) && (next = find(at, n - (size_t)(at - bytes), from)); done++) {
        write_to(f, at, (size_t)(next - at));
        write_to(f, to, strlen(to));
        at = next + strlen(from);
    }
    write_to(f, at, n - (size_t)(at - bytes));
    assert_int_equal(fclose(f), 0);
    qw_free(bytes);
    if (from && !done)
        fail_msg("%s does not have %s", name, from);
}

static int make_folder(void **state)
{
    (void)state;
    if (!mkdtemp(folder))
        return -1;
    place(WEIGHTS, NULL, NULL, false);
    place(CONFIG, NULL, NULL, false);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char path[64];
    snprintf(path, sizeof path, "%s/" WEIGHTS, folder);
    unlink(path);
    snprintf(path, sizeof path, "%s/" CONFIG, folder);
    unlink(path);
    return rmdir(folder);
}

static qwren_status open_folder(qwren_error *err)
{
    qw_model m;
    qwren_status st = qw_model_init(&m, folder, &(qw_model_params){ .n_threads = 1, .config_only = true }, err);
    if (st == QWREN_OK)
        qw_model_deinit(&m);
    return st;
}

#define LAYER "\"language_model.model.layers.0.linear_attn.out_proj\""

static const struct change {
    const char *file, *from, *to;
    bool all;
    qwren_status status;
    const char *says;
} changes[] = {
    /* weights */
    { WEIGHTS, "lm_head.scales", "lm_head.scalez", false, QWREN_E_UNSUPPORTED,
      "lm_head.weight is U32; codes of MLX need scales beside them" },
    { WEIGHTS, "lm_head.biases", "lm_head.biasez", false, QWREN_E_FORMAT, "lm_head.scales is BF16 [512, 4]; affine codes have biases" },
    { WEIGHTS, "lm_head.weight", "lm_head.weighs", false, QWREN_E_FORMAT, "no tensor lm_head.weight" },
    { WEIGHTS, "\"BF16\",\"shape\":[512,4]", "\"BF16\",\"shape\":[4,512]", false, QWREN_E_FORMAT,
      "lm_head.biases is BF16 [4, 512]; biases have" },
    { WEIGHTS, "\"BF16\",\"shape\":[512,4]", "\"BF16\",\"shape\":[4,512]", true, QWREN_E_FORMAT,
      "embed_tokens.scales is BF16 [4, 512]; scales are" },
    { WEIGHTS, "\"BF16\",\"shape\":[512,4]", "\"BF16\",\"shape\":[512,2]", false, QWREN_E_FORMAT, "holds 4096 bytes" },
    { WEIGHTS, "\"U32\",\"shape\":[512,64]", "\"I32\",\"shape\":[512,64]", false, QWREN_E_FORMAT,
      "lm_head.weight is I32 [512, 64]; codes with scales are U32" },
    { WEIGHTS, "\"U32\",\"shape\":[512,64]", "\"U32\",\"shape\":[64,512]", false, QWREN_E_FORMAT, "U32 words in 512 rows" },
    { WEIGHTS, "\"U32\",\"shape\":[256,48]", "\"F32\",\"shape\":[256,48]", false, QWREN_E_FORMAT,
      "is F32 [256, 48]; codes with scales are U32" },
    /* config.json against the shapes */
    { CONFIG, "\"bits\": 6", "\"bits\": 8", false, QWREN_E_FORMAT,
      "has 6 bits in groups of 64 by its shape, but config.json says 8 bits in groups of 64" },
    { CONFIG, "\"group_size\": 64", "\"group_size\": 32", false, QWREN_E_FORMAT, "says 6 bits in groups of 32" },
    { CONFIG, "\"mode\": \"affine\"", "\"mode\": \"affine\", \"language_model.lm_head\": false, \"x\": 0", false, QWREN_OK,
      NULL }, /* twice: the last one holds */
    { CONFIG, LAYER, "\"language_model.model.layers.77.linear_attn.out_proj\"", true, QWREN_E_FORMAT,
      "layers.0.linear_attn.out_proj.weight has 8 bits in groups of 32 by its shape, but config.json says 6 bits in groups of 64" },
    { CONFIG, LAYER ": {", LAYER ": false, \"language_model.model.nothing\": {", false, QWREN_E_FORMAT, "says no codes" },
    { CONFIG, "\"hidden_size\": 256", "\"hidden_size\": 128", true, QWREN_E_UNSUPPORTED,
      "embed_tokens.weight has 16 bits in groups of 32" },
    { CONFIG, "\"vocab_size\": 512", "\"vocab_size\": 640", true, QWREN_E_FORMAT, "codes with scales are U32 words in 640 rows" },
    /* config.json by itself */
    { CONFIG, "\"bits\": 6", "\"bits\": 7", false, QWREN_E_UNSUPPORTED, "quantization.bits is 7; supported are 2, 3, 4, 5, 6 and 8" },
    { CONFIG, "\"group_size\": 64", "\"group_size\": 48", false, QWREN_E_UNSUPPORTED,
      "quantization.group_size is 48; supported are 32, 64 and 128" },
    { CONFIG, "\"quantization\": {", "\"quantization\": null, \"q\": {\"quant_method\": \"fp8\",", false, QWREN_OK,
      NULL }, /* the second block is left */
    /* what makes no difference */
    { CONFIG, "\"quantization\": {", "\"quantization\": {\"language_model.model.layers.77.x\": {\"bits\": 3},", false, QWREN_OK, NULL },
    { CONFIG, "\"quantization", "\"quantisation", true, QWREN_OK, NULL }, /* the shapes are enough */
    { CONFIG, "\"quantization\": {", "\"quantization\": {\"quant_method\": \"mlx\",", false, QWREN_OK, NULL },
};

static void test_changes(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof changes / sizeof *changes; i++) {
        const struct change *c = &changes[i];
        qwren_error err = { QWREN_OK, "" };
        place(c->file, c->from, c->to, c->all);
        qwren_status st = open_folder(&err);
        if (st != c->status || (c->says && !strstr(err.text, c->says)))
            fail_msg("%s -> %s: %s \"%s\"", c->from, c->to, qwren_status_name(st), err.text);
        place(c->file, NULL, NULL, false);
    }
}

/* Checkpoints of other quantisers name themselves. */
static void test_other_methods(void **state)
{
    (void)state;
    static const char *const methods[] = { "fp8", "gptq", "awq", "compressed-tensors", "bitsandbytes" };
    for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
        char to[96], says[96];
        qwren_error err = { QWREN_OK, "" };
        snprintf(to, sizeof to, "\"quantization_config\": {\"quant_method\": \"%s\"}, \"x", methods[i]);
        snprintf(says, sizeof says, "quantization_config.quant_method is \"%s\"; supported are BF16", methods[i]);
        place(CONFIG, "\"quantization", to, true); /* both blocks */
        qwren_status st = open_folder(&err);
        if (st != QWREN_E_UNSUPPORTED || !strstr(err.text, says))
            fail_msg("%s: %s \"%s\"", methods[i], qwren_status_name(st), err.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_changes),
        cmocka_unit_test(test_other_methods),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
