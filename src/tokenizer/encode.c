/* Text -> ids: added tokens first, and between them NFC, split and merges (tokenizer.h). The tokenizer's room from above: this is the
 * file to read first. Tested by tests/golden/test_tokenizer.c and tests/unit/test_tokenizer.c. */
#include "base/alloc.h"
#include "base/utf8.h"
#include "tokenizer/nfc.h"
#include "tokenizer/pretok.h"
#include "tokenizer/vocab.h"

#include <string.h>

/* ---- ids */

qwren_status qw_ids_append(qw_ids *ids, int32_t id, qwren_error *err)
{
    if (ids->n == ids->cap) {
        size_t cap = ids->cap ? ids->cap * 2 : 64;
        int32_t *data = qw_realloc_array(ids->data, cap, sizeof *data);
        if (!data)
            return qw_fail_memory(err, cap * sizeof *data, "token ids");
        ids->data = data;
        ids->cap = cap;
    }
    ids->data[ids->n++] = id;
    return QWREN_OK;
}

void qw_ids_free(qw_ids *ids)
{
    qw_free(ids->data);
    *ids = QW_IDS_INIT;
}

/* ---- one text */

typedef struct encoder {
    const qw_tokenizer *t;
    const char *text;
    size_t len;
    qwren_special mode;
    const qw_span *untrusted; /* those from here on end behind all that was searched */
    size_t n_untrusted;
    qw_buf well_formed, normal;
    qw_nfc_scratch nfc;
    qw_bpe_scratch bpe;
    qw_ids *ids;
    qwren_error *err;
} encoder;

static bool is_ascii(const char *p, size_t n)
{
    unsigned char all = 0;
    for (size_t i = 0; i < n; i++)
        all |= (unsigned char)p[i];
    return all < 0x80;
}

/* The segment as well-formed UTF-8 in NFC: mostly it is that already. */
static qwren_status normalize(encoder *e, const char **p, size_t *n)
{
    if (is_ascii(*p, *n))
        return QWREN_OK;
    if (!qw_utf8_is_valid(*p, *n)) {
        qw_buf_clear(&e->well_formed);
        qw_utf8_sanitize(&e->well_formed, *p, *n);
        QW_TRY(qw_buf_status(&e->well_formed, e->err));
        *p = qw_buf_text(&e->well_formed);
        *n = e->well_formed.len;
    }
    if (!qw_nfc_is_plain(*p, *n)) {
        qw_buf_clear(&e->normal);
        QW_TRY(qw_nfc_append(&e->normal, *p, *n, &e->nfc, e->err));
        *p = qw_buf_text(&e->normal);
        *n = e->normal.len;
    }
    return QWREN_OK;
}

/* The text between two recognised tokens: look-ahead and merges end at its ends. */
static qwren_status encode_segment(encoder *e, const char *p, size_t n)
{
    QW_TRY(normalize(e, &p, &n));
    while (n) {
        size_t piece = qw_pretok_next(p, n);
        QW_TRY(qw_bpe_append(&e->t->merges, e->t->byte_ids, p, piece, &e->bpe, e->ids, e->err));
        p += piece;
        n -= piece;
    }
    return QWREN_OK;
}

/* Whether somebody else's bytes are among [begin, end). Asked in ascending order. */
static bool is_untrusted(encoder *e, size_t begin, size_t end)
{
    while (e->n_untrusted && (e->untrusted->end <= begin || e->untrusted->begin == e->untrusted->end)) {
        e->untrusted++;
        e->n_untrusted--;
    }
    return e->n_untrusted && e->untrusted->begin < end;
}

static bool recognised(encoder *e, const qw_added *a, size_t at)
{
    if (e->mode == QWREN_SPECIAL_NONE || (e->mode == QWREN_SPECIAL_SOME && a->special))
        return false;
    return !is_untrusted(e, at, at + a->len);
}

/* The next recognised token from `from` on and where it begins; NULL and the end of the text when there is none. */
static const qw_added *next_added(encoder *e, size_t from, size_t *begin)
{
    for (size_t i = from; i < e->len;) {
        const qw_added *a = e->t->first[(unsigned char)e->text[i]] ? qw_added_at(e->t, e->text, e->len, i) : NULL;
        if (a && recognised(e, a, i)) {
            *begin = i;
            return a;
        }
        i += a ? a->len : 1; /* a token that stays text hides those inside it, as in the reference */
    }
    *begin = e->len;
    return NULL;
}

static qwren_status encode_all(encoder *e)
{
    for (size_t at = 0; at < e->len;) {
        size_t begin;
        const qw_added *a = next_added(e, at, &begin);
        QW_TRY(encode_segment(e, e->text + at, begin - at));
        if (a)
            QW_TRY(qw_ids_append(e->ids, a->id, e->err));
        at = begin + (a ? a->len : 0);
    }
    return QWREN_OK;
}

qwren_status qw_tokenizer_encode(const qw_tokenizer *t, const char *text, size_t len, qwren_special mode, const qw_span *untrusted,
                                 size_t n_untrusted, qw_ids *ids, qwren_error *err)
{
    size_t n_before = ids->n;
    encoder e = {
        .t = t,
        .text = text,
        .len = len,
        .mode = mode,
        .untrusted = untrusted,
        .n_untrusted = untrusted ? n_untrusted : 0,
        .ids = ids,
        .err = err,
    };
    qwren_status st = encode_all(&e);
    if (st != QWREN_OK)
        ids->n = n_before;
    qw_buf_free(&e.well_formed);
    qw_buf_free(&e.normal);
    qw_nfc_deinit(&e.nfc);
    qw_bpe_deinit(&e.bpe);
    return st;
}
