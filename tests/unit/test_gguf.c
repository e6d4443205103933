/* The container GGUF: every kind of setting is answered, every field of the header may lie, every allocation may fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>

#include <cmocka.h>

#include "support/fault.h"
#include "support/gguf_make.h"
#include "quant/types.h"

#define COUNT(a) (sizeof(a) / sizeof *(a))

static qw_gguf *read_good(const qw_buf *bytes)
{
    qw_gguf *g;
    qwren_error err = { QWREN_OK, "" };
    const qw_map map = { (const uint8_t *)bytes->data, bytes->len, false };
    if (qw_gguf_read(&g, &map, "made.gguf", &err) != QWREN_OK)
        fail_msg("%s", err.text);
    return g;
}

/* Refused with this status and a sentence that names the file and holds `word`. */
static void refuse_bytes(const void *p, size_t n, qwren_status status, const char *word)
{
    qw_gguf *g = (qw_gguf *)&n;
    qwren_error err = { QWREN_OK, "" };
    uint8_t *copy = malloc(n ? n : 1); /* of the exact size, so that the sanitizer sees a byte too far */
    memcpy(copy, p, n);
    const qw_map map = { copy, n, false };
    qwren_status st = qw_gguf_read(&g, &map, "made.gguf", &err);
    free(copy);
    if (st != status || g || !strstr(err.text, word) || !strstr(err.text, "made.gguf"))
        fail_msg("%s: \"%s\", expected %s with \"%s\"", qwren_status_name(st), err.text, qwren_status_name(status), word);
}

static void refuse(gguf_maker *m, qwren_status status, const char *word)
{
    qw_buf bytes = gguf_bytes(m);
    refuse_bytes(qw_buf_text(&bytes), bytes.len, status, word);
    qw_buf_free(&bytes);
    gguf_free(m);
}

/* ---- settings */

static void settings_of_all_types(void **state)
{
    (void)state;
    static const uint8_t raw[8] = { 0xfe, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff };
    static const struct {
        uint32_t type;
        size_t bytes;
        int64_t want;
    } whole[] = { { QW_GGUF_U8, 1, 254 },         { QW_GGUF_I8, 1, -2 },  { QW_GGUF_U16, 2, 65534 }, { QW_GGUF_I16, 2, -2 },
                  { QW_GGUF_U32, 4, 4294967294 }, { QW_GGUF_I32, 4, -2 }, { QW_GGUF_I64, 8, -2 } };
    gguf_maker m = gguf_new();
    char key[16];
    for (size_t i = 0; i < COUNT(whole); i++) {
        snprintf(key, sizeof key, "w%zu", i);
        set_bytes(&m, key, whole[i].type, raw, whole[i].bytes);
    }
    const double d = -2.5;
    set_bytes(&m, "u64", QW_GGUF_U64, raw, 8);
    set_bytes(&m, "f64", QW_GGUF_F64, &d, sizeof d);
    set_f32(&m, "f32", 0.25F);
    set_bool(&m, "yes", true);
    set_text(&m, "text", "word");
    set_text(&m, "empty", "");
    qw_buf bytes = gguf_bytes(&m);
    qw_gguf *g = read_good(&bytes);

    int64_t x = 0;
    double y = 0;
    bool b = false;
    qw_gguf_text t;
    for (size_t i = 0; i < COUNT(whole); i++) {
        snprintf(key, sizeof key, "w%zu", i);
        assert_true(qw_gguf_int(qw_gguf_find(g, key), &x) && x == whole[i].want);
        assert_true(qw_gguf_number(qw_gguf_find(g, key), &y) && y == (double)whole[i].want);
    }
    assert_false(qw_gguf_int(qw_gguf_find(g, "u64"), &x) || qw_gguf_number(qw_gguf_find(g, "u64"), &y));
    assert_true(qw_gguf_number(qw_gguf_find(g, "f64"), &y) && y == -2.5);
    assert_true(qw_gguf_number(qw_gguf_find(g, "f32"), &y) && y == 0.25);
    assert_false(qw_gguf_int(qw_gguf_find(g, "f32"), &x));
    assert_true(qw_gguf_bool(qw_gguf_find(g, "yes"), &b) && b);
    assert_false(qw_gguf_bool(qw_gguf_find(g, "w0"), &b) || qw_gguf_int(qw_gguf_find(g, "yes"), &x));
    assert_true(qw_gguf_string(qw_gguf_find(g, "text"), &t) && t.len == 4 && memcmp(t.data, "word", 4) == 0);
    assert_true(qw_gguf_string(qw_gguf_find(g, "empty"), &t) && t.len == 0);
    assert_true(qw_gguf_is(qw_gguf_find(g, "text"), "word"));
    assert_false(qw_gguf_is(qw_gguf_find(g, "text"), "wor") || qw_gguf_is(qw_gguf_find(g, "text"), "words"));
    assert_null(qw_gguf_find(g, "tex"));
    assert_false(qw_gguf_int(NULL, &x) || qw_gguf_number(NULL, &y) || qw_gguf_bool(NULL, &b) || qw_gguf_string(NULL, &t));
    assert_int_equal(qw_gguf_count(g), COUNT(whole) + 6);
    assert_int_equal(qw_gguf_at(g, 1)->key.len, 2);
    qw_gguf_close(g);
    qw_buf_free(&bytes);
    gguf_free(&m);
}

static void lists(void **state)
{
    (void)state;
    static const int16_t numbers[] = { 3, -4, 5 };
    static const uint8_t truths[] = { 1, 0 };
    static const char *const texts[] = { "one", "", "three" };
    gguf_maker m = gguf_new();
    set_list(&m, "numbers", QW_GGUF_I16, 3, numbers, sizeof numbers);
    set_list(&m, "truths", QW_GGUF_BOOL, 2, truths, sizeof truths);
    set_list(&m, "nothing", QW_GGUF_STRING, 0, "", 0);
    set_texts(&m, "texts", texts, 3);
    qw_buf bytes = gguf_bytes(&m);
    qw_gguf *g = read_good(&bytes);

    int64_t x = 0;
    double y = 0;
    bool b = false;
    const qw_gguf_value *v = qw_gguf_find(g, "numbers");
    assert_true(v->is_list && v->n == 3 && v->n_bytes == 6);
    assert_true(qw_gguf_int_at(v, 1, &x) && x == -4);
    assert_true(qw_gguf_number_at(v, 2, &y) && y == 5);
    assert_false(qw_gguf_int_at(v, 3, &x) || qw_gguf_int(v, &x) || qw_gguf_bool_at(v, 0, &b) || qw_gguf_int_at(NULL, 0, &x));
    v = qw_gguf_find(g, "truths");
    assert_true(qw_gguf_bool_at(v, 0, &b) && b && qw_gguf_bool_at(v, 1, &b) && !b);
    assert_false(qw_gguf_bool_at(v, 2, &b) || qw_gguf_int_at(v, 0, &x));
    qw_gguf_texts it = { 0 };
    for (size_t i = 0; i < 3; i++) {
        assert_true(qw_gguf_next_text(qw_gguf_find(g, "texts"), &it));
        assert_true(it.index == i && it.text.len == strlen(texts[i]) && memcmp(it.text.data, texts[i], it.text.len) == 0);
    }
    assert_false(qw_gguf_next_text(qw_gguf_find(g, "texts"), &it));
    it = (qw_gguf_texts){ 0 };
    assert_false(qw_gguf_next_text(qw_gguf_find(g, "nothing"), &it) || qw_gguf_next_text(NULL, &it) || qw_gguf_next_text(v, &it));
    qw_gguf_close(g);
    qw_buf_free(&bytes);
    gguf_free(&m);
}

static void values_are_shown(void **state)
{
    (void)state;
    char buf[12];
    gguf_maker m = gguf_new();
    set_u32(&m, "int", 12);
    set_f32(&m, "real", 0.5F);
    set_bool(&m, "no", false);
    set_text(&m, "text", "a\033[2Jlonger than that");
    set_list(&m, "list", QW_GGUF_U8, 2, "ab", 2);
    set_bytes(&m, "huge", QW_GGUF_U64, "\377\377\377\377\377\377\377\377", 8);
    qw_buf bytes = gguf_bytes(&m);
    qw_gguf *g = read_good(&bytes);
    assert_string_equal(qw_gguf_show(buf, sizeof buf, qw_gguf_find(g, "int")), "12");
    assert_string_equal(qw_gguf_show(buf, sizeof buf, qw_gguf_find(g, "real")), "0.5");
    assert_string_equal(qw_gguf_show(buf, sizeof buf, qw_gguf_find(g, "no")), "false");
    assert_string_equal(qw_gguf_show(buf, sizeof buf, qw_gguf_find(g, "text")), "a?[2Jlonger");
    assert_string_equal(qw_gguf_show(buf, sizeof buf, qw_gguf_find(g, "list")), "a list of 2");
    assert_string_equal(qw_gguf_show(buf, sizeof buf, qw_gguf_find(g, "huge")), "too large");
    assert_string_equal(qw_gguf_show(buf, sizeof buf, NULL), "missing");
    qw_gguf_close(g);
    qw_buf_free(&bytes);
    gguf_free(&m);
}

static void bad_settings(void **state)
{
    (void)state;
    gguf_maker m;
    uint64_t lies[] = { 100, UINT64_MAX, UINT64_MAX - 7, (uint64_t)1 << 61 };
    for (size_t i = 0; i < COUNT(lies); i++) {
        m = gguf_new(); /* the number of settings */
        set_u32(&m, "one", 1);
        m.n_values = lies[i];
        refuse(&m, QWREN_E_FORMAT, "settings");
        m = gguf_new(); /* the length of a key */
        m.n_values = 1;
        put_64(&m.values, lies[i]);
        qw_buf_puts(&m.values, "key that ends too soon");
        refuse(&m, QWREN_E_FORMAT, "setting 0");
        m = gguf_new(); /* the length of a text */
        put_key(&m, "text", QW_GGUF_STRING);
        put_64(&m.values, lies[i]);
        refuse(&m, QWREN_E_FORMAT, "text is longer");
        m = gguf_new(); /* the length of a list: of numbers, and of texts */
        set_list(&m, "list", QW_GGUF_U64, lies[i], "12345678", 8);
        refuse(&m, QWREN_E_FORMAT, "list is longer");
        m = gguf_new();
        set_list(&m, "list", QW_GGUF_STRING, lies[i], "\0\0\0\0\0\0\0", 8);
        refuse(&m, QWREN_E_FORMAT, "list is longer");
    }
    m = gguf_new();
    set_bytes(&m, "key", 13, "12345678", 8);
    refuse(&m, QWREN_E_FORMAT, "key is of type 13; 0 to 12");
    m = gguf_new();
    set_list(&m, "key", 99, 1, "12345678", 8);
    refuse(&m, QWREN_E_FORMAT, "key is of type 99");
    m = gguf_new();
    set_list(&m, "key", QW_GGUF_LIST, 1, "12345678", 8);
    refuse(&m, QWREN_E_UNSUPPORTED, "key is a list of lists");
    m = gguf_new();
    set_bytes(&m, "key", QW_GGUF_BOOL, "\2", 1);
    refuse(&m, QWREN_E_FORMAT, "key holds something");
    m = gguf_new();
    set_list(&m, "key", QW_GGUF_BOOL, 2, "\1\377", 2);
    refuse(&m, QWREN_E_FORMAT, "key holds something");
    m = gguf_new();
    set_u32(&m, "key", 1);
    set_u32(&m, "other", 1);
    set_u32(&m, "key", 1);
    refuse(&m, QWREN_E_FORMAT, "key is there twice");
    static const char *const names[] = { "", "with blank", "esc\033[2J", "line\n", "\303\244" };
    for (size_t i = 0; i < COUNT(names); i++) {
        m = gguf_new();
        set_u32(&m, names[i], 1);
        set_u32(&m, "long.enough.for.two.settings", 1);
        refuse(&m, QWREN_E_FORMAT, "setting 0 has a name");
    }
    static const uint32_t alignments[] = { 0, 3, 48, (uint32_t)1 << 31 };
    for (size_t i = 0; i < COUNT(alignments); i++) {
        m = gguf_new();
        set_u32(&m, "general.alignment", alignments[i]);
        refuse(&m, QWREN_E_FORMAT, "general.alignment");
    }
    m = gguf_new();
    set_text(&m, "general.alignment", "32");
    refuse(&m, QWREN_E_FORMAT, "general.alignment");
}

/* ---- the frame */

static void frames(void **state)
{
    (void)state;
    static const struct {
        uint32_t version;
        qwren_status status;
        const char *word;
    } cases[] = { { 1, QWREN_E_UNSUPPORTED, "GGUF version 1; versions 2 and 3" },
                  { 4, QWREN_E_UNSUPPORTED, "GGUF version 4; versions 2 and 3" },
                  { 0, QWREN_E_UNSUPPORTED, "GGUF version 0" },
                  { 0x03000000, QWREN_E_UNSUPPORTED, "big-endian" },
                  { 0x02000000, QWREN_E_UNSUPPORTED, "big-endian" } };
    for (size_t i = 0; i < COUNT(cases); i++) {
        gguf_maker m = gguf_new();
        m.version = cases[i].version;
        refuse(&m, cases[i].status, cases[i].word);
    }
    refuse_bytes("", 0, QWREN_E_FORMAT, "is no GGUF file");
    refuse_bytes("ggml\1\0\0\0", 8, QWREN_E_FORMAT, "is no GGUF file");
    refuse_bytes("version https://git-lfs.github.com/spec/v1", 42, QWREN_E_FORMAT, "git lfs pull");
    refuse_bytes("GGUF\3\0", 6, QWREN_E_FORMAT, "ends behind");
    refuse_bytes("GGUF\3\0\0\0\0\0\0\0\0", 13, QWREN_E_FORMAT, "first 24 bytes");
}

/* A file that is cut off anywhere is refused, and nothing is read behind its end. */
static void every_shorter_file(void **state)
{
    (void)state;
    gguf_maker m = gguf_new();
    set_text(&m, "general.architecture", "qwen35");
    set_list(&m, "list", QW_GGUF_STRING, 1, "\3\0\0\0\0\0\0\0abc", 11);
    add_floats(&m, "one", 2, 3);
    add_floats(&m, "two", 0, 8);
    qw_buf bytes = gguf_bytes(&m);
    qw_gguf_close(read_good(&bytes));
    for (size_t n = 0; n < bytes.len; n++)
        refuse_bytes(bytes.data, n, QWREN_E_FORMAT, "made.gguf");
    qw_buf_free(&bytes);
    gguf_free(&m);
}

/* ---- tensors */

static void good_tensors(void **state)
{
    (void)state;
    gguf_maker m = gguf_new();
    set_u32(&m, "general.alignment", 64);
    m.alignment = 64;
    m.version = 2;
    add_floats(&m, "matrix", 3, 5);
    add_entry(&m, "q6", 2, (uint64_t[]){ 512, 2 }, 14, m.data.len);
    add_data(&m, 4 * 210);
    add_entry(&m, "iq", 1, (uint64_t[]){ 256 }, 16, m.data.len); /* IQ2_XXS: known, not computed */
    add_data(&m, 66);
    add_entry(&m, "scalar", 0, NULL, 0, m.data.len);
    add_data(&m, 4);
    add_entry(&m, "none", 1, (uint64_t[]){ 0 }, 0, 0);
    qw_buf bytes = gguf_bytes(&m);
    qw_gguf *g = read_good(&bytes);
    size_t n;
    const qw_tensor *t = qw_gguf_tensors(g, &n);
    assert_int_equal(n, 5);
    assert_true(t[0].type == QW_TYPE_F32 && t[0].n_dims == 2 && t[0].shape[0] == 3 && t[0].shape[1] == 5 && t[0].n_bytes == 60);
    assert_true(t[1].type == QW_TYPE_Q6_K && t[1].shape[0] == 2 && t[1].shape[1] == 512 && t[1].n_bytes == 840);
    assert_true(t[2].type == QW_TYPE_OTHER && t[2].n_bytes == 66);
    assert_string_equal(t[2].dtype, "IQ2_XXS");
    assert_true(t[3].n_dims == 0 && t[3].n_bytes == 4);
    assert_true(t[4].n_bytes == 0);
    assert_string_equal(t[1].file_name, "q6");
    assert_string_equal(t[1].file, "made.gguf");
    assert_true((const char *)t[1].data == bytes.data + bytes.len - m.data.len + 64);
    qw_gguf_close(g);
    qw_buf_free(&bytes);
    gguf_free(&m);
}

static void refuse_entry(const char *name, uint32_t n_dims, const uint64_t *dims, uint32_t type, uint64_t offset, qwren_status status,
                         const char *word)
{
    gguf_maker m = gguf_new();
    add_entry(&m, name, n_dims, dims, type, offset);
    add_data(&m, 256);
    refuse(&m, status, word);
}

static void bad_tensors(void **state)
{
    (void)state;
    const uint64_t ok[] = { 4, 4, 1, 1, 1 }, huge[] = { UINT64_MAX / 2, 4 }, wide[] = { (uint64_t)1 << 62, 1 }, odd[] = { 33, 2 };
    refuse_entry("t", 5, ok, 0, 0, QWREN_E_FORMAT, "t has 5 dimensions");
    refuse_entry("t", UINT32_MAX, ok, 0, 0, QWREN_E_FORMAT, "dimensions");
    refuse_entry("t", 2, huge, 0, 0, QWREN_E_FORMAT, "t: its shape overflows");
    refuse_entry("t", 2, wide, 0, 0, QWREN_E_FORMAT, "t: its shape overflows");
    refuse_entry("t", 2, odd, 8, 0, QWREN_E_FORMAT, "t is Q8_0 in rows of 33; they must be multiples of 32");
    refuse_entry("t", 2, (uint64_t[]){ 128, 1 }, 12, 0, QWREN_E_FORMAT, "t is Q4_K in rows of 128; they must be multiples of 256");
    refuse_entry("t", 0, ok, 8, 0, QWREN_E_FORMAT, "t is Q8_0 in rows of 1");
    refuse_entry("t", 2, ok, 4, 0, QWREN_E_UNSUPPORTED, "number format 4, which is not known here; supported are F32");
    refuse_entry("t", 2, ok, 31, 0, QWREN_E_UNSUPPORTED, "number format 31");
    refuse_entry("t", 2, ok, 43, 0, QWREN_E_UNSUPPORTED, "number format 43");
    refuse_entry("t", 2, ok, UINT32_MAX, 0, QWREN_E_UNSUPPORTED, "number format 4294967295");
    refuse_entry("t", 2, ok, 0, 16, QWREN_E_FORMAT, "t begins at 16, which is no multiple of 32");
    refuse_entry("t", 2, ok, 0, 256, QWREN_E_FORMAT, "t needs 64 bytes from byte 256 of 256");
    refuse_entry("t", 2, (uint64_t[]){ 4, 17 }, 0, 0, QWREN_E_FORMAT, "t needs 272 bytes from byte 0 of 256");
    refuse_entry("t", 2, ok, 0, UINT64_MAX - 31, QWREN_E_FORMAT, "t needs 64 bytes");
    refuse_entry("", 2, ok, 0, 0, QWREN_E_FORMAT, "tensor 0 has a name");
    refuse_entry("a b", 2, ok, 0, 0, QWREN_E_FORMAT, "tensor 0 has a name");
    char longer[300];
    memset(longer, 'x', sizeof longer - 1);
    longer[sizeof longer - 1] = '\0';
    refuse_entry(longer, 2, ok, 0, 0, QWREN_E_FORMAT, "tensor 0 has a name");

    gguf_maker m = gguf_new();
    add_entry(&m, "one", 1, (uint64_t[]){ 16 }, 0, 0);
    add_entry(&m, "two", 1, (uint64_t[]){ 8 }, 0, 32);
    add_data(&m, 64);
    refuse(&m, QWREN_E_FORMAT, "one and two overlap");
    uint64_t lies[] = { 2, UINT64_MAX, (uint64_t)1 << 60 };
    for (size_t i = 0; i < COUNT(lies); i++) {
        m = gguf_new();
        add_entry(&m, "t", 2, ok, 0, 0);
        m.n_tensors = lies[i];
        refuse(&m, QWREN_E_FORMAT, lies[i] == 2 ? "made.gguf" : "tensors");
    }
}

/* The list of supported formats in messages is the list of what a layer reads. */
static void the_list_of_formats(void **state)
{
    (void)state;
    char name[16];
    for (qw_type t = 0; t < QW_TYPE_OTHER; t++)
        if (qw_type_is_float(t) || qw_type_kind(t) == QW_KIND_BLOCK) {
            snprintf(name, sizeof name, "%s", qw_type_name(t));
            if (!strstr(QW_GGUF_TYPES, name))
                fail_msg("%s is not in \"%s\"", name, QW_GGUF_TYPES);
        }
}

/* ---- memory */

static qwren_status read_made(void *ctx, qwren_error *err)
{
    const qw_buf *bytes = ctx;
    qw_gguf *g;
    const qw_map map = { (const uint8_t *)bytes->data, bytes->len, false };
    qwren_status st = qw_gguf_read(&g, &map, "made.gguf", err);
    qw_gguf_close(g);
    return st;
}

static void short_memory(void **state)
{
    (void)state;
    gguf_maker m = gguf_new();
    made_settings(&m);
    made_tensors(&m);
    qw_buf bytes = gguf_bytes(&m);
    fault_install();
    assert_true(fault_try_all(read_made, &bytes, 1) >= 7);
    fault_remove();
    qw_buf_free(&bytes);
    gguf_free(&m);
}

static void files(void **state)
{
    (void)state;
    qw_gguf *g = (qw_gguf *)state;
    qwren_error err = { QWREN_OK, "" };
    assert_int_equal(qw_gguf_open(&g, "/no/such/file.gguf", &err), QWREN_E_IO);
    assert_null(g);
    assert_non_null(strstr(err.text, "/no/such/file.gguf"));
    qw_gguf_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settings_of_all_types), cmocka_unit_test(lists),       cmocka_unit_test(values_are_shown),
        cmocka_unit_test(bad_settings),          cmocka_unit_test(frames),      cmocka_unit_test(every_shorter_file),
        cmocka_unit_test(good_tensors),          cmocka_unit_test(bad_tensors), cmocka_unit_test(the_list_of_formats),
        cmocka_unit_test(short_memory),          cmocka_unit_test(files),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
