/* Opening a checkpoint: what config.json promises must be in the weights, shape by shape; short memory and cancelling leave nothing behind. */
#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/alloc.h"
#include "base/file.h"
#include "model/model.h"
#include "support/fault.h"

#define SOURCE QW_TEST_DATA "/text/tiny-c/hf"

static char folder[64];

/* folder/name = the source's file, with the first `from` replaced by `to` when it is not NULL. */
static void place(const char *name, const char *from, const char *to)
{
    char path[600], target[600], *text = NULL;
    size_t len = 0;
    snprintf(path, sizeof path, "%s/%s", SOURCE, name);
    snprintf(target, sizeof target, "%s/%s", folder, name);
    unlink(target);
    if (!from) {
        assert_int_equal(symlink(path, target), 0);
        return;
    }
    assert_int_equal(qw_file_read(path, 1 << 20, &text, &len, NULL), QWREN_OK);
    char *at = strstr(text, from);
    if (!at)
        fail_msg("%s does not have %s", name, from);
    FILE *f = fopen(target, "w");
    assert_non_null(f);
    fprintf(f, "%.*s%s%s", (int)(at - text), text, to, at + strlen(from));
    fclose(f);
    qw_free(text);
}

static int make_folder(void **state)
{
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/qwren-model-XXXXXX");
    if (!mkdtemp(folder))
        return -1;
    place("model.safetensors", NULL, NULL);
    place("config.json", NULL, NULL);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    char path[600];
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof path, "%s/%s", folder, i ? "config.json" : "model.safetensors");
        unlink(path);
    }
    return rmdir(folder);
}

static qwren_status open_folder(qwren_error *err)
{
    qw_model m;
    qw_model_params p = { .n_threads = 1 };
    qwren_status st = qw_model_init(&m, folder, &p, err);
    if (st == QWREN_OK)
        qw_model_deinit(&m);
    return st;
}

static void a_whole_checkpoint_opens(void **state)
{
    (void)state;
    qw_model m;
    qwren_error err = { 0 };
    qw_model_params p = { .n_threads = 1 };
    if (qw_model_init(&m, folder, &p, &err))
        fail_msg("%s", err.text);
    assert_int_equal(m.text.embed.rows, m.config.text.vocab_size);
    assert_ptr_not_equal(m.text.head.data, m.text.embed.data); /* tiny-c has a head of its own */
    qw_model_deinit(&m);
    p.config_only = true;
    assert_int_equal(qw_model_init(&m, folder, &p, &err), QWREN_OK);
    assert_null(m.ops);
    qw_model_deinit(&m);
}

/* What config.json says against what the file holds. The message names a tensor. */
static void shapes_are_checked_before_use(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *tensor;
    } lies[] = {
        { "\"hidden_size\": 64", "\"hidden_size\": 128", "embed_tokens" },
        { "\"intermediate_size\": 192", "\"intermediate_size\": 128", "gate_proj" },
        { "\"vocab_size\": 512", "\"vocab_size\": 640", "embed_tokens" },
        { "\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3", "k_proj" },
        { "\"linear_num_value_heads\": 6", "\"linear_num_value_heads\": 4", "in_proj_qkv" },
        { "\"linear_conv_kernel_dim\": 4", "\"linear_conv_kernel_dim\": 3", "conv1d" },
        { "\"linear_attention\",\n  \"full_attention\"\n ],", "\"linear_attention\"\n ], \"num_hidden_layers\": 3,", "num_hidden_layers" },
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        qwren_error err = { 0 };
        place("config.json", lies[i].from, lies[i].to);
        qwren_status st = open_folder(&err);
        if (st != QWREN_E_FORMAT || !strstr(err.text, lies[i].tensor))
            fail_msg("%s: %s \"%s\"", lies[i].to, qwren_status_name(st), err.text);
    }
    place("config.json", NULL, NULL);
}

static qwren_status open_with_faults(void *ctx, qwren_error *err)
{
    (void)ctx;
    return open_folder(err);
}

static void memory_may_be_short(void **state)
{
    (void)state;
    fault_install();
    assert_true(fault_try_all(open_with_faults, NULL, 1) > 20);
    fault_remove();
}

/* ---- looking at a damaged model: all that is wrong with it is told, and there is a model to look at */

typedef struct complaints {
    size_t n;
    char last[128];
} complaints;

static void count_complaint(void *ctx, const char *name, const qwren_error *why)
{
    complaints *c = ctx;
    c->n++;
    snprintf(c->last, sizeof c->last, "%s", name);
    assert_true(why->code != QWREN_OK);
    assert_true(strstr(why->text, name) || strstr(why->text, "layer"));
}

static qwren_status look(void *ctx, qwren_error *err)
{
    qw_model m;
    complaints *c = ctx;
    *c = (complaints){ 0 };
    qw_model_params p = { .config_only = true, .complain = count_complaint, .complain_ctx = c };
    qwren_status st = qw_model_init(&m, folder, &p, err);
    if (st == QWREN_OK)
        qw_model_deinit(&m);
    return st;
}

static void everything_wrong_is_told(void **state)
{
    (void)state;
    static const struct {
        const char *from, *to, *last;
        size_t n;
    } lies[] = {
        { "\"vocab_size\": 512", "\"vocab_size\": 512", "", 0 },
        { "\"vocab_size\": 512", "\"vocab_size\": 640", "lm_head.weight", 2 },
        { "\"intermediate_size\": 192", "\"intermediate_size\": 128", "layers.3.mlp.down_proj.weight", 3 * 4 },
        { "\"linear_conv_kernel_dim\": 4", "\"linear_conv_kernel_dim\": 3", "layers.2.linear_attn.conv1d.weight", 3 },
        { "\"num_key_value_heads\": 1", "\"num_key_value_heads\": 3", "layers.3.self_attn.v_proj.weight", 2 },
        /* the fourth layer of the files is one too many: its two norms, six parts of attention, three of the MLP */
        { "\"linear_attention\",\n  \"full_attention\"\n ],", "\"linear_attention\"\n ], \"num_hidden_layers\": 3,", "", 11 },
    };
    for (size_t i = 0; i < sizeof lies / sizeof *lies; i++) {
        qwren_error err = { 0 };
        complaints c;
        place("config.json", lies[i].from, lies[i].to);
        if (look(&c, &err))
            fail_msg("%s: %s", lies[i].to, err.text);
        if (c.n != lies[i].n || (*lies[i].last && strcmp(c.last, lies[i].last) != 0))
            fail_msg("%s: %zu complaints, the last about %s", lies[i].to, c.n, c.last);
    }
    place("config.json", lies[3].from, lies[3].to);
    complaints c;
    fault_install();
    assert_true(fault_try_all(look, &c, 1) > 20);
    fault_remove();
    place("config.json", NULL, NULL);
}

/* What is missing takes no memory, however large the config says that it is. */
static void sizes_that_lie_take_no_memory(void **state)
{
    (void)state;
    complaints c;
    qw_model m;
    qw_model_params p = { .config_only = true, .complain = count_complaint, .complain_ctx = &c };
    place("config.json", "\"linear_value_head_dim\": 32", "\"linear_value_head_dim\": 1024");
    c.n = 0;
    assert_int_equal(qw_model_init(&m, folder, &p, NULL), QWREN_OK);
    assert_int_equal(c.n, 5 * m.config.text.n_delta_layers); /* in_proj_qkv, in_proj_z, out_proj, conv1d, norm */
    for (int i = 0; i < m.config.text.n_layers; i++) {
        const qw_layer *l = &m.text.layers[i];
        assert_non_null(l->norm_in);
        assert_true(l->kind != QW_LAYER_DELTA || (!l->mixer.delta.conv && !l->mixer.delta.norm && l->mixer.delta.neg_exp_a));
    }
    qw_model_deinit(&m);
    place("config.json", NULL, NULL);
}

static bool never(void *ctx, const char *what, uint64_t done, uint64_t total)
{
    assert_true(what && done <= total);
    return --*(int *)ctx > 0;
}

static void opening_can_be_cancelled(void **state)
{
    (void)state;
    for (int calls = 1; calls <= 2; calls++) {
        int left = calls;
        qw_model m;
        qwren_error err = { 0 };
        qw_model_params p = { .n_threads = 1, .progress = never, .progress_ctx = &left };
        assert_int_equal(qw_model_init(&m, folder, &p, &err), QWREN_E_CANCELLED);
        assert_non_null(strstr(err.text, "cancelled"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_whole_checkpoint_opens),      cmocka_unit_test(shapes_are_checked_before_use),
        cmocka_unit_test(memory_may_be_short),           cmocka_unit_test(everything_wrong_is_told),
        cmocka_unit_test(sizes_that_lie_take_no_memory), cmocka_unit_test(opening_can_be_cancelled),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}
