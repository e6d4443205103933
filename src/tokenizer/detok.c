/* Ids -> text in whole characters (tokenizer.h). A character may be spread over several tokens: its beginning is held until its end, or
 * something that is not its end, has come. Tested by tests/golden/test_tokenizer.c and tests/unit/test_tokenizer.c. */
#include "base/utf8.h"
#include "tokenizer/tokenizer.h"

#include <string.h>

#define REPLACEMENT "\xEF\xBF\xBD"

void qw_detok_init(qw_detok *d, const qw_tokenizer *t, bool skip_special)
{
    *d = (qw_detok){ .tokenizer = t, .skip_special = skip_special };
}
void qw_detok_reset(qw_detok *d) { d->n_held = 0; }

/* Feeds the held beginning from p until it is whole or cannot become so; returns the bytes used. */
static size_t finish_held(qw_detok *d, const char *p, size_t n, qw_buf *out)
{
    size_t i = 0;
    while (d->n_held && i < n) {
        uint32_t cp;
        bool whole;
        d->held[d->n_held] = p[i];
        size_t used = qw_utf8_decode(d->held, d->n_held + 1, &cp, &whole);
        if (used <= d->n_held) { /* this byte does not go on from there: it begins something else */
            qw_buf_puts(out, REPLACEMENT);
            d->n_held = 0;
            break;
        }
        i++;
        d->n_held++;
        if (whole) {
            qw_buf_append(out, d->held, d->n_held);
            d->n_held = 0;
        }
    }
    return i;
}

qwren_status qw_detok_push(qw_detok *d, int32_t id, qw_buf *out, qwren_error *err)
{
    size_t n;
    const char *p = qw_tokenizer_bytes(d->tokenizer, id, &n);
    if (!p)
        return qw_fail(err, QWREN_E_ARGUMENT, "id %d has no token; valid are 0 to %d", id, qw_tokenizer_count(d->tokenizer) - 1);
    if (d->skip_special && qw_tokenizer_is_special(d->tokenizer, id))
        return QWREN_OK;
    size_t used = finish_held(d, p, n, out);
    p += used;
    n -= used;
    if (n) {
        size_t whole = qw_utf8_complete_prefix(p, n);
        qw_utf8_sanitize(out, p, whole);
        memcpy(d->held, p + whole, n - whole);
        d->n_held = n - whole;
    }
    return qw_buf_status(out, err);
}

void qw_detok_flush(qw_detok *d, qw_buf *out)
{
    if (d->n_held)
        qw_buf_puts(out, REPLACEMENT);
    d->n_held = 0;
}

qwren_status qw_tokenizer_decode(const qw_tokenizer *t, const int32_t *ids, size_t n_ids, bool skip_special, qw_buf *out, qwren_error *err)
{
    qw_detok d;
    size_t n_before = out->len;
    qwren_status st = QWREN_OK;
    qw_detok_init(&d, t, skip_special);
    for (size_t i = 0; i < n_ids && st == QWREN_OK; i++)
        st = qw_detok_push(&d, ids[i], out, err);
    if (st == QWREN_OK) {
        qw_detok_flush(&d, out);
        st = qw_buf_status(out, err);
    }
    if (st != QWREN_OK)
        qw_buf_truncate(out, n_before);
    return st;
}
