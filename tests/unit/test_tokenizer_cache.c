/* The tables beside tokenizer.json: used when they were made from it, otherwise not believed and never an error. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/alloc.h"
#include "base/file.h"
#include "base/hash.h"
#include "support/fault.h"
#include "support/vocabulary.h"
#include "tokenizer/vocab.h"

static char folder[64], tables_path[96];
static char *json, *tables; /* nano's tokenizer.json, and what is made of it */
static size_t json_len, tables_len;

static void write_tables(void)
{
    qwren_error err;
    if (qw_tokenizer_write_tables(folder, tables_path, &err) != QWREN_OK)
        fail_msg("%s", err.text);
}

static int set_up(void **state)
{
    (void)state;
    if (qw_file_read(NANO_TOKENIZER, SIZE_MAX / 2, &json, &json_len, NULL) != QWREN_OK)
        return 1;
    folder_make(folder);
    snprintf(tables_path, sizeof tables_path, "%s/qwren/vocabulary.bin", folder);
    folder_put(folder, "tokenizer.json", json, json_len);
    write_tables();
    return qw_file_read(tables_path, SIZE_MAX / 2, &tables, &tables_len, NULL) != QWREN_OK;
}

static int clean_up(void **state)
{
    (void)state;
    qw_free(json);
    qw_free(tables);
    folder_remove(folder);
    return 0;
}

/* Opens the folder; whether the tables were used. It must open, and with the right ids. */
static bool uses_tables(void)
{
    qw_tokenizer *t;
    qwren_error err;
    qw_ids ids = QW_IDS_INIT;
    qw_buf text = QW_BUF_INIT;
    if (qw_tokenizer_open(&t, folder, &err) != QWREN_OK)
        fail_msg("%s", err.text);
    assert_int_equal(qw_tokenizer_encode(t, "the<|im_end|>", 13, QWREN_SPECIAL_ALL, NULL, 0, &ids, NULL), QWREN_OK);
    assert_int_equal(qw_tokenizer_decode(t, ids.data, ids.n, false, &text, NULL), QWREN_OK);
    assert_string_equal(qw_buf_text(&text), "the<|im_end|>");
    assert_int_equal(ids.data[ids.n - 1], 4098);
    bool used = t->map.data != NULL;
    qw_ids_free(&ids);
    qw_buf_free(&text);
    qw_tokenizer_close(t);
    return used;
}

static void whole_tables_are_used_and_equal(void **state)
{
    (void)state;
    qw_tokenizer *a, *b = open_nano_tokenizer();
    folder_put(folder, "qwren/vocabulary.bin", tables, tables_len);
    assert_true(uses_tables());
    assert_int_equal(qw_tokenizer_open(&a, folder, NULL), QWREN_OK);
    size_t from = offsetof(qw_vocab_header, n_base);
    assert_int_equal(a->map.size, ((qw_vocab_header *)(void *)b->heap)->n_bytes);
    assert_memory_equal(a->map.data + from, b->heap + from, a->map.size - from);
    assert_memory_equal(a->first, b->first, sizeof a->first);
    qw_tokenizer_close(a);
    qw_tokenizer_close(b);
}

static void the_same_json_gives_the_same_bytes(void **state)
{
    (void)state;
    char *again;
    size_t n;
    unlink(tables_path);
    write_tables();
    assert_int_equal(qw_file_read(tables_path, SIZE_MAX / 2, &again, &n, NULL), QWREN_OK);
    assert_int_equal(n, tables_len);
    assert_memory_equal(again, tables, n);
    qw_free(again);
}

/* ---- stale ones */

static void tables_of_other_files_are_not_used(void **state)
{
    (void)state;
    static const char config[] = "{\"added_tokens_decoder\": {}}", other[] = "{\"added_tokens_decoder\":  {}}";
    folder_put(folder, "qwren/vocabulary.bin", tables, tables_len);
    char *changed = qw_strndup(json, json_len), *at = strstr(changed, "\"version\"");
    assert_non_null(at);
    at[1] = 'V'; /* of the same length, and as good */
    folder_put(folder, "tokenizer.json", changed, json_len);
    assert_false(uses_tables());
    folder_put(folder, "tokenizer.json", json, json_len);
    assert_true(uses_tables());
    folder_put(folder, "tokenizer_config.json", config, strlen(config));
    assert_false(uses_tables()); /* the config came later */
    write_tables();
    assert_true(uses_tables());
    folder_put(folder, "tokenizer_config.json", other, strlen(other));
    assert_false(uses_tables());
    folder_put(folder, "tokenizer_config.json", config, strlen(config));
    assert_true(uses_tables());
    char *path = qw_path_join(folder, "tokenizer_config.json");
    unlink(path);
    assert_false(uses_tables());
    qw_free(path);
    qw_free(changed);
}

/* Tables of a good file do not make a bad one good. */
static void tables_do_not_hide_a_bad_file(void **state)
{
    (void)state;
    qw_tokenizer *t;
    qwren_error err;
    folder_put(folder, "qwren/vocabulary.bin", tables, tables_len);
    folder_put(folder, "tokenizer.json", "{", 1);
    assert_int_equal(qw_tokenizer_open(&t, folder, &err), QWREN_E_FORMAT);
    assert_null(t);
    assert_int_equal(qw_tokenizer_write_tables(folder, tables_path, &err), QWREN_E_FORMAT);
    folder_put(folder, "tokenizer.json", json, json_len);
}

/* ---- damaged ones */

static size_t n_notices;
static void count_notices(void *ctx, qwren_log_level level, const char *text)
{
    (void)ctx;
    n_notices += level == QWREN_LOG_INFO && strstr(text, "vocabulary.bin") && strstr(text, "tokenizer.json is read instead");
}

/* Each byte of the header and of what is around the sections' borders, and every 997th of the rest. */
static bool is_tried(const qw_vocab_sections *s, size_t i)
{
    const uint64_t borders[] = { s->byte_ids, s->offset, s->merges, s->by_text, s->special, s->text, s->end };
    if (i < sizeof(qw_vocab_header) || i % 997 == 0)
        return true;
    for (size_t k = 0; k < sizeof borders / sizeof *borders; k++)
        if (i + 4 >= borders[k] && i < borders[k] + 4)
            return true;
    return false;
}

static void a_flipped_bit_anywhere_is_noticed(void **state)
{
    (void)state;
    qw_vocab_sections s = qw_vocab_layout((const void *)tables);
    size_t tried = 0;
    n_notices = 0;
    qwren_set_log(count_notices, NULL);
    for (size_t i = 0; i < tables_len; i++) {
        if (!is_tried(&s, i))
            continue;
        tables[i] = (char)(tables[i] ^ (1 << i % 8));
        folder_put(folder, "qwren/vocabulary.bin", tables, tables_len);
        tables[i] = (char)(tables[i] ^ (1 << i % 8));
        if (uses_tables())
            fail_msg("byte %zu was changed, and the tables are used", i);
        tried++;
    }
    qwren_set_log(NULL, NULL);
    assert_int_equal(n_notices, tried);
    assert_true(tried > 200);
}

static void a_cut_file_is_not_used(void **state)
{
    (void)state;
    for (size_t n = 0; n < tables_len; n = n < 150 ? n + 1 : n * 5 / 4) {
        folder_put(folder, "qwren/vocabulary.bin", tables, n);
        assert_false(uses_tables());
    }
    char *longer = qw_malloc(tables_len + 1);
    memcpy(longer, tables, tables_len);
    longer[tables_len] = 0;
    folder_put(folder, "qwren/vocabulary.bin", longer, tables_len + 1);
    assert_false(uses_tables());
    qw_free(longer);
    unlink(tables_path);
    assert_int_equal(mkdir(tables_path, 0700), 0);
    assert_false(uses_tables());
    rmdir(tables_path);
}

/* ---- somebody who can make checksums: numbers out of their bounds are found without it */

typedef struct place {
    size_t at, size;
    uint64_t value;
} place;

static void expect_fault(const place *p)
{
    char *copy = qw_malloc(tables_len);
    memcpy(copy, tables, tables_len);
    memcpy(copy + p->at, &p->value, p->size);
    const char *fault = qw_vocab_fault((const uint8_t *)copy, tables_len);
    if (!fault)
        fail_msg("byte %zu became %llu, and nothing was found", p->at, (unsigned long long)p->value);
    qw_free(copy);
}

static size_t a_used_merge(const qw_vocab_sections *s)
{
    const qw_merge *m = (const void *)(tables + s->merges);
    while (m->left < 0)
        m++;
    return (size_t)((const char *)m - tables);
}

static void numbers_out_of_bounds_are_found(void **state)
{
    (void)state;
    const qw_vocab_header *h = (const void *)tables;
    qw_vocab_sections s = qw_vocab_layout(h);
    size_t merge = a_used_merge(&s), offset = (size_t)s.offset, end = offset + 4 * (size_t)h->count;
    const place places[] = {
        { offsetof(qw_vocab_header, magic), 1, 'q' },
        { offsetof(qw_vocab_header, version), 4, 2 },
        { offsetof(qw_vocab_header, n_bytes), 8, tables_len - 1 },
        { offsetof(qw_vocab_header, n_base), 4, 0 },
        { offsetof(qw_vocab_header, n_base), 4, 5000 },
        { offsetof(qw_vocab_header, n_base), 4, UINT32_MAX },
        { offsetof(qw_vocab_header, count), 4, UINT32_MAX },
        { offsetof(qw_vocab_header, count), 4, 4095 },
        { offsetof(qw_vocab_header, count), 4, 4130 },
        { offsetof(qw_vocab_header, n_merges), 4, 7 },
        { offsetof(qw_vocab_header, merge_bits), 4, 0 },
        { offsetof(qw_vocab_header, merge_bits), 4, 64 },
        { offsetof(qw_vocab_header, merge_bits), 4, h->merge_bits - 1 },
        { offsetof(qw_vocab_header, text_bytes), 8, UINT64_MAX },
        { offsetof(qw_vocab_header, text_bytes), 8, h->text_bytes + 64 },
        { (size_t)s.byte_ids, 4, UINT32_MAX },
        { (size_t)s.byte_ids, 4, 4096 },
        { (size_t)s.byte_ids + 4 * 'a', 4, 0 },
        { offset, 4, 1 },
        { offset + 4, 4, 0 },
        { offset + 4, 4, 1 },
        { offset + 4, 4, UINT32_MAX },
        { offset + 40, 4, (uint32_t)h->text_bytes + 2 },
        { end, 4, (uint32_t)h->text_bytes - 1 },
        { end, 4, 0 },
        { merge, 4, 4096 },
        { merge, 4, UINT32_MAX },
        { merge + 4, 4, 4096 },
        { merge + 4, 4, UINT32_MAX },
        { merge + 8, 4, UINT32_MAX },
        { merge + 12, 4, 4096 },
        { (size_t)s.by_text, 4, 4095 },
        { (size_t)s.by_text, 4, 4129 },
        { (size_t)s.by_text, 4, ((const uint32_t *)(const void *)(tables + s.by_text))[1] },
        { (size_t)s.special, 1, 2 },
        { (size_t)s.text + 1, 1, 'x' },
    };
    assert_null(qw_vocab_fault((const uint8_t *)tables, tables_len));
    for (size_t i = 0; i < sizeof places / sizeof *places; i++)
        expect_fault(&places[i]);
}

/* A table without a free slot would be searched for ever. */
static void a_full_table_is_found(void **state)
{
    (void)state;
    qw_vocab_header *h = (void *)tables;
    qw_vocab_sections s = qw_vocab_layout(h);
    char *kept = qw_malloc(tables_len);
    memcpy(kept, tables, tables_len);
    qw_merge *m = (void *)(tables + s.merges);
    for (size_t i = 0; i < (size_t)1 << h->merge_bits; i++)
        m[i] = (qw_merge){ 0 };
    h->n_merges = 1u << h->merge_bits;
    assert_non_null(qw_vocab_fault((const uint8_t *)tables, tables_len));
    memcpy(tables, kept, tables_len);
    qw_free(kept);
}

/* ---- writing, and memory */

static void a_failed_write_leaves_nothing(void **state)
{
    (void)state;
    qwren_error err;
    assert_int_equal(qw_tokenizer_write_tables(folder, "/nowhere/vocabulary.bin", &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "/nowhere/"));
    assert_int_equal(qw_tokenizer_write_tables("/nowhere", tables_path, &err), QWREN_E_IO);
    assert_non_null(strstr(err.text, "/nowhere/tokenizer.json"));
}

static qwren_status open_and_close(void *ctx, qwren_error *err)
{
    qw_tokenizer *t;
    (void)ctx;
    qwren_status st = qw_tokenizer_open(&t, folder, err);
    qw_tokenizer_close(t);
    return st;
}

static qwren_status write_again(void *ctx, qwren_error *err)
{
    (void)ctx;
    return qw_tokenizer_write_tables(folder, tables_path, err);
}

static void every_allocation_may_fail(void **state)
{
    (void)state;
    folder_put(folder, "qwren/vocabulary.bin", tables, tables_len);
    fault_install();
    size_t opening = fault_try_all(open_and_close, NULL, 1), writing = fault_try_all(write_again, NULL, 1);
    fault_remove();
    assert_int_equal(opening, 5);
    assert_true(writing > 14);
    assert_true(uses_tables());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_tables_are_used_and_equal),    cmocka_unit_test(the_same_json_gives_the_same_bytes),
        cmocka_unit_test(tables_of_other_files_are_not_used), cmocka_unit_test(tables_do_not_hide_a_bad_file),
        cmocka_unit_test(a_flipped_bit_anywhere_is_noticed),  cmocka_unit_test(a_cut_file_is_not_used),
        cmocka_unit_test(numbers_out_of_bounds_are_found),    cmocka_unit_test(a_full_table_is_found),
        cmocka_unit_test(a_failed_write_leaves_nothing),      cmocka_unit_test(every_allocation_may_fail),
    };
    return cmocka_run_group_tests(tests, set_up, clean_up);
}
