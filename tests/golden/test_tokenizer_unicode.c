/* The splitter and NFC against the reference, for every character there is: how texts with it split, and what NFC makes of it alone, before and
 * behind others. And 400 random texts of characters that NFC moves, joins or replaces. */
#include "support/jsonl.h"

#include "base/utf8.h"
#include "tokenizer/nfc.h"
#include "tokenizer/pretok.h"

#define N_BLOCKS 272 /* of 4,096 code points */
#define N_NFC_CASES 400

static uint64_t fnv1a(uint64_t h, const char *s, size_t n)
{
    for (size_t i = 0; i < n; i++)
        h = (h ^ (unsigned char)s[i]) * 0x100000001b3U;
    return h;
}

static qw_buf nfc(const char *text, size_t len)
{
    qw_buf out = QW_BUF_INIT;
    qw_nfc_scratch s = { 0 };
    assert_int_equal(qw_nfc_append(&out, text, len, &s, NULL), QWREN_OK);
    qw_nfc_deinit(&s);
    return out;
}

/* One template with the character for each '@'. */
static qw_buf with(const char *template, const char *character)
{
    qw_buf b = QW_BUF_INIT;
    for (; *template; template ++)
        if (*template == '@')
            qw_buf_puts(&b, character);
        else
            qw_buf_putc(&b, *template);
    return b;
}

/* U+0000 needs its own way through C strings. */
static qw_buf with_code_point(const char *template, uint32_t cp)
{
    char utf8[5] = "";
    utf8[qw_utf8_encode(cp ? cp : 1, utf8)] = '\0';
    qw_buf b = with(template, utf8);
    for (size_t i = 0; cp == 0 && i < b.len; i++)
        b.data[i] = b.data[i] == 1 ? '\0' : b.data[i];
    return b;
}

static uint64_t hash_pieces(uint64_t h, uint32_t cp)
{
    qw_buf b = with_code_point("a@a '@a'l@'@e @@1@\n@ @", cp);
    for (size_t at = 0; at < b.len;) {
        size_t n = qw_pretok_next(b.data + at, b.len - at);
        assert_in_range(n, 1, b.len - at);
        char length = (char)n;
        h = fnv1a(h, &length, 1);
        at += n;
    }
    qw_buf_free(&b);
    return h;
}

static uint64_t hash_nfc(uint64_t h, uint32_t cp)
{
    static const char *const templates[] = { "@", "a@", "@\xCC\x81", "\xE1\x84\x80@",
                                             "\xCD\x85@\xCC\xA3" }; /* U+0301; U+1100; U+0345, U+0323 */
    for (size_t i = 0; i < sizeof templates / sizeof *templates; i++) {
        qw_buf b = with_code_point(templates[i], cp), normal = nfc(b.data, b.len);
        if (qw_nfc_is_plain(b.data, b.len) && (normal.len != b.len || memcmp(normal.data, b.data, b.len) != 0))
            fail_msg("U+%04X: NFC changes a text that the quick check calls plain", cp);
        h = fnv1a(h, qw_buf_text(&normal), normal.len);
        h = fnv1a(h, "|", 1);
        qw_buf_free(&b);
        qw_buf_free(&normal);
    }
    return h;
}

static void check_block(uint32_t first, const char *pieces, const char *normal)
{
    uint64_t h = 0xcbf29ce484222325U, k = h;
    char got[2][17];
    for (uint32_t cp = first; cp < first + 4096; cp++) {
        if (cp >= 0xD800 && cp < 0xE000)
            continue;
        h = hash_pieces(h, cp);
        k = hash_nfc(k, cp);
    }
    snprintf(got[0], sizeof got[0], "%016llx", (unsigned long long)h);
    snprintf(got[1], sizeof got[1], "%016llx", (unsigned long long)k);
    if (strcmp(got[0], pieces) != 0 || strcmp(got[1], normal) != 0)
        fail_msg("U+%04X and the 4,095 behind it: split %s, want %s; NFC %s, want %s", first, got[0], pieces, got[1], normal);
}

static void every_character(void **state)
{
    (void)state;
    FILE *f = fopen(QW_TEST_DATA "/tokenizer/unicode.txt", "r");
    unsigned first;
    char pieces[17], normal[17];
    int n = 0;
    assert_non_null(f);
    for (; fscanf(f, "%x %16s %16s", &first, pieces, normal) == 3; n++) {
        assert_int_equal(first, n * 4096);
        check_block(first, pieces, normal);
    }
    fclose(f);
    assert_int_equal(n, N_BLOCKS);
}

static void check_nfc(const qw_json *row, void *ctx)
{
    (void)ctx;
    size_t n = 0, want_len = 0;
    const char *text = qw_json_string(qw_json_get(row, "text"), &n), *want = qw_json_string(qw_json_get(row, "nfc"), &want_len);
    qw_buf once = nfc(text, n), twice = nfc(once.data, once.len);
    if (once.len != want_len || memcmp(once.data, want, want_len) != 0)
        fail_msg("NFC of \"%s\" is \"%s\", want \"%s\"", text, once.data, want);
    assert_int_equal(twice.len, once.len);
    assert_memory_equal(twice.data, once.data, once.len);
    qw_buf_free(&once);
    qw_buf_free(&twice);
}

static void random_texts_in_nfc(void **state)
{
    (void)state;
    each_case("tokenizer/nfc.jsonl", N_NFC_CASES, check_nfc, NULL);
}

/* With an insertion sort this takes 10^12 steps. */
static void two_million_marks_on_one_letter(void **state)
{
    (void)state;
    qw_buf b = QW_BUF_INIT;
    qw_buf_putc(&b, 'q');
    for (int i = 0; i < 1000000; i++)
        qw_buf_puts(&b, "\xCC\x81\xCC\xA3"); /* U+0301 (class 230), U+0323 (220) */
    qw_buf normal = nfc(b.data, b.len);
    assert_int_equal(normal.len, b.len);
    assert_memory_equal(normal.data, "q\xCC\xA3\xCC\xA3", 5);
    assert_memory_equal(normal.data + b.len - 4, "\xCC\x81\xCC\x81", 4);
    qw_buf_free(&b);
    qw_buf_free(&normal);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_character),
        cmocka_unit_test(random_texts_in_nfc),
        cmocka_unit_test(two_million_marks_on_one_letter),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
