/* The tokenizer under any bytes. As a text: the ids' text is the NFC of the well-formed text, streamed or at once, with added tokens or
 * without, whatever bytes are untrusted. As a tokenizer.json (a NUL, then tokenizer_config.json may follow): it opens or is refused with a
 * sentence, and what opens can be used. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/utf8.h"
#include "tokenizer/nfc.h"
#include "tokenizer/tokenizer.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool ok)
{
    if (!ok)
        abort();
}

static bool same(const qw_buf *a, const qw_buf *b) { return a->len == b->len && memcmp(qw_buf_text(a), qw_buf_text(b), a->len) == 0; }

static qw_buf nfc(const char *text, size_t len)
{
    qw_buf sane = QW_BUF_INIT, out = QW_BUF_INIT;
    qw_nfc_scratch s = { 0 };
    qw_utf8_sanitize(&sane, text, len);
    check(qw_nfc_append(&out, qw_buf_text(&sane), sane.len, &s, NULL) == QWREN_OK);
    qw_nfc_deinit(&s);
    qw_buf_free(&sane);
    return out;
}

static qw_buf decode(const qw_tokenizer *t, const qw_ids *ids)
{
    qw_buf whole = QW_BUF_INIT, pieces = QW_BUF_INIT;
    qw_detok d;
    check(qw_tokenizer_decode(t, ids->data, ids->n, false, &whole, NULL) == QWREN_OK);
    qw_detok_init(&d, t, false);
    for (size_t i = 0; i < ids->n; i++) {
        size_t before = pieces.len;
        check(qw_detok_push(&d, ids->data[i], &pieces, NULL) == QWREN_OK);
        check(qw_utf8_is_valid(qw_buf_text(&pieces) + before, pieces.len - before));
    }
    qw_detok_flush(&d, &pieces);
    check(same(&whole, &pieces));
    qw_buf_free(&pieces);
    return whole;
}

static void round_trip(const qw_tokenizer *t, const char *text, size_t len, qwren_special mode, const qw_span *untrusted, size_t n)
{
    qw_ids ids = QW_IDS_INIT;
    check(qw_tokenizer_encode(t, text, len, mode, untrusted, n, &ids, NULL) == QWREN_OK);
    qw_buf back = decode(t, &ids), want = nfc(text, len), got = nfc(qw_buf_text(&back), back.len);
    check(same(&got, &want)); /* the parts between added tokens are in NFC each for itself, so once more for the whole */
    if (mode == QWREN_SPECIAL_NONE) {
        check(same(&back, &want));
        for (size_t i = 0; i < ids.n; i++)
            check(!qw_tokenizer_is_added(t, ids.data[i]));
    }
    qw_ids_free(&ids);
    qw_buf_free(&back);
    qw_buf_free(&want);
    qw_buf_free(&got);
}

/* Spans wherever a byte is odd. */
static void with_untrusted_bytes(const qw_tokenizer *t, const char *text, size_t len)
{
    qw_span spans[64];
    size_t n = 0;
    for (size_t i = 0; i < len && n < 64; i++) {
        size_t begin = i;
        while (i < len && (text[i] & 1))
            i++;
        if (i > begin)
            spans[n++] = (qw_span){ begin, i };
    }
    round_trip(t, text, len, QWREN_SPECIAL_ALL, spans, n);
}

static void as_text(const qw_tokenizer *t, const char *text, size_t len)
{
    round_trip(t, text, len, QWREN_SPECIAL_ALL, NULL, 0);
    round_trip(t, text, len, QWREN_SPECIAL_SOME, NULL, 0);
    round_trip(t, text, len, QWREN_SPECIAL_NONE, NULL, 0);
    with_untrusted_bytes(t, text, len);
}

static void as_tokenizer(const char *json, size_t len)
{
    qw_tokenizer *t;
    qwren_error err = { QWREN_OK, "" };
    const char *second = memchr(json, '\0', len); /* a NUL parts the two files */
    size_t first_len = second ? (size_t)(second - json) : len;
    qwren_status st = qw_tokenizer_parse(&t, json, first_len, second ? second + 1 : NULL, second ? len - first_len - 1 : 0, "fuzz", &err);
    check(st == QWREN_OK ? t != NULL : t == NULL && err.text[0] && (st == QWREN_E_FORMAT || st == QWREN_E_UNSUPPORTED));
    if (st == QWREN_OK)
        round_trip(t, "ab <x> ab", 9, QWREN_SPECIAL_NONE, NULL, 0);
    qw_tokenizer_close(t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static qw_tokenizer *nano;
    if (!nano)
        check(qw_tokenizer_open(&nano, QW_MODELS "/qwren-nano", NULL) == QWREN_OK);
    as_text(nano, (const char *)data, size);
    if (size && data[0] == '{')
        as_tokenizer((const char *)data, size);
    return 0;
}
