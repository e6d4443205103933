/* Which GGUF files a model is: one file, the parts of a split one, a folder, and the image tower beside it. Everything that is missing or foreign is named. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include <sys/stat.h>

#include "support/fault.h"
#include "support/gguf_make.h"
#include "weights/gguf_files.h"
#include "weights/weights.h"

static char dir[64], path[600];

static int make_folder(void **state)
{
    (void)state;
    gguf_folder(dir);
    return 0;
}

static int remove_folder(void **state)
{
    (void)state;
    gguf_folder_remove(dir);
    return 0;
}

static const char *in_folder(const char *name)
{
    snprintf(path, sizeof path, "%s/%s", dir, name);
    return path;
}

static void write_maker(gguf_maker *m, const char *name)
{
    qw_buf bytes = gguf_bytes(m);
    gguf_write(dir, name, &bytes);
    qw_buf_free(&bytes);
    gguf_free(m);
}

/* One tensor called `tensor`, and what it is: a part when count > 0. */
static void write_part(const char *name, const char *tensor, uint16_t no, uint16_t count, uint32_t n_tensors)
{
    gguf_maker m = gguf_new();
    if (no == 0) {
        set_text(&m, "general.architecture", "qwen35");
        set_u32(&m, "qwen35.block_count", 3);
    }
    if (count) {
        set_bytes(&m, "split.no", QW_GGUF_U16, &no, 2);
        set_bytes(&m, "split.count", QW_GGUF_U16, &count, 2);
        set_bytes(&m, "split.tensors.count", QW_GGUF_I32, &n_tensors, 4);
    }
    add_floats(&m, tensor, 2, 3);
    write_maker(&m, name);
}

static void write_tower(const char *name)
{
    gguf_maker m = gguf_new();
    made_tower_settings(&m);
    made_tower_tensors(&m);
    write_maker(&m, name);
}

static qw_weights *open_good(const char *at, const char *mmproj)
{
    qw_weights *w;
    qwren_error err = { QWREN_OK, "" };
    if (qw_weights_open_gguf(&w, at, mmproj, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return w;
}

static void refused(const char *at, const char *mmproj, qwren_status status, const char *word, const char *other)
{
    qw_weights *w = (qw_weights *)dir;
    qwren_error err = { QWREN_OK, "" };
    qwren_status st = qw_weights_open_gguf(&w, at, mmproj, &err);
    if (st != status || w || !strstr(err.text, word) || !strstr(err.text, other))
        fail_msg("%s: \"%s\", expected %s with \"%s\" and \"%s\"", qwren_status_name(st), err.text, qwren_status_name(status), word, other);
}

/* ---- one file */

static void one_file_or_its_folder(void **state)
{
    (void)state;
    write_part("model.GGUF", "token_embd.weight", 0, 0, 0);
    for (int i = 0; i < 2; i++) {
        qw_weights *w = open_good(i ? dir : in_folder("model.GGUF"), NULL);
        assert_int_equal(qw_weights_layout(w), QW_LAYOUT_GGUF);
        assert_non_null(qw_weights_gguf(w));
        assert_null(qw_weights_mmproj(w));
        const qw_tensor *t = qw_weights_find(w, "embed_tokens.weight");
        assert_non_null(t);
        assert_string_equal(t->file_name, "token_embd.weight");
        assert_string_equal(t->file, "model.GGUF");
        qw_weights_close(w);
    }
    refused(in_folder("other.gguf"), NULL, QWREN_E_IO, "other.gguf", "");
}

static void what_is_a_gguf_model(void **state)
{
    (void)state;
    qw_buf some = QW_BUF_INIT;
    qw_buf_puts(&some, "{}");
    assert_false(qw_gguf_is_model(dir));
    assert_true(qw_gguf_is_model("no/such/file.gguf")); /* so that the message says that it is not there */
    assert_false(qw_gguf_is_model("no/such/folder"));
    gguf_write(dir, "blob", &some);
    assert_true(qw_gguf_is_model(in_folder("blob"))); /* names without an ending are in use */
    refused(path, NULL, QWREN_E_FORMAT, "blob: is no GGUF file", "");
    assert_false(qw_gguf_is_model(dir));
    gguf_write(dir, "m.gguf", &some);
    assert_true(qw_gguf_is_model(dir));
    gguf_write(dir, "config.json", &some);
    assert_false(qw_gguf_is_model(dir));
    qw_buf_free(&some);
}

static void several_models_in_a_folder(void **state)
{
    (void)state;
    write_tower("mmproj-F16.gguf");
    refused(dir, NULL, QWREN_E_IO, "only the image tower", "");
    write_part("b.gguf", "token_embd.weight", 0, 0, 0);
    write_part("a-00001-of-00002.gguf", "token_embd.weight", 0, 2, 2);
    write_part("a-00002-of-00002.gguf", "output_norm.weight", 1, 2, 2);
    refused(dir, NULL, QWREN_E_ARGUMENT, "several models; give the path of one: a-00001-of-00002.gguf, ", "b.gguf");
    unlink(in_folder("b.gguf"));
    write_part("._a.gguf", "token_embd.weight", 0, 0, 0); /* as other systems leave them */
    assert_int_equal(symlink("/dev/null", in_folder("null.gguf")), 0);
    assert_int_equal(symlink("nothing", in_folder("broken.gguf")), 0);
    assert_int_equal(mkfifo(in_folder("pipe.gguf"), 0600), 0);
    qw_weights *w = open_good(dir, NULL);
    assert_int_equal(qw_weights_count(w), 2 + 22);
    qw_weights_close(w);
}

/* ---- parts */

static void any_part_opens_all(void **state)
{
    (void)state;
    static const char *const names[] = { "m-00001-of-00003.gguf", "m-00002-of-00003.gguf", "m-00003-of-00003.gguf" };
    static const char *const tensors[] = { "token_embd.weight", "blk.1.attn_q.weight", "output_norm.weight" };
    for (int i = 0; i < 3; i++)
        write_part(names[i], tensors[i], (uint16_t)i, 3, 3);
    for (int i = 0; i < 3; i++) {
        qw_weights *w = open_good(in_folder(names[i]), NULL);
        assert_int_equal(qw_weights_count(w), 3);
        assert_string_equal(qw_weights_find(w, "layers.1.self_attn.q_proj.weight")->file, names[1]);
        assert_non_null(qw_gguf_find(qw_weights_gguf(w), "general.architecture")); /* the first part's settings */
        qw_weights_close(w);
    }
    write_part(names[2], "token_embd.weight", 2, 3, 3);
    refused(dir, NULL, QWREN_E_FORMAT, "token_embd.weight of m-00001-of-00003.gguf", "same tensor");
    write_part(names[2], "output_norm.weight", 1, 3, 3);
    refused(dir, NULL, QWREN_E_FORMAT, "m-00003-of-00003.gguf: says it is part 2 of 3, its name says 3 of 3", "");
    write_part(names[2], "output_norm.weight", 2, 4, 3);
    refused(dir, NULL, QWREN_E_FORMAT, "says it is part 3 of 4", "");
    write_part(names[2], "output_norm.weight", 0, 0, 0);
    refused(dir, NULL, QWREN_E_FORMAT, "m-00003-of-00003.gguf: says it is part 1 of 1", "");
    write_part(names[2], "output_norm.weight", 2, 3, 3);
    write_part(names[0], "token_embd.weight", 0, 3, 9);
    refused(dir, NULL, QWREN_E_FORMAT, "9 tensors, its 3 files have 3", "");
    unlink(in_folder(names[1]));
    refused(in_folder(names[2]), NULL, QWREN_E_IO, "m-00002-of-00003.gguf: is missing", "3 files");
}

static void renamed_parts(void **state)
{
    (void)state;
    write_part("renamed.gguf", "token_embd.weight", 0, 2, 2);
    refused(dir, NULL, QWREN_E_FORMAT, "renamed.gguf: is one of 2 files", "NAME-00001-of-00002.gguf");
    unlink(in_folder("renamed.gguf"));
    write_part("m-00001-of-00001.gguf", "token_embd.weight", 0, 0, 0); /* one of one needs to say nothing */
    qw_weights_close(open_good(dir, NULL));
    write_part("m-00001-of-00001.gguf", "token_embd.weight", 0, 1, 1);
    qw_weights_close(open_good(dir, NULL));
    unlink(in_folder("m-00001-of-00001.gguf"));
    write_part("m-00000-of-00001.gguf", "token_embd.weight", 0, 0, 0); /* no part's name */
    qw_weights_close(open_good(dir, NULL));
    unlink(in_folder("m-00000-of-00001.gguf"));
    write_part("m-00001-of-99999.gguf", "token_embd.weight", 0, 0, 0);
    refused(dir, NULL, QWREN_E_LIMIT, "one of 99999 files", "");
}

/* ---- the image tower */

static void the_tower_beside(void **state)
{
    (void)state;
    write_part("model.gguf", "token_embd.weight", 0, 0, 0);
    write_tower("model-MMPROJ-f16.gguf");
    qw_weights *w = open_good(in_folder("model.gguf"), NULL);
    assert_non_null(qw_weights_mmproj(w));
    assert_string_equal(qw_weights_find(w, "visual.blocks.0.attn.qkv.bias")->file, "model-MMPROJ-f16.gguf");
    assert_non_null(qw_weights_find(w, "visual.patch_embed.proj.weight.1"));
    qw_weights_close(w);
    w = open_good(dir, "none");
    assert_null(qw_weights_mmproj(w));
    qw_weights_close(w);

    write_tower("mmproj-2.gguf");
    refused(dir, NULL, QWREN_E_ARGUMENT, "several image towers", "mmproj-2.gguf, model-MMPROJ-f16.gguf");
    char chosen[600];
    snprintf(chosen, sizeof chosen, "%s/mmproj-2.gguf", dir);
    w = open_good(dir, chosen);
    assert_string_equal(qw_gguf_path(qw_weights_mmproj(w)), chosen);
    qw_weights_close(w);
    refused(dir, "/no/such/tower.gguf", QWREN_E_IO, "/no/such/tower.gguf", "");
    refused(dir, in_folder("model.gguf"), QWREN_E_UNSUPPORTED, "model.gguf: general.architecture is qwen35", "mmproj");
    refused(chosen, "none", QWREN_E_UNSUPPORTED, "mmproj-2.gguf: is the image tower", "");
}

/* A path without a folder looks beside itself. */
static void from_inside(void **state)
{
    (void)state;
    char back[600];
    assert_non_null(getcwd(back, sizeof back));
    write_part("model.gguf", "token_embd.weight", 0, 0, 0);
    write_tower("mmproj.gguf");
    assert_int_equal(chdir(dir), 0);
    qw_weights *w = open_good("model.gguf", NULL);
    assert_int_equal(chdir(back), 0);
    assert_non_null(qw_weights_mmproj(w));
    qw_weights_close(w);
}

/* ---- memory */

static qwren_status open_and_close(void *ctx, qwren_error *err)
{
    qw_weights *w;
    (void)ctx;
    qwren_status st = qw_weights_open_gguf(&w, dir, NULL, err);
    qw_weights_close(w);
    return st;
}

static qwren_status ask_for_one(void *ctx, qwren_error *err)
{
    qwren_status st = open_and_close(ctx, err);
    return st == QWREN_E_ARGUMENT ? QWREN_OK : st; /* the list of models may be cut short, the answer stays */
}

static void short_memory(void **state)
{
    (void)state;
    write_part("m-00001-of-00002.gguf", "token_embd.weight", 0, 2, 2);
    write_part("m-00002-of-00002.gguf", "output_norm.weight", 1, 2, 2);
    write_tower("mmproj.gguf");
    fault_install();
    assert_true(fault_try_all(open_and_close, NULL, 1) > 20);
    fault_remove();
    write_tower("mmproj-2.gguf");
    for (size_t i = 0; i < 20; i++) {
        qwren_error err;
        fault_install();
        fault_fail_at(i);
        qwren_status st = ask_for_one(NULL, &err);
        assert_true(st == QWREN_OK || st == QWREN_E_MEMORY);
        fault_remove();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(one_file_or_its_folder, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(what_is_a_gguf_model, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(several_models_in_a_folder, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(any_part_opens_all, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(renamed_parts, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(the_tower_beside, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(from_inside, make_folder, remove_folder),
        cmocka_unit_test_setup_teardown(short_memory, make_folder, remove_folder),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
